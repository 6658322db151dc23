//! QUIC: the ClientHello in Initial packets (RFC 9001 §5, RFC 9369), and the time to the server's first packet.
//!
//! Keys of Initial packets are derived from what they say in clear; `quic-parser` decrypts them. A hello may take
//! several packets, whose CRYPTO frames are put together here, bounded. Nothing later of a conversation can be read, nor is it tried.

use std::time::Duration;

use hivewall_model::{Timestamp, TlsHello};
use quic_parser::{CryptoFrame, Error};

use crate::conversation::{Conversation, Point, Side};
use crate::counters::{Count, Counts};
use crate::http::Step;
use crate::limits::{ASSEMBLY_BYTES_MAX, Limits, QUIC_FRAMES_MAX};
use crate::table::Bounded;
use crate::tls;

const LONG_HEADER: u8 = 0x80;
/// Quiet time after which a client's Initial packets begin another connection from the same port.
const REST: Duration = Duration::from_secs(10);
/// Coalesced packets looked at in one datagram.
const PACKETS_MAX: usize = 4;

struct Exchange {
    client: Side,
    asked: Timestamp,
    asked_at: Point,
    answered: bool,
    /// The hello was read, or given up.
    done: bool,
    frames: Vec<CryptoFrame>,
    touched: Timestamp,
}

impl Exchange {
    fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.data.len()).sum()
    }
}

/// What a datagram told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) hello: Option<TlsHello>,
    pub(crate) round_trip: Option<Duration>,
}

/// QUIC conversations whose beginning is being read.
pub(crate) struct Quic {
    exchanges: Bounded<Conversation, Exchange>,
}

impl Quic {
    pub(crate) fn new(entries: usize) -> Self {
        Self { exchanges: Bounded::new(entries) }
    }

    /// Takes the payload of a UDP packet; what does not begin with a long header is left aside.
    pub(crate) fn take(
        &mut self,
        (conversation, side): (Conversation, Side),
        at: Point,
        time: Timestamp,
        payload: &[u8],
        counts: &mut Counts,
    ) -> Told {
        let mut told = Told::default();
        if payload.first().is_none_or(|first| first & LONG_HEADER == 0) {
            return told;
        }
        if let Some(exchange) = self.exchanges.get(&conversation) {
            let quiet = time.since(exchange.touched);
            if exchange.client != side && quiet < REST {
                exchange.touched = time;
                if !exchange.answered {
                    exchange.answered = true;
                    told.round_trip = Some(time.since(exchange.asked));
                }
                return told;
            }
            if exchange.done && quiet < REST {
                exchange.touched = time;
                return told;
            }
            if quiet >= REST {
                self.exchanges.remove(&conversation);
            }
        }
        let frames = crypto_frames(payload, counts);
        if !frames.is_empty() {
            told.hello = self.add((conversation, side), at, time, frames, counts);
        }
        told
    }

    fn add(
        &mut self,
        (conversation, side): (Conversation, Side),
        at: Point,
        time: Timestamp,
        frames: Vec<CryptoFrame>,
        counts: &mut Counts,
    ) -> Option<TlsHello> {
        if self.exchanges.get(&conversation).is_none() {
            let exchange = Exchange {
                client: side,
                asked: time,
                asked_at: at,
                answered: false,
                done: false,
                frames: Vec::new(),
                touched: time,
            };
            if self.exchanges.insert(conversation, exchange).is_some_and(|gone| !gone.done) {
                counts.add(Count::TableFull);
            }
        }
        let exchange = self.exchanges.get(&conversation)?;
        exchange.touched = time;
        let mut new = false;
        for frame in frames.into_iter().take(QUIC_FRAMES_MAX) {
            if !frame.data.is_empty() && !exchange.frames.contains(&frame) {
                new = true;
                exchange.frames.push(frame);
            }
        }
        if !new {
            // Sent again when nothing came back; at another interface it is the same packet.
            if exchange.asked_at == at {
                exchange.asked = time;
            } else {
                counts.add(Count::Duplicate);
            }
            return None;
        }
        let stream = quic_parser::reassemble_crypto_stream(&exchange.frames);
        match tls::bare_hello(&stream, true) {
            Step::Done(hello, _) => {
                exchange.done = true;
                exchange.frames = Vec::new();
                Some(hello)
            }
            Step::More => {
                if exchange.frames.len() > QUIC_FRAMES_MAX || exchange.bytes() > ASSEMBLY_BYTES_MAX {
                    exchange.done = true;
                    exchange.frames = Vec::new();
                    counts.add(Count::Oversize);
                }
                None
            }
            Step::Refused => {
                exchange.done = true;
                exchange.frames = Vec::new();
                counts.add(Count::TlsMalformed);
                None
            }
        }
    }

    /// Forgets what has been quiet for long.
    pub(crate) fn tick(&mut self, now: Timestamp, limits: &Limits, counts: &mut Counts) {
        self.exchanges.retain(|exchange| {
            let keep = now.since(exchange.touched) < limits.quiet;
            if !keep && !exchange.done {
                counts.add(Count::Stale);
            }
            keep
        });
    }
}

/// The CRYPTO frames of all Initial packets in a datagram.
fn crypto_frames(datagram: &[u8], counts: &mut Counts) -> Vec<CryptoFrame> {
    let (mut frames, mut rest) = (Vec::new(), datagram);
    for _ in 0..PACKETS_MAX {
        // Version 0 is a server that negotiates the version.
        if rest.first().is_none_or(|first| first & LONG_HEADER == 0) || rest.get(1..5) == Some(&[0; 4]) {
            break;
        }
        let header = match quic_parser::parse_initial(rest) {
            Ok(header) => header,
            Err(Error::NotInitialPacket(_) | Error::InvalidFixedBit) => break,
            Err(_) => {
                counts.add(Count::QuicMalformed);
                break;
            }
        };
        let Ok(plain) = quic_parser::decrypt_initial(&header) else {
            counts.add(Count::QuicUndecryptable);
            break;
        };
        match quic_parser::parse_crypto_frames(&plain) {
            Ok(some) => frames.extend(some),
            Err(_) => counts.add(Count::QuicMalformed),
        }
        rest = rest.get(header.header_bytes.len() + header.payload.len()..).unwrap_or_default();
    }
    frames
}
