// Round trips between hosts as a table: which hosts, which cell, how warm. Pure.
import type { FleetView } from '../../lib/types';

export type Link = FleetView['links'][number];

/** Hosts that a table can show. */
export const HOSTS_MAX = 30;

export interface Matrix {
  hosts: string[];
  /** Hosts there would be without the limit. */
  all: number;
  /** `from>to` → link. */
  cells: Map<string, Link>;
  fastest: number;
  slowest: number;
}

export function matrix(members: string[], links: Link[]): Matrix {
  const slowestOf = new Map<string, number>();
  for (const one of members) slowestOf.set(one, 0);
  for (const { from, to, rtt_seconds } of links) {
    for (const host of [from, to]) slowestOf.set(host, Math.max(slowestOf.get(host) ?? 0, rtt_seconds));
  }
  const ranked = [...slowestOf].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, HOSTS_MAX);
  const hosts = ranked.map(([name]) => name).sort();
  const times = links.map((one) => one.rtt_seconds).filter((one) => one > 0);
  return {
    hosts,
    all: slowestOf.size,
    cells: new Map(links.map((one) => [`${one.from}>${one.to}`, one])),
    fastest: times.length > 0 ? Math.min(...times) : 0,
    slowest: times.length > 0 ? Math.max(...times) : 0,
  };
}

/** How warm a time is, from 0 (the fastest) to 1 (the slowest), by its logarithm. Where all are about the same, nothing
 *  is warm: twice as slow as the fastest is not yet slow. */
export function warmth(seconds: number, fastest: number, slowest: number): number {
  if (!(seconds > 0) || !(fastest > 0)) return 0;
  const span = Math.max(Math.log(slowest / fastest), Math.log(4));
  return Math.min(1, Math.max(0, Math.log(seconds / fastest) / span));
}
