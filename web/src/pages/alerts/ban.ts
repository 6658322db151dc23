// What a ban of an address would touch, as far as this host sees. Pure, so that it is tested without a page.
import type { FlowRow, MemberPage } from '../../lib/types';

export interface Touched {
  /** Whether it is an address of this host itself: it sends what goes out, or gets what comes in. */
  own: boolean;
  /** Name of the member that has it. */
  member?: string;
  bytes: number;
  /** Flows that are not over. */
  open: number;
  /** What it talks to most, most flows first: `tcp 443`. */
  services: string[];
  /** How many different ones. */
  distinct: number;
}

const SERVICES_MAX = 5;

const isOwn = (address: string, flow: FlowRow): boolean =>
  (flow.direction === 'outbound' && flow.source_ip === address) ||
  (flow.direction === 'inbound' && flow.dest_ip === address) ||
  (flow.direction === 'local' && (flow.source_ip === address || flow.dest_ip === address));

/** The address of `10.0.0.1:7734` or `[fd00::1]:7734`. */
const hostOf = (endpoint: string): string => endpoint.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');

export function touches(address: string, flows: FlowRow[], members: MemberPage['members']): Touched {
  const services = new Map<string, number>();
  for (const flow of flows) {
    const name = flow.dest_port ? `${flow.protocol} ${flow.dest_port}` : flow.protocol;
    services.set(name, (services.get(name) ?? 0) + 1);
  }
  const member = members.find((one) => one.addresses.some((endpoint) => hostOf(endpoint) === address));
  return {
    own: /^127\.|^::1$/.test(address) || flows.some((flow) => isOwn(address, flow)),
    member: member ? member.name || member.id : undefined,
    bytes: flows.reduce((sum, flow) => sum + flow.bytes, 0),
    open: flows.filter((flow) => flow.state !== 'closed').length,
    distinct: services.size,
    services: [...services].sort((a, b) => b[1] - a[1]).slice(0, SERVICES_MAX).map(([name]) => name),
  };
}
