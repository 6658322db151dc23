//! What the end-to-end tests are made of: the real binary, the networks it runs in, and the books that are compared.
//!
//! The tests themselves stand in `tests/e2e_*.rs`. Nothing here links a crate of the product: it is started as a user
//! starts it and judged by what the kernel and the peers say. A failure panics with what was seen. Invariant: every
//! wait is bounded ([`until`]), and a process, namespace or file that a test makes ends with the test.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

pub mod agent;
pub mod binary;
pub mod books;
pub mod fleet;
pub mod hooks;
pub mod network;
pub mod talk;
pub mod tool;

use std::time::{Duration, Instant};

/// Longest wait for something that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A pause between two looks or two conversations. Parking alone would not do: a thread that was entered into a
/// namespace leaves a token behind when it ends, and the next park returns at once.
pub fn pause(time: Duration) {
    let start = Instant::now();
    while let Some(left) = time.checked_sub(start.elapsed()) {
        std::thread::park_timeout(left);
    }
}

/// Looks until `look` gives something, at most for [`PATIENCE`]; then panics with `what` was waited for and what was
/// seen last (the error of the last look).
pub fn until<T, E: std::fmt::Display>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(error) if start.elapsed() > PATIENCE => panic!("waited {PATIENCE:?} for {what}; last seen: {error}"),
            // So that what is waited for gets the processor.
            Err(_) => pause(Duration::from_millis(20)),
        }
    }
}
