//! The history beside the pipeline: closed flows go in, questions about the past are answered beside it, so that a long
//! question never keeps packets waiting.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_api::{EXPORT_PIECES_MAX, ExportPieces, HistoryRefusal};
use hivewall_config::Config;
use hivewall_model::{Flow, Timestamp};
use hivewall_store::{Basis, By, Store, StoreError, StoreLoss, StoreOptions, StoreReader, StoreSender};
use hivewall_view::query::{
    AnsweredFrom, ExportFormat, LIMIT_MAX, SERIES_POINTS_MAX, SeriesPage, SeriesPoint, SeriesQuery, TOP_LIMIT_DEFAULT,
    TopBy, TopPage, TopQuery, TopRow,
};
use hivewall_view::time::{parse_rfc3339, rfc3339};
use hivewall_view::{Filter, FlowPage, FlowRow, HistoryInfo, Loss, Query};

/// Longest a question may take; the API gives up a little later.
const ANSWER_MAX: Duration = Duration::from_secs(9);
/// Longest an export may take.
const EXPORT_MAX: Duration = Duration::from_secs(3600);
/// Bytes of an export's pieces.
const PIECE_BYTES: usize = 256 << 10;
/// Points of a series whose step is left to the agent, about.
const POINTS: u32 = 240;
/// A step is never shorter.
const STEP_MIN: Duration = Duration::from_secs(1);

/// An open history, at the pipeline's side.
pub(crate) struct History {
    store: Store,
    sender: StoreSender,
    reader: StoreReader,
}

impl History {
    /// Opens the history that is configured in a directory.
    pub(crate) fn open(directory: &Path, config: &Config) -> Result<Self, StoreError> {
        let store = Store::open(StoreOptions {
            max_age: config.history.max_age(),
            max_bytes: config.history.max_bytes(),
            minutes_age: config.history.max_age(),
            hours_age: config.history.rollup_age(),
            ..StoreOptions::new(directory)
        })?;
        Ok(Self { sender: store.sender(), reader: store.reader(), store })
    }

    /// Keeps flows that closed. What there is no room for is counted, never waited for.
    pub(crate) fn keep(&self, closed: &[Arc<Flow>], name: &dyn Fn(u32) -> Arc<str>) {
        if !closed.is_empty() {
            self.sender.push(closed, name);
        }
    }

    /// Waits until everything is on disk: a replay is not over before.
    pub(crate) fn flush(&self) {
        self.store.flush();
    }

    /// What is kept.
    pub(crate) fn info(&self) -> HistoryInfo {
        self.reader.info()
    }

    /// For whoever asks.
    pub(crate) fn archive(&self) -> Archive {
        Archive(self.reader.clone())
    }

    /// Flows that are not in the history, by reason.
    pub(crate) fn losses(&self) -> Vec<(String, Loss)> {
        StoreLoss::ALL
            .into_iter()
            .filter(|reason| reason.is_failure())
            .map(|reason| {
                let loss =
                    Loss { count: self.reader.lost(reason), meaning: meaning(reason).to_owned(), ..Loss::default() };
                (reason.name().to_owned(), loss)
            })
            .collect()
    }
}

fn meaning(reason: StoreLoss) -> &'static str {
    match reason {
        StoreLoss::QueueFull => {
            "Closed flows that history could not take in time; they are counted and logged all the same."
        }
        StoreLoss::DiskFull => {
            "Closed flows that history lost because its disk was full; make room, or lower history.max_size_mb."
        }
        StoreLoss::WriteFailed => {
            "Closed flows that history lost because they could not be written; see history.failure."
        }
        StoreLoss::Expired | StoreLoss::Evicted => "Flows that retention removed.",
    }
}

/// Writes the flows of a history that no agent has open, a JSON line each. Nothing is removed, whatever its age.
pub(crate) fn read(directory: &Path, query: &Query, mut out: impl Write + Send) -> anyhow::Result<()> {
    if !directory.is_dir() {
        anyhow::bail!("there is no such directory; name another");
    }
    let forever = Duration::from_hours(24 * 36_600);
    let store = Store::open(StoreOptions {
        max_age: forever,
        max_bytes: u64::MAX,
        minutes_age: forever,
        hours_age: forever,
        ..StoreOptions::new(directory)
    })
    .map_err(|error| match error {
        StoreError::InUse { .. } => anyhow::anyhow!(
            "an agent has it open; leave --history out to ask that agent (--host names another than 127.0.0.1:7733)"
        ),
        other => other.into(),
    })?;
    store.reader().export(query, ExportFormat::Jsonl, &mut out, Instant::now() + EXPORT_MAX)?;
    Ok(())
}

