//! What can be wrong with channels and with starting them.

use std::io;
use std::path::PathBuf;

use hivewall_outbound::{ClientError, SecretError};
use hivewall_spool::SpoolError;
use thiserror::Error;

/// What is wrong with a channel's line, or with what it names.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// It begins with no known word.
    #[error(
        "`{word}` is no kind of channel; lines begin with alertmanager+http(s)://, webhook+http(s)://, webhook+file://, \
         smtp+starttls://, smtp+tls://, smtp+none://, syslog+udp://, syslog+tcp://, syslog:, journald: or command:{}",
        hint(.suggestion.as_deref())
    )]
    Kind {
        /// What it begins with.
        word: String,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// A setting that this kind of channel does not have.
    #[error(
        "{kind} has no setting `{name}`{}; it has {known}. What belongs to the receiver's own address goes into a file: \
         webhook+file:///path",
        hint(.suggestion.as_deref())
    )]
    Setting {
        /// Kind of channel.
        kind: &'static str,
        /// The setting.
        name: String,
        /// What may be meant.
        suggestion: Option<String>,
        /// What there is.
        known: String,
    },
    /// A value that cannot be used.
    #[error("{name}={value}: {expected} is expected")]
    Value {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// What could be there.
        expected: &'static str,
    },
    /// Something is missing.
    #[error("{what} is missing; write for example {example}")]
    Missing {
        /// What.
        what: &'static str,
        /// A whole line.
        example: &'static str,
    },
    /// A password in the line.
    #[error(
        "a password must not stand in the line, where `ps` and backups show it; put it into a file and write password_file=/path"
    )]
    PasswordInLine,
    /// Mail in the clear to another host.
    #[error("smtp+none:// is for a mail server on this host, and {host} is none; use smtp+starttls:// or smtp+tls://")]
    ClearMail {
        /// The host.
        host: String,
    },
    /// A program that cannot be run, or that others could replace.
    #[error("{} cannot be run: {why}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// A file that it names cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A template that cannot be filled in.
    #[error("the template {} cannot be used: {source:#}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// Why.
        source: minijinja::Error,
    },
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An address or certificates cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Mail cannot be set up.
    #[error("mail cannot be set up: {0}; check the server's name and ca_file")]
    Mail(#[from] lettre::transport::smtp::Error),
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|suggestion| format!(" (did you mean `{suggestion}`?)")).unwrap_or_default()
}

/// Why alerts cannot be delivered at all.
#[derive(Debug, Error)]
pub enum Error {
    /// A channel cannot be used.
    #[error("the channel {name}: {source}")]
    Channel {
        /// Its name.
        name: String,
        /// Why.
        source: ChannelError,
    },
    /// Two channels have one name.
    #[error("two channels have the name {name}; give one of them another with name=…")]
    Name {
        /// The name.
        name: String,
    },
    /// A queue cannot be used.
    #[error("the channel {name}: {source}")]
    Spool {
        /// The channel.
        name: String,
        /// Why.
        source: SpoolError,
    },
    /// A thread could not be started.
    #[error("no thread for the delivery of alerts: {0}")]
    Thread(#[source] io::Error),
}
