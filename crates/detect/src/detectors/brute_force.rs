//! Guessing of passwords, by the shape of sessions: many short ones of similar size from one source to one login service, and
//! many sources that do so at one server.
//!
//! Not here: what logs say (`failed_logins`, `password_spray`). Only sessions that both ends took part in count, so a forged
//! source holds no memory. Invariant: per pair at most [`SESSIONS_MAX`] sessions are kept.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::wire::is_host;
use crate::words::{Voice, median};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "brute_force",
    title: "Password guessing",
    kind: "brute_force",
    sees: "Many short sessions of similar size from one client to one login service (SSH on any port, FTP, telnet, mail, RDP, VNC, \
           SMB, WinRM, databases, LDAP), fast or slow, and many clients that each do so a little at one server. A session that takes \
           two seconds or more weighs three times, because that is how long servers wait before they refuse a password.",
    misses: "Guessing within one long session (Redis, MongoDB, HTTP forms), guessing at services that are not in its list, and \
             whether a guess was right, except that a session unlike the others after many alike is pointed out. Programs that open \
             many connections to a database one after the other may look like guessing; such findings are low.",
    evaded_by: "Fewer tries than the thresholds from each address, sessions padded to different sizes, or pauses of minutes between tries.",
    technique: Some(Attack { id: "T1110", name: "Brute Force", tactic: "Credential Access" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Never,
    quiet_seconds: 600,
    thresholds: &[
        Threshold {
            name: "sessions",
            unit: "sessions",
            default: 10.0,
            range: (3.0, 60.0),
            doc: "Delayed sessions of one client at one service within two minutes; a person mistypes three or four times. Sessions \
                  shorter than two seconds count a third, because scripts that use keys open several in a row.",
        },
        Threshold {
            name: "slow_sessions",
            unit: "sessions",
            default: 40.0,
            range: (10.0, 60.0),
            doc: "Delayed sessions within half an hour: more than one in 45 seconds, which is more than checks once a minute make.",
        },
        Threshold {
            name: "sources",
            unit: "clients",
            default: 20.0,
            range: (3.0, 1000.0),
            doc: "Clients with two or more delayed short sessions each at one server within half an hour; fewer may be people who \
                  mistyped.",
        },
    ],
};

/// Pairs of client and service held.
const PAIRS_MAX: usize = 8_192;
/// Servers held for guessing by many.
const SERVERS_MAX: usize = 2_048;
/// Sources held for one of them; enough for the greatest threshold.
const SOURCES_MAX: usize = 1_024;
/// Sessions kept of a pair: enough for the slow threshold even where none is delayed.
const SESSIONS_MAX: usize = 128;
const FAST: Duration = Duration::from_secs(120);
const SLOW: Duration = Duration::from_secs(1_800);
/// OpenSSH, vsftpd, login and PAM hold a refusal back for two to three seconds; a single try takes at least that long.
const DELAYED_MS: u32 = 2_000;
/// What a session of refused passwords moves at most each way: SSH's key exchange takes 3 to 5 kB, six tries a kilobyte more.
const BYTES_MAX: u64 = 16_000;
/// A login grace time is two minutes (sshd_config(5)); longer sessions are work.
const DURATION_MAX: Duration = Duration::from_secs(125);

/// What is known of a service that people log in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service {
    name: &'static str,
    /// A busy program opens connections to it as short and as similar as a guesser's: many more are needed.
    is_for_programs: bool,
}

