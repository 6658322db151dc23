//! NATS JetStream: each item published with an id and waited for, so that the stream has it before the disk lets it go.
//!
//! The client protocol (docs.nats.io, "Client Protocol") is spoken here, because all that is needed is one kind of message
//! and its answer: the official client brings a regular expression engine along and turns TLS 1.2 on for every
//! other connection of the agent. The stream is the operator's: nothing is made on the server. Invariant: what is reported
//! as done has been acknowledged, in order; after any doubt the connection is given up.

mod wire;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hivewall_outbound::Secret;
use serde::{Deserialize, Serialize};

use crate::durable::{Delivered, Delivery, Numbered};
use crate::id::id_of;
use wire::{Said, Wire};

/// Messages on their way at once.
const BATCH: usize = 256;

/// For all acknowledgements of a batch.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Where a stream is, and how to get in.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) subject: String,
    pub(crate) tls: bool,
    /// Certificates to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) user: Option<(String, Secret)>,
    pub(crate) token: Option<Secret>,
}

pub(crate) struct Nats {
    stream: Stream,
    connection: Option<Connection>,
    batches: u64,
}

/// Why a batch went no further; told as it stands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatsError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no certificate authorities to trust: name a file with ca_file, or install ca-certificates")]
    NoRoots,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the server insists on TLS: add tls=true")]
    WantsTls,
    #[error("the server has no TLS: remove tls=true, or configure it there")]
    NoTls,
    #[error("this is no NATS server: it said `{0}`")]
    Protocol(String),
    #[error("the server says {0}")]
    Server(String),
    #[error("no JetStream stream takes the subject {0}: make one, as with `nats stream add`")]
    NoStream(String),
    #[error("the stream refuses: {0}")]
    Stream(String),
    #[error("no acknowledgement within {ANSWERS_WITHIN:?}")]
    Silence,
}

/// What the server says of itself, as far as it matters.
#[derive(Deserialize)]
struct Hello {
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
    #[serde(default)]
    headers: bool,
    max_payload: usize,
}

#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'static str,
    lang: &'static str,
    version: &'static str,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

/// Acknowledgement of a publication.
#[derive(Deserialize)]
struct Ack {
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    description: String,
}

struct Connection {
    wire: Wire,
    /// Longest message with its headers, bytes.
    payload_max: usize,
    /// Where answers come to: nobody else knows it.
    inbox: String,
}

impl Connection {
    fn open(stream: &Stream) -> Result<Self, NatsError> {
        let mut wire = Wire::connect(&stream.host, stream.port)?;
        let first = wire.line()?;
        let hello = first.strip_prefix("INFO ").and_then(|json| serde_json::from_str::<Hello>(json).ok());
        let hello = hello.filter(|hello| hello.headers).ok_or(NatsError::Protocol(first))?;
        match (stream.tls, hello.tls_required, hello.tls_available) {
            (false, true, _) => return Err(NatsError::WantsTls),
            (true, false, false) => return Err(NatsError::NoTls),
            (true, ..) => wire = wire.secured(&stream.host, stream.ca_file.as_deref())?,
            (false, false, _) => {}
        }
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: stream.tls,
            name: "hivewall",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            headers: true,
            no_responders: true,
            user: stream.user.as_ref().map(|(user, _)| user.as_str()),
            pass: stream.user.as_ref().map(|(_, password)| password.reveal()),
            auth_token: stream.token.as_ref().map(Secret::reveal),
        };
        let connect = serde_json::to_string(&connect).map_err(io::Error::other)?;
        let inbox = format!("_INBOX.{}", random_word()?);
        wire.send(format!("CONNECT {connect}\r\nSUB {inbox}.> 1\r\nPING\r\n").as_bytes())?;
        let until = Instant::now() + ANSWERS_WITHIN;
        loop {
            match wire.next()? {
                Said::Pong => return Ok(Self { wire, payload_max: hello.max_payload, inbox }),
                Said::Error(error) => return Err(NatsError::Server(error)),
                _ if Instant::now() > until => return Err(NatsError::Silence),
                _ => {}
            }
        }
    }

    /// Publishes all, then waits for the answers. What was acknowledged from the first on is in `delivered`.
    fn publish(
        &mut self,
        subject: &str,
        batch: u64,
        items: &[Numbered],
        into: &mut Delivered,
    ) -> Result<(), NatsError> {
        let mut out = Vec::new();
        let mut answered = vec![None; items.len()];
        for ((at, item), answer) in items.iter().enumerate().zip(&mut answered) {
            let headers = format!("NATS/1.0\r\nNats-Msg-Id: {}\r\n\r\n", id_of(std::iter::once(item)));
            let length = headers.len() + item.1.len();
            if length > self.payload_max {
                *answer = Some(false);
                continue;
            }
            let (inbox, head) = (&self.inbox, headers.len());
            write!(out, "HPUB {subject} {inbox}.{batch}.{at} {head} {length}\r\n{headers}")?;
            out.extend_from_slice(&item.1);
            out.extend_from_slice(b"\r\n");
        }
        self.wire.send(&out)?;
        let result = self.answers(subject, batch, &mut answered);
        for (answer, item) in answered.iter().zip(items) {
            let Some(taken) = answer else { break };
            into.done += 1;
            into.rejected += u64::from(!taken);
            into.messages += u64::from(*taken);
            into.bytes += if *taken { item.1.len() as u64 } else { 0 };
        }
        result
    }

    fn answers(&mut self, subject: &str, batch: u64, answered: &mut [Option<bool>]) -> Result<(), NatsError> {
        let until = Instant::now() + ANSWERS_WITHIN;
        while answered.contains(&None) {
            if Instant::now() > until {
                return Err(NatsError::Silence);
            }
            match self.wire.next()? {
                Said::Ping => self.wire.send(b"PONG\r\n")?,
                Said::Error(error) => return Err(NatsError::Server(error)),
                Said::NoResponders => return Err(NatsError::NoStream(subject.to_owned())),
                Said::Message { subject, payload } => {
                    let ack: Ack = serde_json::from_slice(&payload)
                        .map_err(|_| NatsError::Protocol(String::from_utf8_lossy(&payload).into_owned()))?;
                    if let Some(error) = ack.error {
                        return Err(NatsError::Stream(error.description));
                    }
                    // `inbox.batch.place`: an answer to an earlier batch comes too late.
                    let mut words = subject.rsplit('.').map(str::parse::<u64>);
                    if let (Some(Ok(at)), Some(Ok(of))) = (words.next(), words.next())
                        && of == batch
                        && let Some(place) = answered.get_mut(at as usize)
                    {
                        *place = Some(true);
                    }
                }
                Said::Pong | Said::Other => {}
            }
        }
        Ok(())
    }
}

/// A word that nobody guesses.
fn random_word() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(u128::from_le_bytes(random).to_string())
}

impl Nats {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, connection: None, batches: 0 }
    }
}

impl Delivery for Nats {
    fn deliver(&mut self, items: &[Numbered]) -> Delivered {
        let mut delivered = Delivered::default();
        self.batches += 1;
        // The connection goes with any error: the next try looks the name up anew.
        let result = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.stream),
        }
        .and_then(|mut connection| {
            connection.publish(&self.stream.subject, self.batches, items, &mut delivered)?;
            Ok(connection)
        });
        match result {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => delivered.error = Some(error.to_string()),
        }
        delivered
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn linger(&self) -> Duration {
        Duration::ZERO
    }
}
