// What is worked out of alerts before they are shown: which are wanted, in which groups, how many went on when, and what a
// mute would keep silent. Pure, so that it is tested without a page.
import { bytes, count, percent, perSecond, rate, seconds } from '../../lib/format';
import type { Alert, MutePage, Severity } from '../../lib/types';

export type Mute = MutePage['mutes'][number];
export type MuteMatch = Mute['of'];

/** The worst first. */
export const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info'];

/** Colours by name, for charts. */
export const COLOURS: Record<Severity, string> = { critical: 'c7', high: 'bad', medium: 'warn', low: 'info', info: 'dim' };

export const STANDS = ['open', 'handled', 'ended', 'all'] as const;
export type Stand = (typeof STANDS)[number];

export const GROUPINGS = ['none', 'detector', 'source', 'target'] as const;
export type Grouping = (typeof GROUPINGS)[number];

/** An alert's own name among those of many hosts. */
export const keyOf = (alert: Alert): string => `${alert.host}/${alert.id}`;

/** What is left to do about it: nothing more once somebody has seen it or wants silence. */
export function standOf(alert: Alert, now: number): Exclude<Stand, 'all'> {
  if (alert.state === 'ended') return 'ended';
  const silent = alert.silenced_until ? Date.parse(alert.silenced_until) > now : false;
  return alert.acknowledged || silent ? 'handled' : 'open';
}

/** What of it a search looks at. */
function words(alert: Alert): string {
  const { technique } = alert;
  return [
    alert.id, alert.title, alert.detector, alert.message, alert.source, ...(alert.targets ?? []), alert.subject, alert.process,
    technique?.id, technique?.name, technique?.tactic, alert.host, ...(alert.hosts ?? []), alert.port?.toString(),
  ].filter(Boolean).join('\n').toLowerCase();
}

export interface Wanted {
  stand: Stand;
  /** None: all. */
  severities: Severity[];
  search: string;
  /** Unix seconds; those that went on at some time between are wanted. */
  from?: number;
  to?: number;
}

/** Those that fit but for their severity, for the counts beside it. */
export function fitting(alerts: Alert[], wanted: Wanted, now: number): Alert[] {
  const terms = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
  return alerts.filter((alert) => {
    if (wanted.stand !== 'all' && standOf(alert, now) !== wanted.stand) return false;
    if (wanted.from !== undefined && Date.parse(alert.last_seen) / 1000 < wanted.from) return false;
    if (wanted.to !== undefined && Date.parse(alert.first_seen) / 1000 > wanted.to) return false;
    const all = terms.length > 0 ? words(alert) : '';
    return terms.every((term) => all.includes(term));
  });
}

export function countBySeverity(alerts: Alert[]): Record<Severity, number> {
  const counts: Record<Severity, number> = { critical: 0, high: 0, medium: 0, low: 0, info: 0 };
  for (const alert of alerts) counts[alert.severity] += 1;
  return counts;
}

/** The worst first, then the latest begun: an order that a further sign does not change under somebody's hands. */
export function byWorst(a: Alert, b: Alert): number {
  return SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || Date.parse(b.first_seen) - Date.parse(a.first_seen) || a.id.localeCompare(b.id);
}

export interface Group {
  key: string;
  /** Empty where the alerts have nothing of the kind. */
  name: string;
  worst: Severity;
  alerts: Alert[];
}

/** In groups, that of the worst alert first. One with several targets stands with the first of them. */
export function grouped(alerts: Alert[], by: Grouping): Group[] {
  const sorted = [...alerts].sort(byWorst);
  const groups = new Map<string, Group>();
  for (const alert of sorted) {
    const name = { none: '', detector: alert.title, source: alert.source ?? '', target: alert.targets?.[0] ?? '' }[by];
    const key = by === 'detector' ? alert.detector : name;
    const group = groups.get(key);
    if (group) group.alerts.push(alert);
    else groups.set(key, { key, name, worst: alert.severity, alerts: [alert] });
  }
  return [...groups.values()];
}

export interface Timeline {
  /** Unix seconds: the beginning of each step. */
  times: number[];
  counts: Record<Severity, number[]>;
}

