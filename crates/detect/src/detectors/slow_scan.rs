//! Ports of one target tried slowly: too few a minute for `port_scan`, too many in five minutes or some hours for chance.
//!
//! Only attempts that surely came to nothing count. Invariant: what `port_scan` tells is not told again here.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, Timestamp};
use hivewall_view::alerts::Severity;

use crate::attempts::{Attempts, span};
use crate::bounded::Bounded;
use crate::pace::News;
use crate::probe::Probe;
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

/// Pairs of source and target that are remembered for hours.
const PAIRS_MAX: usize = 65_536;
/// So many in one minute are a fast scan's.
const FAST: u64 = 20;

pub(super) static DEFINITION: Definition = Definition {
    name: "slow_scan",
    title: "Slow port scan",
    kind: "scan",
    sees: "One source that over hours tries many ports of one target, each of which refuses, stays silent to the end or is opened \
           and dropped: nmap's sneaky and paranoid timings (-T1, -T0).",
    misses: "Ports that are still waited for (silence counts when the flow ends, after some minutes), slow sweeps over many hosts, \
             which the fleet together can see.",
    evaded_by: "Fewer ports within the window than the threshold; sharing the ports among sources.",
    technique: Some(Attack { id: "T1046", name: "Network Service Discovery", tactic: "Discovery" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Always,
    quiet_seconds: 3_600,
    thresholds: &[
        Threshold {
            name: "ports",
            unit: "ports",
            default: 20.0,
            range: (5.0, 65_535.0),
            doc: "Different ports of one target. At -T1, a probe each 15 s, that takes five minutes; at -T0 under two hours.",
        },
        Threshold { name: "hours", unit: "hours", default: 6.0, range: (0.1, 48.0), doc: "Within how long." },
    ],
};

#[derive(Debug)]
struct Pair {
    attempts: Attempts,
    /// Since when this minute counts, and how many it had when it began.
    minute: (Timestamp, u64),
    is_fast: bool,
}

/// The detector.
#[derive(Debug)]
pub(super) struct SlowScan {
    pairs: Bounded<(IpAddr, IpAddr), Pair>,
    news: News<(IpAddr, IpAddr)>,
    ports: u64,
    window: Duration,
}

impl SlowScan {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let window = Duration::from_secs_f64(settings.value(&DEFINITION, "hours") * 3600.0);
        Box::new(Self {
            pairs: Bounded::with_rich(PAIRS_MAX, window, |pair: &Pair| pair.attempts.at_most() >= 3),
            news: News::default(),
            ports: settings.value(&DEFINITION, "ports") as u64,
            window,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let Some(probe) = Probe::read(pulse).filter(|probe| probe.failed() && probe.port != 0) else { return };
        let key = (probe.source, probe.target);
        let make = || Pair { attempts: Attempts::new(probe.time), minute: (probe.time, 0), is_fast: false };
        let pair = self.pairs.entry(now, &key, make);
        if probe.time.since(pair.attempts.first) > self.window {
            *pair = make();
        }
        if probe.time.since(pair.minute.0) > Duration::from_secs(60) {
            pair.minute = (probe.time, pair.attempts.at_most());
        }
        pair.attempts.note(u64::from(probe.port), &probe, pulse.id, pulse.last);
        let count = pair.attempts.at_most();
        pair.is_fast |= count - pair.minute.1.min(count) >= FAST;
        if count >= self.ports && !pair.is_fast {
            self.news.put(&key, &mut pair.attempts.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(pair) = self.pairs.get_mut(&key) else { continue };
            pair.attempts.pace.unlist();
            if pair.is_fast {
                continue;
            }
            if !self.news.is_due(now, &key, &mut pair.attempts.pace) {
                continue;
            }
            let (attempts, (source, target)) = (&pair.attempts, key);
            let (count, seconds) = (attempts.at_most(), attempts.seconds());
            let message =
                format!("{source} tried {count} ports of {target} slowly, {} ({})", span(seconds), attempts.kinds());
            let subject = Subject::pair(source, target, None);
            let mut sign = Sign::new(&DEFINITION, subject, attempts.first, attempts.last, message);
            sign.flows.clone_from(&attempts.flows);
            sign.figures = vec![("ports", count as f64), ("duration_seconds", seconds)];
            signs.push(sign);
        }
    }
}

impl Detector for SlowScan {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Pulse(pulse) => self.note(now, pulse),
            Event::Tick => self.speak(now, signs),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        self.pairs.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, s};

    #[test]
    fn a_port_every_five_minutes_is_found_and_a_fast_scan_is_left_to_its_own_detector() {
        let mut watch = Watch::new(&DEFINITION);
        for port in 1..=20_u16 {
            assert!(watch.signs.is_empty(), "{port}");
            watch.pulse(&Make::refused(host(1), 50_000, host(2), port).at(s(u64::from(port) * 300)));
        }
        watch.pass(s(6_002));
        assert_eq!(watch.signs.len(), 1);
        let mut watch = Watch::new(&DEFINITION);
        (1..500).for_each(|port| watch.pulse(&Make::refused(host(1), 50_000, host(2), port).at(ms(port.into()))));
        watch.pass(s(5));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }
}
