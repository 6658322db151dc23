//! History: closed flows on disk, for questions about last Tuesday.
//!
//! Flows come over a bounded queue, are durable in a journal about a second later, and end up in Parquet segments that any
//! Parquet reader can open; roll-ups per minute and hour are kept longer than they. Why it is so stands in
//! docs/decisions/0006-history.md.
//!
//! It does not decide which flows are kept and knows nothing of how they are shown. Invariants: a sender never waits; a flow
//! that was made durable is in the history once, whatever the moment at which the process died; what is not kept is counted
//! under a [`StoreLoss`].
#![forbid(unsafe_code)]

mod batch;
mod codec;
mod columns;
mod decode;
mod encode;
mod error;
mod export;
mod flows;
mod journal;
mod kept;
mod keys;
mod losses;
mod options;
mod pages;
mod reader;
mod rollup;
mod scan;
mod segment;
mod state;
mod store;
mod totals;
mod writer;

pub use error::StoreError;
pub use hivewall_view::query::ExportFormat;
pub use keys::{By, Sums};
pub use losses::StoreLoss;
pub use options::StoreOptions;
pub use reader::StoreReader;
pub use state::SCHEMA;
pub use store::{Store, StoreSender};
pub use totals::{Basis, STEPS_MAX, Series, Step, Talker, Talkers};
