// What could be written at the cursor of a filter. Pure, so that it is tested without a page.
//
// A filter is terms with spaces between, each `field:value`, `-field:value` or free text; a value with spaces stands in
// double quotes.
import type { FilterField } from './types';

export interface Suggestion {
  /** What to write in place of the term. */
  insert: string;
  label: string;
  detail: string;
}

/** The term that the cursor is in: where it begins and ends. */
export function termAt(line: string, cursor: number): { from: number; to: number } {
  let quoted = false;
  let from = 0;
  for (let at = 0; at < cursor; at += 1) {
    if (line[at] === '"') quoted = !quoted;
    else if (line[at] === ' ' && !quoted) from = at + 1;
  }
  let to = cursor;
  while (to < line.length && (quoted || line[to] !== ' ')) {
    if (line[to] === '"') quoted = !quoted;
    to += 1;
  }
  return { from, to };
}

const quote = (value: string): string => (/[\s"]/.test(value) ? `"${value.replaceAll('"', '')}"` : value);

/** A term as text. */
export const term = (field: string, value: string | number): string => `${field}:${quote(String(value))}`;

/** `filter` with a term more, unless it has it already. */
export function withTerm(filter: string, more: string): string {
  const parts = filter.trim();
  return ` ${parts} `.includes(` ${more} `) ? parts : `${parts} ${more}`.trim();
}

export function complete(
  line: string,
  cursor: number,
  fields: FilterField[],
  seen: Record<string, string[]> = {},
): Suggestion[] {
  const { from, to } = termAt(line, cursor);
  const word = line.slice(from, to);
  const [, minus = '', rest = ''] = /^(-?)(.*)$/s.exec(word) ?? [];
  const colon = rest.indexOf(':');
  if (colon < 0) {
    const begins = fields.filter((field) => field.name.startsWith(rest));
    const holds = fields.filter((field) => !field.name.startsWith(rest) && rest.length > 1 && field.name.includes(rest));
    return [...begins, ...holds].map((field) => ({ insert: `${minus}${field.name}:`, label: field.name, detail: field.doc }));
  }
  const field = fields.find((one) => one.name === rest.slice(0, colon));
  if (!field) return [];
  const value = rest.slice(colon + 1).replaceAll('"', '').toLowerCase();
  const known = field.words.length > 0 ? field.words : (seen[field.name] ?? []);
  const values = known.filter((one) => one.toLowerCase().includes(value) && one.toLowerCase() !== value);
  const examples = value === '' && known.length === 0 ? field.examples : [];
  return [...values, ...examples].slice(0, 40).map((one) => ({
    insert: `${minus}${term(field.name, one)} `,
    label: one,
    detail: values.includes(one) ? '' : field.expects,
  }));
}

/** Flows of a host of the fleet: by its addresses, but those that mean another host elsewhere. Each may have a port. */
export function ofHost(addresses: string[]): string {
  const bare = addresses.map((one) => (/^\[(.*)\]:\d+$/.exec(one)?.[1] ?? one).replace(/^([^:]+):\d+$/, '$1'));
  return bare.filter((one) => !/^(127\.|::1$)/.test(one)).map((one) => term('ip', one)).join(' ');
}
