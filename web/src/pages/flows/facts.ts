// What is known of one flow, in groups, each value with the filter term that finds others like it. Pure.
//
// Values come from the wire and may hold anything; they are text here and stay text.
import { term } from '../../lib/complete';
import { bytes, clock, count, seconds } from '../../lib/format';
import type { FlowRow, HostFlow } from '../../lib/types';

/** The parts of the detail, in their order. */
export const GROUPS = ['endpoints', 'names', 'process', 'policy', 'timing', 'states', 'ids'] as const;
export type GroupName = (typeof GROUPS)[number];

export interface Fact {
  /** Field of the flow, or a name of its own; `text.flows.facts` has the label. */
  key: string;
  value: string;
  /** What finds the like; absent: nothing can. */
  term?: string;
  tone?: 'good' | 'warn' | 'bad';
  /** An address that a policy could refuse. */
  block?: string;
  /** To be copied. */
  copy?: boolean;
  /** Name of a note beside it, in `text.flows.notes`. */
  note?: string;
}

type Value = string | number | null | undefined;
type More = Omit<Fact, 'key' | 'value' | 'term'>;

/** A fact, unless nothing is known. `field` names the filter field of the value. */
function fact(key: string, value: Value, field?: string, more: More = {}): Fact[] {
  if (value === undefined || value === null || value === '') return [];
  return [{ key, value: String(value), ...(field ? { term: term(field, value) } : {}), ...more }];
}

const span = (key: string, value: number | null | undefined): Fact[] =>
  value === undefined || value === null ? [] : fact(key, seconds(value));

/** A count of what should not be; finds flows that have any. */
function trouble(key: string, value: number | null | undefined, field: string): Fact[] {
  if (value === undefined || value === null) return [];
  return [{ key, value: count(value), ...(value > 0 ? { term: `${field}:>0`, tone: 'warn' as const } : {}) }];
}

export function toneOf(verdict: string | null | undefined): Fact['tone'] {
  if (verdict === 'accept') return 'good';
  if (verdict === 'observed') return 'warn';
  return verdict ? 'bad' : undefined;
}

function endpoints(flow: FlowRow): Fact[] {
  return [
    ...fact('source_ip', flow.source_ip, 'src-ip', { block: flow.source_ip }),
    ...fact('src_port', flow.src_port, 'src-port'),
    ...fact('dest_ip', flow.dest_ip, 'dst-ip', { block: flow.dest_ip }),
    ...fact('dest_port', flow.dest_port, 'dst-port'),
    ...fact('protocol', flow.protocol, 'proto', flow.ports_unknown ? { note: 'portsUnknown' } : {}),
    ...fact('icmp_type', flow.icmp_type),
    ...fact('icmp_code', flow.icmp_code),
    ...fact('application', flow.application, 'application', flow.application_guessed ? { note: 'guessed' } : {}),
    ...fact('direction', flow.direction, 'direction', flow.roles_known ? {} : { note: 'roles' }),
    ...(flow.vlan ?? []).flatMap((id) => fact('vlan', id, 'vlan')),
    ...fact('tunnel', flow.tunnel, 'tunnel'),
  ];
}

function names(flow: FlowRow): Fact[] {
  const source = flow.server_name_source ?? '';
  return [
    ...fact('server_name', flow.server_name, 'name', source ? { note: source } : {}),
    ...fact('dns_query', flow.dns_query, 'dns-query'),
    ...fact('dns_type', flow.dns_type, 'dns-type'),
    ...fact('dns_rcode', flow.dns_rcode, 'dns-rcode'),
    ...fact('http_method', flow.http_method, 'http-method'),
    ...fact('http_target', flow.http_target, 'http-target'),
    ...fact('http_status', flow.http_status, 'http-status'),
    ...fact('http_requests', flow.http_requests || undefined),
    ...fact('tls_version', flow.tls_version, 'tls-version'),
    ...fact('tls_alpn', flow.tls_alpn, 'alpn'),
    ...fact('ja4', flow.ja4, 'ja4', { copy: true }),
    ...fact('ssh_client', flow.ssh_client, 'ssh'),
    ...fact('ssh_server', flow.ssh_server, 'ssh'),
  ];
}

function process(flow: FlowRow): Fact[] {
  return [
    ...fact('process', flow.process, 'process'),
    ...fact('pid', flow.pid, 'pid'),
    ...fact('executable', flow.executable, 'executable'),
    ...fact('user', flow.user, 'user'),
    ...fact('container', flow.container, 'container'),
    ...(flow.container_id && flow.container_id !== flow.container ? fact('container_id', flow.container_id, 'container') : []),
    ...fact('cgroup', flow.cgroup, 'cgroup'),
    ...fact('peer_process', flow.peer_process, 'process'),
    ...fact('peer_pid', flow.peer_pid, 'pid'),
  ];
}

function policy(flow: FlowRow): Fact[] {
  const dropped = flow.dropped_packets ?? 0;
  return [
    ...fact('verdict', flow.verdict, 'verdict', { tone: toneOf(flow.verdict), ...(flow.would_drop ? { note: 'wouldDrop' } : {}) }),
    ...fact('rule', flow.rule, 'rule'),
    ...fact('reply_verdict', flow.reply_verdict, 'verdict', { tone: toneOf(flow.reply_verdict) }),
    ...fact('reply_rule', flow.reply_rule, 'rule'),
    ...fact('policy_epoch', flow.policy_epoch),
    ...(dropped > 0 ? fact('dropped_packets', `${count(dropped)} (${bytes(flow.dropped_bytes ?? 0)})`, undefined, { tone: 'bad' }) : []),
  ];
}

