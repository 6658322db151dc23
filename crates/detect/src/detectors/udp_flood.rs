//! Datagrams at one target that it does not answer, by the thousand a second.
//!
//! Not here: what comes from the ports of services that answer too much (`amplification`).

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, Timestamp};
use hivewall_view::alerts::Severity;

use crate::bounded::Bounded;
use crate::flood::Flood;
use crate::pace::News;
use crate::wire::{UDP, is_host, reflector};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Threshold};

/// Targets that are watched.
const TARGETS_WATCHED_MAX: usize = 16_384;
/// So many flows in five seconds are no stream.
const FLOWS_MANY: u64 = 50;

pub(super) static DEFINITION: Definition = Definition {
    name: "udp_flood",
    title: "UDP flood",
    kind: "flood",
    sees: "Datagrams at one target that it does not answer: many flows at a thousand packets a second and more, or a single one at \
           ten thousand.",
    misses: "A single stream below ten thousand packets a second, which video and voice are as well; what the target answers, at \
             least one packet in twenty.",
    evaded_by: "Few large packets below the rate (high_bandwidth sees those), an application that answers.",
    technique: Some(Attack { id: "T1498.001", name: "Direct Network Flood", tactic: "Impact" }),
    severity: Severity::High,
    spoofable: Spoofable::Always,
    quiet_seconds: 60,
    thresholds: &[
        Threshold {
            name: "packets_per_second",
            unit: "packets/s",
            default: 1_000.0,
            range: (10.0, 100_000_000.0),
            doc: "Unanswered packets a second in fifty flows or more, over five seconds; three times as many within one second are \
                  enough alone.",
        },
        Threshold {
            name: "stream_packets_per_second",
            unit: "packets/s",
            default: 10_000.0,
            range: (10.0, 100_000_000.0),
            doc: "The same for fewer flows. An uncompressed video stream has some thousand.",
        },
    ],
};

/// The detector.
#[derive(Debug)]
pub(super) struct UdpFlood {
    targets: Bounded<IpAddr, Flood>,
    news: News<IpAddr>,
    rate: u64,
    stream: u64,
}

impl UdpFlood {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let is_rich = |flood: &Flood| flood.packets_all >= 100;
        Box::new(Self {
            targets: Bounded::with_rich(TARGETS_WATCHED_MAX, Duration::from_secs(60), is_rich),
            news: News::default(),
            rate: settings.value(&DEFINITION, "packets_per_second") as u64,
            stream: settings.value(&DEFINITION, "stream_packets_per_second") as u64,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let tuple = &pulse.tuple;
        if tuple.protocol != UDP || pulse.tunnel.is_some() {
            return;
        }
        let (up, down) = (pulse.to_server.packets, pulse.to_client.packets);
        let client = (tuple.client, tuple.client_port);
        let server = (tuple.server, tuple.server_port);
        let (from, to, new) = if down * 20 < up {
            (client, server, pulse.new_to_server)
        } else if up * 20 < down {
            (server, client, pulse.new_to_client)
        } else {
            for end in [tuple.client, tuple.server] {
                if let Some(flood) = self.targets.get_mut(&end) {
                    flood.answered.add(pulse.last, pulse.new_to_server.packets + pulse.new_to_client.packets);
                }
            }
            return;
        };
        let is_reflected = reflector(from.1).is_some() && from.1 != to.1;
        if is_reflected || !is_host(to.0) || new.packets == 0 {
            return;
        }
        let flood = self.targets.entry(now, &to.0, || Flood::new(pulse.start));
        flood.add(pulse, from.0, new);
        if flood.is_at(self.rate) {
            self.news.put(&to.0, &mut flood.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for target in self.news.take() {
            let Some(flood) = self.targets.get_mut(&target) else { continue };
            flood.pace.unlist();
            let rate = if flood.flows_new.total() >= FLOWS_MANY { self.rate } else { self.stream };
            if !flood.is_at(rate) || flood.packets.total() < 4 * flood.answered.total() {
                continue;
            }
            if !self.news.is_due(now, &target, &mut flood.pace) {
                continue;
            }
            let mut sign = flood.sign(&DEFINITION, target, None, "UDP packets without an answer");
            sign.protocol = Some(UDP);
            signs.push(sign);
        }
    }
}

impl Detector for UdpFlood {
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
    use crate::testing::{Make, Watch, host, ms, public, s};

    #[test]
    fn a_flood_at_changing_ports_is_told_and_its_only_sender_named() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..4_000_u16 {
            let flow = Make::udp((host(9), 40_000), (host(1), 1024 + number), (1, 128), (0, 0));
            watch.pulse(&flow.at(ms(u64::from(number) / 5)));
        }
        watch.pass(s(1));
        assert_eq!(watch.signs.len(), 1);
        assert_eq!(watch.signs[0].subject, crate::Subject::pair(host(9), host(1), None));
    }

    #[test]
    fn made_up_sources_are_counted_and_none_is_named() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..5_000_u32 {
            let flow = Make::udp((public(number), 40_000), (host(1), 80), (1, 128), (0, 0));
            watch.pulse(&flow.at(ms(u64::from(number))));
        }
        watch.pass(s(6));
        assert_eq!((watch.signs[0].subject.source, watch.signs[0].subject.target), (None, Some(host(1))));
    }

    #[test]
    fn a_video_stream_and_quic_downloads_are_none() {
        let mut watch = Watch::new(&DEFINITION);
        let stream = Make::udp((host(9), 40_000), (host(1), 5004), (0, 0), (0, 0));
        let quic = Make::udp((host(1), 50_000), (public(1), 443), (0, 0), (0, 0));
        for second in 1..30 {
            watch.pulse(&stream.clone().client_says(5_000, 5_000_000, 0).later_with(s(second), 5_000, 0));
            let acked = quic.clone().client_says(1_500, 60_000, 0).server_says(9_000, 12_000_000, 0);
            watch.pulse(&acked.later_with(s(second), 1_500, 9_000));
        }
        watch.pass(s(31));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }
}
