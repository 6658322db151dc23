// What is worked out of users and the trail.
import { expect, it } from 'vitest';
import { action, different, outcome, passwordFault, trailOf } from './access';
import type { TrailEntry } from '../../lib/types';

const entry = (more: Partial<TrailEntry> = {}): TrailEntry => ({
  time: '2026-01-01T00:00:00Z', user: 'ann', role: 'admin', peer: '10.0.0.1', method: 'POST', path: '/api/v1/bans', status: 200, detail: '10.0.0.9', ...more,
});

it('a password is long enough and the same twice; characters count, not bytes', () => {
  expect(passwordFault('short', 'short')).toBe('short');
  expect(passwordFault('ßßßßßßßßßßßß', 'ßßßßßßßßßßßß')).toBeUndefined();
  expect(passwordFault('correct horse battery', 'correct horse')).toBe('differs');
});

it('the trail is narrowed by user, action and words', () => {
  const all = [entry(), entry({ user: 'bob', method: 'DELETE' }), entry({ user: null, path: '/api/v1/session', status: 401 })];
  const none = { user: '', action: '', search: '' };
  expect(trailOf(all, none)).toHaveLength(3);
  expect(trailOf(all, { ...none, user: 'bob' })).toEqual([all[1]]);
  expect(trailOf(all, { ...none, action: 'POST session' })).toEqual([all[2]]);
  expect(trailOf(all, { ...none, search: '10.0.0.9 ann' })).toEqual([all[0]]);
});

it('outcomes are told apart', () => {
  expect([200, 401, 403, 404, 409, 500].map((status) => outcome(entry({ status })))).toEqual(['done', 'barred', 'barred', 'refused', 'refused', 'failed']);
  expect(action(entry())).toBe('POST bans');
  expect(different(['b', 'a', 'b', ''])).toEqual(['a', 'b']);
});
