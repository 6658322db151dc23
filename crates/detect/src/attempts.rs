//! Attempts of one caller that came to nothing, by what was called: the common heart of scan detectors.
//!
//! An attempt without an answer may still get one: it counts once it is over or half a second old. Invariant: what was
//! answered in the end is not counted, as long as attempts are known one by one.

use std::time::Duration;

use hivewall_model::{FlowId, Timestamp};

use crate::TARGETS_MAX;
use crate::distinct::Distinct;
use crate::pace::Pace;
use crate::probe::{Answer, How, Probe};

/// An answer that takes longer is taken for none until it comes: most of the world is nearer than 300 ms.
const PATIENCE: Duration = Duration::from_millis(500);

/// What one caller tried.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    /// The first of them.
    pub(crate) first: Timestamp,
    /// The latest.
    pub(crate) last: Timestamp,
    failed: Distinct,
    waiting: Distinct,
    waiting_since: Timestamp,
    /// How often it was refused, and opened and dropped.
    pub(crate) refused: u64,
    pub(crate) touched: u64,
    /// Kinds of attempts, one bit each.
    kinds: u16,
    /// Some of the flows.
    pub(crate) flows: Vec<FlowId>,
    /// When it was told.
    pub(crate) pace: Pace,
}

impl Attempts {
    /// None yet.
    pub(crate) fn new(time: Timestamp) -> Self {
        Self {
            first: time,
            last: time,
            failed: Distinct::default(),
            waiting: Distinct::default(),
            waiting_since: time,
            refused: 0,
            touched: 0,
            kinds: 0,
            flows: Vec::new(),
            pace: Pace::default(),
        }
    }

    /// Begins anew when the window is over and nothing was told of it.
    pub(crate) fn renew(&mut self, time: Timestamp, window: Duration) {
        if !self.pace.has_spoken() && time.since(self.first) > window {
            let pace = self.pace;
            *self = Self::new(time);
            self.pace = pace;
        }
    }

    /// Adds an attempt at `what`.
    pub(crate) fn note(&mut self, what: u64, probe: &Probe, flow: FlowId, seen: Timestamp) {
        self.first = self.first.min(probe.time);
        self.last = self.last.max(seen);
        match probe.answer {
            Answer::Talk => {
                self.waiting.remove(what);
                return;
            }
            Answer::Awaited => {
                if !self.failed.holds(what) && self.waiting.insert(what) {
                    self.waiting_since = seen;
                    self.remember(probe, flow);
                }
            }
            Answer::Refused | Answer::Touched | Answer::Silence => {
                self.waiting.remove(what);
                self.failed.insert(what);
                self.remember(probe, flow);
            }
        }
        self.refused += u64::from(probe.answer == Answer::Refused);
        self.touched += u64::from(probe.answer == Answer::Touched);
    }

    fn remember(&mut self, probe: &Probe, flow: FlowId) {
        self.kinds |= 1 << probe.how as u16;
        if self.flows.len() < TARGETS_MAX && !self.flows.contains(&flow) {
            self.flows.push(flow);
        }
    }

    /// How many different ones failed, those included that will have failed if nothing comes.
    pub(crate) fn at_most(&self) -> u64 {
        self.failed.count() + self.waiting.count()
    }

    /// How many different ones failed, as far as is certain by now.
    pub(crate) fn failed(&self, now: Timestamp) -> u64 {
        let is_late = now.since(self.waiting_since) >= PATIENCE;
        self.failed.count() + if is_late { self.waiting.count() } else { 0 }
    }

    /// Those that are known one by one.
    pub(crate) fn exact(&self) -> impl Iterator<Item = u64> {
        self.failed.exact().iter().chain(self.waiting.exact()).copied()
    }

    /// Kinds of attempts in words: `TCP SYN, UDP`.
    pub(crate) fn kinds(&self) -> String {
        const ALL: [How; 12] = [
            How::Syn,
            How::Connect,
            How::Null,
            How::Fin,
            How::Xmas,
            How::Ack,
            How::Maimon,
            How::Flags,
            How::Udp,
            How::Sctp,
            How::Echo,
            How::Other,
        ];
        let names: Vec<_> =
            ALL.iter().filter(|how| self.kinds >> **how as u16 & 1 == 1).map(|how| how.name()).collect();
        names.join(", ")
    }

    /// From the first to the latest.
    pub(crate) fn seconds(&self) -> f64 {
        self.last.since(self.first).as_secs_f64()
    }
}

/// `over 1.2 s`; nothing for a moment.
pub(crate) fn span(seconds: f64) -> String {
    match seconds {
        ..0.1 => "at once".to_owned(),
        ..10.0 => format!("in {seconds:.1} s"),
        ..600.0 => format!("in {seconds:.0} s"),
        ..7200.0 => format!("in {:.0} min", seconds / 60.0),
        _ => format!("in {:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, host, ms};

    fn note(attempts: &mut Attempts, make: &Make) {
        let probe = Probe::read(&make.0).unwrap();
        attempts.note(u64::from(probe.port), &probe, make.0.id, make.0.last);
    }

    #[test]
    fn what_is_awaited_counts_after_half_a_second_and_not_once_it_is_answered() {
        let mut attempts = Attempts::new(ms(0));
        let syn = Make::syn(host(1), 50_000, host(2), 80).at(ms(0));
        note(&mut attempts, &syn);
        assert_eq!((attempts.failed(ms(100)), attempts.failed(ms(500)), attempts.at_most()), (0, 1, 1));
        note(&mut attempts, &Make::tcp((host(1), 50_000), (host(2), 80), 100, 100).at(ms(600)));
        assert_eq!((attempts.failed(ms(9_000)), attempts.at_most()), (0, 0));
    }

    #[test]
    fn what_is_refused_counts_at_once_and_once() {
        let mut attempts = Attempts::new(ms(0));
        for port in [50_000, 50_001, 50_002] {
            note(&mut attempts, &Make::refused(host(1), port, host(2), 80).at(ms(0)));
        }
        assert_eq!((attempts.failed(ms(0)), attempts.refused, attempts.kinds().as_str()), (1, 3, "TCP SYN"));
        assert_eq!(attempts.exact().collect::<Vec<_>>(), [80]);
    }

    #[test]
    fn a_window_that_is_over_begins_anew() {
        let mut attempts = Attempts::new(ms(0));
        note(&mut attempts, &Make::refused(host(1), 50_000, host(2), 80).at(ms(0)));
        attempts.renew(ms(59_000), Duration::from_secs(60));
        assert_eq!(attempts.at_most(), 1);
        attempts.renew(ms(61_000), Duration::from_secs(60));
        assert_eq!(attempts.at_most(), 0);
    }

    #[test]
    fn spans_are_in_words() {
        assert_eq!(span(0.02), "at once");
        assert_eq!(span(1.24), "in 1.2 s");
        assert_eq!(span(90.0), "in 90 s");
        assert_eq!(span(1_800.0), "in 30 min");
        assert_eq!(span(9_000.0), "in 2.5 h");
    }
}
