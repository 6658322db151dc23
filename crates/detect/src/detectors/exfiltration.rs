//! Data that leaves: a client that sends one server far more than it gets, over time, and more than it used to.
//!
//! Not here: what leaves in DNS or ICMP. Invariant: per pair some sums are kept, of connections that were answered only.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::wire::{is_host, is_public};
use crate::words::Voice;
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "exfiltration",
    title: "Unusual upload",
    kind: "exfiltration",
    sees: "A client that sends one server many times what it gets from there within an hour, in several connections or for a minute and \
           longer: from some hundred kilobytes on at ports that are no usual service, from much greater amounts at services that people \
           and programs upload to. Where the pair is known for longer, only what is several times its own past.",
    misses: "Small thefts, uploads that look like others of the same host, and what is fetched from here by a client that connects to \
             this host. Uploads to usual services (TLS, mail, backup, logs) are worth a note, and low from a gigabyte on.",
    evaded_by: "Padding of answers, sending to a usual service, or sending little each hour.",
    technique: Some(Attack { id: "T1041", name: "Exfiltration Over C2 Channel", tactic: "Exfiltration" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Never,
    quiet_seconds: 3_600,
    thresholds: &[
        Threshold {
            name: "bytes",
            unit: "bytes",
            default: 256_000.0,
            range: (10_000.0, 1e12),
            doc: "Payload within an hour to a port that is no usual service: a few pictures of a screen, or a small archive.",
        },
        Threshold {
            name: "usual_bytes",
            unit: "bytes",
            default: 100_000_000.0,
            range: (1_000_000.0, 1e12),
            doc: "Payload within an hour to a service that is uploaded to; a long video or a disk image is worth a note.",
        },
        Threshold {
            name: "ratio",
            unit: "",
            default: 10.0,
            range: (2.0, 1000.0),
            doc: "Payload sent for each byte that came back. Browsing has less than one, a call about one.",
        },
        Threshold {
            name: "history_factor",
            unit: "",
            default: 4.0,
            range: (1.5, 100.0),
            doc: "How many times what the pair moved in an hour before, once three hours are known.",
        },
    ],
};

/// Pairs held.
const PAIRS_MAX: usize = 32_768;
/// Clients held, for how many they upload to.
const CLIENTS_MAX: usize = 8_192;
const WINDOW: Duration = Duration::from_secs(3_600);
/// A pair is remembered for its history.
const KEEP: Duration = Duration::from_secs(24 * 3_600);
/// One upload of a form or a file is over sooner.
const LASTING: Duration = Duration::from_secs(60);
/// A client that sends to so many peers at odd ports shares files with them.
const PEERS_MIN: usize = 6;
/// Known hours before the past counts.
const HOURS_MIN: u32 = 3;

#[derive(Debug)]
struct Pair {
    since: Timestamp,
    last: Timestamp,
    to_server: u64,
    to_client: u64,
    connections: u32,
    flows: Vec<FlowId>,
    /// What it sent in an hour before, on average, newer ones weighing more.
    usual: f64,
    hours: u32,
    has_control: bool,
    pace: Voice,
}

impl Pair {
    fn new(pulse: &Pulse) -> Self {
        Self {
            since: pulse.start,
            last: pulse.last,
            to_server: 0,
            to_client: 0,
            connections: 0,
            flows: Vec::new(),
            usual: 0.0,
            hours: 0,
            has_control: false,
            pace: Voice::default(),
        }
    }

    fn take(&mut self, pulse: &Pulse) {
        if pulse.last.since(self.since) > WINDOW {
            let sent = self.to_server as f64;
            self.usual = if self.hours == 0 { sent } else { 0.7 * self.usual + 0.3 * sent };
            self.hours += 1;
            (self.since, self.to_server, self.to_client, self.connections) = (pulse.last, 0, 0, 0);
            self.flows.clear();
        }
        self.since = self.since.min(pulse.start.max(pulse.last - WINDOW));
        self.last = self.last.max(pulse.last);
        let payload = |moves: hivewall_model::Moves| moves.ip_bytes.saturating_sub(40 * moves.packets);
        self.to_server += payload(pulse.new_to_server);
        // Acknowledgements carry options, so an answer of nothing is some bytes a packet; 12 are those of timestamps.
        self.to_client += payload(pulse.new_to_client).saturating_sub(12 * pulse.new_to_client.packets);
        if !self.flows.contains(&pulse.id) {
            self.connections += 1;
            if self.flows.len() == TARGETS_MAX {
                self.flows.remove(0);
            }
            self.flows.push(pulse.id);
        }
    }
}

/// Services that are uploaded to as a matter of course: web, mail, file transfer, backup, logs, metrics, databases, speed tests.
fn is_usual(pulse: &Pulse) -> bool {
    let named = pulse.names.as_ref().and_then(|names| names.application).is_some_and(|name| name == "ssh");
    let port = pulse.tuple.server_port;
    named
        || matches!(
            port,
            20..=22 | 25 | 80 | 139 | 143 | 443 | 445 | 465 | 514 | 515 | 548 | 587 | 631 | 636 | 873 | 990 | 993 | 1433 | 1514 | 1935 | 2049
                | 3100 | 3128 | 3260 | 3306 | 4317 | 4318 | 5044 | 5201 | 5432 | 6379 | 6514 | 8080 | 8086 | 8443 | 9000 | 9091..=9103
                | 9200 | 9418 | 9997 | 10_051 | 13_724 | 13_782 | 24_224 | 27_017
        )
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct Exfiltration {
    pairs: Bounded<(IpAddr, IpAddr, bool), Pair>,
    peers: Bounded<IpAddr, Vec<IpAddr>>,
    bytes: u64,
    usual_bytes: u64,
    ratio: f64,
    factor: f64,
}

impl Exfiltration {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            pairs: Bounded::new(PAIRS_MAX, KEEP),
            peers: Bounded::new(CLIENTS_MAX, KEEP),
            bytes: settings.value(&DEFINITION, "bytes") as u64,
            usual_bytes: settings.value(&DEFINITION, "usual_bytes") as u64,
            ratio: settings.value(&DEFINITION, "ratio"),
            factor: settings.value(&DEFINITION, "history_factor"),
        })
    }

    fn take(&mut self, now: Timestamp, pulse: &Pulse, signs: &mut Vec<Sign>) {
        let (client, server) = (pulse.tuple.client, pulse.tuple.server);
        if pulse.tuple.server_port == 21 {
            // FTP moves files over odd ports beside this one.
            self.pairs.entry(now, &(client, server, false), || Pair::new(pulse)).has_control = true;
        }
        let is_usual = is_usual(pulse);
        let pair = self.pairs.entry(now, &(client, server, is_usual), || Pair::new(pulse));
        pair.take(pulse);
        let least = if is_usual || pair.has_control { self.usual_bytes } else { self.bytes };
        let is_lasting = pair.connections >= 2 || pulse.last.since(pulse.start) >= LASTING;
        let is_new = pair.hours < HOURS_MIN || pair.to_server as f64 >= self.factor * pair.usual;
        let is_one_way = pair.to_server as f64 >= self.ratio * pair.to_client.max(1) as f64;
        if pair.to_server < least || !is_one_way || !is_lasting || !is_new {
            return;
        }
        let severity = if is_usual || pair.has_control {
            if pair.to_server >= 10 * self.usual_bytes && is_public(server) { Severity::Low } else { Severity::Info }
        } else {
            let peers = self.peers.entry(now, &client, Vec::new);
            if !peers.contains(&server) && peers.len() < PEERS_MIN {
                peers.push(server);
            }
            match (peers.len() >= PEERS_MIN, is_public(server)) {
                (true, _) => Severity::Info,
                (false, true) => Severity::Medium,
                (false, false) => Severity::Low,
            }
        };
        if let Some(pair) = self.pairs.get_mut(&(client, server, is_usual))
            && pair.pace.is_due(pulse.last, severity as u8)
        {
            signs.push(pair.sign(pulse, severity));
        }
    }
}

