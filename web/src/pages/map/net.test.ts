import { expect, it } from 'vitest';
import { ownable, prefix, withoutPort } from './net';

it('finds the prefix an address lies in', () => {
  expect(prefix('10.66.1.38', 24, 64)).toBe('10.66.1.0/24');
  expect(prefix('10.66.201.38', 17, 64)).toBe('10.66.128.0/17');
  expect(prefix('10.66.1.38', 0, 64)).toBe('0.0.0.0/0');
  expect(prefix('10.66.1.38', 32, 128)).toBe('10.66.1.38/32');
});

it('writes IPv6 prefixes as RFC 5952 does', () => {
  expect(prefix('fd00:55::2', 24, 64)).toBe('fd00:55::/64');
  expect(prefix('2001:db8:1:ff02:3:4:5:6', 24, 56)).toBe('2001:db8:1:ff00::/56');
  expect(prefix('2001:db8::1:0:0:1', 24, 128)).toBe('2001:db8::1:0:0:1/128');
  expect(prefix('::ffff:192.0.2.1', 24, 128)).toBe('::ffff:c000:201/128');
  expect(prefix('fe80::1%lan0', 24, 64)).toBe('fe80::/64');
});

it('leaves alone what is no address', () => {
  expect(['', 'intranet', '1.2.3', '1.2.3.999', '1:2:3', 'g::1'].map((one) => prefix(one, 24, 64))).toEqual([
    '', 'intranet', '1.2.3', '1.2.3.999', '1:2:3', 'g::1',
  ]);
});

it('knows which addresses say nothing about a host', () => {
  expect(['10.0.0.1', '2001:db8::1', 'fd00::1', '192.168.1.1'].map(ownable)).toEqual([true, true, true, true]);
  expect(['127.0.0.1', '0.0.0.0', '224.0.0.251', '255.255.255.255', '169.254.1.1'].map(ownable)).toEqual([false, false, false, false, false]);
  expect(['::', '::1', 'ff02::fb', 'fe80::1', 'febf::1'].map(ownable)).toEqual([false, false, false, false, false]);
});

it('takes the port off an endpoint', () => {
  expect(['10.0.0.1:443', '[2001:db8::1]:443', '2001:db8::1', '10.0.0.1'].map(withoutPort)).toEqual([
    '10.0.0.1', '2001:db8::1', '2001:db8::1', '10.0.0.1',
  ]);
});
