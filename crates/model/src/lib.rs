//! The nouns of hivewall: time, flows, interfaces. No serialization, no I/O, no policy: every other crate speaks them.
#![forbid(unsafe_code)]

mod community;
mod flow;
mod interface;
mod protocol;
mod time;

pub use community::{community_id, icmp_counterpart};
pub use flow::{EndReason, Flow, FlowId, Perspective, Point, Side, TcpFlags, TcpState, Tuple};
pub use hivewall_datapath::{Direction, Reason, Tunnel};
pub use interface::{Interface, LinkLayer, Rank};
pub use protocol::{protocol_by_name, protocol_name};
pub use time::{TickClock, Timestamp};
