//! Which packets of a flow are copied for whoever reads names and times: three bits a flow, and the rules that move
//! them.
//!
//! Only packets that begin something known, or come early in a connection, are of use; everything else of a flow costs
//! one test of a word that is loaded anyway. Here are no copies, no clock and no budget. Invariant: the rules see a
//! packet's payload by its first bytes alone, so that kernel and user space decide alike.

use crate::{FlowKey, Packet, proto};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

const PORT_DNS: u16 = 53;
const PORT_MDNS: u16 = 5353;
const PORT_LLMNR: u16 = 5355;
/// Ports where HTTP/1.x in clear text is usual (IANA: http, http-alt, squid's and WinRM's, and what development servers
/// take). A connection that begins with an HTTP message is followed on any port; here also one that was met halfway.
const PORTS_HTTP: [u16; 6] = [80, 8080, 8000, 3128, 8888, 5985];

/// Payload bytes that the rules look at.
pub const OPENING_BYTES: usize = 8;

/// What the cache is told of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Sight {
    /// Nothing is looked at.
    Off = 0,
    /// The packet has no payload.
    Bare = 1,
    /// The packet has payload.
    Payload = 2,
}

impl Sight {
    #[inline(always)]
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Off,
            1 => Self::Bare,
            _ => Self::Payload,
        }
    }
}

/// How closely a flow is looked at.
///
/// | bits | |
/// |---|---|
/// | 0 | not at all |
/// | 1 | the next payload, if it begins a message that is known |
/// | 2–4 | so many payloads less one |
/// | 5 | every payload that begins a message that is known |
/// | 6 | a SYN was seen: the next packet, whatever it carries |
/// | 7 | every payload |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(u32);

impl Watch {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// The next payload, if it begins a message that is known.
    pub const ONCE: Self = Self(1);
    /// The last of a countdown.
    const LAST: Self = Self(2);
    /// Two payloads: what a TLS record that did not fit its first packet may still need.
    const RECORD: Self = Self(3);
    /// Three payloads: a STARTTLS dialogue says its ClientHello in the third.
    pub const FIRST: Self = Self(4);
    /// Every payload that begins a message that is known: the requests and responses of a connection that is kept.
    pub const HEADS: Self = Self(5);
    /// A SYN was seen: the next packet, whatever it carries, since it ends a handshake.
    pub const OPENING: Self = Self(6);
    /// Every payload.
    pub const ALL: Self = Self(7);

    /// From the lowest three bits.
    #[inline(always)]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits & 7)
    }

    /// As three bits.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// How closely a flow is looked at when its first packet is met. It may be an old flow that had to leave the cache:
    /// unless its ports say more, that is for one payload.
    #[inline(always)]
    pub fn at_first(packet: &Packet) -> Self {
        let key = &packet.key;
        if key.is_portless() {
            return Self::NONE;
        }
        match key.proto() {
            proto::TCP if packet.tcp_flags & SYN != 0 => Self::OPENING,
            proto::TCP => Self::settled(key, Self::ONCE),
            proto::UDP if has_port(key, PORT_DNS) || has_port(key, PORT_MDNS) || has_port(key, PORT_LLMNR) => Self::ALL,
            proto::UDP => Self::ONCE,
            proto::ICMP | proto::ICMPV6 if is_echo(key) => Self::ALL,
            _ => Self::NONE,
        }
    }

    /// Whether this packet is to be looked at: the test that every packet pays for.
    #[inline(always)]
    pub fn wants(self, has_payload: bool) -> bool {
        self.0 != 0 && (has_payload || self.0 == Self::OPENING.0)
    }

    /// What the line keeps while the packet is looked at: a single look is spent by it, whatever it finds, so that what
    /// is nothing known needs no second visit to the line.
    #[inline(always)]
    pub(crate) fn kept(self, sight: Sight) -> Self {
        if self.0 == Self::ONCE.0 && matches!(sight, Sight::Payload) { Self::NONE } else { self }
    }

    /// Whether the packet is of no use when its payload begins with nothing that is known.
    #[inline(always)]
    pub fn is_choosy(self) -> bool {
        self.0 == Self::ONCE.0 || self.0 == Self::HEADS.0
    }

    /// For what remains of a TCP flow: by its ports, or else `other`.
    #[inline(always)]
    fn settled(key: &FlowKey, other: Self) -> Self {
        if has_port(key, PORT_DNS) {
            Self::ALL
        } else if is_http_port(key) {
            Self::HEADS
        } else {
            other
        }
    }

    /// Whether to copy this packet, and how closely to look at the flow from now on. `payload` are its bytes on the
    /// wire.
    #[inline(always)]
    pub fn look(self, packet: &Packet, payload: u32, opening: Opening) -> (bool, Self) {
        let key = &packet.key;
        match key.proto() {
            proto::TCP => self.look_at_tcp(key, packet.tcp_flags, payload, opening),
            proto::UDP if self == Self::ALL => (true, self),
            // Until the first packet that is none of QUIC's handshake.
            proto::UDP if opening.is_quic_handshake() && self == Self::ONCE => (true, Self::FIRST),
            proto::UDP if opening.is_quic_handshake() => (true, self.one_less(Self::NONE)),
            proto::UDP => (false, Self::NONE),
            _ => (self == Self::ALL, self),
        }
    }

    #[inline(always)]
    fn look_at_tcp(self, key: &FlowKey, tcp_flags: u8, payload: u32, opening: Opening) -> (bool, Self) {
        let first = if has_port(key, PORT_DNS) { Self::ALL } else { Self::FIRST };
        if tcp_flags & SYN != 0 {
            return (true, if tcp_flags & ACK != 0 { first } else { Self::OPENING });
        }
        if payload == 0 {
            return if self == Self::OPENING { (true, first) } else { (false, self) };
        }
        let now = if self == Self::OPENING { first } else { self };
        if now == Self::ALL {
            return (true, now);
        }
        match opening.kind() {
            // Requests are short and may follow one another without a gap, so that some begin within a packet.
            Kind::HttpRequest if is_http_port(key) => (true, Self::FIRST),
            Kind::HttpRequest | Kind::HttpResponse => (true, Self::HEADS),
            Kind::Tls { record } if record <= payload => (true, Self::NONE),
            Kind::Tls { .. } => (true, Self::RECORD),
            Kind::Ssh => (true, Self::NONE),
            Kind::Other if now == Self::ONCE => (false, Self::NONE),
            Kind::Other if now == Self::HEADS => (false, now),
            Kind::Other => (true, now.one_less(Self::settled(key, Self::NONE))),
        }
    }

    /// A step of the countdown; after the last one, `after`.
    #[inline(always)]
    fn one_less(self, after: Self) -> Self {
        if self.0 <= Self::LAST.0 { after } else { Self(self.0 - 1) }
    }
}

