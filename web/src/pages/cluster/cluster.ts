// What is worked out of a fleet before it is shown. Pure, so that it is tested without a page.
import type { FleetView, HostDigest, MemberPage } from '../../lib/types';

export type Member = MemberPage['members'][number];
export type Link = FleetView['links'][number];

/** A member, and what its snapshot comes down to where it answered. */
export interface Row {
  member: Member;
  digest?: HostDigest;
}

const STATES: Member['state'][] = ['down', 'suspect', 'alive', 'left', 'revoked'];

/** Those that want looking at first, then by name. */
export function rows(members: Member[], digests: HostDigest[]): Row[] {
  const by = new Map(digests.map((digest) => [digest.id, digest]));
  const worry = ({ member, digest }: Row): number => STATES.indexOf(member.state) * 2 - ((digest?.problems.length ?? 0) > 0 ? 1 : 0);
  return members
    .map((member) => ({ member, digest: by.get(member.id) }))
    .sort((a, b) => worry(a) - worry(b) || a.member.name.localeCompare(b.member.name));
}

/** Versions and how many members run each, most first; those whose version is not known are left out. */
export function versions(members: Member[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { agent, state } of members) {
    if (agent && (state === 'alive' || state === 'suspect')) counts.set(agent, (counts.get(agent) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

/** Whether a search fits: each of its words has to stand in name, id, state, version, labels, or addresses. */
export function fits({ member, digest }: Row, search: string): boolean {
  const labels = Object.entries(member.labels).map(([name, value]) => `${name}=${value}`);
  const all = [member.name, member.id, member.state, member.agent, member.policy.stand, digest?.policy ?? '', ...labels, ...member.addresses, ...(digest?.problems ?? [])]
    .join('\n')
    .toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

/** What is typed to confirm that a host goes: its name, or its id where it has none. */
export const confirmWord = (member: Member): string => member.name || member.id;
