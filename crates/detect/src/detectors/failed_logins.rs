//! Failed logins that logs tell of: many of one source, many at one account, and success after many failures.
//!
//! Not here: one source that tries many accounts a little (`password_spray`), and guessing as its sessions show it (`brute_force`).
//! Invariant: per source and per account times of at most [`TIMES_MAX`] failures are kept.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::distinct::{Distinct, address_word, word_of};
use crate::words::Voice;
use crate::{
    Attack, Definition, Detector, Event, Held, Login, SAMPLES_MAX, Settings, Sign, Spoofable, Subject, Threshold,
};

pub(crate) static DEFINITION: Definition = Definition {
    name: "failed_logins",
    title: "Failed logins",
    kind: "brute_force",
    sees: "Many failed logins from one address, or at one account from anywhere (also on the machine's own terminals: su, sudo), as \
           the host's logs tell; and a login that succeeds after many failures from the same address, which is high.",
    misses: "Services whose logs are not read or do not tell the address, and failures that were written down after the log was lost.",
    evaded_by: "Fewer tries than the threshold within ten minutes from each address and at each account.",
    technique: Some(Attack { id: "T1110", name: "Brute Force", tactic: "Credential Access" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Never,
    quiet_seconds: 900,
    thresholds: &[
        Threshold {
            name: "failures",
            unit: "logins",
            default: 8.0,
            range: (3.0, 60.0),
            doc: "Failed logins of one address within ten minutes; a person who has forgotten a password tries three to six.",
        },
        Threshold {
            name: "account_failures",
            unit: "logins",
            default: 20.0,
            range: (3.0, 60.0),
            doc: "Failed logins at one account within ten minutes, from whatever address.",
        },
        Threshold {
            name: "before_success",
            unit: "logins",
            default: 6.0,
            range: (2.0, 60.0),
            doc: "Failed logins of an address within an hour after which its success is told of.",
        },
    ],
};

/// Addresses and accounts held, each.
const ENTRIES_MAX: usize = 16_384;
/// Times kept; no threshold is greater.
const TIMES_MAX: usize = 64;
const WINDOW: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);

/// Failures of one address, or at one account.
#[derive(Debug, Default)]
struct Failures {
    times: VecDeque<Timestamp>,
    total: u64,
    others: Distinct,
    samples: Vec<String>,
    pace: Voice,
}

impl Failures {
    fn add(&mut self, time: Timestamp, other: u64, sample: impl FnOnce() -> String) {
        self.total += 1;
        if self.times.len() == TIMES_MAX {
            self.times.pop_front();
        }
        self.times.push_back(time);
        if self.others.insert(other) && self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample());
        }
    }

    fn within(&self, now: Timestamp, span: Duration) -> (u64, Timestamp) {
        let recent = || self.times.iter().filter(|time| now.since(**time) <= span);
        (recent().count() as u64, recent().min().copied().unwrap_or(now))
    }
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct FailedLogins {
    sources: Bounded<(IpAddr, Arc<str>), Failures>,
    accounts: Bounded<(Arc<str>, Arc<str>), Failures>,
    failures: u64,
    account_failures: u64,
    before_success: u64,
}

