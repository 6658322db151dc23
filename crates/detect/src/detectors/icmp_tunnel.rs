//! Data carried in ICMP echo: replies that do not repeat their requests, many different sizes, more than a ping moves.
//!
//! Not here: floods of echo requests, sweeps of a network. Invariant: per pair of hosts some counters and sizes are kept.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Moves, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::distinct::Distinct;
use crate::wire::{is_echo, is_host};
use crate::words::Voice;
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "icmp_tunnel",
    title: "ICMP tunnel",
    kind: "tunnel",
    sees: "Echo requests and replies between two hosts that are not a ping: replies of other sizes than their requests or more of them, \
           and many different sizes, over some time. ptunnel, icmptunnel, hans and the like.",
    misses: "A tunnel that always sends the same size and has the kernel answer, and data in other ICMP types. Pings of any one size, \
             and pings that try sizes to find the MTU, are left alone.",
    evaded_by: "Constant sizes with data in them, less than the threshold in ten minutes, or many servers.",
    technique: Some(Attack { id: "T1095", name: "Non-Application Layer Protocol", tactic: "Command and Control" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Depends,
    quiet_seconds: 900,
    thresholds: &[
        Threshold {
            name: "bytes",
            unit: "bytes",
            default: 4_000.0,
            range: (500.0, 1e9),
            doc: "Echo payload within ten minutes in steps where replies do not have their requests' sizes. A ping has none.",
        },
        Threshold {
            name: "sizes",
            unit: "sizes",
            default: 6.0,
            range: (2.0, 100.0),
            doc: "Different mean sizes within ten minutes. A ping has one, a monitor with several pings two or three.",
        },
    ],
};

/// Pairs held.
const PAIRS_MAX: usize = 8_192;
const WINDOW: Duration = Duration::from_secs(600);
/// IP and ICMP echo headers (RFC 791, RFC 792); 48 for IPv6.
const HEADERS_V4: u64 = 28;
const HEADERS_V6: u64 = 48;
/// A difference of mean sizes that rounding does not make.
const UNEVEN_BYTES: u64 = 4;

#[derive(Debug)]
struct Pair {
    since: Timestamp,
    first: Timestamp,
    requests: u64,
    replies: u64,
    payload: u64,
    uneven_payload: u64,
    sizes: Distinct,
    total: u64,
    flows: Vec<FlowId>,
    pace: Voice,
}

impl Pair {
    fn new(time: Timestamp) -> Self {
        Self {
            since: time,
            first: time,
            requests: 0,
            replies: 0,
            payload: 0,
            uneven_payload: 0,
            sizes: Distinct::default(),
            total: 0,
            flows: Vec::new(),
            pace: Voice::default(),
        }
    }

    fn take(&mut self, pulse: &Pulse) {
        if pulse.last.since(self.since) > WINDOW {
            let kept = (self.first, self.total, std::mem::take(&mut self.flows), self.pace);
            *self = Self { first: kept.0, total: kept.1, flows: kept.2, pace: kept.3, ..Self::new(pulse.last) };
        }
        let headers = if pulse.tuple.client.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
        let (up, down) = (pulse.new_to_server, pulse.new_to_client);
        let mean = |moves: Moves| moves.ip_bytes.checked_div(moves.packets);
        let payload = (up.ip_bytes + down.ip_bytes).saturating_sub(headers * (up.packets + down.packets));
        self.requests += up.packets;
        self.replies += down.packets;
        self.payload += payload;
        self.total += payload;
        // The largest sizes are cut to fragments, of which only the first has a type: sizes there mean nothing.
        for size in [mean(up), mean(down)].into_iter().flatten() {
            self.sizes.insert(size / UNEVEN_BYTES);
        }
        let is_uneven = match (mean(up), mean(down)) {
            (Some(up), Some(down)) => up.abs_diff(down) > UNEVEN_BYTES,
            _ => false,
        };
        if is_uneven || down.packets > up.packets + 1 {
            self.uneven_payload += payload;
        }
        if self.flows.len() < TARGETS_MAX && !self.flows.contains(&pulse.id) {
            self.flows.push(pulse.id);
        }
    }

    /// What is odd about it.
    fn judge(&self, bytes: u64, sizes: u64) -> Option<&'static str> {
        let many = self.sizes.count();
        if self.uneven_payload >= bytes && many >= sizes {
            return Some("replies do not repeat their requests, in many sizes");
        }
        // Replies that do repeat: the kernel answers, and data goes one way.
        (self.payload >= 25 * bytes && many >= 4 * sizes).then_some("requests of many sizes carry more than a ping")
    }
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct IcmpTunnel {
    pairs: Bounded<(IpAddr, IpAddr), Pair>,
    bytes: u64,
    sizes: u64,
}

impl IcmpTunnel {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            pairs: Bounded::new(PAIRS_MAX, WINDOW),
            bytes: settings.value(&DEFINITION, "bytes") as u64,
            sizes: settings.value(&DEFINITION, "sizes") as u64,
        })
    }
}

