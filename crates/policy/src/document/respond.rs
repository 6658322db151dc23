//! What hosts may do about alerts by themselves, as a document grants it.

use schemars::JsonSchema;
use serde::Serialize;

use super::values::{Rate, RateUnit, Seconds, Word, words};

words! {
    /// What is done about an alert.
    #[derive(PartialOrd, Ord)]
    Reaction {
        /// Nothing but the alert. Good for leaving out some of what a later entry grants.
        #[default]
        Alert = "alert",
        /// Only so many new flows of the source come through.
        Limit = "limit",
        /// The source is banned.
        Ban = "ban",
    }
}

words! {
    /// How bad an alert is.
    #[derive(PartialOrd, Ord)]
    Grade {
        /// Worth a line in a log.
        Info = "info",
        /// Odd.
        Low = "low",
        /// Somebody should look today.
        Medium = "medium",
        /// Somebody should look now.
        #[default]
        High = "high",
        /// It is happening, and it hurts.
        Critical = "critical",
    }
}

/// Names of detectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Detectors(pub Vec<String>);

/// What hosts may do by themselves about alerts of some detectors. The first entry that an alert fits decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// Detectors whose alerts are meant, or `any`.
    #[schemars(with = "OneOrMore")]
    pub on: Detectors,
    /// What is done.
    #[serde(rename = "do")]
    pub reaction: Reaction,
    /// How long it holds, from 10s to 720h.
    #[serde(rename = "for", default = "Respond::span_default")]
    pub span: Seconds,
    /// Alerts of this severity and worse.
    #[serde(default)]
    pub severity: Grade,
    /// Most that one host holds at once.
    #[serde(default = "Respond::most_default")]
    #[schemars(range(min = 1, max = 10000))]
    pub most: u32,
    /// New flows that a limit lets through.
    #[serde(default = "Respond::rate_default")]
    pub rate: Rate,
    /// Length of the prefix around an IPv4 source that is meant, from 24 to 32.
    #[serde(default = "Respond::prefix4_default")]
    #[schemars(range(min = 24, max = 32))]
    pub prefix4: u8,
    /// Length of the prefix around an IPv6 source that is meant, from 48 to 128.
    #[serde(default = "Respond::prefix6_default")]
    #[schemars(range(min = 48, max = 128))]
    pub prefix6: u8,
}

/// A name or a list of names, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "stands for its schema")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Respond {
    pub(crate) fn span_default() -> Seconds {
        Seconds(3600)
    }

    pub(crate) fn most_default() -> u32 {
        16
    }

    pub(crate) fn rate_default() -> Rate {
        Rate { count: 10, unit: RateUnit::Minute }
    }

    pub(crate) fn prefix4_default() -> u8 {
        32
    }

    pub(crate) fn prefix6_default() -> u8 {
        128
    }
}
