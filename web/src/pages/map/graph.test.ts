import { describe, expect, it } from 'vitest';
import type { FlowRow, HostFlow } from '../../lib/types';
import { fold, NODES_MAX } from './fold';
import { edgeTerms, graphOf, names, narrow, nodeTerms, verdictOf, type By, type Way } from './graph';

let next = 0;
const flow = (from: string, to: string, more: Partial<FlowRow> = {}): FlowRow =>
  ({
    flow_id: (next += 1), community_id: `1:${next}`, source_ip: from, dest_ip: to, src_port: 40000, dest_port: 443, protocol: 'tcp',
    bytes: 100, bytes_to_server: 40, bytes_to_client: 60, packets: 2, direction: 'transit', interfaces: [], ...more,
  }) as unknown as FlowRow;
const at = (host: string | undefined, one: FlowRow): HostFlow => ({ flow: one, host });
const way = (by: By): Way => ({ by, bits4: 24, bits6: 64 });
const words = {
  subnet: (net: string, n: number) => `${net} (${n})`,
  others: (n: number) => `${n} others`,
  othersOf: (net: string, n: number) => `${n} others of ${net}`,
};
const graph = (rows: HostFlow[], by: By = 'host') => graphOf(rows, way(by), names(rows));

describe('a flow between two members', () => {
  const id = { community_id: '1:same', dest_port: 80 };
  const rows = [
    at('a', flow('10.0.0.1', '10.0.0.2', { ...id, direction: 'outbound', verdict: 'accept', process: 'curl' })),
    at('b', flow('10.0.0.1', '10.0.0.2', { ...id, direction: 'inbound', verdict: 'drop', process: 'nginx' })),
  ];

  it('counts once, with the worse verdict', () => {
    const { nodes, edges } = graph(rows);
    expect(nodes.map((one) => [one.label, one.kind, one.bytes, one.flows])).toEqual([['a', 'host', 100, 1], ['b', 'host', 100, 1]]);
    expect(edges.map((one) => [one.from, one.to, one.verdict, one.bytes])).toEqual([['h:a', 'h:b', 'refused', 100]]);
  });

  it('has the process of each end from the host that knows it', () => {
    expect(graph(rows, 'process').edges.map((one) => [one.from, one.to])).toEqual([['p:a/curl', 'p:b/nginx']]);
  });

  it('counts when only one of them told', () => {
    expect(graph([rows[1] as HostFlow]).edges).toHaveLength(1);
  });
});

it('does not give one host the addresses of all', () => {
  const known = names([at('a', flow('10.0.0.1', 'ff02::fb', { direction: 'outbound' })), at('b', flow('10.0.0.9', '224.0.0.1', { direction: 'inbound' }))], [
    { name: 'c', addresses: ['127.0.0.1:7', '10.0.0.3:7', '[fd00::3]:7'] },
  ]);
  expect([...known.host]).toEqual([['10.0.0.3', 'c'], ['fd00::3', 'c'], ['10.0.0.1', 'a']]);
});

it('takes the worse of both directions for the verdict', () => {
  expect(verdictOf(flow('a', 'b', { verdict: 'accept', reply_verdict: 'reject' }))).toBe('refused');
  expect(verdictOf(flow('a', 'b', { verdict: 'observed', would_drop: true }))).toBe('observed');
  expect(verdictOf(flow('a', 'b', { verdict: 'accept' }))).toBe('accepted');
  expect(verdictOf(flow('a', 'b'))).toBe('unjudged');
});

it('groups by service, subnet and process', () => {
  const rows = [
    at('a', flow('10.0.0.1', '192.0.2.7', { direction: 'outbound', process: 'curl', application: 'https' })),
    at('a', flow('10.0.0.1', '192.0.2.8', { direction: 'outbound', process: 'curl', application: 'https' })),
    at('a', flow('10.0.0.4', '10.0.0.1', { direction: 'inbound', process: 'sshd', dest_port: 22, bytes: 50 })),
    at('a', flow('fd00::1', 'fd00:0:0:1::2', { protocol: 'icmpv6', dest_port: undefined, bytes: 10 })),
  ];
  const edges = (by: By) => graph(rows, by).edges.map((one) => `${one.from} ${one.to} ${one.bytes}`);
  expect(edges('service')).toEqual(['h:a s:tcp/443 200', 'a:10.0.0.4 s:tcp/22 50', 'a:fd00::1 s:icmpv6 10']);
  expect(edges('subnet')).toEqual(['n:10.0.0.0/24 n:192.0.2.0/24 200', 'n:10.0.0.0/24 n:10.0.0.0/24 50', 'n:fd00::/64 n:fd00:0:0:1::/64 10']);
  expect(edges('process')).toEqual(['p:/curl a:192.0.2.7 100', 'p:/curl a:192.0.2.8 100', 'a:10.0.0.4 p:/sshd 50', 'a:fd00::1 a:fd00:0:0:1::2 10']);
});

