// Numbers as the terminal shows them; the rules are those of `crates/view/src/units.rs`.

const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

function scaled(value: number, base: number, prefixes: string[]): [string, string] {
  if (!(value > 0)) return ['0', ''];
  if (value < base - 0.5) return [value.toFixed(0), ''];
  let index = 0;
  // 999.5 would be printed as 1000.
  while (value >= base - 0.5 && index < prefixes.length - 1) {
    value /= base;
    index += 1;
  }
  return [value < 99.95 ? value.toFixed(1) : value.toFixed(0), prefixes[index] ?? ''];
}

/** Bytes of traffic: `1.5 MB`. */
export function bytes(value: number): string {
  const [number, prefix] = scaled(value, 1000, DECIMAL);
  return `${number} ${prefix}B`;
}

/** Bytes of memory: `38.2 MiB`. */
export function memory(value: number): string {
  const [number, prefix] = scaled(value, 1024, BINARY);
  return `${number} ${prefix}B`;
}

/** Bits per second: `12.3 Mbit/s`. */
export function rate(value: number): string {
  const [number, prefix] = scaled(value, 1000, DECIMAL);
  return `${number} ${prefix}bit/s`;
}

/** A count: `12.3k`. */
export function count(value: number): string {
  const [number, prefix] = scaled(value, 1000, DECIMAL);
  return number + prefix;
}

export function perSecond(value: number): string {
  return value > 0 && value < 9.95 ? `${value.toFixed(1)}/s` : `${count(value)}/s`;
}

/** A share from 0 to 1: `3.2%`. */
export function percent(share: number): string {
  const value = Math.max(0, share || 0) * 100;
  if (value > 0 && value < 0.05) return '<0.1%';
  return value > 0 && value < 9.95 ? `${value.toFixed(1)}%` : `${value.toFixed(0)}%`;
}

/** A time span: `850us`, `250ms`, `3.2s`, `4m05s`, `1h02m`, `3d04h`. */
export function seconds(value: number): string {
  const micros = Math.round(Math.max(0, value || 0) * 1e6);
  if (micros === 0) return '0s';
  if (micros < 1000) return `${micros}us`;
  const millis = Math.round(micros / 1000);
  if (millis < 1000) return `${millis}ms`;
  const tenths = Math.round(millis / 100);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)}s`;
  const two = (n: number): string => String(n).padStart(2, '0');
  const whole = Math.round(millis / 1000);
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
}

/** The same where a clock ticks: whole seconds. */
export function age(value: number): string {
  const whole = Math.round(Math.max(0, value || 0));
  return whole < 60 ? `${whole}s` : seconds(whole);
}

/** How long ago, in seconds; never below 0, since two clocks may differ. */
export function ago(time: string, now: number): number {
  return Math.max(0, (now - Date.parse(time)) / 1000);
}

/** A moment as a clock on the wall has it; with the day when it is another one. */
export function clock(time: string | number, withMillis = false): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '';
  const two = (n: number): string => String(n).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const now = new Date();
  const today = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const millis = withMillis ? `.${String(date.getMilliseconds()).padStart(3, '0')}` : '';
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}${millis}`;
  return day === today ? text : `${day} ${text}`;
}

/** An address and a port as they are written together. */
export function endpoint(ip: string, port?: number | null): string {
  if (port === undefined || port === null) return ip;
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
