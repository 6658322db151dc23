//! What one line of any log comes to.

use std::net::IpAddr;

use hivewall_model::Timestamp;

/// A line, understood or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Flow(Box<FlowRecord>),
    Name(NameRecord),
    Alert(AlertRecord),
    /// An event of this type, of which nothing more is wanted.
    Other(String, Option<Timestamp>),
    Skipped(Skip),
    /// Nothing stands there: a blank line, a bracket.
    Nothing,
}

/// Why a line is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    NotJson,
    UnknownObject,
    BadEvent,
    BadRow,
    NotALine,
}

impl Skip {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::UnknownObject => "unknown_object",
            Self::BadEvent => "bad_event",
            Self::BadRow => "bad_row",
            Self::NotALine => "not_a_log_line",
        }
    }
}

/// A flow that ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlowRecord {
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
    /// In small letters.
    pub(crate) protocol: String,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) port: Option<u16>,
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    /// Whether bytes are counted from the IP header on.
    pub(crate) ip_bytes: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) process: Option<String>,
    pub(crate) name: Option<String>,
    /// The firewall's rule that refused it.
    pub(crate) rule: Option<String>,
}

/// How a conversation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// A SYN without any answer.
    NoAnswer,
    /// RST for an answer.
    Reset,
    /// A firewall said no.
    Blocked,
}

impl Refusal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Reset => "reset",
            Self::Blocked => "blocked",
        }
    }

    /// Of a TCP flow with these flags from the server and so many packets from it.
    pub(crate) fn of_tcp(to_server: u8, to_client: u8, answers: u64) -> Option<Self> {
        const SYN: u8 = 0x02;
        const RST: u8 = 0x04;
        if answers == 0 {
            return (to_server & SYN != 0).then_some(Self::NoAnswer);
        }
        (to_client & RST != 0 && to_client & SYN == 0 && to_server & SYN != 0).then_some(Self::Reset)
    }
}

/// Something asked for by name, or answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NameRecord {
    pub(crate) time: Option<Timestamp>,
    /// `dns`, `tls`, `quic`, `http`, `ssh`, …
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    /// Response code or status.
    pub(crate) answer: Option<String>,
}

/// An alert, or a packet that a firewall dropped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertRecord {
    pub(crate) time: Option<Timestamp>,
    pub(crate) kind: String,
    pub(crate) signature: String,
    pub(crate) severity: Option<u64>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) blocked: bool,
    /// Its flow has an event of its own that says so too.
    pub(crate) is_in_flow: bool,
}
