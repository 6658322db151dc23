//! Answers that nobody asked for: services that send far more than they are asked, asked in the victim's name.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::attempts::span;
use crate::bounded::Bounded;
use crate::flood::Flood;
use crate::pace::News;
use crate::wire::{UDP, is_host, one_sided, reflector};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

/// Victims with a port that are watched.
const VICTIMS_MAX: usize = 16_384;
/// A single reflector has to send so many times more.
const ALONE: u64 = 10;

pub(super) static DEFINITION: Definition = Definition {
    name: "amplification",
    title: "Reflected and amplified flood",
    kind: "flood",
    sees: "Datagrams from the ports of services that answer with more than they are asked (DNS, NTP, SSDP, memcached, CLDAP, ISAKMP \
           and others) at a host that did not ask. The senders are deceived hosts, so they are counted and none is named.",
    misses: "Services that are not in its list, and the later fragments of large answers, which carry no port (udp_flood counts \
             those).",
    evaded_by: "Services at unusual ports; staying below the thresholds.",
    technique: Some(Attack { id: "T1498.002", name: "Reflection Amplification", tactic: "Impact" }),
    severity: Severity::High,
    spoofable: Spoofable::Always,
    quiet_seconds: 60,
    thresholds: &[
        Threshold {
            name: "packets_per_second",
            unit: "packets/s",
            default: 200.0,
            range: (5.0, 10_000_000.0),
            doc: "Unasked answers a second over five seconds; three times as many within one second are enough alone. A capture that \
                  holds one direction only shows a busy resolver's answers so, some dozen a second.",
        },
        Threshold {
            name: "reflectors",
            unit: "hosts",
            default: 10.0,
            range: (1.0, 1_000_000.0),
            doc: "From so many hosts; from fewer only at ten times the rate.",
        },
    ],
};

/// The detector.
#[derive(Debug)]
pub(super) struct Amplification {
    victims: Bounded<(IpAddr, u16), Flood>,
    news: News<(IpAddr, u16)>,
    rate: u64,
    reflectors: u64,
}

impl Amplification {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            victims: Bounded::with_rich(VICTIMS_MAX, Duration::from_secs(60), |flood: &Flood| flood.packets_all >= 100),
            news: News::default(),
            rate: settings.value(&DEFINITION, "packets_per_second") as u64,
            reflectors: settings.value(&DEFINITION, "reflectors") as u64,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        if pulse.tuple.protocol != UDP || pulse.tunnel.is_some() {
            return;
        }
        let Some((from, to)) = one_sided(pulse) else { return };
        if reflector(from.1).is_none() || !is_host(to.0) {
            return;
        }
        // Between equal ports (ISAKMP, NTP peers) either side may be the one that asks: then roles tell nothing, packets do.
        let new = if from.0 == pulse.tuple.client { pulse.new_to_server } else { pulse.new_to_client };
        let key = (to.0, from.1);
        let flood = self.victims.entry(now, &key, || Flood::new(pulse.start));
        flood.add(pulse, from.0, new);
        if flood.is_at(self.rate) {
            self.news.put(&key, &mut flood.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(flood) = self.victims.get_mut(&key) else { continue };
            flood.pace.unlist();
            let rate = if flood.sources.count() >= self.reflectors { self.rate } else { self.rate * ALONE };
            if !flood.is_at(rate) {
                continue;
            }
            if !self.news.is_due(now, &key, &mut flood.pace) {
                continue;
            }
            signs.push(sign(key, flood));
        }
    }
}

fn sign((victim, port): (IpAddr, u16), flood: &Flood) -> Sign {
    let name = reflector(port).unwrap_or("UDP");
    let mut sign = flood.sign(&DEFINITION, victim, Some(port), "answers");
    sign.subject = Subject { other: Some(name.into()), ..Subject::target(victim, Some(port)) };
    sign.message = format!(
        "{} sent {victim} {} {name} answers (UDP port {port}, {}) that it did not ask for, {}",
        match flood.sources.count() {
            1 => "One host".to_owned(),
            count => format!("{} hosts", units::count(count)),
        },
        units::count(flood.packets_all),
        units::bytes(flood.bytes_all),
        span(flood.last.since(flood.first).as_secs_f64()),
    );
    sign.protocol = Some(UDP);
    sign.samples = vec![format!("{name}, UDP source port {port}")];
    sign
}

impl Detector for Amplification {
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
        self.victims.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, public, s};

    #[test]
    fn unasked_answers_of_many_hosts_name_the_victim_and_no_sender() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..1_200_u32 {
            let flow = Make::udp((host(1), 40_000), (public(number), 123), (0, 0), (1, 468));
            watch.pulse(&flow.at(ms(u64::from(number) / 2)));
        }
        watch.pass(s(1));
        let sign = &watch.signs[0];
        assert_eq!((sign.subject.source, sign.subject.target, sign.port), (None, Some(host(1)), Some(123)));
    }

    #[test]
    fn answers_to_questions_are_none_however_many() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..50_000_u32 {
            let flow = Make::udp((host(1), 40_000), (public(number), 53), (1, 60), (1, 400));
            watch.pulse(&flow.at(ms(u64::from(number) / 20)));
        }
        watch.pass(s(4));
        assert!(watch.signs.is_empty());
    }
}
