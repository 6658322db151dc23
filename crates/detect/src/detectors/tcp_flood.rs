//! TCP segments at one target that belong to no connection, by the thousand a second: ACK, RST, FIN, SYN-ACK and odd ones.
//!
//! Not here: SYNs (`syn_flood`), and one segment at each of many ports, which is a scan. Invariant: its source is never held for
//! proven, since whoever needs no answer can send under any address.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Moves, Pulse, Side, TcpFlags, Timestamp};
use hivewall_view::alerts::Severity;

use crate::bounded::Bounded;
use crate::distinct::Distinct;
use crate::flood::Flood;
use crate::pace::News;
use crate::probe::Probe;
use crate::wire::{TCP, is_host};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Threshold};

/// Targets that are watched.
const TARGETS_WATCHED_MAX: usize = 16_384;
/// So many flows are no single stream.
const FLOWS_MANY: u64 = 50;
/// Segments a flow above which these are connections of which one direction is seen: a flood makes up new ports or sources.
const SEGMENTS_PER_FLOW_MAX: u64 = 16;
/// IP bytes of a segment without payload: 40 of headers and up to 40 of options, IPv6 included.
const BARE_BYTES_MAX: u64 = 80;

pub(super) static DEFINITION: Definition = Definition {
    name: "tcp_flood",
    title: "TCP flood",
    kind: "flood",
    sees: "TCP segments at one target that belong to no connection: ACK, RST, FIN, odd flags, and SYN-ACKs that nobody asked for (as \
           when others are flooded in the target's name). From many made-up ports or addresses at a thousand a second and more; from \
           a few at ten thousand, where the target refuses them.",
    misses: "A stream from one port to another that the target does not refuse: it looks like a transfer of which one direction goes \
             another way. Floods that are less than what the target's own connections move meanwhile, and those of one sender that \
             go through all ports once, which port_scan tells of. In the first seconds after the start, a router that sees one \
             direction of thousands of idle connections may take their segments for a flood.",
    evaded_by: "Staying below the rate, or sending within connections that were opened.",
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
            doc: "Segments a second in fifty flows or more, over five seconds; three times as many within one second are enough alone. \
                  Connections that end untidily leave one or two segments each.",
        },
        Threshold {
            name: "stream_packets_per_second",
            unit: "packets/s",
            default: 10_000.0,
            range: (10.0, 100_000_000.0),
            doc: "The same for fewer flows, which have to be refused.",
        },
    ],
};

/// What the segments are, for words.
const KINDS: [&str; 5] = ["ACK segments", "RST segments", "FIN segments", "SYN-ACK segments", "TCP segments"];

#[derive(Debug)]
struct Seen {
    flood: Flood,
    flows: u64,
    /// Segments that a scanner might send, and the ports that all went to.
    probing: u64,
    ports: Distinct,
    /// Segments that were refused by RST.
    refused: u64,
    kinds: [u64; KINDS.len()],
}

impl Seen {
    fn new(time: Timestamp) -> Self {
        let (flood, ports) = (Flood::new(time), Distinct::default());
        Self { flood, flows: 0, probing: 0, ports, refused: 0, kinds: [0; KINDS.len()] }
    }

    fn add(&mut self, pulse: &Pulse, loose: &Loose) {
        if self.flood.add(pulse, loose.source, loose.new) {
            *self =
                Self { flood: std::mem::replace(&mut self.flood, Flood::new(pulse.start)), ..Self::new(pulse.start) };
        }
        let packets = loose.new.packets;
        self.flows += u64::from(pulse.is_first);
        self.probing += if Probe::read(pulse).is_some() { packets } else { 0 };
        self.refused += if loose.is_refused { packets } else { 0 };
        self.ports.insert(loose.port.into());
        if let Some(count) = self.kinds.get_mut(loose.kind) {
            *count += packets;
        }
    }

    /// Whether it is somebody who looks at each port once.
    fn is_scan(&self) -> bool {
        let all = self.flood.packets_all;
        self.flood.sender().is_some() && 2 * self.probing > all && 4 * self.ports.count() > all
    }

    fn is_flood(&self, rate: u64, stream: u64) -> bool {
        let flood = &self.flood;
        let is_spread = self.flows >= FLOWS_MANY
            && (flood.pace.has_spoken() || flood.packets_all <= self.flows * SEGMENTS_PER_FLOW_MAX);
        let is_refused = 2 * self.refused > flood.packets_all;
        let is_fast = is_spread && flood.is_at(rate) || is_refused && flood.is_at(stream);
        is_fast && flood.packets.total() > flood.answered.total() && !self.is_scan()
    }

    fn what(&self) -> &'static str {
        let most = KINDS.iter().zip(self.kinds).max_by_key(|(_, count)| *count);
        most.filter(|(_, count)| 2 * count > self.flood.packets_all).map_or("TCP segments", |(kind, _)| kind)
    }
}

/// Segments of one flow that is no connection.
struct Loose {
    source: IpAddr,
    target: IpAddr,
    port: u16,
    new: Moves,
    is_refused: bool,
    kind: usize,
}

