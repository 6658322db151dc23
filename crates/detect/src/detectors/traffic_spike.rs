//! Far more packets within two seconds than a host, interface or service has had so far.
//!
//! The baseline is a moving mean and the greatest value lately, both in virtual time; seconds without traffic count as such.
//! Invariant: nothing is said of what has not been watched for its warm-up time, and one spike is told of the narrowest thing that
//! has it: the service rather than its host, the host rather than the interface.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::flood::when;
use crate::pace::{Majority, News, Pace};
use crate::window::Window;
use crate::wire::is_host;
use crate::{Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

/// Hosts, interfaces and services that are watched.
const THINGS_MAX: usize = 16_384;
/// Time constant of the mean, and of the memory of the greatest value, seconds.
const MEAN_SECONDS: f64 = 120.0;
const PEAK_SECONDS: f64 = 600.0;
/// So many times the greatest value lately.
const PEAKS: f64 = 4.0;

pub(super) static DEFINITION: Definition = Definition {
    name: "traffic_spike",
    title: "Traffic spike",
    kind: "spike",
    sees: "A host, an interface or a service that within two seconds has many times the packets that it had on average, and several \
           times the most it had lately, once it was watched for long enough. It is told of the narrowest of them: of the interface \
           only where no single host or service has most of it.",
    misses: "Growth over minutes, which becomes the baseline; spikes within the warm-up time or below the floor.",
    evaded_by: "Raising the traffic slowly.",
    technique: None,
    severity: Severity::Low,
    spoofable: Spoofable::Always,
    quiet_seconds: 60,
    thresholds: &[
        Threshold {
            name: "packets_per_second",
            unit: "packets/s",
            default: 2_000.0,
            range: (10.0, 100_000_000.0),
            doc: "The floor, over two seconds: less is no spike, however quiet it was before. A web page on a fast line has some \
                  hundred a second.",
        },
        Threshold {
            name: "times_mean",
            unit: "",
            default: 30.0,
            range: (2.0, 100_000.0),
            doc: "How many times the mean.",
        },
        Threshold {
            name: "warm_up_seconds",
            unit: "seconds",
            default: 60.0,
            range: (5.0, 86_400.0),
            doc: "For how long it has to be watched before.",
        },
    ],
};

/// The narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Thing {
    Service(IpAddr, u8, u16),
    Host(IpAddr),
    Interface(u32),
}

#[derive(Debug)]
struct Baseline {
    since: Timestamp,
    /// Two-second sums lie in two parts; one more takes what comes a little late.
    window: Window<3>,
    /// Seconds up to here are in the mean.
    closed: i64,
    mean: f64,
    peak: f64,
    /// The narrower thing that has most of this second's packets.
    part: Majority<Thing>,
    pace: Pace,
}

/// The detector.
#[derive(Debug)]
pub(super) struct TrafficSpike {
    things: Bounded<Thing, Baseline>,
    moved: News<Thing>,
    floor: f64,
    times: f64,
    warm_up: Duration,
}

impl TrafficSpike {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            // An hour without a packet makes a thing new again.
            things: Bounded::with_rich(THINGS_MAX, Duration::from_secs(3600), |thing: &Baseline| thing.mean > 0.1),
            moved: News::default(),
            floor: settings.value(&DEFINITION, "packets_per_second"),
            times: settings.value(&DEFINITION, "times_mean"),
            warm_up: Duration::from_secs_f64(settings.value(&DEFINITION, "warm_up_seconds")),
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let packets = pulse.new_to_server.packets + pulse.new_to_client.packets;
        if packets == 0 || pulse.tunnel.is_some() {
            return;
        }
        let tuple = &pulse.tuple;
        let (from, to) = when(pulse);
        let service = tuple.has_ports().then_some(Thing::Service(tuple.server, tuple.protocol, tuple.server_port));
        let things = [Some(Thing::Host(tuple.client)), Some(Thing::Host(tuple.server)), service];
        for thing in things.into_iter().flatten().chain([Thing::Interface(pulse.ifindex)]) {
            if matches!(thing, Thing::Host(host) | Thing::Service(host, ..) if !is_host(host)) {
                continue;
            }
            let make = || Baseline {
                since: pulse.start,
                window: Window::new(Duration::from_secs(3)),
                closed: from.secs(),
                mean: 0.0,
                peak: 0.0,
                part: Majority::default(),
                pace: Pace::default(),
            };
            let baseline = self.things.entry(now, &thing, make);
            baseline.window.spread(from, to, packets);
            let part = match thing {
                Thing::Interface(_) => Some(Thing::Host(tuple.server)),
                _ => service,
            };
            part.into_iter().for_each(|part| baseline.part.add(part, packets));
            self.moved.put(&thing, &mut baseline.pace);
        }
    }

    /// A second is over: what moved is held against what it was, and becomes part of it.
    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        let mut moved = self.moved.take();
        moved.sort_unstable();
        let mut spiking = Vec::new();
        for thing in moved {
            let Some(baseline) = self.things.get_mut(&thing) else { continue };
            baseline.pace.unlist();
            baseline.window.advance(now);
            let rate = baseline.window.total() as f64 / 2.0;
            let is_warm = now.since(baseline.since) >= self.warm_up;
            let is_spike =
                is_warm && rate >= self.floor && rate >= self.times * baseline.mean && rate >= PEAKS * baseline.peak;
            let second = now.secs();
            let passed = (second - baseline.closed).max(0) as f64;
            let part = std::mem::take(&mut baseline.part).leader();
            if is_spike {
                let is_of_part = part.is_some_and(|part| part != thing && spiking.contains(&part));
                spiking.push(thing);
                if !is_of_part && baseline.pace.is_due(now) {
                    signs.push(sign(now, thing, rate, baseline));
                }
                // A spike is not learned until it has lasted: it would hide its own second half.
                baseline.mean += (rate - baseline.mean) / (4.0 * MEAN_SECONDS);
            } else if passed > 0.0 {
                // The seconds without a packet in between count as such.
                baseline.mean *= (-passed / MEAN_SECONDS).exp();
                baseline.mean += rate / MEAN_SECONDS;
                baseline.peak = (baseline.peak * (-passed / PEAK_SECONDS).exp()).max(rate);
            }
            baseline.closed = second;
        }
    }
}

