// Who talks to whom: flows become nodes and edges. Pure; what becomes of too many nodes is in `fold.ts`.
//
// An edge goes from clients to servers and is of one verdict, so that a little that is refused is not lost in much that
// passes.
import { term } from '../../lib/complete';
import type { FlowRow, HostFlow } from '../../lib/types';
import { ownable, prefix, withoutPort } from './net';

export const WAYS = ['host', 'service', 'subnet', 'process'] as const;
export type By = (typeof WAYS)[number];

export const VERDICTS = ['refused', 'observed', 'accepted', 'unjudged'] as const;
/** What the policy said; the worst first. */
export type Verdict = (typeof VERDICTS)[number];

export type Kind = 'host' | 'address' | 'service' | 'subnet' | 'process' | 'group';

/** By what the flows of a node are found: all of its parts hold; of several addresses any. */
export interface Who {
  addresses?: string[];
  process?: string;
  protocol?: string;
  port?: number;
}

export interface Volume {
  bytes: number;
  packets: number;
  flows: number;
}

export interface Node extends Volume {
  key: string;
  label: string;
  kind: Kind;
  who: Who;
  /** The address by which it folds into a subnet. */
  address?: string;
  /** What it sent and received, in bytes. */
  sent: number;
  received: number;
  /** Bytes of it by verdict. */
  verdicts: Record<Verdict, number>;
  /** How many nodes a group stands for. */
  members?: number;
  /** The names of the largest of them. */
  largest?: string[];
}

export interface Edge extends Volume {
  key: string;
  from: string;
  to: string;
  verdict: Verdict;
  toServer: number;
  /** Service → bytes. */
  services: Record<string, number>;
}

export interface Graph {
  nodes: Node[];
  edges: Edge[];
}

/** How nodes are made of flows. */
export interface Way {
  by: By;
  bits4: number;
  bits6: number;
}

/** Which host an address belongs to, and which addresses a host has. */
export interface Names {
  host: Map<string, string>;
  addresses: Map<string, string[]>;
}

interface Member {
  name: string;
  addresses: string[];
}

/** Whose addresses are whose: members say so, and each host's flows show its own. */
export function names(rows: HostFlow[], members: Member[] = []): Names {
  const host = new Map<string, string>();
  const add = (address: string, name: string | undefined): void => {
    if (name && ownable(address) && !host.has(address)) host.set(address, name);
  };
  for (const member of members) for (const one of member.addresses) add(withoutPort(one), member.name);
  for (const { flow, host: seenAt } of rows) {
    if (flow.direction === 'outbound' || flow.direction === 'local') add(flow.source_ip, seenAt);
    if (flow.direction === 'inbound' || flow.direction === 'local') add(flow.dest_ip, seenAt);
  }
  const addresses = new Map<string, string[]>();
  for (const [address, name] of host) addresses.set(name, [...(addresses.get(name) ?? []), address]);
  return { host, addresses };
}

export function verdictOf(flow: FlowRow): Verdict {
  const said = [flow.verdict, flow.reply_verdict];
  if (said.some((one) => one === 'drop' || one === 'reject')) return 'refused';
  if (flow.would_drop || said.includes('observed')) return 'observed';
  return said.includes('accept') ? 'accepted' : 'unjudged';
}

/** A flow as the map takes it: of two reports of one, what both know. */
interface Seen {
  flow: FlowRow;
  verdict: Verdict;
  /** Processes at the ends, and the hosts they are of. */
  client: { process?: string; host?: string };
  server: { process?: string; host?: string };
}

function seen({ flow, host }: HostFlow): Seen {
  const here = { process: flow.process ?? undefined, host };
  const other = { process: flow.peer_process ?? undefined, host };
  const inbound = flow.direction === 'inbound';
  return { flow, verdict: verdictOf(flow), client: inbound ? other : here, server: inbound ? here : other };
}

const worst = (a: Verdict, b: Verdict): Verdict => (VERDICTS.indexOf(a) < VERDICTS.indexOf(b) ? a : b);

/** A flow between two members is told by both; it counts once, as its client's host tells it, with the other's verdict
 *  where that is worse and the other's process. */
export function once(rows: HostFlow[]): Seen[] {
  const arrived = new Map<string, HostFlow>();
  const left = new Map<string, HostFlow>();
  for (const row of rows) {
    if (row.flow.direction === 'inbound') arrived.set(row.flow.community_id, row);
    if (row.flow.direction === 'outbound') left.set(row.flow.community_id, row);
  }
  const result: Seen[] = [];
  for (const row of rows) {
    const twin = (row.flow.direction === 'inbound' ? left : arrived).get(row.flow.community_id);
    const two = twin !== undefined && twin.host !== row.host && row.flow.direction !== 'transit';
    if (two && row.flow.direction === 'inbound') continue;
    const one = seen(row);
    if (two && row.flow.direction === 'outbound') {
      const other = seen(twin);
      one.verdict = worst(one.verdict, other.verdict);
      one.server = other.server;
    }
    result.push(one);
  }
  return result;
}

type End = Pick<Node, 'key' | 'label' | 'kind' | 'who' | 'address'>;

function byHost(address: string, known: Names): End {
  const name = known.host.get(address);
  if (name === undefined) return { key: `a:${address}`, label: address, kind: 'address', who: { addresses: [address] }, address };
  return { key: `h:${name}`, label: name, kind: 'host', who: { addresses: known.addresses.get(name) ?? [address] } };
}

function bySubnet(address: string, way: Way): End {
  const net = prefix(address, way.bits4, way.bits6);
  return { key: `n:${net}`, label: net, kind: 'subnet', who: { addresses: [net] } };
}

