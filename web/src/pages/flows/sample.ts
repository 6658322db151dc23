// A flow for the tests of this folder.
import type { FlowRow } from '../../lib/types';

export const flow = (more: Partial<FlowRow> = {}): FlowRow => ({
  flow_id: 7,
  community_id: '1:O4tyIHAsJ93lcQG30GlpFOwfnRg=',
  start: '2026-01-05T08:00:00.000000Z',
  end: '2026-01-05T08:00:02.500000Z',
  duration_seconds: 2.5,
  protocol: 'tcp',
  protocol_number: 6,
  source_ip: 'fd00::1',
  src_port: 40_000,
  dest_ip: '10.0.0.2',
  dest_port: 443,
  direction: 'outbound',
  roles_known: true,
  bytes: 1500,
  packets: 12,
  bytes_to_server: 500,
  bytes_to_client: 1000,
  packets_to_server: 5,
  packets_to_client: 7,
  wire_bytes_to_server: 600,
  wire_bytes_to_client: 1100,
  state: 'closed',
  bits_per_second: 0,
  interfaces: [
    { interface: 'eth0', direction: 'egress', to_server: true, packets: 5, bytes: 500, wire_bytes: 600 },
    { interface: 'eth0', direction: 'ingress', to_server: false, packets: 7, bytes: 1000, wire_bytes: 1100 },
  ],
  ...more,
});
