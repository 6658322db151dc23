// What is worked out of alerts, with alerts made up for it.
import { describe, expect, it } from 'vitest';
import type { Alert } from '../../lib/types';
import { figure, fitting, grouped, inside, isAddress, matchOf, mutes, standOf, timeline } from './alerts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const alert = (id: string, more: Partial<Alert> = {}): Alert => ({
  id, host: 'a', detector: 'port_scan', kind: 'scan', title: 'Port scan', severity: 'medium', message: `${id} tried ports`,
  source: '10.0.0.9', spoofable: false, targets: ['10.0.0.1'], target_count: 1, first_seen: '2026-01-01T11:00:00Z',
  last_seen: '2026-01-01T11:10:00Z', signs: 1, state: 'active', evidence: {}, ...more,
});
const wanted = { stand: 'all', severities: [], search: '' } as const;

describe('which are wanted', () => {
  it('what somebody has seen or silenced is handled, what is over is ended', () => {
    expect(standOf(alert('1'), NOW)).toBe('open');
    expect(standOf(alert('1', { acknowledged: { by: 'x', at: '2026-01-01T11:00:00Z' } }), NOW)).toBe('handled');
    expect(standOf(alert('1', { silenced_until: '2026-01-01T13:00:00Z' }), NOW)).toBe('handled');
    expect(standOf(alert('1', { silenced_until: '2026-01-01T11:30:00Z' }), NOW)).toBe('open');
    expect(standOf(alert('1', { state: 'ended', acknowledged: { by: 'x', at: '' } }), NOW)).toBe('ended');
  });
  it('all words of a search have to be there', () => {
    const all = [alert('1', { process: 'sshd (8)' }), alert('2')];
    expect(fitting(all, { ...wanted, severities: [], search: 'SSHD 10.0.0.9' }, NOW).map((one) => one.id)).toEqual(['1']);
    expect(fitting(all, { ...wanted, severities: [], search: 'nobody' }, NOW)).toEqual([]);
  });
  it('a span takes what went on at some time in it', () => {
    const at = (time: string): number => Date.parse(time) / 1000;
    const of = (from: string, to: string): number =>
      fitting([alert('1')], { ...wanted, severities: [], from: at(from), to: at(to) }, NOW).length;
    expect(of('2026-01-01T11:05:00Z', '2026-01-01T11:06:00Z')).toBe(1);
    expect(of('2026-01-01T11:11:00Z', '2026-01-01T11:20:00Z')).toBe(0);
    expect(of('2026-01-01T10:00:00Z', '2026-01-01T10:59:00Z')).toBe(0);
  });
});

describe('groups', () => {
  it('the group of the worst alert comes first, and in it the worst', () => {
    const groups = grouped([alert('1'), alert('2', { source: '10.0.0.7', severity: 'high' }), alert('3', { severity: 'low' })], 'source');
    expect(groups.map((group) => [group.name, group.worst, group.alerts.map((one) => one.id)])).toEqual([
      ['10.0.0.7', 'high', ['2']],
      ['10.0.0.9', 'medium', ['1', '3']],
    ]);
  });
  it('those without a source are one group without a name', () => {
    expect(grouped([alert('1', { source: null })], 'source')[0]?.name).toBe('');
  });
});

it('an alert counts in each step that it went on in', () => {
  const from = Date.parse('2026-01-01T10:55:00Z') / 1000;
  const { times, counts } = timeline([alert('1'), alert('2', { last_seen: '2026-01-01T11:00:00Z' })], from, from + 1500, 5);
  expect(times[1]).toBe(from + 300);
  expect(counts.medium).toEqual([0, 2, 1, 1, 0]);
  expect(counts.high).toEqual([0, 0, 0, 0, 0]);
});

it('figures are shown in the unit at the end of their name', () => {
  expect(figure('packets_per_second', 1500)).toEqual({ label: 'packets', shown: '1.5k/s' });
  expect(figure('bytes_to_client_per_connection', 5063)).toEqual({ label: 'bytes to client per connection', shown: '5.1 kB' });
  expect(figure('interval_seconds', 1.044)).toEqual({ label: 'interval', shown: '1.0s' });
  expect(figure('regular_ratio', 1)).toEqual({ label: 'regular', shown: '100%' });
  expect(figure('ports', 302)).toEqual({ label: 'ports', shown: '302' });
});

describe('mutes', () => {
  it('a mute of an alert holds for it', () => {
    const one = alert('1', { port: 22, subject: 'x' });
    expect(matchOf(one)).toEqual({ detector: 'port_scan', source: '10.0.0.9', port: 22, subject: 'x' });
    expect(mutes(matchOf(one), one)).toBe(true);
    expect(mutes({ ...matchOf(one), port: 23 }, one)).toBe(false);
  });
  it('a prefix holds for the addresses in it', () => {
    expect(inside('10.0.0.9', '10.0.0.0/24')).toBe(true);
    expect(inside('10.0.1.9', '10.0.0.0/24')).toBe(false);
    expect(inside('fd00:55::2', 'fd00:55::/64')).toBe(true);
    expect(inside('fd00:56::2', 'fd00:55::/64')).toBe(false);
    expect(inside('10.0.0.9', 'fd00::/8')).toBe(false);
    expect(inside('10.0.0.9', '0.0.0.0/0')).toBe(true);
    expect(inside('10.0.0.9', '10.0.0.0/33')).toBe(false);
    expect(inside('10.0.0.9', '10.0.0.0/x')).toBe(false);
  });
  it('a MAC is no address', () => {
    expect(isAddress('02:00:00:00:00:01')).toBe(false);
    expect(isAddress('fe80::1')).toBe(true);
    expect(isAddress(null)).toBe(false);
  });
});
