//! Flows and events as JSON, for what keeps them centrally: each one names the host it comes from.
//!
//! The fields of a flow are those of [`FlowRow`], as everywhere else. Invariant: one item of the queue is one row, without
//! a line end.

use hivewall_view::FlowRow;
use serde::{Deserialize, Serialize};

use crate::message::Item;

/// What a target that keeps things is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Flows,
    Events,
}

/// How a receiver wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A flow with times in RFC 3339; an event as it is.
    Json,
    /// Rows of the tables in `deploy/clickhouse`.
    ClickHouse,
}

pub(crate) struct Rows {
    what: What,
    shape: Shape,
    host: String,
}

#[derive(Serialize)]
struct FlowOf<'a> {
    host: &'a str,
    #[serde(flatten)]
    flow: &'a FlowRow,
    interface_names: Vec<&'a str>,
}

#[derive(Serialize)]
struct EventOf<'a> {
    host: &'a str,
    time: String,
    event_type: &'a str,
    event: &'a str,
}

/// What a table sorts events by.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    timestamp: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    event_type: std::borrow::Cow<'a, str>,
}

impl Rows {
    pub(crate) fn new(what: What, shape: Shape) -> Self {
        // The kernel's own word for it (proc(5)); without /proc the column stays empty.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { what, shape, host: host.trim().to_owned() }
    }

    pub(crate) fn what(&self) -> What {
        self.what
    }

    /// The rows of an item.
    pub(crate) fn encode(&self, item: &Item) -> Vec<Vec<u8>> {
        match (item, self.what) {
            (Item::Flows { batch, count }, What::Flows) => {
                let flows = batch.flows.iter().take(*count);
                flows.map(|flow| self.flow(FlowRow::new(flow, &|ifindex| batch.name(ifindex)))).collect()
            }
            (Item::Line(line), What::Events) => vec![self.event(line)],
            _ => Vec::new(),
        }
    }

    fn flow(&self, mut row: FlowRow) -> Vec<u8> {
        let seen = std::mem::take(&mut row.interfaces);
        let mut interface_names: Vec<_> = seen.iter().map(|point| point.interface.as_str()).collect();
        interface_names.sort_unstable();
        interface_names.dedup();
        if self.shape == Shape::ClickHouse {
            row.start = clickhouse_time(&row.start);
            row.end = clickhouse_time(&row.end);
        }
        // Strings, numbers and lists of them are always JSON.
        serde_json::to_vec(&FlowOf { host: &self.host, flow: &row, interface_names }).unwrap_or_default()
    }

    fn event(&self, line: &[u8]) -> Vec<u8> {
        if self.shape == Shape::Json {
            return line.to_vec();
        }
        let text = String::from_utf8_lossy(line);
        let none = Head { timestamp: "".into(), event_type: "".into() };
        let head: Head<'_> = serde_json::from_str(&text).unwrap_or(none);
        let time = clickhouse_time(&in_utc(&head.timestamp));
        let row = EventOf { host: &self.host, time, event_type: &head.event_type, event: &text };
        serde_json::to_vec(&row).unwrap_or_default()
    }
}

/// EVE writes times with an offset; tables want one clock.
fn in_utc(time: &str) -> String {
    hivewall_view::time::parse_rfc3339(time).map(hivewall_view::time::rfc3339).unwrap_or_default()
}

/// RFC 3339 in UTC as `DateTime64` reads it without settings: `2026-11-21 10:00:00.000000`.
fn clickhouse_time(rfc3339: &str) -> String {
    rfc3339.trim_end_matches('Z').replacen('T', " ", 1)
}
