import { expect, it } from 'vitest';
import { add, apart, between, ends, exclude, spanSeconds, terms, together, wider, without } from './terms';

it('takes a line apart where spaces stand outside of quotes', () => {
  expect(terms('port:443  process:"a b"  -x')).toEqual(['port:443', 'process:"a b"', '-x']);
  expect(terms('"a \\" b" c')).toEqual(['"a \\" b"', 'c']);
  expect(terms('  ')).toEqual([]);
});

it('adds a term once, and takes its opposite away', () => {
  expect(add('port:443', 'process:"a b"')).toBe('port:443 process:"a b"');
  expect(add('a -port:443', 'port:443')).toBe('a port:443');
  expect(add('a !port:443 ', 'port:443')).toBe('a port:443');
  expect(exclude('a port:443', 'port:443')).toBe('a -port:443');
  expect(exclude('port:4430', 'port:443')).toBe('port:4430 -port:443');
  expect(without('a b a', 'a')).toBe('b');
});

it('knows the time that a line says', () => {
  expect(apart('port:1 last:15m')).toEqual({ rest: 'port:1', span: { from: '', to: '', last: '15m' } });
  expect(apart('since:"2026-01-01 10:00" -last:5m to=2026-01-02')).toEqual({
    rest: '-last:5m',
    span: { from: '2026-01-01 10:00', to: '2026-01-02', last: '' },
  });
});

it('writes a span as terms; its ends go before how far back', () => {
  expect(together('port:1', { from: 'A', to: '', last: '15m' })).toBe('port:1 from:A');
  expect(together('', { from: '', to: '', last: '15m' })).toBe('last:15m');
  expect(together(' x ', { from: '', to: '', last: '' })).toBe('x');
});

it('reckons with spans', () => {
  expect([spanSeconds('15m'), spanSeconds('7d'), spanSeconds('soon')]).toEqual([900, 604_800, 0]);
  expect(ends({ from: '', to: '', last: '1h' }, 10_000)).toEqual({ from: 6400, to: 10_000 });
  expect(ends({ from: '', to: '', last: '' }, 10_000)).toBeUndefined();
  expect(ends({ from: 'yesterday', to: '', last: '' }, 10_000)).toBeUndefined();
  expect(between(0, 1.5)).toEqual({ from: '1970-01-01T00:00:00.000Z', to: '1970-01-01T00:00:01.500Z', last: '' });
  expect(ends(wider(between(1000, 1100), 2000), 2000)).toEqual({ from: 950, to: 1150 });
  expect(ends(wider({ from: '', to: '', last: '1m' }, 1000), 1000)).toEqual({ from: 910, to: 1000 });
});
