//! A source that touches each host once or twice, and the whole fleet often.
//!
//! A host tells of sources whose new connections were refused or not answered, or that came to a port it does not serve: those are
//! few, and a rare one is not crowded out by those who talk much. Invariant: per epoch a host keeps and tells at most [`TOUCHES_MAX`]
//! sources, and the fleet's side remembers at most [`SOURCES_MAX`].

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use hivewall_model::{Perspective, Pulse};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::wire::is_host;
use crate::words::Voice;
use crate::{Attack, Definition, HOSTS_MAX, Held, Settings, Sign, Spoofable, Subject, Threshold};

use super::{Hosts, begin, end, note};

pub(crate) static DEFINITION: Definition = Definition {
    name: "fleet_scan",
    title: "Slow scan of the fleet",
    kind: "scan",
    sees: "A source whose connections to many hosts of the fleet came to nothing within an hour, though each host saw one or two.",
    misses: "Scans of fewer hosts than the threshold, and those slower than an hour for so many. Sources that a host could not tell of, \
             because more than 256 others had more to say in an epoch, are counted as given up there.",
    evaded_by: "Another source address for every few hosts.",
    technique: Some(Attack { id: "T1595.001", name: "Active Scanning: Scanning IP Blocks", tactic: "Reconnaissance" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Depends,
    quiet_seconds: 7_200,
    thresholds: &[
        Threshold {
            name: "hosts",
            unit: "hosts",
            default: 10.0,
            range: (2.0, HOSTS_OF_SOURCE_MAX as f64),
            doc: "Hosts that a source touched in vain within an hour. A client whose server is down tries one or two.",
        },
        Threshold {
            name: "answered_share",
            unit: "",
            default: 0.5,
            range: (0.0, 1.0),
            doc: "Share of attempts that were answered above which a source is a client of the fleet rather than a scanner.",
        },
    ],
};

/// Most sources that a host tells of in one epoch.
pub const TOUCHES_MAX: usize = 256;
/// Sources that a host keeps while an epoch lasts, from which those it tells of are chosen.
const KEPT_MAX: usize = 4_096;
/// Ports kept of one source in one epoch.
const PORTS_MAX: usize = 64;
/// Sources that the fleet's side remembers.
pub(crate) const SOURCES_MAX: usize = 65_536;
/// Hosts remembered of one source; beyond, they are counted no further.
const HOSTS_OF_SOURCE_MAX: usize = 256;
const WINDOW: Duration = Duration::from_secs(3_600);

/// What one source did at one host in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Who.
    pub source: IpAddr,
    /// How many ports, as far as they were told apart.
    pub ports: u16,
    /// One of them.
    pub port: u16,
    /// New conversations.
    pub attempts: u32,
    /// Those that were answered by more than a refusal.
    pub answered: u32,
    /// Those in which the source proved that it is where it says.
    pub proven: u32,
}

/// What a host tells of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTouches<'a> {
    /// Its name.
    pub host: &'a str,
    /// The epoch.
    pub epoch: u64,
    /// Sources, at most [`TOUCHES_MAX`] of which count.
    pub touches: &'a [Touch],
}

#[derive(Debug, Default)]
struct Kept {
    ports: Vec<u16>,
    attempts: u32,
    answered: u32,
    proven: u32,
}

/// The host's side: gathers an epoch's touches from its pulses.
#[derive(Debug, Default)]
pub struct Touches {
    kept: HashMap<IpAddr, Kept>,
    given_up: u64,
}

impl Touches {
    /// Takes a pulse of a conversation that somebody opened with this host; others are passed over.
    pub fn see(&mut self, pulse: &Pulse) {
        let source = pulse.tuple.client;
        let is_coming = matches!(pulse.perspective, Perspective::Inbound | Perspective::Transit);
        // A conversation is judged when it is over: before that, one that will be served looks like one that will not.
        if pulse.ended.is_none() || !is_coming || !is_host(source) {
            return;
        }
        if self.kept.len() >= KEPT_MAX && !self.kept.contains_key(&source) {
            self.given_up += 1;
            return;
        }
        let kept = self.kept.entry(source).or_default();
        kept.attempts = kept.attempts.saturating_add(1);
        if kept.ports.len() < PORTS_MAX && !kept.ports.contains(&pulse.tuple.server_port) {
            kept.ports.push(pulse.tuple.server_port);
        }
        let is_answered = match pulse.tuple.protocol {
            6 => pulse.is_proven() && pulse.to_client.ip_bytes > 60 * pulse.to_client.packets,
            _ => pulse.to_client.packets > 0,
        };
        kept.answered = kept.answered.saturating_add(u32::from(is_answered));
        kept.proven = kept.proven.saturating_add(u32::from(pulse.is_proven()));
    }

