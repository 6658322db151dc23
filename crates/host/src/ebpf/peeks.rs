//! Copies of payload as the kernel hands them over: one ring for all CPUs, read without a system call.
//!
//! Invariant: what did not fit, or was beyond the budget, is counted; a copy is never cut short on the way.

use aya::maps::{MapData, RingBuf};
use hivewall_datapath::{PeekControl, PeekHead};

use super::SharedArray;

/// Copies that were not made, since the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeekLosses {
    /// The ring was full.
    pub ring_full: u64,
    /// They were beyond what a CPU may copy.
    pub over_budget: u64,
}

/// The reading end of the ring.
pub struct PeekRing {
    ring: RingBuf<MapData>,
    control: SharedArray<PeekControl>,
}

impl PeekRing {
    pub(super) fn new(ring: RingBuf<MapData>, control: SharedArray<PeekControl>) -> Self {
        Self { ring, control }
    }

    /// Takes the next copies, at most `limit`; returns how many there were.
    pub fn read(&mut self, limit: usize, mut each: impl FnMut(PeekHead, &[u8])) -> usize {
        let mut count = 0;
        while count < limit
            && let Some(item) = self.ring.next()
        {
            count += 1;
            let Some((head, payload)) = item.split_at_checked(size_of::<PeekHead>()) else { continue };
            // SAFETY: as many bytes as the head has, all of them integers, for which any value will do.
            let head = unsafe { head.as_ptr().cast::<PeekHead>().read_unaligned() };
            if let Some(payload) = payload.get(..usize::from(head.captured)) {
                each(head, payload);
            }
        }
        count
    }

    /// What was not copied, over all CPUs.
    pub fn losses(&self) -> PeekLosses {
        let mut sum = PeekLosses::default();
        for control in (0..self.control.len()).filter_map(|cpu| self.control.read(cpu)) {
            sum.ring_full += control.ring_full;
            sum.over_budget += control.over_budget;
        }
        sum
    }
}
