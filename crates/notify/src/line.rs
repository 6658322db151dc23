//! The settings behind the `?` of a channel's line.
//!
//! Invariant: a setting that nobody took is an error, so that a word with a typing error is not silently without effect.

use std::path::PathBuf;
use std::time::Duration;

use hivewall_outbound::Secret;
use percent_encoding::percent_decode_str;

use crate::error::ChannelError;

/// Settings that every channel has.
const COMMON: [&str; 6] = ["name", "min", "ended", "rate", "timeout", "retry"];

/// Names and values, with what was asked for so far.
pub(crate) struct Settings {
    pairs: Vec<(String, String)>,
    asked: Vec<&'static str>,
}

impl Settings {
    /// Reads `name=value&name=value`. A plus sign is a plus sign, as in addresses of mail; `%26` is an ampersand.
    pub(crate) fn parse(query: &str) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self { pairs: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(), asked: COMMON.to_vec() }
    }

    /// The value of that name, the last one if there are several.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        let mut found = None;
        self.pairs.retain_mut(|(other, value)| {
            let is_it = other == name;
            if is_it {
                found = Some(std::mem::take(value));
            }
            !is_it
        });
        found
    }

    /// All values of that name, split at commas.
    pub(crate) fn take_list(&mut self, name: &'static str) -> Vec<String> {
        self.asked.push(name);
        let mut found = Vec::new();
        self.pairs.retain(|(other, value)| {
            if other == name {
                found.extend(value.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
            }
            other != name
        });
        found
    }

    pub(crate) fn take_duration(&mut self, name: &'static str) -> Result<Option<Duration>, ChannelError> {
        self.take(name).map(|value| duration(name, &value)).transpose()
    }

    pub(crate) fn take_path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.take(name).map(PathBuf::from)
    }

    /// The secret in the file of that name.
    pub(crate) fn take_secret(&mut self, name: &'static str) -> Result<Option<Secret>, ChannelError> {
        Ok(self.take_path(name).map(|path| Secret::read(&path)).transpose()?)
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(mut self, kind: &'static str) -> Result<(), ChannelError> {
        let Some((name, _)) = self.pairs.pop() else { return Ok(()) };
        self.asked.sort_unstable();
        self.asked.dedup();
        let suggestion = nearest(&name, &self.asked);
        Err(ChannelError::Setting { kind, name, suggestion, known: self.asked.join(", ") })
    }
}

/// The word that is meant, if one is near.
pub(crate) fn nearest(word: &str, known: &[&str]) -> Option<String> {
    let near = known.iter().map(|other| (strsim::damerau_levenshtein(word, other), *other)).min()?;
    (near.0 <= 3 && near.0 < near.1.len()).then(|| near.1.to_owned())
}

/// `500ms`, `10s`, `1m`, `1h30m`.
pub(crate) fn duration(name: &str, value: &str) -> Result<Duration, ChannelError> {
    hivewall_view::units::parse_duration(value).ok_or_else(|| ChannelError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        expected: "a time such as 500ms, 10s, 1m or 1h",
    })
}
