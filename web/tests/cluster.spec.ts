// The fleet in the page: demo fleets, and a real host that is in no fleet.
import { enter, look } from './enter';
import { accessible, DEMO, expect, HOST, shots, test } from './support';


test('members are listed with state, version and traffic; one opens by mouse and by keyboard', async ({ page }) => {
  await look(page, `${DEMO}/#/cluster`);
  const table = page.getByRole('grid', { name: 'Members' });
  await expect(table.getByRole('row')).toHaveCount(6);
  const row = table.getByRole('row', { name: /cache-1/ });
  await expect(row).toContainText('alive');
  await expect(row).toContainText('role=cache');
  await expect(row).toContainText(/bit\/s/);
  await row.click();
  const details = page.getByRole('region', { name: 'Member cache-1' });
  await expect(details).toContainText(/[0-9a-f]{32}/);
  await expect(details.getByRole('link', { name: 'env=demo' })).toBeVisible();
  await shots(page, 'cluster');
  await accessible(page);
  await details.getByRole('button', { name: 'Close' }).click();
  await table.focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('region', { name: /^Member db-1/ })).toBeVisible();
  await page.screenshot({ path: 'test-results/shots/cluster-full.png', fullPage: true });
});

test('a search narrows the members, by label too', async ({ page }) => {
  await look(page, `${DEMO}/#/cluster`);
  await page.getByRole('searchbox').fill('role=web');
  await expect(page.getByText('2 of 5 members')).toBeVisible();
  await page.getByRole('searchbox').fill('nobody');
  await expect(page.getByText('No member fits.')).toBeVisible();
});

test('links, and what this host says, are shown', async ({ page }) => {
  await look(page, `${DEMO}/#/cluster`);
  const links = page.getByRole('region', { name: 'Links', exact: true }).last();
  await expect(links.getByRole('row', { name: /web-1.*(us|ms|s)/ }).first()).toBeVisible();
  await expect(page.getByRole('region', { name: 'What this host says to the others' })).toContainText(/datagram/);
});

test('an invitation is asked for by keyboard; what is to be pasted is shown', async ({ page }) => {
  await enter(page, `${DEMO}/#/cluster`);
  const invite = page.getByRole('button', { name: 'Invite…' });
  await invite.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Invite hosts' });
  await accessible(page);
  await shots(page, 'cluster-invite');
  await dialog.getByRole('button', { name: 'Make the invitation' }).press('Enter');
  await expect(page.getByText(/sudo hivewall cluster join/).first()).toBeVisible();
});

test('an invitation is shown once, with the command to paste', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await enter(page, `${DEMO}/#/cluster`);
  const asked = page.waitForRequest((request) => request.url().endsWith('/api/v1/fleet/invitations') && request.method() === 'POST');
  await page.getByRole('button', { name: 'Invite…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Invite hosts' });
  await dialog.getByLabel('For how many hosts').fill('3');
  await dialog.getByLabel('Holds for').selectOption('1h');
  await dialog.getByRole('button', { name: 'Make the invitation' }).click();
  expect((await asked).postDataJSON()).toMatchObject({ uses: 3, ttl: '1h' });
  const shown = page.getByRole('dialog', { name: 'Paste this on the new host' });
  await expect(shown.locator('code')).toHaveText(/^sudo hivewall cluster join '[\w:+\/=.-]{20,}'$/);
  const line = await shown.locator('code').innerText();
  await shots(page, 'cluster-issued');
  await shown.getByRole('button', { name: /^Copy/ }).click();
  await expect(shown.getByRole('button', { name: /^Copy/ })).toHaveText('Copied');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(line);
  await shown.getByRole('button', { name: 'I have it' }).click();
  await expect(page.getByText(line)).toHaveCount(0);
});

test('a host goes only when its name is typed, and the refusal of an agent without the root key is shown', async ({ page, quiet }) => {
  quiet.allow(/409/);
  await enter(page, `${DEMO}/#/cluster`);
  await page.getByRole('row', { name: /db-1/ }).first().click();
  await page.getByRole('button', { name: 'Remove from the fleet…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Remove db-1' });
  const go = dialog.getByRole('button', { name: 'Remove for good' });
  await expect(go).toBeDisabled();
  await dialog.getByLabel('Type db-1 to confirm').fill('db-2');
  await expect(go).toBeDisabled();
  await dialog.getByLabel('Type db-1 to confirm').fill('db-1');
  await dialog.getByLabel('Reason, for the log').fill('sold');
  await shots(page, 'cluster-remove');
  await go.click();
  await expect(dialog.getByRole('alert')).toContainText("only the root's key removes a host");
});

test('a host of another version, one that is down, and one with problems stand out', async ({ page }) => {
  await page.route('**/api/v1/fleet/members*', async (route) => {
    const answer = await (await route.fetch()).json();
    answer.members[0].agent = '0.0.9';
    answer.members[1].state = 'down';
    await route.fulfill({ json: answer });
  });
  await page.route('**/api/v1/fleet/snapshot', async (route) => {
    const answer = await (await route.fetch()).json();
    for (const host of answer.hosts) if (host.name === 'edge-1') host.problems = ['the ring of eth0 is full'];
    await route.fulfill({ json: answer });
  });
  await look(page, `${DEMO}/#/cluster`);
  const table = page.getByRole('grid', { name: 'Members' });
  await expect(table.getByRole('row').nth(1)).toContainText('down');
  await expect(table.getByRole('row').nth(2)).toContainText('edge-1');
  await expect(table.getByTitle('Most run 0.1.0')).toHaveText('0.0.9');
  await shots(page, 'cluster-trouble');
});

test('in no fleet the page says how to begin and how to join', async ({ page }) => {
  await look(page, `${HOST}/#/cluster`);
  await expect(page.getByText('This host is in no fleet.')).toBeVisible();
  await expect(page.getByText('sudo hivewall cluster init')).toBeVisible();
  await expect(page.getByText("sudo hivewall cluster join 'LINE'")).toBeVisible();
  await accessible(page);
  await shots(page, 'cluster-none');
});
