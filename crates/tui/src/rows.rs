//! The tables that are not flows, made from a snapshot once per answer: talkers, protocols, interfaces, losses. Not
//! here: how a row looks ([`crate::screens`]).
//!
//! Invariant: nothing of the snapshot is left out; `other` rows come last whatever the order.

use hivewall_view::{AddressTraffic, InterfaceUtilization, Loss, ProtocolTraffic, Snapshot, Sort, TopTalker};

/// Name under which a bounded table adds up what it does not list.
const OTHER: &str = "other";

/// Everything prepared from one snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Addresses.
    pub(crate) talkers: Vec<TalkerRow>,
    /// Protocols.
    pub(crate) protocols: Vec<ProtocolRow>,
    /// Interfaces, those captured first.
    pub(crate) interfaces: Vec<InterfaceRow>,
    /// Losses, those that happened first.
    pub(crate) losses: Vec<LossRow>,
}

/// An address.
#[derive(Clone, Debug, Default)]
pub(crate) struct TalkerRow {
    /// Address, or `other`.
    pub(crate) address: String,
    /// Rates now, where it is among the busiest.
    pub(crate) rates: Option<TopTalker>,
    /// Totals since the start, where they are kept.
    pub(crate) totals: AddressTraffic,
    /// Rate as a share of the busiest address's.
    pub(crate) share: f64,
}

/// A protocol of the whole host.
#[derive(Clone, Debug)]
pub(crate) struct ProtocolRow {
    /// Name.
    pub(crate) name: String,
    /// Counters.
    pub(crate) traffic: ProtocolTraffic,
    /// Share of all bits per second now; of all bytes while nothing flows.
    pub(crate) share: f64,
}

/// An interface.
#[derive(Clone, Debug)]
pub(crate) struct InterfaceRow {
    /// Name.
    pub(crate) name: String,
    /// Its load.
    pub(crate) load: InterfaceUtilization,
}

/// A loss.
#[derive(Clone, Debug)]
pub(crate) struct LossRow {
    /// Reason.
    pub(crate) reason: String,
    /// How much, and what it means.
    pub(crate) loss: Loss,
}

impl Rows {
    /// Prepares `snapshot`; talkers and protocols in the order of `sort`.
    pub(crate) fn new(snapshot: &Snapshot, sort: Sort) -> Self {
        Self {
            talkers: talkers(snapshot, sort),
            protocols: protocols(snapshot, sort),
            interfaces: interfaces(snapshot),
            losses: losses(snapshot),
        }
    }
}

impl TalkerRow {
    /// Bits per second now; 0 where unknown.
    pub(crate) fn rate(&self) -> f64 {
        self.rates.as_ref().map_or(0.0, |rates| rates.bits_per_second)
    }

    /// IP bytes, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        let totals = self.totals.sent_bytes.saturating_add(self.totals.received_bytes);
        totals.max(self.rates.as_ref().map_or(0, |rates| rates.bytes))
    }

    /// Packets, both ways.
    pub(crate) fn packets(&self) -> u64 {
        self.totals.sent_packets.saturating_add(self.totals.received_packets)
    }

    /// Whether this is the sum of the addresses that are not listed.
    pub(crate) fn is_other(&self) -> bool {
        self.address == OTHER
    }
}

impl LossRow {
    /// Whether anything was lost.
    pub(crate) fn happened(&self) -> bool {
        self.loss.count > 0 || self.loss.packets > 0 || self.loss.bytes > 0
    }
}

fn talkers(snapshot: &Snapshot, sort: Sort) -> Vec<TalkerRow> {
    let busiest = snapshot.top_talkers.iter().map(|talker| talker.bits_per_second).fold(0.0, f64::max);
    let mut totals = snapshot.ip_traffic_distribution.clone();
    let mut rows: Vec<TalkerRow> = snapshot
        .top_talkers
        .iter()
        .map(|talker| TalkerRow {
            address: talker.address.clone(),
            totals: totals.remove(&talker.address).unwrap_or_default(),
            share: share(talker.bits_per_second, busiest),
            rates: Some(talker.clone()),
        })
        .collect();
    rows.extend(totals.into_iter().map(|(address, totals)| TalkerRow { address, totals, ..TalkerRow::default() }));
    rows.sort_by(|a, b| {
        let key = |row: &TalkerRow| match sort {
            Sort::Bytes => (row.bytes() as f64, row.rate()),
            Sort::Packets => (row.packets() as f64, row.rate()),
            _ => (row.rate(), row.bytes() as f64),
        };
        let ((a1, a2), (b1, b2)) = (key(a), key(b));
        let order = b1.total_cmp(&a1).then(b2.total_cmp(&a2)).then_with(|| a.address.cmp(&b.address));
        a.is_other().cmp(&b.is_other()).then(order)
    });
    rows
}

fn protocols(snapshot: &Snapshot, sort: Sort) -> Vec<ProtocolRow> {
    let all = &snapshot.protocols;
    let rate: f64 = all.values().map(|traffic| traffic.bits_per_second).sum();
    let bytes: f64 = all.values().map(|traffic| traffic.bytes as f64).sum();
    let mut rows: Vec<ProtocolRow> = all
        .iter()
        .map(|(name, traffic)| ProtocolRow {
            name: name.clone(),
            share: if rate > 0.0 { share(traffic.bits_per_second, rate) } else { share(traffic.bytes as f64, bytes) },
            traffic: traffic.clone(),
        })
        .collect();
    rows.sort_by(|a, b| {
        let key = |row: &ProtocolRow| match sort {
            Sort::Bytes => (row.traffic.bytes as f64, row.traffic.bits_per_second),
            Sort::Packets => (row.traffic.packets as f64, row.traffic.bits_per_second),
            _ => (row.traffic.bits_per_second, row.traffic.bytes as f64),
        };
        let ((a1, a2), (b1, b2)) = (key(a), key(b));
        b1.total_cmp(&a1).then(b2.total_cmp(&a2)).then_with(|| a.name.cmp(&b.name))
    });
    rows
}

fn interfaces(snapshot: &Snapshot) -> Vec<InterfaceRow> {
    let mut rows: Vec<InterfaceRow> = snapshot
        .interface_utilization
        .iter()
        .map(|(name, load)| InterfaceRow { name: name.clone(), load: load.clone() })
        .collect();
    rows.sort_by_key(|row| (!row.load.captured, !row.load.up));
    rows
}

fn losses(snapshot: &Snapshot) -> Vec<LossRow> {
    let mut rows: Vec<LossRow> =
        snapshot.losses.iter().map(|(reason, loss)| LossRow { reason: reason.clone(), loss: loss.clone() }).collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.happened(), row.loss.packets, row.loss.count)));
    rows
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}
