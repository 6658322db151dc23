//! Failed logins of one source, or at one account, over many hosts.
//!
//! Invariant: a host tells of at most [`FAILURES_MAX`] sources and accounts an epoch; of each at most so many hosts are remembered.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::words::Voice;
use crate::{Attack, Definition, HOSTS_MAX, Held, Login, Settings, Sign, Spoofable, Subject, Threshold};

use super::{Hosts, begin, end, note};

pub(crate) static DEFINITION: Definition = Definition {
    name: "fleet_spray",
    title: "Guessing across the fleet",
    kind: "brute_force",
    sees: "Failed logins of one source, or at one account, at many hosts within an hour, though few at each of them.",
    misses: "Hosts whose logs are not read, and guessing at fewer hosts than the threshold.",
    evaded_by: "Another address and another account for every few hosts.",
    technique: Some(Attack { id: "T1110.003", name: "Brute Force: Password Spraying", tactic: "Credential Access" }),
    severity: Severity::High,
    spoofable: Spoofable::Never,
    quiet_seconds: 7_200,
    thresholds: &[Threshold {
        name: "hosts",
        unit: "hosts",
        default: 5.0,
        // An account takes twice as many.
        range: (2.0, (HOSTS_OF_SUBJECT_MAX / 2) as f64),
        doc: "Hosts at which logins of one source failed within an hour; one account takes twice as many. A password that was changed \
              fails at one or two, until its owner notices.",
    }],
};

/// Most sources and accounts that a host tells of in one epoch.
pub const FAILURES_MAX: usize = 256;
const SUBJECTS_MAX: usize = 32_768;
const HOSTS_OF_SUBJECT_MAX: usize = 256;
const WINDOW: Duration = Duration::from_secs(3_600);

/// Failed logins of one source at one account in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceFailures {
    /// From where; `None` where the log does not say.
    pub source: Option<IpAddr>,
    /// The account.
    pub user: Box<str>,
    /// How many failed.
    pub failures: u32,
    /// How many succeeded.
    pub successes: u32,
}

impl SourceFailures {
    /// Sums up an epoch's logins over a network, at most [`FAILURES_MAX`] sources and accounts; and how many did not fit.
    pub fn sum<'a>(logins: impl IntoIterator<Item = &'a Login>) -> (Vec<Self>, u64) {
        let mut sums: HashMap<(IpAddr, &str), (u32, u32)> = HashMap::new();
        let mut given_up = 0;
        for login in logins {
            let Some(source) = login.from else { continue };
            let key = (source, &*login.user);
            if sums.len() >= FAILURES_MAX && !sums.contains_key(&key) {
                given_up += 1;
                continue;
            }
            let (failures, successes) = sums.entry(key).or_default();
            *(if login.succeeded { successes } else { failures }) += 1;
        }
        let row = |((source, user), (failures, successes)): ((IpAddr, &str), (u32, u32))| Self {
            source: Some(source),
            user: user.into(),
            failures,
            successes,
        };
        let mut rows: Vec<Self> = sums.into_iter().map(row).collect();
        rows.sort_unstable_by(|a, b| (a.source, &a.user).cmp(&(b.source, &b.user)));
        (rows, given_up)
    }
}

/// What a host tells of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFailures<'a> {
    /// Its name.
    pub host: &'a str,
    /// The epoch.
    pub epoch: u64,
    /// At most [`FAILURES_MAX`] of which count.
    pub failures: &'a [SourceFailures],
}

/// Whose failures are summed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Source(IpAddr),
    Account(Box<str>),
}

#[derive(Debug, Default)]
struct Guesses {
    hosts: Vec<(u16, u64)>,
    failures: u64,
    successes: u64,
    pace: Voice,
}

/// The fleet's side. An epoch of a host that is told twice counts once.
#[derive(Debug)]
pub struct FleetSpray {
    hosts: Hosts,
    told: Bounded<(u16, u64), ()>,
    subjects: Bounded<Whose, Guesses>,
    needed: usize,
}

