//! Flow export: what the pipeline hands to collectors, and how they fare.
//!
//! The formats are `hivewall_flowexport`'s. Invariant: the pipeline never waits for a collector.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_config::Config;
use hivewall_export::{AlertEvent, Encoder, Event, LogFormat};
use hivewall_flowexport::{Exporters, Target, TargetCounters};
use hivewall_model::{Flow, Interface};
use hivewall_view::{ExportRow, FlowRow};

/// How long collectors may take for the rest once the agent stops.
const GOODBYE: Duration = Duration::from_secs(3);

/// Collectors at work.
pub(crate) struct Collectors {
    exporters: Option<Exporters>,
    encoder: Encoder,
    line: Vec<u8>,
}

/// The targets of the settings. Read before anything is started: a mistake is told at once.
pub(crate) fn targets(config: &Config) -> anyhow::Result<Vec<Target>> {
    Ok(config.export.targets.iter().map(|word| word.as_str().parse()).collect::<Result<_, _>>()?)
}

impl Collectors {
    /// Starts a thread for each target; what waits for those that confirm is kept in this directory.
    pub(crate) fn start(targets: Vec<Target>, directory: &Path) -> anyhow::Result<Self> {
        let exporters = Exporters::start(targets, directory)?;
        Ok(Self { exporters: Some(exporters), encoder: Encoder::new(LogFormat::Jsonl), line: Vec::new() })
    }

    /// Flows that ended; `row` makes what lines show.
    pub(crate) fn flows(&mut self, flows: &[Arc<Flow>], name: &dyn Fn(u32) -> String, row: &dyn Fn(&Flow) -> FlowRow) {
        let Some(exporters) = &self.exporters else { return };
        if flows.is_empty() {
            return;
        }
        exporters.flows(flows, name);
        if exporters.wants_lines() {
            for flow in flows {
                self.event(&Event::Flow(Box::new(row(flow))));
            }
        }
    }

    pub(crate) fn alert(&mut self, event: &AlertEvent) {
        if self.exporters.as_ref().is_some_and(Exporters::wants_lines) {
            self.event(&Event::Alert(Box::new(event.clone())));
        }
    }

    fn event(&mut self, event: &Event) {
        self.line.clear();
        match (self.encoder.event(event, &mut self.line), &self.exporters) {
            (Ok(()), Some(exporters)) => exporters.line(&self.line),
            (Err(error), _) => tracing::error!(%error, kind = event.kind(), "an event is not exported"),
            (Ok(()), None) => {}
        }
    }

    pub(crate) fn interfaces(&self, interfaces: &[Interface]) {
        if let Some(exporters) = self.exporters.as_ref().filter(|exporters| exporters.wants_interfaces()) {
            exporters.interfaces(interfaces);
        }
    }

    pub(crate) fn rows(&self) -> Vec<ExportRow> {
        self.exporters.iter().flat_map(Exporters::counters).map(|counters| row(&counters)).collect()
    }

    /// Sends what can be sent.
    pub(crate) fn close(&mut self) {
        let Some(exporters) = self.exporters.take() else { return };
        for counters in exporters.close(Instant::now() + GOODBYE) {
            if counters.queued > 0 {
                tracing::warn!(
                    target = counters.target,
                    left = counters.queued,
                    "flows were not exported when the agent stopped"
                );
            }
        }
    }
}

fn row(counters: &TargetCounters) -> ExportRow {
    ExportRow {
        target: counters.target.clone(),
        records: counters.sent,
        messages: counters.messages,
        bytes: counters.bytes,
        queued: counters.queued,
        lost: counters
            .lost
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(why, count)| (why.name().to_owned(), *count))
            .collect(),
        last_error: counters.last_error.clone(),
    }
}
