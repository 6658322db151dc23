// What is worked out of a fleet, with members made up for it.
import { describe, expect, it } from 'vitest';
import type { HostDigest } from '../../lib/types';
import { fits, rows, versions, type Member } from './cluster';

const member = (name: string, more: Partial<Member> = {}): Member => ({
  id: `id-${name}`, name, state: 'alive', addresses: ['10.0.0.1:7734'], labels: { role: 'web' }, agent: '1.0', protocol: 1, is_self: false,
  policy: { stand: 'unknown', version: 0 }, ...more,
});
const digest = (name: string, problems: string[] = []): HostDigest => ({ id: `id-${name}`, name, problems, policy: '' }) as unknown as HostDigest;

it('those that want looking at come first', () => {
  const found = rows([member('b'), member('a'), member('c', { state: 'down' }), member('d')], [digest('d', ['a ring is full'])]);
  expect(found.map((row) => row.member.name)).toEqual(['c', 'd', 'a', 'b']);
  expect(found[1]?.digest?.problems).toEqual(['a ring is full']);
});

it('versions count those that are there', () => {
  const all = [member('a'), member('b'), member('c', { agent: '1.1' }), member('d', { agent: '0.9', state: 'left' }), member('e', { agent: '' })];
  expect(versions(all)).toEqual([['1.0', 2], ['1.1', 1]]);
});

describe('search', () => {
  it('all words have to stand somewhere', () => {
    expect(fits({ member: member('edge') }, 'EDGE role=web')).toBe(true);
    expect(fits({ member: member('edge') }, 'edge role=db')).toBe(false);
    expect(fits({ member: member('edge') }, '')).toBe(true);
  });
});
