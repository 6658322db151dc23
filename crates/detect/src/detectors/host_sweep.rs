//! One port, or echo requests, tried on many hosts by one source within a minute.
//!
//! Not here: many ports of one host (`port_scan`), ARP (`arp_scan`), sweeps that take hours (`slow_scan`). Invariant: hosts
//! that talk are evidence only at ports that worms use and browsers do not.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hivewall_model::{Pulse, Timestamp, protocol_name};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::attempts::{Attempts, span};
use crate::bounded::Bounded;
use crate::distinct::{Distinct, address_word};
use crate::pace::News;
use crate::probe::{Answer, Probe};
use crate::wire::{TCP, UDP, is_public};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

/// Sources with a port that are watched.
const SWEEPS_MAX: usize = 32_768;
/// Sources whose variety of ports is watched.
const SOURCES_MAX: usize = 8_192;
/// Entries with so many hosts outlive a full table.
const RICH_HOSTS: u64 = 5;

/// File sharing, remote desktops and shells, by which worms spread: nobody opens these to dozens of hosts of the public
/// Internet within a minute.
const WORM_PORTS: &[u16] = &[22, 23, 135, 139, 445, 1433, 2323, 3389, 5555, 5900, 6379, 7547, 37215, 52869];
/// Of those the ones that management does not use inside either.
const WORM_PORTS_INSIDE: &[u16] = &[23, 139, 445, 2323, 5555, 37215, 52869];
/// High ports at which services wait; at any other, peers of file sharing do, which come and go.
const SERVICES: &[u16] = &[
    1080, 1194, 1433, 1521, 1723, 1883, 1900, 2049, 2323, 2375, 3128, 3306, 3389, 5000, 5060, 5432, 5555, 5601, 5672,
    5900, 5901, 5985, 6379, 6443, 7547, 8000, 8080, 8081, 8088, 8291, 8443, 8888, 9000, 9090, 9100, 9200, 10250, 11211,
    27017, 37215, 52869,
];

