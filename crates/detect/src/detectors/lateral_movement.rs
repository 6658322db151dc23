//! A host that was entered, and then enters others: an administrative session to it, and soon after sessions from it to peers that
//! it never administered.
//!
//! Not here: sweeps (`host_sweep`) and guessing (`brute_force`) as such. Invariant: per host the peers are kept up to a number, and
//! only sessions that both ends proved count.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::distinct::{Distinct, address_word};
use crate::wire::{is_host, is_public};
use crate::words::Voice;
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "lateral_movement",
    title: "Lateral movement",
    kind: "lateral",
    sees: "A host that had an administrative session from another one (SMB, RDP, WinRM, SSH, telnet, RPC, VNC) and within half an hour opens \
           such sessions to several peers that it had none with before; high where it came in and goes on by the same service, as worms do, \
           or where somebody tried to get in many times before.",
    misses: "Movement to one or two hosts, along paths that are used every day, and by other services.",
    evaded_by: "Waiting longer than half an hour, or going from host to host to one peer each.",
    technique: Some(Attack { id: "T1021", name: "Remote Services", tactic: "Lateral Movement" }),
    severity: Severity::Low,
    spoofable: Spoofable::Never,
    quiet_seconds: 1_800,
    thresholds: &[
        Threshold {
            name: "peers",
            unit: "hosts",
            default: 6.0,
            range: (2.0, 200.0),
            doc: "New peers within half an hour of an administrative session to the host. An operator who logs in to a jump host goes to \
                  a few from there, and mostly to known ones.",
        },
        Threshold {
            name: "tries",
            unit: "sessions",
            default: 10.0,
            range: (3.0, 1000.0),
            doc: "Administrative sessions to the host from one source in half an hour above which it was being attacked.",
        },
    ],
};

/// Hosts held.
const HOSTS_MAX: usize = 16_384;
const WINDOW: Duration = Duration::from_secs(1_800);
/// Who administers whom is remembered at least so long.
const KEEP: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug, Default)]
struct Host {
    /// Latest administrative session to it: when, whence, by which port.
    entered: Option<(Timestamp, IpAddr, u16)>,
    /// Sessions to it within the window that began then.
    tries: (Timestamp, u64),
    /// All peers that it had sessions with as a client.
    known: Distinct,
    /// New ones since it was entered.
    fresh: Vec<IpAddr>,
    fresh_count: u64,
    same_service: u64,
    since: Timestamp,
    flows: Vec<FlowId>,
    pace: Voice,
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct LateralMovement {
    hosts: Bounded<IpAddr, Host>,
    peers: u64,
    tries: u64,
}

/// Services by which hosts are administered.
fn is_administrative(port: u16) -> bool {
    matches!(port, 22 | 23 | 135 | 139 | 445 | 3389 | 5900..=5906 | 5985 | 5986)
}

impl LateralMovement {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            hosts: Bounded::new(HOSTS_MAX, KEEP),
            peers: settings.value(&DEFINITION, "peers") as u64,
            tries: settings.value(&DEFINITION, "tries") as u64,
        })
    }

    fn entered(&mut self, now: Timestamp, pulse: &Pulse) {
        let host = self.hosts.entry(now, &pulse.tuple.server, Host::default);
        if pulse.start.since(host.tries.0) > WINDOW {
            host.tries = (pulse.start, 0);
        }
        host.tries.1 += u64::from(pulse.ended.is_some());
        if host.entered.is_none_or(|(before, ..)| pulse.start >= before) {
            host.entered = Some((pulse.start, pulse.tuple.client, pulse.tuple.server_port));
        }
    }

    fn enters(&mut self, now: Timestamp, pulse: &Pulse, signs: &mut Vec<Sign>) {
        let (client, server, port) = (pulse.tuple.client, pulse.tuple.server, pulse.tuple.server_port);
        let host = self.hosts.entry(now, &client, Host::default);
        let is_new = host.known.insert(address_word(server));
        let Some((entered, whence, by)) = host.entered else { return };
        if !is_new || whence == server || pulse.start.since(entered) > WINDOW || pulse.start < entered {
            return;
        }
        if pulse.start.since(host.since) > WINDOW {
            (host.fresh_count, host.same_service, host.since) = (0, 0, pulse.start);
            host.fresh.clear();
            host.flows.clear();
        }
        host.fresh_count += 1;
        host.same_service += u64::from(port == by);
        if host.fresh.len() < TARGETS_MAX {
            host.fresh.push(server);
            host.flows.push(pulse.id);
        }
        let is_worm = host.same_service == host.fresh_count && !matches!(port, 22);
        let was_attacked = host.tries.1 >= self.tries;
        let severity = if is_worm || was_attacked { Severity::High } else { Severity::Low };
        if host.fresh_count < self.peers || !host.pace.is_due(pulse.last, severity as u8) {
            return;
        }
        let message = format!(
            "{client}, entered from {whence} by port {by}, opened administrative sessions to {} hosts that it had none with before, within {}",
            host.fresh_count,
            units::duration(pulse.last.since(entered)),
        );
        let mut sign = Sign::new(&DEFINITION, Subject::source(client), entered, pulse.last, message);
        sign.severity = severity;
        sign.spoofable = false;
        sign.targets.clone_from(&host.fresh);
        sign.target_count = host.fresh_count;
        sign.protocol = Some(pulse.tuple.protocol);
        sign.process.clone_from(&pulse.client_process);
        sign.figures = vec![("peers", host.fresh_count as f64), ("sessions_to_it", host.tries.1 as f64)];
        sign.flows.clone_from(&host.flows);
        sign.samples.push(format!("entered from {whence} by port {by}"));
        signs.push(sign);
    }
}

