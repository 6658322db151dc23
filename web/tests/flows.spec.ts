// The page of flows: filtering, scrolling, history, columns, one flow's details, sharing, export.
import { readFileSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { accessible, DEMO, expect, HOST, REPLAY, shots, test } from './support';

// Until the agents of the bed know these.
// The accessibility check of a full table takes its time on two busy cores.
test.describe.configure({ timeout: 120_000 });

const grid = (page: Page) => page.getByRole('grid', { name: 'Flows' });
const filter = (page: Page) => page.getByRole('combobox', { name: 'Filter' });
const detail = (page: Page) => page.getByRole('complementary', { name: 'Flow' });
const rows = (page: Page) => grid(page).getByRole('row').filter({ has: page.getByRole('gridcell') });
const told = (page: Page) => page.locator('.told');

/** What the column `title` has in the rows in sight. */
async function column(page: Page, title: string): Promise<string[]> {
  const heads = await grid(page).getByRole('columnheader').allInnerTexts();
  const at = heads.findIndex((head) => head.replace(' ▾', '') === title);
  expect(at, `column ${title} in ${heads.join()}`).toBeGreaterThanOrEqual(0);
  return rows(page).evaluateAll((lines, cell) => lines.map((line) => (line.children[cell] as HTMLElement).innerText.trim()), at);
}

async function open(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await expect(rows(page).first()).toBeVisible({ timeout: 30_000 });
  await expect(told(page)).toContainText('flows');
}

test.describe('a hundred thousand flows', () => {
  test('a filter shows its first row at once', async ({ page }) => {
    await open(page, `${REPLAY}/#/flows`);
    await expect(told(page)).toContainText('100k flows');
    await filter(page).fill('dst-port:443');
    // In the page, so that no step of the test counts.
    const took = page.evaluate(
      () =>
        new Promise<{ all: number; after: number }>((done) => {
          const start = performance.now();
          let answer = 0;
          const seen = new PerformanceObserver((list) => {
            for (const one of list.getEntries()) if (one.name.includes('dst-port')) answer = (one as PerformanceResourceTiming).responseEnd;
          });
          seen.observe({ type: 'resource' });
          const look = (): void => {
            // What is told of the answer and its first row: that one may be of port 443 before as well.
            const cells = document.querySelectorAll('[aria-rowindex="1"] [role="gridcell"]');
            const told = document.querySelector('.told')?.textContent?.includes('20.0k of 100k flows');
            const there = told && [...cells].some((cell) => cell.textContent?.trim().endsWith(':443'));
            if (there && answer > 0) done({ all: performance.now() - start, after: performance.now() - answer });
            else requestAnimationFrame(look);
          };
          look();
        }),
    );
    await filter(page).press('Escape');
    await filter(page).press('Enter');
    const { all, after } = await took;
    console.log(`flows: Enter to the first filtered row of 100,000: ${all.toFixed(0)} ms, of it ${after.toFixed(0)} ms after the answer`);
    expect(after).toBeLessThan(2000);
    await expect(told(page)).toContainText('20.0k of 100k flows');
    expect(await page.evaluate(() => location.hash)).toContain('filter=dst-port%3A443');
    expect((await column(page, 'Server')).every((one) => one.endsWith(':443'))).toBe(true);
  });

  test('the table scrolls to its end, and holds few rows', async ({ page }) => {
    await open(page, `${REPLAY}/#/flows`);
    await grid(page).focus();
    await page.keyboard.press('End');
    await expect(page.locator('[aria-rowindex="100000"]')).toContainText('udp');
    expect(await rows(page).count()).toBeLessThan(120);
    await page.keyboard.press('PageUp');
    await page.keyboard.press('PageUp');
    await page.keyboard.press('Enter');
    await expect(detail(page)).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(detail(page)).toBeHidden();
    await page.getByRole('button', { name: 'Back to the top' }).click();
    await expect(page.locator('[aria-rowindex="1"]')).toContainText('udp');
  });

  test('what does not match, and what is no filter, is said', async ({ page, quiet }) => {
    quiet.allow(/400/);
    await open(page, `${REPLAY}/#/flows`);
    await filter(page).fill('process:nobody');
    await filter(page).press('Enter');
    await expect(page.getByText('No flow matches.')).toBeVisible();
    await page.getByRole('button', { name: 'Show all flows' }).click();
    await expect(rows(page).first()).toBeVisible();
    await filter(page).fill('prot:443');
    await filter(page).press('Enter');
    await expect(page.getByRole('alert').filter({ hasText: 'not understood' })).toContainText('there is no field `prot`');
    await shots(page, 'flows-misread');
  });

  test('fields and values are completed', async ({ page }) => {
    await open(page, `${REPLAY}/#/flows`);
    await filter(page).pressSequentially('applic');
    await expect(page.getByRole('option', { name: /^application/ })).toBeVisible();
    await page.keyboard.press('Tab');
    await expect(filter(page)).toHaveValue('application:');
    // Values are those that the rows have.
    const value = page.getByRole('listbox', { name: 'Filter' }).getByRole('option').first();
    const word = (await value.innerText()).trim();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await expect(filter(page)).toHaveValue(`application:${word} `);
    await page.keyboard.press('Enter');
    await expect(told(page)).toContainText(' of 100k flows');
    expect((await column(page, 'Application')).every((one) => one.replace('~', '') === word)).toBe(true);
  });
});

test.describe('one host', () => {
  test('a flow is opened, read and used for the filter', async ({ page }) => {
    await open(page, `${HOST}/#/flows?filter=port%3A8080%20process%3Acurl`);
    await rows(page).first().click();
    await expect(detail(page)).toContainText('intranet.example');
    for (const part of ['Endpoints', 'Volume', 'Names and payload', 'Process', 'Policy', 'Timing', 'State', 'Marks']) {
      await expect(detail(page).getByRole('region', { name: part })).toBeVisible();
    }
    await expect(detail(page)).toContainText('main:default-out');
    await shots(page, 'flows-detail');
    await accessible(page);
    await detail(page).getByRole('button', { name: 'Add to the filter: Server name intranet.example' }).click();
    await expect(filter(page)).toHaveValue('port:8080 process:curl name:intranet.example');
    await detail(page).getByRole('button', { name: 'Leave out: Process curl' }).click();
    await expect(filter(page)).toHaveValue('port:8080 name:intranet.example -process:curl');
    await expect(detail(page).getByRole('link', { name: 'Block 10.55.0.2…' })).toHaveAttribute('href', '#/policy?block=10.55.0.2');
    await expect(detail(page).getByRole('link', { name: 'On the map' })).toHaveAttribute('href', /#\/map\?filter=ip%3A10\.55\.0\.1\+ip%3A10\.55\.0\.2/);
  });

  test('keys go from flow to flow, and the address names the open one', async ({ page }) => {
    await open(page, `${HOST}/#/flows`);
    await page.keyboard.press('p');
    await expect(page.getByText('Paused', { exact: true })).toBeVisible();
    await grid(page).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    const head = detail(page).getByRole('heading', { level: 2 });
    await expect(head).toBeVisible();
    const first = await head.innerText();
    await page.keyboard.press('ArrowDown');
    await expect(head).not.toHaveText(first);
    const second = await head.innerText();
    await detail(page).getByRole('button', { name: 'Flow before' }).click();
    await expect(head).toHaveText(first);
    // From within the panel, too.
    await page.keyboard.press('ArrowDown');
    await expect(head).toHaveText(second);
    const address = page.url();
    await page.keyboard.press('Escape');
    await expect(detail(page)).toBeHidden();
    await page.goto('about:blank');
    await page.goto(address);
    await expect(head).toHaveText(second);
    await expect(detail(page).getByRole('region', { name: 'Endpoints' })).toBeVisible();
  });

  test('live rows come by themselves, until paused', async ({ page }) => {
    await open(page, `${HOST}/#/flows?sort=last&filter=port:8080`);
    const first = async (): Promise<string> => (await column(page, 'Client'))[0] ?? '';
    const before = await first();
    await expect.poll(first, { timeout: 20_000 }).not.toBe(before);
    await page.getByRole('button', { name: 'Pause' }).click();
    let asked = 0;
    page.on('request', (request) => (asked += request.url().includes('/api/v1/flows') ? 1 : 0));
    // Two answers of the shell's own beat: the table would have asked as often.
    for (let turn = 0; turn < 2; turn += 1) await page.waitForResponse((response) => response.url().includes('/api/v1/snapshot'));
    expect(asked).toBe(0);
    await page.keyboard.press('p');
    await expect.poll(() => asked).toBeGreaterThan(0);
  });

  test('history: spans, the brush, and back', async ({ page }) => {
    await open(page, `${HOST}/#/flows`);
    await page.getByRole('button', { name: 'History' }).click();
    const chart = page.getByRole('figure', { name: /Chart: Bytes per/ });
    await expect(chart).toBeVisible();
    expect(page.url()).toContain('history=1');
    expect(page.url()).toContain('last=1h');
    await page.getByRole('button', { name: '15 min' }).click();
    await expect(page.getByRole('button', { name: '15 min' })).toHaveAttribute('aria-pressed', 'true');
    const all = await told(page).innerText();
    await shots(page, 'flows-history');
    await accessible(page);
    const over = chart.locator('.u-over');
    const box = await over.boundingBox();
    if (!box) throw new Error('no chart');
    await page.mouse.move(box.x + box.width * 0.97, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.99, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await expect.poll(() => page.url()).toMatch(/from=.*to=/);
    await expect(told(page)).not.toHaveText(all);
    const from = await page.getByLabel('From').inputValue();
    const to = await page.getByLabel('To', { exact: true }).inputValue();
    expect(Date.parse(to) - Date.parse(from)).toBeLessThan(60_000);
    await page.getByRole('button', { name: 'Wider' }).click();
    await expect(page.getByLabel('From')).not.toHaveValue(from);
    // A time in the filter is the page's time.
    await filter(page).fill('port:8081 last:5m');
    await filter(page).press('Enter');
    await expect(filter(page)).toHaveValue('port:8081');
    await expect.poll(() => page.url()).toMatch(/last=5m/);
    await page.getByRole('button', { name: 'Live', exact: true }).click();
    await expect(chart).toBeHidden();
    expect(page.url()).not.toContain('last=');
  });

  test('columns are chosen, kept and shared', async ({ page, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await open(page, `${HOST}/#/flows`);
    await page.keyboard.press('c');
    const dialog = page.getByRole('dialog', { name: 'Columns of the table' });
    await dialog.getByRole('checkbox', { name: /^RTT Round/ }).uncheck();
    await dialog.getByRole('button', { name: 'Server: further left' }).click();
    await shots(page, 'flows-columns');
    await accessible(page);
    await page.keyboard.press('Escape');
    await expect(dialog).toBeHidden();
    await expect(grid(page).getByRole('columnheader', { name: 'RTT' })).toHaveCount(0);
    await page.goto('about:blank');
    await open(page, `${HOST}/#/flows`);
    const heads = await grid(page).getByRole('columnheader').allInnerTexts();
    expect(heads.indexOf('Server')).toBeLessThan(heads.indexOf('Client'));
    expect(heads).not.toContain('RTT');
    await page.getByRole('button', { name: 'Share' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Copy' }).click();
    await expect(page.getByRole('dialog').getByRole('status')).toHaveText('The address is copied.');
    const address = await page.evaluate(() => navigator.clipboard.readText());
    expect(address).toMatch(/#\/flows\?columns=end%2Cserver%2Cclient/);
    // Another browser keeps nothing, and sees the same.
    await page.evaluate(() => localStorage.clear());
    await page.goto('about:blank');
    await open(page, address);
    expect(await grid(page).getByRole('columnheader').allInnerTexts()).toEqual(heads);
  });

  test('the order follows the head of a column', async ({ page }) => {
    await open(page, `${HOST}/#/flows?columns=client,packets,state`);
    await grid(page).getByRole('button', { name: 'Sort by Packets' }).click();
    await expect(grid(page).getByRole('columnheader', { name: /Packets/ })).toHaveAttribute('aria-sort', 'descending');
    await expect(page.getByRole('combobox', { name: 'Order' })).toHaveValue('packets');
    await expect
      .poll(async () => {
        const packets = (await column(page, 'Packets')).map(Number);
        return packets.length > 5 && packets.every((one, at) => at === 0 || one <= (packets[at - 1] ?? 0));
      })
      .toBe(true);
  });

  test('what is shown and history are exported', async ({ page }) => {
    await open(page, `${HOST}/#/flows?filter=src-ip:10.55.0.9`);
    await page.keyboard.press('p');
    await page.getByRole('button', { name: 'Export' }).click();
    const dialog = page.getByRole('dialog', { name: 'Export' });
    await shots(page, 'flows-export');
    await accessible(page);
    const [own] = await Promise.all([page.waitForEvent('download'), dialog.getByRole('button', { name: /^CSV, / }).click()]);
    const lines = readFileSync(await own.path(), 'utf8').trim().split('\r\n');
    expect(lines[0]).toContain('end,client,server,server_name');
    expect(lines.length).toBeGreaterThan(250);
    expect(lines.slice(1).every((line) => line.includes('10.55.0.9'))).toBe(true);
    for (const [name, begin] of [['JSON lines', '{"'], ['CSV', 'flow_id,'], ['Parquet', 'PAR1']] as const) {
      const [file] = await Promise.all([page.waitForEvent('download'), dialog.getByRole('link', { name }).click()]);
      expect(readFileSync(await file.path(), 'latin1').slice(0, begin.length)).toBe(begin);
    }
  });
});

test.describe('a fleet', () => {
  test('flows of all hosts, with who answered and who saw one', async ({ page }) => {
    await open(page, `${DEMO}/#/flows`);
    await page.getByRole('group', { name: 'What is shown' }).getByRole('button', { name: 'Fleet' }).click();
    await expect(grid(page).getByRole('columnheader', { name: 'Host' })).toBeVisible();
    await expect(page.getByRole('main').getByText('5 of 5 hosts').first()).toBeVisible();
    await expect.poll(async () => new Set(await column(page, 'Host')).size).toBeGreaterThan(1);
    await page.keyboard.press('p');
    // Between two members: both saw it.
    await filter(page).fill('src-ip:10.77.0.0/24 dst-ip:10.77.0.0/24');
    await filter(page).press('Enter');
    await expect.poll(async () => (await column(page, 'Server')).every((one) => one.startsWith('10.77.0.'))).toBe(true);
    await rows(page).first().click();
    const saw = detail(page).getByRole('region', { name: 'Hosts that saw it' });
    await expect(saw.getByRole('link')).toHaveCount(2);
    await shots(page, 'flows-fleet');
    await accessible(page);
    const other = saw.locator('a:not([aria-current])');
    const name = await other.innerText();
    await other.click();
    await expect(saw.locator('a[aria-current]')).toHaveText(name);
  });

  test('an agent without history says so', async ({ page, quiet }) => {
    quiet.allow(/no_history|404/);
    await open(page, `${REPLAY}/#/flows`);
    await page.getByRole('button', { name: 'History' }).click();
    await expect(page.getByText('This agent keeps no history.')).toBeVisible();
    await expect(rows(page).first()).toBeVisible();
    await page.getByRole('button', { name: 'Export' }).click();
    await expect(page.getByText('there is nothing to take out of it')).toBeVisible();
    await page.keyboard.press('Escape');
    await shots(page, 'flows-no-history');
  });

  test('a name that holds markup stays text', async ({ page }) => {
    await page.route('**/api/v1/flows?**', async (route) => {
      const answer = await route.fetch();
      const body = (await answer.json()) as { flows: { server_name?: string }[] };
      for (const flow of body.flows) flow.server_name = '<img src=x onerror="document.title=1">';
      await route.fulfill({ response: answer, json: body });
    });
    await open(page, `${DEMO}/#/flows`);
    await expect(rows(page).first()).toContainText('<img src=x');
    expect(await page.locator('main img').count()).toBe(0);
  });
});
