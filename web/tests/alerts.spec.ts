// Alerts in the page, of a real agent whose detectors saw a port scan from 10.55.0.9.
import { enter, look } from './enter';
import { accessible, REPLAY, expect, HOST, shots, test, token } from './support';
import type { APIRequestContext, Page } from '@playwright/test';

const SCANNER = '10.55.0.9';
const scan = (page: Page) => page.locator('[data-alert]', { hasText: 'Port scan' }).filter({ hasText: SCANNER });
const details = (page: Page) => page.getByRole('region', { name: 'Port scan' });

/** A command past the page, to put things back. */
async function send(request: APIRequestContext, method: 'POST' | 'DELETE', path: string, data: unknown): Promise<void> {
  await request.fetch(`${HOST}/api/v1/${path}`, { method, data, headers: { authorization: `Bearer ${token()}` } });
}


test.afterEach(async ({ request }) => {
  const { mutes } = (await (await request.get(`${HOST}/api/v1/alerts/mutes`)).json()) as { mutes: { id: string }[] };
  for (const { id } of mutes) await send(request, 'DELETE', 'alerts/mutes', { id });
  await send(request, 'DELETE', 'bans', { prefix: SCANNER });
});

test('the scan is listed, opens, and shows what it rests on', async ({ page }) => {
  await look(page, `${HOST}/#/alerts?state=all`);
  await scan(page).click();
  await expect(details(page)).toContainText(`${SCANNER} tried`);
  await expect(details(page).getByRole('link', { name: 'T1046 Network Service Discovery' })).toHaveAttribute('href', 'https://attack.mitre.org/techniques/T1046/');
  await expect(details(page).getByRole('row', { name: /^ports/ })).toContainText(/\d{3}/);
  await expect(details(page)).toContainText('may be spoofed');
  const flow = details(page).locator('a[href*="flow-id"]').first();
  await expect(flow).toHaveAttribute('href', /#\/flows\?filter=flow-id%3A\d+/);
  await expect(details(page).getByRole('link', { name: 'Block this…' })).toHaveAttribute('href', /#\/policy\?block=10\.55\.0\.9&why=[0-9a-f]{12}/);
  await accessible(page);
  await shots(page, 'alerts-details');
});

test('severity, search, groups and the state narrow the list', async ({ page }) => {
  await look(page, `${HOST}/#/alerts?state=all`);
  await expect(scan(page)).toBeVisible();
  await page.getByRole('button', { name: /^medium/ }).click();
  await expect(page.locator('[data-alert]').filter({ has: page.getByText('info', { exact: true }) })).toHaveCount(0);
  await expect(scan(page)).toBeVisible();
  await page.getByRole('button', { name: /^medium/ }).click();
  await page.getByRole('searchbox', { name: 'Search' }).fill('scan 10.55.0.9');
  await expect(page.locator('[data-alert]')).toHaveCount(await scan(page).count());
  await page.getByRole('searchbox', { name: 'Search' }).fill('no such thing');
  await expect(page.getByText('None of the alerts fits.')).toBeVisible();
  await page.getByRole('button', { name: /^Show all \d/ }).click();
  await page.getByLabel('Group by').selectOption('source');
  const group = page.getByRole('button', { name: new RegExp(`${SCANNER.replaceAll('.', '\\.')} 1 alert`) });
  await expect(group).toHaveAttribute('aria-expanded', 'true');
  await shots(page, 'alerts-groups');
  await group.press('Enter');
  await expect(scan(page)).toHaveCount(0);
});

test('a span drawn in the timeline narrows the list to what went on in it', async ({ page }) => {
  await look(page, `${HOST}/#/alerts?state=all`);
  await expect(scan(page)).toBeVisible();
  const box = (await page.locator('.u-over').boundingBox())!;
  // Its left end, before the agent began: the axis shows ten minutes at least.
  await page.mouse.move(box.x + 4, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.04, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await expect(page.getByText(/^Seen between/)).toBeVisible();
  await expect(scan(page)).toHaveCount(0);
  await page.getByRole('button', { name: 'Show all times and sources' }).click();
  await expect(scan(page)).toBeVisible();
});

test('keys: j and k go through alerts, Enter opens, s silences, Escape closes', async ({ page }) => {
  await enter(page, `${HOST}/#/alerts?state=all`);
  await expect(scan(page)).toBeVisible();
  await page.keyboard.press('j');
  const first = page.locator('[data-alert]').first();
  await expect(first).toBeFocused();
  await page.keyboard.press('j');
  await expect(page.locator('[data-alert]').nth(1)).toBeFocused();
  await page.keyboard.press('k');
  await expect(first).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/id=/);
  await page.keyboard.press('s');
  const dialog = page.getByRole('dialog', { name: 'Silence' });
  await expect(dialog).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await page.keyboard.press('Escape');
  await expect(page).not.toHaveURL(/id=/);
  await expect(first).toBeFocused();
});

test('silenced: says what exactly beforehand, stands under Muted, and is heard again', async ({ page }) => {
  await enter(page, `${HOST}/#/alerts?state=all`);
  await scan(page).click();
  await details(page).getByRole('button', { name: 'Silence…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Silence' });
  await expect(dialog.getByRole('status')).toContainText(`Port scan from ${SCANNER}`);
  await expect(dialog.getByRole('status')).toContainText('It fits 1 of');
  await dialog.getByLabel('Source: an address or a prefix').fill('10.55.0.0/24');
  await expect(dialog.getByRole('status')).toContainText('from 10.55.0.0/24');
  await dialog.getByText('8 hours').click();
  await dialog.getByLabel('Note').fill('our own scanner');
  await accessible(page);
  await shots(page, 'alerts-silence');
  await dialog.getByRole('button', { name: 'Silence', exact: true }).click();
  await expect(dialog).toBeHidden();
  await page.getByRole('navigation', { name: 'Parts of this page' }).getByRole('link', { name: /^Muted/ }).click();
  const row = page.getByRole('row', { name: /port_scan from 10\.55\.0\.0\/24/ });
  await expect(row).toContainText('our own scanner');
  await shots(page, 'alerts-muted');
  await row.getByRole('button', { name: /^Hear it again/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Hear it again' }).click();
  await expect(page.getByText('Nothing is muted.')).toBeVisible();
});

test('excluded by keyboard: nothing chosen is refused, the port and source make it narrow', async ({ page }) => {
  await enter(page, `${HOST}/#/alerts?state=all`);
  await scan(page).focus();
  await page.keyboard.press('Enter');
  const button = details(page).getByRole('button', { name: 'Exclude…' });
  await button.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Exclude' });
  await dialog.getByLabel('Detector').press(' ');
  await dialog.getByLabel('Source', { exact: true }).press(' ');
  await expect(dialog.getByRole('button', { name: 'Exclude', exact: true })).toBeDisabled();
  await dialog.getByLabel('Detector').press(' ');
  await dialog.getByLabel('Source', { exact: true }).press(' ');
  await dialog.getByRole('button', { name: 'Exclude', exact: true }).press('Enter');
  await expect(dialog).toBeHidden();
  await expect(button).toBeFocused();
  await page.goto(`${HOST}/#/alerts?tab=muted`);
  await expect(page.getByRole('row', { name: /excluded port_scan from 10\.55\.0\.9/ })).toContainText('for good');
});

test('acknowledged with the key a: it is handled, with who and what they said', async ({ page }) => {
  // That of a beacon: the scan is for the other tests. An acknowledgement cannot be taken back.
  await enter(page, `${HOST}/#/alerts?state=all&q=beacon`);
  const beacon = page.locator('[data-alert]').filter({ hasText: 'Beacon' }).last();
  await beacon.click();
  const shown = page.getByRole('region', { name: 'Beacon' });
  await expect(shown).toBeVisible();
  if (await shown.getByRole('button', { name: 'Acknowledge' }).isEnabled()) {
    await page.keyboard.press('a');
    const dialog = page.getByRole('dialog', { name: 'Acknowledge' });
    await expect(dialog.getByLabel('Note')).toBeFocused();
    await page.keyboard.type('the watchdog');
    await page.keyboard.press('Enter');
    await expect(dialog).toBeHidden();
  }
  await expect(shown).toContainText(/Acknowledged by .*the watchdog/s);
  await expect(beacon).toContainText('acknowledged');
});

test('a ban says first what it touches and that the source may be spoofed, and then holds', async ({ page, request }) => {
  await enter(page, `${HOST}/#/alerts?state=all`);
  await scan(page).click();
  await details(page).getByRole('button', { name: 'Ban for 1 h…' }).click();
  const dialog = page.getByRole('dialog', { name: `Ban ${SCANNER}` });
  await expect(dialog.getByRole('status')).toContainText(/flows? of it known now/);
  await expect(dialog.getByRole('alert')).toContainText('may be spoofed');
  await accessible(page);
  await shots(page, 'alerts-ban');
  const go = dialog.getByRole('button', { name: 'Ban for 1 hour' });
  await expect(go).toBeDisabled();
  await dialog.getByLabel('I have read this').check();
  await go.click();
  await expect(dialog).toBeHidden();
  // The list is taken about once a second.
  await expect
    .poll(async () => {
      const { bans } = (await (await request.get(`${HOST}/api/v1/bans`)).json()) as { bans: { prefix: string; reason: string }[] };
      return bans.find((ban) => ban.prefix.startsWith(SCANNER))?.reason ?? '';
    })
    .toContain('Port scan');
});

test('a ban of this host says so', async ({ page }) => {
  await enter(page, `${HOST}/#/alerts?state=all&q=beacon`);
  await page.locator('[data-alert]', { hasText: '10.55.0.1 →' }).first().click();
  await page.getByRole('button', { name: 'Ban for 1 h…' }).click();
  await expect(page.getByRole('dialog').getByRole('alert')).toContainText('10.55.0.1 is an address of this host');
});

test('detectors say what they catch and miss; delivery says what to configure', async ({ page }) => {
  await look(page, `${HOST}/#/alerts?tab=detectors`);
  await page.getByText('port_scan', { exact: true }).click();
  await expect(page.locator('[data-detector="port_scan"]')).toContainText('port_scan.ports 20 ports');
  await expect(page.getByText(/^One source that tries many ports/)).toBeVisible();
  await accessible(page);
  await shots(page, 'alerts-detectors');
  await page.getByRole('navigation', { name: 'Parts of this page' }).getByRole('link', { name: /^Delivery/ }).click();
  await expect(page.getByText('Nobody is told of alerts.')).toBeVisible();
  await shots(page, 'alerts-delivery');
});

test('whoever only looks is asked to log in before a command', async ({ page }) => {
  await look(page, `${HOST}/#/alerts?state=all`);
  await scan(page).click();
  await details(page).getByRole('button', { name: 'Silence…' }).click();
  await expect(page.getByRole('dialog', { name: 'Log in' })).toBeVisible();
});

test('without detectors the page says so and what to do', async ({ page, quiet }) => {
  quiet.allow(/404/);
  await look(page, `${REPLAY}/#/alerts`);
  await expect(page.getByText('Detectors are off on this host.')).toBeVisible();
  await expect(page.getByText('detect.enabled')).toBeVisible();
  await shots(page, 'alerts-off');
});
