//! What all hosts saw together in one epoch. Deliberately not here: how it was added up. Invariant: whatever is not exact
//! carries its own bounds, between which the truth lies (tables), or lies in 95 of 100 cases (distinct counts).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FleetCoverage;

/// What all saw together in one epoch of ten seconds. Of a flow between two members one counts, the one that began it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetTotalView {
    /// When the epoch ended, RFC 3339, UTC.
    pub time: String,
    /// Length of the epoch, seconds.
    pub seconds: f64,
    /// Hosts that are in it.
    pub coverage: FleetCoverage,
    /// Packets. Exact for the hosts that are in it, as are bytes and flows.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Flows.
    pub flows: u64,
    /// The same by protocol and direction, most bytes first.
    pub traffic: Vec<FleetTraffic>,
    /// Who sent most.
    pub sources: FleetTop,
    /// To whom most was sent.
    pub destinations: FleetTop,
    /// What was talked to most: `tcp/443`.
    pub services: FleetTop,
    /// Different sources.
    pub distinct_sources: Distinct,
    /// Different destinations.
    pub distinct_destinations: Distinct,
    /// Different pairs of source and destination.
    pub distinct_pairs: Distinct,
}

impl FleetTotalView {
    /// Bits a second over the epoch.
    pub fn bits_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.bytes as f64 * 8.0 / self.seconds } else { 0.0 }
    }

    /// By how much of all bytes a listed figure may be too small, 0 to 1: the worst of the three lists.
    pub fn error_share(&self) -> f64 {
        let worst = [&self.sources, &self.destinations, &self.services].map(|top| top.hidden_bytes_max);
        let worst = worst.into_iter().max().unwrap_or(0);
        if self.bytes == 0 { 0.0 } else { (worst as f64 / self.bytes as f64).min(1.0) }
    }
}

/// Traffic of one protocol in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetTraffic {
    /// Protocol by name.
    pub protocol: String,
    /// `in` or `out`, as the hosts that are in the total saw it.
    pub direction: String,
    /// Packets on the wire.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Flows.
    pub flows: u64,
}

/// The largest of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetTop {
    /// Largest first.
    pub rows: Vec<FleetTopRow>,
    /// Bytes that any key may have beyond what is listed of it, listed or not.
    pub hidden_bytes_max: u64,
}

/// One of the largest: between `bytes` and `bytes_max`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetTopRow {
    /// Address or service.
    pub key: String,
    /// Name of the member that has this address; empty when none has.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub host: String,
    /// At least so many IP bytes.
    pub bytes: u64,
    /// At most so many.
    pub bytes_max: u64,
}

/// How many different ones, estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Distinct {
    /// The best guess.
    pub estimate: f64,
    /// At least so many, in 95 of 100 cases with `high`.
    pub low: f64,
    /// At most so many.
    pub high: f64,
}

impl Distinct {
    /// How far the bounds are from the estimate, as a share of it.
    pub fn error_share(&self) -> f64 {
        let off = (self.high - self.estimate).max(self.estimate - self.low);
        if self.estimate > 0.0 { off / self.estimate } else { 0.0 }
    }
}
