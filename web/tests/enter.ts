// Opens a page as somebody who may do everything there.
import type { Page } from '@playwright/test';
import { logIn, tokenOf } from './support';

/** Logged in with the token of the agent's host. */
export async function enter(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await logIn(page, tokenOf(url));
}

/** As somebody who only looks, on the agent's own host. */
export async function look(page: Page, url: string): Promise<void> {
  await page.goto(url);
}