impl Pair {
    fn sign(&self, pulse: &Pulse, severity: Severity) -> Sign {
        let (client, server, port) = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
        let message = format!(
            "{client} sent {} to {server} port {port} and got {} back, in {} connections within {}",
            units::bytes(self.to_server),
            units::bytes(self.to_client),
            self.connections.max(1),
            units::duration(self.last.since(self.since)),
        );
        let mut sign = Sign::new(&DEFINITION, Subject::pair(client, server, None), self.since, self.last, message);
        sign.severity = severity;
        sign.spoofable = false;
        sign.port = Some(port);
        sign.protocol = Some(pulse.tuple.protocol);
        sign.ifindex = Some(pulse.ifindex);
        sign.process.clone_from(&pulse.client_process);
        sign.figures = vec![
            ("bytes_sent", self.to_server as f64),
            ("bytes_received", self.to_client as f64),
            ("connections", f64::from(self.connections)),
            ("usual_bytes_per_hour", self.usual),
        ];
        sign.flows.clone_from(&self.flows);
        sign.samples
            .extend(pulse.names.iter().filter_map(|names| names.server.as_ref()).map(|(name, _)| name.to_string()));
        sign
    }
}

impl Detector for Exfiltration {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        let Event::Pulse(pulse) = event else { return };
        let is_candidate =
            pulse.tuple.protocol == 6 && pulse.tunnel.is_none() && pulse.roles_known && pulse.is_proven();
        if is_candidate && is_host(pulse.tuple.client) && is_host(pulse.tuple.server) {
            self.take(now, pulse, signs);
        }
    }

    fn held(&self) -> Held {
        self.pairs.held() + self.peers.held()
    }
}

