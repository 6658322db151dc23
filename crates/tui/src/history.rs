//! What the rate was over the last minutes, for the graph. Not here: drawing, and any history of the agent itself.
//!
//! Invariant: times never go back and at most [`SAMPLES_MAX`] samples are kept.

use std::collections::VecDeque;
use std::time::Duration;

/// Enough for ten minutes at four samples a second.
const SAMPLES_MAX: usize = 2400;
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
        if self.samples.len() == SAMPLES_MAX {
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
}
