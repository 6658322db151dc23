//! Many ports of one target, tried by one source within a minute.
//!
//! Not here: one port of many targets (`host_sweep`), and scans that take hours (`slow_scan`). Invariant: a port that
//! answered with a conversation is no evidence.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::attempts::{Attempts, span};
use crate::bounded::Bounded;
use crate::pace::{News, Pace};
use crate::probe::Probe;
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

/// Pairs of source and target that are watched: some hundred bytes each while they are plain.
const PAIRS_MAX: usize = 32_768;
/// Sources that are told of.
const SOURCES_MAX: usize = 4_096;
/// Pairs with so many ports outlive a full table.
const RICH_PORTS: u64 = 5;

pub(super) static DEFINITION: Definition = Definition {
    name: "port_scan",
    title: "Port scan",
    kind: "scan",
    sees: "One source that tries many ports of one target within a minute: TCP SYN, connect, FIN, NULL, XMAS, ACK, Window and \
           Maimon scans, UDP and SCTP scans. A port counts when it refuses, stays silent for half a second, or is opened and \
           dropped without a word, so open ports count as well.",
    misses: "Ports that answer with a conversation (a version scan of open ports alone), UDP ports 33434 to 33625, which are \
             traceroute's, and datagrams from a well-known port to a high one, which look like answers.",
    evaded_by: "Trying fewer ports a minute than the threshold (slow_scan looks further back), sharing the ports among many \
                sources, scanning UDP from source port 53.",
    technique: Some(Attack { id: "T1046", name: "Network Service Discovery", tactic: "Discovery" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Always,
    quiet_seconds: 120,
    thresholds: &[
        Threshold {
            name: "ports",
            unit: "ports",
            default: 20.0,
            range: (3.0, 65_535.0),
            doc: "Different ports of one target that come to nothing. Programs retry the same port; twenty different ones in a \
                  minute are somebody looking.",
        },
        Threshold {
            name: "seconds",
            unit: "seconds",
            default: 60.0,
            range: (1.0, 600.0),
            doc: "Within how long. At nmap's polite timing (-T2, 0.4 s between probes) twenty ports take 8 s.",
        },
    ],
};

/// A source that is being told of.
#[derive(Debug, Default)]
struct Source {
    first: Option<Timestamp>,
    last: Timestamp,
    targets: Vec<IpAddr>,
    target_count: u64,
    pace: Pace,
}

/// The detector.
#[derive(Debug)]
pub(super) struct PortScan {
    pairs: Bounded<(IpAddr, IpAddr), Attempts>,
    sources: Bounded<IpAddr, Source>,
    news: News<(IpAddr, IpAddr)>,
    speaking: News<IpAddr>,
    ports: u64,
    window: Duration,
}

impl PortScan {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let value = |name| settings.value(&DEFINITION, name);
        let keep = Duration::from_secs(u64::from(DEFINITION.quiet_seconds));
        Box::new(Self {
            pairs: Bounded::with_rich(PAIRS_MAX, keep, |pair: &Attempts| pair.at_most() >= RICH_PORTS),
            sources: Bounded::new(SOURCES_MAX, keep),
            news: News::default(),
            speaking: News::default(),
            ports: value("ports") as u64,
            window: Duration::from_secs_f64(value("seconds")),
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let Some(probe) = Probe::read(pulse) else { return };
        let key = (probe.source, probe.target);
        if probe.port == 0 && !pulse.tuple.has_ports() {
            return;
        }
        let is_talk = !probe.failed() && probe.answer != crate::probe::Answer::Awaited;
        if is_talk {
            // A conversation makes no entry; it only takes an attempt back.
            if let Some(pair) = self.pairs.get_mut(&key) {
                pair.note(u64::from(probe.port), &probe, pulse.id, pulse.last);
            }
            return;
        }
        let pair = self.pairs.entry(now, &key, || Attempts::new(probe.time));
        pair.renew(probe.time, self.window);
        pair.note(u64::from(probe.port), &probe, pulse.id, pulse.last);
        if pair.at_most() >= self.ports {
            self.news.put(&key, &mut pair.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(pair) = self.pairs.get_mut(&key) else { continue };
            pair.pace.unlist();
            if pair.failed(now) < self.ports {
                if pair.at_most() >= self.ports {
                    self.news.put(&key, &mut pair.pace);
                }
                continue;
            }
            let is_new = !pair.pace.has_spoken();
            pair.pace.is_due(now);
            let (first, last) = (pair.first, pair.last);
            let source = self.sources.entry(now, &key.0, Source::default);
            source.first = Some(source.first.map_or(first, |known| known.min(first)));
            source.last = source.last.max(last);
            source.target_count += u64::from(is_new);
            // The latest target stands first: it is the one whose figures the message tells.
            source.targets.retain(|target| *target != key.1);
            source.targets.insert(0, key.1);
            source.targets.truncate(TARGETS_MAX);
            self.speaking.put(&key.0, &mut source.pace);
        }
        for address in self.speaking.take() {
            let Some(source) = self.sources.get_mut(&address) else { continue };
            source.pace.unlist();
            if !source.pace.is_due(now) {
                self.speaking.put(&address, &mut source.pace);
                continue;
            }
            if let Some(sign) = sign(now, address, source, &self.pairs) {
                signs.push(sign);
            }
        }
    }
}

fn sign(now: Timestamp, address: IpAddr, source: &Source, pairs: &Bounded<(IpAddr, IpAddr), Attempts>) -> Option<Sign> {
    let told: Vec<_> = source.targets.iter().filter_map(|target| pairs.get(&(address, *target))).collect();
    let most = told.iter().max_by_key(|pair| pair.failed(now))?;
    let target =
        source.targets.iter().max_by_key(|target| pairs.get(&(address, **target)).map_or(0, |p| p.failed(now)))?;
    let ports = most.failed(now);
    let (refused, touched): (u64, u64) = (most.refused, most.touched);
    let whom = match source.target_count {
        ..=1 => format!("{target}"),
        count => format!("{target} and of {} more", count - 1),
    };
    let message = format!(
        "{address} tried {} ports of {whom} {} ({}; {} refused, {} opened and dropped)",
        units::count(ports),
        span(most.seconds()),
        most.kinds(),
        units::count(refused),
        units::count(touched),
    );
    let mut sign = Sign::new(&DEFINITION, Subject::source(address), source.first.unwrap_or(now), source.last, message);
    sign.targets.clone_from(&source.targets);
    sign.target_count = source.target_count;
    sign.flows = told.iter().flat_map(|pair| pair.flows.iter().copied()).take(TARGETS_MAX).collect::<Vec<FlowId>>();
    sign.figures = vec![
        ("ports", ports as f64),
        ("targets", source.target_count as f64),
        ("refused", refused as f64),
        ("opened", touched as f64),
        ("duration_seconds", most.seconds()),
    ];
    sign.samples = vec![most.kinds()];
    Some(sign)
}

impl Detector for PortScan {
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
    use hivewall_model::{EndReason, TcpFlags};

    use super::*;
    use crate::testing::{Make, Watch, host, ms, s};
    use crate::wire::{SCTP, TCP};

    const A: u16 = 51_000;

    fn watch() -> Watch {
        Watch::new(&DEFINITION)
    }

    #[test]
    fn a_syn_scan_is_told_within_a_second_at_its_twentieth_port() {
        let mut watch = watch();
        (1..20).for_each(|port| watch.pulse(&Make::refused(host(1), A, host(2), port).at(ms(u64::from(port)))));
        watch.pass(s(5));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
        watch.pulse(&Make::refused(host(1), A, host(2), 20).at(ms(5_100)));
        watch.pass(s(6));
        assert_eq!(
            watch.lines(),
            ["medium 10.0.0.1 tried 20 ports of 10.0.0.2 in 5.1 s (TCP SYN; 20 refused, 0 opened and dropped)"]
        );
        assert_eq!((watch.signs[0].subject.source, watch.signs[0].targets.clone()), (Some(host(1)), vec![host(2)]));
        assert!(watch.signs[0].spoofable);
    }

    #[test]
    fn silence_counts_after_half_a_second() {
        let mut watch = watch();
        (1..=40).for_each(|port| watch.pulse(&Make::syn(host(1), A, host(2), port).at(ms(900))));
        watch.pass(s(1));
        assert!(watch.signs.is_empty());
        watch.pass(s(2));
        assert_eq!(watch.signs.len(), 1);
    }

    #[test]
    fn scans_by_flags_udp_and_sctp_are_found() {
        let flow = |protocol, port| Make::flow(protocol, host(1), A, host(2), port).roles_guessed().at(ms(10));
        for flags in [0, 0x01, 0x29, 0x10, 0x11] {
            let mut watch = watch();
            for port in 1000..1030 {
                watch.pulse(&flow(TCP, port).client_says(1, 40, flags).server_says(1, 40, TcpFlags::RST));
            }
            watch.pass(s(3));
            assert_eq!(watch.signs.len(), 1, "{flags:#x}");
        }
        for protocol in [crate::wire::UDP, SCTP] {
            let mut watch = watch();
            (1..30).for_each(|port| watch.pulse(&flow(protocol, port).client_says(1, 32, 0)));
            watch.pass(s(3));
            assert_eq!(watch.signs.len(), 1, "{protocol}");
        }
    }

    #[test]
    fn what_a_scan_finds_open_counts_and_what_people_use_does_not() {
        let mut watch = watch();
        for port in 1..=50_u16 {
            watch.pulse(&Make::tcp((host(1), A + port), (host(2), 8000 + port), 500, 20_000).at(ms(50)));
            watch.pulse(&Make::refused(host(3), A + port, host(2), 22).at(ms(50)));
        }
        watch.pass(s(3));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
        for port in 1..=25 {
            let open = Make::syn(host(4), A, host(2), port)
                .server_says(1, 44, TcpFlags::SYN | TcpFlags::ACK)
                .client_says(1, 40, TcpFlags::RST)
                .ended(EndReason::Reset);
            watch.pulse(&open.at(ms(3_100)));
        }
        watch.pass(s(4));
        assert_eq!(watch.signs.len(), 1);
    }

    #[test]
    fn one_source_that_scans_many_hosts_is_one_subject() {
        let mut watch = watch();
        for target in 10..40 {
            for port in 1..=100 {
                watch.pulse(&Make::refused(host(1), A, host(target), port).at(ms(u64::from(target) * 10)));
            }
        }
        watch.pass(s(30));
        assert!(watch.signs.iter().all(|sign| sign.subject == Subject::source(host(1))));
        let last = watch.signs.last().unwrap();
        assert_eq!((last.target_count, last.targets.len()), (30, TARGETS_MAX));
    }

    #[test]
    fn it_speaks_at_most_every_ten_seconds_with_sums_so_far() {
        let mut watch = watch();
        for step in 0..600_u16 {
            watch.pulse(&Make::refused(host(1), A, host(2), 1 + step).at(ms(u64::from(step) * 100)));
        }
        assert!((5..=7).contains(&watch.signs.len()), "{}", watch.signs.len());
        let ports: Vec<_> = watch.signs.iter().map(|sign| sign.figures[0].1).collect();
        assert!(ports.is_sorted() && ports.last().unwrap() > &400.0, "{ports:?}");
    }

    #[test]
    fn a_table_filled_many_times_over_hides_no_scan() {
        let mut watch = watch();
        (1..15).for_each(|port| watch.pulse(&Make::refused(host(1), A, host(2), port).at(ms(1))));
        for number in 0..200_000 {
            watch.pulse(&Make::syn(host(0x10_0000 + number), A, host(2), 80).at(ms(2)));
        }
        let held = watch.held();
        assert!(held.given_up > 4 * held.entries_max, "{held:?}");
        // An entry with one port: itself, one vector of four words, one of four flows.
        assert!(held.entries_max as usize * (size_of::<Attempts>() + 40 + 64) < 16 << 20);
        (15..30).for_each(|port| watch.pulse(&Make::refused(host(1), A, host(2), port).at(ms(900))));
        watch.pass(s(1));
        assert_eq!(watch.signs.len(), 1);
    }
}
