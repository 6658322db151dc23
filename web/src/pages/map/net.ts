// IP addresses as the map needs them: in which prefix one lies, and whether it can be anybody's own.

/** An address as eight (IPv6) or two (IPv4) groups of 16 bits; nothing where it is none. */
function groups(address: string): number[] | undefined {
  const bare = address.replace(/%.*$/, '');
  if (!bare.includes(':')) {
    const parts = bare.split('.').map(Number);
    if (parts.length !== 4 || parts.some((one) => !Number.isInteger(one) || one < 0 || one > 255)) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = parts;
    return [a * 256 + b, c * 256 + d];
  }
  const [head = '', tail] = bare.split('::', 2);
  const read = (text: string): number[] => (text === '' ? [] : text.split(':').flatMap((one) => (one.includes('.') ? (groups(one) ?? [NaN]) : [parseInt(one, 16)])));
  const before = read(head);
  const after = tail === undefined ? [] : read(tail);
  const missing = 8 - before.length - after.length;
  const all = tail === undefined ? before : [...before, ...new Array<number>(Math.max(0, missing)).fill(0), ...after];
  return all.length === 8 && !all.some(Number.isNaN) ? all : undefined;
}

/** As RFC 5952 writes it: the longest run of zeros, if longer than one, becomes `::`. */
function written(parts: number[]): string {
  if (parts.length === 2) return parts.flatMap((one) => [one >> 8, one & 255]).join('.');
  let best = { from: -1, length: 1 };
  for (let from = 0; from < 8; from += 1) {
    let length = 0;
    while (from + length < 8 && parts[from + length] === 0) length += 1;
    if (length > best.length) best = { from, length };
  }
  const hex = (some: number[]): string => some.map((one) => one.toString(16)).join(':');
  if (best.from < 0) return hex(parts);
  return `${hex(parts.slice(0, best.from))}::${hex(parts.slice(best.from + best.length))}`;
}

/** The prefix of so many bits that an address lies in: `10.1.2.0/24`. What is no address stays what it is. */
export function prefix(address: string, bits4: number, bits6: number): string {
  const parts = groups(address);
  if (!parts) return address;
  const bits = parts.length === 2 ? bits4 : bits6;
  const masked = parts.map((one, at) => {
    const kept = Math.min(16, Math.max(0, bits - at * 16));
    return one & ((0xffff << (16 - kept)) & 0xffff);
  });
  return `${written(masked)}/${bits}`;
}

/** Whether one host alone can have it: no multicast or broadcast, not the loopback, not a link's own. */
export function ownable(address: string): boolean {
  const [first = 0, second = 0] = groups(address) ?? [];
  if (!address.includes(':')) {
    const top = first >> 8;
    return top !== 0 && top !== 127 && top < 224 && first !== 0xa9fe;
  }
  const loopback = /^(::|::1)$/.test(address);
  return !loopback && first >> 8 !== 0xff && (first & 0xffc0) !== 0xfe80 && !(first === 0 && second === 0);
}

/** The address of `10.0.0.1:443` or `[2001:db8::1]:443`. */
export function withoutPort(endpoint: string): string {
  return /^\[(.*)\]:\d+$/.exec(endpoint)?.[1] ?? endpoint.replace(/^([^:]*):\d+$/, '$1');
}
