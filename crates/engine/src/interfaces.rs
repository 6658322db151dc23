//! What each interface saw, and how interfaces lie to each other.
//!
//! Invariant: what was counted at interfaces that went stays in the sums: under their names while those are kept, then
//! under [`GONE`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use hivewall_datapath::{Direction as Hook, FlowKey, Reason, Tally, TallyKey};
use hivewall_model::{Direction, Interface, Perspective, Rank};
use hivewall_view::{InterfaceTraffic, InterfaceUtilization, TrafficCell, protocol_text};

use crate::points::{OTHERS, Sum};
use crate::rates::TICK_MIN;

/// Interfaces that went and are remembered by name.
const GONE_MAX: usize = 256;
/// Stands for all others that went.
const GONE: &str = "(gone)";

/// Received and sent.
type Both<T> = [T; 2];

fn side(egress: bool) -> usize {
    usize::from(egress)
}

/// Counters by protocol; few protocols are ever seen.
#[derive(Clone, Debug, Default)]
struct Cells(Vec<(u8, Both<Sum>)>);

impl Cells {
    fn add(&mut self, protocol: u8, egress: bool, sum: Sum) {
        let at = self.0.iter().position(|(known, _)| *known == protocol).unwrap_or_else(|| {
            self.0.push((protocol, Default::default()));
            self.0.len() - 1
        });
        if let Some(cell) = self.0.get_mut(at).and_then(|(_, both)| both.get_mut(side(egress))) {
            cell.add(sum);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (protocol, [received, sent]) in &other.0 {
            self.add(*protocol, false, *received);
            self.add(*protocol, true, *sent);
        }
    }

    fn total(&self) -> Both<Sum> {
        let mut total: Both<Sum> = Default::default();
        for (_, both) in &self.0 {
            total.iter_mut().zip(both).for_each(|(total, sum)| total.add(*sum));
        }
        total
    }

    fn show(&self, view: &mut InterfaceTraffic) {
        for (protocol, both) in &self.0 {
            for (sum, egress) in both.iter().zip([false, true]) {
                show(view.protocols.entry(protocol_text(*protocol)).or_default(), egress, *sum);
                show(&mut view.total, egress, *sum);
            }
        }
    }
}

fn show(view: &mut TrafficCell, egress: bool, sum: Sum) {
    if egress {
        view.out_packets += sum.packets;
        view.out_bytes += sum.ip_bytes;
        view.out_wire_bytes += sum.wire_bytes;
    } else {
        view.in_packets += sum.packets;
        view.in_bytes += sum.ip_bytes;
        view.in_wire_bytes += sum.wire_bytes;
    }
}

/// Bytes and packets whose growth is a rate.
type Meter = Both<(u64, u64)>;

/// One interface by its index: what is known of it, and what records told.
#[derive(Clone, Debug, Default)]
struct Row {
    /// `None` for an index that only records spoke of.
    known: Option<Interface>,
    captured: bool,
    /// Order in which it went; `None` while it is there.
    gone: Option<u64>,
    cells: Cells,
    /// What the rates were last worked out from, and when.
    meter: Option<(Duration, Meter)>,
    /// Bits and packets per second.
    rates: Both<(f64, f64)>,
}

impl Row {
    /// A capture's interface has no counters of its own: what was captured is all there is.
    fn has_counters(&self) -> bool {
        self.known.as_ref().is_some_and(|interface| interface.mtu != 0)
    }

    fn meter(&self) -> Meter {
        match &self.known {
            Some(now) if self.has_counters() => [(now.rx_bytes, now.rx_packets), (now.tx_bytes, now.tx_packets)],
            _ => self.cells.total().map(|sum| (sum.wire_bytes, sum.packets)),
        }
    }

    fn measure(&mut self, now: Duration) {
        let meter = self.meter();
        let Some((then, old)) = self.meter else {
            self.meter = Some((now, meter));
            return;
        };
        let passed = now.saturating_sub(then);
        if passed < TICK_MIN {
            return;
        }
        self.meter = Some((now, meter));
        let seconds = passed.as_secs_f64();
        for ((rate, new), old) in self.rates.iter_mut().zip(meter).zip(old) {
            // Counters start anew with the interface or its driver.
            rate.0 = new.0.saturating_sub(old.0) as f64 * 8.0 / seconds;
            rate.1 = new.1.saturating_sub(old.1) as f64 / seconds;
        }
    }

