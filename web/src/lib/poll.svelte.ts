// A question that is asked again and again while somebody looks.
//
// Never two at once; a hidden page asks nothing; an agent that does not answer is asked less and less often.
import { ApiError } from './api';

const WAIT_SECONDS_MAX = 30;

export class Poll<T> {
  data = $state.raw<T | undefined>(undefined);
  error = $state.raw<ApiError | undefined>(undefined);
  /** When the latest answer came; 0 before the first. */
  answered = $state(0);
  paused = $state(false);

  #ask: (signal: AbortSignal) => Promise<T>;
  #seconds: number;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort: AbortController | undefined;
  #running = false;
  #onVisible = (): void => {
    if (!document.hidden && this.#running) void this.#turn();
  };

  constructor(ask: (signal: AbortSignal) => Promise<T>, seconds: number) {
    this.#ask = ask;
    this.#seconds = seconds;
  }

  /** Begins to ask; gives what ends it, for `$effect`. */
  start(): () => void {
    this.#running = true;
    document.addEventListener('visibilitychange', this.#onVisible);
    void this.#turn();
    return () => this.stop();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#abort?.abort();
    document.removeEventListener('visibilitychange', this.#onVisible);
  }

  /** Asks now, whatever is under way: the question has changed. */
  async refresh(): Promise<void> {
    if (this.#running) await this.#turn(true);
  }

  async #turn(always = false): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    if (!always && (document.hidden || this.paused)) {
      this.#again(this.#seconds);
      return;
    }
    const abort = new AbortController();
    this.#abort = abort;
    try {
      const data = await this.#ask(abort.signal);
      if (abort.signal.aborted) return;
      this.data = data;
      this.error = undefined;
      this.answered = Date.now();
      this.#failures = 0;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#failures += 1;
      this.error = error instanceof ApiError ? error : new ApiError(0, { error: 'broken', detail: String(error), hint: 'report it as a fault of hivewall' });
    }
    this.#again(Math.min(this.#seconds * 2 ** Math.min(this.#failures, 5), Math.max(WAIT_SECONDS_MAX, this.#seconds)));
  }

  #again(seconds: number): void {
    if (this.#running) this.#timer = setTimeout(() => void this.#turn(), seconds * 1000);
  }
}
