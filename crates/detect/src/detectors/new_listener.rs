//! Something waits for connections at a port that this host never served.
//!
//! Not here: how listeners are found. Invariant: at most [`SERVED_MAX`] services are known; beyond that nothing is new.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashSet;
use hivewall_model::Timestamp;
use hivewall_view::alerts::Severity;

use crate::{Attack, Definition, Detector, Event, Held, Listener, Settings, Sign, Spoofable, Subject, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "new_listener",
    title: "New listener",
    kind: "novelty",
    sees: "A process that waits for connections at a port that this host has not served since the agent learned what is usual.",
    misses: "A port that another program served before, and whatever began to listen while the agent learned. Ports that the system \
             hands out for a while, and listeners that only this machine can reach, are worth a note only.",
    evaded_by: "Taking over a port that is known, or connecting outwards instead.",
    technique: Some(Attack { id: "T1571", name: "Non-Standard Port", tactic: "Command and Control" }),
    severity: Severity::Low,
    spoofable: Spoofable::Never,
    quiet_seconds: 300,
    thresholds: &[Threshold {
        name: "warm_up_seconds",
        unit: "seconds",
        default: 3_600.0,
        range: (0.0, 2_592_000.0),
        doc: "What listens in this time after the start is usual: services start one after the other, and some restart.",
    }],
};

/// Services known.
const SERVED_MAX: usize = 16_384;
/// Where Linux hands out ports for a while (ip(7), `ip_local_port_range`).
const HANDED_OUT: u16 = 32_768;

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct NewListener {
    served: HashSet<(u8, u16)>,
    /// Programs that listen at ports that the system hands out.
    programs: HashSet<Box<str>>,
    started: Option<Timestamp>,
    warm_up: Duration,
    given_up: u64,
}

impl NewListener {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            served: HashSet::new(),
            programs: HashSet::new(),
            started: None,
            warm_up: Duration::from_secs_f64(settings.value(&DEFINITION, "warm_up_seconds")),
            given_up: 0,
        })
    }

    fn take(&mut self, now: Timestamp, listener: &Listener, signs: &mut Vec<Sign>) {
        let started = *self.started.get_or_insert(now);
        let is_temporary = listener.port >= HANDED_OUT;
        if is_temporary && listener.protocol == 17 {
            // Every client's socket looks like that.
            return;
        }
        if self.served.len() + self.programs.len() >= SERVED_MAX {
            self.given_up += 1;
            return;
        }
        let process = listener.process.as_ref();
        let program = process.map_or("", |process| process.executable.as_deref().unwrap_or(&process.comm));
        let is_known_program = is_temporary && !self.programs.insert(program.into());
        if !self.served.insert((listener.protocol, listener.port)) || now.since(started) < self.warm_up {
            return;
        }
        let who = process.map_or("a process".to_owned(), |process| format!("{} (pid {})", process.comm, process.pid));
        let protocol = hivewall_model::protocol_name(listener.protocol).unwrap_or("ip");
        let message = format!(
            "{who} waits for connections at {protocol} port {} of {}, where this host served nothing before",
            listener.port,
            shown(listener.address),
        );
        let subject = Subject { port: Some(listener.port), other: Some(protocol.into()), ..Subject::default() };
        let mut sign = Sign::new(&DEFINITION, subject, listener.time, listener.time, message);
        sign.severity = if listener.address.is_loopback() || is_known_program { Severity::Info } else { Severity::Low };
        sign.spoofable = false;
        sign.protocol = Some(listener.protocol);
        sign.process = process.cloned();
        sign.samples.extend((!program.is_empty()).then(|| program.to_owned()));
        signs.push(sign);
    }
}

fn shown(address: IpAddr) -> String {
    if address.is_unspecified() { "all addresses".to_owned() } else { address.to_string() }
}

impl Detector for NewListener {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        if let Event::Listener(listener) = event {
            self.take(now, listener, signs);
        } else if self.started.is_none() && matches!(event, Event::Tick) {
            self.started = Some(now);
        }
    }

    fn held(&self) -> Held {
        let entries = (self.served.len() + self.programs.len()) as u64;
        Held { entries, entries_max: SERVED_MAX as u64 + 1, given_up: self.given_up }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hivewall_model::Process;

    use super::*;
    use crate::testing::{Watch, ip, s};

    fn listener(second: u64, address: &str, port: u16, protocol: u8) -> Listener {
        let process = Process { pid: 7, comm: "nc".into(), executable: Some("/bin/nc".into()), ..Process::default() };
        Listener { time: s(second), protocol, address: ip(address), port, process: Some(Arc::new(process)) }
    }

    fn watch(listeners: &[Listener]) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        for listener in listeners {
            watch.event(listener.time, &Event::Listener(listener));
        }
        watch
    }

    #[test]
    fn a_port_is_new_once_and_after_the_warm_up_only() {
        let watch = watch(&[
            listener(10, "0.0.0.0", 80, 6),
            listener(3_000, "0.0.0.0", 22, 6),
            listener(4_000, "0.0.0.0", 80, 6),
            listener(4_001, "0.0.0.0", 4444, 6),
            listener(4_002, "0.0.0.0", 4444, 6),
        ]);
        let expected = "low nc (pid 7) waits for connections at tcp port 4444 of all addresses, where this host served nothing before";
        assert_eq!(watch.lines(), [expected]);
    }

    #[test]
    fn loopback_is_worth_a_note_and_a_clients_socket_is_not() {
        let watch = watch(&[
            listener(1, "0.0.0.0", 80, 6),
            listener(4_000, "127.0.0.1", 8000, 6),
            listener(4_001, "0.0.0.0", 51_000, 17),
            listener(4_002, "0.0.0.0", 40_000, 6),
            listener(4_003, "0.0.0.0", 40_001, 6),
        ]);
        let severities: Vec<_> = watch.signs.iter().map(|sign| sign.severity).collect();
        assert_eq!(severities, [Severity::Info, Severity::Low, Severity::Info]);
    }
}