/// The detector.
#[derive(Debug)]
pub(super) struct TcpFlood {
    targets: Bounded<IpAddr, Seen>,
    news: News<IpAddr>,
    rate: u64,
    stream: u64,
}

/// Whether a side does nothing but refuse.
fn is_refusal(side: &Side) -> bool {
    side.flags.has(TcpFlags::RST)
        && side.flags.0 & !(TcpFlags::RST | TcpFlags::ACK) == 0
        && side.ip_bytes <= side.packets * BARE_BYTES_MAX
}

fn kind_of(flags: TcpFlags) -> usize {
    // Marks of congestion and pushes make no other kind.
    match flags.0 & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN) {
        f if f & TcpFlags::RST != 0 && f & TcpFlags::SYN == 0 => 1,
        f if f == TcpFlags::SYN | TcpFlags::ACK => 3,
        f if f & TcpFlags::FIN != 0 && f & TcpFlags::SYN == 0 => 2,
        TcpFlags::ACK => 0,
        _ => 4,
    }
}

/// What of a flow belongs to no connection; `None` for connections and for what began with a SYN.
fn loose(pulse: &Pulse) -> Option<Loose> {
    let (tuple, up, down) = (&pulse.tuple, &pulse.to_server, &pulse.to_client);
    // Whoever begins with a SYN begins a connection, opened or not.
    if up.flags.has(TcpFlags::SYN) {
        return None;
    }
    let is_upward = match (up.packets, down.packets) {
        (_, 0) => true,
        (0, _) => false,
        _ if is_refusal(down) && !is_refusal(up) => true,
        _ if is_refusal(up) && !is_refusal(down) => false,
        _ => return None,
    };
    let client = (tuple.client, tuple.client_port);
    let server = (tuple.server, tuple.server_port);
    let (from, to, side, new) =
        if is_upward { (client, server, up, pulse.new_to_server) } else { (server, client, down, pulse.new_to_client) };
    let is_refused = up.packets > 0 && down.packets > 0;
    Some(Loose { source: from.0, target: to.0, port: to.1, new, is_refused, kind: kind_of(side.flags) })
}