it('counts what a node says to itself once', () => {
  const { nodes } = graph([at(undefined, flow('10.0.0.1', '10.0.0.1'))]);
  expect(nodes.map((one) => [one.bytes, one.sent, one.received, one.flows])).toEqual([[100, 40, 60, 1]]);
});

it('keeps verdicts apart', () => {
  const { edges, nodes } = graph([at(undefined, flow('a', 'b', { verdict: 'accept', bytes: 9000 })), at(undefined, flow('a', 'b', { verdict: 'drop' }))]);
  expect(edges.map((one) => [one.verdict, one.bytes])).toEqual([['accepted', 9000], ['refused', 100]]);
  expect(nodes[0]?.verdicts).toEqual({ refused: 100, observed: 0, accepted: 9000, unjudged: 0 });
});

describe('filters', () => {
  it('asks for a node and for an edge', () => {
    const made = graph([at('a', flow('10.0.0.1', '192.0.2.7', { direction: 'outbound', verdict: 'drop' }))], 'service');
    const by = new Map(made.nodes.map((one) => [one.key, one]));
    expect(nodeTerms(by.get('h:a')!)).toEqual(['ip:10.0.0.1']);
    expect(nodeTerms(by.get('s:tcp/443')!)).toEqual(['proto:tcp', 'dst-port:443']);
    expect(edgeTerms(made.edges[0]!, by)).toEqual(['src-ip:10.0.0.1', 'proto:tcp', 'dst-port:443', 'verdict:drop', 'verdict:reject']);
  });

  it('asks for one process where both ends have one', () => {
    const made = graph([at('a', flow('10.0.0.1', '10.0.0.1', { direction: 'local', process: 'my shell', peer_process: 'nginx' }))], 'process');
    expect(edgeTerms(made.edges[0]!, new Map(made.nodes.map((one) => [one.key, one])))).toEqual(['process:"my shell"']);
  });

  it('lets a narrower term take the place of a wider one', () => {
    expect(narrow('ip:10.0.0.0/8 -port:22 process:"a b"', ['ip:10.0.0.1'])).toBe('-port:22 process:"a b" ip:10.0.0.1');
    expect(narrow('', ['ip:1.1.1.1'])).toBe('ip:1.1.1.1');
  });
});

describe('five thousand addresses', () => {
  const rows = Array.from({ length: 5000 }, (_, at_) =>
    at('a', flow('10.0.0.1', `10.${50 + Math.floor(at_ / 250)}.0.${at_ % 250}`, { direction: 'outbound', bytes: 1000 + at_ })));
  const all = graph(rows);
  const shown = (open: string[]) => fold(all, new Set(open), words);
  const total = all.edges.reduce((sum, one) => sum + one.bytes, 0);

  it('fold into what can be read, and no byte is lost', () => {
    const folded = shown([]);
    expect(all.nodes).toHaveLength(5001);
    expect(folded.nodes.length).toBeLessThanOrEqual(NODES_MAX);
    expect(folded.edges.reduce((sum, one) => sum + one.bytes, 0)).toBe(total);
    expect(folded.nodes.reduce((sum, one) => sum + (one.members ?? 1), 0)).toBe(5001);
    const keys = new Set(folded.nodes.map((one) => one.key));
    expect(folded.edges.filter((one) => !keys.has(one.from) || !keys.has(one.to))).toEqual([]);
  });

  it('open step by step', () => {
    const folded = shown(['g:10.51.0.0/24']);
    expect(folded.nodes.filter((one) => one.label.startsWith('10.51.0.'))).toHaveLength(60);
    const rest = folded.nodes.find((one) => one.key === 'o:10.51.0.0/24:1');
    expect(rest?.label).toBe('190 others of 10.51.0.0/24');
    const further = shown(['g:10.51.0.0/24', 'o:10.51.0.0/24:1']);
    expect(further.nodes.filter((one) => one.label.startsWith('10.51.0.'))).toHaveLength(120);
    expect(further.edges.reduce((sum, one) => sum + one.bytes, 0)).toBe(total);
  });
});

it('folds what is in no subnet into others, which open', () => {
  const rows = Array.from({ length: 400 }, (_, i) => at('a', flow('10.0.0.1', `${20 + (i % 100)}.${i}.0.1`.replace(/\.(\d{3,})\./, (_m, n: string) => `.${Number(n) % 256}.`), { direction: 'outbound', bytes: 1000 + i })));
  const all = graph(rows);
  const folded = fold(all, new Set(), words);
  const others = folded.nodes.find((one) => one.key === 'o:0');
  expect(folded.nodes.length).toBeLessThanOrEqual(NODES_MAX);
  expect(others?.label).toBe(`${others?.members} others`);
  expect(fold(all, new Set(['o:0']), words).nodes.length).toBe(folded.nodes.length + 60);
});

it('leaves few nodes as they are', () => {
  const few = graph([at(undefined, flow('10.0.0.1', '10.0.0.2'))]);
  expect(fold(few, new Set(), words)).toBe(few);
});
