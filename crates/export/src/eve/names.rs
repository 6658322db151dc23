//! What was learned by name, as EVE JSON: `dns` (version 3 of its shape), `mdns`, `tls`, `quic`, `http` and `ssh` events,
//! and the part of a flow's event that goes beyond packets.
//!
//! Where Suricata and we differ, and why:
//! - The client is the source of every event, whoever sent the message: one conversation has one pair of ends.
//! - `tls.version` is the greatest the client offered (Suricata: what the server chose), because hellos alone are read.
//! - `ssh` has the side whose banner it was; Suricata waits for both.
//! - `dns.answers` holds at most 32 records and no other sections.

use std::borrow::Cow;

use hivewall_model::{DnsAnswer, DnsMessage, HttpResponse, Process, TlsHello};
use hivewall_view::names::{dns_rcode, dns_type, tls_version};
use hivewall_view::{FlowRow, container_text, protocol_text, user_text};
use serde::Serialize;

use super::{EveTime, protocol};
use crate::event::{NameEvent, Said};

#[derive(Serialize)]
pub(super) struct EveName<'a> {
    timestamp: EveTime<'a>,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vlan: Vec<u16>,
    src_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    ip_v: u8,
    proto: Cow<'static, str>,
    #[serde(flatten)]
    said: EveSaid<'a>,
    community_id: String,
    hivewall: NameExtras<'a>,
}

/// The key is the event's own type.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EveSaid<'a> {
    Dns(DnsPart<'a>),
    Mdns(DnsPart<'a>),
    Tls(TlsPart<'a>),
    Quic(QuicPart<'a>),
    Http(HttpPart<'a>),
    Ssh(SshPart<'a>),
}

#[derive(Serialize)]
struct DnsPart<'a> {
    version: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: u16,
    flags: String,
    opcode: u16,
    rcode: String,
    queries: Vec<DnsQuery<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<DnsRecord<'a>>,
}

#[derive(Serialize)]
struct DnsQuery<'a> {
    rrname: &'a str,
    rrtype: String,
}

#[derive(Serialize)]
struct DnsRecord<'a> {
    rrname: &'a str,
    rrtype: String,
    ttl: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    rdata: Cow<'a, str>,
}

#[derive(Serialize)]
struct TlsPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    version: String,
    ja4: &'a str,
    #[serde(skip_serializing_if = "<[Box<str>]>::is_empty")]
    client_alpns: &'a [Box<str>],
}

#[derive(Serialize)]
struct QuicPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    ja4: &'a str,
    #[serde(skip_serializing_if = "<[Box<str>]>::is_empty")]
    client_alpns: &'a [Box<str>],
}

#[derive(Serialize)]
struct HttpPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_refer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
}

#[derive(Serialize)]
struct SshPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<SshSide<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<SshSide<'a>>,
}

#[derive(Serialize)]
struct SshSide<'a> {
    proto_version: &'a str,
    software_version: &'a str,
}

#[derive(Serialize)]
struct NameExtras<'a> {
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

impl<'a> EveName<'a> {
    pub(super) fn new(event: &'a NameEvent) -> Self {
        let tuple = &event.tuple;
        let port = |port| tuple.has_ports().then_some(port);
        Self {
            timestamp: EveTime(&event.time),
            flow_id: event.flow.0,
            in_iface: event.in_iface.as_deref(),
            event_type: event.said.kind(),
            vlan: tuple.vlans.into_iter().filter(|id| *id != 0).collect(),
            src_ip: tuple.client.to_string(),
            src_port: port(tuple.client_port),
            dest_ip: tuple.server.to_string(),
            dest_port: port(tuple.server_port),
            ip_v: if tuple.client.is_ipv6() { 6 } else { 4 },
            proto: protocol(tuple.protocol).map_or_else(|| protocol_text(tuple.protocol).into(), Cow::Borrowed),
            said: EveSaid::new(&event.said),
            community_id: hivewall_model::community_id(tuple),
            hivewall: NameExtras::new(event),
        }
    }
}

impl<'a> EveSaid<'a> {
    fn new(said: &'a Said) -> Self {
        match said {
            Said::Dns(message) if message.multicast => Self::Mdns(DnsPart::new(message)),
            Said::Dns(message) => Self::Dns(DnsPart::new(message)),
            Said::Tls(hello) if hello.quic => Self::Quic(QuicPart::new(hello)),
            Said::Tls(hello) => Self::Tls(TlsPart::new(hello)),
            Said::Http(response) => Self::Http(HttpPart::new(response)),
            Said::Ssh { text, from_client } => Self::Ssh(SshPart::new(text, *from_client)),
        }
    }
}

impl<'a> DnsPart<'a> {
    fn new(message: &'a DnsMessage) -> Self {
        let record = |answer: &'a DnsAnswer| DnsRecord {
            rrname: &answer.name,
            rrtype: dns_type(answer.rtype),
            ttl: answer.ttl,
            rdata: answer.address.map_or(Cow::Borrowed(&*answer.text), |address| address.to_string().into()),
        };
        Self {
            version: 3,
            kind: if message.response { "response" } else { "request" },
            id: message.id,
            flags: format!("{:x}", message.flags),
            // RFC 1035 §4.1.1: QR, four bits of opcode, AA, TC, RD.
            opcode: message.flags >> 11 & 0xf,
            rcode: dns_rcode(message.rcode),
            queries: vec![DnsQuery { rrname: &message.name, rrtype: dns_type(message.qtype) }],
            answers: message.answers.iter().map(record).collect(),
        }
    }
}

