//! Traffic by address and prefix, in bounded memory.
//!
//! Exact until more addresses were seen than are kept; then the quietest quarter is folded into `other`, and the table
//! says by how much a returning address may be understated. Sums are always exact: table plus `other` is the total.

use std::net::IpAddr;

use hashbrown::HashMap;
use hivewall_model::Timestamp;
use hivewall_view::{AddressTraffic, TopTalker, TrafficAccuracy};
use ipnet::IpNet;

use crate::entry::Delta;

/// Addresses named as top talkers.
pub(crate) const TALKERS_SHOWN: usize = 20;

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    sent_bytes: u64,
    received_bytes: u64,
    sent_packets: u64,
    received_packets: u64,
}

impl Counters {
    fn add(&mut self, sent: bool, delta: Delta) {
        if sent {
            self.sent_bytes += delta.ip_bytes;
            self.sent_packets += delta.packets;
        } else {
            self.received_bytes += delta.ip_bytes;
            self.received_packets += delta.packets;
        }
    }

    fn bytes(&self) -> u64 {
        self.sent_bytes + self.received_bytes
    }

    fn merge(&mut self, other: &Self) {
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.sent_packets += other.sent_packets;
        self.received_packets += other.received_packets;
    }

    fn view(&self) -> AddressTraffic {
        AddressTraffic {
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            sent_packets: self.sent_packets,
            received_packets: self.received_packets,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    total: Counters,
    /// Since the latest tick: sent and received bytes.
    window: [u64; 2],
}

pub(crate) struct AddressTable {
    rows: HashMap<IpAddr, Row>,
    limit: usize,
    other: Counters,
    folded: u64,
    error_bytes_max: u64,
    subnets: Vec<(IpNet, Counters)>,
    /// Addresses with traffic since the latest tick, each once.
    touched: Vec<IpAddr>,
    talkers: Vec<TopTalker>,
    latest_tick: Option<Timestamp>,
}

impl AddressTable {
    pub(crate) fn new(limit: usize, subnets: Vec<IpNet>) -> Self {
        Self {
            rows: HashMap::new(),
            limit: limit.max(16),
            other: Counters::default(),
            folded: 0,
            error_bytes_max: 0,
            subnets: subnets.into_iter().map(|net| (net, Counters::default())).collect(),
            touched: Vec::new(),
            talkers: Vec::new(),
            latest_tick: None,
        }
    }

    /// Counts packets from `src` to `dst`.
    pub(crate) fn count(&mut self, src: IpAddr, dst: IpAddr, delta: Delta) {
        self.count_one(src, true, delta);
        self.count_one(dst, false, delta);
    }

    /// Counts packets sent or received by one address.
    pub(crate) fn count_one(&mut self, ip: IpAddr, sent: bool, delta: Delta) {
        if delta == Delta::default() {
            return;
        }
        for (net, counters) in &mut self.subnets {
            if net.contains(&ip) {
                counters.add(sent, delta);
            }
        }
        if self.rows.len() >= self.limit && !self.rows.contains_key(&ip) {
            self.fold_quiet();
        }
        let row = self.rows.entry(ip).or_default();
        row.total.add(sent, delta);
        let [window_sent, window_received] = &mut row.window;
        if *window_sent == 0 && *window_received == 0 {
            self.touched.push(ip);
        }
        // At least 1, so that an address is listed once even for packets without bytes.
        *(if sent { window_sent } else { window_received }) += delta.ip_bytes.max(1);
    }

    /// Folds the quietest quarter into `other`.
    fn fold_quiet(&mut self) {
        let mut bytes: Vec<u64> = self.rows.values().map(|row| row.total.bytes()).collect();
        let quarter = (bytes.len() / 4).max(1);
        let (_, threshold, _) = bytes.select_nth_unstable(quarter - 1);
        let threshold = *threshold;
        let (mut room, mut largest) = (quarter, 0);
        let (other, folded) = (&mut self.other, &mut self.folded);
        self.rows.retain(|_, row| {
            if room == 0 || row.total.bytes() > threshold {
                return true;
            }
            room -= 1;
            largest = largest.max(row.total.bytes());
            other.merge(&row.total);
            *folded += 1;
            false
        });
        self.error_bytes_max += largest;
    }

    /// Works out rates over the time since the latest tick.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let seconds = self.latest_tick.map_or(1.0, |then| now.since(then).as_secs_f64());
        if seconds < 0.5 {
            return;
        }
        self.latest_tick = Some(now);
        let mut talkers = Vec::with_capacity(self.touched.len());
        for ip in self.touched.drain(..) {
            // An address may have been folded since it was touched.
            let Some(row) = self.rows.get_mut(&ip) else { continue };
            let [sent, received] = std::mem::take(&mut row.window);
            talkers.push((sent + received, sent, received, ip, row.total.bytes()));
        }
        let shown = talkers.len().min(TALKERS_SHOWN);
        if shown < talkers.len() {
            talkers.select_nth_unstable_by(shown, |a, b| b.0.cmp(&a.0));
        }
        talkers.truncate(shown);
        talkers.sort_unstable_by(|a, b| b.cmp(a));
        let rate = |bytes: u64| (bytes as f64 * 8.0 / seconds).round();
        self.talkers = talkers
            .into_iter()
            .map(|(both, sent, received, ip, bytes)| TopTalker {
                address: ip.to_string(),
                bits_per_second: rate(both),
                sent_bits_per_second: rate(sent),
                received_bits_per_second: rate(received),
                bytes,
            })
            .collect();
    }

    pub(crate) fn talkers(&self) -> Vec<TopTalker> {
        self.talkers.clone()
    }

    pub(crate) fn subnets(&self) -> impl Iterator<Item = (String, AddressTraffic)> {
        self.subnets.iter().map(|(net, counters)| (net.to_string(), counters.view()))
    }

    pub(crate) fn accuracy(&self) -> TrafficAccuracy {
        TrafficAccuracy {
            exact: self.folded == 0,
            tracked: self.rows.len() as u64,
            limit: self.limit as u64,
            folded: self.folded,
            error_bytes_max: self.error_bytes_max,
        }
    }

    /// The busiest `shown` addresses by bytes, and all others added up under `other`.
    pub(crate) fn busiest(&self, shown: usize) -> impl Iterator<Item = (String, AddressTraffic)> {
        let mut rows: Vec<(u64, IpAddr, &Row)> =
            self.rows.iter().map(|(ip, row)| (row.total.bytes(), *ip, row)).collect();
        if rows.len() > shown {
            rows.select_nth_unstable_by(shown, |a, b| (b.0, b.1).cmp(&(a.0, a.1)));
        }
        let mut other = self.other;
        let rest = rows.split_off(shown.min(rows.len()));
        for (_, _, row) in &rest {
            other.merge(&row.total);
        }
        let has_other = self.folded > 0 || !rest.is_empty();
        let named = rows.into_iter().map(|(_, ip, row)| (ip.to_string(), row.total.view()));
        named.chain(has_other.then(|| ("other".to_owned(), other.view())))
    }
}
