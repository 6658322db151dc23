//! The snapshot document, from the engine's state. It counts nothing itself.

use std::collections::BTreeMap;

use hivewall_model::{EndReason, Reason};
use hivewall_view::time::rfc3339;
use hivewall_view::{AgentCost, Attribution, FlowCounts, FlowRow, Loss, Query, Snapshot, Sort, SuspiciousTraffic};

use crate::Engine;
use crate::system::drop_rows;

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
                // Detectors fill in the rest.
                ..SuspiciousTraffic::default()
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
            firewall_rules: self.rulings.view(),
            refused: self.rulings.refused(&self.interfaces),
            losses: self.losses_now(),
            ..self.depths()
        }
    }

    /// What is known beyond traffic.
    fn depths(&self) -> Snapshot {
        let known = &self.insight;
        let peers = known.peers.view();
        Snapshot {
            processes: known.processes.view(),
            attribution: self.attribution(),
            applications: known.services.applications(),
            services: known.services.services(),
            dns_queries: known.dns.view(),
            http_requests: known.http.view(),
            tls_handshakes: known.tls.view(),
            jitter: peers.iter().map(|(peer, time)| (peer.clone(), time.jitter_seconds)).collect(),
            latency: peers.into_iter().collect(),
            sockets: known.states.view(),
            half_open_targets: known.half_open.view(),
            kernel_drops: drop_rows(&known.drops, |ifindex| self.interfaces.name(ifindex)),
            system: known.system.view(),
            agent: AgentCost { socket_events: known.socket_events, ..known.agent.clone() },
            history: known.history.clone(),
            ..Snapshot::default()
        }
    }

    fn attribution(&self) -> Attribution {
        let (attributed_flows, unattributed_flows) = self.insight.processes.attributed();
        let told = &self.insight.attribution;
        Attribution {
            source: if told.source.is_empty() { "none".to_owned() } else { told.source.clone() },
            attributed_flows,
            unattributed_flows,
            sockets: self.insight.sockets.len() as u64,
            ..told.clone()
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
        for (name, count, meaning) in self.forgotten() {
            view.insert(name.to_owned(), Loss { count, meaning: meaning.to_owned(), ..Loss::default() });
        }
        view
    }

    /// What bounded tables gave up beyond flows.
    fn forgotten(&self) -> [(&'static str, u64, &'static str); 8] {
        let known = &self.insight;
        [
            (
                "findings_unmatched",
                known.held.unmatched,
                "Things learned from payload whose flow did not show within seconds; summaries have them, no flow does.",
            ),
            (
                "sockets_evicted",
                known.sockets.evicted,
                "Sockets forgotten early to make room; flows that needed them show no process.",
            ),
            (
                "sockets_without_port",
                known.sockets.unplaced,
                "Socket events without a local port, which no packet can be tied to.",
            ),
            (
                "dns_answers_evicted",
                known.answers.evicted,
                "Addresses forgotten with the name DNS gave while it still held; flows to them go without that name.",
            ),
            (
                "names_folded",
                known.dns.folded() + known.http.folded() + known.tls.folded(),
                "Rare names no longer counted one by one to make room; if they come back, they count from 0.",
            ),
            (
                "processes_folded",
                known.processes.folded(),
                "Quiet processes no longer counted one by one to make room; their traffic is in (other).",
            ),
            (
                "services_folded",
                known.services.folded(),
                "Quiet server ports no longer counted one by one to make room; their traffic is under port 0.",
            ),
            (
                "peers_evicted",
                known.peers.evicted,
                "Peers whose round-trip times were forgotten to make room for others.",
            ),
        ]
    }
}
