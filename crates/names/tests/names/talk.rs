//! Packets told in a line each, and findings as lines of text.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use expect_test::Expect;
use hivewall_datapath::{FlowKey, PEEK_BYTES_MAX, PeekHead, proto};
use hivewall_model::{Finding, Learned, Timestamp};
use hivewall_names::{Limits, Names};

pub(crate) const SYN: u8 = 2;
pub(crate) const SYN_ACK: u8 = 0x12;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const CLIENT: &str = "10.0.0.1:40000";
pub(crate) const SERVER: &str = "192.0.2.9:443";

const V6: u32 = 1 << 25;
const EGRESS: u32 = 1 << 24;

/// Where the next packets are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) ifindex: u32,
    pub(crate) egress: bool,
}

/// A key as the datapath writes it.
pub(crate) fn key(src: &str, dst: &str, protocol: u8, place: Place) -> FlowKey {
    let (src, dst): (SocketAddr, SocketAddr) = (src.parse().unwrap(), dst.parse().unwrap());
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let words = |octets: [u8; 16]| {
        let (words, _) = octets.as_chunks::<4>();
        [0, 1, 2, 3].map(|at| u32::from_ne_bytes(words[at]))
    };
    FlowKey {
        src: words(octets(src)),
        dst: words(octets(dst)),
        sport: src.port(),
        dport: dst.port(),
        place: place.ifindex << 8 | u32::from(protocol),
        tags: if src.is_ipv6() { V6 } else { 0 } | if place.egress { EGRESS } else { 0 },
    }
}

/// Packets on their way to [`Names`], with the time they take.
pub(crate) struct Talk {
    pub(crate) names: Names,
    pub(crate) out: Vec<Finding>,
    pub(crate) now: Timestamp,
    pub(crate) place: Place,
    /// Payload bytes copied of one packet.
    pub(crate) copied: usize,
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let place = Place { ifindex: 2, egress: false };
        let now = Timestamp::from_secs(1_700_000_000);
        Self { names: Names::new(limits), out: Vec::new(), now, place, copied: PEEK_BYTES_MAX }
    }

    /// Lets time pass.
    pub(crate) fn wait_us(&mut self, microseconds: i64) -> &mut Self {
        self.now = Timestamp(self.now.0 + microseconds * 1000);
        self
    }

    /// Tells the time.
    pub(crate) fn tick(&mut self) {
        self.names.tick(self.now);
    }

    /// Goes on at another interface or hook.
    pub(crate) fn at(&mut self, ifindex: u32, egress: bool) -> &mut Self {
        self.place = Place { ifindex, egress };
        self
    }

    fn take(&mut self, mut head: PeekHead, payload: &[u8]) -> &mut Self {
        let copied = &payload[..payload.len().min(self.copied)];
        head.payload = payload.len() as u32;
        head.captured = copied.len() as u16;
        head.time_ns = self.now.0 as u64;
        self.names.take(self.now, &head, copied, &mut self.out);
        self
    }

    pub(crate) fn tcp(&mut self, (src, dst): (&str, &str), flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        let mut head = PeekHead::default();
        head.key = key(src, dst, proto::TCP, self.place);
        (head.seq, head.ack, head.tcp_flags) = (seq, ack, flags);
        self.take(head, payload)
    }

    /// SYN, SYN-ACK and ACK, 10 ms and 1 ms apart. The client's first byte is 1001, the server's 5001.
    pub(crate) fn open(&mut self, client: &str, server: &str) -> &mut Self {
        self.tcp((client, server), SYN, 1000, 0, b"").wait_us(10_000);
        self.tcp((server, client), SYN_ACK, 5000, 1001, b"").wait_us(1000);
        self.tcp((client, server), ACK, 1001, 5001, b"")
    }

    pub(crate) fn udp(&mut self, src: &str, dst: &str, payload: &[u8]) -> &mut Self {
        let mut head = PeekHead::default();
        head.key = key(src, dst, proto::UDP, self.place);
        self.take(head, payload)
    }

    pub(crate) fn echo(&mut self, src: &str, dst: &str, protocol: u8, kind: u16, id_and_seq: u32) -> &mut Self {
        let mut head = PeekHead::default();
        head.key = key(&format!("{src}:0"), &format!("{dst}:0"), protocol, self.place);
        (head.key.sport, head.seq) = (kind, id_and_seq);
        self.take(head, b"")
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.names.counters().iter().find(|counter| counter.name == name).expect("a counter of that name").count
    }

    /// Findings and refusals, a line each.
    pub(crate) fn picture(&self) -> String {
        let mut text = String::new();
        for finding in &self.out {
            writeln!(text, "{}", line(&finding.learned)).unwrap();
        }
        const READ: [&str; 8] = [
            "dns_messages",
            "tls_hellos",
            "quic_hellos",
            "http_requests",
            "http_responses",
            "ssh_banners",
            "handshakes",
            "round_trips",
        ];
        for counter in self.names.counters() {
            if counter.count > 0 && !READ.contains(&counter.name) {
                writeln!(text, "({} {})", counter.count, counter.name).unwrap();
            }
        }
        text
    }
}

/// Plays `talk` and compares what came out.
pub(crate) fn check(talk: impl FnOnce(&mut Talk), expected: Expect) {
    let mut own = Talk::new();
    talk(&mut own);
    expected.assert_eq(&own.picture());
}

/// A finding as a line.
pub(crate) fn line(learned: &Learned) -> String {
    match learned {
        Learned::Dns(message) => {
            let mut text = format!("dns {:#06x} {:?} type {}", message.id, message.name, message.qtype);
            if message.response {
                write!(text, " rcode {} answers {}", message.rcode, message.answer_count).unwrap();
            }
            for answer in &message.answers {
                write!(text, " [{} {} {}s", answer.name, answer.rtype, answer.ttl).unwrap();
                match answer.address {
                    Some(address) => write!(text, " {address}]").unwrap(),
                    None => write!(text, " {:?}]", answer.text).unwrap(),
                }
            }
            for (is, word) in [(message.over_tcp, " tcp"), (message.multicast, " multicast")] {
                text.push_str(if is { word } else { "" });
            }
            if let Some(latency) = message.latency {
                write!(text, " after {latency:?}").unwrap();
            }
            text
        }
        Learned::Tls(hello) => {
            let quic = if hello.quic { "quic" } else { "tls" };
            format!("{quic} {:?} {:?} {:#06x} {}", hello.server_name, hello.alpn, hello.version, hello.ja4)
        }
        Learned::HttpRequest(request) => {
            let mut text = format!("#{} {} {} 1.{}", request.index, request.method, request.target, request.minor);
            for (name, value) in
                [("host", &request.host), ("agent", &request.user_agent), ("referer", &request.referer)]
            {
                if let Some(value) = value {
                    write!(text, " {name}={value:?}").unwrap();
                }
            }
            text
        }
        Learned::HttpResponse(response) => {
            let to = response.request.as_ref().map(|request| request.index);
            let (kind, len) = (&response.content_type, response.content_length);
            format!("{} to {to:?} {kind:?} {len:?} after {:?}", response.status, response.latency)
        }
        Learned::SshBanner { text, from_client } => format!("ssh {text:?} from client: {from_client:?}"),
        Learned::Handshake { server, client } => format!("handshake {server:?} + {client:?}"),
        Learned::ServerResponse(took) => format!("server response {took:?}"),
        Learned::RoundTrip { kind, time } => format!("{} round trip {time:?}", kind.name()),
        Learned::Stray(stray) => format!("stray {:?}", stray.kind),
    }
}

/// Bytes of hexadecimal text with any white space.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
