// What can stand at a place of a policy: keys and values from its JSON Schema, names of the document's own sets. It works on
// text that is half written, so it looks at indentation and open brackets and builds no tree.
import { mask, setNames } from './document';

/** As much of JSON Schema as the schema of policies has. */
export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  const?: unknown;
  default?: unknown;
  examples?: unknown[];
}

/** Where somebody writes: the keys above, `-` for an entry of a list, and whether it is a key or a value that comes. */
export interface Place {
  path: string[];
  what: 'key' | 'value';
  /** Where the word that is being written begins. */
  from: number;
  /** Keys that are beside it already. */
  taken: string[];
}

export interface Offer {
  label: string;
  /** What is written in its place. */
  insert: string;
  detail: string;
  info: string;
  kind: 'key' | 'word' | 'set' | 'example';
}

const ITEM = '-';

interface Bracket {
  at: number;
  letter: string;
}

/** Brackets that are open at the end of a text. */
function open(hidden: string): Bracket[] {
  const found: Bracket[] = [];
  for (let at = 0; at < hidden.length; at += 1) {
    const letter = hidden[at] as string;
    if ('[{'.includes(letter)) found.push({ at, letter });
    else if (']}'.includes(letter)) found.pop();
  }
  return found;
}

/** A line of YAML without brackets: where its dashes and its key are. */
function line(text: string): { dashes: number[]; key?: string; at: number; valueAt: number } {
  const lead = /^( *)((?:- +|-$)*)/.exec(text);
  const dashes: number[] = [];
  const at = lead?.[0].length ?? 0;
  for (let here = lead?.[1]?.length ?? 0; here < at; here += 1) if (text[here] === '-') dashes.push(here);
  const key = /^([^\s:,#[\]{}]+):(?=\s|$)/.exec(text.slice(at));
  return { dashes, key: key?.[1], at, valueAt: key ? at + key[0].length : -1 };
}

/** The keys above a place at column `column` of the last of `lines`, outermost first. */
function above(lines: string[], column: number): string[] {
  const path: string[] = [];
  let limit = column;
  // An entry of a list may stand as deep as the key that it belongs to.
  let same = false;
  for (let at = lines.length - 1; at >= 0; at -= 1) {
    const text = lines[at] as string;
    if (/^[ .]*$/.test(text)) continue;
    const here = line(text);
    const own = at === lines.length - 1;
    if (!own && here.key !== undefined && (here.at < limit || (same && here.at === limit))) {
      path.unshift(here.key);
      limit = here.at;
      same = false;
    }
    for (const dash of [...here.dashes].reverse()) {
      if (dash >= limit) continue;
      path.unshift(ITEM);
      limit = dash;
      same = true;
    }
    if (limit === 0 && !same) break;
  }
  return path;
}

/** Keys at the same depth as the place, in the same mapping. */
function beside(lines: string[], column: number): string[] {
  const taken: string[] = [];
  for (let at = lines.length - 2; at >= 0; at -= 1) {
    const text = lines[at] as string;
    if (/^[ .]*$/.test(text)) continue;
    const here = line(text);
    if (here.at < column) break;
    if (here.at === column && here.key) taken.push(here.key);
    if (here.dashes.some((dash) => dash < column)) break;
  }
  return taken;
}

/** Of the inside of a brace: its keys at the first level. */
function keysIn(hidden: string, text: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at <= hidden.length; at += 1) {
    const letter = hidden[at] ?? ',';
    if ('[{'.includes(letter)) depth += 1;
    else if (']}'.includes(letter)) depth -= 1;
    else if (letter === ',' && depth === 0) {
      const key = /^\s*([^\s:]+):/.exec(text.slice(from, at));
      if (key) keys.push(key[1] as string);
      from = at + 1;
    }
  }
  return keys;
}

/** Where the part behind the last comma at the first level begins. */
function lastPart(hidden: string): number {
  let depth = 0;
  let from = 0;
  for (let at = 0; at < hidden.length; at += 1) {
    const letter = hidden[at] as string;
    if ('[{'.includes(letter)) depth += 1;
    else if (']}'.includes(letter)) depth -= 1;
    else if (letter === ',' && depth === 0) from = at + 1;
  }
  return from;
}

/** The rest of a text, from a place on: what of it is the value that a key or nothing stands before. */
function afterKey(part: string): { key?: string; value: string } {
  const found = /^\s*([^\s:,[\]{}]+):(?:\s+([\s\S]*))?$/.exec(part);
  return found?.[2] === undefined ? { value: part.trimStart() } : { key: found[1], value: found[2] };
}

/** Inside brackets: the path from the outermost bracket on. */
function inFlow(text: string, hidden: string, brackets: Bracket[]): Place {
  const path: string[] = [];
  brackets.forEach((bracket, at) => {
    const next = brackets[at + 1];
    if (!next) return;
    const inside = hidden.slice(bracket.at + 1, next.at);
    const part = inside.slice(lastPart(inside));
    path.push(bracket.letter === '[' ? ITEM : (/^\s*([^\s:]+):/.exec(part)?.[1] ?? ''));
  });
  const inner = brackets.at(-1) as Bracket;
  const begin = inner.at + 1;
  const inside = hidden.slice(begin);
  const from = begin + lastPart(inside);
  const part = text.slice(from);
  if (inner.letter === '[') {
    return { path: [...path, ITEM], what: 'value', from: text.length - part.trimStart().length, taken: [] };
  }
  const { key, value } = afterKey(part);
  if (key !== undefined) return { path: [...path, key], what: 'value', from: text.length - value.length, taken: [] };
  return { path, what: 'key', from: text.length - value.length, taken: keysIn(inside.slice(0, lastPart(inside)), text.slice(begin, from)) };
}

/** Where somebody writes at the end of `text`. Nothing in a comment. */
export function placeAt(text: string): Place | undefined {
  const hidden = mask(`${text}\u200b`).slice(0, -1);
  if (isComment(text.slice(text.lastIndexOf('\n') + 1))) return undefined;
  const brackets = open(hidden);
  const first = brackets[0];
  if (!first) return inBlock(text, hidden);
  const before = hidden.slice(0, first.at);
  const lines = before.split('\n');
  const here = line(lines.at(-1) as string);
  const outer = above(lines, here.key === undefined ? first.at - before.lastIndexOf('\n') - 1 : here.at);
  const flow = inFlow(text, hidden, brackets);
  return { ...flow, path: [...outer, ...(here.key === undefined ? [] : [here.key]), ...flow.path] };
}

/** Whether a line ends within a comment. */
function isComment(text: string): boolean {
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] as string;
    if (quote) quote = letter === quote ? '' : quote;
    else if (letter === '#' && (at === 0 || /\s/.test(text[at - 1] as string))) return true;
    else if (/["']/.test(letter) && /[\s[{,:-]/.test(text[at - 1] ?? ' ')) quote = letter;
  }
  return false;
}

function inBlock(text: string, hidden: string): Place {
  const lines = hidden.split('\n');
  const own = lines.at(-1) as string;
  const start = text.length - own.length;
  const here = line(own);
  if (here.key !== undefined && own.length > here.valueAt) {
    const value = text.slice(start + here.valueAt).trimStart();
    return { path: [...above(lines, here.at), here.key], what: 'value', from: text.length - value.length, taken: [] };
  }
  return { path: above(lines, here.at), what: 'key', from: start + here.at, taken: beside(lines, here.at) };
}

/** All that a schema can be: references followed, alternatives side by side. */
function forms(schema: Schema | undefined, root: Schema): Schema[] {
  if (!schema) return [];
  const named = schema.$ref ? root.$defs?.[schema.$ref.replace('#/$defs/', '')] : undefined;
  const more = [...(named ? [named] : []), ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  return [schema, ...more.flatMap((one) => forms(one, root))];
}

function step(schemas: Schema[], key: string, root: Schema): Schema[] {
  const next = schemas.map((one) => {
    if (key === ITEM) return one.items;
    const other = typeof one.additionalProperties === 'object' ? one.additionalProperties : undefined;
    return one.properties?.[key] ?? other;
  });
  return next.flatMap((one) => forms(one, root));
}

/** What the schema says about a place. */
export function schemasAt(root: Schema, path: string[]): Schema[] {
  return path.reduce((schemas, key) => step(schemas, key, root), forms(root, root));
}

function keyOffers(schemas: Schema[], taken: string[], root: Schema): Offer[] {
  const offers = new Map<string, Offer>();
  for (const schema of schemas) {
    for (const [key, value] of Object.entries(schema.properties ?? {})) {
      if (taken.includes(key) || offers.has(key)) continue;
      const said = forms(value, root).find((one) => one.description)?.description ?? '';
      const needed = schema.required?.includes(key) ?? false;
      offers.set(key, { label: key, insert: `${key}: `, detail: needed ? '*' : '', info: said, kind: 'key' });
    }
  }
  return [...offers.values()];
}

/** Words that YAML reads as something else without quotes. */
const written = (value: unknown): string =>
  typeof value === 'string' && (/^[@!*&%]/.test(value) || /:/.test(value)) ? JSON.stringify(value) : String(value);

/** Whether addresses can stand there, so that a set can. */
const takesSets = (schemas: Schema[]): boolean => schemas.some((one) => one.examples?.some((example) => String(example).startsWith('@')));

function valueOffers(schemas: Schema[], sets: string[]): Offer[] {
  const offers = new Map<string, Offer>();
  const put = (value: unknown, info: string, kind: Offer['kind']): void => {
    const label = String(value);
    if (!offers.has(label)) offers.set(label, { label, insert: written(value), detail: '', info, kind });
  };
  if (takesSets(schemas)) for (const name of sets) put(`@${name}`, '', 'set');
  for (const schema of schemas) if (schema.const !== undefined) put(schema.const, schema.description ?? '', 'word');
  for (const schema of schemas) {
    if (schema.type === 'boolean') for (const value of [true, false]) put(value, '', 'word');
    if (schema.default !== undefined && typeof schema.default !== 'object') put(schema.default, '', 'example');
    for (const example of schema.examples ?? []) if (!(takesSets(schemas) && /@/.test(String(example)))) put(example, '', 'example');
  }
  return [...offers.values()];
}

/** What can be written at the end of `text`; `whole` is the document, for its sets. */
export function offersAt(root: Schema, text: string, whole: string): { from: number; offers: Offer[] } | undefined {
  const place = placeAt(text);
  if (!place) return undefined;
  const schemas = schemasAt(root, place.path);
  if (place.what === 'key') {
    const keys = keyOffers(schemas, place.taken, root);
    // A list in lines: its entries are values until a key is written.
    return { from: place.from, offers: keys.length > 0 ? keys : valueOffers(schemas, setNames(whole)) };
  }
  // A quote that is open is taken away with the word.
  return { from: place.from, offers: valueOffers(schemas, setNames(whole)) };
}

/** What the schema says about `key`, which is written behind `text`. */
export function describeKey(root: Schema, text: string, key: string): string {
  const place = placeAt(text);
  if (place?.what !== 'key') return '';
  return schemasAt(root, [...place.path, key]).find((one) => one.description)?.description ?? '';
}
