// Questions to the agent and commands to it. Nothing else in the page speaks HTTP, and nothing here leaves the agent.
import type { Problem } from './types';

/** Parameters of a question; what is undefined or empty is left out. A list stands as often as it has values. */
export type Params = Record<string, string | number | boolean | undefined | null | string[]>;

/** An answer that is not what was asked for: what happened, and what to do. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 where the agent did not answer at all. */
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.detail);
  }

  get code(): string {
    return this.problem.error;
  }

  get hint(): string {
    return this.problem.hint;
  }
}

/** What commands carry beside their body. Set by `session`. */
export const credentials: { csrf: string | null } = { csrf: null };

/** Called when the agent wants a login. Set by `session`. */
export const onUnauthorized: { call: (() => void) | null } = { call: null };

export function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === null || value === '') continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  const text = query.toString();
  return `/api/v1/${path}${text ? `?${text}` : ''}`;
}

async function problem(response: Response): Promise<ApiError> {
  const fallback: Problem = {
    error: 'unreadable',
    detail: `the agent answered ${response.status}`,
    hint: 'see the log of the agent',
  };
  try {
    const body = (await response.json()) as Partial<Problem>;
    return new ApiError(response.status, { ...fallback, ...body });
  } catch {
    return new ApiError(response.status, fallback);
  }
}

async function ask<T>(method: string, url: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && credentials.csrf) headers['X-Hivewall-CSRF'] = credentials.csrf;
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: 'no-store',
      credentials: 'same-origin',
    });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError(0, {
      error: 'unreachable',
      detail: 'the agent does not answer',
      hint: 'see whether it runs: `systemctl status hivewall`',
    });
  }
  // The state of a failing agent is an answer, too.
  if (response.ok || (response.status === 503 && url.startsWith('/api/v1/health'))) {
    return (response.status === 204 ? undefined : await response.json()) as T;
  }
  const error = await problem(response);
  if (error.status === 401) onUnauthorized.call?.();
  throw error;
}

export const get = <T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> =>
  ask<T>('GET', address(path, params), undefined, signal);

export const post = <T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> =>
  ask<T>('POST', address(path), body, signal);

export const del = <T>(path: string, body: unknown = {}): Promise<T> => ask<T>('DELETE', address(path), body);
