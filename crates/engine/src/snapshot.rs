//! The snapshot document, from the engine's state. It counts nothing itself.

use std::collections::BTreeMap;

use hivewall_model::{EndReason, Reason};
use hivewall_view::time::rfc3339;
use hivewall_view::{FlowCounts, FlowRow, Loss, Query, Snapshot, Sort, SuspiciousTraffic};

use crate::Engine;

impl Engine {
    /// Everything the engine knows now.
    pub fn snapshot(&self) -> Snapshot {
        let mut host = self.host.clone();
        host.uptime_seconds = self.age().as_secs_f64();
        let mut capture = self.capture.clone();
        capture.packets = self.packets;
        capture.records = self.records;
        let captured = self.interfaces.captured_names();
        if !captured.is_empty() {
            capture.interfaces = captured;
        }
        let invalid = self.interfaces.invalid();
        Snapshot {
            time: rfc3339(self.now),
            host,
            capture,
            network_traffic: self.interfaces.traffic(),
            protocols: self.totals.protocols(),
            ip_traffic_distribution: self.addresses.busiest(self.limits.addresses_shown).collect(),
            ip_traffic_accuracy: self.addresses.accuracy(),
            subnet_traffic: self.addresses.subnets().collect(),
            top_talkers: self.addresses.talkers(),
            connection_states: self.totals.states(),
            suspicious_traffic: SuspiciousTraffic {
                invalid_packets: invalid.values().sum(),
                invalid_by_reason: invalid,
                half_open: self.totals.half_open(),
            },
            flow_counts: FlowCounts {
                active: self.active_flows() as u64,
                total: self.totals.flows,
                limit: self.limits.flows_max as u64,
                ended: self.totals.ends(),
                new_per_second: (self.totals.new_per_second * 10.0).round() / 10.0,
            },
            flows: self.largest(),
            interface_utilization: self.interfaces.utilization(),
            outbound_traffic: self.outbound.busiest(self.limits.addresses_shown).collect(),
            losses: self.losses_now(),
            ..Snapshot::default()
        }
    }

    fn largest(&self) -> Vec<FlowRow> {
        // A query's limit of 0 means the default.
        if self.limits.flows_shown == 0 {
            return Vec::new();
        }
        self.flows(&Query { sort: Sort::Bytes, limit: self.limits.flows_shown, ..Query::default() }).flows
    }

    fn losses_now(&self) -> BTreeMap<String, Loss> {
        let mut view = self.losses.clone();
        for reason in [Reason::Snapped, Reason::NoCache, Reason::UnknownLink, Reason::InnerUnread] {
            let tally = self.interfaces.tallied(reason);
            let loss = Loss {
                count: tally.packets,
                packets: tally.packets,
                bytes: tally.bytes,
                meaning: reason.doc().to_owned(),
            };
            view.insert(reason.label().to_owned(), loss);
        }
        let full = self.totals.ended_by(EndReason::TableFull);
        view.insert(
            "flow_table_full".to_owned(),
            Loss {
                count: full,
                meaning: "Flows ended early to make room (raise flows.max); their packets are counted.".to_owned(),
                ..Loss::default()
            },
        );
        view.insert(
            "closed_flows_discarded".to_owned(),
            Loss {
                count: self.discarded_closed,
                meaning: "Closed flows no longer kept for questions (raise flows.closed_keep); logs have them."
                    .to_owned(),
                ..Loss::default()
            },
        );
        view
    }
}
