//! A flow that the policy refused, as Suricata writes a dropped packet: a `drop` event with the rule in its `alert` part.
//! Where the policy only observes, nothing was dropped, and it is an `alert` event whose action is `allowed`.
//!
//! Where Suricata and we differ, and why:
//! - One event is one flow and rule, however many of its packets were dropped: the flow's own event counts them.
//! - `drop.len` is the mean of the IP bytes of the packets dropped so far; `ttl`, `ipid` and the like are not kept.
//! - `alert.signature` is the id of the rule, `alert.signature_id` the number of its counter, which stays with the id over
//!   all versions of the policy on this host.
//! - A rule's default action has no reason of its own in Suricata 7; `default packet policy` is that of version 8.

use hivewall_view::FlowRow;
use serde::Serialize;

use super::{EveTime, Flags, is_false, protocol};
use crate::event::RefusalEvent;

/// Suricata's middle severity: the policy says no, not that something is bad.
const SEVERITY: u8 = 3;

#[derive(Serialize)]
pub(super) struct EveDrop<'a> {
    timestamp: EveTime<'a>,
    flow_id: u64,
    in_iface: &'a str,
    event_type: &'static str,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    vlan: &'a [u16],
    src_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    ip_v: u8,
    proto: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u16>,
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop: Option<DropPart>,
    alert: AlertPart<'a>,
    verdict: VerdictPart,
    community_id: &'a str,
    hivewall: DropExtras<'a>,
}

#[derive(Serialize)]
struct DropPart {
    len: u64,
    #[serde(flatten)]
    tcp: Option<TcpPart>,
    reason: &'static str,
}

#[derive(Serialize)]
struct TcpPart {
    syn: bool,
    ack: bool,
    psh: bool,
    rst: bool,
    urg: bool,
    fin: bool,
}

#[derive(Serialize)]
struct AlertPart<'a> {
    action: &'static str,
    gid: u8,
    signature_id: u32,
    rev: u8,
    signature: &'a str,
    category: &'static str,
    severity: u8,
}

#[derive(Serialize)]
struct VerdictPart {
    action: &'static str,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    reject: &'static [&'static str],
}

#[derive(Serialize)]
struct DropExtras<'a> {
    direction: &'a str,
    verdict: &'a str,
    rule: &'a str,
    hook: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_epoch: Option<u16>,
    packets: u64,
    ip_bytes: u64,
    /// Refusals by this rule that were beyond its rate of logging since the one before.
    #[serde(skip_serializing_if = "is_zero")]
    not_logged: u64,
    #[serde(skip_serializing_if = "is_false")]
    ports_unknown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl<'a> EveDrop<'a> {
    pub(super) fn new(event: &'a RefusalEvent) -> Self {
        let row = &event.row;
        let dropped = event.verdict != "observed";
        // Source and destination are those of the packets, as everywhere in EVE.
        let (source, destination) = ((&*row.source_ip, row.src_port), (&*row.dest_ip, row.dest_port));
        let (source, destination) = if event.to_server { (source, destination) } else { (destination, source) };
        Self {
            timestamp: EveTime(&row.end),
            flow_id: row.flow_id,
            in_iface: &event.interface,
            event_type: event.kind(),
            vlan: &row.vlan,
            src_ip: source.0,
            src_port: source.1,
            dest_ip: destination.0,
            dest_port: destination.1,
            ip_v: if row.source_ip.contains(':') { 6 } else { 4 },
            proto: protocol(row.protocol_number).unwrap_or(&row.protocol),
            icmp_type: row.icmp_type,
            icmp_code: row.icmp_code,
            direction: if event.to_server { "to_server" } else { "to_client" },
            drop: dropped.then(|| DropPart {
                len: event.ip_bytes / event.packets.max(1),
                tcp: TcpPart::new(row, event.to_server),
                reason: reason(&event.rule),
            }),
            alert: AlertPart {
                action: if dropped { "blocked" } else { "allowed" },
                gid: 1,
                signature_id: event.rule_number,
                rev: 1,
                signature: &event.rule,
                category: "Firewall policy",
                severity: SEVERITY,
            },
            verdict: VerdictPart { action: if dropped { "drop" } else { "pass" }, reject: told(event) },
            community_id: &row.community_id,
            hivewall: DropExtras {
                direction: &row.direction,
                verdict: event.verdict,
                rule: &event.rule,
                hook: if event.received { "in" } else { "out" },
                policy_epoch: row.policy_epoch,
                packets: event.packets,
                ip_bytes: event.ip_bytes,
                not_logged: event.not_logged,
                ports_unknown: row.ports_unknown,
                process: row.process.as_deref(),
                pid: row.pid,
            },
        }
    }
}

impl TcpPart {
    fn new(row: &FlowRow, to_server: bool) -> Option<Self> {
        let picture = if to_server { &row.tcp_flags_to_server } else { &row.tcp_flags_to_client };
        let flags = Flags::read(Some(picture.as_deref()?));
        Some(Self {
            fin: flags.has(0),
            syn: flags.has(1),
            rst: flags.has(2),
            psh: flags.has(3),
            ack: flags.has(4),
            urg: flags.has(5),
        })
    }
}

/// How the sender was told.
fn told(event: &RefusalEvent) -> &'static [&'static str] {
    match (event.verdict, event.row.protocol_number) {
        ("reject", 6) => &["tcp-reset"],
        ("reject", _) => &["icmp-prohib"],
        _ => &[],
    }
}

/// Suricata's word for why.
fn reason(rule: &str) -> &'static str {
    match rule {
        "(invalid)" => "decode error",
        "(fragment)" => "defrag error",
        "(over limit)" | "(essential, over its rate)" => "threshold detection_filter",
        _ if rule.ends_with(":default-in") || rule.ends_with(":default-out") => "default packet policy",
        _ => "rules",
    }
}
