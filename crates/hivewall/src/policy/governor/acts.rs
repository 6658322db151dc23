//! What holds because of alerts, of this host and of others, as it is kept in a file beside the policy's state. The bans
//! themselves are kept elsewhere; here they are counted.
//!
//! Invariant: everything here ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hivewall_host::source::wall_clock;
use hivewall_model::Timestamp;
use hivewall_policy::document::Reaction;
use hivewall_policy::respond::Act;
use hivewall_policy::{Limit, Ruleset};
use hivewall_view::time::{parse_rfc3339, rfc3339};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::vault;

const FILE: &str = "responses.json";

/// How somebody is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// Nothing of them comes through.
    Ban,
    /// So many new flows do.
    Limit {
        /// Flows,
        count: u32,
        /// in so many seconds.
        per_s: u64,
    },
}

impl Measure {
    pub(super) fn of(act: &Act) -> Self {
        match act.reaction {
            Reaction::Limit => Self::Limit { count: act.limit.count, per_s: act.limit.per.as_secs() },
            Reaction::Ban | Reaction::Alert => Self::Ban,
        }
    }

    pub(crate) fn reaction(self) -> Reaction {
        match self {
            Self::Ban => Reaction::Ban,
            Self::Limit { .. } => Reaction::Limit,
        }
    }

    /// New flows that come through, as a document writes it; nothing for a ban.
    pub(crate) fn rate(self) -> Option<String> {
        let Self::Limit { count, per_s } = self else { return None };
        Some(match per_s {
            1 => format!("{count}/s"),
            60 => format!("{count}/m"),
            3600 => format!("{count}/h"),
            per => format!("{count} in {per} s"),
        })
    }
}

/// Who is held back until when, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) until: Timestamp,
    pub(super) measure: Measure,
    /// The host whose alert it is; this one when absent.
    pub(super) issuer: Option<String>,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    prefix: IpNet,
    until: String,
    measure: Measure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

/// All of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acts(BTreeMap<(Reaction, IpNet), Held>);

impl Acts {
    /// What the file in this state says.
    pub(super) fn open(state: &Path) -> anyhow::Result<Self> {
        let file = state.join(FILE);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let damaged = || format!("{} is damaged; move it away to start without the responses in it", file.display());
        let all: Vec<Kept> = serde_json::from_slice(&text).with_context(damaged)?;
        let mut acts = Self::default();
        for Kept { prefix, until, measure, issuer } in all {
            let until = parse_rfc3339(&until).with_context(damaged)?;
            acts.put(prefix, Held { until, measure, issuer });
        }
        Ok(acts)
    }

    pub(super) fn write(&self, state: &Path) -> anyhow::Result<()> {
        let kept = self.0.iter().map(|((_, prefix), held)| Kept {
            prefix: *prefix,
            until: rfc3339(held.until),
            measure: held.measure,
            issuer: held.issuer.clone(),
        });
        let all: Vec<Kept> = kept.collect();
        Ok(vault::replace(state, FILE, &serde_json::to_vec_pretty(&all)?)?)
    }

    /// Holds it from now on; gives what it replaces.
    pub(super) fn put(&mut self, prefix: IpNet, held: Held) -> Option<Held> {
        self.0.insert((held.measure.reaction(), prefix), held)
    }

    pub(super) fn remove(&mut self, reaction: Reaction, prefix: IpNet) -> Option<Held> {
        self.0.remove(&(reaction, prefix))
    }

    /// Whether this host does it because of an alert of its own.
    pub(super) fn is_own(&self, reaction: Reaction, prefix: IpNet) -> bool {
        self.0.get(&(reaction, prefix)).is_some_and(|held| held.issuer.is_none())
    }

    /// Whether this host asked for it.
    pub(super) fn is_of(&self, reaction: Reaction, prefix: IpNet, issuer: &str) -> bool {
        self.0.get(&(reaction, prefix)).is_some_and(|held| held.issuer.as_deref() == Some(issuer))
    }

