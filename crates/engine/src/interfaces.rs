//! What each interface saw, and how interfaces lie to each other.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use hivewall_datapath::{Reason, Record, Tally, TallyKey};
use hivewall_model::{Direction, Interface, Perspective, Rank, Timestamp};
use hivewall_view::{InterfaceTraffic, InterfaceUtilization, TrafficCell, protocol_text};

/// Bit of [`TallyKey::reason`] that says egress.
const EGRESS: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    packets: u64,
    ip_bytes: u64,
    wire_bytes: u64,
}

/// The kernel's counters of an interface, and what they were a tick ago.
#[derive(Clone, Debug, Default)]
struct Known {
    now: Interface,
    captured: bool,
    /// Bits and packets per second: in, out.
    bits: [f64; 2],
    packets: [f64; 2],
}

#[derive(Default)]
pub(crate) struct InterfaceTable {
    known: BTreeMap<u32, Known>,
    updated: Option<Timestamp>,
    local: HashSet<IpAddr>,
    cells: HashMap<(u32, u8, bool), Cell>,
    tallies: Vec<(TallyKey, Tally)>,
    /// In a replay nobody else counts: rates come from the packets.
    counted: HashMap<u32, [Cell; 2]>,
    previous: HashMap<u32, [Cell; 2]>,
    ticked: Option<Timestamp>,
}

impl InterfaceTable {
    pub(crate) fn update(&mut self, all: Vec<Interface>, captured: &[u32], now: Timestamp) {
        let seconds = self.updated.map_or(0.0, |then| now.since(then).as_secs_f64());
        let mut old = std::mem::take(&mut self.known);
        self.local = all.iter().flat_map(|interface| interface.addresses.iter().copied()).collect();
        for interface in all {
            let mut known = old.remove(&interface.index).unwrap_or_default();
            if seconds > 0.2 && known.now.index == interface.index {
                let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
                known.bits = [
                    rate(interface.rx_bytes, known.now.rx_bytes) * 8.0,
                    rate(interface.tx_bytes, known.now.tx_bytes) * 8.0,
                ];
                known.packets = [
                    rate(interface.rx_packets, known.now.rx_packets),
                    rate(interface.tx_packets, known.now.tx_packets),
                ];
            }
            known.captured = captured.contains(&interface.index);
            known.now = interface;
            self.known.insert(known.now.index, known);
        }
        // Interfaces that went keep their name: flows still speak of them.
        for (index, mut gone) in old {
            gone.captured = false;
            gone.now.up = false;
            gone.bits = [0.0; 2];
            gone.packets = [0.0; 2];
            if self.cells.keys().any(|(ifindex, _, _)| *ifindex == index) {
                self.known.insert(index, gone);
            }
        }
        if seconds > 0.2 || self.updated.is_none() {
            self.updated = Some(now);
        }
    }

    pub(crate) fn set_tallies(&mut self, tallies: &[(TallyKey, Tally)]) {
        self.tallies = tallies.to_vec();
    }

    pub(crate) fn rank(&self, ifindex: u32) -> Rank {
        self.known.get(&ifindex).map_or(Rank::Plain, |known| known.now.rank)
    }

    pub(crate) fn vlan(&self, ifindex: u32) -> u16 {
        self.known.get(&ifindex).map_or(0, |known| known.now.vlan)
    }

    pub(crate) fn name(&self, ifindex: u32) -> String {
        self.known.get(&ifindex).map_or_else(|| format!("if{ifindex}"), |known| known.now.name.clone())
    }

    pub(crate) fn is_local(&self, ip: IpAddr) -> bool {
        self.local.contains(&ip)
    }

    pub(crate) fn perspective(&self, client: IpAddr, server: IpAddr) -> Perspective {
        match (self.is_local(client), self.is_local(server)) {
            (true, true) => Perspective::Local,
            (true, false) => Perspective::Outbound,
            (false, true) => Perspective::Inbound,
            (false, false) => Perspective::Transit,
        }
    }

    /// Counts a record at its interface; what is inside of a tunnel crossed no interface of its own.
    pub(crate) fn count(&mut self, record: &Record) {
        let line = &record.line;
        if line.key.tunnel().is_some() {
            return;
        }
        let egress = line.key.direction() == Direction::Egress;
        let add = |cell: &mut Cell| {
            cell.packets += u64::from(line.packets());
            cell.ip_bytes += u64::from(line.ip_bytes);
            cell.wire_bytes += u64::from(line.ip_bytes) + u64::from(line.link_bytes);
        };
        add(self.cells.entry((line.key.ifindex(), line.key.proto(), egress)).or_default());
        let [ingress_cell, egress_cell] = self.counted.entry(line.key.ifindex()).or_default();
        add(if egress { egress_cell } else { ingress_cell });
    }

