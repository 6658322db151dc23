//! The summary itself: what is in it, how it is filled, merged, asked and sent.
//!
//! Invariant: a summary that was decoded is within all limits, and merging never makes it larger than they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::distinct::Distinct;
use crate::points::{Points, mix};
use crate::table::{OWN_ROWS_MAX, ROWS_MAX, Table};

/// Version of the encoding.
const VERSION: u8 = 1;
/// Longest encoded summary, in bytes.
pub(crate) const ENCODED_BYTES_MAX: usize = 96 << 10;
/// Longest summary before compression, in bytes.
const PLAIN_BYTES_MAX: usize = 256 << 10;
/// Most classes: protocols × kinds of interface × directions.
const CLASSES_MAX: usize = 1024;
/// How hard compression tries.
const LEVEL: i32 = 3;

/// What totals are kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// IP protocol number.
    pub protocol: u8,
    /// Kind of interface, by the program's own numbers.
    pub interface: u8,
    /// Direction at that interface.
    pub direction: Direction,
}

/// Direction of traffic at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// To the host.
    In,
    /// From the host.
    Out,
}

/// Totals of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Packets on the wire.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Flows.
    pub flows: u64,
}

/// A service: what is talked to, whoever offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    /// IP protocol number.
    pub protocol: u8,
    /// Port of the side that was called; 0 for protocols without.
    pub port: u16,
}

/// A flow that this host owns for sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who began it.
    pub source: IpAddr,
    /// Who was called.
    pub destination: IpAddr,
    /// What was called.
    pub service: Service,
    /// Where it passed.
    pub class: Class,
    /// Packets, both ways.
    pub packets: u64,
    /// IP bytes, both ways.
    pub bytes: u64,
}

/// What a host, or many, saw in an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    totals: BTreeMap<Class, Counts>,
    sources: Table<IpAddr>,
    destinations: Table<IpAddr>,
    services: Table<Service>,
    points: Points,
    distinct_sources: Distinct,
    distinct_destinations: Distinct,
    distinct_pairs: Distinct,
}

/// A summary as it travels.
pub type Encoded = Vec<u8>;

/// Why bytes are no summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Too long, before or after compression.
    #[error(
        "the summary is longer than {ENCODED_BYTES_MAX} bytes, so it was left out; its sender is broken or hostile"
    )]
    TooLong,
    /// Of another version.
    #[error("the summary has version {0} and this program reads {VERSION}; update the older of the two hosts")]
    Version(u8),
    /// Cut, garbled, or beyond a limit.
    #[error("the summary cannot be read, so it was left out; its sender is broken or hostile")]
    Malformed,
}

/// The parts in the form in which they are sent.
#[derive(Serialize, Deserialize)]
struct Plain {
    totals: BTreeMap<Class, Counts>,
    sources: (BTreeMap<IpAddr, u64>, u64),
    destinations: (BTreeMap<IpAddr, u64>, u64),
    services: (BTreeMap<Service, u64>, u64),
    points: Points,
    distinct: [Vec<u8>; 3],
}

impl Summary {
    /// The summary of these flows.
    pub fn of(flows: impl IntoIterator<Item = Flow>) -> Self {
        let mut summary = Self::default();
        // Pairs are added to their sketch in the order of their hashes: the sketch's own estimate depends on the order
        // of new things in the last digits, and the same flows should always give the same bytes.
        let mut pairs = BTreeSet::new();
        for flow in flows {
            let counts = summary.totals.entry(flow.class).or_default();
            *counts = sum(*counts, Counts { packets: flow.packets, bytes: flow.bytes, flows: 1 });
            summary.sources.add(flow.source, flow.bytes);
            summary.destinations.add(flow.destination, flow.bytes);
            summary.services.add(flow.service, flow.bytes);
            pairs.insert(mix(hash(flow.source)).rotate_left(17) ^ hash(flow.destination));
        }
        for (address, bytes) in summary.sources.rows() {
            summary.points.add(point(*address, Role::Source), *bytes);
            summary.distinct_sources.add(hash(*address));
        }
        for (address, bytes) in summary.destinations.rows() {
            summary.points.add(point(*address, Role::Destination), *bytes);
            summary.distinct_destinations.add(hash(*address));
        }
        pairs.into_iter().for_each(|pair| summary.distinct_pairs.add(pair));
        summary.shorten(OWN_ROWS_MAX);
        summary
    }

    /// Adds what others saw. The flows of both must have different owners.
    pub fn merge(&mut self, other: &Self) {
        for (class, counts) in &other.totals {
            if self.totals.len() >= CLASSES_MAX && !self.totals.contains_key(class) {
                continue;
            }
            let held = self.totals.entry(*class).or_default();
            *held = sum(*held, *counts);
        }
        self.sources.merge(&other.sources);
        self.destinations.merge(&other.destinations);
        self.services.merge(&other.services);
        self.points.merge(&other.points);
        self.distinct_sources.merge(&other.distinct_sources);
        self.distinct_destinations.merge(&other.distinct_destinations);
        self.distinct_pairs.merge(&other.distinct_pairs);
        self.shorten(ROWS_MAX);
    }

