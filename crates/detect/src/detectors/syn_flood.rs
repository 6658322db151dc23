//! Connections at one port that are begun and never opened, by the hundred a second.
//!
//! Not here: one SYN at each of many ports, which is a scan. Invariant: a busy server whose connections are opened in full
//! is no victim, however many there are.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, TcpFlags, TcpState, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::flood::Flood;
use crate::pace::News;
use crate::wire::{TCP, is_host};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Threshold};

/// Ports of servers that are watched.
const PORTS_MAX: usize = 16_384;

pub(super) static DEFINITION: Definition = Definition {
    name: "syn_flood",
    title: "SYN flood",
    kind: "flood",
    sees: "A port at which connections are begun faster than a threshold and most of which are never opened in full: whether the \
           server answers, refuses or says nothing. Sources are counted; where there are only a few, the one that sends most is \
           named, as far as an address that anybody can write into a packet names anybody.",
    misses: "Floods of connections that are opened in full (an application's matter), and floods spread over all ports, of which \
             none gets enough.",
    evaded_by: "Staying below the threshold, which still fills a short backlog; opening each connection.",
    technique: Some(Attack { id: "T1499.001", name: "OS Exhaustion Flood", tactic: "Impact" }),
    severity: Severity::High,
    spoofable: Spoofable::Always,
    quiet_seconds: 60,
    thresholds: &[
        Threshold {
            name: "packets_per_second",
            unit: "packets/s",
            default: 200.0,
            range: (10.0, 10_000_000.0),
            doc: "SYNs a second that open nothing, over five seconds; three times as many within one second are enough alone. Linux \
                  keeps 4,096 half-open connections at most by default, and a minute of retries: 200 a second fill that.",
        },
        Threshold {
            name: "half_open_share",
            unit: "",
            default: 0.7,
            range: (0.1, 1.0),
            doc: "Which share of all connections begun has to stay unopened.",
        },
    ],
};

/// The detector.
#[derive(Debug)]
pub(super) struct SynFlood {
    ports: Bounded<(IpAddr, u16), Flood>,
    news: News<(IpAddr, u16)>,
    rate: u64,
    share: f64,
}

impl SynFlood {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            ports: Bounded::with_rich(PORTS_MAX, Duration::from_secs(60), |flood: &Flood| flood.packets_all >= 100),
            news: News::default(),
            rate: settings.value(&DEFINITION, "packets_per_second") as u64,
            share: settings.value(&DEFINITION, "half_open_share"),
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let tuple = &pulse.tuple;
        // Where no SYN was seen, a SYN-ACK came unasked: its sender is no victim of ours (`tcp_flood`).
        let is_begun = pulse.roles_known && pulse.to_server.flags.has(TcpFlags::SYN);
        if tuple.protocol != TCP || !is_begun || !is_host(tuple.server) {
            return;
        }
        let is_half_open = matches!(pulse.tcp_state, Some(TcpState::SynSent | TcpState::SynRecv))
            || pulse.tcp_state == Some(TcpState::Reset) && !pulse.is_proven();
        if !is_half_open && !pulse.is_first {
            // Opened since it was told of first: it was no part of a flood.
            if let Some(flood) = self.ports.get_mut(&(tuple.server, tuple.server_port)) {
                flood.answered.add(pulse.last, 1);
            }
            return;
        }
        let key = (tuple.server, tuple.server_port);
        let flood = self.ports.entry(now, &key, || Flood::new(pulse.start));
        if !is_half_open {
            flood.answered.add(pulse.last, 1);
            return;
        }
        if pulse.new_to_server.packets == 0 {
            return;
        }
        flood.add(pulse, tuple.client, pulse.new_to_server);
        if flood.is_at(self.rate) {
            self.news.put(&key, &mut flood.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(flood) = self.ports.get_mut(&key) else { continue };
            flood.pace.unlist();
            let (half_open, opened) = (flood.packets.total() as f64, flood.answered.total() as f64);
            if !flood.is_at(self.rate) || half_open < self.share * (half_open + opened) {
                continue;
            }
            if !self.news.is_due(now, &key, &mut flood.pace) {
                continue;
            }
            let mut sign = flood.sign(&DEFINITION, key.0, Some(key.1), "connections begun and not opened");
            let opened = flood.answered.total();
            if opened > 0 {
                sign.message = format!("{}; {} others were opened", sign.message, units::count(opened));
            }
            sign.protocol = Some(TCP);
            sign.figures.push(("opened", opened as f64));
            signs.push(sign);
        }
    }
}

impl Detector for SynFlood {
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
        self.ports.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, ms, public, s};

    #[test]
    fn a_flood_of_made_up_sources_names_its_victim_and_nobody_else() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..2_000_u32 {
            watch.pulse(&Make::syn(public(number * 977), 1024, host(1), 80).at(ms(u64::from(number) / 4)));
        }
        watch.pass(s(1));
        let sign = &watch.signs[0];
        assert_eq!((sign.subject.source, sign.subject.target, sign.port), (None, Some(host(1)), Some(80)));
        assert!(sign.spoofable && sign.sources.unwrap() > 1_600 && sign.severity == Severity::High);
    }

    #[test]
    fn one_source_is_named_and_may_still_be_a_lie() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..1_000_u16 {
            watch.pulse(&Make::refused(host(9), 1024 + number, host(1), 80).at(ms(u64::from(number))));
        }
        watch.pass(s(2));
        assert_eq!(watch.signs[0].subject.source, Some(host(9)));
        assert!(watch.signs[0].spoofable);
    }

    #[test]
    fn one_packet_less_than_the_rate_is_none() {
        for (count, found) in [(999, false), (1_000, true)] {
            let mut watch = Watch::new(&DEFINITION);
            for number in 0..count {
                watch.pulse(&Make::syn(public(number), 1024, host(1), 80).at(ms(u64::from(number) * 5)));
            }
            watch.pass(s(5));
            assert_eq!(!watch.signs.is_empty(), found, "{count}");
        }
    }

    #[test]
    fn a_load_test_that_opens_its_connections_is_none() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..40_000_u32 {
            let (port, at) = ((1024 + number % 60_000) as u16, ms(u64::from(number) / 4));
            if number % 3 == 0 {
                watch.pulse(&Make::syn(host(9), port, host(1), 80).at(at));
            }
            let tcp = Make::tcp((host(9), port), (host(1), 80), 100, 900).at(at);
            watch.pulse(&if number % 3 == 0 { tcp.clone().later(at) } else { tcp });
        }
        watch.pass(s(12));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn syn_acks_that_nobody_asked_for_make_no_victim_of_their_sender() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..4_000_u16 {
            let flow = Make::flow(TCP, host(1), 1024 + number, host(9), 443).server_says(1, 44, 0x12);
            watch.pulse(&flow.client_says(1, 40, TcpFlags::RST).at(ms(u64::from(number) / 5)));
        }
        watch.pass(s(2));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn a_scan_of_all_ports_is_none_and_an_entry_has_a_size() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..3 * 65_536_u32 {
            let (target, port) = (host(number >> 16), number as u16);
            watch.pulse(&Make::syn(host(0xff_0000), 1024, target, port).at(ms(u64::from(number) / 100)));
        }
        watch.pass(s(4));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
        assert!(PORTS_MAX * (size_of::<Flood>() + 200) < 12 << 20, "{}", size_of::<Flood>());
    }
}