#[inline(always)]
fn has_port(key: &FlowKey, port: u16) -> bool {
    key.sport == port || key.dport == port
}

#[inline(always)]
fn is_http_port(key: &FlowKey) -> bool {
    let [a, b, c, d, e, f] = PORTS_HTTP;
    has_port(key, a) || has_port(key, b) || has_port(key, c) || has_port(key, d) || has_port(key, e) || has_port(key, f)
}

/// Echo request or reply (RFC 792, RFC 4443 §4).
#[inline(always)]
pub(crate) fn is_echo(key: &FlowKey) -> bool {
    key.dport == 0
        && match key.proto() {
            proto::ICMP => key.sport == 8 || key.sport == 0,
            proto::ICMPV6 => key.sport == 128 || key.sport == 129,
            _ => false,
        }
}

/// The first bytes of a payload; zero beyond its end, and beyond what was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening(pub [u8; OPENING_BYTES]);

/// What a payload begins with.
enum Kind {
    HttpRequest,
    HttpResponse,
    /// A handshake record, with its header this long.
    Tls {
        record: u32,
    },
    Ssh,
    Other,
}

impl Opening {
    /// Whether a message begins that may be known: a first sieve for a watch that [`Watch::is_choosy`].
    #[inline(always)]
    pub fn is_known(self) -> bool {
        self.is_quic_handshake() || !matches!(self.kind(), Kind::Other)
    }

    /// The first four bytes as a number.
    #[inline(always)]
    pub(crate) fn word(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    #[inline(always)]
    fn kind(self) -> Kind {
        let [a, b, _, h, l, ..] = self.0;
        // RFC 8446 §5.1: type handshake, version 3.x, length.
        if a == 0x16 && b == 3 {
            return Kind::Tls { record: 5 + (u32::from(h) << 8 | u32::from(l)) };
        }
        let word = self.word();
        let is = |text: &[u8; 4]| word == u32::from_be_bytes(*text);
        // Methods of RFC 9110 §9.3, RFC 5789 and RFC 4918, by their first letters.
        let is_request = is(b"GET ")
            || is(b"POST")
            || is(b"HEAD")
            || is(b"PUT ")
            || is(b"DELE")
            || is(b"OPTI")
            || is(b"PATC")
            || is(b"CONN")
            || is(b"TRAC")
            || is(b"PROP");
        if is_request {
            Kind::HttpRequest
        } else if is(b"HTTP") {
            Kind::HttpResponse
        } else if is(b"SSH-") {
            Kind::Ssh
        } else {
            Kind::Other
        }
    }

    /// A long header (RFC 9000 §17.2, RFC 8999 §5.1): form and fixed bit.
    #[inline(always)]
    fn is_quic_handshake(self) -> bool {
        let [first, ..] = self.0;
        first & 0xc0 == 0xc0
    }
}
