//! When a detector may say the same thing again, and of whom it has something to say at the end of a second.
//!
//! Detectors collect while pulses come and speak at [`crate::Event::Tick`], so that a sign holds the sums of all that belongs to
//! it, in a capture that comes in one go as well as live. Invariant: whoever has news is asked again until it has spoken.

use std::time::Duration;

use hivewall_model::Timestamp;

/// Least time between two signs of one subject.
const AGAIN: Duration = Duration::from_secs(10);

/// Of one subject: when it may be spoken of again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    next: Option<Timestamp>,
    /// Whether it stands in the list of those with news.
    is_listed: bool,
}

impl Pace {
    /// Whether it is time; then the next time is set.
    pub(crate) fn is_due(&mut self, now: Timestamp) -> bool {
        let is_due = self.next.is_none_or(|next| now >= next);
        if is_due {
            self.next = Some(now + AGAIN);
        }
        is_due
    }

    /// Whether it was spoken of.
    pub(crate) fn has_spoken(&self) -> bool {
        self.next.is_some()
    }
}

/// Subjects that have news, each once.
#[derive(Debug)]
pub(crate) struct News<K> {
    keys: Vec<K>,
}

impl<K> Default for News<K> {
    fn default() -> Self {
        Self { keys: Vec::new() }
    }
}

impl<K: Clone> News<K> {
    /// This one has.
    pub(crate) fn put(&mut self, key: &K, pace: &mut Pace) {
        if !std::mem::replace(&mut pace.is_listed, true) {
            self.keys.push(key.clone());
        }
    }

    /// Whether it is time for this one to speak; if not, it is put back, to be asked again.
    pub(crate) fn is_due(&mut self, now: Timestamp, key: &K, pace: &mut Pace) -> bool {
        let is_due = pace.is_due(now);
        if !is_due {
            self.put(key, pace);
        }
        is_due
    }

    /// All that have, to be gone through; whoever has more to say later is put back.
    pub(crate) fn take(&mut self) -> Vec<K> {
        std::mem::take(&mut self.keys)
    }
}

impl Pace {
    /// It was taken from the list.
    pub(crate) fn unlist(&mut self) {
        self.is_listed = false;
    }
}

/// Who has most of a stream of weights, if anybody has more than half (Boyer and Moore's vote): two words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Majority<T> {
    candidate: Option<T>,
    weight: u64,
}

impl<T> Default for Majority<T> {
    fn default() -> Self {
        Self { candidate: None, weight: 0 }
    }
}

impl<T: Copy + PartialEq> Majority<T> {
    /// Adds a vote.
    pub(crate) fn add(&mut self, who: T, weight: u64) {
        if self.candidate == Some(who) {
            self.weight = self.weight.saturating_add(weight);
        } else if weight > self.weight || self.candidate.is_none() {
            (self.candidate, self.weight) = (Some(who), weight - self.weight.min(weight));
        } else {
            self.weight -= weight;
        }
    }

    /// Who it is, if there is one.
    pub(crate) fn leader(&self) -> Option<T> {
        self.candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ms, s};

    #[test]
    fn the_same_is_said_at_most_once_in_ten_seconds() {
        let mut pace = Pace::default();
        let said = (0..60).filter(|second| pace.is_due(s(*second))).count();
        assert_eq!(said, 6);
        assert!(!Pace::default().has_spoken() && pace.has_spoken());
        assert!(pace.is_due(ms(90_500)));
    }

    #[test]
    fn who_has_news_stands_in_the_list_once() {
        let (mut news, mut pace) = (News::default(), Pace::default());
        news.put(&7, &mut pace);
        news.put(&7, &mut pace);
        assert_eq!(news.take(), [7]);
        news.put(&7, &mut pace);
        assert!(news.take().is_empty());
        pace.unlist();
        news.put(&7, &mut pace);
        assert_eq!(news.take(), [7]);
    }

    #[test]
    fn who_has_more_than_half_leads() {
        let mut majority = Majority::default();
        for round in 0..100 {
            majority.add(round + 1000, 1);
            majority.add(7, 2);
        }
        assert_eq!(majority.leader(), Some(7));
    }
}
