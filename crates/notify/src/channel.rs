//! A channel as it stands in one line of the configuration: a kind, an address, and settings behind a `?`.
//!
//! Reading a line opens no connection. It reads the files with secrets that the line names, so that a wrong mode is told
//! when the configuration is checked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hivewall_outbound::{Credentials, HttpOptions, Secret};
use hivewall_view::alerts::Severity;
use url::Url;

use crate::error::ChannelError;
use crate::line::{Settings, duration, nearest};
use crate::sink::{alertmanager, command, journald, mail, syslog, webhook};

/// At most so many messages in so long. Beyond it what comes is held, and told in one summary when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Messages.
    pub messages: u32,
    /// In this time.
    pub per: Duration,
}

/// One channel.
pub struct Channel {
    /// Its name in counters, errors, and of its queue's file: the host's or the kind's unless `name=` says another.
    pub name: String,
    /// Milder alerts are not told.
    pub min: Severity,
    /// Whether the end of an alert is told.
    pub ended: bool,
    /// What comes within this time for the same detector and kind is one message. Zero: each is its own.
    pub group_wait: Duration,
    /// None: no limit.
    pub rate: Option<Rate>,
    /// For one attempt.
    pub timeout: Duration,
    /// The first wait after a failure; it doubles up to five minutes.
    pub retry: Duration,
    pub(crate) kind: Kind,
}

/// An address can be a secret, and is not shown.
impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where it goes.
pub(crate) enum Kind {
    Alertmanager(alertmanager::Target),
    Webhook(webhook::Target),
    Mail(mail::Target),
    Syslog(syslog::Target),
    Journald(PathBuf),
    Command(PathBuf),
}

/// What a kind does unless the line says otherwise.
struct Defaults {
    group_wait: Duration,
    rate: Option<Rate>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form in which it is used")]
const fn per_minute(messages: u32) -> Option<Rate> {
    Some(Rate { messages, per: Duration::from_secs(60) })
}

const ONE_BY_ONE: Defaults = Defaults { group_wait: Duration::ZERO, rate: per_minute(600) };
const WORDS: [&str; 13] = [
    "alertmanager+http",
    "alertmanager+https",
    "webhook+http",
    "webhook+https",
    "webhook+file",
    "smtp+starttls",
    "smtp+tls",
    "smtp+none",
    "syslog+udp",
    "syslog+tcp",
    "syslog",
    "journald",
    "command",
];

impl Channel {
    /// Reads one line. The error says what to write instead.
    pub fn parse(line: &str) -> Result<Self, ChannelError> {
        let line = line.trim();
        let (address, query) = line.split_once('?').unwrap_or((line, ""));
        let (word, rest) = address.split_once(':').unwrap_or((address, ""));
        let mut settings = Settings::parse(query);
        let (kind, label, host, defaults) = match word {
            "alertmanager+http" | "alertmanager+https" => {
                let (url, http) = http(address, "alertmanager+", &mut settings)?;
                let host = host_of(&url);
                let target = alertmanager::Target::new(&url, http, settings.take_duration("resend")?)?;
                (Kind::Alertmanager(target), "alertmanager", host, Defaults { rate: None, ..ONE_BY_ONE })
            }
            "webhook+http" | "webhook+https" | "webhook+file" => {
                let address = if word == "webhook+file" {
                    format!("webhook+{}", url_in_file(rest)?.reveal())
                } else {
                    address.to_owned()
                };
                let (url, http) = http(&address, "webhook+", &mut settings)?;
                let host = host_of(&url);
                let target = webhook::Target::new(url, http, &mut settings)?;
                let defaults = Defaults { group_wait: Duration::from_secs(10), rate: per_minute(30) };
                (Kind::Webhook(target), "webhook", host, defaults)
            }
            "smtp+starttls" | "smtp+tls" | "smtp+none" => {
                let target = mail::Target::new(&parse_url(address)?, &mut settings)?;
                let defaults = Defaults { group_wait: Duration::from_secs(30), rate: per_minute(10) };
                let host = target.host.clone();
                (Kind::Mail(target), "smtp", host, defaults)
            }
            "syslog+udp" | "syslog+tcp" | "syslog" => {
                let target = syslog::Target::new(word, rest, &mut settings)?;
                let host = target.host().to_owned();
                (Kind::Syslog(target), "syslog", host, ONE_BY_ONE)
            }
            "journald" => (Kind::Journald(journald::path(rest)), "journald", String::new(), ONE_BY_ONE),
            "command" => {
                let path = command::program(rest)?;
                let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                (Kind::Command(path), "command", file, Defaults { rate: per_minute(30), ..ONE_BY_ONE })
            }
            _ => return Err(ChannelError::Kind { word: word.to_owned(), suggestion: nearest(word, &WORDS) }),
        };
        Self::with_settings(kind, label, &host, &defaults, settings)
    }

