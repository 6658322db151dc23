// From what the agent says to what is shown: lines of a chart, rows, filters. Pure.

/** What a counter grew by a second. The first moment has nothing before it; a counter that fell was begun anew. */
export function rates(times: number[], totals: number[]): (number | null)[] {
  return totals.map((total, at) => {
    const before = totals[at - 1];
    const span = (times[at] ?? 0) - (times[at - 1] ?? 0);
    return before === undefined || span <= 0 || total < before ? null : (total - before) / span;
  });
}

/** The keys with the greatest latest values, the greatest first. */
export function worst(latest: Record<string, number>, most: number): string[] {
  return Object.entries(latest).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, most).map(([key]) => key);
}

export interface Part {
  key: string;
  value: number;
}

/** A map of counts as rows, the greatest first, without those that are zero. */
export function parts(of: Record<string, number>): Part[] {
  return Object.entries(of).filter(([, value]) => value > 0).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([key, value]) => ({ key, value }));
}

/** An address with a port, as a filter for flows to it. */
export function target(endpoint: string): [string, string][] {
  const found = /^\[?(.*?)\]?:(\d+)$/.exec(endpoint);
  return found ? [['dst-ip', found[1] ?? ''], ['dst-port', found[2] ?? '']] : [['dst-ip', endpoint]];
}