impl<'a> TlsPart<'a> {
    fn new(hello: &'a TlsHello) -> Self {
        Self {
            sni: hello.server_name.as_deref(),
            version: tls_version(hello.version),
            ja4: &hello.ja4,
            client_alpns: &hello.alpn,
        }
    }
}

impl<'a> QuicPart<'a> {
    fn new(hello: &'a TlsHello) -> Self {
        Self { sni: hello.server_name.as_deref(), ja4: &hello.ja4, client_alpns: &hello.alpn }
    }
}

impl<'a> HttpPart<'a> {
    fn new(response: &'a HttpResponse) -> Self {
        let request = response.request.as_deref();
        Self {
            hostname: request.and_then(|request| request.host.as_deref()),
            url: request.map(|request| &*request.target),
            http_user_agent: request.and_then(|request| request.user_agent.as_deref()),
            http_content_type: response.content_type.as_deref(),
            http_refer: request.and_then(|request| request.referer.as_deref()),
            http_method: request.map(|request| &*request.method),
            protocol: request.map(|request| format!("HTTP/1.{}", request.minor)),
            status: response.status,
            length: response.content_length,
        }
    }
}

impl<'a> SshPart<'a> {
    /// RFC 4253 §4.2: `SSH-protoversion-softwareversion`, then perhaps a space and comments.
    fn new(banner: &'a str, from_client: Option<bool>) -> Self {
        let versions = banner.strip_prefix("SSH-").and_then(|rest| rest.split_once('-'));
        let (proto_version, software) = versions.unwrap_or(("", banner));
        let software_version = software.split(' ').next().unwrap_or(software);
        let side = Some(SshSide { proto_version, software_version });
        // A banner whose sender is not known is more often the server's: it need not wait for the other one.
        if from_client == Some(true) {
            Self { client: side, server: None }
        } else {
            Self { client: None, server: side }
        }
    }
}

impl<'a> NameExtras<'a> {
    fn new(event: &'a NameEvent) -> Self {
        let latency = match &event.said {
            Said::Dns(message) => message.latency,
            Said::Http(response) => response.latency,
            Said::Tls(_) | Said::Ssh { .. } => None,
        };
        let process: Option<&Process> = event.process.as_deref();
        Self {
            direction: event.perspective.name(),
            latency_seconds: latency.map(|latency| latency.as_secs_f64()),
            process: process.map(|process| &*process.comm),
            pid: process.map(|process| process.pid),
            executable: process.and_then(|process| process.executable.as_deref()),
            user: process.map(user_text),
            container: process.and_then(|process| process.container.as_ref()).map(container_text),
        }
    }
}

/// What is known of a flow beyond its packets. Names are those of the flow row.
#[derive(Serialize)]
pub(super) struct FlowDepth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    application_guess: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_process: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<TimingPart>,
}

#[derive(Serialize)]
struct TimingPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_rtt_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_response_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smoothed_rtt_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_order: Option<u32>,
}

impl<'a> FlowDepth<'a> {
    pub(super) fn new(row: &'a FlowRow) -> Self {
        Self {
            application_guess: row.application.as_deref().filter(|_| row.application_guessed),
            server_name: row.server_name.as_deref(),
            server_name_source: row.server_name_source.as_deref(),
            process: row.process.as_deref(),
            pid: row.pid,
            executable: row.executable.as_deref(),
            user: row.user.as_deref(),
            container: row.container.as_deref(),
            container_id: row.container_id.as_deref(),
            cgroup: row.cgroup.as_deref(),
            peer_process: row.peer_process.as_deref(),
            peer_pid: row.peer_pid,
            ja4: row.ja4.as_deref(),
            http_method: row.http_method.as_deref(),
            http_target: row.http_target.as_deref(),
            http_status: row.http_status,
            timing: TimingPart::new(row),
        }
    }
}

impl TimingPart {
    /// `None` where nothing was measured.
    fn new(row: &FlowRow) -> Option<Self> {
        let times = [
            row.handshake_rtt_seconds,
            row.server_response_seconds,
            row.round_trip_seconds,
            row.jitter_seconds,
            row.smoothed_rtt_seconds,
        ];
        let measured = times.iter().any(Option::is_some) || row.retransmits.is_some() || row.out_of_order.is_some();
        measured.then_some(Self {
            handshake_rtt_seconds: row.handshake_rtt_seconds,
            server_response_seconds: row.server_response_seconds,
            round_trip_seconds: row.round_trip_seconds,
            jitter_seconds: row.jitter_seconds,
            smoothed_rtt_seconds: row.smoothed_rtt_seconds,
            retransmits: row.retransmits,
            out_of_order: row.out_of_order,
        })
    }
}