    fn with_settings(
        kind: Kind,
        label: &'static str,
        host: &str,
        defaults: &Defaults,
        mut settings: Settings,
    ) -> Result<Self, ChannelError> {
        let name = settings.take("name").unwrap_or_else(|| match host {
            "" => label.to_owned(),
            host => format!("{label}-{host}"),
        });
        let groups = matches!(kind, Kind::Webhook(_) | Kind::Mail(_));
        let group_wait = if groups { settings.take_duration("group_wait")? } else { None };
        let channel = Self {
            name: safe_name(&name),
            min: settings.take("min").map_or(Ok(Severity::Low), |value| severity(&value))?,
            ended: settings.take("ended").map_or(Ok(true), |value| yes_or_no("ended", &value))?,
            group_wait: group_wait.unwrap_or(defaults.group_wait),
            rate: settings.take("rate").map_or(Ok(defaults.rate), |value| rate(&value))?,
            timeout: settings
                .take_duration("timeout")?
                .unwrap_or(Duration::from_secs(10))
                .max(Duration::from_millis(10)),
            retry: settings.take_duration("retry")?.unwrap_or(Duration::from_secs(1)).max(Duration::from_millis(1)),
            kind,
        };
        settings.finish(label)?;
        Ok(channel)
    }
}

/// What is safe in a file's name and in a label.
fn safe_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let safe: String = name.chars().map(safe).take(100).collect();
    let words: Vec<_> = safe.split('-').map(|word| word.trim_matches('.')).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "channel".to_owned() } else { words.join("-") }
}

pub(crate) fn parse_url(address: &str) -> Result<Url, ChannelError> {
    let url = Url::parse(address).map_err(|_| ChannelError::Value {
        name: "address".to_owned(),
        value: address.to_owned(),
        expected: "kind://host:port",
    })?;
    if url.password().is_some() {
        return Err(ChannelError::PasswordInLine);
    }
    Ok(url)
}

fn host_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The address without the kind and without the user, and how to ask there.
fn http(address: &str, kind: &str, settings: &mut Settings) -> Result<(String, HttpOptions), ChannelError> {
    let mut url = parse_url(address.strip_prefix(kind).unwrap_or(address))?;
    let user = url.username().to_owned();
    // A web address can always be without a user.
    let _ = url.set_username("");
    let (token, password) = (settings.take_secret("token_file")?, settings.take_secret("password_file")?);
    let credentials = match (token, password) {
        (Some(token), _) => Some(Credentials::Bearer(token)),
        (None, Some(password)) => Some(Credentials::Basic(user, password)),
        (None, None) if user.is_empty() => None,
        (None, None) => {
            return Err(ChannelError::Missing {
                what: "the password",
                example: "webhook+https://user@host/path?password_file=/etc/hivewall/webhook.password",
            });
        }
    };
    // The time limit is set when the channel is opened, since it is read later.
    let http = HttpOptions { timeout: Duration::ZERO, ca_file: settings.take_path("ca_file"), credentials };
    Ok((url.into(), http))
}

fn url_in_file(rest: &str) -> Result<Secret, ChannelError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(ChannelError::Missing {
            what: "the file with the address",
            example: "webhook+file:///etc/hivewall/slack.url?preset=slack",
        });
    }
    let url = Secret::read(path.as_ref())?;
    // Checked here, since errors further on show what is wrong.
    let is_web =
        Url::parse(url.reveal()).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.password().is_none());
    if !is_web {
        let source = io::Error::new(io::ErrorKind::InvalidData, "an http:// or https:// address is expected in it");
        return Err(ChannelError::File { path: PathBuf::from(path), source });
    }
    Ok(url)
}

fn severity(value: &str) -> Result<Severity, ChannelError> {
    Severity::parse(value).ok_or_else(|| ChannelError::Value {
        name: "min".to_owned(),
        value: value.to_owned(),
        expected: "info, low, medium, high or critical",
    })
}

pub(crate) fn yes_or_no(name: &str, value: &str) -> Result<bool, ChannelError> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(ChannelError::Value { name: name.to_owned(), value: value.to_owned(), expected: "yes or no" }),
    }
}

fn rate(value: &str) -> Result<Option<Rate>, ChannelError> {
    if value == "none" {
        return Ok(None);
    }
    let parsed = value.split_once('/').and_then(|(messages, per)| {
        // `30/m` is short for `30/1m`.
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
        Some(Rate {
            messages: messages.trim().parse().ok().filter(|count| *count > 0)?,
            per: duration("rate", &per).ok()?,
        })
    });
    let rate = parsed.filter(|rate| !rate.per.is_zero()).ok_or_else(|| ChannelError::Value {
        name: "rate".to_owned(),
        value: value.to_owned(),
        expected: "a number of messages in a time, such as 30/1m, or none",
    })?;
    Ok(Some(rate))
}
