// Users, tokens and the trail in the page. What the page sends and shows is held against the documented API by a stand-in of
// its users; that the agent does the same is tested where the agent has them.
import { look } from './enter';
import { accessible, expect, HOST, logIn, shots, test, token } from './support';
import type { Page } from '@playwright/test';

interface User {
  name: string;
  role: string;
  created: string;
  last_login: string | null;
  tokens: { id: string; label: string; created: string; last_used: string | null }[];
}
interface Sent {
  call: string;
  body: Record<string, string>;
}

const THEN = '2026-01-02T03:04:05Z';
const user = (name: string, role: string): User => ({ name, role, created: THEN, last_login: null, tokens: [] });

/** Users kept by the test, as the API describes them, with `who` at the page. Gives what the page sent. */
async function standIn(page: Page, who: { user: string | null; role: string; how: string }, users: User[] = []): Promise<Sent[]> {
  const sent: Sent[] = [];
  const refuse = (status: number, detail: string) => ({ status, json: { error: 'refused', detail, hint: 'ask an admin' } });
  await page.route('**/api/v1/session', (route) =>
    route.fulfill({ json: { ...who, login_required: false, csrf: 'word', expires: who.how === 'session' ? '2027-01-01T00:00:00Z' : null, has_users: users.length > 0, tls: false } }),
  );
  await page.route('**/api/v1/audit*', (route) =>
    route.fulfill({
      json: {
        entries: [
          { time: THEN, user: 'ann', role: 'admin', peer: '10.55.0.2', method: 'POST', path: '/api/v1/bans', status: 200, detail: '10.55.0.9 for 1h' },
          { time: THEN, user: 'bob', role: 'viewer', peer: '10.55.0.3', method: 'POST', path: '/api/v1/policy/apply', status: 403, detail: 'needs the role admin' },
          { time: THEN, user: null, role: null, peer: '10.55.0.4', method: 'POST', path: '/api/v1/session', status: 401, detail: 'wrong password' },
        ],
      },
    }),
  );
  await page.route(/\/api\/v1\/users(\/|$)/, async (route) => {
    const request = route.request();
    const path = new URL(request.url()).pathname.replace('/api/v1/', '');
    if (request.method() === 'GET') return route.fulfill({ json: { users: who.role === 'admin' ? users : users.filter((one) => one.name === who.user) } });
    const body = request.postDataJSON() as Record<string, string>;
    sent.push({ call: `${request.method()} ${path}`, body });
    const of = users.find((one) => one.name === (body.name ?? who.user));
    if (path === 'users' && request.method() === 'POST') users.push(user(body.name ?? '', body.role ?? ''));
    else if (path === 'users') users.splice(users.indexOf(of!), 1);
    else if (path === 'users/role') of!.role = body.role ?? '';
    else if (path === 'users/password' && body.current === 'wrong') return route.fulfill(refuse(403, 'that is not the present password'));
    else if (path === 'users/tokens' && request.method() === 'POST') {
      of!.tokens.push({ id: 't1', label: body.label ?? '', created: THEN, last_used: null });
      return route.fulfill({ json: { id: 't1', token: 'hwt_secret_1' } });
    } else if (path === 'users/tokens') of!.tokens = of!.tokens.filter((one) => one.id !== body.id);
    return route.fulfill({ json: { done: 'done' } });
  });
  await page.goto(`${HOST}/#/access`);
  return sent;
}
const ADMIN = { user: 'ann', role: 'admin', how: 'session' };


test('whoever looks without a login is told who they are, what they may do, and how to log in', async ({ page }) => {
  await look(page, `${HOST}/#/access`);
  const who = page.getByRole('region', { name: 'Who is here' });
  await expect(who).toContainText('Not logged in');
  await expect(who).toContainText('viewer');
  await expect(who).toContainText('on the host itself');
  await expect(page.getByText('sudo hivewall login')).toBeVisible();
  await expect(page.getByRole('region', { name: 'Users' })).toHaveCount(0);
  await accessible(page);
  await shots(page, 'access-nobody');
  await who.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('dialog', { name: 'Log in' })).toBeVisible();
});

