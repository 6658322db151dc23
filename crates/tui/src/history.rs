//! What numbers were over the last minutes, for graphs. Not here: drawing, and any history of the agent itself.
//!
//! Invariant: times never go back; at most [`SAMPLES_MAX`] samples of one number and [`TRENDS_MAX`] numbers are kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Enough for ten minutes at four samples a second.
const SAMPLES_MAX: usize = 2400;
/// Numbers kept: rates of more interfaces and times of more peers than a snapshot lists.
const TRENDS_MAX: usize = 1024;
/// Samples kept of a number that is only drawn within a row.
const ROW_SAMPLES_MAX: usize = 240;
/// Columns of a graph within a row.
pub(crate) const TREND_COLUMNS: usize = 60;
/// A sample stands for this many intervals; where the next one is farther off there is a hole in the graph.
const INTERVALS_COVERED: f64 = 2.5;

/// Samples of one number, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<(Duration, u64)>,
}

impl History {
    /// Adds what was true at `at`.
    pub(crate) fn push(&mut self, at: Duration, value: u64) {
        self.push_of(at, value, SAMPLES_MAX);
    }

    fn push_of(&mut self, at: Duration, value: u64, most: usize) {
        if self.samples.len() >= most {
            self.samples.pop_front();
        }
        self.samples.push_back((at, value));
    }

    /// The latest `columns` values, `step` apart, the newest last; a hole where nothing was known.
    pub(crate) fn columns(&self, columns: usize, step: Duration) -> Vec<Option<u64>> {
        let Some((end, _)) = self.samples.back() else { return vec![None; columns] };
        let reach = step.mul_f64(INTERVALS_COVERED);
        let mut left = self.samples.iter().rev().peekable();
        let mut values: Vec<Option<u64>> = (0..columns)
            .map(|back| {
                let time = end.checked_sub(step.saturating_mul(back as u32))?;
                while left.next_if(|(at, _)| *at > time).is_some() {}
                left.peek().filter(|(at, _)| time.saturating_sub(*at) < reach).map(|(_, value)| *value)
            })
            .collect();
        values.reverse();
        values
    }
}

/// Samples of many numbers by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trends(BTreeMap<String, History>);

impl Trends {
    /// Adds what was true at `at`, and forgets numbers that are no longer told.
    pub(crate) fn push(&mut self, at: Duration, values: impl IntoIterator<Item = (String, u64)>) {
        let mut before = std::mem::take(&mut self.0);
        for (name, value) in values.into_iter().take(TRENDS_MAX) {
            let mut history = before.remove(&name).unwrap_or_default();
            history.push_of(at, value, ROW_SAMPLES_MAX);
            self.0.insert(name, history);
        }
    }

    /// The latest `columns` values of the number called `name`, `step` apart, the newest last.
    pub(crate) fn columns(&self, name: &str, columns: usize, step: Duration) -> Vec<Option<u64>> {
        self.0.get(name).map_or_else(|| vec![None; columns], |history| history.columns(columns, step))
    }
}

/// Name of what an interface receives.
pub(crate) fn trend_in(interface: &str) -> String {
    format!("in {interface}")
}

/// Name of what an interface sends.
pub(crate) fn trend_out(interface: &str) -> String {
    format!("out {interface}")
}

/// Name of the round-trip time to a peer.
pub(crate) fn trend_of_peer(address: &str) -> String {
    format!("rtt {address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(samples: &[(u64, u64)]) -> History {
        let mut history = History::default();
        for (at, value) in samples {
            history.push(Duration::from_secs(*at), *value);
        }
        history
    }

    #[test]
    fn a_column_is_a_step_and_the_newest_is_last() {
        let history = seconds(&[(10, 1), (11, 2), (12, 3)]);
        assert_eq!(history.columns(4, Duration::from_secs(1)), [None, Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn an_agent_that_was_away_leaves_a_hole() {
        let history = seconds(&[(1, 1), (9, 9)]);
        let want = [Some(1), Some(1), Some(1), None, None, None, None, None, Some(9)];
        assert_eq!(history.columns(9, Duration::from_secs(1)), want);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::default();
        for at in 0..(SAMPLES_MAX as u64 * 2) {
            history.push(Duration::from_secs(at), at);
        }
        assert_eq!(history.samples.len(), SAMPLES_MAX);
        assert_eq!(seconds(&[]).columns(2, Duration::from_secs(1)), [None, None]);
    }

    #[test]
    fn a_number_that_is_no_longer_told_is_forgotten() {
        let mut trends = Trends::default();
        let both = || [(trend_in("a"), 1), (trend_in("b"), 2)];
        trends.push(Duration::from_secs(1), both());
        trends.push(Duration::from_secs(2), both().into_iter().take(1));
        assert_eq!(trends.columns(&trend_in("a"), 2, Duration::from_secs(1)), [Some(1), Some(1)]);
        assert_eq!(trends.columns(&trend_in("b"), 2, Duration::from_secs(1)), [None, None]);
        trends.push(Duration::from_secs(3), (0..TRENDS_MAX as u64 * 2).map(|n| (n.to_string(), n)));
        assert_eq!(trends.0.len(), TRENDS_MAX);
    }
}
