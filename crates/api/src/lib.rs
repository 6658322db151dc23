//! The HTTP API that every agent serves on loopback: the snapshot, flows (pages and live), health, metrics, and the
//! OpenAPI document that describes them.
//!
//! It knows what is shown (`view`) and nothing of how it is seen: the agent hands it a [`Source`]. Whatever changes
//! something needs a token or a session of the right role; beyond loopback so does whatever reads. No request can slow the engine down, because a slow reader loses events
//! (and is told how many) and everything a client can take has a named limit.
#![forbid(unsafe_code)]

mod access;
mod alerts;
mod audit;
mod compress;
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
mod session;
mod source;
mod state;
mod tls;
mod users;
mod web;
mod wire;

pub use access::{
    Access, BODIES_MAX, BODY_BYTES_MAX, CODE_SECONDS, Caller, Clock, HOST_USER, LOGIN_FAILURES_FOR_USER,
    LOGIN_FAILURES_OF_PEER, LOGIN_WAIT_SECONDS_MAX, Moment, REQUESTS_BURST_MAX, REQUESTS_PER_SECOND_MAX, Right,
    SESSION_IDLE_SECONDS_MAX, SESSION_SECONDS_MAX, SESSIONS_MAX, TOKEN_BYTES_MIN, TRAIL_ENTRIES_MAX,
    TRAIL_FILE_BYTES_MAX, TRAIL_FILES_KEPT, USER_SESSIONS_MAX, USER_TOKENS_MAX, USERS_MAX, UsersError, WeakToken,
};
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
pub use server::{paths, rights, serve};
pub use source::{
    AlertCommand, AlertFile, AlertRefusal, BoxFuture, FleetCommand, FleetRefusal, HistoryRefusal, Invite, PageOf,
    PolicyCommand, PolicyRefusal, Source, SourceGone,
};
pub use tls::{Tls, TlsError, certificate_names};
pub use wire::{HANDSHAKE_SECONDS_MAX, HANDSHAKES_MAX, PEER_HANDSHAKES_MAX};