test('an admin adds a user by keyboard, changes the role, and takes the user out by its name', async ({ page }) => {
  const users = [user('ann', 'admin'), user('bob', 'viewer')];
  const sent = await standIn(page, ADMIN, users);
  const table = page.getByRole('region', { name: 'Users' }).last();
  await expect(table.getByRole('row', { name: /^ann you/ })).toBeVisible();
  await accessible(page);
  await shots(page, 'access-admin');
  const button = page.getByRole('button', { name: 'Add a user…' });
  await button.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Add a user' });
  await dialog.getByLabel('Name').fill('no spaces');
  await expect(dialog.getByRole('alert')).toContainText('Letters, digits');
  await dialog.getByLabel('Name').fill('cy');
  await dialog.getByRole('radio', { name: /^operator/ }).check();
  await dialog.getByLabel('Password', { exact: true }).fill('short');
  await expect(dialog.getByRole('status')).toContainText('Fewer than 12');
  await dialog.getByLabel('Password', { exact: true }).fill('correct horse battery');
  await dialog.getByLabel('The same again').fill('correct horse');
  await expect(dialog.getByRole('status')).toContainText('not the same');
  await expect(dialog.getByRole('button', { name: 'Add', exact: true })).toBeDisabled();
  await dialog.getByLabel('The same again').fill('correct horse battery');
  await shots(page, 'access-add');
  await page.keyboard.press('Enter');
  await expect(page.getByText('cy is a user now.')).toBeVisible();
  await expect(button).toBeFocused();
  await expect(table.getByRole('row', { name: /^cy/ })).toBeVisible();

  await table.getByLabel('Role of bob').selectOption('operator');
  await page.getByRole('dialog', { name: 'Make bob operator' }).getByRole('button', { name: 'Make operator' }).click();
  await expect(page.getByText('bob is operator now.')).toBeVisible();

  await table.getByRole('button', { name: 'Remove…: cy' }).click();
  const remove = page.getByRole('dialog', { name: 'Remove cy' });
  await expect(remove.getByRole('button', { name: 'Remove…' })).toBeDisabled();
  await remove.getByLabel('Type cy to confirm').fill('cy');
  await remove.getByRole('button', { name: 'Remove…' }).click();
  await expect(table.getByRole('row', { name: /^cy/ })).toHaveCount(0);
  expect(sent).toEqual([
    { call: 'POST users', body: { name: 'cy', role: 'operator', password: 'correct horse battery' } },
    { call: 'POST users/role', body: { name: 'bob', role: 'operator' } },
    { call: 'DELETE users', body: { name: 'cy' } },
  ]);
});

