//! Metrics and alerts to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! It knows no registry: metrics come as [`Family`] values, alerts as the rest of the program shows them. Invariants:
//! pushing never waits; what waits is bounded, the oldest goes first, and everything that does not arrive is counted. It
//! is kept in memory alone: a metric that is late by a restart tells nothing, and alerts have channels with queues.
#![forbid(unsafe_code)]

mod encode;
mod family;
mod push;

pub use family::{Family, Kind, Sample, Value};
pub use push::{Otlp, OtlpError, OtlpOptions, SignalCounters};
