// What the page takes and costs, for docs/performance.md: `bed.sh measure` prints a table. Each figure stands beside a floor of the same
// run: an empty page of the same server in the same browser, or the same agent under the same traffic with nobody looking.
//
// Not a test: nothing here fails for being slow. Invariant: what is measured is the work of real agents on real traffic.
import { chromium } from '@playwright/test';
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const HOST = 'http://127.0.0.1:7803';
const REPLAY = 'http://127.0.0.1:7802';
const RUNS = 9;
const SECONDS = Number(process.env.HIVEWALL_MEASURE_SECONDS ?? 20);
const FLOWS_PER_SECOND = 5000;
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

/** What a span of traffic costs, in percent of a core. */
async function cost(label) {
  const before = { agent: cpu(agent), browser: cpu(browsers()), lost: await losses() };
  await sleep(SECONDS);
  const after = { agent: cpu(agent), browser: cpu(browsers()), lost: await losses() };
  const share = (what) => ((after[what] - before[what]) / SECONDS) * 100;
  return { label, agent: share('agent'), browser: share('browser'), lost: after.lost - before.lost };
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
    // Whatever was there before, the first row is no match.
    await filter.fill('');
    await filter.press('Enter');
    await page.waitForFunction(() => !document.querySelector('[aria-rowindex="1"]')?.textContent?.includes(':443'), undefined, { timeout: 10_000 });
    await filter.fill('dst-port:443');
    await page.keyboard.press('Escape');
    const took = page.evaluate(
      () =>
        new Promise((done, failed) => {
          const start = performance.now();
          let answer;
          new PerformanceObserver((list) => {
            for (const one of list.getEntries()) if (one.name.includes('dst-port')) answer ??= one.responseEnd - one.startTime;
          }).observe({ type: 'resource' });
          const look = () => {
            const there = document.querySelector('[aria-rowindex="1"]')?.textContent?.includes(':443');
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
    await sleep(SECONDS);
    const quiet = await cost('nobody looks');
    const made = execFileSync('cat', ['/proc/loadavg'], { encoding: 'utf8' }).trim();
    const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
    for (const name of ['overview', 'flows']) {
      await page.goto(`${HOST}/#/${name}`);
      await sleep(3);
      const seen = await cost(name);
      row(`${name}, live, ${FLOWS_PER_SECOND} new flows a second: the browser`, `${percent(seen.browser)} of a core`, '–', '30 %');
      row(`${name}, live: added to the agent`, `${percent(seen.agent - quiet.agent)} of a core`, `nobody looks: ${percent(quiet.agent)}`, '3 %');
    }
    await page.close();
    const pages = [];
    for (const name of PAGES) {
      const one = await browser.newPage({ viewport: { width: 1400, height: 900 } });
      await one.goto(`${HOST}/#/${name}`);
      pages.push(one);
    }
    await sleep(3);
    const ten = await cost('ten pages');
    row('ten pages: lost by the capture', `${ten.lost} packets and records`, `nobody looks: ${quiet.lost}`, '0');
    row('ten pages: added to the agent', `${percent(ten.agent - quiet.agent)} of a core`, `nobody looks: ${percent(quiet.agent)}`, '–');
    lines.push('', `load of the machine: ${made}`);
  } finally {
    sender.kill();
    await browser.close();
  }
  console.log(['| what | median | floor | aim |', '|---|---|---|---|', ...lines].join('\n'));
}

await main();
