//! What is learned from the first bytes of conversations: names and times.
//!
//! Text in here comes from the network. It is bounded and valid UTF-8 (what was not is replaced), but may hold anything:
//! whoever shows it cleans it. Not here: how it is read (`names`), what is made of it (`engine`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::FlowKey;

use crate::{Stray, Timestamp};

/// One thing learned of one conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Key of the packet that told it, in that packet's direction.
    pub key: FlowKey,
    /// When that packet was seen.
    pub time: Timestamp,
    /// What it is.
    pub learned: Learned,
}

/// What can be learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Learned {
    /// A DNS message (query or response), over UDP or TCP.
    Dns(Arc<DnsMessage>),
    /// A TLS ClientHello, over TCP or in a QUIC Initial packet.
    Tls(Arc<TlsHello>),
    /// The head of an HTTP/1.x request.
    HttpRequest(Arc<HttpRequest>),
    /// The head of an HTTP/1.x response.
    HttpResponse(Arc<HttpResponse>),
    /// An SSH identification line, without its line end.
    SshBanner {
        /// As sent: `SSH-2.0-OpenSSH_9.6`.
        text: Arc<str>,
        /// Whether the packet's source is the one that opened the connection, where that was seen.
        from_client: Option<bool>,
    },
    /// A TCP handshake was seen from SYN to its last ACK.
    Handshake {
        /// SYN to SYN-ACK: from here to the server and back.
        server: Duration,
        /// SYN-ACK to ACK: from here to the client and back.
        client: Duration,
    },
    /// From the client's first payload to the server's first.
    ServerResponse(Duration),
    /// A request and its answer: a round trip with what the server took for it.
    RoundTrip {
        /// Which exchange.
        kind: RoundTripKind,
        /// From request to answer.
        time: Duration,
    },
    /// A frame that is in no flow. The key of such a finding tells the interface and the direction alone.
    Stray(Box<Stray>),
}

/// Exchanges whose round trip can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoundTripKind {
    /// DNS query and response.
    Dns,
    /// QUIC Initial packet and the server's first packet.
    Quic,
    /// ICMP or ICMPv6 echo.
    Echo,
}

impl RoundTripKind {
    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Quic => "quic",
            Self::Echo => "echo",
        }
    }
}

/// A DNS message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DnsMessage {
    /// Transaction id.
    pub id: u16,
    /// True for a response.
    pub response: bool,
    /// Name asked for, without the final dot, at most 255 bytes; empty for the root or when no question was sent.
    pub name: Box<str>,
    /// Type asked for (1 is A, 28 is AAAA).
    pub qtype: u16,
    /// Response code (0 is NOERROR, 3 NXDOMAIN); of a response.
    pub rcode: u16,
    /// Header flags as sent.
    pub flags: u16,
    /// Answers, at most 32 of them.
    pub answers: Vec<DnsAnswer>,
    /// Answers the message says it has.
    pub answer_count: u16,
    /// From the query to this response; `None` for a query and when the query was not seen.
    pub latency: Option<Duration>,
    /// Whether it came over TCP.
    pub over_tcp: bool,
    /// Multicast DNS (port 5353) or LLMNR (5355) rather than DNS.
    pub multicast: bool,
}

/// One resource record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsAnswer {
    /// Owner name.
    pub name: Box<str>,
    /// Record type.
    pub rtype: u16,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// Address of an A or AAAA record.
    pub address: Option<IpAddr>,
    /// Text of what is no address: target of a CNAME, PTR, NS, MX or SRV record, a TXT's first 255 bytes; empty else.
    pub text: Box<str>,
}

/// A TLS ClientHello.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsHello {
    /// Server name (SNI); `None` when none was sent.
    pub server_name: Option<Box<str>>,
    /// Protocols offered (ALPN), in order.
    pub alpn: Vec<Box<str>>,
    /// Greatest version offered: 0x0304 is TLS 1.3.
    pub version: u16,
    /// JA4 fingerprint.
    pub ja4: Box<str>,
    /// Whether it came in a QUIC Initial packet.
    pub quic: bool,
}

