//! Questions about flows and about their history: filter, order, page; top lists; series over time. Every surface asks
//! this way.

use std::time::Duration;

use hivewall_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::parse_rfc3339;
use crate::{Filter, FlowRow};

/// Rows a page holds when nobody says otherwise.
pub const LIMIT_DEFAULT: usize = 100;
/// Most rows a page can hold.
pub const LIMIT_MAX: usize = 100_000;

/// Order of the answer; always largest or latest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// IP bytes, both directions.
    #[default]
    Bytes,
    /// Packets, both directions.
    Packets,
    /// IP bits per second now.
    Rate,
    /// First packet.
    Start,
    /// Latest packet.
    Last,
    /// Duration.
    Duration,
}

impl Sort {
    /// Every order and its name.
    pub const ALL: &'static [(Sort, &'static str)] = &[
        (Sort::Bytes, "bytes"),
        (Sort::Packets, "packets"),
        (Sort::Rate, "rate"),
        (Sort::Start, "start"),
        (Sort::Last, "last"),
        (Sort::Duration, "duration"),
    ];

    /// What a row weighs in this order: the same for rows of every host and of history.
    pub fn weight(self, row: &FlowRow) -> u64 {
        // The sign bit is turned around, so that times before 1970 stand before those after it.
        let instant = |text: &str| parse_rfc3339(text).map_or(0, |time| time.0 as u64 ^ 1 << 63);
        match self {
            Self::Bytes => row.bytes,
            Self::Packets => row.packets,
            Self::Rate => row.bits_per_second.round() as u64,
            Self::Start => instant(&row.start),
            Self::Last => instant(&row.end),
            Self::Duration => (row.duration_seconds * 1e9) as u64,
        }
    }
}

/// A question about flows.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Query {
    /// Which flows.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// At most so many rows; 0 means [`LIMIT_DEFAULT`].
    pub limit: usize,
    /// Rows to leave out first.
    pub offset: usize,
    /// Whether closed flows are looked for in the history on disk, where there is one, rather than among those lately
    /// closed.
    pub history: bool,
}

impl Query {
    /// Rows that a page may have.
    pub fn page_limit(&self) -> usize {
        if self.limit == 0 { LIMIT_DEFAULT } else { self.limit.min(LIMIT_MAX) }
    }
}

/// One page of the answer.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct FlowPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Flows that match, on this and other pages.
    pub matched: u64,
    /// Flows looked at.
    pub searched: u64,
    /// The rows.
    pub flows: Vec<FlowRow>,
    /// Offset of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_offset: Option<u64>,
    /// How far back closed flows go, RFC 3339; absent when none was discarded yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reaches_back_to: Option<String>,
}

/// Rows of a top list when nobody says otherwise.
pub const TOP_LIMIT_DEFAULT: usize = 10;
/// Most rows of a top list.
pub const TOP_LIMIT_MAX: usize = 10_000;
/// Most points of a series.
pub const SERIES_POINTS_MAX: u64 = 10_000;

/// What a top list adds up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopBy {
    /// Client address.
    Source,
    /// Server address.
    Destination,
    /// Address of either end: a flow counts for both.
    #[default]
    Address,
    /// Protocol and server port: `tcp/443`.
    Service,
    /// Command name of the process of this host.
    Process,
    /// Protocol.
    Protocol,
}

impl TopBy {
    /// Every way and its name.
    pub const ALL: &'static [(TopBy, &'static str)] = &[
        (TopBy::Source, "source"),
        (TopBy::Destination, "destination"),
        (TopBy::Address, "address"),
        (TopBy::Service, "service"),
        (TopBy::Process, "process"),
        (TopBy::Protocol, "protocol"),
    ];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(by, _)| *by == self).map_or("", |(_, name)| name)
    }
}

/// A question for those who moved most, over history.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopQuery {
    /// By what.
    pub by: TopBy,
    /// Flows seen at this time or later; `None` is as far back as history goes.
    pub from: Option<Timestamp>,
    /// Flows that began at this time or before; `None` is now.
    pub to: Option<Timestamp>,
    /// At most so many rows; 0 means [`TOP_LIMIT_DEFAULT`].
    pub limit: usize,
    /// Which flows, times aside. Roll-ups can answer only where it is empty.
    pub filter: Filter,
}

/// From what a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredFrom {
    /// Each flow was looked at.
    #[default]
    Flows,
    /// Sums by minute or hour: times are exact to one of them.
    Rollup,
}

/// One row of a top list.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TopRow {
    /// Address, service, process or protocol; empty where a flow has none.
    pub key: String,
    /// IP bytes, both directions.
    pub bytes: u64,
    /// Packets, both directions.
    pub packets: u64,
    /// Flows.
    pub flows: u64,
}

/// The answer: the most bytes first.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct TopPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// What rows were added up by.
    pub by: TopBy,
    /// The rows.
    pub rows: Vec<TopRow>,
    /// From what it was answered.
    pub source: AnsweredFrom,
    /// How far back what was asked is kept, RFC 3339; absent while nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reaches_back_to: Option<String>,
}

/// A question for traffic over time, over history.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SeriesQuery {
    /// As in [`TopQuery`].
    pub from: Option<Timestamp>,
    /// As in [`TopQuery`].
    pub to: Option<Timestamp>,
    /// Time that one point stands for; `None` leaves it to who answers.
    pub step: Option<Duration>,
    /// As in [`TopQuery`].
    pub filter: Filter,
}

/// One point of a series.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SeriesPoint {
    /// Where its time begins, RFC 3339, UTC.
    pub time: String,
    /// IP bytes of the flows that were seen last within its time.
    pub bytes: u64,
    /// Their packets.
    pub packets: u64,
    /// How many they are.
    pub flows: u64,
}

/// The answer: the earliest first, and points without traffic as well.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct SeriesPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Seconds that one point stands for.
    pub step_seconds: f64,
    /// The points.
    pub points: Vec<SeriesPoint>,
    /// From what it was answered.
    pub source: AnsweredFrom,
    /// How far back what was asked is kept, RFC 3339; absent while nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reaches_back_to: Option<String>,
}

/// How closed flows are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// Apache Parquet, compressed with Zstandard.
    #[default]
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl ExportFormat {
    /// Every format and its name, which is also the usual end of a file's name.
    pub const ALL: &'static [(ExportFormat, &'static str)] =
        &[(ExportFormat::Parquet, "parquet"), (ExportFormat::Csv, "csv"), (ExportFormat::Jsonl, "jsonl")];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// Media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Csv => "text/csv",
            Self::Jsonl => "application/jsonl",
        }
    }
}
