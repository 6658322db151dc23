// What tables and bars of these tabs are made of, and the links behind their numbers.
import { term } from '../../lib/complete';
import { count } from '../../lib/format';
import { link } from '../../lib/route.svelte';
import { parts } from './series';

export interface Head {
  title: string;
  number?: boolean;
  help?: string;
  /** Text that may break into several lines. */
  wide?: boolean;
}

export type Cell = string | { text: string; href?: string; title?: string; tone?: 'good' | 'warn' | 'bad' | 'dim' };

/** The flows with these values of these fields. */
export function flows(...pairs: [string, string | number][]): string {
  return link('flows', { filter: pairs.map(([field, value]) => term(field, value)).join(' ') });
}

interface Bar {
  key: string;
  label?: string;
  value: number;
  shown: string;
  href?: string;
  title?: string;
}

/** A map of counts as bars, each with the flows behind it. */
export function bars(of: Record<string, number>, field?: string, most = 12): Bar[] {
  return parts(of).slice(0, most).map(({ key, value }) => ({ key, value, shown: count(value), href: field && key ? flows([field, key]) : undefined }));
}

/** Names and how often, as bars. An empty name is the root of DNS, or none. */
export function names(of: { name: string; count: number }[], field: string, nameless: string, most = 12): Bar[] {
  return of.slice(0, most).map((one) => ({
    key: one.name || nameless,
    value: one.count,
    shown: count(one.count),
    title: one.name,
    href: one.name ? flows([field, one.name]) : undefined,
  }));
}
