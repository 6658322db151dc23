//! Programs that call home: connections from one client to one service at regular intervals, with jitter.
//!
//! Not here: the same beacon on many hosts (`fleet::beacon`), and intervals within one long connection, which every keep-alive
//! has. Invariant: per pair at most [`STARTS_MAX`] times are kept, and only of connections that were answered.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, FlowNames, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::wire::{is_host, is_public};
use crate::words::{Voice, median};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "beacon",
    title: "Beacon",
    kind: "c2",
    sees: "A client that opens TCP connections (or QUIC) to one server and port at regular intervals from one second up, each of them \
           small, with jitter up to about half of the interval, from the twentieth connection on. Low where it calls a \
           public server by name and no faster than every 15 seconds, as many programs do for news. Within a network of one's own it \
           is told of where it looks disguised: HTTP that says it is a browser, TLS that names no server, or jitter that a check does not have.",
    misses: "Beacons inside of one long connection, over DNS (see dns_tunnel) or through a proxy that everybody uses, intervals so \
             long that the twentieth connection takes more than a day, and connections that move much each time. Checks by monitoring \
             (one client at many servers, services made to be polled, exact intervals within the own network) are worth a note only.",
    evaded_by: "Jitter much greater than half of the interval, pauses that follow a person's day, many servers in turn.",
    technique: Some(Attack { id: "T1071", name: "Application Layer Protocol", tactic: "Command and Control" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Never,
    quiet_seconds: 7_200,
    thresholds: &[
        Threshold {
            name: "connections",
            unit: "connections",
            default: 20.0,
            range: (8.0, 60.0),
            doc: "Connections before intervals are judged. Of twenty that come at random, the chance that so many lie near the \
                  median interval is below one in ten thousand.",
        },
        Threshold {
            name: "regular_share",
            unit: "",
            default: 0.75,
            range: (0.5, 1.0),
            doc: "Share of intervals within half of the median that counts as regular. Random arrivals have a share of 0.35; jitter \
                  of 50 % has 1.",
        },
        Threshold {
            name: "least_interval_seconds",
            unit: "seconds",
            default: 1.0,
            range: (0.2, 3600.0),
            doc: "Shorter intervals are bursts of one page or one transfer.",
        },
        Threshold {
            name: "bytes_per_connection",
            unit: "bytes",
            default: 50_000.0,
            range: (1_000.0, 10_000_000.0),
            doc: "Median of what a connection brings the client above which it is a download or a stream.",
        },
    ],
};

/// Pairs of client and service held.
const PAIRS_MAX: usize = 32_768;
/// Clients held to know who polls many.
const CLIENTS_MAX: usize = 4_096;
/// Times kept of a pair.
const STARTS_MAX: usize = 64;
/// A pair is remembered at least for so long after its latest connection.
const KEEP: Duration = Duration::from_secs(6 * 3600);
/// Connections that start within this time are one call.
const SAME_CALL: Duration = Duration::from_millis(500);
/// A client that calls so many servers regularly is one that polls them.
const POLLED_MIN: usize = 4;
/// Servers outside are polled by few.
const POLLED_OUTSIDE_MIN: usize = 8;
/// Programs that ask a service for news do so every half minute or so; faster ones keep a connection.
const FAST: Duration = Duration::from_secs(15);
/// Checks run by a clock: intervals of monitoring deviate by less.
const EXACT: f64 = 0.05;

#[derive(Clone, Copy, Debug)]
struct Call {
    start: Timestamp,
    id: FlowId,
    to_server: u32,
    to_client: u32,
}

#[derive(Debug, Default)]
struct Pair {
    calls: VecDeque<Call>,
    total: u64,
    first: Option<Timestamp>,
    names: Option<std::sync::Arc<FlowNames>>,
    pace: Voice,
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct Beacon {
    pairs: Bounded<(IpAddr, IpAddr, u16, u8), Pair>,
    pollers: Bounded<IpAddr, Vec<IpAddr>>,
    connections: usize,
    share: f64,
    least: Duration,
    bytes: u64,
}

/// How regular the calls of a pair are.
struct Rhythm {
    interval: Duration,
    share: f64,
    /// Median deviation from the median, as a share of it.
    deviation: f64,
    calls: usize,
    to_client: u64,
    to_server: u64,
}

impl Pair {
    fn take(&mut self, pulse: &Pulse) -> bool {
        self.first = Some(self.first.map_or(pulse.start, |first| first.min(pulse.start)));
        let sizes = (pulse.to_server.ip_bytes.min(u32::MAX.into()), pulse.to_client.ip_bytes.min(u32::MAX.into()));
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.id == pulse.id) {
            (call.to_server, call.to_client) = (sizes.0 as u32, sizes.1 as u32);
            return false;
        }
        // Pulses of one second come in any order.
        let at = self.calls.iter().rposition(|call| call.start <= pulse.start).map_or(0, |at| at + 1);
        if self.calls.len() == STARTS_MAX {
            if at == 0 {
                return false;
            }
            self.calls.pop_front();
        }
        let at = at.min(self.calls.len());
        let call = Call { start: pulse.start, id: pulse.id, to_server: sizes.0 as u32, to_client: sizes.1 as u32 };
        self.calls.insert(at, call);
        self.total += 1;
        true
    }

    fn rhythm(&self) -> Option<Rhythm> {
        let mut starts: Vec<Timestamp> = self.calls.iter().map(|call| call.start).collect();
        starts.dedup_by(|later, earlier| later.since(*earlier) < SAME_CALL);
        let mut gaps: Vec<u64> =
            starts.iter().zip(starts.iter().skip(1)).map(|(a, b)| b.since(*a).as_nanos() as u64).collect();
        let middle = median(&mut gaps);
        if middle == 0 {
            return None;
        }
        let near = gaps.iter().filter(|gap| gap.abs_diff(middle) <= middle / 2).count();
        let mut off: Vec<u64> = gaps.iter().map(|gap| gap.abs_diff(middle)).collect();
        Some(Rhythm {
            interval: Duration::from_nanos(middle),
            share: near as f64 / gaps.len() as f64,
            deviation: median(&mut off) as f64 / middle as f64,
            calls: starts.len(),
            to_client: median(&mut self.calls.iter().map(|call| u64::from(call.to_client)).collect::<Vec<_>>()),
            to_server: median(&mut self.calls.iter().map(|call| u64::from(call.to_server)).collect::<Vec<_>>()),
        })
    }
}

/// Services that clients are meant to ask again and again: names, time, mail boxes, measurements.
fn is_polled(port: u16) -> bool {
    matches!(
        port,
        25 | 53 | 67 | 88 | 110 | 111 | 123 | 135 | 137..=139 | 143 | 161 | 162 | 389 | 465 | 514 | 587 | 631 | 636 | 853 | 993 | 995 | 2003
            | 3268 | 4317 | 4318 | 5353 | 5666 | 6514 | 6556 | 8125 | 9090..=9121 | 9182 | 10_050 | 10_051
    )
}

/// Whether the client said by which name it calls the server, in clear.
fn is_named(names: Option<&FlowNames>) -> bool {
    names
        .and_then(|names| names.server.as_ref())
        .is_some_and(|(name, source)| !source.is_inferred() && name.parse::<IpAddr>().is_err())
}

/// Whether a connection is dressed up as what it may not be.
fn is_disguised(port: u16, names: Option<&FlowNames>) -> bool {
    let Some(names) = names else { return false };
    if let Some(http) = &names.http {
        return http.user_agent.as_deref().is_none_or(|agent| agent.starts_with("Mozilla/"));
    }
    let named = names.tls.as_ref().is_some_and(|tls| tls.server_name.is_some());
    matches!(names.application, Some("tls")) && !named || port == 443 && names.tls.is_none()
}

impl Beacon {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            pairs: Bounded::new(PAIRS_MAX, KEEP),
            pollers: Bounded::new(CLIENTS_MAX, KEEP),
            connections: settings.value(&DEFINITION, "connections") as usize,
            share: settings.value(&DEFINITION, "regular_share"),
            least: Duration::from_secs_f64(settings.value(&DEFINITION, "least_interval_seconds")),
            bytes: settings.value(&DEFINITION, "bytes_per_connection") as u64,
        })
    }

    /// How bad it is, and why it may be harmless.
    fn weigh(
        &mut self,
        now: Timestamp,
        pulse: &Pulse,
        rhythm: &Rhythm,
        names: Option<&FlowNames>,
    ) -> (Severity, &'static str) {
        let (client, server, port) = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
        let polled = self.pollers.entry(now, &client, Vec::new);
        if !polled.contains(&server) && polled.len() < POLLED_OUTSIDE_MIN {
            polled.push(server);
        }
        let least = if is_public(server) { POLLED_OUTSIDE_MIN } else { POLLED_MIN };
        if polled.len() >= least {
            return (Severity::Info, ", as it does at other servers: it may monitor them");
        }
        if is_polled(port) {
            return (Severity::Info, ", a service that clients poll");
        }
        let is_ssh = names.is_some_and(|names| names.application == Some("ssh"));
        if is_ssh || matches!(port, 21..=23 | 445 | 3389 | 5900..=5906) {
            return (Severity::Info, ", a service that people log in to: see whether it is guessed at");
        }
        if rhythm.to_client > self.bytes {
            return (Severity::Info, ", with much to bring each time: it may be a stream");
        }
        if is_public(server) && is_named(names) && rhythm.interval >= FAST && !is_disguised(port, names) {
            return (Severity::Low, ", which it called by name");
        }
        if is_public(server) || is_disguised(port, names) {
            return (Severity::Medium, "");
        }
        if rhythm.deviation > EXACT {
            return (Severity::Low, ", in a network of one's own");
        }
        (Severity::Info, ", exactly and in a network of one's own: it may be a check")
    }
}

