//! How long things took: a histogram with two steps to a doubling, and round-trip times by peer.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_view::{Latency, PeerLatency};

use crate::bounded::Bounded;
use crate::depth::jitter;

/// Two steps for each of the 64 bits of a count of nanoseconds.
const STEPS: usize = 128;
/// Peers named in a snapshot.
const PEERS_SHOWN: usize = 100;

/// Samples since the start.
pub(crate) struct Histogram {
    steps: [u64; STEPS],
    samples: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { steps: [0; STEPS], samples: 0, sum: Duration::ZERO, min: Duration::MAX, max: Duration::ZERO }
    }
}

/// The step of a time: twice its power of two, and one more from √2 of it on.
fn step(ns: u64) -> usize {
    let power = ns.max(1).ilog2();
    let is_upper = u128::from(ns) * u128::from(ns) >= 1_u128 << (2 * power + 1);
    power as usize * 2 + usize::from(is_upper)
}

/// No time in a step is longer.
fn upper_bound(step: usize) -> f64 {
    std::f64::consts::SQRT_2.powi(step as i32 + 1) / 1e9
}

impl Histogram {
    pub(crate) fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(step) = self.steps.get_mut(step(ns)) {
            *step += 1;
        }
        self.samples += 1;
        self.sum = self.sum.saturating_add(time);
        self.min = self.min.min(time);
        self.max = self.max.max(time);
    }

    /// At most so long took this share of all.
    fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.samples as f64 * share).ceil() as u64;
        let mut below = 0;
        let found = self.steps.iter().position(|count| {
            below += count;
            below >= wanted
        });
        let (min, max) = (self.min.as_secs_f64(), self.max.as_secs_f64());
        upper_bound(found.unwrap_or(0)).clamp(min, max)
    }

    pub(crate) fn view(&self) -> Latency {
        if self.samples == 0 {
            return Latency::default();
        }
        Latency {
            samples: self.samples,
            sum_seconds: round(self.sum.as_secs_f64()),
            min_seconds: round(self.min.as_secs_f64()),
            max_seconds: round(self.max.as_secs_f64()),
            median_seconds: round(self.quantile(0.5)),
            p95_seconds: round(self.quantile(0.95)),
        }
    }
}

/// Whole nanoseconds.
pub(crate) fn round(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e9
}

#[derive(Clone, Copy)]
struct Peer {
    last: Duration,
    smoothed: Duration,
    min: Duration,
    max: Duration,
    jitter: Duration,
    samples: u64,
}

/// Round-trip times by peer: those that were measured longest ago are forgotten when there are too many.
pub(crate) struct PeerTable {
    peers: Bounded<IpAddr, Peer>,
    pub(crate) evicted: u64,
}

impl PeerTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self { peers: Bounded::new(limit), evicted: 0 }
    }

    pub(crate) fn see(&mut self, peer: IpAddr, time: Duration) {
        let Some(known) = self.peers.touch(&peer) else {
            let first = Peer { last: time, smoothed: time, min: time, max: time, jitter: Duration::ZERO, samples: 1 };
            self.evicted += u64::from(self.peers.insert(peer, first).is_some());
            return;
        };
        known.jitter = jitter(Some(known.jitter), known.last, time);
        known.smoothed = known.smoothed.saturating_mul(7).saturating_add(time) / 8;
        known.last = time;
        known.min = known.min.min(time);
        known.max = known.max.max(time);
        known.samples += 1;
    }

    /// Those with most samples.
    pub(crate) fn view(&self) -> Vec<(String, PeerLatency)> {
        let mut rows: Vec<(u64, IpAddr, &Peer)> =
            self.peers.iter().map(|(ip, peer)| (peer.samples, *ip, peer)).collect();
        let order = |x: &(u64, IpAddr, &Peer), y: &(u64, IpAddr, &Peer)| y.0.cmp(&x.0).then(x.1.cmp(&y.1));
        if rows.len() > PEERS_SHOWN {
            rows.select_nth_unstable_by(PEERS_SHOWN, order);
            rows.truncate(PEERS_SHOWN);
        }
        rows.into_iter().map(|(_, ip, peer)| (ip.to_string(), peer.view())).collect()
    }
}

impl Peer {
    fn view(&self) -> PeerLatency {
        PeerLatency {
            last_seconds: round(self.last.as_secs_f64()),
            smoothed_seconds: round(self.smoothed.as_secs_f64()),
            min_seconds: round(self.min.as_secs_f64()),
            max_seconds: round(self.max.as_secs_f64()),
            jitter_seconds: round(self.jitter.as_secs_f64()),
            samples: self.samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hivewall_view::Latency;
    use proptest::prelude::*;

    use super::{Histogram, STEPS, step, upper_bound};

    #[test]
    fn each_doubling_has_two_steps() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 1023, 1024, 1448, 1449].map(step), [0, 0, 2, 3, 4, 4, 5, 19, 20, 20, 21]);
        assert_eq!(step(u64::MAX), STEPS - 1);
    }

    #[test]
    fn nothing_measured_is_shown_as_zeros() {
        assert_eq!(Histogram::default().view(), Latency::default());
    }

    proptest! {
        #[test]
        fn quantiles_are_right_to_a_factor_of_the_root_of_two(mut times in prop::collection::vec(1_u64..1 << 40, 1..200)) {
            let mut histogram = Histogram::default();
            for ns in &times {
                histogram.add(Duration::from_nanos(*ns));
            }
            times.sort_unstable();
            for share in [0.5, 0.95] {
                let exact = times[(times.len() as f64 * share).ceil() as usize - 1] as f64 / 1e9;
                let shown = histogram.quantile(share);
                let factor = std::f64::consts::SQRT_2 * 1.000_001;
                prop_assert!(shown >= exact / 1.000_001 && shown <= exact * factor, "{exact} {shown}");
            }
        }

        #[test]
        fn no_time_is_above_the_bound_of_its_step(ns in 1_u64..1 << 50) {
            prop_assert!(ns as f64 / 1e9 <= upper_bound(step(ns)) * 1.000_001);
        }
    }
}
