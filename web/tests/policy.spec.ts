// The policy page against real agents: what holds, writing the next policy and bringing it into force, explanations, bans,
// packet filters. What a test changes on the host it takes back.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Locator, Page } from '@playwright/test';
import { accessible, DEMO, expect, HOST, logIn, shots, test, token, tokenOf } from './support';

/** Versions only rise on a host: the seconds do, too. */
const nextVersion = (): number => Math.floor(Date.now() / 1000);

/** The bed's policy with another version, and with `rule` before its own where one is given. */
const document = (version: number, rule = ''): string => `kind: Policy
metadata: {name: bed, version: ${version}, description: "The bed of the browser tests"}
mode: enforce
sets:
  lan: {cidr: [10.55.0.0/24, "fd00:55::/64"]}
tiers:
- name: main
  default: {in: accept, out: accept}
  rules:
${rule ? `  - ${rule}\n` : ''}  - {id: web, dir: in, proto: tcp, from: "@lan", dport: [8080, 8081], action: accept}
  - {id: no-telnet, dir: in, proto: tcp, dport: 23, action: drop, log: {rate: 5/s}}
  - {id: ntp, dir: out, proto: udp, dport: 123, action: accept}
  - {id: dns, dir: out, proto: [tcp, udp], dport: 53, action: accept}
`;

/** Replaces the text as somebody does who selects all and writes. (`fill` lets the browser edit, which styles what it joins;
    the page's rules refuse such styles, and say so.) */
async function write(page: Page, text: string): Promise<void> {
  await editor(page).focus();
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
  await page.keyboard.press('Escape');
}

const editor = (page: Page): Locator => page.getByRole('textbox', { name: 'Policy document, YAML' });
const stepOf = (page: Page, name: string): Locator => page.getByRole('button', { name: new RegExp(`^\\d ${name}`) });

async function beginDraft(page: Page): Promise<void> {
  await page.goto(`${HOST}/#/policy?tab=edit`);
  await page.getByRole('button', { name: /^From bed, version/ }).click();
  await expect(editor(page)).toBeVisible();
}

