// A short past of what `live.past` does not keep: round trips by peer, counters of names, the host's load. What this
// page itself saw since it was opened, at most `MOMENTS_MAX` of it.
import type { Snapshot } from '../../lib/types';

export interface Moment {
  /** Unix seconds. */
  time: number;
  /** Peer → smoothed round trip and jitter, seconds. */
  peers: Record<string, { rtt: number; jitter: number }>;
  /** Counted since the agent's start. */
  totals: { dns: number; failed: number; http: number; tls: number; retransmits: number; drops: number; refused: number };
  states: Record<string, number>;
  /** Share of CPU time by mode. */
  modes: Record<string, number>;
  memory: number;
  load: number;
  /** Bytes a second over all disks. */
  read: number;
  written: number;
}

/** Ten minutes. */
const MOMENTS_MAX = 300;

const sum = (values: number[]): number => values.reduce((total, one) => total + one, 0);

export function momentOf(snapshot: Snapshot): Moment {
  const { dns_queries: dns, http_requests: http, tls_handshakes: tls, system, refused } = snapshot;
  const disks = Object.values(system?.disks ?? {});
  return {
    time: Date.parse(snapshot.time) / 1000,
    peers: Object.fromEntries(Object.entries(snapshot.latency).map(([peer, one]) => [peer, { rtt: one.smoothed_seconds, jitter: one.jitter_seconds }])),
    totals: {
      dns: dns.queries,
      failed: sum(Object.entries(dns.rcodes).map(([code, n]) => (code === 'NOERROR' ? 0 : n))),
      http: http.requests,
      tls: tls.hellos + tls.quic_hellos,
      retransmits: snapshot.sockets.retransmits,
      drops: sum(snapshot.kernel_drops.map((one) => one.packets)),
      refused: (refused?.total.in_packets ?? 0) + (refused?.total.out_packets ?? 0),
    },
    states: snapshot.connection_states,
    modes: system?.cpu_modes ?? {},
    memory: system ? system.memory_bytes - system.memory_available_bytes : 0,
    load: system?.load_average[0] ?? 0,
    read: sum(disks.map((one) => one.read_bytes_per_second)),
    written: sum(disks.map((one) => one.written_bytes_per_second)),
  };
}

class Past {
  moments = $state.raw<Moment[]>([]);

  take(snapshot: Snapshot): void {
    const next = momentOf(snapshot);
    const last = this.moments.at(-1);
    // A replay at its end gives the same moment over and over.
    if (!last || next.time > last.time) this.moments = [...this.moments.slice(1 - MOMENTS_MAX), next];
  }
}

export const past = new Past();
