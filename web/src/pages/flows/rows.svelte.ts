// The rows that the table has: pages of the agent's answer, fetched when they come into sight, a bounded number kept.
//
// The first page is asked again and again while somebody looks at it; whoever scrolled away reads on undisturbed. What
// stood there stays until the answer to a new question has come.
import { get, type Params } from '../../lib/api';
import { Poll } from '../../lib/poll.svelte';
import type { FleetAnswer, FleetFlowPage, FlowPage, HostFlow } from '../../lib/types';

export interface Question {
  fleet: boolean;
  params: Params;
}

interface Page {
  rows: HostFlow[];
  matched: number;
  searched: number;
  time: string;
  answer?: FleetAnswer;
  reachesBack?: string;
}

const PAGE_ROWS = 200;
const PAGES_MAX = 25;
/** A quick scroll passes pages that nobody reads. */
const SCROLL_MS = 40;
const REFRESH_SECONDS = 2;

export async function askFlows(question: Question, limit: number, offset: number, signal?: AbortSignal): Promise<Page> {
  const params = { ...question.params, limit, offset: offset || undefined };
  if (question.fleet) {
    const page = await get<FleetFlowPage>('fleet/flows', params, signal);
    return { rows: page.flows, matched: page.matched, searched: page.searched, time: page.time, answer: page.answer };
  }
  const page = await get<FlowPage>('flows', params, signal);
  const rows = page.flows.map((flow) => ({ flow }));
  return { rows, matched: page.matched, searched: page.searched, time: page.time, reachesBack: page.reaches_back_to ?? undefined };
}

export class FlowRows {
  /** The latest first page. */
  head = $state.raw<Page | undefined>(undefined);
  /** Whether what stands there answers a question that is no longer asked. */
  stale = $state(false);
  /** Counts each change of what is held. */
  version = $state(0);
  readonly poll = new Poll<Page>((signal) => this.#first(signal), REFRESH_SECONDS);

  #question: Question | undefined;
  #pages = new Map<number, HostFlow[]>();
  #asked = new Map<number, AbortController>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #seen = { first: 0, last: 0 };
  /** Whether the top is in sight. */
  atTop = $state(true);

  /** `onanswer` is told of each page that came, and whether it is the first of another question. */
  constructor(private readonly onanswer: (fresh: boolean) => void) {
    this.poll.paused = true;
  }

  get count(): number {
    return this.head?.matched ?? 0;
  }

  /** Begins; gives what ends it. */
  start(): () => void {
    const end = this.poll.start();
    return () => {
      end();
      this.#drop();
      clearTimeout(this.#timer);
    };
  }

  /** Asks something else. */
  ask(question: Question): void {
    this.#question = question;
    this.stale = true;
    this.#drop();
    void this.poll.refresh();
  }

  async #first(signal: AbortSignal): Promise<Page> {
    const question = this.#question as Question;
    const page = await askFlows(question, PAGE_ROWS, 0, signal);
    if (signal.aborted) return page;
    const fresh = this.stale;
    this.#drop();
    this.#pages = new Map([[0, page.rows]]);
    this.head = page;
    this.stale = false;
    this.version += 1;
    this.onanswer(fresh);
    return page;
  }

  row(index: number): HostFlow | undefined {
    void this.version;
    return this.#pages.get(Math.floor(index / PAGE_ROWS))?.[index % PAGE_ROWS];
  }

  /** All rows that are held, with their places. */
  *held(): Generator<[number, HostFlow]> {
    void this.version;
    for (const [page, rows] of this.#pages) for (const [at, row] of rows.entries()) yield [page * PAGE_ROWS + at, row];
  }

  /** Rows from `first` up to `last` are in sight. */
  need(first: number, last: number): void {
    // Whoever calls this in an effect wants to be asked again when pages went.
    void this.version;
    this.#seen = { first, last };
    if (this.atTop !== (first === 0)) this.atTop = first === 0;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), this.#asked.size > 0 || !this.row(first) ? SCROLL_MS : 0);
  }

  #fetch(): void {
    if (this.stale || !this.#question) return;
    const from = Math.floor(this.#seen.first / PAGE_ROWS);
    const to = Math.floor(Math.max(this.#seen.first, this.#seen.last - 1) / PAGE_ROWS);
    for (const [page, abort] of this.#asked) {
      if (page >= from && page <= to) continue;
      abort.abort();
      this.#asked.delete(page);
    }
    for (let page = from; page <= to; page += 1) {
      if (!this.#pages.has(page) && !this.#asked.has(page)) void this.#page(page, this.#question);
    }
  }

  async #page(page: number, question: Question): Promise<void> {
    const abort = new AbortController();
    this.#asked.set(page, abort);
    try {
      const answer = await askFlows(question, PAGE_ROWS, page * PAGE_ROWS, abort.signal);
      if (abort.signal.aborted) return;
      this.#pages.set(page, answer.rows);
      this.#forget(page);
      this.version += 1;
      this.onanswer(false);
    } catch {
      // The first page's question says what is wrong; this one is asked again with the next scroll.
    } finally {
      if (this.#asked.get(page) === abort) this.#asked.delete(page);
    }
  }

  /** Lets go of the pages farthest from `near`, but the first. */
  #forget(near: number): void {
    const far = [...this.#pages.keys()].filter((page) => page !== 0).sort((a, b) => Math.abs(b - near) - Math.abs(a - near));
    for (const page of far.slice(0, Math.max(0, this.#pages.size - PAGES_MAX))) this.#pages.delete(page);
  }

  #drop(): void {
    for (const abort of this.#asked.values()) abort.abort();
    this.#asked.clear();
  }
}