impl Default for FleetSpray {
    fn default() -> Self {
        Self::make(&Settings::default())
    }
}

impl FleetSpray {
    /// By the thresholds of `settings`.
    pub fn make(settings: &Settings) -> Self {
        Self {
            hosts: Hosts::default(),
            told: Bounded::new(1 << 20, WINDOW),
            subjects: Bounded::new(SUBJECTS_MAX, WINDOW),
            needed: settings.value(&DEFINITION, "hosts") as usize,
        }
    }

    /// Takes what one host tells of one epoch.
    pub fn take(&mut self, from: &HostFailures<'_>, signs: &mut Vec<Sign>) {
        let host = self.hosts.number(from.host);
        let now = end(from.epoch);
        let mut is_again = true;
        self.told.entry(now, &(host, from.epoch), || is_again = false);
        if is_again {
            return;
        }
        for row in from.failures.iter().take(FAILURES_MAX) {
            let account = (!row.user.is_empty()).then(|| Whose::Account(row.user.clone()));
            for whose in row.source.map(Whose::Source).into_iter().chain(account) {
                // A success is news of somebody who failed; everybody else logs in all day.
                if row.failures == 0 && self.subjects.get(&whose).is_none() {
                    continue;
                }
                let subject = self.subjects.entry(now, &whose, Guesses::default);
                subject.take(host, from.epoch, row);
                // One account of everybody (root, admin) fails from many sources at many hosts: that is the internet's noise
                // unless it comes from one.
                let is_enough = match whose {
                    Whose::Source(_) => subject.hosts.len() >= self.needed,
                    Whose::Account(_) => subject.hosts.len() >= 2 * self.needed,
                };
                let level = 1 + u8::from(subject.successes > 0);
                if is_enough && subject.pace.is_due(now, level) {
                    signs.push(subject.sign(&whose, &self.hosts));
                }
            }
        }
    }

    /// What it remembers.
    pub fn held(&self) -> Held {
        self.subjects.held()
    }
}

impl Guesses {
    fn take(&mut self, host: u16, epoch: u64, row: &SourceFailures) {
        let oldest = epoch.saturating_sub(WINDOW.as_secs() / super::EPOCH_SECONDS);
        self.hosts.retain(|(_, seen)| *seen >= oldest);
        if self.hosts.is_empty() {
            *self = Self { pace: self.pace, ..Self::default() };
        }
        self.failures += u64::from(row.failures);
        self.successes += u64::from(row.successes);
        if row.failures == 0 {
            return;
        }
        note(&mut self.hosts, host, epoch, HOSTS_OF_SUBJECT_MAX);
    }

    fn sign(&self, whose: &Whose, hosts: &Hosts) -> Sign {
        let first = begin(self.hosts.iter().map(|(_, seen)| *seen).min().unwrap_or(0));
        let last = end(self.hosts.iter().map(|(_, seen)| *seen).max().unwrap_or(0));
        let (count, time) = (self.hosts.len(), units::duration(last.since(first)));
        let (subject, severity, mut message) = match whose {
            Whose::Source(source) => (
                Subject::source(*source),
                Severity::High,
                format!(
                    "{source} failed to log in at {count} hosts of the fleet within {time}, {} times in all",
                    self.failures
                ),
            ),
            Whose::Account(user) => (
                Subject { other: Some(user.clone()), ..Subject::default() },
                Severity::Low,
                format!(
                    "Logins as {user} failed at {count} hosts of the fleet within {time}, {} times in all",
                    self.failures
                ),
            ),
        };
        if self.successes > 0 && subject.source.is_some() {
            message.push_str("; it also logged in");
        }
        let mut sign = Sign::new(&DEFINITION, subject, first, last, message);
        sign.severity = severity;
        sign.spoofable = false;
        sign.target_count = count as u64;
        sign.figures =
            vec![("hosts", count as f64), ("failures", self.failures as f64), ("successes", self.successes as f64)];
        sign.hosts = self.hosts.iter().take(HOSTS_MAX).map(|(host, _)| hosts.name(*host).to_owned()).collect();
        sign
    }
}
