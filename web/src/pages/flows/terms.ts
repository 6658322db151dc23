// A filter line taken apart into its terms and put together again, and the time that a question is about. Pure.
import { withTerm } from '../../lib/complete';

/** The terms of a line: they are parted by spaces that stand outside of quotes. */
export function terms(line: string): string[] {
  const found: string[] = [];
  let word = '';
  let quoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const sign = line[at] ?? '';
    if (quoted && sign === '\\') {
      word += sign + (line[(at += 1)] ?? '');
      continue;
    }
    if (sign === '"') quoted = !quoted;
    if (/\s/.test(sign) && !quoted) {
      if (word) found.push(word);
      word = '';
    } else word += sign;
  }
  return word ? [...found, word] : found;
}

/** The line without one of its terms. */
export const without = (line: string, term: string): string => terms(line).filter((one) => one !== term).join(' ');

const opposite = (term: string): string[] => (/^[-!]/.test(term) ? [term.slice(1)] : [`-${term}`, `!${term}`]);

/** The line with a term more; its opposite goes, since nothing matches both. */
export function add(line: string, term: string): string {
  return withTerm(opposite(term).reduce(without, terms(line).join(' ')), term);
}

/** The line with what the term means left out. */
export const exclude = (line: string, term: string): string => add(line, `-${term}`);

/** A span of time: its ends, or how far back from now. RFC 3339 and `15m`; empty where it is not said. */
export interface Span {
  from: string;
  to: string;
  last: string;
}

const TIME = /^(from|since|to|until|last)[:=](.+)$/;
const NAMES: Record<string, keyof Span> = { from: 'from', since: 'from', to: 'to', until: 'to', last: 'last' };

/** The span that a line says, and what else it says. */
export function apart(line: string): { rest: string; span: Span } {
  const span: Span = { from: '', to: '', last: '' };
  const rest = terms(line).filter((one) => {
    const [, name = '', value = ''] = TIME.exec(one) ?? [];
    const key = NAMES[name];
    if (key) span[key] = value.replaceAll('"', '');
    return !key;
  });
  return { rest: rest.join(' '), span };
}

/** The line with a span, as the agent is asked. Ends go before `last`. */
export function together(line: string, span: Span): string {
  const times = span.from || span.to ? [span.from && `from:${span.from}`, span.to && `to:${span.to}`] : [span.last && `last:${span.last}`];
  return [line.trim(), ...times].filter((one) => one).join(' ');
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `15m` in seconds; 0 for what is no such span. */
export function spanSeconds(last: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(s|m|h|d)$/.exec(last.trim()) ?? [];
  return Number(number) * (UNITS[unit] ?? 0);
}

/** The ends of a span in Unix seconds; nothing where it has none that this page understands. */
export function ends(span: Span, now: number): { from: number; to: number } | undefined {
  const to = span.to ? Date.parse(span.to) / 1000 : now;
  const from = span.from ? Date.parse(span.from) / 1000 : to - spanSeconds(span.last);
  return Number.isFinite(from) && Number.isFinite(to) && from < to ? { from, to } : undefined;
}

/** A span with ends, in whole milliseconds. */
export function between(from: number, to: number): Span {
  return { from: new Date(from * 1000).toISOString(), to: new Date(to * 1000).toISOString(), last: '' };
}

/** Twice as long around the same middle, but not beyond now. */
export function wider(span: Span, now: number): Span {
  const at = ends(span, now);
  if (!at) return span;
  const half = (at.to - at.from) / 2;
  return between(at.from - half, Math.min(at.to + half, now));
}