fn sign(now: Timestamp, thing: Thing, rate: f64, baseline: &Baseline) -> Sign {
    let (name, subject) = match thing {
        Thing::Host(host) => (format!("{host}"), Subject::target(host, None)),
        Thing::Interface(index) => (
            "An interface".to_owned(),
            Subject { other: Some(format!("interface {index}").into()), ..Subject::default() },
        ),
        Thing::Service(host, _, port) => (format!("Port {port} of {host}"), Subject::target(host, Some(port))),
    };
    let message = format!(
        "{name} has {} packets a second, and had {:.1} on average and {} at most",
        units::count(rate as u64),
        baseline.mean,
        units::count(baseline.peak as u64),
    );
    let mut sign = Sign::new(&DEFINITION, subject, now - Duration::from_secs(2), now, message);
    match thing {
        Thing::Interface(index) => sign.ifindex = Some(index),
        Thing::Service(_, protocol, _) => sign.protocol = Some(protocol),
        Thing::Host(_) => {}
    }
    sign.figures = vec![
        ("packets_per_second", rate),
        ("packets_per_second_mean", baseline.mean),
        ("packets_per_second_max_before", baseline.peak),
    ];
    sign
}

impl Detector for TrafficSpike {
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
        self.things.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, s};

    /// So many packets in each of so many seconds.
    fn steady(watch: &mut Watch, from: u64, seconds: u64, packets: u64) {
        for second in from..from + seconds {
            watch.pulse(
                &Make::udp((host(1), 50_000), (host(2), 5004), (packets, packets * 100), (1, 100))
                    .at(ms(second * 1000 + 300)),
            );
        }
        watch.pass(s(from + seconds));
    }

    #[test]
    fn one_second_of_thousands_after_minutes_of_few_is_told() {
        let mut watch = Watch::new(&DEFINITION);
        steady(&mut watch, 0, 120, 20);
        assert!(watch.signs.is_empty());
        steady(&mut watch, 120, 1, 5_000);
        let subjects: Vec<_> = watch.signs.iter().map(|sign| sign.subject.clone()).collect();
        assert_eq!(subjects, [Subject::target(host(2), Some(5004))], "{:?}", watch.lines());
    }

    #[test]
    fn what_no_service_or_host_has_most_of_is_told_of_what_does() {
        for (targets, interface) in [(1, false), (5_000, true)] {
            let mut watch = Watch::new(&DEFINITION);
            // A known host with many ports; then many ports of it, or as many hosts.
            steady(&mut watch, 0, 120, 20);
            for number in 0..5_000_u32 {
                let target = (host(2 + number % targets), 1024 + number as u16);
                watch.pulse(&Make::udp((host(0x10_0000 + number), 50_000), target, (1, 60), (0, 0)).at(ms(120_300)));
            }
            watch.pass(s(122));
            let subject = if interface {
                Subject { other: Some("interface 1".into()), ..Subject::default() }
            } else {
                Subject::target(host(2), None)
            };
            let subjects: Vec<_> = watch.signs.iter().map(|sign| sign.subject.clone()).collect();
            assert_eq!(subjects, [subject], "{:?}", watch.lines());
        }
    }

    #[test]
    fn less_than_the_floor_a_busy_host_and_the_warm_up_are_none() {
        for (before, seconds, packets) in [(20, 120, 3_000), (3_000, 120, 9_000), (20, 30, 9_000)] {
            let mut watch = Watch::new(&DEFINITION);
            steady(&mut watch, 0, seconds, before);
            steady(&mut watch, seconds, 1, packets);
            assert!(watch.signs.is_empty(), "{before} {seconds} {packets}: {:?}", watch.lines());
        }
    }
}
