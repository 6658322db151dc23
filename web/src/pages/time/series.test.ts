import { expect, it } from 'vitest';
import { parts, rates, target, worst } from './series';

it('makes rates of counters, with gaps where there is none', () => {
  expect(rates([10, 12, 14, 14, 16, 20], [100, 104, 104, 104, 3, 11])).toEqual([null, 2, 0, null, null, 2]);
  expect(rates([], [])).toEqual([]);
});

it('finds the worst, the same way among equals', () => {
  expect(worst({ b: 1, a: 1, c: 9, d: 0 }, 3)).toEqual(['c', 'a', 'b']);
});

it('leaves out what never happened', () => {
  expect(parts({ NOERROR: 3, NXDOMAIN: 9, SERVFAIL: 0 })).toEqual([{ key: 'NXDOMAIN', value: 9 }, { key: 'NOERROR', value: 3 }]);
});

it('asks for the flows to an endpoint', () => {
  expect(target('10.0.0.1:23')).toEqual([['dst-ip', '10.0.0.1'], ['dst-port', '23']]);
  expect(target('[fd00::1]:443')).toEqual([['dst-ip', 'fd00::1'], ['dst-port', '443']]);
  expect(target('10.0.0.1')).toEqual([['dst-ip', '10.0.0.1']]);
});