fn service(pulse: &Pulse) -> Option<Service> {
    let people = |name| Some(Service { name, is_for_programs: false });
    let programs = |name| Some(Service { name, is_for_programs: true });
    if pulse.names.as_ref().is_some_and(|names| names.application == Some("ssh")) {
        return people("SSH");
    }
    match pulse.tuple.server_port {
        22 => people("SSH"),
        21 => people("FTP"),
        23 | 2323 => people("telnet"),
        110 | 995 => people("POP3"),
        143 | 993 => people("IMAP"),
        3389 => people("RDP"),
        5900..=5906 => people("VNC"),
        139 | 445 => people("SMB"),
        25 | 465 | 587 => programs("SMTP"),
        5985 | 5986 => programs("WinRM"),
        3306 => programs("MySQL"),
        5432 => programs("PostgreSQL"),
        1433 => programs("SQL Server"),
        6379 => programs("Redis"),
        27_017 => programs("MongoDB"),
        389 | 636 => programs("LDAP"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
struct Session {
    id: FlowId,
    start: Timestamp,
    last: Timestamp,
    to_server: u32,
    to_client: u32,
}

impl Session {
    fn milliseconds(&self) -> u32 {
        u32::try_from(self.last.since(self.start).as_millis()).unwrap_or(u32::MAX)
    }
}

#[derive(Debug, Default)]
struct Pair {
    sessions: VecDeque<Session>,
    /// Delayed sessions for the count by server.
    delayed: u32,
    total: u64,
    different: u64,
    first: Option<Timestamp>,
    pace: Voice,
}

#[derive(Debug, Default)]
struct Server {
    /// When each source was seen last.
    sources: Vec<(IpAddr, Timestamp)>,
    pace: Voice,
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct BruteForce {
    pairs: Bounded<(IpAddr, IpAddr, u16), Pair>,
    servers: Bounded<(IpAddr, u16), Server>,
    sessions: u32,
    slow_sessions: u32,
    sources: usize,
}

impl BruteForce {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            pairs: Bounded::new(PAIRS_MAX, SLOW),
            servers: Bounded::new(SERVERS_MAX, SLOW),
            sessions: settings.value(&DEFINITION, "sessions") as u32,
            slow_sessions: settings.value(&DEFINITION, "slow_sessions") as u32,
            sources: settings.value(&DEFINITION, "sources") as usize,
        })
    }

    fn session(&mut self, now: Timestamp, pulse: &Pulse, service: Service, signs: &mut Vec<Sign>) {
        let key = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
        let session = Session {
            id: pulse.id,
            start: pulse.start,
            last: pulse.last,
            to_server: payload(pulse.to_server) as u32,
            to_client: payload(pulse.to_client) as u32,
        };
        let pair = self.pairs.entry(now, &key, Pair::default);
        pair.total += 1;
        pair.first = Some(pair.first.map_or(pulse.start, |first| first.min(pulse.start)));
        if pair.sessions.len() == SESSIONS_MAX {
            pair.sessions.pop_front();
        }
        pair.sessions.push_back(session);
        if session.milliseconds() >= DELAYED_MS {
            pair.delayed += 1;
        }
        let found = pair.judge(service, self.sessions, self.slow_sessions);
        if let Some(found) = found
            && pair.pace.is_due(pulse.last, 1)
        {
            signs.push(pair.sign(key, service, &found, pulse));
        }
        if !service.is_for_programs && pair.delayed >= 2 {
            self.by_many(now, pulse, service, signs);
        }
    }

    fn by_many(&mut self, now: Timestamp, pulse: &Pulse, service: Service, signs: &mut Vec<Sign>) {
        let (client, target, port) = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
        let server = self.servers.entry(now, &(target, port), Server::default);
        server.sources.retain(|(source, seen)| *source != client && pulse.last.since(*seen) <= SLOW);
        if server.sources.len() < SOURCES_MAX {
            server.sources.push((client, pulse.last));
        }
        let count = server.sources.len();
        if count < self.sources || !server.pace.is_due(pulse.last, 1) {
            return;
        }
        let first = server.sources.iter().map(|(_, seen)| *seen).min().unwrap_or(pulse.start);
        let message = format!(
            "{count} clients each had several short sessions with {} at {target} port {port} within {}, as if they shared the work of guessing",
            service.name,
            units::duration(pulse.last.since(first)),
        );
        let mut sign = Sign::new(&DEFINITION, Subject::target(target, Some(port)), first, pulse.last, message);
        sign.sources = Some(count as u64);
        sign.protocol = Some(pulse.tuple.protocol);
        sign.figures = vec![("sources", count as f64)];
        sign.samples = server.sources.iter().take(8).map(|(source, _)| source.to_string()).collect();
        signs.push(sign);
    }

    /// A session of another kind, with somebody who has been guessing.
    fn different(&mut self, pulse: &Pulse, service: Service, signs: &mut Vec<Sign>) {
        let key = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        if let Some(found) = pair.judge(service, self.sessions, self.slow_sessions) {
            pair.different += 1;
            if pair.pace.is_due(pulse.last, 2) {
                signs.push(pair.sign(key, service, &found, pulse));
            }
        }
    }
}

/// TCP payload, about: headers of a packet are 40 bytes and more.
fn payload(side: hivewall_model::Side) -> u64 {
    side.ip_bytes.saturating_sub(40 * side.packets)
}

/// A judgement of a pair's sessions.
struct Found {
    sessions: usize,
    first: Timestamp,
    to_server: u64,
    to_client: u64,
}

impl Pair {
    fn judge(&self, service: Service, fast: u32, slow: u32) -> Option<Found> {
        let last = self.sessions.iter().map(|session| session.last).max()?;
        let factor = if service.is_for_programs { 2 } else { 1 };
        [(FAST, fast), (SLOW, slow)].into_iter().find_map(|(window, needed)| {
            let recent = || self.sessions.iter().filter(|session| last.since(session.start) <= window);
            let weight: u32 = recent().map(|session| if session.milliseconds() >= DELAYED_MS { 3 } else { 1 }).sum();
            if weight < 3 * needed * factor {
                return None;
            }
            let to_server = median(&mut recent().map(|session| u64::from(session.to_server)).collect::<Vec<_>>());
            let to_client = median(&mut recent().map(|session| u64::from(session.to_client)).collect::<Vec<_>>());
            let count = recent().count();
            let alike = recent()
                .filter(|s| is_near(u64::from(s.to_server), to_server) && is_near(u64::from(s.to_client), to_client))
                .count();
            (alike * 10 >= count * 7).then(|| Found {
                sessions: count,
                first: recent().map(|session| session.start).min().unwrap_or(last),
                to_server,
                to_client,
            })
        })
    }

    fn sign(&self, key: (IpAddr, IpAddr, u16), service: Service, found: &Found, pulse: &Pulse) -> Sign {
        let (client, server, port) = key;
        let first = self.first.unwrap_or(found.first);
        let mut message = format!(
            "{client} had {} short sessions of similar size with {} at {server} port {port} within {}, as if it were guessing passwords",
            found.sessions,
            service.name,
            units::duration(pulse.last.since(found.first)),
        );
        if self.different > 0 {
            message.push_str("; then came a session unlike the others, so a guess may have been right");
        }
        let mut sign = Sign::new(&DEFINITION, Subject::pair(client, server, Some(port)), first, pulse.last, message);
        sign.spoofable = false;
        sign.severity = match (service.is_for_programs, self.different > 0) {
            (true, _) => Severity::Low,
            (false, false) => Severity::Medium,
            (false, true) => Severity::High,
        };
        sign.protocol = Some(pulse.tuple.protocol);
        sign.ifindex = Some(pulse.ifindex);
        sign.process = pulse.server_process.clone().or_else(|| pulse.client_process.clone());
        sign.figures = vec![
            ("sessions", self.total as f64),
            ("bytes_to_server_per_session", found.to_server as f64),
            ("bytes_to_client_per_session", found.to_client as f64),
            ("different_sessions", self.different as f64),
        ];
        sign.flows = self.sessions.iter().rev().take(TARGETS_MAX).map(|session| session.id).collect();
        sign
    }
}

/// Within a third, or 200 bytes: names and passwords differ in length.
fn is_near(value: u64, middle: u64) -> bool {
    value.abs_diff(middle) <= (middle / 3).max(200)
}

impl Detector for BruteForce {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        let Event::Pulse(pulse) = event else { return };
        if pulse.ended.is_none() || pulse.tuple.protocol != 6 || !is_host(pulse.tuple.client) {
            return;
        }
        let Some(service) = service(pulse) else { return };
        let (up, down) = (payload(pulse.to_server), payload(pulse.to_client));
        // Both have to have said something: a scan's handshake is no try.
        if !pulse.is_proven() || up == 0 || down == 0 {
            return;
        }
        if up > BYTES_MAX || down > BYTES_MAX || pulse.last.since(pulse.start) > DURATION_MAX {
            self.different(pulse, service, signs);
        } else {
            self.session(now, pulse, service, signs);
        }
    }

    fn held(&self) -> Held {
        self.pairs.held() + self.servers.held()
    }
}

