// Edits of a policy's text that leave everything else as it was: comments, order, spacing. Nothing here understands
// YAML as a whole: it knows where keys stand, and what cannot be done safely is not done.

/** Head of a signed document; see docs/guide/policy-signing.md. */
const SIGNED = '#hivewall-signed';
const HEAD_END = '\n#--\n';

/** The document's own text, without the head of signatures. */
export function stripHead(text: string): string {
  if (!text.startsWith(SIGNED)) return text;
  const end = text.indexOf(HEAD_END);
  return end < 0 ? text : text.slice(end + HEAD_END.length);
}

export const isSigned = (text: string): boolean => text.startsWith(SIGNED);

/** The text with what is in comments and quotes as dots, so that what is found in it has meaning. Places stay. */
export function mask(text: string): string {
  let out = '';
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] as string;
    if (quote) {
      if (quote === '"' && letter === '\\') {
        out += '..';
        at += 1;
        continue;
      }
      if (letter === quote) quote = '';
      out += letter === '\n' ? '\n' : '.';
    } else if (letter === '#' && (at === 0 || /\s/.test(text[at - 1] as string))) {
      const end = text.indexOf('\n', at);
      const stop = end < 0 ? text.length : end;
      out += '.'.repeat(stop - at);
      at = stop - 1;
    } else if ((letter === '"' || letter === "'") && /[\s[{,:-]/.test(text[at - 1] ?? '\n')) {
      quote = letter;
      out += '.';
    } else {
      out += letter;
    }
  }
  return out;
}

interface Span {
  from: number;
  to: number;
}

const endOfLine = (text: string, at: number): number => {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
};

/** The columns before the first letter that is no space. */
const indentAt = (line: string): number => /^ */.exec(line)?.[0].length ?? 0;

/** Where the value of a key at the left edge begins and where what belongs to it ends. */
function topLevel(text: string, key: string): Span | undefined {
  const hidden = mask(text);
  const found = new RegExp(`^${key}:`, 'm').exec(hidden);
  if (!found) return undefined;
  const from = found.index + found[0].length;
  // It ends where another key stands at the left edge; a list may stand there too. Comments before the next belong to it.
  const next = /\n[^\s.\-\]}]/g;
  next.lastIndex = from;
  const end = next.exec(hidden);
  return { from, to: end ? end.index + 1 : text.length };
}

/** Where the bracket at `at` is closed. */
function closing(hidden: string, at: number): number {
  let depth = 0;
  for (let here = at; here < hidden.length; here += 1) {
    const letter = hidden[here] as string;
    if ('[{'.includes(letter)) depth += 1;
    else if (']}'.includes(letter) && --depth === 0) return here;
  }
  return -1;
}

const insert = (text: string, at: number, what: string): string => text.slice(0, at) + what + text.slice(at);

/** What stands behind `metadata.KEY`, with its place. */
function metadata(text: string, key: string): (Span & { value: string }) | undefined {
  const part = topLevel(text, 'metadata');
  if (!part) return undefined;
  const found = new RegExp(`(?:^|[\\s{,])${key}:[ \\t]*([^\\s,}]+)`).exec(mask(text).slice(part.from, part.to));
  if (!found) return undefined;
  const to = part.from + found.index + found[0].length;
  const from = to - (found[1] as string).length;
  return { from, to, value: text.slice(from, to) };
}

