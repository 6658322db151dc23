//! A program opens a connection outwards that never did.
//!
//! Not here: where it connects to and what it says there. Invariant: at most [`PROGRAMS_MAX`] programs are known; beyond that nothing
//! is new.

use std::time::Duration;

use hashbrown::HashSet;
use hivewall_model::{Perspective, Process, Pulse, Timestamp};
use hivewall_view::alerts::Severity;

use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

pub(crate) static DEFINITION: Definition = Definition {
    name: "new_outbound",
    title: "New outbound program",
    kind: "novelty",
    sees: "The first outbound connection of a program (by the path of its executable, within a container by its name) that opened none \
           since the agent learned what is usual; low for programs in places that anybody can write to, that are deleted, or that \
           hand a shell over the network, else a note.",
    misses: "Programs that always connected outwards, such as interpreters and browsers, and code injected into them.",
    evaded_by: "Using a program that connects outwards anyway.",
    technique: Some(Attack { id: "T1071", name: "Application Layer Protocol", tactic: "Command and Control" }),
    severity: Severity::Info,
    spoofable: Spoofable::Never,
    quiet_seconds: 300,
    thresholds: &[Threshold {
        name: "warm_up_seconds",
        unit: "seconds",
        default: 86_400.0,
        range: (0.0, 2_592_000.0),
        doc: "Programs that connect in this time after the start are usual; most of what runs by the clock runs once a day.",
    }],
};

/// Programs known.
const PROGRAMS_MAX: usize = 16_384;

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct NewOutbound {
    programs: HashSet<(Box<str>, Box<str>)>,
    started: Option<Timestamp>,
    warm_up: Duration,
    given_up: u64,
}

impl NewOutbound {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            programs: HashSet::new(),
            started: None,
            warm_up: Duration::from_secs_f64(settings.value(&DEFINITION, "warm_up_seconds")),
            given_up: 0,
        })
    }

    fn take(&mut self, now: Timestamp, pulse: &Pulse, process: &Process, signs: &mut Vec<Sign>) {
        let started = *self.started.get_or_insert(now);
        let path = process.executable.as_deref().unwrap_or(&process.comm);
        let container = process.container.as_ref().map_or("", |it| it.name.as_deref().unwrap_or(&it.id));
        // Looking up costs two allocations; a known program is met far more often than a new one, and once a flow.
        let key = (Box::from(path), Box::from(container));
        if self.programs.contains(&key) {
            return;
        }
        if self.programs.len() >= PROGRAMS_MAX {
            self.given_up += 1;
            return;
        }
        self.programs.insert(key);
        if now.since(started) < self.warm_up {
            return;
        }
        let message = format!(
            "{path} (pid {}, {}) opened its first outbound connection, to {} port {}",
            process.pid,
            process.user.as_deref().unwrap_or("unknown user"),
            pulse.tuple.server,
            pulse.tuple.server_port,
        );
        let other = if container.is_empty() { path.into() } else { format!("{container} {path}").into() };
        let subject = Subject { other: Some(other), ..Subject::default() };
        let mut sign = Sign::new(&DEFINITION, subject, pulse.start, pulse.last, message);
        sign.severity = if is_odd(path) { Severity::Low } else { Severity::Info };
        sign.spoofable = false;
        sign.targets = vec![pulse.tuple.server];
        sign.target_count = 1;
        sign.protocol = Some(pulse.tuple.protocol);
        sign.port = Some(pulse.tuple.server_port);
        sign.process.clone_from(&pulse.client_process);
        sign.flows = vec![pulse.id];
        signs.push(sign);
    }
}

/// Places that anybody can write to, executables that are gone, and programs that hand a shell over the network.
fn is_odd(path: &str) -> bool {
    let is_writable = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/"].iter().any(|place| path.starts_with(place));
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_relay = matches!(name, "nc" | "ncat" | "netcat" | "nc.traditional" | "nc.openbsd" | "socat" | "telnet");
    let is_shell = matches!(name, "sh" | "bash" | "dash" | "zsh" | "ksh" | "busybox");
    is_writable || path.ends_with(" (deleted)") || is_relay || is_shell
}

impl Detector for NewOutbound {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Pulse(pulse) if pulse.perspective == Perspective::Outbound => {
                if let Some(process) = &pulse.client_process {
                    self.take(now, pulse, process, signs);
                }
            }
            Event::Tick if self.started.is_none() => self.started = Some(now),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        Held { entries: self.programs.len() as u64, entries_max: PROGRAMS_MAX as u64, given_up: self.given_up }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Make, Watch, host, public, s};

    fn connects(second: u64, path: &str, perspective: Perspective) -> Make {
        let mut made = Make::tcp((host(1), 40_000), (public(1), 443), 100, 100).at(s(second));
        let process = Process { pid: 9, comm: "x".into(), executable: Some(path.into()), ..Process::default() };
        made.0.client_process = Some(Arc::new(process));
        made.0.perspective = perspective;
        made
    }

    #[test]
    fn a_program_is_new_once_after_the_warm_up() {
        let mut watch = Watch::new(&DEFINITION);
        watch.pulse(&connects(1, "/usr/bin/curl", Perspective::Outbound));
        watch.pulse(&connects(90_000, "/usr/bin/curl", Perspective::Outbound));
        watch.pulse(&connects(90_001, "/usr/bin/wget", Perspective::Inbound));
        watch.pulse(&connects(90_002, "/tmp/x", Perspective::Outbound));
        watch.pulse(&connects(90_003, "/tmp/x", Perspective::Outbound));
        watch.pulse(&connects(90_004, "/opt/new", Perspective::Outbound));
        let expected = [
            "low /tmp/x (pid 9, unknown user) opened its first outbound connection, to 50.0.0.1 port 443",
            "info /opt/new (pid 9, unknown user) opened its first outbound connection, to 50.0.0.1 port 443",
        ];
        assert_eq!(watch.lines(), expected);
    }

    #[test]
    fn no_more_programs_are_kept_than_the_limit() {
        let mut watch = Watch::new(&DEFINITION);
        for n in 0..20_000 {
            watch.pulse(&connects(1, &format!("/tmp/{n}"), Perspective::Outbound));
        }
        assert_eq!((watch.held().entries, watch.held().given_up), (16_384, 20_000 - 16_384));
    }
}
