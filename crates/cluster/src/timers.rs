//! Things to do later, in the order of their times. It measures no time; it is told.
//!
//! Invariant: things due at the same time come out in the order in which they were put in, so that a run can be repeated.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue by time.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<Due<T>>>,
    next: u64,
}

#[derive(Debug)]
struct Due<T> {
    at: u64,
    order: u64,
    what: T,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }
}

impl<T> Timers<T> {
    pub(crate) fn put(&mut self, at: u64, what: T) {
        self.next += 1;
        self.heap.push(Reverse(Due { at, order: self.next, what }));
    }

    /// When the first thing is due.
    pub(crate) fn first(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// The next thing that is due by now.
    pub(crate) fn pop(&mut self, now: u64) -> Option<T> {
        if self.first()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due.what)
    }

    /// Puts everything off.
    pub(crate) fn shift(&mut self, by: u64) {
        let dues = std::mem::take(&mut self.heap);
        self.heap = dues.into_iter().map(|Reverse(due)| Reverse(Due { at: due.at + by, ..due })).collect();
    }
}
