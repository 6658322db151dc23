// Few enough nodes to be read: the largest stay, the others become groups that open, by subnet first and then all that
// is left. Pure.
import { larger, noVerdicts, VERDICTS, type Edge, type Graph, type Node } from './graph';
import { prefix } from './net';

/** Nodes that can be read at once. */
export const NODES_MAX = 60;
/** Of them, those that are never folded. */
const KEPT = 36;
/** How many more an opened group shows. */
export const OPENED = 60;
/** Names that a group tells of itself. */
const LARGEST = 8;

const SUBNET = 'g:';
const OTHERS = 'o:';

/** Whether it is a group that opens by a click. */
export const opens = (node: Node): boolean => node.kind === 'group';

function group(key: string, label: string, members: Node[], address?: string): Node {
  const verdicts = noVerdicts();
  const sum: Node = { key, label, kind: 'group', who: address ? { addresses: [address] } : {}, bytes: 0, packets: 0, flows: 0, sent: 0, received: 0, verdicts, members: 0, largest: [] };
  for (const one of [...members].sort(larger)) {
    sum.bytes += one.bytes;
    sum.packets += one.packets;
    sum.flows += one.flows;
    sum.sent += one.sent;
    sum.received += one.received;
    for (const verdict of VERDICTS) verdicts[verdict] += one.verdicts[verdict];
    sum.members = (sum.members ?? 0) + (one.members ?? 1);
    if ((sum.largest?.length ?? 0) < LARGEST) sum.largest?.push(one.label);
  }
  return sum;
}

/** Nodes by the subnet they fold into; those that fold into none, or alone, stand by themselves. */
function bySubnet(nodes: Node[]): { subnets: Map<string, Node[]>; alone: Node[] } {
  const subnets = new Map<string, Node[]>();
  const alone: Node[] = [];
  for (const node of nodes) {
    if (node.address === undefined) {
      alone.push(node);
      continue;
    }
    const net = prefix(node.address, 24, 64);
    subnets.set(net, [...(subnets.get(net) ?? []), node]);
  }
  for (const [net, members] of subnets) {
    if (members.length > 1) continue;
    subnets.delete(net);
    alone.push(...members);
  }
  return { subnets, alone };
}

/** Which node each one is drawn as. */
class Plan {
  readonly shown: Node[] = [];
  readonly into = new Map<string, string>();

  show(nodes: Node[]): void {
    this.shown.push(...nodes);
  }

  fold(members: Node[], as: Node, made: Map<string, Node[]>): void {
    this.shown.push(as);
    for (const member of members) for (const one of made.get(member.key) ?? [member]) this.into.set(one.key, as.key);
  }
}

/** The words for groups, which the caller has. */
export interface Words {
  subnet: (net: string, members: number) => string;
  others: (members: number) => string;
  othersOf: (net: string, members: number) => string;
}

const KEEPS = (node: Node): boolean => node.kind === 'host';

function plan(graph: Graph, open: Set<string>, words: Words): Plan {
  const result = new Plan();
  const wider = [...open].filter((key) => key.startsWith(OTHERS) && /^o:\d+$/.test(key)).length;
  // Hosts of the fleet first: they are what one looks for.
  const ranked = [...graph.nodes].sort((a, b) => Number(KEEPS(b)) - Number(KEEPS(a)) || larger(a, b));
  const kept = ranked.slice(0, KEPT);
  result.show(kept);
  const { subnets, alone } = bySubnet(ranked.slice(KEPT));
  const made = new Map<string, Node[]>();
  const candidates = [...alone];
  for (const [net, members] of subnets) {
    const key = `${SUBNET}${net}`;
    if (open.has(key)) {
      openSubnet(result, net, members, open, words, made);
      continue;
    }
    made.set(key, members);
    candidates.push(group(key, words.subnet(net, members.length), members, net));
  }
  candidates.sort(larger);
  const room = NODES_MAX - KEPT - 1 + OPENED * wider;
  for (const one of candidates.slice(0, room)) {
    const members = made.get(one.key);
    if (members) result.fold(members, one, new Map());
    else result.show([one]);
  }
  const rest = candidates.slice(room);
  if (rest.length === 0) return result;
  const total = rest.reduce((sum, one) => sum + (one.members ?? 1), 0);
  // The number makes each step of opening a group of its own.
  result.fold(rest, group(`${OTHERS}${wider}`, words.others(total), rest), made);
  return result;
}

/** An opened subnet: its largest, and a group for what is left of it, which opens in turn. */
function openSubnet(result: Plan, net: string, members: Node[], open: Set<string>, words: Words, made: Map<string, Node[]>): void {
  let steps = 1;
  while (open.has(`${OTHERS}${net}:${steps}`)) steps += 1;
  const sorted = [...members].sort(larger);
  result.show(sorted.slice(0, OPENED * steps));
  const rest = sorted.slice(OPENED * steps);
  if (rest.length > 0) result.fold(rest, group(`${OTHERS}${net}:${steps}`, words.othersOf(net, rest.length), rest), made);
}

function redirect(edges: Edge[], into: Map<string, string>): Edge[] {
  const merged = new Map<string, Edge>();
  for (const edge of edges) {
    const from = into.get(edge.from) ?? edge.from;
    const to = into.get(edge.to) ?? edge.to;
    const key = `${from}>${to}>${edge.verdict}`;
    const before = merged.get(key);
    if (!before) {
      merged.set(key, { ...edge, key, from, to, services: { ...edge.services } });
      continue;
    }
    before.bytes += edge.bytes;
    before.packets += edge.packets;
    before.flows += edge.flows;
    before.toServer += edge.toServer;
    for (const [name, bytes] of Object.entries(edge.services)) before.services[name] = (before.services[name] ?? 0) + bytes;
  }
  return [...merged.values()].sort(larger);
}

/** The graph with its smallest nodes folded, but those of groups that are open. */
export function fold(graph: Graph, open: Set<string>, words: Words): Graph {
  if (graph.nodes.length <= NODES_MAX) return graph;
  const { shown, into } = plan(graph, open, words);
  return { nodes: shown.sort(larger), edges: redirect(graph.edges, into) };
}
