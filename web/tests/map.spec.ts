// The map: who talks to whom, of a fleet, of a real host with a policy, and of a hundred thousand flows.
import type { Page } from '@playwright/test';
import { accessible, DEMO, expect, HOST, REPLAY, shots, test } from './support';

// Session and fields: temporary, the agents of the bed do not have them yet. Fleet: an agent in none answers 404, which
// the browser tells.

const canvas = (page: Page) => page.getByRole('application');
const nodes = (page: Page) => page.getByRole('region', { name: 'Largest nodes' });
const panel = (page: Page) => page.getByRole('region', { name: 'Selected' });
const rowsOf = (page: Page) => page.getByRole('grid', { name: /Links/ });

/** When nothing moves any more. */
async function settled(page: Page): Promise<void> {
  await expect(canvas(page)).toHaveAttribute('data-still', 'true', { timeout: 30_000 });
}
/** Where nodes are drawn, by name. */
async function places(page: Page): Promise<Record<string, [number, number]>> {
  return JSON.parse((await canvas(page).getAttribute('data-places')) ?? '{}') as Record<string, [number, number]>;
}
/** A picture of the canvas has more colours than its ground. */
async function drawn(page: Page): Promise<number> {
  return canvas(page).evaluate((element) => {
    const { data } = (element as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, (element as HTMLCanvasElement).width, (element as HTMLCanvasElement).height);
    const colours = new Set<number>();
    for (let at = 0; at < data.length; at += 4) colours.add((data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!);
    return colours.size;
  });
}

test('the fleet is on the map by name, and comes to rest', async ({ page }) => {
  await page.goto(`${DEMO}/#/map`);
  await settled(page);
  for (const name of ['web-1', 'web-2', 'db-1', 'cache-1', 'edge-1']) await expect(nodes(page).getByRole('button', { name })).toBeVisible();
  expect(await drawn(page)).toBeGreaterThan(20);
  const before = await places(page);
  expect(Object.keys(before)).toContain('db-1');
  await expect(page.getByText(/(all|the largest) [\d,]+ (of [\d,]+ )?flows/)).toBeVisible();
  await accessible(page);
  await shots(page, 'map-fleet');
});

test('a node is looked at with the mouse, and leads to its flows', async ({ page }) => {
  await page.goto(`${DEMO}/#/map`);
  await settled(page);
  const [x, y] = (await places(page))['db-1']!;
  await canvas(page).hover({ position: { x, y } });
  await expect(page.getByText(/^sent .*, received /)).toBeVisible();
  await canvas(page).click({ position: { x, y } });
  await expect(panel(page).getByRole('heading', { name: 'db-1' })).toBeVisible();
  await expect(page).toHaveURL(/node=h%3Adb-1/);
  await shots(page, 'map-node');
  await panel(page).getByRole('button', { name: 'Only this on the map' }).click();
  await expect(page).toHaveURL(/filter=ip%3A10\.77\.0\.2/);
  await expect(page.getByRole('combobox', { name: 'Filter' })).toHaveValue('ip:10.77.0.2');
  // Nobody but db-1 talks to one of its own now: every link has it at an end.
  await page.getByRole('group', { name: 'Shown as' }).getByRole('button', { name: 'Table' }).click();
  await expect.poll(async () => (await rowsOf(page).getByRole('row').allInnerTexts()).slice(1).filter((row) => row.trim() !== '' && !row.includes('db-1'))).toEqual([]);
});

test('everything on the map is done by keys', async ({ page }) => {
  await page.goto(`${DEMO}/#/map`);
  await settled(page);
  await canvas(page).focus();
  const scale = async (): Promise<number> => Number(await canvas(page).getAttribute('data-scale'));
  const left = async (): Promise<number> => Number(await canvas(page).getAttribute('data-left'));
  const [k, x] = [await scale(), await left()];
  await page.keyboard.press('+');
  await expect.poll(scale).toBeGreaterThan(k);
  await page.keyboard.press('-');
  await expect.poll(scale).toBeCloseTo(k, 2);
  await page.keyboard.press('ArrowLeft');
  await expect.poll(left).toBeGreaterThan(x);
  await page.keyboard.press('0');
  await expect.poll(left).toBe(x);
  await page.keyboard.press('n');
  await page.keyboard.press('Enter');
  await expect(panel(page)).toBeVisible();
  const first = await nodes(page).getByRole('button').first().getAttribute('title');
  await expect(panel(page).getByRole('heading', { level: 2 })).toHaveText(first ?? '');
  await page.keyboard.press('Escape');
  await expect(panel(page)).toBeHidden();
  await nodes(page).getByRole('button').nth(1).focus();
  await page.keyboard.press('Enter');
  await expect(panel(page)).toBeVisible();
  await panel(page).getByRole('link', { name: 'Its flows' }).focus();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/#\/flows\?filter=ip/);
});

test('services and subnets are other maps of the same flows', async ({ page }) => {
  await page.goto(`${DEMO}/#/map`);
  await settled(page);
  const by = page.getByRole('group', { name: 'Nodes are' });
  await by.getByRole('button', { name: 'Services' }).click();
  await expect(nodes(page).getByRole('button', { name: /tcp\/9092/ })).toBeVisible();
  await settled(page);
  await shots(page, 'map-services');
  await by.getByRole('button', { name: 'Subnets' }).click();
  await expect(nodes(page).getByRole('button', { name: '10.77.0.0/24' })).toBeVisible();
  await page.getByLabel('Width of subnets').selectOption('8');
  await expect(nodes(page).getByRole('button', { name: '10.0.0.0/8' })).toBeVisible();
  await expect(page).toHaveURL(/by=subnet/);
});

test('processes of a host are on its map by name', async ({ page }) => {
  await page.goto(`${HOST}/#/map?by=process`);
  await expect(nodes(page).getByRole('button', { name: 'python3' })).toBeVisible();
  await settled(page);
  await shots(page, 'map-processes');
});

test('what the policy refused is a link of its own, and leads to its flows', async ({ page }) => {
  await page.goto(`${HOST}/#/map?view=table&filter=${encodeURIComponent('dst-port:23')}`);
  const refused = rowsOf(page).getByRole('row', { name: /refused/ });
  await expect(refused).toHaveCount(1);
  await refused.getByRole('link').click();
  await expect(page).toHaveURL(/#\/flows\?filter=.*verdict%3Adrop/);
  await page.goto(`${HOST}/#/map`);
  await settled(page);
  await expect(page.getByLabel('What it means').getByText('refused', { exact: true })).toBeVisible();
  await accessible(page);
  await shots(page, 'map-host');
});

test('a hundred thousand flows fold into what can be read, and open', async ({ page }) => {
  await page.goto(`${REPLAY}/#/map`);
  await settled(page);
  await expect(page.getByText(/the largest 2,000 of 100,000 flows, at least 2\.0% of their bytes/)).toBeVisible();
  const count = await nodes(page).getByRole('button').count();
  expect(count).toBeLessThanOrEqual(60);
  const group = nodes(page).getByRole('button', { name: /⊕ 10\.66\.\d+\.0\/24/ }).first();
  await shots(page, 'map-many');
  await group.click();
  await expect(page).toHaveURL(/open=g%3A10\.66/);
  await expect.poll(() => nodes(page).getByRole('button').count()).toBeGreaterThan(count);
  await settled(page);
  await shots(page, 'map-open');
  await page.getByRole('button', { name: 'Close groups' }).click();
  await expect.poll(() => nodes(page).getByRole('button').count()).toBe(count);
});

test('the table has the same links, sorted, and is what a telephone gets', async ({ page }) => {
  await page.goto(`${DEMO}/#/map?view=table`);
  await expect(rowsOf(page).getByRole('row').nth(5)).toBeVisible();
  await accessible(page);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(`${DEMO}/#/map`);
  await expect(rowsOf(page)).toBeVisible();
  await expect(canvas(page)).toHaveCount(0);
  await rowsOf(page).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(panel(page)).toBeVisible();
  await shots(page, 'map-table');
});

test('a filter that is not understood says where', async ({ page, quiet }) => {
  quiet.allow(/400 \(Bad Request\)/);
  await page.goto(`${DEMO}/#/map`);
  const field = page.getByRole('combobox', { name: 'Filter' });
  await field.fill('zork:1');
  await field.press('Enter');
  await expect(page.getByRole('alert').filter({ hasText: 'not understood' })).toBeVisible();
  await field.fill('dst-port:5432');
  await field.press('Enter');
  await expect(page.getByRole('alert').filter({ hasText: 'not understood' })).toHaveCount(0);
  await page.getByRole('group', { name: 'Nodes are' }).getByRole('button', { name: 'Services' }).click();
  await expect(nodes(page).getByRole('button', { name: /tcp\/5432/ })).toBeVisible();
  await expect(nodes(page).getByRole('button', { name: /tcp\/443/ })).toHaveCount(0);
  await field.fill('dst-port:1');
  await field.press('Enter');
  await expect(page.getByText('No flows match.')).toBeVisible();
});

test('without motion the map stands at once', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.goto(`${DEMO}/#/map`);
  await settled(page);
  const before = await places(page);
  await page.reload();
  await settled(page);
  const after = await places(page);
  // The same hosts stand; where exactly depends on flows that came in between.
  expect(Object.keys(after)).toEqual(expect.arrayContaining(Object.keys(before).filter((name) => /-\d$/.test(name))));
});

test('round trips between hosts are a table, with what is not known said', async ({ page }) => {
  await page.goto(`${DEMO}/#/map?view=latency`);
  const table = page.getByRole('region', { name: 'Round trips between hosts' }).getByRole('table');
  await expect(table.getByRole('columnheader')).toHaveCount(6);
  await expect(table.getByRole('link').first()).toHaveAttribute('title', /round trip .*, jitter .*, loss .*; over (quic|noise), heard .* ago/);
  await expect(page.getByText(/What this host has heard of/)).toBeVisible();
  await accessible(page);
  await shots(page, 'map-latency');
});

test('an agent in no fleet has no round trips between hosts, and says so', async ({ page }) => {
  await page.goto(`${HOST}/#/map?view=latency`);
  await expect(page.getByText('This agent is in no fleet')).toBeVisible();
});
