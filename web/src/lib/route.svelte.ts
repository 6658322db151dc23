// Where in the page somebody is. It stands behind `#`, so that a link can be shared and the server needs no routes:
// `#/flows?filter=port%3A443`.

export const PAGES = ['overview', 'flows', 'map', 'time', 'alerts', 'policy', 'cluster', 'access'] as const;
export type PageName = (typeof PAGES)[number];

interface Route {
  page: PageName;
  query: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const page = PAGES.find((name) => name === path) ?? 'overview';
  return { page, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The address of a page with parameters; what is empty is left out. */
export function link(page: PageName, query: Record<string, string | number | undefined> = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') params.set(name, String(value));
  }
  const text = params.toString();
  return `#/${page}${text ? `?${text}` : ''}`;
}

class Router {
  current = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.current = parse(location.hash)));
  }

  get page(): PageName {
    return this.current.page;
  }

  /** A parameter of the page, or nothing. */
  param(name: string): string {
    return this.current.query[name] ?? '';
  }

  go(page: PageName, query: Record<string, string | number | undefined> = {}): void {
    location.hash = link(page, query);
  }

  /** Changes parameters of this page. It adds no step to go back to: a filter being typed is no place. */
  set(changes: Record<string, string | number | undefined>): void {
    const hash = link(this.page, { ...this.current.query, ...changes });
    if (hash === location.hash) return;
    history.replaceState(null, '', hash);
    this.current = parse(hash);
  }
}

export const route = new Router();