#[cfg(test)]
mod tests {
    use hivewall_model::EndReason;

    use super::*;
    use crate::testing::{Make, Watch, host, ms, public};

    /// A session that begins at one time and lasts so long, in milliseconds.
    fn session(client: IpAddr, port: u16, at: u64, lasts: u64, bytes: (u64, u64)) -> Make {
        let client_port = 20_000 + (at / 100 % 40_000) as u16;
        Make::tcp((client, client_port), (host(1), port), bytes.0, bytes.1)
            .between(ms(at), ms(at + lasts))
            .ended(EndReason::Finished)
    }

    fn watch(sessions: impl IntoIterator<Item = Make>) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        sessions.into_iter().for_each(|session| watch.pulse(&session));
        watch
    }

    #[test]
    fn ten_delayed_sessions_within_two_minutes_are_told_and_nine_are_not() {
        let tries =
            |count: u64| watch((0..count).map(|n| session(public(7), 22, n * 6_000, 3_500, (2_000 + n * 20, 2_500))));
        assert!(tries(9).signs.is_empty());
        let signs = tries(10).signs;
        let expected = "50.0.0.7 had 10 short sessions of similar size with SSH at 10.0.0.1 port 22 within 57.5s, as if it were guessing passwords";
        assert_eq!(signs[0].message, expected);
        assert_eq!(signs[0].subject, Subject::pair(public(7), host(1), Some(22)));
        assert!(!signs[0].spoofable);
    }

    #[test]
    fn one_thread_that_waits_twenty_seconds_is_told_within_half_an_hour() {
        let watch = watch((0..60).map(|n| session(public(7), 22, n * 20_000, 12_000, (1_400, 2_300))));
        assert_eq!(watch.signs.first().map(|sign| sign.severity), Some(Severity::Medium));
    }

    #[test]
    fn automation_with_keys_is_not_told() {
        // A dozen repositories fetched in a row, of different sizes; and a check every minute for a day.
        let fetches = (0..12).map(|n| session(host(9), 22, n * 1_500, 900, (3_000, 4_000 + 1_500 * n)));
        assert!(watch(fetches).signs.is_empty());
        let checks = (0..1_440).map(|n| session(host(9), 22, n * 60_000, 600, (3_000, 3_500)));
        assert!(watch(checks).signs.is_empty());
    }

    #[test]
    fn a_few_mistakes_and_a_long_session_are_not_told() {
        let mut sessions: Vec<_> = (0..4).map(|n| session(host(9), 22, n * 8_000, 5_000, (2_000, 2_500))).collect();
        sessions.push(session(host(9), 22, 40_000, 3_600_000, (200_000, 4_000_000)));
        assert!(watch(sessions).signs.is_empty());
    }

    #[test]
    fn a_session_unlike_the_others_is_high() {
        let mut sessions: Vec<_> =
            (0..20).map(|n| session(public(7), 3389, n * 3_000, 2_500, (1_500, 2_000))).collect();
        sessions.push(session(public(7), 3389, 62_000, 30_000, (50_000, 900_000)));
        assert_eq!(watch(sessions).signs.last().map(|sign| sign.severity), Some(Severity::High));
    }

    #[test]
    fn many_clients_that_share_the_work_are_told_by_the_server() {
        let tries = |clients: u32| {
            let sessions = (0..clients).flat_map(|client| {
                (0..2).map(move |n| {
                    session(public(client), 22, u64::from(client) * 20_000 + n * 5_000, 3_000, (2_000, 2_500))
                })
            });
            watch(sessions)
        };
        assert!(tries(19).signs.is_empty());
        let signs = tries(20).signs;
        assert_eq!((signs[0].subject.clone(), signs[0].sources), (Subject::target(host(1), Some(22)), Some(20)));
    }

    #[test]
    fn a_web_server_and_its_database_are_not_told() {
        // Each page opens a connection and asks for something else.
        let pages = (0..2_000_u64)
            .map(|n| session(host(9), 3306, n * 50, 20, (300 + n * 7919 % 3_000, 500 + n * 104_729 % 9_000)));
        assert!(watch(pages).signs.is_empty());
    }

    #[test]
    fn forged_sources_hold_nothing_and_proven_ones_have_a_size() {
        let mut watch = Watch::new(&DEFINITION);
        for n in 0..100_000_u32 {
            watch.pulse(&Make::syn(public(n), 999, host(1), 22).ended(EndReason::Idle));
        }
        assert_eq!(watch.held().entries, 0);
        assert!(size_of::<Session>() * SESSIONS_MAX * PAIRS_MAX <= 48 << 20, "48 MiB in all");
    }
}
