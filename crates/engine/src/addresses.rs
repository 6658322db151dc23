//! Traffic by address and prefix, in bounded memory.
//!
//! Exact until more addresses were seen than are kept; then the quietest quarter is folded into `other`, and the table
//! says by how much a returning address may be understated. Sums are always exact: table plus `other` is the total.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use hivewall_view::{AddressTraffic, TopTalker, TrafficAccuracy};
use ipnet::IpNet;

use crate::points::Sum;
use crate::rates::TICK_MIN;
use crate::subnets::Subnets;

/// Addresses named as top talkers.
const TALKERS_SHOWN: usize = 20;
/// Fewest addresses that can be kept: a quarter of them has to be some.
const LIMIT_MIN: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    sent_bytes: u64,
    received_bytes: u64,
    sent_packets: u64,
    received_packets: u64,
}

impl Counters {
    pub(crate) fn add(&mut self, sent: bool, sum: Sum) {
        if sent {
            self.sent_bytes += sum.ip_bytes;
            self.sent_packets += sum.packets;
        } else {
            self.received_bytes += sum.ip_bytes;
            self.received_packets += sum.packets;
        }
    }

    pub(crate) fn take_back(&mut self, sent: bool, sum: Sum) {
        let (bytes, packets) = if sent {
            (&mut self.sent_bytes, &mut self.sent_packets)
        } else {
            (&mut self.received_bytes, &mut self.received_packets)
        };
        *bytes = bytes.saturating_sub(sum.ip_bytes);
        *packets = packets.saturating_sub(sum.packets);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sent_bytes + self.received_bytes
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.sent_packets += other.sent_packets;
        self.received_packets += other.received_packets;
    }

    pub(crate) fn view(&self) -> AddressTraffic {
        AddressTraffic {
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            sent_packets: self.sent_packets,
            received_packets: self.received_packets,
        }
    }
}

struct Row {
    /// `None` marks a free row.
    ip: Option<IpAddr>,
    total: Counters,
    /// Since the latest tick: sent and received bytes.
    window: [u64; 2],
    /// Which prefixes it is in.
    subnets: u16,
}

/// Where a flow found an address the last time; saves looking it up for each record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint(u32);