/** `https tcp/443`; a protocol without ports by its name. */
export function serviceOf(flow: FlowRow): string {
  const at = flow.dest_port === undefined || flow.dest_port === null ? flow.protocol : `${flow.protocol}/${flow.dest_port}`;
  return flow.application ? `${flow.application} ${at}` : at;
}

function byService(flow: FlowRow): End {
  const at = flow.dest_port === undefined || flow.dest_port === null ? flow.protocol : `${flow.protocol}/${flow.dest_port}`;
  return { key: `s:${at}`, label: serviceOf(flow), kind: 'service', who: { protocol: flow.protocol, port: flow.dest_port ?? undefined } };
}

function byProcess(end: { process?: string; host?: string }, address: string, known: Names): End {
  if (!end.process) return byHost(address, known);
  const name = known.host.get(address);
  const several = known.addresses.size > 1 && name !== undefined;
  return {
    key: `p:${several ? name : ''}/${end.process}`,
    label: several ? `${end.process} · ${name}` : end.process,
    kind: 'process',
    who: { process: end.process, addresses: several ? known.addresses.get(name) : undefined },
  };
}

function ends(one: Seen, way: Way, known: Names): [End, End] {
  const { source_ip: from, dest_ip: to } = one.flow;
  switch (way.by) {
    case 'host': return [byHost(from, known), byHost(to, known)];
    case 'subnet': return [bySubnet(from, way), bySubnet(to, way)];
    case 'service': return [byHost(from, known), byService(one.flow)];
    case 'process': return [byProcess(one.client, from, known), byProcess(one.server, to, known)];
  }
}

export const noVerdicts = (): Record<Verdict, number> => ({ refused: 0, observed: 0, accepted: 0, unjudged: 0 });

function count(volume: Volume, flow: FlowRow): void {
  volume.bytes += flow.bytes;
  volume.packets += flow.packets;
  volume.flows += 1;
}

/** The graph of flows, the largest nodes and edges first. */
export function graphOf(rows: HostFlow[], way: Way, known: Names): Graph {
  const nodes = new Map<string, Node>();
  const edges = new Map<string, Edge>();
  const node = (end: End): Node => {
    let found = nodes.get(end.key);
    if (!found) nodes.set(end.key, (found = { ...end, bytes: 0, packets: 0, flows: 0, sent: 0, received: 0, verdicts: noVerdicts() }));
    return found;
  };
  for (const one of once(rows)) {
    const [client, server] = ends(one, way, known).map(node) as [Node, Node];
    const key = `${client.key}>${server.key}>${one.verdict}`;
    let edge = edges.get(key);
    if (!edge) edges.set(key, (edge = { key, from: client.key, to: server.key, verdict: one.verdict, bytes: 0, packets: 0, flows: 0, toServer: 0, services: {} }));
    count(edge, one.flow);
    edge.toServer += one.flow.bytes_to_server;
    const service = serviceOf(one.flow);
    edge.services[service] = (edge.services[service] ?? 0) + one.flow.bytes;
    // What a node says to itself is counted at it once.
    for (const end of new Set([client, server])) {
      count(end, one.flow);
      end.verdicts[one.verdict] += one.flow.bytes;
    }
    client.sent += one.flow.bytes_to_server;
    client.received += one.flow.bytes_to_client;
    if (server === client) continue;
    server.sent += one.flow.bytes_to_client;
    server.received += one.flow.bytes_to_server;
  }
  return { nodes: [...nodes.values()].sort(larger), edges: [...edges.values()].sort(larger) };
}

/** For sorting: the largest first, the same way whatever came first. */
export const larger = (a: Volume & { key: string }, b: Volume & { key: string }): number =>
  b.bytes - a.bytes || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** More addresses than a filter should hold. */
const ADDRESSES_MAX = 24;

function terms(who: Who, field: 'ip' | 'src-ip' | 'dst-ip'): string[] | undefined {
  if ((who.addresses?.length ?? 0) > ADDRESSES_MAX) return undefined;
  const found = (who.addresses ?? []).map((one) => term(field, one));
  if (who.process !== undefined) found.push(term('process', who.process));
  if (who.protocol !== undefined) found.push(term('proto', who.protocol));
  if (who.port !== undefined) found.push(term('dst-port', who.port));
  return found.length > 0 ? found : undefined;
}

/** The filter for the flows of a node; nothing where none would be true. */
export const nodeTerms = (node: Node): string[] | undefined => terms(node.who, 'ip');

const OF_VERDICT: Record<Verdict, string[]> = {
  refused: ['verdict:drop', 'verdict:reject'],
  observed: ['verdict:observed'],
  accepted: ['verdict:accept'],
  unjudged: [],
};

/** The filter for the flows of an edge. A process at both ends cannot be asked for; the client's is. */
export function edgeTerms(edge: Edge, nodes: Map<string, Node>): string[] | undefined {
  const from = nodes.get(edge.from);
  const to = nodes.get(edge.to);
  const client = from && terms(from.who, 'src-ip');
  const server = to && terms(from?.who.process === undefined ? to.who : { ...to.who, process: undefined }, 'dst-ip');
  if (!client && !server) return undefined;
  return [...(client ?? []), ...(server ?? []), ...OF_VERDICT[edge.verdict]];
}

/** A filter narrowed to terms: those of the same fields before it give way, since several of one field mean any. */
export function narrow(filter: string, more: string[]): string {
  const fields = new Set(more.map((one) => one.slice(0, one.indexOf(':'))));
  const kept = (filter.match(/(?:[^\s"]|"[^"]*")+/g) ?? []).filter((one) => !fields.has(one.split(':', 1)[0] ?? ''));
  return [...kept, ...more].join(' ');
}
