import { describe, expect, it } from 'vitest';
import * as format from './format';

// The same numbers as the tests of crates/view/src/units.rs have.
describe('numbers read as they do in the terminal', () => {
  it('scales traffic by a thousand and memory by 1024', () => {
    expect([0, 999, 999.6, 1000, 1_500_000, 99_960, 1e9].map(format.bytes)).toEqual([
      '0 B', '999 B', '1.0 kB', '1.0 kB', '1.5 MB', '100 kB', '1.0 GB',
    ]);
    expect(format.memory(40_055_603)).toBe('38.2 MiB');
    expect(format.rate(12_345_678)).toBe('12.3 Mbit/s');
    expect([format.rate(NaN), format.rate(-1)]).toEqual(['0 bit/s', '0 bit/s']);
  });

  it('keeps two units of a time span', () => {
    expect([0, 0.00085, 0.25, 3.24, 245, 3720, 273_600, 59.96].map(format.seconds)).toEqual([
      '0s', '850us', '250ms', '3.2s', '4m05s', '1h02m', '3d04h', '1m00s',
    ]);
  });

  it('never hides a share that is not zero', () => {
    expect([0, 0.0001, 0.032, 0.87].map(format.percent)).toEqual(['0%', '<0.1%', '3.2%', '87%']);
  });

  it('writes an IPv6 address with a port in brackets', () => {
    expect(format.endpoint('2001:db8::1', 443)).toBe('[2001:db8::1]:443');
    expect(format.endpoint('192.0.2.1', null)).toBe('192.0.2.1');
  });
});