/// The history, to whoever asks. Every answer is worked out on the thread that asks.
#[derive(Clone)]
pub(crate) struct Archive(StoreReader);

fn refused(error: &StoreError) -> HistoryRefusal {
    HistoryRefusal::Unreadable { reason: error.to_string() }
}

impl Archive {
    /// Closed flows of history, joined with the living ones that the engine found.
    pub(crate) fn flows(&self, query: &Query, living: FlowPage) -> Result<FlowPage, HistoryRefusal> {
        let limit = query.page_limit();
        let end = query.offset.saturating_add(limit);
        let all = Query { limit: end, offset: 0, ..query.clone() };
        let closed = self.0.flows(&all, Instant::now() + ANSWER_MAX).map_err(|error| refused(&error))?;
        let mut flows = living.flows;
        flows.extend(closed.flows);
        flows.sort_by_cached_key(|row| (Reverse(query.sort.weight(row)), row.flow_id));
        let matched = living.matched + closed.matched;
        Ok(FlowPage {
            time: living.time,
            matched,
            searched: living.searched + closed.searched,
            flows: flows.into_iter().skip(query.offset).take(limit).collect(),
            next_offset: ((end as u64) < matched).then_some(end as u64),
            reaches_back_to: closed.reaches_back_to,
        })
    }

    /// Who moved most.
    pub(crate) fn top(&self, query: &TopQuery, now: Timestamp) -> Result<TopPage, HistoryRefusal> {
        let limit = if query.limit == 0 { TOP_LIMIT_DEFAULT } else { query.limit };
        if !query.filter.is_empty() {
            return self.top_of_matching(query, limit, now);
        }
        let span = (query.from.unwrap_or_default(), query.to.unwrap_or(now));
        let found = self
            .0
            .top_talkers(span, by(query.by), limit, Instant::now() + ANSWER_MAX)
            .map_err(|error| refused(&error))?;
        let rows = found.rows.into_iter().map(|talker| TopRow {
            key: talker.key,
            bytes: talker.sums.bytes,
            packets: talker.sums.packets,
            flows: talker.sums.flows,
        });
        Ok(TopPage {
            time: rfc3339(now),
            by: query.by,
            rows: rows.collect(),
            source: source(found.basis),
            reaches_back_to: found.reaches_back_to.map(rfc3339),
        })
    }

