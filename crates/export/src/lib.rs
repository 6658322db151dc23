//! The event log of `hivewall run` and `hivewall replay`: closed flows, names and periodic statistics, written as EVE JSON
//! lines, one JSON document, CSV or lines for people, to a file with rotation or to standard output.
//!
//! It does not decide what happens (the engine does) and knows no capture. Invariant: [`LogSender::send`] never waits;
//! every event handed to it is written or counted as lost under a [`DropReason`].
#![forbid(unsafe_code)]

mod console;
mod counters;
mod destination;
mod encode;
mod eve;
mod event;
mod log;
mod pcapng;
mod writer;

pub use counters::{DropReason, LogCounters, LogTotals};
pub use encode::{EncodeError, Encoder, LogFormat, UnknownFormat};
pub use event::{AlertEvent, Event, NameEvent, RefusalEvent, Said, StatsEvent};
pub use pcapng::{CapturedPacket, LinkType, Pcapng};
pub use writer::{LogError, LogOptions, LogSender, LogWriter};