test('a token is shown once, can be copied, and is taken away', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const sent = await standIn(page, { user: 'bob', role: 'viewer', how: 'session' }, [user('bob', 'viewer')]);
  await expect(page.getByText('You see what is your own.')).toBeVisible();
  await page.getByRole('button', { name: 'New token of bob' }).click();
  const dialog = page.getByRole('dialog', { name: 'New token of bob' });
  await expect(dialog.getByRole('button', { name: 'Make it' })).toBeDisabled();
  await dialog.getByLabel('What it is for').fill('backup');
  await dialog.getByRole('button', { name: 'Make it' }).click();
  const shown = page.getByRole('dialog', { name: 'The new token' });
  await expect(shown.locator('code')).toHaveText('hwt_secret_1');
  await shown.getByRole('button', { name: /^Copy/ }).click();
  await expect(shown.getByRole('button', { name: /^Copy/ })).toHaveText('Copied');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('hwt_secret_1');
  await shots(page, 'access-token');
  await shown.getByRole('button', { name: 'I have it' }).click();
  await expect(page.getByText('hwt_secret_1')).toHaveCount(0);
  await page.getByRole('button', { name: 'Take away: backup' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take away' }).click();
  await expect(page.getByText('No tokens.')).toBeVisible();
  expect(sent).toEqual([
    { call: 'POST users/tokens', body: { name: 'bob', label: 'backup' } },
    { call: 'DELETE users/tokens', body: { name: 'bob', id: 't1' } },
  ]);
});

test('one’s own password: a wrong present one is told, the right one changes it', async ({ page, quiet }) => {
  quiet.allow(/403/);
  const sent = await standIn(page, { user: 'bob', role: 'viewer', how: 'session' }, [user('bob', 'viewer')]);
  await page.getByRole('button', { name: 'Change the password…' }).click();
  const dialog = page.getByRole('dialog', { name: 'New password of bob' });
  await dialog.getByLabel('Present password').fill('wrong');
  await dialog.getByLabel('New password').fill('correct horse battery');
  await dialog.getByLabel('The same again').fill('correct horse battery');
  await dialog.getByRole('button', { name: 'Change it' }).click();
  await expect(dialog.getByRole('alert')).toContainText('not the present password');
  await dialog.getByLabel('Present password').fill('the right one');
  await dialog.getByRole('button', { name: 'Change it' }).click();
  await expect(page.getByText('The password of bob is changed.')).toBeVisible();
  expect(sent.at(-1)).toEqual({ call: 'POST users/password', body: { current: 'the right one', password: 'correct horse battery' } });
});

test('the trail is narrowed by user, by action and by words', async ({ page }) => {
  await standIn(page, ADMIN, [user('ann', 'admin')]);
  const trail = page.getByRole('region', { name: 'Who did what' }).first();
  await expect(trail.getByRole('row')).toHaveCount(4);
  await trail.getByLabel('User').selectOption('bob');
  await expect(trail.getByRole('row', { name: /bob.*policy\/apply.*not let in/ })).toBeVisible();
  await expect(trail).toContainText('1 of 3 entries');
  await trail.getByLabel('User').selectOption('');
  await trail.getByLabel('Action').selectOption('POST session');
  await expect(trail.getByRole('row', { name: /unknown.*10\.55\.0\.4/ })).toBeVisible();
  await trail.getByLabel('Action').selectOption('');
  await trail.getByRole('searchbox').fill('10.55.0.9');
  await expect(trail).toContainText('1 of 3 entries');
});

test('an operator sees the trail but no users; a viewer neither', async ({ page }) => {
  await standIn(page, { user: 'op', role: 'operator', how: 'session' }, [user('op', 'operator')]);
  await expect(page.getByRole('region', { name: 'Who did what' }).first()).toBeVisible();
  await expect(page.getByRole('region', { name: 'Users' })).toHaveCount(0);
  await expect(page.getByText('You see what is your own.')).toBeVisible();
});

test('a real agent takes a user in, writes it down, and lets the user go', async ({ page, request }) => {
  const has = (await request.get(`${HOST}/api/v1/session`)).ok();
  test.skip(!has, 'this agent has no sessions: /api/v1/session is not there');
  await page.goto(`${HOST}/#/access`);
  await logIn(page, token());
  await page.getByRole('button', { name: 'Add a user…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Add a user' });
  const name = `bed-${Date.now() % 100_000}`;
  await dialog.getByLabel('Name').fill(name);
  await dialog.getByLabel('Password', { exact: true }).fill('correct horse battery');
  await dialog.getByLabel('The same again').fill('correct horse battery');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  const table = page.getByRole('region', { name: 'Users' }).last();
  await expect(table.getByRole('row', { name: new RegExp(`^${name}`) })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Who did what' }).first()).toContainText('POST users');
  await table.getByRole('button', { name: `Remove…: ${name}` }).click();
  const remove = page.getByRole('dialog', { name: `Remove ${name}` });
  await remove.getByLabel(`Type ${name} to confirm`).fill(name);
  await remove.getByRole('button', { name: 'Remove…' }).click();
  await expect(table.getByRole('row', { name: new RegExp(`^${name}`) })).toHaveCount(0);
});
