//! A target as one word, such as `ipfix+udp://collector:4739?domain=7`: what can be said, and what is wrong with the rest.
//!
//! Nothing is looked up or opened here. Invariant: a target's name holds no secret; passwords are in files.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::link::Place;
use crate::netflow::{Refresh, Version};

/// How much may wait for a target in memory, MiB.
const QUEUE_MB: u64 = 64;

/// And on disk.
const SPOOL_MB: u64 = 256;

/// How often templates are sent again over UDP.
const TEMPLATE_SECONDS: u64 = 60;
const TEMPLATE_MESSAGES: u64 = 200;

/// What a format is spoken as, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Templated { version: Version, place: Place, domain: u32, refresh: Option<Refresh> },
    V5 { place: Place, domain: u32 },
    Sflow { place: Place, domain: u32 },
    Lines { place: Place },
}

/// Where flows, counters or lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Of the queue, in memory or on disk.
    pub(crate) queue_bytes: usize,
}

/// What is wrong with a target's word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It begins with nothing that is known.
    #[error("`{0}` is no export target: write one of {SCHEMES}, then host and port")]
    Scheme(String),
    /// It cannot be taken apart.
    #[error("`{word}` cannot be read ({reason}): write it like {example}")]
    Shape {
        /// The word.
        word: String,
        /// What the reader said.
        reason: String,
        /// How it should look.
        example: &'static str,
    },
    /// Something that it needs is missing.
    #[error("`{word}` names no {what}: write it like {example}")]
    Missing {
        /// The word.
        word: String,
        /// What is missing.
        what: &'static str,
        /// How it should look.
        example: &'static str,
    },
    /// A user or a password stands in it, where everybody can read it.
    #[error(
        "user and password do not belong into a target's address: write ?user=NAME&password_file=/path, with the password in that file"
    )]
    Secret,
    /// A parameter that this kind of target does not have.
    #[error("`{key}` is no parameter of {scheme}: it knows {known}")]
    UnknownParameter {
        /// The parameter.
        key: String,
        /// The target's scheme.
        scheme: &'static str,
        /// What it does know.
        known: String,
    },
    /// A parameter with a value that makes no sense.
    #[error("`{key}={value}`: write {wanted}")]
    Value {
        /// The parameter.
        key: String,
        /// Its value.
        value: String,
        /// What can be written.
        wanted: String,
    },
}

const SCHEMES: &str = "ipfix+udp://, ipfix+tcp://, netflow9://, netflow5://, sflow://, eve+unix://, eve+tcp://";

/// One scheme: how it looks, its usual port, and its parameters.
struct Scheme {
    name: &'static str,
    example: &'static str,
    port: Option<u16>,
    parameters: &'static [&'static str],
}

const ALL: &[Scheme] = &[
    Scheme {
        name: "ipfix+udp",
        example: "ipfix+udp://collector.example:4739",
        port: Some(4739),
        parameters: &["domain", "template_seconds", "template_messages", "queue_mb"],
    },
    Scheme {
        name: "ipfix+tcp",
        example: "ipfix+tcp://collector.example:4739",
        port: Some(4739),
        parameters: &["domain", "queue_mb"],
    },
    Scheme {
        name: "netflow9",
        example: "netflow9://collector.example:2055",
        port: Some(2055),
        parameters: &["domain", "template_seconds", "template_messages", "queue_mb"],
    },
    Scheme {
        name: "netflow5",
        example: "netflow5://collector.example:2055",
        port: Some(2055),
        parameters: &["domain", "queue_mb"],
    },
    Scheme {
        name: "sflow",
        example: "sflow://collector.example:6343",
        port: Some(6343),
        parameters: &["domain", "queue_mb"],
    },
    Scheme { name: "eve+unix", example: "eve+unix:///run/collector/eve.sock", port: None, parameters: &["queue_mb"] },
    Scheme { name: "eve+tcp", example: "eve+tcp://collector.example:5170", port: None, parameters: &["queue_mb"] },
];

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(word: &str) -> Result<Self, TargetError> {
        let scheme = word.split_once("://").map_or("", |(scheme, _)| scheme);
        let Some(scheme) = ALL.iter().find(|known| known.name == scheme) else {
            return Err(TargetError::Scheme(word.to_owned()));
        };
        let url = Url::parse(word).map_err(|error| TargetError::Shape {
            word: word.to_owned(),
            reason: error.to_string(),
            example: scheme.example,
        })?;
        Reader { word, scheme, url }.read()
    }
}

