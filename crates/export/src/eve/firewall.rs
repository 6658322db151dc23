//! A change of the host's packet filters by somebody else (`firewall_drift`), and ours put back (`firewall_repair`).
//!
//! Suricata has no such events, so all but time and kind stands under `hivewall`. Invariant: one event is one change.

use hivewall_view::policy::FirewallChange;
use serde::Serialize;

use super::EveTime;

#[derive(Serialize)]
pub(super) struct EveFirewall<'a> {
    timestamp: EveTime<'a>,
    event_type: &'static str,
    hivewall: Extras<'a>,
}

#[derive(Serialize)]
struct Extras<'a> {
    what: &'a str,
    backend: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    family: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    table: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    chain: &'a str,
    ours: bool,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

impl<'a> EveFirewall<'a> {
    pub(super) fn new(change: &'a FirewallChange) -> Self {
        Self {
            timestamp: EveTime(&change.time),
            event_type: change.kind(),
            hivewall: Extras {
                what: &change.what,
                backend: &change.backend,
                family: &change.family,
                table: &change.table,
                chain: &change.chain,
                ours: change.ours,
                detail: &change.detail,
                process: change.process.as_deref(),
                pid: change.pid,
            },
        }
    }
}