/// The head of an HTTP/1.x request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// Method.
    pub method: Box<str>,
    /// Target as sent, at most 1,024 bytes.
    pub target: Box<str>,
    /// Minor version: 0 or 1.
    pub minor: u8,
    /// Host header (or the authority of an absolute target), without the port.
    pub host: Option<Box<str>>,
    /// User-Agent, at most 256 bytes.
    pub user_agent: Option<Box<str>>,
    /// Referer, at most 256 bytes.
    pub referer: Option<Box<str>>,
    /// Number of the request on its connection, from 0, as far as all were seen.
    pub index: u32,
}

/// The head of an HTTP/1.x response.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Content-Type, at most 128 bytes.
    pub content_type: Option<Box<str>>,
    /// Content-Length.
    pub content_length: Option<u64>,
    /// The request it answers, where it was seen.
    pub request: Option<Arc<HttpRequest>>,
    /// From the request's head to this one.
    pub latency: Option<Duration>,
}

/// How the name of a flow's server became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameSource {
    /// The client named it in its ClientHello.
    Sni,
    /// The client named it in an HTTP request.
    Host,
    /// Inferred: the client (or this host) had asked DNS for that name and was given the server's address.
    Dns,
}

impl NameSource {
    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sni => "sni",
            Self::Host => "host",
            Self::Dns => "dns",
        }
    }

    /// Whether the name was not said in the conversation itself.
    pub fn is_inferred(self) -> bool {
        self == Self::Dns
    }
}

/// What is known of one flow by name.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FlowNames {
    /// Application protocol that its payload showed: `dns`, `tls`, `quic`, `http`, `ssh`.
    pub application: Option<&'static str>,
    /// Name of the server and how it became known.
    pub server: Option<(Arc<str>, NameSource)>,
    /// The latest ClientHello.
    pub tls: Option<Arc<TlsHello>>,
    /// The latest HTTP request.
    pub http: Option<Arc<HttpRequest>>,
    /// Status of the latest HTTP response.
    pub http_status: Option<u16>,
    /// HTTP requests seen.
    pub http_requests: u32,
    /// The latest DNS message.
    pub dns: Option<Arc<DnsMessage>>,
    /// SSH identification: client, server.
    pub ssh: [Option<Arc<str>>; 2],
}

/// How fast a flow's ends answer. All measured at this host.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Timing {
    /// Handshake: SYN to SYN-ACK.
    pub handshake_server: Option<Duration>,
    /// Handshake: SYN-ACK to ACK.
    pub handshake_client: Option<Duration>,
    /// Client's first payload to the server's first.
    pub server_response: Option<Duration>,
    /// Latest request-and-answer round trip of UDP and ICMP.
    pub round_trip: Option<Duration>,
    /// Jitter of round trips: mean deviation, smoothed as RFC 3550 §6.4.1 does.
    pub jitter: Option<Duration>,
    /// Smoothed round-trip time of the local TCP socket.
    pub smoothed_rtt: Option<Duration>,
    /// Its mean deviation.
    pub rtt_deviation: Option<Duration>,
    /// Segments the local TCP socket sent again.
    pub retransmits: Option<u32>,
    /// Segments the local TCP socket received out of order.
    pub out_of_order: Option<u32>,
}

impl Timing {
    /// Handshake from SYN to the last ACK.
    pub fn handshake(&self) -> Option<Duration> {
        Some(self.handshake_server? + self.handshake_client?)
    }

    /// The best there is for the round trip between the ends: the socket's own, the handshake, the last exchange.
    pub fn rtt(&self) -> Option<Duration> {
        self.smoothed_rtt.or_else(|| self.handshake()).or(self.round_trip)
    }
}