function timing(flow: FlowRow): Fact[] {
  return [
    ...fact('start', clock(flow.start, true)),
    ...fact('end', clock(flow.end, true)),
    ...span('duration_seconds', flow.duration_seconds),
    ...span('smoothed_rtt_seconds', flow.smoothed_rtt_seconds),
    ...span('rtt_deviation_seconds', flow.rtt_deviation_seconds),
    ...span('handshake_rtt_seconds', flow.handshake_rtt_seconds),
    ...span('handshake_server_seconds', flow.handshake_server_seconds),
    ...span('handshake_client_seconds', flow.handshake_client_seconds),
    ...span('server_response_seconds', flow.server_response_seconds),
    ...span('round_trip_seconds', flow.round_trip_seconds),
    ...span('jitter_seconds', flow.jitter_seconds),
    ...trouble('retransmits', flow.retransmits, 'retransmits'),
    ...trouble('out_of_order', flow.out_of_order, 'out-of-order'),
  ];
}

/** Flags without the dots that stand for those not seen. */
const flags = (seen: string | null | undefined): string => (seen ?? '').replaceAll('.', '');

function states(flow: FlowRow): Fact[] {
  return [
    ...fact('state', flow.state, 'state'),
    ...fact('end_reason', flow.end_reason, 'end-reason'),
    ...fact('tcp_state', flow.tcp_state),
    ...fact('tcp_flags_to_server', flags(flow.tcp_flags_to_server), 'flags'),
    ...fact('tcp_flags_to_client', flags(flow.tcp_flags_to_client), 'flags'),
  ];
}

function ids(row: HostFlow): Fact[] {
  return [
    ...fact('host', row.host),
    ...fact('community_id', row.flow.community_id, 'community-id', { copy: true }),
    ...fact('flow_id', row.flow.flow_id, 'flow-id'),
  ];
}

/** The groups that have anything in them. */
export function groups(row: HostFlow): { name: GroupName; facts: Fact[] }[] {
  const flow = row.flow;
  const parts: Record<GroupName, Fact[]> = {
    endpoints: endpoints(flow), names: names(flow), process: process(flow), policy: policy(flow),
    timing: timing(flow), states: states(flow), ids: ids(row),
  };
  return GROUPS.map((name) => ({ name, facts: parts[name] })).filter((one) => one.facts.length > 0);
}

/** Whether two rows are the same flow of the same host. */
export const same = (one: HostFlow, other: { id: string; community: string; host: string }): boolean =>
  String(one.flow.flow_id) === other.id && one.flow.community_id === other.community && (one.host_id ?? '') === other.host;

/** Which values of a filter field a flow has, for completion. */
const SEEN: Record<string, (flow: FlowRow) => Value[]> = {
  'src-ip': (flow) => [flow.source_ip],
  'dst-ip': (flow) => [flow.dest_ip],
  ip: (flow) => [flow.source_ip, flow.dest_ip],
  'dst-port': (flow) => [flow.dest_port],
  port: (flow) => [flow.dest_port],
  proto: (flow) => [flow.protocol],
  interface: (flow) => flow.interfaces.map((one) => one.interface),
  vlan: (flow) => flow.vlan ?? [],
  rule: (flow) => [flow.rule, flow.reply_rule],
  process: (flow) => [flow.process, flow.peer_process],
  pid: (flow) => [flow.pid],
  user: (flow) => [flow.user],
  container: (flow) => [flow.container],
  executable: (flow) => [flow.executable],
  cgroup: (flow) => [flow.cgroup],
  application: (flow) => [flow.application],
  name: (flow) => [flow.server_name],
  sni: (flow) => (flow.server_name_source === 'sni' ? [flow.server_name] : []),
  'http-host': (flow) => (flow.server_name_source === 'host' ? [flow.server_name] : []),
  'http-method': (flow) => [flow.http_method],
  'http-target': (flow) => [flow.http_target],
  'http-status': (flow) => [flow.http_status],
  'tls-version': (flow) => [flow.tls_version],
  alpn: (flow) => [flow.tls_alpn],
  ja4: (flow) => [flow.ja4],
  'dns-query': (flow) => [flow.dns_query],
  'dns-type': (flow) => [flow.dns_type],
  'dns-rcode': (flow) => [flow.dns_rcode],
  ssh: (flow) => [flow.ssh_client, flow.ssh_server],
};

/** The values that the rows have, by field, those of most rows first. */
export function seen(rows: Iterable<HostFlow>): Record<string, string[]> {
  const counts = new Map(Object.keys(SEEN).map((field) => [field, new Map<string, number>()]));
  for (const { flow } of rows) {
    for (const [field, values] of Object.entries(SEEN)) {
      const of = counts.get(field) as Map<string, number>;
      for (const value of new Set(values(flow))) {
        if (value !== undefined && value !== null && value !== '') of.set(String(value), (of.get(String(value)) ?? 0) + 1);
      }
    }
  }
  return Object.fromEntries(
    [...counts].map(([field, of]) => [field, [...of].sort((a, b) => b[1] - a[1]).map(([value]) => value)]),
  );
}
