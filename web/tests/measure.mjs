// What the page takes and costs, for docs/performance.md: `bed.sh measure` prints a table. Each figure stands beside a floor of the same
// run: an empty page of the same server in the same browser, or the same agent under the same traffic with nobody looking.
//
// Not a test: nothing here fails for being slow. Invariant: what is measured is the work of real agents on real traffic.
import { chromium } from '@playwright/test';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const HOST = 'http://127.0.0.1:7803';
const REPLAY = 'http://127.0.0.1:7802';
const RUNS = 9;
const SECONDS = Number(process.env.HIVEWALL_MEASURE_SECONDS ?? 20);
const FLOWS_PER_SECOND = 5000;
const WARM_UP_SECONDS = 100;
const PEER = process.env.HIVEWALL_PEER ?? 'hwweb-peer';
const PAGES = ['overview', 'flows', 'map', 'time', 'alerts', 'policy', 'cluster', 'access', 'overview', 'flows'];

const median = (all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)];
const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const percent = (value) => `${value.toFixed(1)} %`;
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** CPU seconds that processes have used. */
function cpu(pids) {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It ended meanwhile.
    }
  }
  return ticks / 100;
}

const processes = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name));
const commandOf = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};
const agent = processes().filter((pid) => commandOf(pid).includes('127.0.0.1:7803') && !commandOf(pid).startsWith('setsid'));
const browsers = () => processes().filter((pid) => /chromium/.test(commandOf(pid).split('\0')[0]));

async function fetched(path) {
  const answer = await fetch(`${HOST}/api/v1/${path}`);
  return answer.json();
}

const losses = async () => Object.values((await fetched('snapshot')).losses).reduce((sum, loss) => sum + loss.packets + (loss.records ?? 0), 0);

