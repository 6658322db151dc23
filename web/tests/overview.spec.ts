// The overview: of one host and of a fleet, with links to what is behind each number; and the frame around all pages.
import { accessible, DEMO, expect, HOST, shots, test } from './support';

test('one host: traffic, talkers, policy and alerts, each with a way further', async ({ page }) => {
  await page.goto(HOST);
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Policy' })).toContainText('bed');
  await expect(page.getByRole('region', { name: 'Alerts' })).toContainText('10.55.0.9');
  await expect(page.getByRole('region', { name: 'Top talkers' })).toContainText('10.55.0.2');
  await expect(page.getByRole('region', { name: 'Processes' })).toContainText('curl');
  await accessible(page);
  await shots(page, 'overview-host');
  await page.getByRole('region', { name: 'Top talkers' }).getByRole('link', { name: /10\.55\.0\.2/ }).click();
  await expect(page).toHaveURL(/flows\?filter=ip%3A10\.55\.0\.2/);
});

test('a fleet: every host, and how many were heard', async ({ page }) => {
  await page.goto(DEMO);
  await expect(page.getByRole('main').getByText(/5 of 5 hosts/)).toBeVisible({ timeout: 30_000 });
  const hosts = page.getByRole('region', { name: 'Hosts' }).first();
  for (const name of ['web-1', 'db-1', 'cache-1', 'edge-1', 'web-2']) await expect(hosts).toContainText(name);
  await expect(page.getByRole('region', { name: 'Services' })).toContainText('443');
  await accessible(page);
  if (!process.env.CI) {
    // For the README's picture: traffic of more than a moment.
    test.slow();
    await page.waitForTimeout(30_000);
  }
  await shots(page, 'overview-fleet');
  await page.getByRole('button', { name: 'This host' }).click();
  await expect(page.getByRole('region', { name: 'Processes' })).toBeVisible();
});

test('keys: help, pages, and back out of a dialog', async ({ page }) => {
  await page.goto(HOST);
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Keys' });
  await expect(help).toContainText('Go to Flows');
  await page.keyboard.press('Escape');
  await expect(help).toBeHidden();
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  await expect(page).toHaveURL(/#\/policy/);
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await expect(page.getByRole('combobox', { name: 'Filter' })).toBeVisible();
  await page.keyboard.press('/');
  await expect(page.getByRole('combobox', { name: 'Filter' })).toBeFocused();
});

test('the theme that was chosen stays', async ({ page }) => {
  await page.goto(HOST);
  await page.getByLabel('Theme').selectOption('light');
  await page.reload();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
});
