// The columns of the table: which there are, how wide, what stands in a cell, and the same as CSV. Pure.
//
// The agent's catalogue names every field of a flow; a few columns here put several of them together, as people read
// them (`client` is an address and a port).
import type { FlowColumn } from '../../lib/types';
import { bytes, clock, count, endpoint, rate, seconds } from '../../lib/format';
import type { FlowRow, HostFlow } from '../../lib/types';

export interface FlowTableColumn {
  key: string;
  title: string;
  width: string;
  number?: boolean;
  sort?: string;
  help?: string;
}

/** Names and help of the columns that the catalogue does not have, or has under a name for terminals. */
export type ColumnWords = Record<string, { title: string; help: string }>;

/** Put together from several fields. */
const COMPOSED = ['host', 'client', 'server', 'rtt'] as const;

export const DESK = [
  'end', 'client', 'server', 'server_name', 'protocol', 'application', 'process', 'bytes', 'bits_per_second',
  'duration_seconds', 'rtt', 'verdict', 'state',
];
export const PHONE = ['server', 'application', 'bytes', 'client', 'process', 'end', 'verdict'];

/** By which order of the agent's a column is sorted. */
const SORTS: Record<string, string> = {
  bytes: 'bytes', packets: 'packets', bits_per_second: 'rate', start: 'start', end: 'last', duration_seconds: 'duration',
};

const WIDTHS: Record<string, string> = {
  host: '110px',
  start: '80px',
  end: '80px',
  client: 'minmax(150px, 1.1fr)',
  server: 'minmax(150px, 1.1fr)',
  server_name: 'minmax(108px, 1fr)',
  application: '86px',
  process: '92px',
  protocol: '58px',
  bits_per_second: '96px',
  rtt: '66px',
  verdict: '74px',
  rule: '140px',
  state: '64px',
  community_id: '250px',
  ja4: '270px',
  interfaces: '90px',
};
const WIDTH_BY_KIND: Record<FlowColumn['kind'], string> = {
  text: '130px', number: '80px', time: '92px', bytes: '82px', flag: '80px', list: '100px',
};

/** The round trip: the local socket's own, else of the handshake, else of the latest question and answer. */
export const rtt = (flow: FlowRow): number | undefined =>
  flow.smoothed_rtt_seconds ?? flow.handshake_rtt_seconds ?? flow.round_trip_seconds ?? undefined;

const interfaces = (flow: FlowRow): string => [...new Set(flow.interfaces.map((one) => one.interface))].join(' ');

/** What the field or column holds, as JSON has it. */
export function raw(row: HostFlow, key: string): unknown {
  const flow = row.flow;
  switch (key) {
    case 'host': return row.host;
    case 'client': return endpoint(flow.source_ip, flow.src_port);
    case 'server': return endpoint(flow.dest_ip, flow.dest_port);
    case 'rtt': return rtt(flow);
    case 'interfaces': return interfaces(flow);
    default: return (flow as unknown as Record<string, unknown>)[key];
  }
}

/** What stands in the cell. */
export function shown(row: HostFlow, key: string): string {
  const value = raw(row, key);
  if (value === undefined || value === null || value === false) return '';
  if (key === 'application') return `${row.flow.application_guessed ? '~' : ''}${String(value)}`;
  if (Array.isArray(value)) return value.join(' ');
  if (value === true) return '✓';
  if (typeof value === 'number') return number(key, value);
  return key === 'start' || key === 'end' ? clock(String(value)) : String(value);
}

function number(key: string, value: number): string {
  if (/bytes/.test(key)) return bytes(value);
  if (key === 'rtt' || key.endsWith('_seconds')) return seconds(value);
  if (key === 'bits_per_second') return value > 0 ? rate(value) : '–';
  return /packets/.test(key) ? count(value) : String(value);
}

/** Titles of the catalogue are capitals, as terminals have them; short forms stay so. */
const SHORT = /^(id|dns|http|tls|ssh|ja4|rtt|tcp|pid|vlan|sni|alpn|icmp|no)$/i;
function sentence(title: string): string {
  const words = title.split(' ').map((word) => (SHORT.test(word) ? word.toUpperCase() : word.toLowerCase()));
  const line = words.join(' ');
  return line.charAt(0).toUpperCase() + line.slice(1);
}

/** Every column that can be chosen: those put together first, then the catalogue in its order. */
export function all(catalogue: FlowColumn[], words: ColumnWords): FlowTableColumn[] {
  const composed = COMPOSED.map((key) => column(key, undefined, words));
  const known = catalogue.length > 0 ? catalogue : DESK.filter((key) => !isComposed(key)).map(bare);
  return [...composed, ...known.map((one) => column(one.name, one, words))];
}

const isComposed = (key: string): boolean => (COMPOSED as readonly string[]).includes(key);

/** Stands in while the catalogue is not there. */
const bare = (name: string): FlowColumn => ({
  name, title: name.replaceAll('_', ' '), doc: '', unit: '', kind: /bytes|packets|seconds|second$/.test(name) ? 'number' : 'text',
});

function column(key: string, of: FlowColumn | undefined, words: ColumnWords): FlowTableColumn {
  const kind = of?.kind ?? 'text';
  return {
    key,
    title: words[key]?.title ?? sentence(of?.title ?? key),
    help: words[key]?.help ?? of?.doc,
    width: WIDTHS[key] ?? WIDTH_BY_KIND[kind],
    number: kind === 'number' || kind === 'bytes' || key === 'rtt',
    sort: SORTS[key],
  };
}

/** Those of `keys` that there are, in this order; in a fleet the host stands first, whoever chose. */
export function pick(every: FlowTableColumn[], keys: string[], fleet: boolean): FlowTableColumn[] {
  const wanted = fleet ? ['host', ...keys.filter((key) => key !== 'host')] : keys.filter((key) => key !== 'host');
  return wanted.flatMap((key) => every.find((one) => one.key === key) ?? []);
}

/** A value of CSV. What a spreadsheet would take for a formula is made text: names come from strangers. */
function csvValue(value: unknown): string {
  if (value === undefined || value === null) return '';
  const list = Array.isArray(value) ? value.join(' ') : String(value);
  const safe = typeof value === 'string' && /^[=+@\t\r-]/.test(list) ? `'${list}` : list;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The columns of the rows as CSV: plain numbers, times as RFC 3339, the agent's own names as head. */
export function csv(rows: HostFlow[], keys: string[]): string {
  const lines = rows.map((row) => keys.map((key) => csvValue(raw(row, key))).join(','));
  return `${[keys.join(','), ...lines].join('\r\n')}\r\n`;
}