/** How many went on in each of `steps` equal steps from `from` to `to` (Unix seconds). */
export function timeline(alerts: Alert[], from: number, to: number, steps: number): Timeline {
  const width = Math.max(to - from, 1) / steps;
  const times = Array.from({ length: steps }, (_, at) => from + at * width);
  const empty = (): number[] => new Array<number>(steps).fill(0);
  const counts = { critical: empty(), high: empty(), medium: empty(), low: empty(), info: empty() };
  const step = (time: string): number => Math.floor((Date.parse(time) / 1000 - from) / width);
  for (const alert of alerts) {
    const row = counts[alert.severity];
    const last = Math.min(step(alert.last_seen), steps - 1);
    for (let at = Math.max(0, step(alert.first_seen)); at <= last; at += 1) row[at] = (row[at] ?? 0) + 1;
  }
  return { times, counts };
}

/** A named figure of the evidence, its unit read from the end of its name. */
export function figure(name: string, value: number): { label: string; shown: string } {
  const label = (cut: RegExp): string => name.replace(cut, '').replaceAll('_', ' ');
  if (/bits_per_second$/.test(name)) return { label: label(/_?bits_per_second$/) || 'rate', shown: rate(value) };
  if (/bytes_per_second$/.test(name)) return { label: label(/_per_second$/), shown: `${bytes(value)}/s` };
  if (/_per_second$/.test(name)) return { label: label(/_per_second$/), shown: perSecond(value) };
  if (/(^|_)bytes(_|$)/.test(name)) return { label: label(/^$/), shown: bytes(value) };
  if (/(^|_)seconds$/.test(name)) return { label: label(/_?seconds$/) || 'time', shown: seconds(value) };
  if (/_(ratio|share)$/.test(name)) return { label: label(/_(ratio|share)$/), shown: percent(value) };
  return { label: label(/^$/), shown: Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(3))) };
}

/** What a mute made of an alert would go by. */
export function matchOf(alert: Alert): MuteMatch {
  const of: MuteMatch = { detector: alert.detector };
  if (alert.source) of.source = alert.source;
  if (alert.port) of.port = alert.port;
  if (alert.subject) of.subject = alert.subject;
  return of;
}

/** An address as a number and how many bits it has; nothing for what is none. */
function number(address: string): { value: bigint; bits: number } | undefined {
  const four = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)?.slice(1).map(Number);
  if (four) return four.every((part) => part < 256) ? { value: four.reduce((sum, part) => sum * 256n + BigInt(part), 0n), bits: 32 } : undefined;
  if (!/^[0-9a-f:]+$/i.test(address) || !address.includes(':')) return undefined;
  const [head = '', tail] = address.split('::');
  const parts = (side: string | undefined): string[] => (side ? side.split(':') : []);
  const zeros = tail === undefined ? 0 : 8 - parts(head).length - parts(tail).length;
  const all = [...parts(head), ...new Array<string>(Math.max(0, zeros)).fill('0'), ...parts(tail)];
  if (all.length !== 8) return undefined;
  return { value: all.reduce((sum, part) => sum * 65536n + BigInt(`0x${part || '0'}`), 0n), bits: 128 };
}

/** Whether an address is `prefix` or in it. */
export function inside(address: string, prefix: string): boolean {
  if (address.toLowerCase() === prefix.toLowerCase()) return true;
  const [base = '', length] = prefix.split('/');
  const net = number(base);
  const one = number(address);
  if (!net || !one || net.bits !== one.bits) return false;
  const kept = length === undefined ? net.bits : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (kept < 0 || kept > net.bits) return false;
  const rest = BigInt(net.bits - kept);
  return net.value >> rest === one.value >> rest;
}

/** Whether a mute would hold for an alert: everything in it that is set has to agree. */
export function mutes(of: MuteMatch, alert: Alert): boolean {
  return (
    (!of.detector || of.detector === alert.detector) &&
    (!of.source || (alert.source != null && inside(alert.source, of.source))) &&
    (!of.port || of.port === alert.port) &&
    (!of.subject || of.subject === alert.subject) &&
    (!of.target || (alert.targets ?? []).some((target) => inside(target, of.target ?? '')))
  );
}

/** Whether it is an address that a rule or a ban can name; ARP's sources are MACs. */
export const isAddress = (source: string | null | undefined): source is string => source != null && number(source) !== undefined;