impl TcpFlood {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let is_rich = |seen: &Seen| seen.flood.packets_all >= 100;
        Box::new(Self {
            targets: Bounded::with_rich(TARGETS_WATCHED_MAX, Duration::from_secs(60), is_rich),
            news: News::default(),
            rate: settings.value(&DEFINITION, "packets_per_second") as u64,
            stream: settings.value(&DEFINITION, "stream_packets_per_second") as u64,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        if pulse.tuple.protocol != TCP || pulse.tunnel.is_some() {
            return;
        }
        let Some(loose) = loose(pulse) else {
            self.note_connection(pulse);
            return;
        };
        if loose.new.packets == 0 || !is_host(loose.target) {
            return;
        }
        let seen = self.targets.entry(now, &loose.target, || Seen::new(pulse.start));
        seen.add(pulse, &loose);
        if seen.flood.is_at(self.rate) {
            self.news.put(&loose.target, &mut seen.flood.pace);
        }
    }

    /// What the ends of a flood say to others meanwhile. SYNs without an answer are no conversation.
    fn note_connection(&mut self, pulse: &Pulse) {
        if !pulse.is_proven() {
            return;
        }
        let packets = pulse.new_to_server.packets + pulse.new_to_client.packets;
        for end in [pulse.tuple.client, pulse.tuple.server] {
            if let Some(seen) = self.targets.get_mut(&end) {
                seen.flood.answered.add(pulse.last, packets);
            }
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for target in self.news.take() {
            let Some(seen) = self.targets.get_mut(&target) else { continue };
            seen.flood.pace.unlist();
            if !seen.is_flood(self.rate, self.stream) || !self.news.is_due(now, &target, &mut seen.flood.pace) {
                continue;
            }
            let what = format!("{} that belong to no connection", seen.what());
            let mut sign = seen.flood.sign(&DEFINITION, target, None, &what);
            sign.protocol = Some(TCP);
            sign.port = match seen.ports.exact() {
                [port] => u16::try_from(*port).ok(),
                _ => None,
            };
            sign.figures.push(("ports", seen.ports.count() as f64));
            signs.push(sign);
        }
    }
}

impl Detector for TcpFlood {
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
    use crate::{Book, Change};

    const ACK: u8 = TcpFlags::ACK;
    const RST: u8 = TcpFlags::RST;

    /// One segment of no connection.
    fn segment(from: (IpAddr, u16), to: (IpAddr, u16), flags: u8) -> Make {
        Make::flow(TCP, from.0, from.1, to.0, to.1).roles_guessed().client_says(1, 40, flags)
    }

    #[test]
    fn floods_of_each_kind_from_made_up_sources_name_the_target_and_nobody_else() {
        let kinds = [(ACK, "ACK"), (RST, "RST"), (RST | ACK, "RST"), (TcpFlags::FIN, "FIN"), (0x29, "FIN"), (0, "TCP")];
        for (flags, word) in kinds {
            let mut watch = Watch::new(&DEFINITION);
            for number in 0..4_000_u32 {
                let flow = segment((public(number * 977), 1024), (host(1), 80), flags);
                watch.pulse(&flow.at(ms(u64::from(number) / 5)));
            }
            watch.pass(s(1));
            let sign = &watch.signs[0];
            assert_eq!((sign.subject.source, sign.subject.target, sign.port), (None, Some(host(1)), Some(80)));
            let text = format!("{word} segments that belong to no connection at 10.0.0.1");
            assert!(sign.message.contains(&text), "{}", sign.message);
        }
    }

    #[test]
    fn one_packet_less_than_the_rate_is_none() {
        for (count, found) in [(4_999, false), (5_000, true)] {
            let mut watch = Watch::new(&DEFINITION);
            for number in 0..count {
                watch.pulse(&segment((public(number), 1024), (host(1), 80), ACK).at(ms(u64::from(number))));
            }
            watch.pass(s(5));
            assert_eq!(!watch.signs.is_empty(), found, "{count}");
        }
    }

    #[test]
    fn no_flood_is_ever_an_alert_that_could_lead_to_a_ban() {
        for refused in [false, true] {
            let (mut watch, mut book) = (Watch::new(&DEFINITION), Book::default());
            for number in 0..4_000_u16 {
                let flow = segment((host(9), 1024 + number), (host(1), 80), ACK).at(ms(u64::from(number) / 5));
                watch.pulse(&if refused { flow.server_says(1, 40, RST) } else { flow });
            }
            watch.pass(s(1));
            assert_eq!(watch.signs[0].subject.source, Some(host(9)), "the only sender is named");
            assert!(watch.signs.iter().all(|sign| sign.spoofable));
            let (change, alert) = book.take(s(1), &watch.signs[0], None).unwrap();
            // The policy refuses every response to such an alert (its own tests hold that).
            assert!(change == Change::Raised && alert.spoofable && alert.severity == Severity::High);
        }
        assert_eq!(DEFINITION.spoofable, Spoofable::Always);
    }

    #[test]
    fn syn_acks_that_nobody_asked_for_are_told_and_their_refusals_are_not() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..4_000_u32 {
            let server = (public(number % 200), 443);
            let flow = Make::flow(TCP, host(1), 1024 + (number % 50_000) as u16, server.0, server.1);
            let flow = flow.server_says(1, 44, TcpFlags::SYN | ACK).client_says(1, 40, RST);
            watch.pulse(&flow.at(ms(u64::from(number) / 5)));
        }
        watch.pass(s(1));
        let targets: Vec<_> = watch.signs.iter().map(|sign| sign.subject.target).collect();
        assert_eq!(targets, [Some(host(1))], "{:?}", watch.lines());
        assert!(watch.signs[0].message.contains("SYN-ACK segments"), "{}", watch.signs[0].message);
    }

    #[test]
    fn a_stream_from_one_port_is_told_only_where_it_is_refused() {
        for (refused, found) in [(false, false), (true, true)] {
            let mut watch = Watch::new(&DEFINITION);
            let flow = segment((host(9), 5000), (host(1), 80), ACK).client_says(200_000, 8_000_000, ACK);
            let flow = if refused { flow.server_says(150_000, 6_000_000, RST) } else { flow };
            for second in 1..8 {
                watch.pulse(&flow.clone().later_with(s(second), 20_000, 0));
            }
            watch.pass(s(9));
            assert_eq!(!watch.signs.is_empty(), found, "{:?}", watch.lines());
        }
    }

    #[test]
    fn a_scan_of_all_ports_and_connections_under_way_are_none() {
        let mut watch = Watch::new(&DEFINITION);
        for port in 1..60_000_u16 {
            let flow = segment((host(9), 50_000), (host(1), port), ACK).server_says(1, 40, RST);
            watch.pulse(&flow.at(ms(u64::from(port) / 10)));
        }
        watch.pass(s(7));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
        let mut watch = Watch::new(&DEFINITION);
        for second in 0..8 {
            for client in 0..400_u32 {
                // Both directions; and one alone of connections that were there before.
                let both = segment((public(client), 40_000), (host(1), 443), ACK).client_says(500, 20_000, ACK);
                let both = both.server_says(900, 900_000, ACK | TcpFlags::PSH);
                let alone = segment((public(client), 50_000), (host(2), 443), ACK).client_says(500, 20_000, ACK);
                for (flow, down) in [(both, 30), (alone, 0)] {
                    let later = flow.later_with(ms(second * 1000 + 500), 20, down);
                    watch.pulse(&Make(Pulse { is_first: second == 0, ..later.0 }));
                }
            }
        }
        watch.pass(s(9));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn late_resets_of_a_busy_server_are_none() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..10_000_u32 {
            let (port, at) = ((1024 + number) as u16, ms(u64::from(number) / 2));
            watch.pulse(&Make::tcp((public(number), port), (host(1), 80), 100, 900).at(at));
            watch.pulse(&segment((public(number), port), (host(1), 80), RST).at(at));
        }
        watch.pass(s(6));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }
}