    /// Who moved most among flows that match more than a time: summed up row by row, and so bounded.
    fn top_of_matching(&self, query: &TopQuery, limit: usize, now: Timestamp) -> Result<TopPage, HistoryRefusal> {
        let page = self.matching(&query.filter, query.from, query.to)?;
        let mut sums: HashMap<String, TopRow> = HashMap::new();
        for row in &page.flows {
            for key in keys(query.by, row) {
                let sum = sums.entry(key).or_default();
                sum.bytes += row.bytes;
                sum.packets += row.packets;
                sum.flows += 1;
            }
        }
        let mut rows: Vec<TopRow> = sums.into_iter().map(|(key, sum)| TopRow { key, ..sum }).collect();
        rows.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.key.cmp(&b.key)));
        rows.truncate(limit);
        Ok(TopPage {
            time: rfc3339(now),
            by: query.by,
            rows,
            source: AnsweredFrom::Flows,
            reaches_back_to: page.reaches_back_to,
        })
    }

    fn matching(
        &self,
        filter: &Filter,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<FlowPage, HistoryRefusal> {
        let filter = within(filter, from, to)?;
        let query = Query { filter, limit: LIMIT_MAX, history: true, ..Query::default() };
        let page = self.0.flows(&query, Instant::now() + ANSWER_MAX).map_err(|error| refused(&error))?;
        if page.matched > page.flows.len() as u64 {
            let reason = format!("{} flows match, and at most {LIMIT_MAX} are summed up with a filter", page.matched);
            return Err(HistoryRefusal::TooMuch { reason });
        }
        Ok(page)
    }

    /// Traffic over time.
    pub(crate) fn series(&self, query: &SeriesQuery, now: Timestamp) -> Result<SeriesPage, HistoryRefusal> {
        let to = query.to.unwrap_or(now);
        let oldest = self.0.info().oldest.as_deref().and_then(parse_rfc3339);
        let from = query.from.or(oldest).unwrap_or(to);
        let step = query.step.unwrap_or_else(|| (to.since(from) / POINTS).max(STEP_MIN));
        if !query.filter.is_empty() {
            return self.series_of_matching(query, (from, to), step, now);
        }
        let found = self.0.series((from, to), step, Instant::now() + ANSWER_MAX).map_err(|error| refused(&error))?;
        let points = found.steps.into_iter().map(|step| SeriesPoint {
            time: rfc3339(step.start),
            bytes: step.sums.bytes,
            packets: step.sums.packets,
            flows: step.sums.flows,
        });
        Ok(SeriesPage {
            time: rfc3339(now),
            step_seconds: found.step.as_secs_f64(),
            points: points.collect(),
            source: source(found.basis),
            reaches_back_to: found.reaches_back_to.map(rfc3339),
        })
    }

    fn series_of_matching(
        &self,
        query: &SeriesQuery,
        (from, to): (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Result<SeriesPage, HistoryRefusal> {
        let page = self.matching(&query.filter, Some(from), Some(to))?;
        let step_ns = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX).max(1);
        let first = from.0.div_euclid(step_ns);
        let count = usize::try_from(to.0.div_euclid(step_ns).saturating_sub(first) + 1).unwrap_or(0);
        if count as u64 > SERIES_POINTS_MAX {
            let reason =
                format!("these times in such steps are {count} points, and at most {SERIES_POINTS_MAX} are given");
            return Err(HistoryRefusal::TooMuch { reason });
        }
        let begin = |at: usize| rfc3339(Timestamp((first + at as i64) * step_ns));
        let mut points: Vec<SeriesPoint> =
            (0..count).map(|at| SeriesPoint { time: begin(at), ..SeriesPoint::default() }).collect();
        for row in &page.flows {
            let end = parse_rfc3339(&row.end).unwrap_or_default();
            let at = usize::try_from(end.0.div_euclid(step_ns) - first).ok();
            if let Some(point) = at.and_then(|at| points.get_mut(at)) {
                point.bytes += row.bytes;
                point.packets += row.packets;
                point.flows += 1;
            }
        }
        Ok(SeriesPage {
            time: rfc3339(now),
            step_seconds: step.as_secs_f64(),
            points,
            source: AnsweredFrom::Flows,
            reaches_back_to: page.reaches_back_to,
        })
    }

    /// Hands out the closed flows that match, written on a thread of its own.
    pub(crate) fn export(&self, query: Query, format: ExportFormat) -> ExportPieces {
        let (pieces, taker) = tokio::sync::mpsc::channel(EXPORT_PIECES_MAX);
        let reader = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let mut out = BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces.clone()));
            let written = reader.export(&query, format, &mut out, Instant::now() + EXPORT_MAX);
            let flushed = out.flush();
            let failure = written.err().map(|error| error.to_string()).or(flushed.err().map(|error| error.to_string()));
            if let Some(reason) = failure {
                tracing::warn!(reason, "an export broke off");
                // Whoever asked may have gone, which is then the reason.
                let _ = pieces.blocking_send(Err(reason));
            }
        });
        taker
    }
}

/// A file in pieces, to whoever takes them.
struct Pieces(tokio::sync::mpsc::Sender<Result<Vec<u8>, String>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map(|()| bytes.len()).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The filter within times.
fn within(filter: &Filter, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Filter, HistoryRefusal> {
    let mut filter = filter.clone();
    for (name, time) in [("from", from), ("to", to)] {
        if let Some(time) = time {
            let pushed = filter.push(false, name, &rfc3339(time), time);
            pushed.map_err(|error| HistoryRefusal::Unreadable { reason: error.to_string() })?;
        }
    }
    Ok(filter)
}

/// What a flow counts for.
fn keys(by: TopBy, row: &FlowRow) -> Vec<String> {
    match by {
        TopBy::Source => vec![row.source_ip.clone()],
        TopBy::Destination => vec![row.dest_ip.clone()],
        TopBy::Address if row.source_ip == row.dest_ip => vec![row.source_ip.clone()],
        TopBy::Address => vec![row.source_ip.clone(), row.dest_ip.clone()],
        TopBy::Service => {
            vec![row.dest_port.map_or_else(|| row.protocol.clone(), |port| format!("{}/{port}", row.protocol))]
        }
        TopBy::Process => vec![row.process.clone().unwrap_or_default()],
        TopBy::Protocol => vec![row.protocol.clone()],
    }
}

fn by(by: TopBy) -> By {
    match by {
        TopBy::Source => By::Source,
        TopBy::Destination => By::Destination,
        TopBy::Address => By::Address,
        TopBy::Service => By::Service,
        TopBy::Process => By::Process,
        TopBy::Protocol => By::Protocol,
    }
}

fn source(basis: Basis) -> AnsweredFrom {
    match basis {
        Basis::Flows => AnsweredFrom::Flows,
        _ => AnsweredFrom::Rollup,
    }
}