#[cfg(test)]
mod tests {
    use hivewall_model::EndReason;

    use super::*;
    use crate::testing::{Make, Watch, host, ms, public};

    fn sends(server: IpAddr, port: u16, at: u64, up: u64, down: u64) -> Make {
        Make::tcp((host(1), 10_000 + (at / 1000 % 50_000) as u16), (server, port), up, down)
            .between(ms(at), ms(at + 500))
            .ended(EndReason::Finished)
    }

    fn watch(all: impl IntoIterator<Item = Make>) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        all.into_iter().for_each(|made| watch.pulse(&made));
        watch
    }

    fn loudest(watch: &Watch) -> Option<Severity> {
        watch.signs.iter().map(|sign| sign.severity).max()
    }

    #[test]
    fn pictures_sent_to_an_odd_port_are_told_and_half_of_them_are_not() {
        let pictures = |server, count| watch((0..count).map(|n| sends(server, 4433, n * 10_000, 90_000, 20)));
        assert!(pictures(public(1), 2).signs.is_empty());
        let told = pictures(public(1), 4);
        assert_eq!(loudest(&told), Some(Severity::Medium));
        assert_eq!(told.signs[0].subject, Subject::pair(host(1), public(1), None));
        assert_eq!(loudest(&pictures(host(2), 4)), Some(Severity::Low), "in a network of one's own");
    }

    #[test]
    fn browsing_calls_and_one_upload_are_not_told() {
        assert!(watch((0..50).map(|n| sends(public(1), 8888, n * 1_000, 90_000, 60_000))).signs.is_empty());
        assert!(watch([sends(public(1), 8888, 0, 5_000_000, 100)]).signs.is_empty(), "over in half a second");
        assert!(watch((0..50).map(|n| sends(public(1), 443, n * 1_000, 1_000_000, 2_000))).signs.is_empty());
    }

    #[test]
    fn uploads_to_usual_services_are_a_note_and_a_gigabyte_is_low() {
        let upload =
            |megabytes: u64| watch((0..megabytes / 50).map(|n| sends(public(1), 443, n * 5_000, 50_000_000, 50_000)));
        assert_eq!(loudest(&upload(500)), Some(Severity::Info));
        assert_eq!(loudest(&upload(1_500)), Some(Severity::Low));
    }

    #[test]
    fn what_a_pair_always_did_is_not_told_until_it_grows() {
        let mut watch = Watch::new(&DEFINITION);
        let hour = 3_600_000;
        let mut day = |from: u64, until: u64, bytes: u64| {
            let before = watch.signs.len();
            for n in from * 6..until * 6 {
                watch.pulse(&sends(public(1), 7000, n * hour / 6, bytes, 100));
            }
            watch.signs.len() - before
        };
        day(0, 6, 100_000);
        assert_eq!(day(6, 20, 100_000), 0, "600 kB an hour are usual by now");
        assert!(day(20, 21, 1_000_000) > 0, "ten times of it is not");
    }

    #[test]
    fn sharing_files_with_many_peers_becomes_a_note() {
        let seeds = (0..20_u32).flat_map(|peer| {
            (0..5).map(move |n| sends(public(peer), 51_413, u64::from(peer) * 20_000 + n * 2_000, 200_000, 500))
        });
        let watch = watch(seeds);
        assert!(watch.signs.iter().filter(|sign| sign.severity > Severity::Info).count() < PEERS_MIN);
    }

    #[test]
    fn forged_sources_hold_nothing() {
        let mut watch = Watch::new(&DEFINITION);
        for n in 0..100_000_u32 {
            watch.pulse(&Make::syn(public(n), 999, host(1), 4433));
        }
        assert_eq!(watch.held().entries, 0);
    }
}
