// Who is at the page, and what they may do. The cookie is the browser's; nothing secret is kept here but the CSRF word.
import { credentials, del, get, onUnauthorized, post } from './api';

export type Role = 'viewer' | 'operator' | 'admin';

export interface SessionState {
  user: string | null;
  role: Role | null;
  how: 'loopback' | 'session' | 'token' | null;
  login_required: boolean;
  csrf: string | null;
  expires: string | null;
  has_users: boolean;
  tls: boolean;
}

const RANK: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 };

class Session {
  state = $state.raw<SessionState | undefined>(undefined);
  /** Whether the login is open, and why it was opened. */
  asking = $state<'' | 'wanted' | 'needed'>('');

  constructor() {
    onUnauthorized.call = () => {
      if (!this.asking) this.asking = 'needed';
      void this.load();
    };
  }

  #take(state: SessionState): void {
    this.state = state;
    credentials.csrf = state.csrf;
  }

  async load(): Promise<void> {
    this.#take(await get<SessionState>('session'));
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
    this.#take(await post<SessionState>('session', by));
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
