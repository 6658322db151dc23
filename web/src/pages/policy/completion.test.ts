import { describe, expect, it } from 'vitest';
import { describeKey, offersAt, placeAt, type Schema } from './completion';

/** A cut of what `hivewall policy schema` prints. */
const SCHEMA: Schema = {
  properties: {
    kind: { oneOf: [{ const: 'Policy', description: 'A firewall policy.' }] },
    metadata: { $ref: '#/$defs/Metadata', description: 'Which one it is.' },
    mode: { oneOf: [{ const: 'observe', description: 'Counted.' }, { const: 'enforce', description: 'Carried out.' }], default: 'enforce' },
    sets: { type: 'object', additionalProperties: { $ref: '#/$defs/Set' } },
    exempt: { anyOf: [{ $ref: '#/$defs/Addresses' }, { type: 'null' }] },
    tiers: { type: 'array', items: { $ref: '#/$defs/Tier' } },
  },
  required: ['kind', 'metadata', 'tiers'],
  $defs: {
    Metadata: { properties: { name: { type: 'string', description: 'Its name.' }, version: { type: 'integer' } }, required: ['name', 'version'] },
    Set: { oneOf: [{ properties: { cidr: {} } }, { properties: { hosts: {} } }] },
    Addresses: {
      anyOf: [
        { type: 'string', examples: ['@mgmt', '10.0.0.0/8'] },
        { type: 'array', items: { type: 'string', examples: ['@mgmt', '10.0.0.0/8'] } },
      ],
    },
    Tier: { properties: { name: {}, default: { properties: { in: { $ref: '#/$defs/Action' }, out: { $ref: '#/$defs/Action' } } }, rules: { items: { $ref: '#/$defs/Rule' } } } },
    Action: { oneOf: [{ const: 'accept', description: 'It passes.' }, { const: 'drop' }] },
    Rule: {
      properties: {
        id: { type: 'string', description: 'Its name, unique.' },
        from: { anyOf: [{ $ref: '#/$defs/Addresses' }, { type: 'null' }] },
        action: { $ref: '#/$defs/Action' },
        log: { anyOf: [{ type: 'boolean' }, { properties: { rate: { examples: ['5/s'] } } }] },
      },
      required: ['id', 'action'],
    },
  },
};

const labels = (text: string, whole = text): string[] => offersAt(SCHEMA, text, whole)?.offers.map((one) => one.label) ?? ['(nothing)'];
const path = (text: string): string => {
  const place = placeAt(text);
  return place ? `${place.what} ${place.path.join('/')} "${text.slice(place.from)}"` : 'nowhere';
};

describe('where somebody writes', () => {
  it.each([
    ['', 'key  ""'],
    ['ki', 'key  "ki"'],
    ['mode: ', 'value mode ""'],
    ['mode: en', 'value mode "en"'],
    ['metadata: {', 'key metadata ""'],
    ['metadata: {name: bed, ver', 'key metadata "ver"'],
    ['metadata: {name: be', 'value metadata/name "be"'],
    ['metadata:\n  na', 'key metadata "na"'],
    ['metadata:\n  name: x\ntie', 'key  "tie"'],
    ['tiers:\n- name: main\n  ru', 'key tiers/- "ru"'],
    ['tiers:\n- na', 'key tiers/- "na"'],
    ['tiers:\n  - name: main\n    rules:\n    - {id: a, action: accept}\n    - {i', 'key tiers/-/rules/- "i"'],
    ['tiers:\n- name: main\n  rules:\n  - {id: a, from: "@', 'value tiers/-/rules/-/from ""@"'],
    ['tiers:\n- name: main\n  rules:\n  - {id: a, from: [10.0.0.1, "@', 'value tiers/-/rules/-/from/- ""@"'],
    ['tiers:\n- name: main\n  rules:\n  - id: a\n    act', 'key tiers/-/rules/- "act"'],
    ['tiers:\n- name: main\n  rules:\n  - id: a\n    from:\n    - "@', 'key tiers/-/rules/-/from/- ""@"'],
    ['tiers:\n- name: main\n  default: {in: drop, out: ', 'value tiers/-/default/out ""'],
    ['tiers:\n- name: a\n  rules:\n  # {id: no\n  - {id: b}\n- name: b\n  de', 'key tiers/- "de"'],
    ['sets:\n  lan: {c', 'key sets/lan "c"'],
    ['mode: x # ', 'nowhere'],
    ['# ki', 'nowhere'],
  ])('%j', (text, expected) => {
    expect(path(text)).toBe(expected);
  });
});

describe('what is offered', () => {
  it('keys that are not there yet, with what they mean and whether they are needed', () => {
    expect(labels('tiers:\n- name: main\n  rules:\n  - {id: a, ')).toEqual(['from', 'action', 'log']);
    expect(labels('tiers:\n- name: main\n  rules:\n  - id: a\n    ')).toEqual(['from', 'action', 'log']);
    expect(labels('kind: Policy\nmode: observe\n')).toEqual(['metadata', 'sets', 'exempt', 'tiers']);
    expect(offersAt(SCHEMA, 'metadata: {', '')?.offers[0]).toEqual({ label: 'name', insert: 'name: ', detail: '*', info: 'Its name.', kind: 'key' });
  });
  it('words with what they mean', () => {
    expect(labels('mode: ')).toEqual(['observe', 'enforce']);
    expect(offersAt(SCHEMA, 'mode: ', '')?.offers[0]?.info).toBe('Counted.');
    expect(labels('tiers:\n- name: m\n  default: {in: ')).toEqual(['accept', 'drop']);
    expect(labels('tiers:\n- name: m\n  rules:\n  - {log: ')).toEqual(['true', 'false']);
    expect(labels('tiers:\n- name: m\n  rules:\n  - {log: {rate: ')).toEqual(['5/s']);
  });
  it('the sets of the document, in quotes', () => {
    const whole = 'sets:\n  lan: {cidr: 10.0.0.0/8}\n  dmz: {cidr: 10.1.0.0/16}\n';
    for (const text of ['exempt: ', 'exempt: "@', 'exempt: [', 'exempt:\n- ']) expect(labels(whole + text)).toEqual(['@lan', '@dmz', '10.0.0.0/8']);
    expect(offersAt(SCHEMA, `${whole}exempt: "@`, whole)?.offers[0]?.insert).toBe('"@lan"');
  });
});

it('says what a key means', () => {
  expect(describeKey(SCHEMA, 'tiers:\n- name: m\n  rules:\n  - {', 'id')).toBe('Its name, unique.');
  expect(describeKey(SCHEMA, '', 'metadata')).toBe('Which one it is.');
  expect(describeKey(SCHEMA, 'mode: ', 'id')).toBe('');
});
