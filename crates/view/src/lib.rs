//! What every surface shows: rows, snapshots, queries, filters, the field catalogue, units. The JSON that leaves the
//! process is defined here and nowhere else; terminal, web page, API, logs and CLI all speak it.
//!
//! No I/O and no clock: whoever calls brings the time.
#![forbid(unsafe_code)]

pub mod access;
pub mod alerts;
pub mod catalogue;
pub mod depth;
pub mod editing;
pub mod fields;
pub mod filter;
pub mod fleet;
mod flow;
pub mod names;
pub mod policy;
pub mod query;
mod snapshot;
pub mod table;
mod text;
pub mod time;
pub mod units;

pub use depth::{
    AgentCost, ApplicationTraffic, Attribution, ConntrackFill, DiskLoad, DnsRow, DnsSummary, DropRow, FamilyCount,
    FilesystemFill, HalfOpenTarget, HistoryInfo, HttpRow, HttpSummary, Latency, NameCount, PeerLatency, ProcessTraffic,
    ServiceTraffic, SocketSummary, SystemLoad, TlsSummary,
};
pub use filter::{Filter, FilterError};
pub use flow::{FlowRow, PointRow, container_text, example_flow, protocol_text, user_text};
pub use query::{
    AnsweredFrom, FlowPage, Query, SeriesPage, SeriesPoint, SeriesQuery, Sort, TopBy, TopPage, TopQuery, TopRow,
};
pub use snapshot::{
    AddressTraffic, CaptureInfo, ExportRow, FlowCounts, HostInfo, InterfaceTraffic, InterfaceUtilization, Loss,
    ProtocolTraffic, Snapshot, SuspiciousTraffic, TopTalker, TrafficAccuracy, TrafficCell,
};
pub use table::Align;
pub use text::render_snapshot_text;
