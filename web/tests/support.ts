// What every browser test has: the agents' addresses, a page that fails the test when it says an error or asks anybody
// but its agent, the accessibility check, and screenshots at two widths.
import { AxeBuilder } from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';
import { mkdirSync, readFileSync } from 'node:fs';

/** Where the agents of `bed.sh` are; another address (a development server before one of them) can stand in. */
export const DEMO = process.env.HIVEWALL_DEMO ?? 'http://127.0.0.1:7801';
export const REPLAY = process.env.HIVEWALL_REPLAY ?? 'http://127.0.0.1:7802';
export const HOST = process.env.HIVEWALL_HOST ?? 'http://127.0.0.1:7803';

const BED = process.env.HIVEWALL_BED_DIR ?? '/tmp/hwweb';

/** The token of the agent at `HOST`. */
export const token = (): string => readFileSync(`${BED}/token`, 'utf8').trim();

/** The token of the agent that a page is of. */
export const tokenOf = (url: string): string => {
  const file = url.startsWith(DEMO) ? 'demo-token' : 'token';
  return readFileSync(`${BED}/${file}`, 'utf8').trim();
};

export const test = base.extend<{ quiet: { allow: (pattern: RegExp) => void } }>({
  // Errors that a test brings about on purpose are allowed by their text.
  quiet: [
    async ({ page }, use) => {
      const said: string[] = [];
      const allowed: RegExp[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') said.push(`${message.text()} (${message.location().url})`);
      });
      page.on('pageerror', (error) => said.push(String(error)));
      page.on('request', (request) => {
        const of = new URL(page.url() === 'about:blank' ? request.url() : page.url()).origin;
        const to = request.url();
        if (!to.startsWith(of) && !/^(data|blob):/.test(to)) said.push(`a request left the agent: ${to}`);
      });
      await use({ allow: (pattern) => allowed.push(pattern) });
      expect(said.filter((line) => !allowed.some((pattern) => pattern.test(line)))).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };

/** No violation of WCAG 2.2 A and AA that axe can find, in both themes. */
export async function accessible(page: Page): Promise<void> {
  const before = await page.evaluate(() => document.documentElement.dataset.theme);
  for (const theme of ['dark', 'light']) {
    await page.evaluate((to) => (document.documentElement.dataset.theme = to), theme);
    const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze();
    expect(found.violations.map((one) => `${theme}: ${one.id}: ${one.nodes.map((node) => node.html).join(' | ')}`)).toEqual([]);
  }
  await page.evaluate((to) => (document.documentElement.dataset.theme = to ?? 'dark'), before);
}

/** Screenshots at the width of a desk and of a telephone, below `test-results/shots`. */
export async function shots(page: Page, name: string): Promise<void> {
  mkdirSync('test-results/shots', { recursive: true });
  const before = page.viewportSize();
  for (const [kind, width, height] of [['desk', 1400, 900], ['phone', 390, 844]] as const) {
    await page.setViewportSize({ width, height });
    await page.waitForTimeout(400);
    await page.screenshot({ path: `test-results/shots/${name}-${kind}.png` });
    // Nothing may stand beyond the edge of a narrow page; tables scroll inside themselves.
    expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBeLessThanOrEqual(0);
  }
  if (before) await page.setViewportSize(before);
}

/** Logs in at the page's agent with the host's token. */
export async function logIn(page: Page, with_: string): Promise<void> {
  await page.getByRole('banner').getByRole('button', { name: 'Log in' }).click();
  const dialog = page.getByRole('dialog', { name: 'Log in' });
  const other = dialog.getByRole('button', { name: 'With a token instead' });
  if (await other.isVisible()) await other.click();
  await dialog.getByLabel('Token').fill(with_);
  await dialog.getByRole('button', { name: 'Log in', exact: true }).click();
  await expect(page.getByRole('banner').getByRole('button', { name: 'Log out' })).toBeVisible();
}
