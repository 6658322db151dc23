//! Ports of one target, or one port of many targets, tried slowly: too few a minute for `port_scan` and `host_sweep`, too many
//! in some minutes or hours for chance.
//!
//! Only attempts that surely came to nothing count. Invariant: what the fast detectors tell is not told again here.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, Timestamp, protocol_name};
use hivewall_view::alerts::Severity;

use super::host_sweep::{Key, is_peer_key, targets};
use crate::attempts::{Attempts, span};
use crate::bounded::Bounded;
use crate::distinct::{Distinct, address_word};
use crate::pace::News;
use crate::probe::{Answer, Probe};
use crate::wire::is_public;
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

/// Pairs of source and target that are remembered for hours.
const PAIRS_MAX: usize = 49_152;
/// Sources with a port that are.
const SWEEPS_MAX: usize = 16_384;
/// So many ports in one minute are a fast scan's, so many hosts a fast sweep's.
const FAST_PORTS: u64 = 20;
const FAST_HOSTS: u64 = 25;
/// Ports that programs open at servers all over the world, which may be unreachable for hours: mail, names, web, time.
const EVERYDAY: &[u16] = &[25, 53, 80, 123, 443];

pub(super) static DEFINITION: Definition = Definition {
    name: "slow_scan",
    title: "Slow scan",
    kind: "scan",
    sees: "One source that over hours tries many ports of one target, or one port of many targets, each of which refuses, stays \
           silent to the end or is opened and dropped: nmap's sneaky and paranoid timings (-T1, -T0), sweeps of a network at a few \
           hosts a minute.",
    misses: "What is still waited for (silence counts when the flow ends, after some minutes); sweeps by echo requests, of ports of \
             peers, of mail, names, web and time at public hosts, and those that half of the hosts answer.",
    evaded_by: "Fewer ports or hosts within the window than the thresholds; sharing them among sources, which the fleet can see.",
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
        Threshold {
            name: "hosts",
            unit: "hosts",
            default: 40.0,
            range: (5.0, 65_535.0),
            doc: "Different hosts that fail at one port, while no more answer. What monitoring finds down is always the same few.",
        },
        Threshold { name: "hours", unit: "hours", default: 6.0, range: (0.1, 48.0), doc: "Within how long." },
    ],
};

/// What failed of one pair, or of one source at one port.
#[derive(Debug)]
struct Slow {
    attempts: Attempts,
    /// Since when this minute counts, and how many there were when it began.
    minute: (Timestamp, u64),
    is_fast: bool,
    /// Hosts that talked, of a sweep.
    talked: Distinct,
}

impl Slow {
    fn new(time: Timestamp) -> Self {
        Self { attempts: Attempts::new(time), minute: (time, 0), is_fast: false, talked: Distinct::default() }
    }

    /// Begins anew when the window is over.
    fn turn(&mut self, time: Timestamp, window: Duration) {
        if time.since(self.attempts.first) > window {
            *self = Self::new(time);
        }
    }

    /// One more that failed; how many there are.
    fn fail(&mut self, what: u64, probe: &Probe, pulse: &Pulse, fast: u64) -> u64 {
        if probe.time.since(self.minute.0) > Duration::from_secs(60) {
            self.minute = (probe.time, self.attempts.at_most());
        }
        self.attempts.note(what, probe, pulse.id, pulse.last);
        let count = self.attempts.at_most();
        self.is_fast |= count - self.minute.1.min(count) >= fast;
        count
    }
}

/// The detector.
#[derive(Debug)]
pub(super) struct SlowScan {
    pairs: Bounded<(IpAddr, IpAddr), Slow>,
    sweeps: Bounded<Key, Slow>,
    pair_news: News<(IpAddr, IpAddr)>,
    sweep_news: News<Key>,
    ports: u64,
    hosts: u64,
    window: Duration,
}

