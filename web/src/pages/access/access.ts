// What is worked out of users and the trail. Pure, so that it is tested without a page.
import type { Role, TrailEntry } from '../../lib/types';

export const ROLES: readonly Role[] = ['viewer', 'operator', 'admin'];

/** Fewest characters of a password. */
export const PASSWORD_MIN = 12;

/** What of a new password is not as it has to be; nothing when it is. */
export function passwordFault(password: string, again: string): 'short' | 'differs' | undefined {
  if ([...password].length < PASSWORD_MIN) return 'short';
  return password === again ? undefined : 'differs';
}

/** What was tried, in short: `POST bans`. */
export const action = (entry: TrailEntry): string => `${entry.method} ${entry.path.replace(/^\/api\/v1\//, '')}`;

/** How it went. */
export function outcome(entry: TrailEntry): 'done' | 'barred' | 'refused' | 'failed' {
  if (entry.status < 400) return 'done';
  if (entry.status === 401 || entry.status === 403 || entry.status === 429) return 'barred';
  return entry.status < 500 ? 'refused' : 'failed';
}

export interface TrailWanted {
  user: string;
  action: string;
  search: string;
}

export function trailOf(entries: TrailEntry[], wanted: TrailWanted): TrailEntry[] {
  const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
  return entries.filter((entry) => {
    if (wanted.user && (entry.user ?? '') !== wanted.user) return false;
    if (wanted.action && action(entry) !== wanted.action) return false;
    const all = `${entry.user ?? ''} ${entry.peer} ${entry.path} ${entry.detail} ${entry.status}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** The different values there are, in order. */
export const different = (values: string[]): string[] => [...new Set(values)].filter(Boolean).sort();