    /// How many this host does because of its own alerts.
    pub(super) fn own(&self, reaction: Reaction) -> usize {
        self.0.iter().filter(|((held, _), of)| *held == reaction && of.issuer.is_none()).count()
    }

    /// Prefixes that are limited, and how far.
    pub(super) fn limits(&self) -> impl Iterator<Item = (IpNet, Limit)> {
        self.0.iter().filter_map(|((_, net), held)| match held.measure {
            Measure::Limit { count, per_s } => Some((*net, Limit::of_source(count, Duration::from_secs(per_s)))),
            Measure::Ban => None,
        })
    }

    /// The rules with what is limited.
    pub(super) fn limit(&self, rules: &Ruleset) -> Ruleset {
        let limits: Vec<_> = self.limits().collect();
        rules.limiting(limits.iter().map(|(net, limit)| (net, limit)))
    }

    /// Forgets what is over; what that was.
    pub(super) fn end(&mut self, now: Timestamp) -> Vec<Reaction> {
        let over: Vec<_> = self.0.iter().filter(|(_, held)| held.until <= now).map(|(key, _)| *key).collect();
        over.iter().for_each(|key| _ = self.0.remove(key));
        over.into_iter().map(|(reaction, _)| reaction).collect()
    }
}

/// The rules with what the file in this state says is limited now.
pub(crate) fn limited_now(state: &Path, rules: &Ruleset) -> anyhow::Result<Ruleset> {
    let mut acts = Acts::open(state)?;
    acts.end(wall_clock());
    Ok(acts.limit(rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn held(seconds: i64, measure: Measure, issuer: Option<&str>) -> Held {
        Held { until: Timestamp(seconds * 1_000_000_000), measure, issuer: issuer.map(str::to_owned) }
    }

    const LIMIT: Measure = Measure::Limit { count: 5, per_s: 60 };

    #[test]
    fn what_is_written_is_read_again_and_a_damaged_file_says_what_to_do() {
        let state = tempfile::tempdir().unwrap();
        let owners = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(state.path(), owners).unwrap();
        assert_eq!(Acts::open(state.path()).unwrap(), Acts::default(), "no file, nothing held");
        let mut acts = Acts::default();
        acts.put(net("192.0.2.7/32"), held(10, LIMIT, None));
        acts.put(net("192.0.2.7/32"), held(20, Measure::Ban, None));
        acts.put(net("2001:db8::/64"), held(30, LIMIT, Some("db-1")));
        acts.write(state.path()).unwrap();
        assert_eq!(Acts::open(state.path()).unwrap(), acts);

        std::fs::write(state.path().join(FILE), "[{\"prefix\": 1}]").unwrap();
        let error = format!("{:#}", Acts::open(state.path()).unwrap_err());
        assert!(error.contains("responses.json is damaged; move it away"), "{error}");
    }

    #[test]
    fn only_this_hosts_own_count_and_each_ends_in_its_time() {
        let mut acts = Acts::default();
        acts.put(net("192.0.2.7/32"), held(10, LIMIT, None));
        acts.put(net("192.0.2.8/32"), held(20, LIMIT, Some("db-1")));
        acts.put(net("192.0.2.7/32"), held(30, Measure::Ban, None));
        assert_eq!((acts.own(Reaction::Limit), acts.own(Reaction::Ban), acts.limits().count()), (1, 1, 2));
        assert!(acts.is_of(Reaction::Limit, net("192.0.2.8/32"), "db-1"));
        assert!(!acts.is_of(Reaction::Limit, net("192.0.2.7/32"), "db-1"));
        assert_eq!(acts.end(Timestamp(9_999_999_999)), []);
        assert_eq!(acts.end(Timestamp(10_000_000_000)), [Reaction::Limit]);
        assert_eq!(acts.end(Timestamp(30_000_000_000)), [Reaction::Limit, Reaction::Ban]);
        assert_eq!(acts, Acts::default());
    }

    #[test]
    fn a_limit_is_written_as_in_a_document() {
        assert_eq!((LIMIT.rate().as_deref(), Measure::Ban.rate()), (Some("5/m"), None));
    }
}
