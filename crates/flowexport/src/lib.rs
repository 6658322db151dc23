//! Flows and counters on their way out, to collectors that people already run: IPFIX, NetFlow v9 and v5, sFlow, lines
//! of events over unix sockets and TCP, and by way of a queue on disk NATS JetStream and ClickHouse.
//!
//! It does not decide what a flow is (the engine does) nor how an event looks as a line (`export` does). Invariant: whoever
//! hands something over never waits; everything handed over is sent, queued, or counted as lost under a [`LossReason`].
#![forbid(unsafe_code)]

mod clickhouse;
mod counters;
mod courier;
mod durable;
mod exporters;
mod id;
mod lines;
mod link;
mod message;
mod nats;
mod netflow;
mod queue;
mod record;
mod rest;
mod rows;
mod sflow;
mod target;

pub use counters::{LossReason, TargetCounters};
pub use exporters::{Error, Exporters};
pub use target::{Target, TargetError};
