// Commands of this page: who may give them, and how a change is confirmed over a new connection.
import { ApiError, get, post } from '../../lib/api';
import { session, type Role } from '../../lib/session.svelte';
import type { PolicyOutcome, PolicyPage } from '../../lib/types';
import { text } from '../../text';

/** For a button: greyed for who is logged in and may not; who is not logged in is asked to. */
export function gate(role: Role): { disabled: boolean; title: string | undefined } {
  const refused = Boolean(session.state?.user) && !session.may(role);
  return { disabled: refused, title: refused ? text.policy.needs(role) : undefined };
}

/** Connections that a browser keeps to one host. */
const CONNECTIONS = 6;
/** How long the agent may take to begin to answer. */
const ANSWER_MS = 1500;
const TRIES = 4;

/**
 * Makes the browser open a new connection for what it asks next. No page can ask for one, but a stream that is broken off
 * takes its connection with it: so all that are open are taken by streams, and these are broken off.
 */
async function dropConnections(): Promise<void> {
  const stop = new AbortController();
  const streams = Array.from({ length: CONNECTIONS }, () =>
    fetch('/api/v1/flows/live', { signal: stop.signal, cache: 'no-store', credentials: 'same-origin' }).catch(() => undefined),
  );
  await Promise.race([Promise.all(streams), new Promise((done) => setTimeout(done, ANSWER_MS))]);
  stop.abort();
}

/** Confirms the change that waits. Where the agent finds the connection too old, over another one. */
export async function confirmChange(): Promise<PolicyOutcome> {
  for (let tried = 1; ; tried += 1) {
    await dropConnections();
    try {
      return await post<PolicyOutcome>('policy/confirm');
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409 || tried >= TRIES) throw error;
      // Nothing waits any more: trying again would not help.
      const page = await get<PolicyPage>('policy');
      if (!page.policy.pending) throw error;
    }
  }
}

/** The highest version that this host ever took up, where a refusal names it. */
export function highestIn(error: unknown): number | undefined {
  const found = error instanceof ApiError ? /not above (\d+)|version (\d+) was taken up before/.exec(error.message) : null;
  return found ? Number(found[1] ?? found[2]) : undefined;
}
