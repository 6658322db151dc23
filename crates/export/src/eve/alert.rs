//! An alert as Suricata writes one: `event_type: alert`, so that what reads its alerts reads ours. Everything that it has no
//! name for stands under `hivewall`.
//!
//! - `alert.gid` is [`GENERATOR`]: Suricata's rules are 1, its decoders' others.
//! - `alert.signature_id` is made of the detector's name, the same on every host and in every version.
//! - `src_ip` is who did it. Where nobody can be named (spoofed sources), it is the target, since readers want one, and
//!   `hivewall.source` is absent.
//! - A line is written when an alert is raised, gets worse, and ends; `hivewall.change` says which.

use hivewall_view::alerts::{Alert, AlertState, Evidence, Response};
use serde::Serialize;

use super::EveTime;
use crate::event::AlertEvent;

/// Who speaks, in Suricata's numbering.
const GENERATOR: u32 = 7733;

#[derive(Serialize)]
pub(super) struct EveAlert<'a> {
    timestamp: EveTime<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<String>,
    alert: AlertPart<'a>,
    hivewall: Extras<'a>,
}

#[derive(Serialize)]
struct AlertPart<'a> {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: &'a str,
    category: &'a str,
    severity: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
}

/// The names that rules of Emerging Threats use; each holds a list.
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "mitre_tactic_name")]
    tactic: [&'a str; 1],
    #[serde(rename = "mitre_technique_id")]
    id: [&'a str; 1],
    #[serde(rename = "mitre_technique_name")]
    name: [&'a str; 1],
}

#[derive(Serialize)]
struct Extras<'a> {
    id: &'a str,
    host: &'a str,
    detector: &'a str,
    kind: &'a str,
    change: &'static str,
    severity: &'static str,
    state: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<u64>,
    spoofable: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    targets: &'a [String],
    target_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a str>,
    first_seen: &'a str,
    last_seen: &'a str,
    signs: u64,
    evidence: &'a Evidence,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hosts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a Response>,
}

/// FNV-1a of the detector's name, in the range that Suricata leaves to local rules (from 1,000,000).
fn signature_id(detector: &str) -> u32 {
    let hash = detector.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    1_000_000 + hash % 900_000
}

impl<'a> EveAlert<'a> {
    pub(super) fn new(event: &'a AlertEvent) -> Self {
        let alert: &Alert = &event.alert;
        let first_target = alert.targets.first().map(String::as_str);
        // A MAC is no address to whoever reads `src_ip`.
        let source = alert.source.as_deref().filter(|source| source.parse::<std::net::IpAddr>().is_ok());
        Self {
            timestamp: EveTime(&alert.last_seen),
            flow_id: alert.evidence.flows.first().copied(),
            in_iface: alert.interface.as_deref(),
            event_type: "alert",
            src_ip: source.or(first_target),
            dest_ip: first_target,
            dest_port: alert.port,
            proto: alert.protocol.as_deref().map(str::to_uppercase),
            alert: AlertPart {
                action: if alert.response.as_ref().is_some_and(|response| response.outcome == "done") {
                    "blocked"
                } else {
                    "allowed"
                },
                gid: GENERATOR,
                signature_id: signature_id(&alert.detector),
                rev: 1,
                signature: &alert.title,
                category: &alert.kind,
                severity: alert.severity.eve(),
                metadata: alert.technique.as_ref().map(|technique| Metadata {
                    tactic: [&technique.tactic],
                    id: [&technique.id],
                    name: [&technique.name],
                }),
            },
            hivewall: Extras {
                id: &alert.id,
                host: &alert.host,
                detector: &alert.detector,
                kind: &alert.kind,
                change: event.change,
                severity: alert.severity.name(),
                state: if alert.state == AlertState::Active { "active" } else { "ended" },
                message: &alert.message,
                source: alert.source.as_deref(),
                sources: alert.sources,
                spoofable: alert.spoofable,
                targets: &alert.targets,
                target_count: alert.target_count,
                subject: alert.subject.as_deref(),
                process: alert.process.as_deref(),
                first_seen: &alert.first_seen,
                last_seen: &alert.last_seen,
                signs: alert.signs,
                evidence: &alert.evidence,
                hosts: &alert.hosts,
                response: alert.response.as_ref(),
            },
        }
    }
}