impl SlowScan {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let value = |name| settings.value(&DEFINITION, name);
        let window = Duration::from_secs_f64(value("hours") * 3600.0);
        let is_rich = |slow: &Slow| slow.attempts.at_most() >= 3;
        Box::new(Self {
            pairs: Bounded::with_rich(PAIRS_MAX, window, is_rich),
            sweeps: Bounded::with_rich(SWEEPS_MAX, window, is_rich),
            pair_news: News::default(),
            sweep_news: News::default(),
            ports: value("ports") as u64,
            hosts: value("hosts") as u64,
            window,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let Some(probe) = Probe::read(pulse).filter(|probe| probe.port != 0) else { return };
        self.note_sweep(now, pulse, &probe);
        if !probe.failed() {
            return;
        }
        let key = (probe.source, probe.target);
        let pair = self.pairs.entry(now, &key, || Slow::new(probe.time));
        pair.turn(probe.time, self.window);
        let count = pair.fail(u64::from(probe.port), &probe, pulse, FAST_PORTS);
        if count >= self.ports && !pair.is_fast {
            self.pair_news.put(&key, &mut pair.attempts.pace);
        }
    }

    fn note_sweep(&mut self, now: Timestamp, pulse: &Pulse, probe: &Probe) {
        let key = (probe.source, probe.protocol, probe.port);
        let is_everyday = EVERYDAY.contains(&probe.port) && is_public(probe.target);
        let what = address_word(probe.target);
        if probe.answer == Answer::Talk {
            // Of who never failed nothing is held: that is everybody who uses a server.
            if let Some(sweep) = self.sweeps.get_mut(&key) {
                sweep.talked.insert(what);
            }
            return;
        }
        if is_peer_key(&key) || is_everyday || !probe.failed() {
            return;
        }
        let sweep = self.sweeps.entry(now, &key, || Slow::new(probe.time));
        sweep.turn(probe.time, self.window);
        let count = sweep.fail(what, probe, pulse, FAST_HOSTS);
        if count >= self.hosts && count >= sweep.talked.count() && !sweep.is_fast {
            self.sweep_news.put(&key, &mut sweep.attempts.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.pair_news.take() {
            let Some(pair) = self.pairs.get_mut(&key) else { continue };
            pair.attempts.pace.unlist();
            if pair.is_fast || !self.pair_news.is_due(now, &key, &mut pair.attempts.pace) {
                continue;
            }
            let (attempts, (source, target)) = (&pair.attempts, key);
            let (count, seconds) = (attempts.at_most(), attempts.seconds());
            let message =
                format!("{source} tried {count} ports of {target} slowly, {} ({})", span(seconds), attempts.kinds());
            let mut sign = sign(attempts, Subject::pair(source, target, None), message);
            sign.figures = vec![("ports", count as f64), ("duration_seconds", seconds)];
            signs.push(sign);
        }
        for key in self.sweep_news.take() {
            let Some(sweep) = self.sweeps.get_mut(&key) else { continue };
            sweep.attempts.pace.unlist();
            if sweep.is_fast || !self.sweep_news.is_due(now, &key, &mut sweep.attempts.pace) {
                continue;
            }
            let (attempts, (source, protocol, port)) = (&sweep.attempts, key);
            let (failed, talked, seconds) = (attempts.at_most(), sweep.talked.count(), attempts.seconds());
            let message = format!(
                "{source} tried {} port {port} of {} hosts slowly, {}; {failed} of them failed ({})",
                protocol_name(protocol).unwrap_or("ip"),
                failed + talked,
                span(seconds),
                attempts.kinds(),
            );
            let subject = Subject { port: Some(port), ..Subject::source(source) };
            let mut sign = sign(attempts, subject, message);
            sign.protocol = Some(protocol);
            sign.targets = targets(source, attempts.exact());
            sign.target_count = failed + talked;
            sign.figures = vec![("failed", failed as f64), ("talked", talked as f64), ("duration_seconds", seconds)];
            signs.push(sign);
        }
    }
}

fn sign(attempts: &Attempts, subject: Subject, message: String) -> Sign {
    let mut sign = Sign::new(&DEFINITION, subject, attempts.first, attempts.last, message);
    sign.flows.clone_from(&attempts.flows);
    sign
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
        self.pairs.held() + self.sweeps.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, public, s};

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

    /// One host after the other at a port, each refused, the others answering.
    fn swept(hosts: u32, gap: u64, port: u16, to: fn(u32) -> IpAddr, answers: fn(u32) -> bool) -> Vec<String> {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..hosts {
            let (target, time) = (to(number), s(u64::from(number) * gap));
            let flow = if answers(number) {
                Make::tcp((host(1), 50_000), (target, port), 900, 9_000)
            } else {
                Make::refused(host(1), 50_000, target, port)
            };
            watch.pulse(&flow.at(time));
        }
        watch.pass(s(u64::from(hosts) * gap + 2));
        watch.lines()
    }

    fn inside(number: u32) -> IpAddr {
        host(100 + number)
    }

    #[test]
    fn forty_hosts_at_one_port_are_found_and_39_are_not_nor_a_fast_sweep() {
        assert!(swept(39, 8, 22, inside, |_| false).is_empty());
        let told = swept(40, 8, 22, inside, |_| false);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("medium 10.0.0.1 tried tcp port 22 of 40 hosts slowly, in 312 s; 40 of them failed")
        );
        assert!(swept(200, 1, 22, inside, |_| false).is_empty(), "that is for host_sweep");
    }

    #[test]
    fn an_outage_peers_and_hosts_that_are_down_are_no_sweep() {
        let nobody = |_| false;
        assert!(swept(300, 20, 443, public, nobody).is_empty(), "the line is down");
        assert!(!swept(300, 20, 443, inside, nobody).is_empty(), "nobody needs so many servers inside");
        assert!(swept(300, 20, 51_413, public, nobody).is_empty(), "peers of file sharing");
        assert!(swept(300, 20, 22, inside, |n| n % 5 != 0).is_empty(), "a fifth of a fleet is down");
    }
}
