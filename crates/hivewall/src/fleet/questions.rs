//! What members' programs ask one another, beyond what the core says: how a policy stands, flows, what a host is like,
//! whether a host can be reached.
//!
//! Postcard, with a version first. Invariant: a question that cannot be read, or is of another version, is refused and
//! does nothing.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use hivewall_view::alerts::AlertQuery;

use super::{ANSWER_WAIT, REHEARSAL_WAIT};

/// Version of these questions.
const VERSION: u8 = 1;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Question {
    /// How do you stand to the fleet's policy?
    Stand,
    /// Flows: a filter in its text form, the order by name, how many, whether from history. Answered in JSON.
    Flows { filter: String, sort: String, limit: u32, history: bool },
    /// What are you like? A digest in JSON.
    Digest,
    /// What are your links like? In JSON.
    Links,
    /// Which rules hold? The policy's view in JSON.
    Rules,
    /// Can you open a new connection to this TCP port of mine? [`Reached`].
    Reach {
        port: u16,
        /// Whether something listens there: if nothing does, a refused connection shows as much as an open one.
        listens: bool,
    },
    /// Take this ban of yours back.
    Withdraw { number: u64, who: String },
    /// Take what I saw of sources that are yours to keep, in an epoch. Answered with nothing.
    Sightings(Box<crate::watch::Sightings>),
    /// Alerts that match. Answered in JSON.
    Alerts(Box<AlertQuery>),
    /// What would a policy have done to your flows? Answered in JSON with that, or with why it cannot be told.
    Rehearse { document: String, last: Option<String>, current: Option<String>, without_guard: bool },
}

/// How a host stands to the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stands {
    /// Version that it speaks of.
    pub(super) version: u64,
    /// Whether it enforces it, or it is not for this host.
    pub(super) is_enforced: bool,
    /// Why it refused it; empty when it did not.
    pub(super) refusal: String,
    /// Whether it waits for confirmation: seconds left.
    pub(super) waits_s: Option<u64>,
}

/// Whether a host could be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached(pub(super) bool);

impl Question {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// How long a host may take to answer it.
    pub(super) const fn wait(&self) -> Duration {
        match self {
            Self::Rehearse { .. } => REHEARSAL_WAIT,
            _ => ANSWER_WAIT,
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).unwrap_or_default()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (version, body) = bytes.split_first()?;
    (*version == VERSION).then(|| postcard::from_bytes(body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_back_and_another_version_is_not() {
        let question = Question::Flows { filter: "ip:10.0.0.1".into(), sort: "bytes".into(), limit: 5, history: false };
        let mut bytes = question.encode();
        assert_eq!(Question::decode(&bytes), Some(question));
        bytes[0] = 9;
        assert_eq!((Question::decode(&bytes), Question::decode(&[])), (None, None));
    }
}
