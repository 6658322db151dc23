//! The bounded queue in front of a target: whoever gives never waits, whoever takes may.
//!
//! Invariant: the lock is held for a few moves of pointers, never while something is encoded, sent or looked up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::message::Item;

/// What a flow with its points, names and shared strings takes in memory, roughly.
pub(crate) const FLOW_BYTES: usize = 1024;

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    closing: bool,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    bytes_max: usize,
}

fn weight(item: &Item) -> usize {
    match item {
        Item::Flows { count, .. } => count * FLOW_BYTES,
        Item::Interfaces(interfaces) => interfaces.len() * 256,
        Item::Line(line) => line.len() + 64,
    }
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), bytes_max }
    }

    /// Takes as much of an item as there is room for; says how many of its flows, lines or interfaces found none.
    pub(crate) fn push(&self, item: Item) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.bytes_max.saturating_sub(state.bytes);
        let (item, refused) = match item {
            Item::Flows { batch, count } => {
                let fits = count.min(room / FLOW_BYTES);
                (Item::Flows { batch, count: fits }, count - fits)
            }
            other if weight(&other) <= room => (other, 0),
            Item::Interfaces(interfaces) => return interfaces.len() as u64,
            Item::Line(_) => return 1,
        };
        let weight = weight(&item);
        if weight > 0 {
            state.bytes += weight;
            state.items.push_back(item);
            drop(state);
            self.changed.notify_one();
        }
        refused as u64
    }

    pub(crate) fn pop(&self) -> Option<Item> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let item = state.items.pop_front()?;
        state.bytes = state.bytes.saturating_sub(weight(&item));
        Some(item)
    }

    /// Waits until something is there to be taken, closing was asked for, or the time has passed. Of what is there only
    /// news count when `taking` is false: the target cannot take any now.
    pub(crate) fn wait(&self, limit: Duration, taking: bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_closing = state.closing;
        let idle = |state: &mut State| (!taking || state.items.is_empty()) && (was_closing || !state.closing);
        // Whether it was the time or the news is seen by whoever called.
        drop(self.changed.wait_timeout_while(state, limit, idle));
    }

    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closing
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).items.is_empty()
    }
}
