//! Frames without end, from a seed: what networks carry, and what somebody hostile would send.
//!
//! ```
//! use hivewall_testkit::generate::Generator;
//! let mut frames = Generator::new(42).flows(100).mutated(0.2);
//! assert!(!frames.next_frame().is_empty());
//! ```
//!
//! Well-formed frames belong to a fixed number of flows and go both ways in each; the mutated share of them is then
//! broken in one to three ways. It says nothing about what a frame should be taken for. Invariant: seed, number of
//! flows and share decide every byte.

mod mutate;
mod rng;
mod small;
#[cfg(test)]
mod tests;
mod valid;

pub use rng::Rng;
pub use small::{Popularity, SMALL_BYTES, small_packets};

/// Flows of a generator unless [`Generator::flows`] says otherwise.
pub const FLOWS: u64 = 1000;
/// Mutated share of a generator unless [`Generator::mutated`] says otherwise.
pub const MUTATED: f64 = 0.3;

/// A source of frames; also an iterator that never ends.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
    seed: u64,
    flows: u64,
    mutated: f64,
    /// The last frame, for mutations that join two.
    last: Vec<u8>,
}

impl Generator {
    /// The frames of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), seed, flows: FLOWS, mutated: MUTATED, last: Vec::new() }
    }

    /// How many flows the well-formed frames belong to; at least 1.
    #[must_use]
    pub fn flows(mut self, count: u64) -> Self {
        self.flows = count.max(1);
        self
    }

    /// The share of frames that are broken, 0.0 to 1.0.
    #[must_use]
    pub fn mutated(mut self, share: f64) -> Self {
        self.mutated = share;
        self
    }

    /// The next frame, from its Ethernet header on; 1 to some 2,000 bytes.
    pub fn next_frame(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.flows);
        let flow = valid::Flow::new(self.seed, number);
        let broken = self.rng.chance(self.mutated);
        let mut frame = flow.frame(&mut self.rng, broken);
        if broken {
            for _ in 0..=self.rng.below(3) {
                mutate::apply(&mut frame, &self.last, &mut self.rng);
            }
            if frame.is_empty() {
                frame.push(self.rng.bits() as u8);
            }
        }
        self.last.clone_from(&frame);
        frame
    }
}

impl Iterator for Generator {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.next_frame())
    }
}
