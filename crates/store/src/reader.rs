//! The way out: questions, from any thread, while the writer writes.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_model::Timestamp;
use hivewall_view::query::ExportFormat;
use hivewall_view::time::rfc3339;
use hivewall_view::{FlowPage, HistoryInfo, Query};

use crate::error::StoreError;
use crate::export::export;
use crate::flows::page;
use crate::kept::{Shared, time};
use crate::keys::By;
use crate::losses::StoreLoss;
use crate::scan::Deadline;
use crate::totals::{Series, Talkers, exact_talkers, series, talkers};

/// Asks the history. Cheap to clone; answers include what is not in a segment yet.
#[derive(Clone, Debug)]
pub struct StoreReader {
    shared: Arc<Shared>,
}

impl StoreReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// One page of the closed flows that match; `until` is when the answer is needed at the latest.
    pub fn flows(&self, query: &Query, until: Instant) -> Result<FlowPage, StoreError> {
        page(&self.shared, query, Deadline(until))
    }

    /// The greatest `count` by bytes, of the flows that ended from `from` on and before `to`.
    pub fn top_talkers(
        &self,
        (from, to): (Timestamp, Timestamp),
        by: By,
        count: usize,
        until: Instant,
    ) -> Result<Talkers, StoreError> {
        talkers(&self.shared, (from, to), by, count, Deadline(until))
    }

    /// The same from every flow that is kept, exact to the microsecond; takes longer over long times.
    pub fn exact_top_talkers(
        &self,
        (from, to): (Timestamp, Timestamp),
        by: By,
        count: usize,
        until: Instant,
    ) -> Result<Talkers, StoreError> {
        exact_talkers(&self.shared, (from, to), by, count, Deadline(until))
    }

    /// Traffic of the flows that ended from `from` on and before `to`, in steps.
    pub fn series(
        &self,
        (from, to): (Timestamp, Timestamp),
        step: Duration,
        until: Instant,
    ) -> Result<Series, StoreError> {
        series(&self.shared, (from, to), step, Deadline(until))
    }

    /// Writes the flows that match, whatever the query's page and order; says how many there were.
    pub fn export(
        &self,
        query: &Query,
        format: ExportFormat,
        out: &mut (dyn Write + Send),
        until: Instant,
    ) -> Result<u64, StoreError> {
        export(&self.shared, query, format, out, Deadline(until))
    }

    /// What is kept.
    pub fn info(&self) -> HistoryInfo {
        let (flows, segments, oldest) = {
            let kept = self.shared.read();
            let on_disk: u64 = kept.segments.iter().map(|segment| segment.rows).sum();
            (on_disk + kept.open.len() as u64, kept.segments.len() as u64, kept.oldest())
        };
        HistoryInfo {
            directory: self.shared.options.directory.display().to_string(),
            flows,
            bytes: self.shared.bytes(),
            segments,
            oldest: oldest.map(time).map(rfc3339),
            failure: self.shared.failure(),
        }
    }

    /// Flows that are not in the history for a reason, since it was opened.
    pub fn lost(&self, reason: StoreLoss) -> u64 {
        self.shared.losses.get(reason)
    }
}
