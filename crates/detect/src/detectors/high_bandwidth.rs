//! Pairs of hosts that move more than a threshold for some seconds.
//!
//! Invariant: bytes inside of tunnels, which the outer packets carry already, are not counted again.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::flood::when;
use crate::pace::{News, Pace};
use crate::window::Window;
use crate::{Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

/// Pairs that are watched.
const PAIRS_MAX: usize = 16_384;
/// Seconds over which the rate is worked out.
const SECONDS: u64 = 5;

pub(super) static DEFINITION: Definition = Definition {
    name: "high_bandwidth",
    title: "High bandwidth",
    kind: "bandwidth",
    sees: "Two hosts that move more bytes a second than a threshold, both directions together, for five seconds.",
    misses: "Short bursts, and many pairs each below the threshold. It says how much, not why: backups and streams are told as well, \
             which is why its alerts are info.",
    evaded_by: "Staying below the threshold.",
    technique: None,
    severity: Severity::Info,
    spoofable: Spoofable::Depends,
    quiet_seconds: 60,
    thresholds: &[Threshold {
        name: "bytes_per_second",
        unit: "bytes/s",
        default: 10_000_000.0,
        range: (1_000.0, 1e12),
        doc: "IP bytes a second over five seconds. Ten million are most of a hundred-megabit line.",
    }],
};

#[derive(Debug)]
struct Pair {
    since: Timestamp,
    last: Timestamp,
    window: Window<5>,
    bytes: u64,
    up: u64,
    port: u16,
    protocol: u8,
    flow: FlowId,
    ifindex: u32,
    is_proven: bool,
    pace: Pace,
}

/// The detector.
#[derive(Debug)]
pub(super) struct HighBandwidth {
    pairs: Bounded<(IpAddr, IpAddr), Pair>,
    news: News<(IpAddr, IpAddr)>,
    rate: u64,
}

impl HighBandwidth {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        let is_rich = |pair: &Pair| pair.bytes > 1 << 20;
        Box::new(Self {
            pairs: Bounded::with_rich(PAIRS_MAX, Duration::from_secs(60), is_rich),
            news: News::default(),
            rate: settings.value(&DEFINITION, "bytes_per_second") as u64,
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        let bytes = pulse.new_to_server.ip_bytes + pulse.new_to_client.ip_bytes;
        if bytes == 0 || pulse.tunnel.is_some() {
            return;
        }
        let tuple = &pulse.tuple;
        let key = (tuple.client, tuple.server);
        let (from, to) = when(pulse);
        let make = || Pair {
            since: from,
            last: to,
            window: Window::new(Duration::from_secs(SECONDS)),
            bytes: 0,
            up: 0,
            port: tuple.server_port,
            protocol: tuple.protocol,
            flow: pulse.id,
            ifindex: pulse.ifindex,
            is_proven: false,
            pace: Pace::default(),
        };
        let pair = self.pairs.entry(now, &key, make);
        pair.window.spread(from, to, bytes);
        pair.bytes += bytes;
        pair.up += pulse.new_to_server.ip_bytes;
        pair.last = pair.last.max(to);
        pair.is_proven |= pulse.is_proven();
        if bytes > pair.window.total() / 2 {
            (pair.port, pair.protocol, pair.flow) = (tuple.server_port, tuple.protocol, pulse.id);
        }
        if pair.window.total() >= self.rate * SECONDS {
            self.news.put(&key, &mut pair.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(pair) = self.pairs.get_mut(&key) else { continue };
            pair.pace.unlist();
            if !self.news.is_due(now, &key, &mut pair.pace) {
                continue;
            }
            signs.push(sign(key, pair));
        }
    }
}

fn sign((client, server): (IpAddr, IpAddr), pair: &Pair) -> Sign {
    let rate = pair.window.total() as f64 / SECONDS as f64;
    let message = format!(
        "{client} and {server} (port {}) move {} a second, {} so far, {} of it to {server}",
        pair.port,
        units::bytes(rate as u64),
        units::bytes(pair.bytes),
        units::bytes(pair.up),
    );
    let subject = Subject::pair(client, server, None);
    let mut sign = Sign::new(&DEFINITION, subject, pair.since, pair.last, message);
    sign.spoofable = !pair.is_proven;
    sign.port = Some(pair.port);
    sign.protocol = Some(pair.protocol);
    sign.ifindex = Some(pair.ifindex);
    sign.flows = vec![pair.flow];
    sign.figures = vec![("bytes_per_second", rate), ("bytes", pair.bytes as f64), ("bytes_to_server", pair.up as f64)];
    sign
}

impl Detector for HighBandwidth {
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
    use super::*;
    use crate::testing::{Make, Watch, host, ms, s};

    #[test]
    fn a_pair_is_told_above_ten_megabytes_a_second_and_not_below() {
        for (bytes, found) in [(9_000_000, false), (13_000_000, true)] {
            let mut watch = Watch::new(&DEFINITION);
            for second in 0..8 {
                let flow = Make::tcp((host(1), 50_000), (host(2), 22), 0, bytes);
                watch.pulse(&flow.between(ms(second * 1000), ms(second * 1000 + 990)));
            }
            watch.pass(s(9));
            assert_eq!(!watch.signs.is_empty(), found, "{:?}", watch.lines());
        }
    }
}