pub(super) static DEFINITION: Definition = Definition {
    name: "host_sweep",
    title: "Host sweep",
    kind: "scan",
    sees: "One source that tries one port, or echo requests, on many hosts within a minute, a third of which at least do not \
           answer; and worms: one source that opens SMB, telnet, RDP, SSH or database ports of dozens of public hosts, whether \
           they answer or not.",
    misses: "Sweeps in which most hosts answer (a full network that is pinged looks like monitoring), and peers of file \
             sharing: high ports that are no service's, tried among many others.",
    evaded_by: "Trying fewer hosts a minute than the threshold (slow_scan looks further back; what one host cannot see the fleet \
                can), mixing sweeps with as many connections to hosts that answer.",
    technique: Some(Attack { id: "T1018", name: "Remote System Discovery", tactic: "Discovery" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Depends,
    quiet_seconds: 120,
    thresholds: &[
        Threshold {
            name: "hosts",
            unit: "hosts",
            default: 25.0,
            range: (3.0, 65_535.0),
            doc: "Different hosts that do not answer at one port. A browser reaches a hundred hosts in a minute, and all but a few \
                  answer.",
        },
        Threshold { name: "seconds", unit: "seconds", default: 60.0, range: (1.0, 600.0), doc: "Within how long." },
        Threshold {
            name: "failed_share",
            unit: "",
            default: 0.3,
            range: (0.01, 1.0),
            doc: "Which share of the hosts tried has to fail. Monitoring that polls two hundred hosts of which some are down stays \
                  below; a network scanned from one end to the other is mostly empty.",
        },
    ],
};

/// One source at one port.
#[derive(Debug)]
struct Sweep {
    failing: Attempts,
    talked: Distinct,
    /// Whether one of the connections was opened in full: then the source is who it says.
    is_proven: bool,
}

/// A source, a protocol, a port.
pub(super) type Key = (IpAddr, u8, u16);

/// The detector.
#[derive(Debug)]
pub(super) struct HostSweep {
    sweeps: Bounded<Key, Sweep>,
    /// Of each source, which high ports that are no service's it tried.
    variety: Bounded<IpAddr, Distinct>,
    news: News<Key>,
    hosts: u64,
    window: Duration,
    share: f64,
}

impl HostSweep {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let value = |name| settings.value(&DEFINITION, name);
        let keep = Duration::from_secs(u64::from(DEFINITION.quiet_seconds));
        Box::new(Self {
            sweeps: Bounded::with_rich(SWEEPS_MAX, keep, |sweep: &Sweep| sweep.failing.at_most() >= RICH_HOSTS),
            variety: Bounded::new(SOURCES_MAX, keep),
            news: News::default(),
            hosts: value("hosts") as u64,
            window: Duration::from_secs_f64(value("seconds")),
            share: value("failed_share"),
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let Some(mut probe) = Probe::read(pulse) else { return };
        let what = address_word(probe.target);
        let is_worm = probe.protocol == TCP && WORM_PORTS.contains(&probe.port) && is_public(probe.target);
        let is_proven = pulse.is_proven();
        if is_worm && probe.answer == Answer::Talk {
            probe.answer = Answer::Touched;
        }
        let key = (probe.source, probe.protocol, probe.port);
        if is_peer_port(&probe) && probe.answer != Answer::Talk {
            self.variety.entry(now, &probe.source, Distinct::default).insert(u64::from(probe.port));
        }
        let make = || Sweep { failing: Attempts::new(probe.time), talked: Distinct::default(), is_proven: false };
        let sweep = self.sweeps.entry(now, &key, make);
        let before = sweep.failing.first;
        sweep.failing.renew(probe.time, self.window);
        let is_anew = sweep.failing.first != before && probe.time >= sweep.failing.first;
        if is_anew && !sweep.failing.pace.has_spoken() && sweep.failing.at_most() == 0 {
            sweep.talked.clear();
        }
        sweep.failing.note(what, &probe, pulse.id, pulse.last);
        sweep.is_proven |= is_proven;
        if probe.answer == Answer::Talk {
            sweep.talked.insert(what);
        }
        let inside = if is_inside(&key) { sweep.talked.count() } else { 0 };
        if sweep.failing.at_most() >= self.hosts || inside >= 2 * self.hosts {
            self.news.put(&key, &mut sweep.failing.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(sweep) = self.sweeps.get_mut(&key) else { continue };
            sweep.failing.pace.unlist();
            let failed = sweep.failing.failed(now);
            let talked = sweep.talked.count();
            let is_inside = is_inside(&key) && talked >= 2 * self.hosts;
            let is_enough = failed >= self.hosts && failed as f64 >= self.share * (failed + talked) as f64;
            if !is_enough && !is_inside {
                // Those that are awaited may yet fail, or the share may.
                if sweep.failing.at_most() >= self.hosts && failed < self.hosts {
                    self.news.put(&key, &mut sweep.failing.pace);
                }
                continue;
            }
            let high_ports = self.variety.get(&key.0).map_or(0, Distinct::count);
            if is_peer_key(&key) && failed < 5 * high_ports {
                continue;
            }
            if !self.news.is_due(now, &key, &mut sweep.failing.pace) {
                continue;
            }
            signs.push(sign(key, sweep, failed, is_enough));
        }
    }
}

/// Whether hosts that talk are evidence at this port, wherever they are.
fn is_inside(key: &Key) -> bool {
    key.1 == TCP && WORM_PORTS_INSIDE.contains(&key.2)
}

/// Whether it is a port of peers, not of a service.
pub(super) fn is_peer_key(key: &Key) -> bool {
    matches!(key.1, TCP | UDP) && key.2 >= 1024 && !SERVICES.contains(&key.2)
}

fn is_peer_port(probe: &Probe) -> bool {
    is_peer_key(&(probe.source, probe.protocol, probe.port))
}

fn sign((source, protocol, port): Key, sweep: &Sweep, failed: u64, is_enough: bool) -> Sign {
    let attempts = &sweep.failing;
    let (talked, is_ping) = (sweep.talked.count(), port == 0);
    let hosts = failed + talked;
    let name = protocol_name(protocol).unwrap_or("ip");
    let what = if is_ping { "echo requests".to_owned() } else { format!("{name} port {port}") };
    let message = format!(
        "{source} tried {what} on {} hosts {} ({} of them with a conversation)",
        units::count(hosts),
        span(attempts.seconds()),
        units::count(talked + attempts.touched.min(hosts)),
    );
    let subject = Subject { port: (!is_ping).then_some(port), ..Subject::source(source) };
    let mut sign = Sign::new(&DEFINITION, subject, attempts.first, attempts.last, message);
    if is_ping || !is_enough {
        sign.severity = Severity::Low;
    }
    sign.spoofable = !sweep.is_proven;
    sign.protocol = Some(protocol);
    let words = attempts.exact().chain(sweep.talked.exact().iter().copied());
    sign.targets = targets(source, words);
    sign.target_count = hosts;
    sign.flows.clone_from(&attempts.flows);
    sign.figures = vec![
        ("targets", hosts as f64),
        ("failed", failed as f64),
        ("talked", talked as f64),
        ("duration_seconds", attempts.seconds()),
    ];
    sign.samples = vec![attempts.kinds()];
    sign
}

/// Some of the hosts, by their words; of IPv6 ones only numbers are kept, so there are none then.
pub(super) fn targets(source: IpAddr, words: impl Iterator<Item = u64>) -> Vec<IpAddr> {
    if source.is_ipv6() {
        return Vec::new();
    }
    words
        .take(TARGETS_MAX)
        .filter_map(|word| u32::try_from(word).ok())
        .map(|word| Ipv4Addr::from(word).into())
        .collect()
}

impl Detector for HostSweep {
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
        self.sweeps.held() + self.variety.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, public, s};

    const A: u16 = 51_000;

    fn watch() -> Watch {
        Watch::new(&DEFINITION)
    }

    #[test]
    fn a_sweep_is_told_at_its_twenty_fifth_silent_host() {
        let mut watch = watch();
        (10..34).for_each(|to| watch.pulse(&Make::syn(host(1), A, host(to), 80).at(ms(10))));
        watch.pass(s(3));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
        watch.pulse(&Make::syn(host(1), A, host(34), 80).at(ms(3_100)));
        watch.pass(s(5));
        assert_eq!(watch.lines().len(), 1);
        assert!(watch.lines()[0].starts_with("medium 10.0.0.1 tried tcp port 80 on 25 hosts in 3.1 s"));
        assert!(watch.signs[0].targets.contains(&host(10)) && watch.signs[0].spoofable);
    }

    #[test]
    fn pings_of_a_whole_network_are_found_and_monitoring_is_not() {
        let mut watch = watch();
        for round in 0..4 {
            for to in 1..=200 {
                let answered = u64::from(to % 8 != 0);
                watch.pulse(&Make::ping(host(1), host(to + 1), 1, answered).at(s(round * 30)));
            }
        }
        watch.pass(s(150));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
        for to in 1..255 {
            watch.pulse(&Make::ping(host(999), host(to), 1, u64::from(to < 20)).at(s(151)));
        }
        watch.pass(s(153));
        assert_eq!(watch.signs.len(), 1);
        assert_eq!(watch.signs[0].subject, Subject::source(host(999)));
    }

    #[test]
    fn a_browser_that_opens_a_hundred_hosts_at_once_is_none() {
        let mut watch = watch();
        for to in 0..100 {
            let syn = Make::syn(host(1), A + to, public(u32::from(to)), 443).at(ms(10));
            watch.pulse(&syn);
        }
        for to in 0..100 {
            watch.pulse(&Make::tcp((host(1), A + to), (public(u32::from(to)), 443), 500, 9_000).at(ms(200)));
        }
        watch.pass(s(5));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn peers_of_file_sharing_come_and_go() {
        let mut watch = watch();
        for peer in 0..2_000_u32 {
            let port = if peer % 3 == 0 { 6881 } else { (20_000 + peer * 7 % 40_000) as u16 };
            watch.pulse(&Make::udp((host(1), A), (public(peer), port), (2, 200), (0, 0)).at(ms(u64::from(peer) * 10)));
        }
        watch.pass(s(30));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn a_worm_is_found_though_its_victims_answer_and_then_it_is_who_it_says() {
        let mut watch = watch();
        for to in 0..40 {
            watch.pulse(&Make::tcp((host(1), A + to), (public(u32::from(to)), 445), 800, 800).at(s(u64::from(to))));
        }
        watch.pass(s(45));
        let sign = &watch.signs[0];
        assert_eq!((sign.subject.port, sign.severity, sign.spoofable), (Some(445), Severity::Medium, false));
    }

    #[test]
    fn automation_that_logs_in_to_two_hundred_hosts_of_its_own_is_none() {
        let mut watch = watch();
        for to in 0..200 {
            watch.pulse(
                &Make::tcp((host(1), A + to), (host(1000 + u32::from(to)), 22), 4_000, 4_000)
                    .at(ms(u64::from(to) * 20)),
            );
        }
        watch.pass(s(10));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn made_up_sources_are_no_sweep_and_an_entry_has_a_size() {
        let mut watch = watch();
        for number in 0..100_000 {
            watch.pulse(&Make::syn(host(number), A, public(1), 80).at(ms(2)));
        }
        let held = watch.held();
        assert!(held.given_up > 0, "{held:?}");
        assert!(held.entries_max as usize * (size_of::<Sweep>() + 128) < 24 << 20);
        watch.pass(s(3));
        assert!(watch.signs.is_empty());
    }
}
