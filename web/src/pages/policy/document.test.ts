import { describe, expect, it } from 'vitest';
import { block, isAddress, mask, nameOf, setNames, stripHead, versionOf, withVersion } from './document';

const BED = `# The policy of the host.
kind: Policy
metadata: {name: bed, version: 1, description: "version: 9 # not this one"}
mode: enforce
sets:
  lan: {cidr: [10.55.0.0/24, "fd00:55::/64"]} # ours
tiers:
- name: main
  default: {in: accept, out: accept}
  rules:
  # The web server.
  - {id: web, dir: in, proto: tcp, from: "@lan", dport: [8080, 8081], action: accept}
- name: second
  rules: []
`;

describe('the text as it is read', () => {
  it('hides comments and quotes and keeps every place', () => {
    expect(mask('a: "x: #1" # c\nb: 1')).toBe('a: ....... ...\nb: 1');
    expect(mask("a: it's #no")).toBe("a: it's ...");
    expect(mask('a: "x\\"y"\nb')).toBe('a: ......\nb');
  });
  it('takes the head of signatures off', () => {
    expect(stripHead('#hivewall-signed 1\n#kind policy\n#by a b\n#--\nkind: Policy\n')).toBe('kind: Policy\n');
    expect(stripHead(BED)).toBe(BED);
  });
  it('reads and writes the version, in braces and in lines', () => {
    expect(versionOf(BED)).toBe(1);
    expect(nameOf(BED)).toBe('bed');
    expect(withVersion(BED, 12)).toBe(BED.replace('version: 1,', 'version: 12,'));
    const lines = 'kind: Policy\nmetadata:\n  name: "edge"\n  # version: 3\n  version: 41 # next\ntiers: []\n';
    expect(versionOf(lines)).toBe(41);
    expect(nameOf(lines)).toBe('edge');
    expect(withVersion(lines, 42)).toContain('  version: 42 # next\n');
    expect(withVersion('tiers: []', 2)).toBe('tiers: []');
  });
  it('knows the sets, in braces and in lines', () => {
    expect(setNames(BED)).toEqual(['lan']);
    expect(setNames('sets: {a: {cidr: 10.0.0.1}, "b": {hosts: "role"}}\ntiers: []')).toEqual(['a', 'b']);
    expect(setNames('sets:\n    a:\n        cidr: [10.0.0.1]\n    # c: {}\n    b: {file: /x}\ntiers: []')).toEqual(['a', 'b']);
    expect(setNames('tiers: []')).toEqual([]);
  });
  it('takes for an address what can be one', () => {
    for (const good of ['10.55.0.9', 'fd00::1', '10.0.0.0/8', 'fd00::/64']) expect(isAddress(good)).toBe(true);
    for (const bad of ['', 'abc', '10.0.0.1, x', '10.0.0.1"', '@lan', '1']) expect(isAddress(bad)).toBe(false);
  });
});

describe('blocking an address', () => {
  const done = (text: string, address = '10.55.0.9', why = 'port-scan-1'): string => {
    const result = block(text, address, why);
    expect(result.done).toBe('added');
    return result.text;
  };

  it('adds a set and a rule before all others, and keeps every other line', () => {
    const text = done(BED);
    expect(text.split('\n').filter((line) => !BED.split('\n').includes(line))).toEqual([
      '  # 10.55.0.9: port-scan-1',
      '  blocked: {cidr: ["10.55.0.9"]}',
      '  - {id: blocked, dir: in, from: "@blocked", action: drop}',
    ]);
    expect(BED.split('\n').every((line) => text.includes(line))).toBe(true);
    expect(text.indexOf('id: blocked')).toBeLessThan(text.indexOf('id: web'));
    expect(text.indexOf('id: blocked')).toBeGreaterThan(text.indexOf('  rules:'));
  });
  it('puts the next one into the same set', () => {
    const text = done(done(BED), 'fd00::9');
    expect(text).toContain('  blocked: {cidr: ["fd00::9", "10.55.0.9"]}');
    expect(text.match(/id: blocked/g)).toHaveLength(1);
    expect(block(text, 'fd00::9', '').done).toBe('there');
  });
  it('makes the sets where there are none', () => {
    expect(done('kind: Policy\nmetadata: {name: a, version: 1}\ntiers:\n- name: main\n  rules: []\n')).toBe(
      'kind: Policy\nmetadata: {name: a, version: 1}\nsets:\n  # 10.55.0.9: port-scan-1\n  blocked: {cidr: ["10.55.0.9"]}\n' +
        'tiers:\n- name: main\n  rules: [{id: blocked, dir: in, from: "@blocked", action: drop}]\n',
    );
  });
  it('takes sets in braces, a list in lines, and one address', () => {
    expect(done('sets: {a: {cidr: 10.0.0.1}}\ntiers: []\n')).toContain('sets: {blocked: {cidr: ["10.55.0.9"]}, a: {cidr: 10.0.0.1}}');
    expect(done('sets: {}\ntiers: []\n')).toContain('sets: {blocked: {cidr: ["10.55.0.9"]}}');
    expect(done('sets:\n  blocked:\n    cidr:\n    # old\n    - 10.0.0.1\ntiers: []\n')).toContain('    cidr:\n    - "10.55.0.9"\n    # old\n    - 10.0.0.1\n');
    expect(done('sets:\n  blocked: {cidr: 10.0.0.1}\ntiers: []\n')).toContain('blocked: {cidr: ["10.55.0.9", 10.0.0.1]}');
  });
  it('makes a tier where there is none, and rules where a tier has none', () => {
    expect(done('tiers: []\n')).toContain('tiers:\n- name: main\n  rules:\n  - {id: blocked,');
    expect(done('tiers:\n  - name: a\n    default: {in: drop}\n  - name: b\n')).toContain(
      '    default: {in: drop}\n    rules:\n    - {id: blocked, dir: in, from: "@blocked", action: drop}\n  - name: b\n',
    );
  });
  it('gives the rule another name where that one is taken', () => {
    expect(done('tiers:\n- name: main\n  rules:\n  - {id: blocked, dir: out, action: drop}\n')).toContain('- {id: blocked-2, dir: in,');
  });
  it('does nothing where it cannot be sure', () => {
    for (const text of ['sets:\n  blocked: {hosts: "role"}\ntiers: []\n', 'kind: Policy\n', 'tiers: [{name: main}]\n']) {
      expect(block(text, '10.0.0.1', '')).toEqual({ done: 'failed', text });
    }
    expect(block(BED, '10.0.0.1]}', '').done).toBe('failed');
  });
  it('cannot be made to write another line by the reason', () => {
    expect(done(BED, '10.0.0.1', 'x\nmode: observe')).toContain('# 10.0.0.1: x mode: observe\n');
  });
});
