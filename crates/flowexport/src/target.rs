//! A target as one word, such as `ipfix+udp://collector:4739?domain=7`: what can be said, and what is wrong with the rest.
//!
//! Nothing is looked up or opened here. Invariant: a target's name holds no secret; passwords are in files.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::link::Place;
use crate::netflow::{Refresh, Version};
use crate::rows::What;

/// How much may wait for a target in memory, MiB.
const QUEUE_MB: u64 = 64;

/// And on disk.
const SPOOL_MB: u64 = 256;

/// How often templates are sent again over UDP.
const TEMPLATE_SECONDS: u64 = 60;
const TEMPLATE_MESSAGES: u64 = 200;

/// What a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Direct(Direct),
    Durable(Durable),
}

/// What acknowledges nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    Templated { version: Version, place: Place, domain: u32, refresh: Option<Refresh> },
    V5 { place: Place, domain: u32 },
    Sflow { place: Place, domain: u32 },
    Lines { place: Place },
}

/// What acknowledges, and so has its queue on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    Nats { host: String, port: u16, subject: String, tls: bool, access: Access, what: What },
    ClickHouse { url: String, table: String, access: Access, what: What },
}

/// How to get in: names and files, no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
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
    /// Credentials would travel in the clear.
    #[error("credentials for {host} would travel in the clear: add tls=true, or leave them out")]
    Clear {
        /// The host.
        host: String,
    },
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

const SCHEMES: &str = "ipfix+udp://, ipfix+tcp://, netflow9://, netflow5://, sflow://, eve+unix://, eve+tcp://, nats://, clickhouse+http://, clickhouse+https://";

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
    Scheme {
        name: "nats",
        example: "nats://server.example:4222/hivewall.events",
        port: Some(4222),
        parameters: &["what", "tls", "ca_file", "user", "password_file", "token_file", "queue_mb"],
    },
    Scheme {
        name: "clickhouse+http",
        example: "clickhouse+http://server.example:8123/hivewall.flows",
        port: Some(8123),
        parameters: &["what", "user", "password_file", "queue_mb"],
    },
    Scheme {
        name: "clickhouse+https",
        example: "clickhouse+https://server.example:8443/hivewall.flows",
        port: Some(8443),
        parameters: &["what", "ca_file", "user", "password_file", "queue_mb"],
    },
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
        let kind = self.kind()?;
        let usual = if matches!(kind, Kind::Durable(_)) { SPOOL_MB } else { QUEUE_MB };
        let queue_mb = self.number("queue_mb", 1..=65_536, usual)?;
        Ok(Target { name, kind, queue_bytes: (queue_mb << 20) as usize })
    }

    fn kind(&self) -> Result<Kind, TargetError> {
        let domain = || self.number("domain", 0..=u64::from(u32::MAX), 1).map(|domain| domain as u32);
        let direct = match self.scheme.name {
            "nats" => return Ok(Kind::Durable(self.nats()?)),
            "clickhouse+http" => return Ok(Kind::Durable(self.clickhouse("http")?)),
            "clickhouse+https" => return Ok(Kind::Durable(self.clickhouse("https")?)),
            "ipfix+tcp" => {
                Direct::Templated { version: Version::Ipfix, place: self.tcp()?, domain: domain()?, refresh: None }
            }
            "ipfix+udp" => self.templated(Version::Ipfix, domain()?)?,
            "netflow9" => self.templated(Version::Nine, domain()?)?,
            "netflow5" => Direct::V5 { place: self.udp()?, domain: domain()? },
            "sflow" => Direct::Sflow { place: self.udp()?, domain: domain()? },
            "eve+tcp" => Direct::Lines { place: self.tcp()? },
            _ => Direct::Lines { place: self.unix()? },
        };
        Ok(Kind::Direct(direct))
    }

    fn templated(&self, version: Version, domain: u32) -> Result<Direct, TargetError> {
        Ok(Direct::Templated { version, place: self.udp()?, domain, refresh: Some(self.refresh()?) })
    }

    fn nats(&self) -> Result<Durable, TargetError> {
        let (host, port) = self.host_and_port_before_a_path()?;
        let subject = self.url.path().trim_start_matches('/').to_owned();
        let is_token =
            |token: &str| !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic() && !"*>/%".contains(c));
        if !subject.split('.').all(is_token) {
            return Err(self.missing("subject to publish to (words joined by dots, without * and >)"));
        }
        let tls = self.choice("tls", &[("false", false), ("true", true)])?.unwrap_or(false);
        let what = self.what()?.unwrap_or(What::Events);
        let access = self.access()?;
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if !tls && !is_here && (access.user.is_some() || access.token_file.is_some()) {
            return Err(TargetError::Clear { host });
        }
        Ok(Durable::Nats { host, port, subject, tls, access, what })
    }

    fn clickhouse(&self, scheme: &str) -> Result<Durable, TargetError> {
        let (host, port) = self.host_and_port_before_a_path()?;
        let table = self.url.path().trim_start_matches('/').to_owned();
        let is_name = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && name.starts_with(|c: char| !c.is_ascii_digit())
        };
        if !(table.split('.').count() == 2 && table.split('.').all(is_name)) {
            return Err(self.missing("database and table (letters, digits and _, joined by one dot)"));
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let what = self.what()?.unwrap_or(What::Flows);
        Ok(Durable::ClickHouse { url: format!("{scheme}://{host}:{port}/"), table, access: self.access()?, what })
    }

    fn what(&self) -> Result<Option<What>, TargetError> {
        self.choice("what", &[("flows", What::Flows), ("events", What::Events)])
    }

    fn access(&self) -> Result<Access, TargetError> {
        let file = |key: &str| match self.text(key) {
            Some(path) if !path.starts_with('/') => Err(TargetError::Value {
                key: key.to_owned(),
                value: path,
                wanted: "the absolute path of a file".to_owned(),
            }),
            path => Ok(path.map(PathBuf::from)),
        };
        let access = Access {
            user: self.text("user"),
            password_file: file("password_file")?,
            token_file: file("token_file")?,
            ca_file: file("ca_file")?,
        };
        if access.password_file.is_some() != access.user.is_some() {
            return Err(self.missing("pair of user and password_file; each needs the other"));
        }
        Ok(access)
    }

    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, TargetError> {
        let Some(value) = self.text(key) else { return Ok(None) };
        let found = choices.iter().find(|(name, _)| *name == value);
        found.map(|(_, choice)| Some(*choice)).ok_or_else(|| TargetError::Value {
            key: key.to_owned(),
            value,
            wanted: choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or "),
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
        if !matches!(self.url.path(), "" | "/") {
            return Err(TargetError::Shape {
                word: self.word.to_owned(),
                reason: format!("nothing may follow the port, and `{}` does", self.url.path()),
                example: self.scheme.example,
            });
        }
        self.host_and_port_before_a_path()
    }

    fn host_and_port_before_a_path(&self) -> Result<(String, u16), TargetError> {
        let host = self.url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| self.missing("host"))?;
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
