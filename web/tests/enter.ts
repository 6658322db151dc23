// Opens a page as somebody who may do everything there.
import type { Page } from '@playwright/test';
import { logIn, token } from './support';

/** An agent without `/api/v1/session` knows its token alone: the page then gets a stand-in of the session, and the token. */
export async function enter(page: Page, url: string): Promise<void> {
  const asked = await page.request.get(new URL('/api/v1/session', url).href);
  if (asked.ok()) {
    await page.goto(url);
    await logIn(page, token());
    return;
  }
  await page.route('**/api/v1/session', (route) =>
    route.fulfill({ json: { user: 'bed', role: 'admin', how: 'token', login_required: false, csrf: null, expires: null, has_users: true, tls: false } }),
  );
  await page.route('**/api/v1/**', async (route) => {
    if (route.request().method() === 'GET') return route.fallback();
    await route.continue({ headers: { ...route.request().headers(), authorization: `Bearer ${token()}` } });
  });
  await page.goto(url);
}

/** As somebody who only looks, on the agent's own host. */
export async function look(page: Page, url: string): Promise<void> {
  const asked = await page.request.get(new URL('/api/v1/session', url).href);
  if (!asked.ok()) {
    await page.route('**/api/v1/session', (route) =>
      route.fulfill({ json: { user: null, role: 'viewer', how: 'loopback', login_required: false, csrf: null, expires: null, has_users: false, tls: false } }),
    );
  }
  await page.goto(url);
}