struct Reader<'a> {
    word: &'a str,
    scheme: &'static Scheme,
    url: Url,
}

impl Reader<'_> {
    fn read(&self) -> Result<Target, TargetError> {
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return Err(TargetError::Secret);
        }
        for (key, _) in self.url.query_pairs() {
            if !self.scheme.parameters.contains(&key.as_ref()) {
                let (scheme, known) = (self.scheme.name, self.scheme.parameters.join(", "));
                return Err(TargetError::UnknownParameter { key: key.into_owned(), scheme, known });
            }
        }
        let name = self.word.split(['?', '#']).next().unwrap_or(self.word).to_owned();
        let (kind, queue_mb) = (self.kind()?, self.number("queue_mb", 1..=65_536, QUEUE_MB)?);
        Ok(Target { name, kind, queue_bytes: (queue_mb << 20) as usize })
    }

    fn kind(&self) -> Result<Kind, TargetError> {
        let domain = || self.number("domain", 0..=u64::from(u32::MAX), 1).map(|domain| domain as u32);
        Ok(match self.scheme.name {
            "ipfix+tcp" => {
                Kind::Templated { version: Version::Ipfix, place: self.tcp()?, domain: domain()?, refresh: None }
            }
            "ipfix+udp" => Kind::Templated {
                version: Version::Ipfix,
                place: self.udp()?,
                domain: domain()?,
                refresh: Some(self.refresh()?),
            },
            "netflow9" => Kind::Templated {
                version: Version::Nine,
                place: self.udp()?,
                domain: domain()?,
                refresh: Some(self.refresh()?),
            },
            "netflow5" => Kind::V5 { place: self.udp()?, domain: domain()? },
            "sflow" => Kind::Sflow { place: self.udp()?, domain: domain()? },
            "eve+tcp" => Kind::Lines { place: self.tcp()? },
            _ => Kind::Lines { place: self.unix()? },
        })
    }

    fn refresh(&self) -> Result<Refresh, TargetError> {
        let seconds = self.number("template_seconds", 1..=86_400, TEMPLATE_SECONDS)?;
        let messages = self.number("template_messages", 1..=1_000_000, TEMPLATE_MESSAGES)?;
        Ok(Refresh { messages: messages as u32, after: Duration::from_secs(seconds) })
    }

    fn udp(&self) -> Result<Place, TargetError> {
        self.host_and_port().map(|(host, port)| Place::Udp { host, port })
    }

    fn tcp(&self) -> Result<Place, TargetError> {
        self.host_and_port().map(|(host, port)| Place::Tcp { host, port })
    }

    fn unix(&self) -> Result<Place, TargetError> {
        let path = self.word.split_once("://").map_or("", |(_, rest)| rest);
        let path = path.split('?').next().unwrap_or_default();
        if !path.starts_with('/') || path.len() < 2 {
            return Err(self.missing("absolute path"));
        }
        Ok(Place::Unix(PathBuf::from(path)))
    }

    fn host_and_port(&self) -> Result<(String, u16), TargetError> {
        let host = self.url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| self.missing("host"))?;
        if !matches!(self.url.path(), "" | "/") {
            return Err(TargetError::Shape {
                word: self.word.to_owned(),
                reason: format!("nothing may follow the port, and `{}` does", self.url.path()),
                example: self.scheme.example,
            });
        }
        let port = self.url.port().or(self.scheme.port).filter(|port| *port != 0);
        let port = port.ok_or_else(|| self.missing("port"))?;
        // A look-up wants IPv6 addresses without their brackets.
        Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
    }

    fn missing(&self, what: &'static str) -> TargetError {
        TargetError::Missing { word: self.word.to_owned(), what, example: self.scheme.example }
    }

    fn text(&self, key: &str) -> Option<String> {
        self.url.query_pairs().find(|(other, _)| other == key).map(|(_, value)| value.into_owned())
    }

    fn number(&self, key: &str, range: std::ops::RangeInclusive<u64>, default: u64) -> Result<u64, TargetError> {
        let Some(value) = self.text(key) else { return Ok(default) };
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| TargetError::Value {
            wanted: format!("a number from {} to {}", range.start(), range.end()),
            key: key.to_owned(),
            value,
        })
    }
}

impl Target {
    /// The target as it was given, without its parameters: the name in counters, metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests;
