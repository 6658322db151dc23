//! EVE events, ours and Suricata's (documented in its user guide, "Eve JSON Format"; versions 1 to 3 of `dns`).
//!
//! Only what the report shows is read; whatever else an event carries is passed over.

use hivewall_model::Timestamp;
use hivewall_view::time::parse_rfc3339;
use serde::Deserialize;

use crate::record::{AlertRecord, FlowRecord, NameRecord, Record, Refusal, Skip};
use crate::rows::is_refusal;

#[derive(Deserialize)]
pub(crate) struct Line {
    timestamp: Option<String>,
    event_type: String,
    src_ip: Option<String>,
    dest_ip: Option<String>,
    dest_port: Option<u16>,
    proto: Option<String>,
    flow: Option<FlowPart>,
    tcp: Option<TcpPart>,
    hivewall: Option<Extras>,
    dns: Option<DnsPart>,
    mdns: Option<DnsPart>,
    http: Option<HttpPart>,
    tls: Option<TlsPart>,
    quic: Option<TlsPart>,
    alert: Option<AlertPart>,
    drop: Option<DropPart>,
}

#[derive(Deserialize)]
struct FlowPart {
    #[serde(default)]
    pkts_toserver: u64,
    #[serde(default)]
    pkts_toclient: u64,
    #[serde(default)]
    bytes_toserver: u64,
    #[serde(default)]
    bytes_toclient: u64,
    start: Option<String>,
    end: Option<String>,
    action: Option<String>,
}

#[derive(Deserialize)]
struct TcpPart {
    tcp_flags_ts: Option<String>,
    tcp_flags_tc: Option<String>,
}

#[derive(Deserialize)]
struct Extras {
    ip_bytes_toserver: Option<u64>,
    ip_bytes_toclient: Option<u64>,
    process: Option<String>,
    server_name: Option<String>,
    verdict: Option<String>,
    rule: Option<String>,
}

#[derive(Deserialize)]
struct DnsPart {
    #[serde(rename = "type")]
    kind: Option<String>,
    rrname: Option<String>,
    rcode: Option<String>,
    queries: Option<Vec<Question>>,
    query: Option<Vec<Question>>,
}

#[derive(Deserialize)]
struct Question {
    rrname: Option<String>,
}

#[derive(Deserialize)]
struct HttpPart {
    hostname: Option<String>,
    status: Option<u16>,
}

#[derive(Deserialize)]
struct TlsPart {
    sni: Option<String>,
}

#[derive(Deserialize)]
struct AlertPart {
    action: Option<String>,
    signature: Option<String>,
    severity: Option<u64>,
}

#[derive(Deserialize)]
struct DropPart {
    reason: Option<String>,
}

/// Reads Suricata's time: RFC 3339, mostly without a colon in the offset.
fn time(text: Option<&str>) -> Option<Timestamp> {
    let text = text?;
    let offset_at = text.len().checked_sub(5)?;
    let (moment, offset) = text.split_at_checked(offset_at)?;
    if !offset.contains(':') && offset.starts_with(['+', '-']) {
        let (hours, minutes) = offset.split_at_checked(3)?;
        return parse_rfc3339(&format!("{moment}{hours}:{minutes}"));
    }
    parse_rfc3339(text)
}

impl Line {
    pub(crate) fn record(self) -> Record {
        let when = time(self.timestamp.as_deref());
        match self.event_type.as_str() {
            "flow" => self.flow().map_or(Record::Skipped(Skip::BadEvent), |flow| Record::Flow(Box::new(flow))),
            "dns" | "mdns" | "tls" | "quic" | "http" | "ssh" => Record::Name(self.name(when)),
            "alert" | "drop" => Record::Alert(self.alert(when)),
            _ => Record::Other(self.event_type, when),
        }
    }

    fn flow(self) -> Option<FlowRecord> {
        let flow = self.flow?;
        let protocol = self.proto?.to_ascii_lowercase();
        let extras = self.hivewall.as_ref();
        let ip_bytes = extras.and_then(|extras| Some(extras.ip_bytes_toserver? + extras.ip_bytes_toclient?));
        let flags = |picture: Option<&String>| {
            picture.and_then(|hexadecimal| u8::from_str_radix(hexadecimal, 16).ok()).unwrap_or(0)
        };
        let ours = extras.and_then(|extras| extras.verdict.as_deref()).is_some_and(is_refusal);
        let refusal = if ours || matches!(flow.action.as_deref(), Some("drop" | "reject")) {
            Some(Refusal::Blocked)
        } else if let Some(tcp) = &self.tcp {
            let (to_server, to_client) = (flags(tcp.tcp_flags_ts.as_ref()), flags(tcp.tcp_flags_tc.as_ref()));
            Refusal::of_tcp(to_server, to_client, flow.pkts_toclient)
        } else {
            None
        };
        Some(FlowRecord {
            start: time(flow.start.as_deref()).or_else(|| time(self.timestamp.as_deref())),
            end: time(flow.end.as_deref()).or_else(|| time(self.timestamp.as_deref())),
            // Suricata spells it as IANA does.
            protocol: if protocol == "ipv6-icmp" { "icmpv6".to_owned() } else { protocol },
            source: self.src_ip?.parse().ok()?,
            destination: self.dest_ip?.parse().ok()?,
            port: self.dest_port,
            bytes: ip_bytes.unwrap_or(flow.bytes_toserver + flow.bytes_toclient),
            packets: flow.pkts_toserver + flow.pkts_toclient,
            ip_bytes: ip_bytes.is_some(),
            refusal,
            process: extras.and_then(|extras| extras.process.clone()),
            rule: extras.and_then(|extras| extras.rule.clone()).filter(|_| refusal == Some(Refusal::Blocked)),
            name: self.hivewall.and_then(|extras| extras.server_name),
        })
    }

    fn name(self, time: Option<Timestamp>) -> NameRecord {
        let (name, answer) = match self.event_type.as_str() {
            "dns" | "mdns" => self.dns.or(self.mdns).map_or((None, None), DnsPart::asked),
            "http" => self.http.map_or((None, None), |http| (http.hostname, http.status.map(|code| code.to_string()))),
            _ => (self.tls.or(self.quic).and_then(|tls| tls.sni), None),
        };
        NameRecord { time, kind: self.event_type, name, answer }
    }

    fn alert(self, time: Option<Timestamp>) -> AlertRecord {
        let address = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let action = self.alert.as_ref().and_then(|alert| alert.action.as_deref());
        AlertRecord {
            time,
            is_in_flow: self.hivewall.is_some(),
            blocked: self.event_type == "drop" || action == Some("blocked"),
            severity: self.alert.as_ref().and_then(|alert| alert.severity),
            signature: self
                .alert
                .and_then(|alert| alert.signature)
                .or_else(|| self.drop.and_then(|drop| drop.reason))
                .unwrap_or_else(|| self.event_type.clone()),
            source: address(self.src_ip),
            destination: address(self.dest_ip),
            port: self.dest_port,
            kind: self.event_type,
        }
    }
}

impl DnsPart {
    /// The name of a query, or the code of its response, so that each look-up's name counts once.
    fn asked(self) -> (Option<String>, Option<String>) {
        let questions = self.queries.or(self.query).and_then(|questions| questions.into_iter().next());
        let name = questions.and_then(|question| question.rrname).or(self.rrname);
        let response = matches!(self.kind.as_deref(), Some("response" | "answer"));
        if response { (None, self.rcode) } else { (name, None) }
    }
}
