// What the tabs of this page have in common: the policy in force, and the draft that is being written.
import { get } from '../../lib/api';
import { Poll } from '../../lib/poll.svelte';
import type { PolicyPage } from '../../lib/types';
import { stripHead, versionOf, withVersion } from './document';

/** While a change waits, seconds count. */
const POLICY_SECONDS = 2;
const KEY = 'hivewall-policy-draft';

export const inForce = new Poll<PolicyPage>((signal) => get('policy', {}, signal), POLICY_SECONDS);

/** Seconds left to confirm the change that waits; nothing when none does. */
export function secondsLeft(now: number): number | undefined {
  const pending = inForce.data?.policy.pending;
  if (!pending) return undefined;
  return Math.max(0, pending.seconds_left - Math.max(0, now - inForce.answered) / 1000);
}

interface Kept {
  text: string;
  /** What it was begun from, for the list of changes. */
  base: string;
  from: string;
}

/** The document that is being written. It outlives a reload of the page, not the tab. */
class Draft {
  text = $state('');
  base = $state('');
  /** Name and version of what it was begun from, or the name of a template. */
  from = $state('');
  /** Signed by others or here; good for exactly this draft. */
  signed = $state('');
  /** What was written into it by itself, for who came from an alert. Kept here, so that it outlives its own change. */
  notice = $state.raw<{ words: string; good: boolean; address: string } | undefined>(undefined);
  #known = false;

  constructor() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Kept | null;
      if (typeof kept?.text === 'string' && kept.from) {
        this.text = kept.text;
        this.base = kept.base ?? '';
        this.from = kept.from;
        this.#known = true;
      }
    } catch {
      // What another version kept is no draft of this one.
    }
  }

  /** Whether somebody began one. It may be empty: who selects all and writes anew goes on with it. */
  get begun(): boolean {
    return this.from !== '';
  }

  get changed(): boolean {
    return this.begun && this.text !== this.base;
  }

  get restored(): boolean {
    return this.#known;
  }

  write(text: string): void {
    if (text === this.text) return;
    this.text = text;
    this.signed = '';
    this.#keep();
  }

  /** Begins anew from the policy in force: its own text, the next version. */
  fromPolicy(page: PolicyPage): void {
    const text = stripHead(page.document ?? '');
    this.begin(withVersion(text, (versionOf(text) ?? 0) + 1), text, `${page.policy.name} ${page.policy.version}`);
  }

  begin(text: string, base: string, from: string): void {
    this.text = text;
    this.base = base;
    this.from = from;
    this.signed = '';
    this.#known = false;
    this.#keep();
  }

  drop(): void {
    this.notice = undefined;
    this.begin('', '', '');
    sessionStorage.removeItem(KEY);
  }

  /** What is sent to the agent: the signed form where there is one. */
  get toApply(): string {
    return this.signed || this.text;
  }

  #keep(): void {
    const kept: Kept = { text: this.text, base: this.base, from: this.from };
    try {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Too long for the browser: it lives as long as the page.
    }
  }
}

export const draft = new Draft();