    fn leave(&mut self, order: u64) {
        self.gone = Some(order);
        self.captured = false;
        self.meter = None;
        self.rates = Default::default();
        if let Some(known) = &mut self.known {
            known.up = false;
        }
    }

    fn load(&self) -> InterfaceUtilization {
        let none = Interface::default();
        let now = self.known.as_ref().unwrap_or(&none);
        let [(in_bytes, in_packets), (out_bytes, out_packets)] = self.meter();
        let [(bits_in, packets_in), (bits_out, packets_out)] =
            self.rates.map(|(bits, packets)| (bits.round(), (packets * 10.0).round() / 10.0));
        let share = |speed: u64| (bits_in.max(bits_out) / speed as f64 * 1e6).round() / 1e6;
        InterfaceUtilization {
            in_bytes,
            out_bytes,
            in_packets,
            out_packets,
            in_bits_per_second: bits_in,
            out_bits_per_second: bits_out,
            in_packets_per_second: packets_in,
            out_packets_per_second: packets_out,
            speed_bits_per_second: now.speed,
            utilization: now.speed.filter(|speed| *speed > 0).map(share),
            errors: now.rx_errors + now.tx_errors,
            in_errors: now.rx_errors,
            dropped: now.rx_dropped + now.tx_dropped,
            in_dropped: now.rx_dropped,
            up: now.up,
            captured: self.captured,
        }
    }
}

#[derive(Default)]
pub(crate) struct InterfaceTable {
    rows: HashMap<u32, Row>,
    /// Of interfaces whose names are forgotten.
    forgotten: Cells,
    departures: u64,
    local: HashSet<IpAddr>,
    /// Whether any of them is a loopback address: then all are (127.0.0.0/8 is one host, RFC 1122 §3.2.1.3).
    has_loopback: bool,
    /// VLAN ids that interfaces stand for.
    vlans: Vec<u16>,
    tallies: Vec<(TallyKey, Tally)>,
}

impl InterfaceTable {
    /// Takes the host's interfaces as they are now. Tells whether the host's addresses changed.
    pub(crate) fn update(&mut self, all: Vec<Interface>, captured: &[u32], now: Duration) -> bool {
        let local: HashSet<IpAddr> = all.iter().flat_map(|interface| interface.addresses.iter().copied()).collect();
        self.vlans = all.iter().map(|interface| interface.vlan).filter(|vlan| *vlan != 0).collect();
        self.vlans.sort_unstable();
        self.vlans.dedup();
        let present: HashSet<u32> = all.iter().map(|interface| interface.index).collect();
        for interface in all {
            let index = interface.index;
            let row = self.rows.entry(index).or_default();
            let reused = row.gone.take().is_some() && row.known.as_ref().is_some_and(|old| old.name != interface.name);
            if reused {
                // Another interface got the index of one that went.
                self.forgotten.merge(&std::mem::take(&mut row.cells));
            }
            row.captured = captured.contains(&index);
            row.known = Some(interface);
            if row.has_counters() {
                row.measure(now);
            }
        }
        for (_, row) in self.rows.iter_mut().filter(|(index, row)| row.gone.is_none() && !present.contains(*index)) {
            if row.known.is_some() {
                self.departures += 1;
                row.leave(self.departures);
            }
        }
        self.forget();
        let changed = local != self.local;
        self.has_loopback = local.iter().any(IpAddr::is_loopback);
        self.local = local;
        changed
    }

    /// Interfaces that went keep their name for a while: flows still speak of them.
    fn forget(&mut self) {
        let mut gone: Vec<(u64, u32)> = self.rows.iter().filter_map(|(index, row)| Some((row.gone?, *index))).collect();
        gone.sort_unstable();
        for (_, index) in gone.iter().take(gone.len().saturating_sub(GONE_MAX)) {
            if let Some(row) = self.rows.remove(index) {
                self.forgotten.merge(&row.cells);
            }
        }
    }

    pub(crate) fn set_tallies(&mut self, tallies: Vec<(TallyKey, Tally)>) {
        self.tallies = tallies;
    }

