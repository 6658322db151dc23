//! The HTTP API that every agent serves on loopback: the snapshot, flows (pages and live), health, metrics, and the
//! OpenAPI document that describes them.
//!
//! It knows what is shown (`view`) and nothing of how it is seen: the agent hands it a [`Source`]. Whatever changes
//! something needs a token; all else only reads. No request can slow the engine down, because a slow reader loses events
//! (and is told how many) and everything a client can take has a named limit.
#![forbid(unsafe_code)]

mod access;
mod alerts;
mod connection;
mod editing;
mod error;
mod export;
mod fleet;
mod guard;
mod health;
mod history;
mod index;
mod listen;
mod live;
mod metrics;
mod openapi;
mod params;
mod policy;
mod refusals;
mod routes;
mod server;
mod source;
mod state;
mod web;

pub use access::{Access, BODIES_MAX, BODY_BYTES_MAX, Caller, TOKEN_BYTES_MIN, WeakToken};
pub use connection::{ANSWER_WAIT_SECONDS, CONNECTIONS_MAX, REQUEST_BYTES_MAX};
pub use error::Problem;
pub use export::{EXPORT_PIECES_MAX, ExportPieces};
pub use fleet::{INVITATION_SECONDS_DEFAULT, INVITATION_SECONDS_MAX, INVITATION_USES_MAX};
pub use guard::HEADER_BYTES_MAX;
pub use health::{Health, HealthReason, HealthStatus, LOSS_MEMORY_SECONDS, SNAPSHOT_AGE_SECONDS_MAX};
pub use listen::{ADDRESS_DEFAULT, BindError, bind};
pub use live::{LIVE_MAX, Lagged};
pub use metrics::{METRICS, Metric, MetricKind, Scraped, Scraper, metrics_reference};
pub use openapi::openapi_json;
pub use policy::COMMAND_SECONDS_MAX;
pub use routes::{FLOW_ANSWER_SECONDS_MAX, FLOW_QUESTIONS_MAX};
pub use server::{paths, serve};
pub use source::{
    AlertCommand, AlertFile, AlertRefusal, BoxFuture, FleetCommand, FleetRefusal, HistoryRefusal, Invite, PageOf,
    PolicyCommand, PolicyRefusal, Source, SourceGone,
};