    fn shorten(&mut self, rows_max: usize) {
        self.sources.shorten(rows_max);
        self.destinations.shorten(rows_max);
        self.services.shorten(rows_max);
    }

    /// Exact totals.
    pub fn totals(&self) -> &BTreeMap<Class, Counts> {
        &self.totals
    }

    /// Who began most, by bytes of both directions.
    pub fn sources(&self) -> &Table<IpAddr> {
        &self.sources
    }

    /// Who was called most.
    pub fn destinations(&self) -> &Table<IpAddr> {
        &self.destinations
    }

    /// What was called most.
    pub fn services(&self) -> &Table<Service> {
        &self.services
    }

    /// Different sources.
    pub fn distinct_sources(&self) -> &Distinct {
        &self.distinct_sources
    }

    /// Different destinations.
    pub fn distinct_destinations(&self) -> &Distinct {
        &self.distinct_destinations
    }

    /// Different pairs of both.
    pub fn distinct_pairs(&self) -> &Distinct {
        &self.distinct_pairs
    }

    /// At most how many bytes any source had, and by how much that may be too large in 98 cases of 100.
    pub fn source_bytes_max(&self, source: IpAddr) -> (u64, u64) {
        let by_points = self.points.bytes_max(point(source, Role::Source));
        (by_points.min(self.sources.get(source).bytes_max), self.points.error())
    }

    /// At most how many bytes any destination had, and by how much that may be too large in 98 cases of 100.
    pub fn destination_bytes_max(&self, destination: IpAddr) -> (u64, u64) {
        let by_points = self.points.bytes_max(point(destination, Role::Destination));
        (by_points.min(self.destinations.get(destination).bytes_max), self.points.error())
    }

    /// The bytes to send.
    pub fn encode(&self) -> Encoded {
        let plain = Plain {
            totals: self.totals.clone(),
            sources: (self.sources.rows().clone(), self.sources.cut()),
            destinations: (self.destinations.rows().clone(), self.destinations.cut()),
            services: (self.services.rows().clone(), self.services.cut()),
            points: self.points.clone(),
            distinct: [&self.distinct_sources, &self.distinct_destinations, &self.distinct_pairs].map(Distinct::encode),
        };
        // Neither fails for values of these types in memory; were it to, the empty text is refused by every reader.
        let bytes = postcard::to_allocvec(&plain).unwrap_or_default();
        let mut encoded = vec![VERSION];
        encoded.extend(zstd::bulk::compress(&bytes, LEVEL).unwrap_or_default());
        encoded
    }

    /// Reads a summary.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > ENCODED_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let body = match bytes.split_first() {
            Some((&VERSION, body)) => body,
            Some((version, _)) => return Err(Unreadable::Version(*version)),
            None => return Err(Unreadable::Malformed),
        };
        let plain = zstd::bulk::decompress(body, PLAIN_BYTES_MAX).map_err(|_| Unreadable::Malformed)?;
        let (plain, rest): (Plain, _) = postcard::take_from_bytes(&plain).map_err(|_| Unreadable::Malformed)?;
        if !rest.is_empty() || plain.totals.len() > CLASSES_MAX || !plain.points.fits() {
            return Err(Unreadable::Malformed);
        }
        Self::of_plain(plain).ok_or(Unreadable::Malformed)
    }

    fn of_plain(plain: Plain) -> Option<Self> {
        let [sources, destinations, pairs] = &plain.distinct;
        Some(Self {
            totals: plain.totals,
            sources: Table::of_rows(plain.sources.0, plain.sources.1)?,
            destinations: Table::of_rows(plain.destinations.0, plain.destinations.1)?,
            services: Table::of_rows(plain.services.0, plain.services.1)?,
            points: plain.points,
            distinct_sources: Distinct::decode(sources)?,
            distinct_destinations: Distinct::decode(destinations)?,
            distinct_pairs: Distinct::decode(pairs)?,
        })
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        packets: a.packets.saturating_add(b.packets),
        bytes: a.bytes.saturating_add(b.bytes),
        flows: a.flows.saturating_add(b.flows),
    }
}

/// In which role an address is counted.
#[derive(Clone, Copy)]
enum Role {
    Source,
    Destination,
}

fn point(address: IpAddr, role: Role) -> u64 {
    hash(address) ^ mix(role as u64 + 1)
}

/// The same on every host: a summary is read by others.
fn hash(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    mix(mix((bits >> 64) as u64).wrapping_add(bits as u64))
}
