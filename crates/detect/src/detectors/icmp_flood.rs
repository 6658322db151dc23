//! ICMP packets at one target by the hundred a second, those included that claim to come from the target itself.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Moves, Pulse, Timestamp};
use hivewall_view::alerts::Severity;

use crate::bounded::Bounded;
use crate::flood::Flood;
use crate::pace::News;
use crate::wire::{ICMP, ICMPV6};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Threshold};

/// Targets that are watched.
const TARGETS_WATCHED_MAX: usize = 16_384;

pub(super) static DEFINITION: Definition = Definition {
    name: "icmp_flood",
    title: "ICMP flood",
    kind: "flood",
    sees: "ICMP or ICMPv6 packets at one target faster than a threshold, answered or not: ping floods, floods of replies and errors, \
           and packets whose source is the target itself.",
    misses: "Pings of one host to itself over the loopback, and many targets that get a few packets each (host_sweep).",
    evaded_by: "Staying below the threshold.",
    technique: Some(Attack { id: "T1498.001", name: "Direct Network Flood", tactic: "Impact" }),
    severity: Severity::High,
    spoofable: Spoofable::Always,
    quiet_seconds: 60,
    thresholds: &[Threshold {
        name: "packets_per_second",
        unit: "packets/s",
        default: 100.0,
        range: (5.0, 10_000_000.0),
        doc: "Packets a second over five seconds; three times as many within one second are enough alone. Monitoring sends one or a \
              few, ping -f a hundred at least.",
    }],
};

/// The detector.
#[derive(Debug)]
pub(super) struct IcmpFlood {
    targets: Bounded<IpAddr, Flood>,
    news: News<IpAddr>,
    rate: u64,
}

impl IcmpFlood {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let is_rich = |flood: &Flood| flood.packets_all >= 100;
        Box::new(Self {
            targets: Bounded::with_rich(TARGETS_WATCHED_MAX, Duration::from_secs(60), is_rich),
            news: News::default(),
            rate: settings.value(&DEFINITION, "packets_per_second") as u64,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let tuple = &pulse.tuple;
        if !tuple.is_icmp() || pulse.tunnel.is_some() {
            return;
        }
        // An answered ping is the asker's doing; its answers are no flood of the asked.
        let is_asked = pulse.roles_known && pulse.to_server.packets > 0;
        self.add(now, pulse, tuple.client, tuple.server, pulse.new_to_server);
        if !is_asked || pulse.to_client.packets > 2 * pulse.to_server.packets {
            self.add(now, pulse, tuple.server, tuple.client, pulse.new_to_client);
        }
    }

    fn add(&mut self, now: Timestamp, pulse: &Pulse, from: IpAddr, to: IpAddr, new: Moves) {
        if new.packets == 0 || to.is_multicast() || to.is_loopback() {
            return;
        }
        let flood = self.targets.entry(now, &to, || Flood::new(pulse.start));
        flood.add(pulse, from, new);
        if flood.is_at(self.rate) {
            self.news.put(&to, &mut flood.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for target in self.news.take() {
            let Some(flood) = self.targets.get_mut(&target) else { continue };
            flood.pace.unlist();
            if !flood.is_at(self.rate) {
                continue;
            }
            if !self.news.is_due(now, &target, &mut flood.pace) {
                continue;
            }
            let mut sign = flood.sign(&DEFINITION, target, None, "ICMP packets");
            sign.protocol = Some(if target.is_ipv6() { ICMPV6 } else { ICMP });
            signs.push(sign);
        }
    }
}

impl Detector for IcmpFlood {
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
        self.targets.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, s};

    fn pings(watch: &mut Watch, from: IpAddr, per_second: u64, seconds: u64) {
        let mut flow = Make::ping(from, host(1), 0, 0);
        for second in 1..=seconds {
            flow = flow.later(s(second)).client_says(per_second, 84 * per_second, 0);
            flow.0.is_first = second == 1;
            watch.pulse(&flow);
        }
        watch.pass(s(seconds + 1));
    }

    #[test]
    fn a_ping_flood_is_told_at_its_rate_and_not_below() {
        for (rate, found) in [(90, false), (130, true)] {
            let mut watch = Watch::new(&DEFINITION);
            pings(&mut watch, host(9), rate, 8);
            assert_eq!(!watch.signs.is_empty(), found, "{rate}: {:?}", watch.lines());
        }
    }

    #[test]
    fn packets_that_claim_to_come_from_their_target_name_no_source() {
        let mut watch = Watch::new(&DEFINITION);
        pings(&mut watch, host(1), 500, 5);
        let sign = &watch.signs[0];
        assert_eq!((sign.subject.source, sign.subject.target), (None, Some(host(1))));
        assert!(sign.message.contains("claim to come from 10.0.0.1 itself"), "{}", sign.message);
    }

    #[test]
    fn an_answered_flood_has_one_victim() {
        let mut watch = Watch::new(&DEFINITION);
        watch.pulse(&Make::ping(host(9), host(1), 2_000, 2_000).between(ms(0), ms(900)));
        watch.pass(s(2));
        assert_eq!(watch.signs.len(), 1);
        assert_eq!(watch.signs[0].subject, crate::Subject::pair(host(9), host(1), None));
    }

    #[test]
    fn a_ping_each_second_for_an_hour_is_none() {
        let mut watch = Watch::new(&DEFINITION);
        pings(&mut watch, host(9), 1, 3_600);
        assert!(watch.signs.is_empty());
    }
}