impl Default for Hint {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

pub(crate) struct AddressTable {
    rows: Vec<Row>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    limit: usize,
    other: Counters,
    folded: u64,
    error_bytes_max: u64,
    subnets: Subnets,
    /// Rows with traffic since the latest tick, each once.
    touched: Vec<u32>,
    talkers: Vec<TopTalker>,
    ticked: Option<Duration>,
}

impl AddressTable {
    pub(crate) fn new(limit: usize, subnets: Vec<IpNet>) -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            limit: limit.max(LIMIT_MIN),
            other: Counters::default(),
            folded: 0,
            error_bytes_max: 0,
            subnets: Subnets::new(subnets),
            touched: Vec::new(),
            talkers: Vec::new(),
            ticked: None,
        }
    }

    /// Counts what an address sent or received.
    pub(crate) fn count(&mut self, ip: IpAddr, hint: &mut Hint, sent: bool, sum: Sum) {
        if sum == Sum::default() {
            return;
        }
        self.find_or_admit(ip, hint);
        let Some(row) = self.rows.get_mut(hint.0 as usize) else { return };
        row.total.add(sent, sum);
        self.subnets.count(row.subnets, sent, sum);
        let [window_sent, window_received] = &mut row.window;
        if *window_sent == 0 && *window_received == 0 {
            self.touched.push(hint.0);
        }
        // At least 1, so that an address is listed once even for packets without bytes.
        *(if sent { window_sent } else { window_received }) += sum.ip_bytes.max(1);
    }

    /// Takes back what was counted.
    pub(crate) fn take_back(&mut self, ip: IpAddr, sent: bool, sum: Sum) {
        // Where it was folded, its bytes are in `other`.
        let row = self.find(ip).and_then(|at| self.rows.get_mut(at as usize));
        row.map_or(&mut self.other, |row| &mut row.total).take_back(sent, sum);
    }

    fn find(&self, ip: IpAddr) -> Option<u32> {
        let is = |at: &u32| self.rows.get(*at as usize).is_some_and(|row| row.ip == Some(ip));
        self.index.find(self.hasher.hash_one(ip), is).copied()
    }

    fn find_or_admit(&mut self, ip: IpAddr, hint: &mut Hint) {
        if self.rows.get(hint.0 as usize).is_some_and(|row| row.ip == Some(ip)) {
            return;
        }
        hint.0 = self.find(ip).unwrap_or_else(|| self.admit(ip));
    }

    fn admit(&mut self, ip: IpAddr) -> u32 {
        if self.index.len() >= self.limit {
            self.fold_quiet();
        }
        let subnets = self.subnets.of(ip);
        let row = Row { ip: Some(ip), total: Counters::default(), window: [0; 2], subnets };
        let freed = self.free.pop().and_then(|at| Some((at, self.rows.get_mut(at as usize)?)));
        let at = if let Some((at, free)) = freed {
            *free = row;
            at
        } else {
            self.rows.push(row);
            (self.rows.len() - 1) as u32
        };
        // Taken apart by hand, since re-hashing reads the rows while the index changes.
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.index.insert_unique(hasher.hash_one(ip), at, |at| {
            rows.get(*at as usize).and_then(|row| row.ip).map_or(0, |ip| hasher.hash_one(ip))
        });
        at
    }

    /// Folds the quietest quarter into `other`.
    fn fold_quiet(&mut self) {
        let mut bytes: Vec<u64> =
            self.rows.iter().filter(|row| row.ip.is_some()).map(|row| row.total.bytes()).collect();
        let quarter = (bytes.len() / 4).max(1).min(bytes.len());
        if quarter == 0 {
            return;
        }
        let (_, threshold, _) = bytes.select_nth_unstable(quarter - 1);
        let threshold = *threshold;
        let (mut room, mut largest) = (quarter, 0);
        let Self { rows, free, index, hasher, other, folded, .. } = self;
        for (at, row) in (0_u32..).zip(rows) {
            let Some(ip) = row.ip.filter(|_| room > 0 && row.total.bytes() <= threshold) else { continue };
            if let Ok(found) = index.find_entry(hasher.hash_one(ip), |found| *found == at) {
                found.remove();
            }
            room -= 1;
            largest = largest.max(row.total.bytes());
            other.merge(&row.total);
            *folded += 1;
            row.ip = None;
            free.push(at);
        }
        self.error_bytes_max += largest;
        // Without this the list would grow by every address of a flood until the next tick.
        self.touched.retain(|at| rows_has(&self.rows, *at));
    }

    /// Works out rates over the time since the latest tick.
    pub(crate) fn tick(&mut self, now: Duration) {
        let passed = self.ticked.map_or(Duration::from_secs(1), |then| now.saturating_sub(then));
        if passed < TICK_MIN {
            return;
        }
        self.ticked = Some(now);
        let mut talkers = Vec::with_capacity(self.touched.len());
        for at in self.touched.drain(..) {
            let Some(row) = self.rows.get_mut(at as usize) else { continue };
            let Some(ip) = row.ip else { continue };
            let [sent, received] = std::mem::take(&mut row.window);
            talkers.push((sent + received, sent, received, ip, row.total.bytes()));
        }
        let shown = talkers.len().min(TALKERS_SHOWN);
        if shown < talkers.len() {
            talkers.select_nth_unstable_by(shown, |a, b| b.cmp(a));
        }
        talkers.truncate(shown);
        talkers.sort_unstable_by(|a, b| b.cmp(a));
        let rate = |bytes: u64| (bytes as f64 * 8.0 / passed.as_secs_f64()).round();
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
        self.subnets.view()
    }

    pub(crate) fn accuracy(&self) -> TrafficAccuracy {
        TrafficAccuracy {
            exact: self.folded == 0,
            tracked: self.index.len() as u64,
            limit: self.limit as u64,
            folded: self.folded,
            error_bytes_max: self.error_bytes_max,
        }
    }

    /// The busiest `shown` addresses by bytes, and all others added up under `other`.
    pub(crate) fn busiest(&self, shown: usize) -> impl Iterator<Item = (String, AddressTraffic)> {
        let mut rows: Vec<(u64, IpAddr, &Row)> =
            self.rows.iter().filter_map(|row| Some((row.total.bytes(), row.ip?, row))).collect();
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

fn rows_has(rows: &[Row], at: u32) -> bool {
    rows.get(at as usize).is_some_and(|row| row.ip.is_some())
}
