// What an attacker on the network, or a page of another origin, tries against the page and the API.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, HOST, test, token } from './support';

/** What `bed.sh` asks for as a name of a host and of a domain. */
const MARKUP = '<img src=x onerror=window.pwned=1>';

let other: Server;
let elsewhere = '';

test.beforeAll(async () => {
  other = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>other</title>'));
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
  elsewhere = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
});
test.afterAll(() => other.close());

test('names with markup in them are text', async ({ page }) => {
  for (const place of ['#/flows?filter=http-host:*', '#/time?tab=names', '#/map', '#/overview', '#/alerts']) {
    await page.goto(`${HOST}/${place}`);
    await expect(page.locator('h1').first()).toBeVisible();
    if (place.includes('names')) await expect(page.getByText(MARKUP).first()).toBeVisible();
    expect(await page.evaluate(() => 'pwned' in window)).toBe(false);
    expect(await page.locator('img[src="x"]').count()).toBe(0);
  }
});

test('a filter out of an address is text, too', async ({ page, quiet }) => {
  quiet.allow(/400/);
  await page.goto(`${HOST}/#/flows?filter=${encodeURIComponent(`"><script>window.pwned=1</script>${MARKUP}`)}`);
  await expect(page.locator('h1').first()).toBeVisible();
  await expect(page.getByRole('combobox', { name: 'Filter' })).toHaveValue(/<script>/);
  expect(await page.evaluate(() => 'pwned' in window)).toBe(false);
});

test('a page of another origin reads nothing and commands nothing', async ({ page, quiet }) => {
  quiet.allow(/./);
  await page.goto(elsewhere);
  const told = await page.evaluate(
    async ([agent, secret]) => {
      const tries: [string, RequestInit][] = [
        ['/api/v1/snapshot', {}],
        ['/api/v1/session', { credentials: 'include' }],
        ['/api/v1/bans', { method: 'POST', body: '{"prefix":"192.0.2.1"}', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${secret}` } }],
        ['/api/v1/bans', { method: 'POST', body: '{"prefix":"192.0.2.1"}', headers: { 'Content-Type': 'text/plain' }, credentials: 'include' }],
      ];
      const answers: string[] = [];
      for (const [path, init] of tries) {
        answers.push(await fetch(agent + path, init).then((answer) => `read ${answer.status}`, () => 'refused'));
      }
      return answers;
    },
    [HOST, token()] as const,
  );
  expect(told).toEqual(['refused', 'refused', 'refused', 'refused']);
  // Nothing of it was carried out, either.
  const bans = await page.request.get(`${HOST}/api/v1/bans`);
  expect(await bans.text()).not.toContain('192.0.2.1');
});

test('a form of another origin is refused, and no other page shows this one in a frame', async ({ page, quiet }) => {
  quiet.allow(/./);
  await page.goto(elsewhere);
  await page.evaluate((agent) => {
    document.body.innerHTML = `<form method="post" enctype="text/plain" action="${agent}/api/v1/bans"><input name='{"prefix":"192.0.2.2","reason":"' value='"}'></form>`;
    document.querySelector('form')?.submit();
  }, HOST);
  await page.waitForURL(/bans/);
  expect(await page.locator('body').innerText()).toMatch(/cross_origin|another origin/);
  await page.goto(elsewhere);
  await page.evaluate((agent) => {
    document.body.innerHTML = `<iframe src="${agent}/"></iframe>`;
  }, HOST);
  await page.waitForTimeout(1000);
  expect(await page.frames()[1]?.locator('#app').count()).toBe(0);
});

test('the page is served with rules that let nothing else in', async ({ page }) => {
  const answer = await page.request.get(`${HOST}/`);
  const policy = answer.headers()['content-security-policy'] ?? '';
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
    expect(policy).toContain(part);
  }
  expect(policy).not.toContain('unsafe');
  // A name that somebody makes point here is not this agent's.
  const rebound = await page.request.get(`${HOST}/api/v1/snapshot`, { headers: { Host: 'evil.example' }, failOnStatusCode: false });
  expect(rebound.status()).toBe(421);
});