impl Detector for Beacon {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        let Event::Pulse(pulse) = event else { return };
        let tuple = &pulse.tuple;
        let is_call = match tuple.protocol {
            6 => pulse.is_proven() && pulse.roles_known,
            17 => tuple.server_port == 443 && pulse.to_client.packets > 0,
            _ => false,
        };
        if !is_call || pulse.tunnel.is_some() || !is_host(tuple.client) || !is_host(tuple.server) {
            return;
        }
        let key = (tuple.client, tuple.server, tuple.server_port, tuple.protocol);
        let pair = self.pairs.entry(now, &key, Pair::default);
        if pulse.names.is_some() {
            pair.names.clone_from(&pulse.names);
        }
        if !pair.take(pulse) || pair.calls.len() < self.connections {
            return;
        }
        let Some(rhythm) = pair.rhythm() else { return };
        if rhythm.calls < self.connections || rhythm.share < self.share || rhythm.interval < self.least {
            return;
        }
        let names = pair.names.clone();
        let (severity, why) = self.weigh(now, pulse, &rhythm, names.as_deref());
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        if pair.pace.is_due(pulse.last, severity as u8) {
            signs.push(sign(pulse, pair, &rhythm, severity, why));
        }
    }

    fn held(&self) -> Held {
        self.pairs.held() + self.pollers.held()
    }
}