    /// Rates of interfaces that have no counters of their own (captures).
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let seconds = self.ticked.map_or(0.0, |then| now.since(then).as_secs_f64());
        if self.ticked.is_some() && seconds < 0.5 {
            return;
        }
        self.ticked = Some(now);
        for (index, cells) in &self.counted {
            let old = self.previous.insert(*index, *cells).unwrap_or_default();
            let Some(known) = self.known.get_mut(index) else { continue };
            if known.now.mtu != 0 || seconds <= 0.0 {
                continue;
            }
            for (side, (new, old)) in cells.iter().zip(old).enumerate() {
                if let (Some(bits), Some(packets)) = (known.bits.get_mut(side), known.packets.get_mut(side)) {
                    *bits = (new.wire_bytes - old.wire_bytes) as f64 * 8.0 / seconds;
                    *packets = (new.packets - old.packets) as f64 / seconds;
                }
            }
        }
    }

    pub(crate) fn traffic(&self) -> BTreeMap<String, InterfaceTraffic> {
        let mut view: BTreeMap<String, InterfaceTraffic> = BTreeMap::new();
        for ((ifindex, protocol, egress), cell) in &self.cells {
            let interface = view.entry(self.name(*ifindex)).or_default();
            add_cell(interface.protocols.entry(protocol_text(*protocol)).or_default(), *egress, cell);
            add_cell(&mut interface.total, *egress, cell);
        }
        for (key, reason, tally) in self.reasons() {
            let interface = view.entry(self.name(key.ifindex)).or_default();
            let cell = Cell { packets: tally.packets, ip_bytes: 0, wire_bytes: tally.bytes };
            let row = interface.not_in_flows.entry(reason.label().to_owned()).or_default();
            add_cell(row, key.reason & EGRESS != 0, &cell);
        }
        view
    }

    fn reasons(&self) -> impl Iterator<Item = (&TallyKey, Reason, &Tally)> {
        self.tallies
            .iter()
            .filter_map(|(key, tally)| Some((key, Reason::from_number(key.reason & !EGRESS)?, tally)))
    }

    /// Frames that break a standard, by reason.
    pub(crate) fn invalid(&self) -> BTreeMap<String, u64> {
        let mut view = BTreeMap::new();
        for (_, reason, tally) in self.reasons().filter(|(_, reason, _)| reason.is_invalid()) {
            *view.entry(reason.label().to_owned()).or_default() += tally.packets;
        }
        view
    }

    /// Packets, by a reason that is a loss rather than a kind of traffic.
    pub(crate) fn tallied(&self, wanted: Reason) -> Tally {
        let mut sum = Tally::default();
        for (_, _, tally) in self.reasons().filter(|(_, reason, _)| *reason == wanted) {
            sum.packets += tally.packets;
            sum.bytes += tally.bytes;
        }
        sum
    }

    pub(crate) fn utilization(&self) -> BTreeMap<String, InterfaceUtilization> {
        self.known.iter().map(|(index, known)| (known.now.name.clone(), self.load(*index, known))).collect()
    }

    fn load(&self, index: u32, known: &Known) -> InterfaceUtilization {
        let now = &known.now;
        let [bits_in, bits_out] = known.bits.map(f64::round);
        let [packets_in, packets_out] = known.packets.map(|rate| (rate * 10.0).round() / 10.0);
        let counted = self.counted.get(&index).copied().unwrap_or_default();
        // A capture's interface has no counters of its own.
        let [seen_in, seen_out] = if now.mtu == 0 { counted } else { [Cell::default(); 2] };
        InterfaceUtilization {
            in_bytes: now.rx_bytes + seen_in.wire_bytes,
            out_bytes: now.tx_bytes + seen_out.wire_bytes,
            in_packets: now.rx_packets + seen_in.packets,
            out_packets: now.tx_packets + seen_out.packets,
            in_bits_per_second: bits_in,
            out_bits_per_second: bits_out,
            in_packets_per_second: packets_in,
            out_packets_per_second: packets_out,
            speed_bits_per_second: now.speed,
            utilization: now
                .speed
                .filter(|speed| *speed > 0)
                .map(|speed| (bits_in.max(bits_out) / speed as f64 * 1e6).round() / 1e6),
            errors: now.rx_errors + now.tx_errors,
            dropped: now.rx_dropped + now.tx_dropped,
            up: now.up,
            captured: known.captured,
        }
    }

    pub(crate) fn captured_names(&self) -> Vec<String> {
        self.known.values().filter(|known| known.captured).map(|known| known.now.name.clone()).collect()
    }
}

fn add_cell(view: &mut TrafficCell, egress: bool, cell: &Cell) {
    if egress {
        view.out_packets += cell.packets;
        view.out_bytes += cell.ip_bytes;
        view.out_wire_bytes += cell.wire_bytes;
    } else {
        view.in_packets += cell.packets;
        view.in_bytes += cell.ip_bytes;
        view.in_wire_bytes += cell.wire_bytes;
    }
}