async function metric(name) {
  const metrics = await (await fetch(`${HOST}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(metrics)[1]);
}

/** What a span of traffic costs, in percent of a core, and how much traffic it was. */
async function cost() {
  const now = async () => ({ at: performance.now(), agent: cpu(agent), browser: cpu(browsers()), lost: await losses(), flows: await metric('hivewall_flows_total') });
  const before = await now();
  await sleep(SECONDS);
  const after = await now();
  const rate = (what) => ((after[what] - before[what]) / (after.at - before.at)) * 1000;
  return { agent: 100 * rate('agent'), browser: 100 * rate('browser'), flows: rate('flows'), lost: after.lost - before.lost };
}

/** Milliseconds from the start of the navigation until what `ready` (a function's text) tells is there. */
async function load(browser, url, ready) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(`
    const look = () => ((${ready})() ? (window.__ready = performance.now()) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  `);
  await page.goto(url);
  const took = await page.waitForFunction(() => window.__ready, undefined, { timeout: 20_000 });
  const value = await took.jsonValue();
  await context.close();
  return value;
}

async function times(what) {
  const all = [];
  for (let run = 0; run < RUNS; run += 1) all.push(await what(run));
  return median(all);
}

async function filtering(browser) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  await page.goto(`${REPLAY}/#/flows`);
  await page.waitForFunction(() => document.querySelector('.told')?.textContent?.includes('100k flows'), undefined, { timeout: 60_000 });
  const filter = page.getByRole('combobox', { name: 'Filter' });
  const all = [];
  const answers = [];
  for (let run = 0; run < RUNS; run += 1) {
    // From one filter to the next: each takes a fifth of the flows.
    await filter.fill('dst-port:514');
    await filter.press('Enter');
    await page.waitForFunction(() => [...document.querySelectorAll('[aria-rowindex="1"] [role="gridcell"]')].some((cell) => cell.textContent?.trim().endsWith(':514')), undefined, { timeout: 10_000 });
    await filter.fill('dst-port:443');
    const took = page.evaluate(
      () =>
        new Promise((done, failed) => {
          const start = performance.now();
          let answer;
          new PerformanceObserver((list) => {
            for (const one of list.getEntries()) if (one.name.includes('443')) answer ??= one.responseEnd - one.startTime;
          }).observe({ type: 'resource' });
          const look = () => {
            const cells = document.querySelectorAll('[aria-rowindex="1"] [role="gridcell"]');
            const there = [...cells].some((cell) => cell.textContent?.trim().endsWith(':443'));
            if (answer !== undefined && there) done([performance.now() - start, answer]);
            else if (performance.now() - start > 10_000) failed(new Error('no filtered row came within ten seconds'));
            else requestAnimationFrame(look);
          };
          look();
        }),
    );
    await filter.press('Enter');
    const [whole, answer] = await took;
    all.push(whole);
    answers.push(answer);
  }
  await page.close();
  return { whole: median(all), answer: median(answers) };
}

/** New flows of one packet each, from the other end of the link. */
function traffic() {
  const code = `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n, start = 0, time.monotonic()
while True:
    due = int((time.monotonic() - start) * ${FLOWS_PER_SECOND})
    while n < due:
        try: s.sendto(b'x' * 64, ('10.55.0.1', 1024 + n % 60000))
        except OSError: pass
        n += 1
        if n % 60000 == 0: s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    time.sleep(0.005)
`;
  return spawn('nsenter', [`--net=/run/netns/${PEER}`, 'python3', '-c', code], { stdio: 'ignore' });
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  const lines = [];
  const row = (what, value, floor, aim) => lines.push(`| ${what} | ${value} | ${floor} | ${aim} |`);
  const empty = await times(() => load(browser, `${HOST}/api/v1/health`, "() => document.readyState === 'complete'"));
  const first = await times(() => load(browser, `${HOST}/`, "() => /\\d/.test(document.querySelector('main')?.innerText ?? '') && document.querySelector('main h1, main h2')"));
  row('first load, until the overview has figures', ms(first), `an answer of the API alone: ${ms(empty)}`, '1 s');
  const { whole, answer } = await filtering(browser);
  row('filter over 100,000 flows, Enter to the first row', ms(whole), `the answer alone: ${ms(answer)}`, '100 ms');

  const sender = traffic();
  try {
    // Until as many flows end as begin.
    await sleep(WARM_UP_SECONDS);
    // What the agent does anyhow is measured right before and right after what is compared with it.
    let before = await cost();
    const beside = async (names, say) => {
      const pages = [];
      for (const name of names) {
        const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
        await page.goto(`${HOST}/#/${name}`);
        pages.push(page);
      }
      await sleep(3);
      const seen = await cost();
      for (const page of pages) await page.close();
      await sleep(1);
      const after = await cost();
      const quiet = (before.agent + after.agent) / 2;
      say({ ...seen, added: seen.agent - quiet }, `nobody looks: ${percent(before.agent)}, then ${percent(after.agent)}`, before.lost + after.lost);
      before = after;
    };
    for (const name of ['overview', 'flows', 'map']) {
      await beside([name], (seen, floor) => {
        row(`${name}, live, ${Math.round(seen.flows)} new flows a second: the browser`, `${percent(seen.browser)} of a core`, '–', '30 %');
        row(`${name}, live: added to the agent`, `${percent(seen.added)} of a core`, floor, '3 %');
      });
    }
    await beside(PAGES, (seen, floor, lost) => {
      row(`ten pages, ${Math.round(seen.flows)} new flows a second: lost by the capture`, `${seen.lost} packets and records`, `nobody looks: ${lost}`, '0');
      row('ten pages: the browser', `${percent(seen.browser)} of a core`, '–', '–');
      row('ten pages: added to the agent', `${percent(seen.added)} of a core`, floor, '–');
    });
    lines.push('', `flows that the agent held: ${await metric('hivewall_flows_active')}`);
  } finally {
    sender.kill();
    await browser.close();
  }
  console.log(['| what | median | floor | aim |', '|---|---|---|---|', ...lines].join('\n'));
}

await main();