    pub(crate) fn name(&self, ifindex: u32) -> String {
        if ifindex == OTHERS {
            return "others".to_owned();
        }
        let known = self.rows.get(&ifindex).and_then(|row| row.known.as_ref());
        known.map_or_else(|| format!("if{ifindex}"), |interface| interface.name.clone())
    }

    pub(crate) fn is_local(&self, ip: IpAddr) -> bool {
        self.local.contains(&ip) || self.has_loopback && ip.is_loopback()
    }

    /// This host's addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.local.iter().copied()
    }

    /// VLAN ids that interfaces stand for, each once.
    pub(crate) fn vlans(&self) -> &[u16] {
        &self.vlans
    }

    /// The VLAN id that an interface stands for, 0 for none.
    pub(crate) fn vlan(&self, ifindex: u32) -> u16 {
        self.rows.get(&ifindex).and_then(|row| row.known.as_ref()).map_or(0, |interface| interface.vlan)
    }

    pub(crate) fn perspective(&self, client: IpAddr, server: IpAddr) -> Perspective {
        match (self.is_local(client), self.is_local(server)) {
            (true, true) => Perspective::Local,
            (true, false) => Perspective::Outbound,
            (false, true) => Perspective::Inbound,
            (false, false) => Perspective::Transit,
        }
    }

    /// Counts what was seen at an interface and tells its rank and the VLAN it stands for. What is inside of a tunnel
    /// crossed no interface of its own and is not counted.
    pub(crate) fn count(&mut self, key: &FlowKey, sum: Sum) -> (Rank, u16) {
        let row = self.rows.entry(key.ifindex()).or_default();
        if key.tunnel().is_none() {
            row.cells.add(key.proto(), key.direction() == Direction::Egress, sum);
        }
        row.known.as_ref().map_or((Rank::Plain, 0), |interface| (interface.rank, interface.vlan))
    }

    /// Rates of interfaces that have no counters of their own (captures).
    pub(crate) fn tick(&mut self, now: Duration) {
        for row in self.rows.values_mut().filter(|row| !row.has_counters() && row.gone.is_none()) {
            row.measure(now);
        }
    }

    pub(crate) fn traffic(&self) -> BTreeMap<String, InterfaceTraffic> {
        let mut view: BTreeMap<String, InterfaceTraffic> = BTreeMap::new();
        for (index, row) in self.rows.iter().filter(|(_, row)| !row.cells.0.is_empty()) {
            row.cells.show(view.entry(self.name(*index)).or_default());
        }
        if !self.forgotten.0.is_empty() {
            self.forgotten.show(view.entry(GONE.to_owned()).or_default());
        }
        for (key, reason, tally) in self.reasons() {
            let interface = view.entry(self.name(key.ifindex)).or_default();
            let sum = Sum { packets: tally.packets, ip_bytes: 0, wire_bytes: tally.bytes };
            let row = interface.not_in_flows.entry(reason.label().to_owned()).or_default();
            show(row, key.direction() == Hook::Egress, sum);
        }
        view
    }

    fn reasons(&self) -> impl Iterator<Item = (&TallyKey, Reason, &Tally)> {
        self.tallies.iter().filter_map(|(key, tally)| Some((key, key.reason()?, tally)))
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

    /// Load by name. One that went is shown while it has traffic to speak of and no other has its name.
    pub(crate) fn utilization(&self) -> BTreeMap<String, InterfaceUtilization> {
        let mut rows: Vec<(&Row, &Interface)> =
            self.rows.values().filter_map(|row| Some((row, row.known.as_ref()?))).collect();
        // The latest of a name is put in last, and what is there comes after all that went.
        rows.sort_unstable_by_key(|(row, _)| row.gone.unwrap_or(u64::MAX));
        rows.into_iter()
            .filter(|(row, _)| row.gone.is_none() || !row.cells.0.is_empty())
            .map(|(row, interface)| (interface.name.clone(), row.load()))
            .collect()
    }

    pub(crate) fn captured_names(&self) -> Vec<String> {
        let mut captured: Vec<(u32, String)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.captured)
            .filter_map(|(index, row)| Some((*index, row.known.as_ref()?.name.clone())))
            .collect();
        captured.sort_unstable();
        captured.into_iter().map(|(_, name)| name).collect()
    }
}
