// What the whole page goes by: the latest snapshot, the fleet, health; and a short past of them for charts.
//
// Asked once for all pages. The past is what this page itself saw since it was opened, at most `SAMPLES_MAX` of it;
// longer ones come from history (`/api/v1/series`).
import { get } from './api';
import { Poll } from './poll.svelte';
import type { FleetView, Health, Snapshot } from './types';

const SECONDS = 2;
/** Ten minutes. */
const SAMPLES_MAX = 300;

/** One moment of the past. Rates are in bit/s, shares from 0 to 1. */
export interface Sample {
  /** Unix seconds. */
  time: number;
  in: number;
  out: number;
  packets: number;
  flows: number;
  newFlows: number;
  cpu: number;
  protocols: Record<string, number>;
  interfaces: Record<string, { in: number; out: number; utilization: number }>;
  retransmits: number;
  dropped: number;
}

function sample(snapshot: Snapshot): Sample {
  const interfaces: Sample['interfaces'] = {};
  let into = 0;
  let out = 0;
  let packets = 0;
  for (const [name, one] of Object.entries(snapshot.interface_utilization)) {
    interfaces[name] = { in: one.in_bits_per_second, out: one.out_bits_per_second, utilization: one.utilization ?? 0 };
    if (!one.captured) continue;
    into += one.in_bits_per_second;
    out += one.out_bits_per_second;
    packets += one.in_packets_per_second + one.out_packets_per_second;
  }
  return {
    time: Date.parse(snapshot.time) / 1000,
    in: into,
    out,
    packets,
    flows: snapshot.flow_counts.active,
    newFlows: snapshot.flow_counts.new_per_second,
    cpu: snapshot.system?.cpu_utilization ?? 0,
    protocols: Object.fromEntries(Object.entries(snapshot.protocols).map(([name, one]) => [name, one.bits_per_second])),
    interfaces,
    retransmits: snapshot.sockets.retransmits,
    dropped: snapshot.kernel_drops.reduce((sum, row) => sum + row.packets, 0),
  };
}

class Live {
  readonly snapshot = new Poll<Snapshot>((signal) => get('snapshot', {}, signal).then((s) => this.#keep(s as Snapshot)), SECONDS);
  readonly health = new Poll<Health>((signal) => get<Health>('health', {}, signal).then((health) => this.#hear(health)), 5);
  /** Nothing where the host is in none; asked only where health tells of one, since others have no answer. */
  readonly fleet = new Poll<FleetView | null>(async (signal) => (this.#joined ? get<FleetView>('fleet', {}, signal) : null), 5);
  past = $state.raw<Sample[]>([]);
  /** The time now, for ages; a tick each second. */
  now = $state(Date.now());

  #joined = false;

  #hear(health: Health): Health {
    if (health.fleet !== this.#joined) {
      this.#joined = health.fleet ?? false;
      void this.fleet.refresh();
    }
    return health;
  }

  #keep(snapshot: Snapshot): Snapshot {
    const next = sample(snapshot);
    const last = this.past.at(-1);
    // A replay at its end gives the same moment over and over.
    if (!last || next.time > last.time) this.past = [...this.past.slice(1 - SAMPLES_MAX), next];
    return snapshot;
  }

  start(): () => void {
    const ends = [this.snapshot.start(), this.fleet.start(), this.health.start()];
    const timer = setInterval(() => (this.now = Date.now()), 1000);
    return () => {
      clearInterval(timer);
      for (const end of ends) end();
    };
  }

  /** Whether this host is in a fleet of more than itself. */
  get inFleet(): boolean {
    return this.fleet.data?.joined ?? false;
  }
}

export const live = new Live();