fn sign(pulse: &Pulse, pair: &Pair, rhythm: &Rhythm, severity: Severity, why: &str) -> Sign {
    let (client, server, port) = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
    let first = pair.first.unwrap_or(pulse.start);
    let message = format!(
        "{client} connected to {server} port {port} {} times in {}, about every {:.1} s{why}",
        pair.total,
        units::duration(pulse.last.since(first)),
        rhythm.interval.as_secs_f64(),
    );
    let mut sign = Sign::new(&DEFINITION, Subject::pair(client, server, Some(port)), first, pulse.last, message);
    sign.severity = severity;
    sign.spoofable = false;
    sign.protocol = Some(pulse.tuple.protocol);
    sign.ifindex = Some(pulse.ifindex);
    sign.process.clone_from(&pulse.client_process);
    sign.figures = vec![
        ("connections", pair.total as f64),
        ("interval_seconds", rhythm.interval.as_secs_f64()),
        ("interval_deviation_ratio", rhythm.deviation),
        ("regular_ratio", rhythm.share),
        ("bytes_to_server_per_connection", rhythm.to_server as f64),
        ("bytes_to_client_per_connection", rhythm.to_client as f64),
    ];
    sign.flows = pair.calls.iter().rev().take(TARGETS_MAX).map(|call| call.id).collect();
    if let Some((name, _)) = pair.names.as_ref().and_then(|names| names.server.as_ref()) {
        sign.samples.push(name.to_string());
    }
    if let Some(http) = pair.names.as_ref().and_then(|names| names.http.as_ref()) {
        sign.samples.push(format!("{} {}", http.method, http.target));
        sign.samples.extend(http.user_agent.iter().map(ToString::to_string));
    }
    sign
}

#[cfg(test)]
mod tests {
    use hivewall_model::{EndReason, HttpRequest};

    use super::*;
    use crate::testing::{Make, Watch, host, ms, public};

    fn call(server: IpAddr, port: u16, at: u64, down: u64) -> Make {
        Make::tcp((host(1), 10_000 + (at / 200 % 50_000) as u16), (server, port), 400, down)
            .between(ms(at), ms(at + 100))
            .ended(EndReason::Finished)
    }

    /// Calls with these intervals, milliseconds.
    fn calls(server: IpAddr, port: u16, down: u64, gaps: impl IntoIterator<Item = u64>) -> Watch {
        let (mut watch, mut at) = (Watch::new(&DEFINITION), 0);
        for gap in gaps {
            at += gap;
            watch.pulse(&call(server, port, at, down));
        }
        watch
    }

    /// Numbers without a pattern, the same each time.
    fn noise(n: u64) -> u64 {
        crate::distinct::mix(n + 1)
    }

    fn loudest(watch: &Watch) -> Option<Severity> {
        watch.signs.iter().map(|sign| sign.severity).max()
    }