    /// Ends an epoch: those with attempts that came to nothing, fewest attempts first, so that the rare ones survive.
    pub fn turn(&mut self) -> Vec<Touch> {
        let all = std::mem::take(&mut self.kept);
        let mut touches: Vec<Touch> = all
            .into_iter()
            .filter(|(_, kept)| kept.attempts > kept.answered)
            .map(|(source, kept)| Touch {
                source,
                ports: kept.ports.len() as u16,
                port: kept.ports.first().copied().unwrap_or(0),
                attempts: kept.attempts,
                answered: kept.answered,
                proven: kept.proven,
            })
            .collect();
        touches.sort_unstable_by_key(|touch| (touch.attempts, touch.source));
        self.given_up += touches.len().saturating_sub(TOUCHES_MAX) as u64;
        touches.truncate(TOUCHES_MAX);
        touches
    }

    /// What it holds; sources beyond [`TOUCHES_MAX`] and those for which there was no room are given up.
    pub fn held(&self) -> Held {
        Held { entries: self.kept.len() as u64, entries_max: KEPT_MAX as u64, given_up: self.given_up }
    }
}

#[derive(Debug, Default)]
struct Source {
    /// Hosts touched in vain, and when.
    hosts: Vec<(u16, u64)>,
    attempts: u64,
    answered: u64,
    proven: u64,
    ports: HashSet<u16>,
    most_at_one: u32,
    pace: Voice,
}

/// The fleet's side. Takes what hosts tell, in any order and late; an epoch of a host that is told twice counts once.
#[derive(Debug)]
pub struct FleetScan {
    hosts: Hosts,
    told: Bounded<(u16, u64), ()>,
    sources: Bounded<IpAddr, Source>,
    needed: usize,
    share: f64,
}

impl Default for FleetScan {
    fn default() -> Self {
        Self::make(&Settings::default())
    }
}

impl FleetScan {
    /// By the thresholds of `settings`.
    pub fn make(settings: &Settings) -> Self {
        Self {
            hosts: Hosts::default(),
            told: Bounded::new(1 << 20, WINDOW),
            sources: Bounded::new(SOURCES_MAX, WINDOW),
            needed: settings.value(&DEFINITION, "hosts") as usize,
            share: settings.value(&DEFINITION, "answered_share"),
        }
    }

    /// Takes what one host tells of one epoch. Addresses in `members` are hosts of the fleet: monitoring among them is theirs.
    pub fn take(&mut self, from: &HostTouches<'_>, is_member: impl Fn(IpAddr) -> bool, signs: &mut Vec<Sign>) {
        let host = self.hosts.number(from.host);
        let now = end(from.epoch);
        let mut is_again = true;
        self.told.entry(now, &(host, from.epoch), || is_again = false);
        if is_again {
            return;
        }
        for touch in from.touches.iter().take(TOUCHES_MAX) {
            let source = self.sources.entry(now, &touch.source, Source::default);
            source.take(host, from.epoch, touch);
            let count = source.hosts.len();
            let is_client = source.answered as f64 > self.share * source.attempts as f64;
            if count >= self.needed && !is_client && source.pace.is_due(now, 1) {
                signs.push(source.sign(touch.source, is_member(touch.source), &self.hosts));
            }
        }
    }

    /// What it remembers.
    pub fn held(&self) -> Held {
        self.sources.held()
    }
}

impl Source {
    fn take(&mut self, host: u16, epoch: u64, touch: &Touch) {
        let oldest = epoch.saturating_sub(WINDOW.as_secs() / super::EPOCH_SECONDS);
        self.hosts.retain(|(_, seen)| *seen >= oldest);
        if self.hosts.is_empty() {
            *self = Self { pace: self.pace, ..Self::default() };
        }
        note(&mut self.hosts, host, epoch, HOSTS_OF_SOURCE_MAX);
        self.attempts += u64::from(touch.attempts);
        self.answered += u64::from(touch.answered);
        self.proven += u64::from(touch.proven);
        self.most_at_one = self.most_at_one.max(touch.attempts);
        if self.ports.len() < PORTS_MAX {
            self.ports.insert(touch.port);
        }
    }

    fn sign(&self, source: IpAddr, is_member: bool, hosts: &Hosts) -> Sign {
        let first = begin(self.hosts.iter().map(|(_, seen)| *seen).min().unwrap_or(0));
        let last = end(self.hosts.iter().map(|(_, seen)| *seen).max().unwrap_or(0));
        let message = format!(
            "{source} touched {} hosts of the fleet within {}, {} times in all and {} times at most at one of them in ten seconds",
            self.hosts.len(),
            units::duration(last.since(first)),
            self.attempts,
            self.most_at_one,
        );
        let mut sign = Sign::new(&DEFINITION, Subject::source(source), first, last, message);
        sign.severity = if is_member { Severity::Info } else { Severity::Medium };
        sign.spoofable = self.proven == 0;
        sign.target_count = self.hosts.len() as u64;
        sign.port = if self.ports.len() == 1 { self.ports.iter().next().copied() } else { None };
        sign.figures = vec![
            ("hosts", self.hosts.len() as f64),
            ("attempts", self.attempts as f64),
            ("answered", self.answered as f64),
            ("ports", self.ports.len() as f64),
        ];
        sign.hosts = self.hosts.iter().take(HOSTS_MAX).map(|(host, _)| hosts.name(*host).to_owned()).collect();
        sign
    }
}