impl Detector for LateralMovement {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        let Event::Pulse(pulse) = event else { return };
        let (client, server) = (pulse.tuple.client, pulse.tuple.server);
        if pulse.tuple.protocol != 6 || !is_administrative(pulse.tuple.server_port) || !pulse.is_proven() {
            return;
        }
        if !pulse.roles_known || !is_host(client) || !is_host(server) {
            return;
        }
        if !is_public(server) {
            self.entered(now, pulse);
        }
        self.enters(now, pulse, signs);
    }

    fn held(&self) -> Held {
        self.hosts.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, s};

    fn session(second: u64, from: u32, to: u32, port: u16) -> Make {
        Make::tcp((host(from), 40_000 + (second % 20_000) as u16), (host(to), port), 2_000, 2_000).at(s(second))
    }

    fn watch(sessions: impl IntoIterator<Item = Make>) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        sessions.into_iter().for_each(|session| watch.pulse(&session));
        watch
    }

    #[test]
    fn a_host_that_was_entered_and_enters_six_others_is_told() {
        let chain = |peers: u32| {
            std::iter::once(session(0, 1, 2, 445))
                .chain((0..peers).map(|n| session(60 + u64::from(n), 2, 100 + n, 445)))
        };
        assert!(watch(chain(5)).signs.is_empty());
        let expected = "high 10.0.0.2, entered from 10.0.0.1 by port 445, opened administrative sessions to 6 hosts that it had none with before, within 1m05s";
        assert_eq!(watch(chain(6)).lines(), [expected]);
    }

    #[test]
    fn a_controller_that_visits_its_hosts_every_day_is_not_told() {
        let mut sessions = Vec::new();
        for day in 0..3 {
            let start = 86_400 * day + 100;
            if day > 0 {
                sessions.push(session(start, 1, 2, 22));
            }
            sessions.extend((0..50).map(|n| session(start + 10 + u64::from(n), 2, 100 + n, 22)));
        }
        assert!(watch(sessions).signs.is_empty());
    }

    #[test]
    fn without_having_been_entered_it_is_another_thing() {
        assert!(watch((0..50).map(|n| session(u64::from(n), 2, 100 + n, 445))).signs.is_empty());
    }
}