    #[test]
    fn twenty_calls_a_minute_apart_are_told_and_nineteen_are_not() {
        let minutes = |count| calls(public(1), 443, 2_000, (0..count).map(|_| 60_000));
        assert!(minutes(19).signs.is_empty());
        let watch = minutes(20);
        assert_eq!(
            watch.lines(),
            ["medium 10.0.0.1 connected to 50.0.0.1 port 443 20 times in 19m00s, about every 60.0 s"]
        );
        assert_eq!(watch.signs[0].subject, Subject::pair(host(1), public(1), Some(443)));
    }

    #[test]
    fn jitter_of_half_the_interval_does_not_hide_it() {
        let watch = calls(public(1), 443, 2_000, (0..40).map(|n| 30_000 + noise(n) % 30_000));
        assert_eq!(loudest(&watch), Some(Severity::Medium));
    }

    #[test]
    fn arrivals_at_random_are_not_told() {
        // Exponential gaps with a mean of ten seconds.
        let gaps = (0..500).map(|n| {
            let share = (noise(n) % 1_000_000) as f64 / 1e6;
            (-(1.0 - share).ln() * 10_000.0) as u64 + 1
        });
        assert!(calls(public(1), 443, 2_000, gaps).signs.is_empty());
    }

    #[test]
    fn a_page_that_opens_many_connections_is_not_told() {
        let gaps = (0..100).map(|n| if n % 20 == 0 { 30_000 } else { 50 });
        assert!(calls(public(1), 443, 2_000, gaps).signs.is_empty());
    }

    #[test]
    fn polling_streams_and_checks_are_worth_a_note_at_most() {
        let minute = || (0..60).map(|_| 60_000);
        for (server, port, down) in
            [(public(1), 993, 2_000), (public(1), 443, 900_000), (host(2), 8080, 300), (host(2), 22, 3_000)]
        {
            assert_eq!(loudest(&calls(server, port, down, minute())), Some(Severity::Info), "{server} {port} {down}");
        }
    }

    #[test]
    fn a_program_that_asks_a_named_server_for_news_is_low_unless_it_hurries() {
        for (gap, expected) in [(60_000, Severity::Low), (2_000, Severity::Medium)] {
            let mut watch = Watch::new(&DEFINITION);
            for n in 0..40 {
                let mut made = call(public(1), 443, n * gap, 2_000);
                let tls = hivewall_model::TlsHello { server_name: Some("a.example".into()), ..Default::default() };
                let server = Some(("a.example".into(), hivewall_model::NameSource::Sni));
                let names =
                    FlowNames { application: Some("tls"), server, tls: Some(tls.into()), ..FlowNames::default() };
                made.0.names = Some(names.into());
                watch.pulse(&made);
            }
            assert_eq!(loudest(&watch), Some(expected), "{gap}");
        }
    }

    #[test]
    fn a_monitor_that_polls_two_hundred_hosts_becomes_a_note() {
        let mut watch = Watch::new(&DEFINITION);
        for round in 0..30_u64 {
            for target in 0..200_u32 {
                let at = round * 30_000 + u64::from(target) * 10 + noise(round ^ u64::from(target) << 8) % 4_000;
                watch.pulse(&call(host(100 + target), 8080, at, 1_000));
            }
        }
        let loud = watch.signs.iter().filter(|sign| sign.severity > Severity::Info).count();
        assert!(loud < POLLED_MIN, "{loud} until it is known as one");
    }

    #[test]
    fn a_disguise_within_the_own_network_is_told() {
        let (mut watch, agent) = (Watch::new(&DEFINITION), "Mozilla/5.0 (Windows NT 6.1)");
        for n in 0..25 {
            let mut made = call(host(2), 80, n * 5_000, 400);
            let http = HttpRequest { user_agent: Some(agent.into()), ..HttpRequest::default() };
            let names = FlowNames { application: Some("http"), http: Some(http.into()), ..FlowNames::default() };
            made.0.names = Some(names.into());
            watch.pulse(&made);
        }
        assert_eq!(loudest(&watch), Some(Severity::Medium));
        assert!(watch.signs[0].samples.iter().any(|sample| sample == agent));
    }

    #[test]
    fn pulses_of_one_second_may_come_in_any_order() {
        let mut watch = Watch::new(&DEFINITION);
        for n in (0..30).rev() {
            watch.pulse(&call(public(1), 443, n * 5_000, 400));
        }
        assert_eq!(loudest(&watch), Some(Severity::Medium));
    }

    #[test]
    fn forged_sources_hold_nothing_and_proven_ones_have_a_size() {
        let mut watch = Watch::new(&DEFINITION);
        for n in 0..100_000_u32 {
            watch.pulse(&Make::syn(public(n), 999, host(1), 443));
        }
        assert_eq!(watch.held().entries, 0);
        assert!(size_of::<Call>() * STARTS_MAX * PAIRS_MAX <= 64 << 20, "64 MiB in all");
    }
}
