//! What every surface shows: rows, snapshots, queries, filters, the field catalogue, units. The JSON that leaves the
//! process is defined here and nowhere else; terminal, web page, API, logs and CLI all speak it.
//!
//! No I/O and no clock: whoever calls brings the time.
#![forbid(unsafe_code)]

pub mod fields;
pub mod filter;
mod flow;
pub mod query;
mod snapshot;
pub mod time;
pub mod units;

pub use filter::Filter;
pub use flow::{FlowRow, PointRow, example_flow, protocol_text};
pub use query::{FlowPage, Query, Sort};
pub use snapshot::{
    AddressTraffic, CaptureInfo, FlowCounts, HostInfo, InterfaceTraffic, InterfaceUtilization, Loss, ProtocolTraffic,
    Snapshot, SuspiciousTraffic, TopTalker, TrafficAccuracy, TrafficCell,
};