export function versionOf(text: string): number | undefined {
  const value = Number(metadata(text, 'version')?.value);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

export function nameOf(text: string): string {
  return (metadata(text, 'name')?.value ?? '').replace(/^["']|["']$/g, '');
}

/** The text with another version; as it was where it names none. */
export function withVersion(text: string, version: number): string {
  const at = metadata(text, 'version');
  return at ? text.slice(0, at.from) + String(version) + text.slice(at.to) : text;
}

/** Keys of a mapping in braces that begins at `open`, with the places behind their colons. */
function flowKeys(hidden: string, text: string, open: number): Map<string, number> {
  const keys = new Map<string, number>();
  let depth = 0;
  for (let at = open; at < hidden.length; at += 1) {
    const letter = hidden[at] as string;
    if ('[{'.includes(letter)) depth += 1;
    if (']}'.includes(letter) && --depth === 0) break;
    if (depth === 1 && '{,'.includes(letter)) {
      const key = /^\s*([^\s:,{}[\]]+)\s*:/.exec(text.slice(at + 1));
      if (key) keys.set((key[1] as string).replace(/^["']|["']$/g, ''), at + 1 + key[0].length);
    }
  }
  return keys;
}

/** Keys of a mapping in lines: those of the least depth. */
function blockKeys(text: string, span: Span): { indent: number; keys: Map<string, number> } {
  const hidden = mask(text);
  const keys = new Map<string, number>();
  let indent = -1;
  let at = endOfLine(text, span.from) + 1;
  while (at < span.to) {
    const end = endOfLine(text, at);
    const key = /^( +)([^\s.:#[\]{}-][^\s:]*):(?=\s|$)/.exec(hidden.slice(at, end));
    if (key) {
      if (indent < 0) indent = (key[1] as string).length;
      if ((key[1] as string).length === indent) keys.set(key[2] as string, at + key[0].length);
    }
    at = end + 1;
  }
  return { indent: indent < 0 ? 2 : indent, keys };
}

/** Where the value at `at` begins, on the same line; -1 when it stands in the lines below. */
function valueAt(hidden: string, at: number): number {
  const rest = /^[ \t]*(\S)?/.exec(hidden.slice(at, endOfLine(hidden, at)));
  const first = rest?.[1];
  // A dot is a comment here, or a quoted scalar.
  return first === undefined ? -1 : at + (rest?.[0].length ?? 1) - 1;
}

/** The sets of a document and where their values are. */
function sets(text: string): { span: Span; flow: number; indent: number; keys: Map<string, number> } | undefined {
  const span = topLevel(text, 'sets');
  if (!span) return undefined;
  const hidden = mask(text);
  const open = valueAt(hidden, span.from);
  if (open >= 0 && hidden[open] === '{') {
    return { span, flow: open, indent: 2, keys: flowKeys(hidden, text, open) };
  }
  return { span, flow: -1, ...blockKeys(text, span) };
}

/** Names of the sets that a document has, for completion as `@NAME`. */
export const setNames = (text: string): string[] => [...(sets(text)?.keys.keys() ?? [])];

const quoted = (address: string): string => `"${address}"`;

/** Adds an address to the list behind `cidr`, which begins at `at`; nothing where its form is another one. */
function intoList(text: string, at: number): ((address: string) => string) | undefined {
  const hidden = mask(text);
  const begin = valueAt(hidden, at);
  if (begin < 0) {
    // A list in lines below: another line before the first.
    const item = /^\n(?:[ .]*\n)*( *)- /.exec(hidden.slice(endOfLine(text, at)));
    if (!item) return undefined;
    const where = endOfLine(text, at) + 1;
    return (address) => insert(text, where, `${item[1] ?? ''}- ${quoted(address)}\n`);
  }
  if (hidden[begin] === '[') {
    const empty = /^\[\s*\]/.test(hidden.slice(begin));
    return (address) => insert(text, begin + 1, quoted(address) + (empty ? '' : ', '));
  }
  const one = /^("[^"\n]*"|'[^'\n]*'|[^\s,}#]+)/.exec(text.slice(begin));
  if (!one) return undefined;
  return (address) => `${text.slice(0, begin)}[${quoted(address)}, ${one[0]}]${text.slice(begin + one[0].length)}`;
}

/** Where the value of `cidr` of a set begins, whose value begins at `at`. */
function cidrOf(text: string, at: number): number | undefined {
  const hidden = mask(text);
  const begin = valueAt(hidden, at);
  if (begin >= 0) return hidden[begin] === '{' ? flowKeys(hidden, text, begin).get('cidr') : undefined;
  const found = /^[^\n]*\n(?:[ .]*\n)* +cidr:/.exec(hidden.slice(at));
  return found ? at + found[0].length : undefined;
}

/** Puts an address into the set of that name, which is made where it is not there. */
function intoSet(text: string, name: string, address: string, comment: string): string | undefined {
  const there = sets(text);
  const entry = `${name}: {cidr: [${quoted(address)}]}`;
  if (!there) {
    const before = /^tiers:/m.exec(mask(text))?.index;
    const block = `sets:\n  ${comment}\n  ${entry}\n`;
    if (before === undefined) return undefined;
    return insert(text, before, block);
  }
  const value = there.keys.get(name);
  if (value !== undefined) {
    const cidr = cidrOf(text, value);
    return cidr === undefined ? undefined : intoList(text, cidr)?.(address);
  }
  if (there.flow >= 0) {
    const separator = there.keys.size > 0 ? ', ' : '';
    return insert(text, there.flow + 1, entry + separator);
  }
  const pad = ' '.repeat(there.indent);
  const where = endOfLine(text, there.span.from);
  return insert(text, where, `\n${pad}${comment}\n${pad}${entry}`);
}

/** Puts a rule before all others of the first tier. */
function firstRule(text: string, rule: string): string | undefined {
  const span = topLevel(text, 'tiers');
  if (!span) return undefined;
  const hidden = mask(text);
  const open = valueAt(hidden, span.from);
  if (open >= 0 && hidden[open] === '[') {
    const close = closing(hidden, open);
    if (close < 0 || hidden.slice(open + 1, close).trim() !== '') return undefined;
    return `${text.slice(0, span.from)}\n- name: main\n  rules:\n  ${rule}${text.slice(close + 1)}`;
  }
  const part = hidden.slice(span.from, span.to);
  const tier = /\n( *)- /.exec(part);
  if (!tier) return undefined;
  // Up to the second tier: a dash at the same depth.
  const begin = span.from + tier.index + 1;
  const second = new RegExp(`\\n {${(tier[1] ?? '').length}}- `).exec(hidden.slice(begin, span.to));
  const end = second ? begin + second.index + 1 : span.to;
  const rules = /(?:^|\n)( +)(?:- +)?rules:/.exec(hidden.slice(begin, end));
  if (!rules) return withRules(text, begin, end, rule);
  const behind = begin + rules.index + rules[0].length;
  const value = valueAt(hidden, behind);
  if (value >= 0 && hidden[value] === '[') {
    const empty = /^\[\s*\]/.test(hidden.slice(value));
    const flow = rule.replace(/^- /, '');
    return insert(text, value + 1, flow + (empty ? '' : ', '));
  }
  const item = /\n( *)- /.exec(hidden.slice(behind, end));
  const pad = item?.[1] ?? rules[1] ?? '  ';
  return insert(text, endOfLine(text, behind), `\n${pad}${rule}`);
}

/** For a tier that has no rules yet. */
function withRules(text: string, begin: number, end: number, rule: string): string | undefined {
  const line = text.slice(begin, endOfLine(text, begin));
  if (/^ *- *\{/.test(line)) return undefined;
  const pad = ' '.repeat(indentAt(line) + 2);
  const where = text.slice(begin, end).trimEnd().length + begin;
  return insert(text, where, `\n${pad}rules:\n${pad}${rule}`);
}

/** A name that stands nowhere in the text as a word. */
function freeName(text: string, wish: string): string {
  const taken = (name: string): boolean => new RegExp(`(?<![\\w.-])${name}(?![\\w.-])`).test(mask(text));
  let name = wish;
  for (let n = 2; taken(name); n += 1) name = `${wish}-${n}`;
  return name;
}

export type Blocked =
  /** `added`: with set or rule as needed. `there`: it is refused already. `failed`: the text has a form that cannot be edited. */
  | { done: 'added' | 'there'; text: string }
  | { done: 'failed'; text: string };

/** An address or a prefix, and nothing that could mean something in YAML. */
export const isAddress = (text: string): boolean => /^[0-9a-fA-F.:]+(\/\d{1,3})?$/.test(text) && /[.:]/.test(text);

/** The set and the rule that `block` keeps addresses in. */
const BLOCKED = 'blocked';

/** Refuses what comes from an address: puts it into the set `blocked`, and a rule that drops what is in it before all
    others. `why` names the alert and becomes a comment. */
export function block(text: string, address: string, why: string): Blocked {
  const failed: Blocked = { done: 'failed', text };
  if (!isAddress(address)) return failed;
  // One line, whatever the address of the page said.
  const reason = why.replace(/[^\w .:/()-]/g, ' ').trim().slice(0, 80);
  const comment = `# ${address}${reason ? `: ${reason}` : ''}`;
  const there = sets(text)?.keys.get(BLOCKED);
  const listed = there !== undefined && text.slice(there, blockEnd(text, there)).includes(address);
  const set = listed ? text : intoSet(text, BLOCKED, address, comment);
  if (set === undefined) return failed;
  const usesIt = new RegExp(`from: *["']@${BLOCKED}["']`).test(set);
  if (usesIt) return { done: listed ? 'there' : 'added', text: set };
  const id = freeName(set.replace(/^ *blocked:/m, ''), BLOCKED);
  const done = firstRule(set, `- {id: ${id}, dir: in, from: "@${BLOCKED}", action: drop}`);
  return done === undefined ? failed : { done: 'added', text: done };
}

/** Where the value of a set ends: its line, and lines below that stand deeper. */
function blockEnd(text: string, at: number): number {
  const begin = text.lastIndexOf('\n', at) + 1;
  const depth = indentAt(text.slice(begin));
  let end = endOfLine(text, at);
  while (end < text.length) {
    const next = endOfLine(text, end + 1);
    const line = text.slice(end + 1, next);
    if (line.trim() !== '' && indentAt(line) <= depth) break;
    end = next;
  }
  return end;
}
