import { expect, it } from 'vitest';
import { HOSTS_MAX, matrix, warmth, type Link } from './matrix';

const timed = (from: string, to: string, rtt_seconds: number): Link =>
  ({ from, to, rtt_seconds, jitter_seconds: 0, loss: 0, heard_ms: 1, how: 'noise', from_id: from, to_id: to });

it('has every host, also those that nobody timed', () => {
  const made = matrix(['c', 'a'], [timed('a', 'b', 0.002)]);
  expect(made.hosts).toEqual(['a', 'b', 'c']);
  expect(made.cells.get('a>b')?.rtt_seconds).toBe(0.002);
  expect(made.cells.get('b>a')).toBeUndefined();
});

it('keeps the hosts with the slowest links where there are too many', () => {
  const many = Array.from({ length: 100 }, (_, at) => timed('hub', `h${at}`, at / 1000));
  const made = matrix([], many);
  expect([made.hosts.length, made.all]).toEqual([HOSTS_MAX, 101]);
  expect(made.hosts).toContain('h99');
  expect(made.hosts).not.toContain('h1');
});

it('is warm by ratio, and cool where all are alike', () => {
  expect(warmth(0.001, 0.001, 0.1)).toBe(0);
  expect(warmth(0.1, 0.001, 0.1)).toBe(1);
  expect(warmth(0.01, 0.001, 0.1)).toBeCloseTo(0.5);
  expect(warmth(0.0011, 0.001, 0.0011)).toBeLessThan(0.1);
  expect(warmth(0, 0, 0)).toBe(0);
});
