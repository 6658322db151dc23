//! The kernel datapath's clock: jiffies, and what they are in wall-clock time.
//!
//! Jiffies are counted from monotonic time (kernel/time/tick-sched.c: `tick_do_update_jiffies64`), so one pair at a tick's
//! edge and the length of a tick say it all. The length is rounded to what Linux can be built with, and the pair is
//! held to what every sweep sees, so that no rounding adds up over months.

use std::time::{Duration, Instant};

use hivewall_model::{TickClock, Timestamp};
use nix::time::{ClockId, clock_gettime};

use super::wall_clock;
use crate::ebpf::EbpfError;

/// Nanoseconds of a tick for the rates Linux can be built with: 1000, 300, 250 and 100 Hz.
const TICKS_NS: [u64; 4] = [1_000_000, 3_333_333, 4_000_000, 10_000_000];

/// Longest wait for a tick: twenty of the slowest.
const EDGE_WAIT: Duration = Duration::from_millis(200);

/// A tick's edge in both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    ticks: u64,
    monotonic_ns: u64,
    tick_ns: u64,
    /// Wall-clock time minus monotonic time, as last taken over.
    wall_offset_ns: i64,
}

impl Clock {
    /// Waits for two edges some ticks apart; `look` gives ticks and monotonic nanoseconds of one moment.
    pub(super) fn calibrate(look: impl Fn() -> Result<(u64, u64), EbpfError>) -> Result<Self, EbpfError> {
        let edge = |from: u64| {
            let deadline = Instant::now() + EDGE_WAIT;
            loop {
                let (ticks, ns) = look()?;
                if ticks > from {
                    return Ok((ticks, ns));
                }
                if Instant::now() > deadline {
                    return Err(EbpfError::Missing("running clock (jiffies stand still)"));
                }
            }
        };
        let (first_ticks, first_ns) = edge(look()?.0)?;
        let (ticks, monotonic_ns) = edge(first_ticks + 4)?;
        let measured = (monotonic_ns - first_ns) / (ticks - first_ticks);
        let tick_ns = TICKS_NS.into_iter().min_by_key(|known| known.abs_diff(measured)).unwrap_or(measured);
        Ok(Self { ticks, monotonic_ns, tick_ns, wall_offset_ns: wall_offset_ns() })
    }

    /// Nanoseconds of a tick.
    pub(super) fn tick_ns(&self) -> u64 {
        self.tick_ns
    }

    /// Ticks by now.
    pub(super) fn ticks_now(&self) -> u64 {
        let now_ns = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(self.monotonic_ns, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64);
        self.ticks + now_ns.saturating_sub(self.monotonic_ns) / self.tick_ns.max(1)
    }

    /// Takes a moment within a tick as evidence: it lies between that tick's edge and the next.
    pub(super) fn hold(&mut self, ticks: u64, monotonic_ns: u64) {
        let edge = self.monotonic_ns + ticks.saturating_sub(self.ticks) * self.tick_ns;
        let earliest = monotonic_ns.saturating_sub(self.tick_ns);
        *self = Self { ticks, monotonic_ns: edge.clamp(earliest, monotonic_ns), ..*self };
    }

    /// As wall-clock time. The offset between the clocks is kept until it is wrong by half a tick: measured anew each
    /// time it would differ by microseconds, and packets of one tick would seem to have come one after the other.
    pub(super) fn now_in_wall_time(&mut self) -> TickClock {
        self.take_offset(wall_offset_ns());
        let time = Timestamp(self.monotonic_ns as i64 + self.wall_offset_ns);
        TickClock { ticks: self.ticks, time, tick_ns: self.tick_ns }
    }

    /// A moment of monotonic time as wall-clock time, by the offset last taken over: moments keep their distances.
    pub(super) fn wall_time(&self, monotonic_ns: u64) -> Timestamp {
        Timestamp(monotonic_ns.cast_signed().saturating_add(self.wall_offset_ns))
    }

    fn take_offset(&mut self, measured: i64) {
        if measured.abs_diff(self.wall_offset_ns) > self.tick_ns / 2 {
            self.wall_offset_ns = measured;
        }
    }
}

/// Wall-clock time minus monotonic time: the closest of three readings, since this thread may be put aside between two
/// looks at a clock.
fn wall_offset_ns() -> i64 {
    let monotonic = || clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec());
    let reading = |_| {
        let (before, wall, after) = (monotonic(), wall_clock().0, monotonic());
        (after - before, wall - i64::midpoint(before, after))
    };
    (0..3).map(reading).min().map_or(0, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_tick_is_measured_and_rounded_to_a_rate_linux_has() {
        let now = Cell::new(1_700_000_u64);
        let clock = Clock::calibrate(|| {
            now.set(now.get() + 7_000);
            Ok((now.get() / 4_000_000, now.get()))
        });
        let clock = clock.unwrap();
        assert_eq!(clock.tick_ns(), 4_000_000);
        // The edge was caught within one look.
        assert!(clock.monotonic_ns % 4_000_000 < 7_000, "{clock:?}");
    }

    #[test]
    fn a_clock_that_stands_still_is_an_error() {
        assert!(Clock::calibrate(|| Ok((5, 1))).unwrap_err().to_string().contains("stand still"));
    }

    #[test]
    fn rounding_does_not_add_up() {
        // 300 Hz: a third of a nanosecond is lost with each tick.
        let mut clock = Clock { ticks: 0, monotonic_ns: 0, tick_ns: 3_333_333, wall_offset_ns: 0 };
        for second in 1..=1_000_000_u64 {
            clock.hold(second * 300, second * 1_000_000_000 + 1_000_000);
        }
        let drift = clock.monotonic_ns.abs_diff(1_000_000 * 1_000_000_000);
        assert!(drift <= 3_333_333, "{drift} ns after eleven days");
    }

    #[test]
    fn moments_of_monotonic_time_keep_their_distances() {
        let mut clock = Clock { ticks: 0, monotonic_ns: 0, tick_ns: 4_000_000, wall_offset_ns: 1_000 };
        let before = clock.wall_time(5_000_000);
        clock.take_offset(1_500_000);
        assert_eq!((before, clock.wall_time(5_000_007)), (Timestamp(5_001_000), Timestamp(5_001_007)));
    }

    #[test]
    fn one_tick_stays_one_moment_until_the_wall_clock_has_really_moved() {
        let mut clock = Clock { ticks: 0, monotonic_ns: 0, tick_ns: 4_000_000, wall_offset_ns: 1_000 };
        clock.take_offset(1_999_000);
        assert_eq!(clock.wall_offset_ns, 1_000);
        clock.take_offset(2_002_000);
        assert_eq!(clock.wall_offset_ns, 2_002_000);
    }
}