/** Brings a document into force by the steps; the change then waits for its confirmation. */
async function apply(page: Page, text: string): Promise<void> {
  await write(page, text);
  await stepOf(page, 'Apply').click();
  await page.getByRole('button', { name: 'Apply …' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Apply now' }).click();
  await expect(page.getByRole('region', { name: 'A change waits for confirmation' })).toBeVisible();
}

test.describe('what holds', () => {
  test('shows the policy, its rules in order with what they did, and those that did nothing', async ({ page }) => {
    await page.goto(`${HOST}/#/policy`);
    await expect(page.getByRole('heading', { name: /^bed, version \d+$/ })).toBeVisible();
    const names = page.getByRole('table').first().locator('th[scope=row]');
    await expect(names).toHaveText(['web', 'no-telnet', 'ntp', 'dns', 'main:default-in', 'main:default-out']);
    const web = page.getByRole('row', { name: /^web / });
    await expect(web).toContainText('dport 8080,8081');
    await expect(web.getByRole('cell').nth(2)).toHaveText(/^\s*[\d.]+[kM]?\s*$/);
    await expect(page.getByRole('row', { name: /^ntp / })).toContainText('unused');
    await accessible(page);
    await shots(page, 'policy-force');
    await web.getByRole('link', { name: 'web', exact: true }).click();
    await expect(page).toHaveURL(/#\/flows\?filter=rule%3Aweb/);
  });

  test('says what causes mean, and how full tables are', async ({ page }) => {
    await page.goto(`${HOST}/#/policy`);
    const causes = page.getByRole('region', { name: 'What decides besides rules' });
    await expect(causes).toContainText('essential: What every host needs');
    await expect(causes).not.toContainText('broken tables');
    await causes.getByRole('button').click();
    await expect(causes).toContainText('broken tables');
    await expect(page.getByRole('region', { name: 'Tables in the kernel' })).toContainText(/connections\s*[\d.]+k? of 115k/);
  });

  test('in a fleet, shows each host', async ({ page }) => {
    await page.goto(`${DEMO}/#/policy`);
    const fleet = page.getByRole('region', { name: 'Roll-out over the fleet' });
    await expect(fleet.locator('tbody tr')).toHaveCount(5);
    await expect(fleet).toContainText('5 of 5 hosts');
    await accessible(page);
    await shots(page, 'policy-fleet');
  });
});

test.describe('the editor', () => {
  test('begins at the policy in force with the next version, in a shadow root without style elements', async ({ page }) => {
    await beginDraft(page);
    await expect(editor(page)).toContainText(/metadata: \{name: bed, version: \d+,/);
    const styles = await editor(page).evaluate((content) => {
      const root = content.getRootNode() as ShadowRoot;
      return [root instanceof ShadowRoot, root.querySelectorAll('style').length, root.adoptedStyleSheets.length > 0];
    });
    expect(styles).toEqual([true, 0, true]);
  });

  test('completes keys, words and the sets of the document by keyboard, with what they mean', async ({ page }) => {
    await beginDraft(page);
    await write(page, 'kind: Policy\nsets:\n  dmz: {cidr: 10.1.0.0/16}\n');
    await page.keyboard.press('Control+End');
    await page.keyboard.type('mo');
    const offers = page.getByRole('listbox');
    await expect(offers.getByRole('option').first()).toHaveText('mode');
    await expect(page.locator('.cm-completionInfo')).toHaveText('Whether refusals are carried out, or only counted.');
    // An offer that has only just come is not taken, lest somebody take it unseen.
    await page.waitForTimeout(200);
    await page.keyboard.press('Enter');
    await expect(offers).toBeHidden();
    await page.keyboard.press('Control+Space');
    await expect(offers.getByRole('option')).toHaveText(['observe', 'enforce']);
    await page.waitForTimeout(200);
    await page.keyboard.press('Enter');
    await expect(editor(page)).toContainText('mode: observe');
    // As pasted, since the editor indents what is typed; only the quote is typed, which it closes.
    await page.keyboard.insertText('\ntiers:\n- name: main\n  rules:\n  - {id: a, from: ');
    await page.keyboard.type('"');
    await page.keyboard.press('Control+Space');
    await expect(offers.getByRole('option').first()).toHaveText('@dmz');
    await page.waitForTimeout(200);
    await page.keyboard.press('Enter');
    await expect(editor(page)).toContainText('from: "@dmz"');
  });

  test('shows what is wrong where it is, and leads there', async ({ page }) => {
    await beginDraft(page);
    await write(page, document(nextVersion()).replace('dport: 23, action: drop', 'dport: 23, acton: drop'));
    await page.keyboard.press('Escape');
    const fault = page.getByRole('button', { name: /^Line 11, column \d+ a rule has no key `acton`/ });
    await expect(fault).toContainText('did you mean `action`?');
    await expect(page.locator('.cm-lintRange-error').filter({ hasText: 'acton' })).toBeVisible();
    await expect(stepOf(page, 'Check')).toContainText('wrong');
    await fault.press('Enter');
    await expect(editor(page)).toBeFocused();
    await accessible(page);
    await shots(page, 'policy-edit-wrong');
    await page.keyboard.type('x');
    await expect(editor(page)).toContainText('xacton');
  });

  test('keeps a draft over a reload, and throws it away when asked', async ({ page }) => {
    await beginDraft(page);
    await write(page, document(4242));
    await page.reload();
    await expect(editor(page)).toContainText('version: 4242');
    await page.getByRole('button', { name: 'Start over' }).click();
    await page.getByRole('button', { name: 'Throw it away' }).click();
    await expect(page.getByRole('button', { name: 'Observe only' })).toBeVisible();
    await page.getByRole('button', { name: 'A server' }).click();
    await expect(stepOf(page, 'Check')).toContainText('done');
    await expect(page.getByText('server, version 1 is sound.')).toBeVisible();
  });

  test('takes single letters as text and not as the keys of the page', async ({ page }) => {
    await beginDraft(page);
    await write(page, '');
    await page.keyboard.type('# ? g f');
    await expect(editor(page)).toHaveText('# ? g f');
    await expect(page).toHaveURL(/#\/policy/);
    await expect(page.getByRole('dialog')).toHaveCount(0);
  });

  test('comes from an alert with a rule against its source', async ({ page }) => {
    await page.goto(`${HOST}/#/policy?tab=edit&block=10.55.0.9&why=port-scan`);
    await expect(page.getByRole('status')).toContainText('what 10.55.0.9 sends is dropped');
    await expect(editor(page)).toContainText('blocked: {cidr: ["10.55.0.9"]}');
    await expect(editor(page)).toContainText('# 10.55.0.9: port-scan');
    await expect(page).not.toHaveURL(/block=/);
    await stepOf(page, 'Compare').click();
    await expect(page.getByRole('region', { name: 'Line by line' })).toContainText('+   - {id: blocked, dir: in, from: "@blocked", action: drop}');
    await expect(page.locator('.changes')).toContainText('blocked');
    await accessible(page);
    await shots(page, 'policy-edit-diff');
    await page.getByRole('link', { name: 'Or ban it now' }).click();
    await expect(page.getByLabel('Address or prefix')).toHaveValue('10.55.0.9');
  });
});

test.describe('into force', () => {
  test('a rehearsal warns of what is in use', async ({ page }) => {
    await page.goto(`${HOST}/#/policy`);
    await logIn(page, token());
    await beginDraft(page);
    await write(page, document(nextVersion(), '{id: no-intranet, dir: out, proto: tcp, to: 10.55.0.2, dport: 8080, action: drop}'));
    await stepOf(page, 'Rehearse').click();
    await page.getByRole('button', { name: 'Rehearse', exact: true }).click();
    await expect(page.getByRole('alert')).toContainText(/It would refuse [\d.k]+ flows that pass now/);
    const cut = page.locator('section.cut');
    await expect(cut).toContainText('no-intranet');
    await expect(cut).toContainText('10.55.0.2');
    await expect(cut).toContainText('curl');
    await accessible(page);
    await shots(page, 'policy-rehearse');
    await stepOf(page, 'Apply').click();
    await expect(page.getByText(/The rehearsal says that it refuses [\d.k]+ flows/)).toBeVisible();
    // Another text: that rehearsal is no longer about it.
    await write(page, document(nextVersion()));
    await expect(page.getByText('It was not rehearsed as it stands')).toBeVisible();
    await expect(stepOf(page, 'Rehearse')).toContainText('out of date');
  });

  test('in a fleet every host is asked, and who could not rehearse is named', async ({ page }) => {
    await page.goto(`${DEMO}/#/policy?tab=edit`);
    await logIn(page, tokenOf(DEMO));
    await page.getByRole('button', { name: 'A server' }).click();
    await stepOf(page, 'Rehearse').click();
    await expect(page.getByText('that each host of the fleet has recorded')).toBeVisible();
    await page.getByRole('button', { name: 'Rehearse', exact: true }).click();
    // The hosts of the demo enforce nothing, so none of them has anything to judge with.
    await expect(page.getByText(/did not rehearse it: this agent enforces no policy/)).toHaveCount(5);
    await expect(page.getByText('No host could rehearse it')).toBeVisible();
    await expect(page.getByText('0 of 5 hosts')).toBeVisible();
    await shots(page, 'policy-rehearse-fleet');
  });

  test('a policy is applied, confirmed over a new connection, and taken back', async ({ page }) => {
    await page.goto(`${HOST}/#/policy`);
    await logIn(page, token());
    await beginDraft(page);
    const version = nextVersion();
    await apply(page, document(version, '{id: extra, dir: in, proto: udp, dport: 9, action: drop}'));
    const waits = page.getByRole('region', { name: 'A change waits for confirmation' });
    await expect(waits.getByRole('timer')).toHaveText(/^1m\d\ds left$/);
    await expect(waits).toContainText('bed, version');
    await shots(page, 'policy-pending');
    await accessible(page);
    await waits.getByRole('button', { name: 'Confirm' }).click();
    await expect(page.getByText('Confirmed: it stays.')).toBeVisible({ timeout: 20_000 });
    await page.getByRole('link', { name: 'In force' }).click();
    await expect(page.getByRole('heading', { name: `bed, version ${version}` })).toBeVisible();
    await expect(page.getByRole('row', { name: /^extra / })).toBeVisible();
    await page.getByRole('button', { name: 'Go back' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Go back' }).click();
    await expect(page.getByRole('row', { name: /^extra / })).toHaveCount(0);
  });

  test('a change is rolled back by keyboard before it is confirmed', async ({ page }) => {
    await page.goto(`${HOST}/#/policy`);
    await logIn(page, token());
    await beginDraft(page);
    await apply(page, document(nextVersion(), '{id: brief, dir: in, proto: udp, dport: 9, action: drop}'));
    await page.getByRole('button', { name: 'Roll back' }).press('Enter');
    await expect(page.getByText('Rolled back.')).toBeVisible();
    await page.getByRole('link', { name: 'In force' }).press('Enter');
    await expect(page.getByRole('row', { name: /^web / })).toBeVisible();
    await expect(page.getByRole('row', { name: /^brief / })).toHaveCount(0);
  });

  test('a version that is too low is refused, and raised by a click', async ({ page, quiet }) => {
    quiet.allow(/409|400/);
    await page.goto(`${HOST}/#/policy`);
    await logIn(page, token());
    await beginDraft(page);
    // Whatever was taken up before, this one was not above it a second time.
    const version = nextVersion();
    await apply(page, document(version, '{id: brief, dir: in, proto: udp, dport: 9, action: drop}'));
    await page.getByRole('button', { name: 'Roll back' }).click();
    await expect(page.getByText('Rolled back.')).toBeVisible();
    await write(page, document(version, '{id: other, dir: in, proto: udp, dport: 9, action: drop}'));
    await page.getByRole('button', { name: 'Apply …' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Apply now' }).click();
    await page.getByRole('button', { name: `Set the version to ${version + 1}` }).click();
    await expect(editor(page)).toContainText(`version: ${version + 1}`);
  });

  test('asks who is not logged in to log in', async ({ page }) => {
    await beginDraft(page);
    await stepOf(page, 'Apply').click();
    await page.getByRole('button', { name: 'Apply …' }).click();
    await expect(page.getByRole('dialog', { name: 'Log in' })).toBeVisible();
  });

  test('signs with a key for this one act, and keeps nothing of it', async ({ page }, info) => {
    const secret = 'hivewall-secret-ed25519 0FRQaaxkf0AjvZ2XSH/kNDprGIAIyihmTKyuynvhobw= ada';
    const file = info.outputPath('ada.key');
    writeFileSync(file, `${secret}\n`);
    await beginDraft(page);
    await stepOf(page, 'Sign').click();
    await expect(page.getByText('Digest')).toBeVisible();
    await page.getByLabel('Key file (NAME.key of policy keygen)').setInputFiles(file);
    await page.getByRole('button', { name: 'Sign', exact: true }).click();
    await expect(page.getByText('Signed with key 01d942738da6cda2 (ada). The key is forgotten.')).toBeVisible();
    await expect(stepOf(page, 'Sign')).toContainText('done');
    const kept = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]));
    expect(kept).not.toContain('0FRQaaxkf0AjvZ2X');
    expect(await page.getByLabel('Key file (NAME.key of policy keygen)').inputValue()).toBe('');
    await accessible(page);
    await shots(page, 'policy-sign');
    // One letter more, and the signature is of another text.
    await write(page, document(nextVersion()));
    await expect(stepOf(page, 'Sign')).not.toContainText('done');
    await page.getByLabel('The signed document').fill('kind: Policy\n');
    await page.getByRole('button', { name: 'Take it' }).click();
    await expect(page.getByText('That is no signed document')).toBeVisible();
  });
});

test.describe('explain', () => {
  test('says which rule decides, and why those before it do not', async ({ page }) => {
    await page.goto(`${HOST}/#/policy?tab=explain`);
    await page.getByLabel('From', { exact: true }).fill('10.55.0.9');
    await page.getByLabel('To', { exact: true }).fill('10.55.0.1');
    await page.getByLabel('Port', { exact: true }).fill('23');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('heading', { name: 'No: it is dropped' })).toBeVisible();
    const steps = page.getByRole('region', { name: 'Every rule that was asked, in order' }).getByRole('listitem');
    await expect(steps).toHaveCount(2);
    await expect(steps.first()).toContainText('destination port 23 is not 8080, 8081');
    await expect(steps.last()).toContainText('decides');
    await accessible(page);
    await shots(page, 'policy-explain');
    await page.getByLabel('Port', { exact: true }).fill('8080');
    await page.getByRole('button', { name: 'Explain', exact: true }).click();
    await expect(page.getByRole('heading', { name: 'Yes: it passes' })).toBeVisible();
    await expect(page).toHaveURL(/from=10\.55\.0\.9&to=10\.55\.0\.1&port=8080/);
  });

  test('answers what a shared address asks, and says what it does not understand', async ({ page, quiet }) => {
    quiet.allow(/400/);
    await page.goto(`${HOST}/#/policy?tab=explain&from=10.55.0.9&to=10.55.0.1&port=23`);
    await expect(page.getByRole('heading', { name: 'No: it is dropped' })).toBeVisible();
    await page.getByLabel('From', { exact: true }).fill('nonsense');
    await page.getByRole('button', { name: 'Explain', exact: true }).click();
    await expect(page.getByRole('alert')).toContainText('nonsense');
  });

  test('asks the draft instead', async ({ page }) => {
    await beginDraft(page);
    await write(page, document(nextVersion(), '{id: no-scanner, dir: in, from: 10.55.0.9, action: reject}'));
    await page.getByRole('link', { name: 'Explain' }).click();
    await page.getByLabel('From', { exact: true }).fill('10.55.0.9');
    await page.getByLabel('To', { exact: true }).fill('10.55.0.1');
    await page.getByLabel('Port', { exact: true }).fill('8080');
    await page.getByLabel('Ask').selectOption('the draft');
    await page.getByRole('button', { name: 'Explain', exact: true }).click();
    await expect(page.getByRole('heading', { name: 'No: it is refused' })).toBeVisible();
    await expect(page.getByRole('listitem').filter({ hasText: 'no-scanner' })).toContainText('decides');
  });
});

test('an address is banned and the ban lifted, by keyboard', async ({ page }) => {
  await page.goto(`${HOST}/#/policy?tab=bans`);
  await logIn(page, token());
  await page.getByLabel('Address or prefix').fill('10.55.0.77');
  await page.getByLabel('Reason').fill('<b>a test</b>');
  await page.keyboard.press('Enter');
  const ask = page.getByRole('dialog', { name: 'Ban 10.55.0.77?' });
  await ask.getByRole('button', { name: 'Ban', exact: true }).press('Enter');
  const row = page.getByRole('row', { name: /^10\.55\.0\.77/ });
  await expect(row).toContainText('<b>a test</b>');
  await expect(row).toContainText('operator');
  await expect(row).toContainText(/(59m\d\ds|1h00m)/);
  await accessible(page);
  await shots(page, 'policy-bans');
  await row.getByRole('button', { name: 'Lift the ban of 10.55.0.77' }).press('Enter');
  await page.getByRole('dialog').getByRole('button', { name: 'Lift' }).press('Enter');
  await expect(row).toHaveCount(0);
});

test('packet filters of others are listed with their counters', async ({ page }) => {
  const nft = (commands: string): Buffer => execFileSync('nft', ['-f', '-'], { input: commands });
  nft(`table inet hwtest {
    set seen { type ipv4_addr; elements = { 10.0.0.1 }; }
    chain input { type filter hook input priority 5; policy accept; tcp dport 9999 counter drop comment "old"; }
  }
`);
  try {
    await page.goto(`${HOST}/#/policy?tab=filters`);
    const table = page.locator('details').filter({ hasText: 'inet hwtest' });
    await expect(table).toContainText('others’');
    await expect(table).toContainText('filter, hook input, priority 5');
    await expect(table.getByRole('row', { name: /tcp dport 9999/ })).toContainText('0');
    await expect(table).toContainText('seen (1 elements)');
    await accessible(page);
    await shots(page, 'policy-filters');
    await page.getByLabel('Show').selectOption('ours');
    await expect(table).toHaveCount(0);
    await expect(page).toHaveURL(/whose=ours/);
  } finally {
    nft('delete table inet hwtest');
  }
  await page.getByLabel('Show').selectOption('all');
  await page.getByRole('button', { name: 'Read again' }).click();
  await expect(page.getByText('inet hwtest')).toHaveCount(0);
});
