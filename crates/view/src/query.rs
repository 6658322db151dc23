//! Questions about flows: filter, order, page. Every surface asks this way.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
