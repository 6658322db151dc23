//! Names and times from copied payload: the parsers at work for the pipeline, and what they refuse as losses.

use hivewall_host::source::Peeks;
use hivewall_model::{Finding, Timestamp};
use hivewall_names::{Limits, Names};
use hivewall_view::Loss;

/// The parsers and what they found in the latest batch.
pub(crate) struct Reader {
    names: Names,
    findings: Vec<Finding>,
    peeks: u64,
}

impl Reader {
    /// Nothing has been read yet.
    pub(crate) fn new() -> Self {
        Self { names: Names::new(Limits::default()), findings: Vec::new(), peeks: 0 }
    }

    /// Reads copies in the order they were made.
    pub(crate) fn read(&mut self, peeks: &Peeks) -> &[Finding] {
        self.findings.clear();
        self.peeks += peeks.len() as u64;
        for (time, head, payload) in peeks.iter() {
            self.names.take(time, head, payload, &mut self.findings);
        }
        &self.findings
    }

    /// Forgets what was begun long ago and never finished.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.names.tick(now);
    }

    /// Copies read since the start.
    pub(crate) fn peeks(&self) -> u64 {
        self.peeks
    }

    /// What could not be read, by reason.
    pub(crate) fn losses(&self) -> Vec<(String, Loss)> {
        self.names
            .counters()
            .into_iter()
            .filter(|counter| counter.refused)
            .map(|counter| {
                let loss = Loss { count: counter.count, meaning: counter.meaning.to_owned(), ..Loss::default() };
                (format!("names_{}", counter.name), loss)
            })
            .collect()
    }
}
