// Who is at the page, and what they may do. The cookie is the browser's; nothing secret is kept here but the CSRF word.
import { credentials, del, get, onUnauthorized, post } from './api';
import type { Role, SessionView } from './types';

export type { Role };

const RANK: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 };

class Session {
  state = $state.raw<SessionView | undefined>(undefined);
  /** Whether the login is open, and why it was opened. */
  asking = $state<'' | 'wanted' | 'needed'>('');

  constructor() {
    onUnauthorized.call = () => {
      if (!this.asking) this.asking = 'needed';
      void this.load();
    };
  }

  #take(state: SessionView): void {
    this.state = state;
    credentials.csrf = state.csrf ?? null;
  }

  async load(): Promise<void> {
    this.#take(await get<SessionView>('session'));
    if (this.state?.login_required && !this.state.role) this.asking = 'needed';
  }

  /** Uses the one-time code of `hivewall login`, which stands in the address, and takes it out of there. */
  async codeFromAddress(): Promise<void> {
    const code = /^#login=([^&]+)$/.exec(location.hash)?.[1];
    if (!code) return;
    history.replaceState(null, '', '#/overview');
    await this.login({ code: decodeURIComponent(code) });
  }

  async login(by: { user: string; password: string } | { code: string } | { token: string }): Promise<void> {
    this.#take(await post<SessionView>('session', by));
    this.asking = '';
  }

  async logout(): Promise<void> {
    await del('session');
    await this.load();
  }

  /** Whether somebody of this role or a higher one is at the page. */
  may(role: Role): boolean {
    const own = this.state?.role;
    return own !== undefined && own !== null && RANK[own] >= RANK[role];
  }

  /** The same, for what is to be done now: opens the login where it is missing. */
  need(role: Role): boolean {
    if (this.may(role)) return true;
    this.asking = 'wanted';
    return false;
  }
}

export const session = new Session();
