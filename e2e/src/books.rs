//! Three books about the same packets: the kernel's interface counters, the agent's snapshot, the agent's log.
//!
//! It knows the documents' keys and adds up; what has to be equal is said by the tests. Invariant: nothing is rounded,
//! and a key that is missing counts as 0 only where the document says that absent means none.

use std::fmt;
use std::ops::{Add, Sub};

use hivewall_testkit::netns::Counters;
use serde_json::Value;

use crate::agent::Left;

/// Packets and link-layer bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Packets.
    pub packets: u64,
    /// Link-layer bytes.
    pub bytes: u64,
}

impl Add for Sum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Sum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_sub(other.packets), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packets, {} bytes", self.packets, self.bytes)
    }
}

/// Both directions of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both {
    /// Received.
    pub rx: Sum,
    /// Sent.
    pub tx: Sum,
}

impl Both {
    /// Together.
    pub fn sum(self) -> Sum {
        self.rx + self.tx
    }
}

impl Add for Both {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { rx: self.rx + other.rx, tx: self.tx + other.tx }
    }
}

impl From<Counters> for Both {
    fn from(kernel: Counters) -> Self {
        Self {
            rx: Sum { packets: kernel.rx_packets, bytes: kernel.rx_bytes },
            tx: Sum { packets: kernel.tx_packets, bytes: kernel.tx_bytes },
        }
    }
}

/// A number of a document by its path; panics where it is missing.
#[track_caller]
pub fn number(document: &Value, path: &str) -> u64 {
    let found = document.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("there is no number {path} in {document:#}"))
}

/// `in_*` and `out_*` of a traffic cell.
fn cell(cell: &Value) -> Both {
    let sum = |side: &str| Sum {
        packets: number(cell, &format!("/{side}_packets")),
        bytes: number(cell, &format!("/{side}_wire_bytes")),
    };
    Both { rx: sum("in"), tx: sum("out") }
}

/// What the snapshot says an interface carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// In flows.
    pub flows: Both,
    /// In no flow, for whatever reason.
    pub others: Both,
    /// Segments beyond the first of each buffer, contained in `flows`.
    pub segments: Both,
    /// What could not be handed over, in both directions.
    pub lost: Sum,
}

impl Account {
    /// An interface's page in a snapshot. An interface that carried nothing has none.
    pub fn of(snapshot: &Value, interface: &str) -> Self {
        let lost = &snapshot["losses"]["ring_full"];
        let field = |name: &str| lost[name].as_u64().unwrap_or(0);
        let lost = Sum { packets: field("packets"), bytes: field("bytes") };
        let page = &snapshot["network_traffic"][interface];
        if page.is_null() {
            return Self { lost, ..Self::default() };
        }
        let mut account = Self { flows: cell(&page["total"]), lost, ..Self::default() };
        for (reason, counted) in page["not_in_flows"].as_object().into_iter().flatten() {
            match reason.as_str() {
                "gso_segments" => account.segments = cell(counted),
                _ => account.others = account.others + cell(counted),
            }
        }
        account
    }

    /// Everything, as packets on the wire.
    pub fn seen(&self) -> Both {
        self.flows + self.others
    }

    /// Everything, as an interface counts that takes one buffer for one packet. While traffic flows the segments are
    /// ahead of the flows, which are read by the sweep: the answer is then of no use, but it is one.
    pub fn buffers(&self) -> Both {
        let seen = self.seen();
        Both { rx: seen.rx - self.segments.rx, tx: seen.tx - self.segments.tx }
    }
}

/// The flows of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// How many there are.
    pub flows: u64,
    /// All of them, each packet once.
    pub sum: Sum,
}

/// Adds up the flows of a log; panics when an event is not what it says it is.
#[track_caller]
pub fn logged(left: &Left) -> Logged {
    let mut logged = Logged::default();
    left.each(|event| {
        if event["event_type"] == "flow" {
            let of = |name: &str| number(&event, &format!("/flow/{name}"));
            let packets = of("pkts_toserver") + of("pkts_toclient");
            let bytes = of("bytes_toserver") + of("bytes_toclient");
            logged.flows += 1;
            logged.sum = logged.sum + Sum { packets, bytes };
        }
    });
    logged
}

/// Every loss of a snapshot that is not 0, by reason; but for copies of payload, which have a budget that a test's bursts
/// are meant to go beyond, and which are no part of what was counted.
pub fn losses(snapshot: &Value) -> Vec<(String, u64)> {
    let all = snapshot["losses"].as_object().into_iter().flatten();
    let counted = all.map(|(reason, loss)| (reason.clone(), loss["count"].as_u64().unwrap_or(u64::MAX)));
    counted.filter(|(reason, count)| *count > 0 && !reason.starts_with("peek_")).collect()
}
