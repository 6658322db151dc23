//! One source that tries a few passwords at many accounts, as logs tell.
//!
//! Not here: many tries at few accounts (`failed_logins`). Invariant: per source the accounts are kept up to a number and counted
//! beyond it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::distinct::{Distinct, word_of};
use crate::words::Voice;
use crate::{
    Attack, Definition, Detector, Event, Held, Login, SAMPLES_MAX, Settings, Sign, Spoofable, Subject, Threshold,
};

pub(crate) static DEFINITION: Definition = Definition {
    name: "password_spray",
    title: "Password spraying",
    kind: "brute_force",
    sees: "One address whose logins fail at many different accounts, a few times each, within an hour, so that no account is locked; \
           and that it then succeeds at one.",
    misses: "Spraying from many addresses, of which each tries few accounts (the fleet's own detector sees those that try several \
             hosts), and services whose logs tell no address. Many people behind one gateway who mistype at once look the same.",
    evaded_by: "A new address every few accounts, or hours between tries.",
    technique: Some(Attack { id: "T1110.003", name: "Brute Force: Password Spraying", tactic: "Credential Access" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Never,
    quiet_seconds: 3_600,
    thresholds: &[
        Threshold {
            name: "accounts",
            unit: "accounts",
            default: 6.0,
            range: (3.0, 250.0),
            doc: "Different accounts at which an address failed within an hour; a person has one or two.",
        },
        Threshold {
            name: "tries_per_account",
            unit: "logins",
            default: 4.0,
            range: (1.0, 100.0),
            doc: "Mean failures at each of them up to which it is spraying; account policies lock after five.",
        },
    ],
};

/// Addresses held.
const SOURCES_MAX: usize = 16_384;
const WINDOW: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
struct Source {
    since: Timestamp,
    accounts: Distinct,
    unknown: u64,
    failures: u64,
    samples: Vec<String>,
    pace: Voice,
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct PasswordSpray {
    sources: Bounded<(IpAddr, Arc<str>), Source>,
    accounts: u64,
    tries: f64,
}

impl PasswordSpray {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            sources: Bounded::new(SOURCES_MAX, WINDOW),
            accounts: settings.value(&DEFINITION, "accounts") as u64,
            tries: settings.value(&DEFINITION, "tries_per_account"),
        })
    }

    fn take(&mut self, now: Timestamp, from: IpAddr, login: &Login, signs: &mut Vec<Sign>) {
        let key = (from, Arc::clone(&login.service));
        if login.succeeded && self.sources.get_mut(&key).is_none() {
            return;
        }
        let source = self.sources.entry(now, &key, Source::default);
        if login.time.since(source.since) > WINDOW {
            *source = Source { since: login.time, pace: source.pace, ..Source::default() };
        }
        if !login.succeeded {
            source.failures += 1;
            source.unknown += u64::from(login.user_exists == Some(false));
            if source.accounts.insert(word_of(&login.user)) && source.samples.len() < SAMPLES_MAX {
                source.samples.push(login.user.to_string());
            }
        }
        let accounts = source.accounts.count();
        let is_spray = accounts >= self.accounts && source.failures as f64 <= self.tries * accounts as f64;
        if !is_spray || !source.pace.is_due(login.time, 1 + u8::from(login.succeeded)) {
            return;
        }
        let mut message = format!(
            "{from} failed to log in by {} at {accounts} accounts within {}, {} times in all",
            login.service,
            units::duration(login.time.since(source.since)),
            source.failures,
        );
        if login.succeeded {
            message = format!("{message}, and then logged in as {}", login.user);
        }
        let mut sign = Sign::new(&DEFINITION, Subject::source(from), source.since, login.time, message);
        sign.spoofable = false;
        if login.succeeded {
            sign.severity = Severity::High;
        }
        sign.figures = vec![
            ("accounts", accounts as f64),
            ("failures", source.failures as f64),
            ("failures_at_unknown_accounts", source.unknown as f64),
        ];
        sign.samples.clone_from(&source.samples);
        signs.push(sign);
    }
}

impl Detector for PasswordSpray {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        if let Event::Login(login) = event
            && let Some(from) = login.from
            && !login.user.is_empty()
        {
            self.take(now, from, login, signs);
        }
    }

    fn held(&self) -> Held {
        self.sources.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Watch, ip, s};

    fn watch(tries: impl IntoIterator<Item = (u64, String, bool)>) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        for (second, user, succeeded) in tries {
            let (time, user) = (s(second), user.as_str().into());
            let login =
                Login { time, service: "rdp".into(), user, from: Some(ip("192.0.2.7")), succeeded, user_exists: None };
            watch.event(time, &Event::Login(&login));
        }
        watch
    }

    #[test]
    fn six_accounts_are_told_and_five_are_not() {
        let spray = |count| watch((0..count).map(|n| (n * 60, format!("user{n}"), false)));
        assert!(spray(5).signs.is_empty());
        assert_eq!(
            spray(6).lines(),
            ["medium 192.0.2.7 failed to log in by rdp at 6 accounts within 5m00s, 6 times in all"]
        );
    }

    #[test]
    fn many_tries_at_few_accounts_are_another_thing() {
        let tries = (0..200).map(|n| (n, format!("user{}", n % 5), false));
        assert!(watch(tries).signs.is_empty());
    }

    #[test]
    fn success_is_high() {
        let mut tries: Vec<_> = (0..8).map(|n| (n * 60, format!("user{n}"), false)).collect();
        tries.push((500, "user3".to_owned(), true));
        let watch = watch(tries);
        assert_eq!(watch.signs.last().map(|sign| sign.severity), Some(Severity::High));
        assert!(watch.lines().last().unwrap().ends_with("and then logged in as user3"));
    }
}
