//! The nouns of hivewall: time, flows, interfaces, processes, sockets, names. No serialization, no I/O, no policy: every other crate speaks them.
#![forbid(unsafe_code)]

mod community;
mod flow;
mod interface;
mod judgement;
mod name;
mod process;
mod protocol;
mod pulse;
mod socket;
mod system;
mod time;

pub use community::{community_id, icmp_counterpart};
pub use flow::{EndReason, Flow, FlowId, Perspective, Point, Side, TcpFlags, TcpState, Tuple};
pub use hivewall_datapath::{Direction, Reason, Tunnel};
pub use interface::{Interface, LinkLayer, Rank};
pub use judgement::{Action, Fate, Judgement, RuleNames, Ruling, Verdict};
pub use name::{
    DnsAnswer, DnsMessage, Finding, FlowNames, HttpRequest, HttpResponse, Learned, NameSource, RoundTripKind, Timing,
    TlsHello,
};
pub use process::{Container, Process};
pub use protocol::{protocol_by_name, protocol_name};
pub use pulse::{Moves, Pulse, Stray, StrayKind};
pub use socket::{KernelDrop, SocketCensus, SocketChange, SocketEnds, SocketEvent, SocketState, TcpHealth};
pub use system::{CpuTimes, Disk, Filesystem, SystemReading};
pub use time::{TickClock, Timestamp};