impl FailedLogins {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            sources: Bounded::new(ENTRIES_MAX, HOUR),
            accounts: Bounded::new(ENTRIES_MAX, HOUR),
            failures: settings.value(&DEFINITION, "failures") as u64,
            account_failures: settings.value(&DEFINITION, "account_failures") as u64,
            before_success: settings.value(&DEFINITION, "before_success") as u64,
        })
    }

    fn failed(&mut self, now: Timestamp, login: &Login, signs: &mut Vec<Sign>) {
        if let Some(from) = login.from {
            let key = (from, Arc::clone(&login.service));
            let source = self.sources.entry(now, &key, Failures::default);
            source.add(login.time, word_of(&login.user), || login.user.to_string());
            let (count, first) = source.within(login.time, WINDOW);
            if count >= self.failures && source.pace.is_due(login.time, 1) {
                let message = format!(
                    "{count} logins by {} from {from} failed within {}, at {}",
                    login.service,
                    units::duration(login.time.since(first)),
                    accounts(source.others.count(), &login.user),
                );
                signs.push(sign(Subject::source(from), login, source, count, first, message));
            }
        }
        if login.user.is_empty() {
            return;
        }
        let key = (Arc::clone(&login.user), Arc::clone(&login.service));
        let account = self.accounts.entry(now, &key, Failures::default);
        let other = login.from.map_or(0, address_word);
        account.add(login.time, other, || login.from.map_or("this machine".to_owned(), |from| from.to_string()));
        let (count, first) = account.within(login.time, WINDOW);
        let sources = account.others.count();
        // One source is told of above; terminals have none.
        let (needed, is_many) =
            if login.from.is_none() { (self.failures, true) } else { (self.account_failures, sources >= 3) };
        if count >= needed && is_many && account.pace.is_due(login.time, 1) {
            let whence =
                if login.from.is_none() { "on this machine".to_owned() } else { format!("from {sources} addresses") };
            let message = format!(
                "{count} logins by {} as {} failed within {}, {whence}",
                login.service,
                login.user,
                units::duration(login.time.since(first)),
            );
            let subject =
                Subject { other: Some(format!("{} {}", login.service, login.user).into()), ..Subject::default() };
            let mut sign = sign(subject, login, account, count, first, message);
            sign.sources = login.from.map(|_| sources);
            signs.push(sign);
        }
    }

    fn succeeded(&mut self, login: &Login, signs: &mut Vec<Sign>) {
        let Some(from) = login.from else { return };
        let Some(source) = self.sources.get_mut(&(from, Arc::clone(&login.service))) else { return };
        let (count, first) = source.within(login.time, HOUR);
        if count < self.before_success || !source.pace.is_due(login.time, 2) {
            return;
        }
        let message = format!(
            "{from} logged in by {} as {} after {count} failed logins within {}: a guess may have been right",
            login.service,
            login.user,
            units::duration(login.time.since(first)),
        );
        let mut sign = sign(Subject::source(from), login, source, count, first, message);
        sign.severity = Severity::High;
        sign.samples.insert(0, login.user.to_string());
        sign.samples.truncate(SAMPLES_MAX);
        signs.push(sign);
    }
}

fn accounts(count: u64, user: &str) -> String {
    match (count, user.is_empty()) {
        (1, false) => format!("the account {user}"),
        (1, true) => "an account".to_owned(),
        _ => format!("{count} accounts"),
    }
}

fn sign(subject: Subject, login: &Login, failures: &Failures, count: u64, first: Timestamp, message: String) -> Sign {
    let mut sign = Sign::new(&DEFINITION, subject, first, login.time, message);
    sign.spoofable = false;
    sign.figures = vec![("failures", count as f64), ("failures_total", failures.total as f64)];
    sign.samples.clone_from(&failures.samples);
    sign
}

impl Detector for FailedLogins {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Login(login) if login.succeeded => self.succeeded(login, signs),
            Event::Login(login) => self.failed(now, login, signs),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        self.sources.held() + self.accounts.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Watch, ip, s};

    fn login(second: u64, user: &str, from: Option<&str>, succeeded: bool) -> Login {
        Login {
            time: s(second),
            service: "ssh".into(),
            user: user.into(),
            from: from.map(ip),
            succeeded,
            user_exists: None,
        }
    }

    fn watch(logins: impl IntoIterator<Item = Login>) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        for login in logins {
            watch.event(login.time, &Event::Login(&login));
        }
        watch
    }

    #[test]
    fn eight_failures_are_told_and_seven_are_not() {
        let failures = |count| watch((0..count).map(|n| login(n * 10, "root", Some("192.0.2.7"), false)));
        assert!(failures(7).signs.is_empty());
        assert_eq!(
            failures(8).lines(),
            ["medium 8 logins by ssh from 192.0.2.7 failed within 1m10s, at the account root"]
        );
    }

    #[test]
    fn a_person_who_remembers_at_last_is_not_told() {
        let mut logins: Vec<_> = (0..4).map(|n| login(n * 10, "bob", Some("192.0.2.7"), false)).collect();
        logins.push(login(60, "bob", Some("192.0.2.7"), true));
        assert!(watch(logins).signs.is_empty());
    }

    #[test]
    fn success_after_many_failures_is_high() {
        let mut logins: Vec<_> = (0..12).map(|n| login(n * 2, "root", Some("192.0.2.7"), false)).collect();
        logins.push(login(26, "root", Some("192.0.2.7"), true));
        let watch = watch(logins);
        let last = watch.signs.last().unwrap();
        assert_eq!(last.severity, Severity::High);
        assert_eq!(last.subject, Subject::source(ip("192.0.2.7")));
    }

    #[test]
    fn many_addresses_at_one_account_are_told_by_the_account() {
        let watch = watch((0..20).map(|n| login(n * 20, "root", Some(&format!("192.0.2.{n}")), false)));
        assert_eq!(watch.lines(), ["medium 20 logins by ssh as root failed within 6m20s, from 20 addresses"]);
    }
}
