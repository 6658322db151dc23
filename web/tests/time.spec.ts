// Names and time: what is behind the traffic of a real host, of the demo and of a replay.
import type { Page } from '@playwright/test';
import { accessible, DEMO, expect, HOST, REPLAY, shots, test } from './support';

// Session and fields: temporary, the agents of the bed do not have them yet. Fleet: an agent in none answers 404, which
// the browser tells.

const tabs = (page: Page) => page.getByRole('navigation', { name: 'What is shown' });
const card = (page: Page, name: string) => page.getByRole('region', { name, exact: true }).first();

test('names: requests, statuses and hosts, each leading to its flows', async ({ page }) => {
  await page.goto(`${HOST}/#/time`);
  await expect(card(page, 'Hosts asked most').getByRole('link', { name: /intranet\.example/ })).toBeVisible();
  await expect(card(page, 'Statuses').getByRole('link', { name: /^200/ })).toHaveAttribute('href', '#/flows?filter=http-status%3A200');
  await expect(card(page, 'Requests of late').getByRole('row', { name: /GET intranet\.example .*200/ }).first()).toBeVisible();
  await expect(page.getByText('No TLS or QUIC handshake was seen.')).toBeVisible();
  await accessible(page);
  await shots(page, 'time-names');
  await card(page, 'Hosts asked most').getByRole('link', { name: /intranet\.example/ }).click();
  await expect(page).toHaveURL(/#\/flows\?filter=http-host%3Aintranet\.example/);
});

test('tabs are gone through by keys and stand in the address', async ({ page }) => {
  await page.goto(`${HOST}/#/time`);
  await expect(tabs(page).getByRole('link', { name: 'Names' })).toHaveAttribute('aria-current', 'page');
  await tabs(page).getByRole('link', { name: 'Names' }).focus();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/tab=timing/);
  await expect(tabs(page).getByRole('link', { name: 'Timing' })).toHaveAttribute('aria-current', 'page');
  await page.goBack();
  await expect(tabs(page).getByRole('link', { name: 'Names' })).toHaveAttribute('aria-current', 'page');
});

test('timing: round trips by peer, the slowest first, over time', async ({ page }) => {
  await page.goto(`${HOST}/#/time?tab=timing`);
  const peer = card(page, 'Round trips by peer').getByRole('row', { name: /10\.55\.0\.2/ });
  await expect(peer.getByRole('link')).toHaveAttribute('href', '#/flows?filter=ip%3A10.55.0.2');
  await expect(page.getByRole('figure', { name: 'Chart: Round trips of the slowest peers' })).toContainText('10.55.0.2');
  await expect(page.getByText('No flow of a local socket sent a segment again').or(card(page, 'Flows that lost or disordered segments').getByRole('table'))).toBeVisible();
  await accessible(page);
  await shots(page, 'time-timing');
});

test('connections: states, half-open targets, sockets and how they change', async ({ page }) => {
  await page.goto(`${HOST}/#/time?tab=connections`);
  await expect(card(page, 'Sockets of this host').getByRole('row', { name: /LISTEN/ })).toBeVisible();
  await expect(card(page, 'Changes of TCP state').getByRole('row', { name: /^SYN_SENT ESTABLISHED \d/ })).toBeVisible();
  await expect(card(page, 'TCP flows by state').getByRole('link', { name: /CLOSED/ })).toHaveAttribute('href', '#/flows?filter=state%3Atcp_closed');
  await accessible(page);
  await shots(page, 'time-connections');
});

test('interfaces: load, speed and errors, and a chart', async ({ page }) => {
  await page.goto(`${HOST}/#/time?tab=interfaces`);
  const row = card(page, 'Interfaces').getByRole('row', { name: /lan0/ });
  await expect(row).toContainText(/10\.0 Gbit\/s/);
  await expect(row.getByRole('link')).toHaveAttribute('href', '#/flows?filter=interface%3Alan0');
  await expect(page.getByRole('figure', { name: 'Chart: lan0: in and out' })).toContainText(/In .*bit\/s/);
  await accessible(page);
  await shots(page, 'time-interfaces');
});

test('system: CPU, memory, disks and filesystems', async ({ page }) => {
  await page.goto(`${HOST}/#/time?tab=system`);
  await expect(page.getByRole('figure', { name: 'Chart: CPU time by mode' })).toContainText(/user \d/);
  await expect(card(page, 'Filesystems').getByRole('row', { name: /^\/ / })).toContainText('GiB');
  await accessible(page);
  await shots(page, 'time-system');
});

test('a replay has no load of the host, and says so', async ({ page }) => {
  await page.goto(`${REPLAY}/#/time?tab=system`);
  await expect(page.getByText('This agent does not read the load of the host')).toBeVisible();
});

test('losses: what was refused and dropped, by reason; all reasons on demand', async ({ page }) => {
  await page.goto(`${HOST}/#/time?tab=losses`);
  await expect(card(page, 'Refused by the policy').getByRole('row', { name: /^no-telnet/ }).getByRole('link')).toHaveAttribute('href', '#/flows?filter=rule%3Ano-telnet');
  await expect(card(page, 'Dropped by the kernel').getByRole('row', { name: /no_socket/ }).first()).toBeVisible();
  const losses = card(page, 'Not seen or not kept');
  await losses.getByRole('button', { name: /reasons that never happened/ }).click();
  await expect(losses.getByRole('row', { name: /^flow_table_full 0 .*raise flows\.max/ })).toBeVisible();
  await accessible(page);
  await shots(page, 'time-losses');
});

test('the state of the agent in the bar leads to losses', async ({ page }) => {
  await page.goto(`${HOST}/#/time`);
  await page.getByRole('banner').getByRole('link', { name: /All seen|Degraded|Failing/ }).click();
  await expect(page).toHaveURL(/#\/time\?tab=losses/);
  await expect(card(page, 'Health')).toBeVisible();
});

test('traffic: everything it is counted by', async ({ page }) => {
  await page.goto(`${HOST}/#/time?tab=traffic`);
  await expect(card(page, 'Subnets').getByRole('link', { name: /10\.55\.0\.0\/24/ })).toHaveAttribute('href', '#/flows?filter=ip%3A10.55.0.0%2F24');
  await expect(card(page, 'Services').getByRole('link', { name: /http tcp\/8080/ })).toHaveAttribute('href', '#/flows?filter=proto%3Atcp+dst-port%3A8080');
  await accessible(page);
  await shots(page, 'time-traffic');
});

test('traffic of the demo: its applications', async ({ page }) => {
  await page.goto(`${DEMO}/#/time?tab=traffic`);
  await expect(card(page, 'Applications').getByRole('link', { name: /kafka/ })).toBeVisible();
});

test('an agent without names says so, tab by tab', async ({ page }) => {
  await page.goto(`${REPLAY}/#/time`);
  await expect(page.getByText('No HTTP in the clear was seen.')).toBeVisible();
  await tabs(page).getByRole('link', { name: 'Timing' }).click();
  await expect(page.getByText('No round trip was timed yet').first()).toBeVisible();
  await tabs(page).getByRole('link', { name: 'Losses' }).click();
  await expect(page.getByText('The policy refused nothing.')).toBeVisible();
});
