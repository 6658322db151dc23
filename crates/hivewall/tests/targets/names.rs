//! The body of the target `names`.

use hivewall_datapath::{PeekHead, proto};
use hivewall_model::{Finding, Learned, Timestamp};
use hivewall_names::{DNS_ANSWERS_MAX, Limits, Names};

/// Ports that the first byte of a packet chooses from.
const PORTS: [u16; 8] = [22, 53, 80, 443, 5353, 5355, 8080, 0];
/// Bytes before each packet's payload: how, sequence number, time, length.
const HEAD_BYTES: usize = 5;

/// Any payload in any packets: taken, told in bounded text, and told the same when taken anew.
pub(crate) fn names(data: &[u8]) {
    let limits = Limits { connections: 3, transactions: 4, assembly_bytes: 4096, ..Limits::default() };
    let small = take(data, limits);
    let first = take(data, Limits::default());
    assert_eq!(first, take(data, Limits::default()), "the same packets told something else");
    for finding in small.iter().chain(&first) {
        check_learned(&finding.learned);
    }
}

fn take(mut data: &[u8], limits: Limits) -> Vec<Finding> {
    let (mut names, mut out, mut now) = (Names::new(limits), Vec::new(), Timestamp::from_secs(1_700_000_000));
    while let Some((&[how, seq, step, high, low], rest)) = data.split_first_chunk::<HEAD_BYTES>() {
        let (payload, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])).min(rest.len()));
        data = rest;
        let mut head = PeekHead::default();
        let port = PORTS.get(usize::from(how & 7)).copied().unwrap_or_default();
        let number = match (port, how & 0x10) {
            (0, _) => proto::ICMP,
            (_, 0) => proto::TCP,
            _ => proto::UDP,
        };
        head.key.place = u32::from(number) | u32::from(how >> 7) << 8;
        (head.key.src[3], head.key.dst[3], head.key.sport, head.key.dport) = (1, 2, 40_000, port);
        if how & 8 != 0 {
            std::mem::swap(&mut head.key.src, &mut head.key.dst);
            std::mem::swap(&mut head.key.sport, &mut head.key.dport);
        }
        // SYN, SYN-ACK, ACK or nothing.
        head.tcp_flags = [0x10, 0x02, 0x12, 0].get(usize::from(how >> 5 & 3)).copied().unwrap_or_default();
        (head.seq, head.ack) = (u32::from(seq), u32::from(seq) + 1);
        // What was not copied.
        head.payload = payload.len() as u32 + u32::from(step >> 7) * 100;
        head.captured = payload.len() as u16;
        now = Timestamp(now.0 + (1_i64 << (step & 0x3f).min(36)));
        names.take(now, &head, payload, &mut out);
        names.tick(now);
    }
    out
}

fn check_learned(learned: &Learned) {
    let short = |text: &Option<Box<str>>, max: usize| text.as_ref().is_none_or(|text| text.len() <= max);
    match learned {
        Learned::Dns(message) => {
            assert!(message.name.len() <= 255 && message.answers.len() <= DNS_ANSWERS_MAX);
            assert!(message.answers.iter().all(|answer| answer.name.len() <= 255 && answer.text.len() <= 255));
            assert!(message.response || message.latency.is_none());
        }
        Learned::Tls(hello) => {
            assert!(short(&hello.server_name, 255) && hello.alpn.iter().all(|protocol| protocol.len() <= 255));
            assert!(hello.ja4.is_empty() || hello.ja4.len() == 36);
        }
        Learned::HttpRequest(request) => {
            assert!(request.method.len() <= 32 && request.target.len() <= 1024 && short(&request.host, 255));
            assert!(short(&request.user_agent, 256) && short(&request.referer, 256));
        }
        Learned::HttpResponse(response) => {
            assert!(short(&response.content_type, 128));
            assert_eq!(response.latency.is_some(), response.request.is_some());
        }
        Learned::SshBanner { text, .. } => assert!(text.len() <= 255),
        Learned::Handshake { .. } | Learned::ServerResponse(_) | Learned::RoundTrip { .. } | Learned::Stray(_) => {}
    }
}