impl Detector for IcmpTunnel {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        let Event::Pulse(pulse) = event else { return };
        let (client, server) = (pulse.tuple.client, pulse.tuple.server);
        if !is_echo(&pulse.tuple) || pulse.tunnel.is_some() || !is_host(client) || !is_host(server) || client == server
        {
            return;
        }
        let is_answered = pulse.to_client.packets > 0 && pulse.to_server.packets > 0;
        if !is_answered {
            // Floods and sweeps of forged sources shall hold nothing.
            return;
        }
        let pair = self.pairs.entry(now, &(client, server), || Pair::new(pulse.start));
        pair.take(pulse);
        let Some(what) = pair.judge(self.bytes, self.sizes) else { return };
        if !pair.pace.is_due(pulse.last, 1) {
            return;
        }
        let message = format!(
            "{client} and {server} exchanged {} in ICMP echo within {}: {what}",
            units::bytes(pair.total),
            units::duration(pulse.last.since(pair.first)),
        );
        let mut sign = Sign::new(&DEFINITION, Subject::pair(client, server, None), pair.first, pulse.last, message);
        // Both sides send what a forger could, but not to each other's rhythm; still no handshake proves it.
        sign.spoofable = true;
        sign.protocol = Some(pulse.tuple.protocol);
        sign.ifindex = Some(pulse.ifindex);
        sign.process.clone_from(&pulse.client_process);
        sign.figures = vec![
            ("payload_bytes", pair.total as f64),
            ("requests", pair.requests as f64),
            ("replies", pair.replies as f64),
            ("sizes", pair.sizes.count() as f64),
            ("uneven_payload_bytes", pair.uneven_payload as f64),
        ];
        sign.flows.clone_from(&pair.flows);
        signs.push(sign);
    }

    fn held(&self) -> Held {
        self.pairs.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, public, s};

    /// One request and one reply a second, of these sizes.
    fn echo(sizes: impl IntoIterator<Item = (u64, u64)>) -> Watch {
        let (mut watch, mut made) = (Watch::new(&DEFINITION), Make::flow(1, host(1), 8, public(1), 0));
        for (second, (up, down)) in sizes.into_iter().enumerate() {
            made = made.later(s(second as u64 + 1)).client_says(1, up, 0).server_says(1, down, 0);
            watch.pulse(&made);
        }
        watch
    }

    #[test]
    fn replies_of_other_sizes_are_told() {
        let watch = echo((0..60).map(|n| (80 + n * 13 % 200, 90 + n * 29 % 900)));
        assert!(watch.signs[0].message.starts_with("10.0.0.1 and 50.0.0.1 exchanged"), "{:?}", watch.lines());
        assert_eq!(watch.signs[0].subject, Subject::pair(host(1), public(1), None));
    }

    #[test]
    fn pings_are_not_told_whatever_their_size_and_number() {
        for size in [84, 1_028, 1_500, 65_000] {
            assert!(echo((0..5_000).map(|_| (size, size))).signs.is_empty(), "{size}");
        }
        // In search of the MTU.
        assert!(echo((0..15).map(|n| (600 + n * 61, 600 + n * 61))).signs.is_empty());
        // Two monitors with sizes of their own, now and then told of in one step.
        assert!(echo((0..3_000).map(|n| if n % 3 == 0 { (84, 84) } else { (128, 128) })).signs.is_empty());
    }

    #[test]
    fn forged_requests_hold_nothing() {
        let mut watch = Watch::new(&DEFINITION);
        for n in 0..100_000 {
            watch.pulse(&Make::ping(public(n), host(1), 1, 0));
        }
        assert_eq!(watch.held().entries, 0);
    }
}
