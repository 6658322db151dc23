// What the steps found out about the draft, and whether that still is about the draft as it stands.
import { ApiError, get, post } from '../../lib/api';
import type { PolicyCheck, PolicyDifferences, PolicyFault, PolicyOutcome, PolicyStatement, Rehearsal, FleetAnswer, FleetRehearsal, HostRehearsal } from '../../lib/types';
import type { Schema } from './completion';
import { draft, inForce } from './state.svelte';

export type Standing = 'todo' | 'done' | 'old' | 'wrong' | 'warn';

/** An answer about a text, with the text. */
class Answer<T> {
  result = $state.raw<T | undefined>(undefined);
  error = $state.raw<unknown>(undefined);
  about = $state('');
  busy = $state(false);

  async ask(text: string, question: () => Promise<T>): Promise<T | undefined> {
    this.busy = true;
    this.error = undefined;
    try {
      this.result = await question();
      this.about = text;
      return this.result;
    } catch (error) {
      this.error = error;
      this.result = undefined;
      this.about = text;
      return undefined;
    } finally {
      this.busy = false;
    }
  }

  clear(): void {
    this.result = undefined;
    this.error = undefined;
    this.about = '';
  }

  get fresh(): boolean {
    return this.result !== undefined && this.about === draft.text;
  }
}

/** A rehearsal of one host or of many. */
export interface Rehearsed {
  hosts: HostRehearsal[];
  hostsCut: number;
  cut: number;
  seen: number;
  /** Who answered, where all were asked. */
  answer?: FleetAnswer;
}

function ofOne(rehearsal: Rehearsal): Rehearsed {
  const cut = rehearsal.newly_refused ?? rehearsal.refused;
  return { hosts: [{ id: '', name: '', cut, rehearsal }], hostsCut: cut.flows > 0 ? 1 : 0, cut: cut.flows, seen: rehearsal.seen.flows };
}

function ofAll({ hosts, hosts_cut: hostsCut, cut, seen, answer }: FleetRehearsal): Rehearsed {
  return { hosts, hostsCut, cut: cut.flows, seen: seen.flows, answer };
}

class Work {
  readonly check = new Answer<PolicyCheck>();
  readonly diff = new Answer<PolicyDifferences>();
  readonly rehearsal = new Answer<Rehearsed>();
  readonly statement = new Answer<PolicyStatement>();
  readonly applied = new Answer<PolicyOutcome>();
  schema = $state.raw<Schema | undefined>(undefined);
  schemaError = $state.raw<unknown>(undefined);
  last = $state('24h');

  /** For the editor, too: what is wrong, as the agent reads it. */
  async runCheck(text = draft.text): Promise<PolicyFault[]> {
    if (text.trim() === '') return [];
    const found = await this.check.ask(text, () => post<PolicyCheck>('policy/check', { document: text }));
    return found?.problems ?? [];
  }

  async runDiff(): Promise<void> {
    const text = draft.text;
    await this.diff.ask(text, () => post<PolicyDifferences>('policy/diff', { document: text }));
  }

  async runRehearsal(everywhere: boolean): Promise<void> {
    const text = draft.text;
    const body = { document: text, last: this.last };
    await this.rehearsal.ask(text, async () =>
      everywhere ? ofAll(await post<FleetRehearsal>('fleet/rehearse', body)) : ofOne(await post<Rehearsal>('policy/rehearse', body)),
    );
  }

  async runStatement(): Promise<void> {
    const text = draft.text;
    await this.statement.ask(text, () => post<PolicyStatement>('policy/statement', { document: text }));
  }

  async apply(confirm: string): Promise<boolean> {
    const body = { document: draft.toApply, ...(confirm ? { confirm } : {}) };
    const done = await this.applied.ask(draft.text, () => post<PolicyOutcome>('policy/apply', body));
    await inForce.refresh();
    return done !== undefined;
  }

  async loadSchema(): Promise<void> {
    if (this.schema) return;
    try {
      this.schema = await get<Schema>('policy/schema');
      this.schemaError = undefined;
    } catch (error) {
      this.schemaError = error;
    }
  }

  /** The rehearsal says that somebody is cut who is not now. */
  get cuts(): number {
    return this.rehearsal.result?.cut ?? 0;
  }

  /** Who answered, where the fleet rehearsed. */
  get whole(): FleetAnswer | undefined {
    return this.rehearsal.result?.answer;
  }

  get checkStanding(): Standing {
    const { result, error, about } = this.check;
    if (error instanceof ApiError && error.status !== 404) return 'wrong';
    if (!result) return 'todo';
    if (about !== draft.text) return 'old';
    if (!result.sound) return 'wrong';
    return result.problems.length > 0 ? 'warn' : 'done';
  }

  get diffStanding(): Standing {
    if (this.diff.error) return 'wrong';
    if (!this.diff.result) return 'todo';
    return this.diff.fresh ? 'done' : 'old';
  }

  get rehearsalStanding(): Standing {
    if (this.rehearsal.error) return 'wrong';
    const { result } = this.rehearsal;
    if (!result) return 'todo';
    if (!this.rehearsal.fresh) return 'old';
    const onlyGuard = result.hosts.some((host) => host.rehearsal.guard.saved.flows > 0);
    const incomplete = result.answer?.complete === false;
    return this.cuts > 0 || onlyGuard || incomplete || result.seen === 0 ? 'warn' : 'done';
  }

  get applyStanding(): Standing {
    if (this.applied.about !== draft.text) return 'todo';
    return this.applied.error ? 'wrong' : this.applied.result ? 'done' : 'todo';
  }

  clear(): void {
    for (const one of [this.check, this.diff, this.rehearsal, this.statement, this.applied]) one.clear();
  }
}

export const work = new Work();
