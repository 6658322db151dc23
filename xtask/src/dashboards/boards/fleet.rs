//! All hosts at once: who is there, what they move together, whether they agree. What one host does is `host`.
//!
//! Invariant: what every member of the fleet tells alike is asked by max or min, not summed.

use super::super::{Board, Row, bars, lines, stack, stat, table};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-fleet",
    title: "Fleet",
    about: "All hosts together: who is there, what they move, whether they hold one policy. A host leads to its own page.",
    has_devices: false,
    rows: &[
        Row {
            title: "Who is there",
            panels: &[
                stat("Agents up", "none", "Agents that answered the latest scrape.", &[
                    ("sum(up{job=~\"hivewall.*\",@i})", ""),
                ]),
                stat("Agents down", "none", "Agents that did not answer.", &[
                    ("count(up{job=~\"hivewall.*\",@i} == 0) or vector(0)", ""),
                ])
                .warn(1.0, 1.0),
                stat("Rules firing", "none", "Alerts of Prometheus's rules that fire now.", &[
                    ("count(ALERTS{alertstate=\"firing\",alertname=~\"Hivewall.*\",@i}) or vector(0)", ""),
                ])
                .warn(1.0, 5.0),
                stat("Traffic", "Bps", "IP bytes a second, summed over hosts: a flow between two of them is in both.", &[
                    ("sum(rate(hivewall_protocol_bytes_total{@i}[$__rate_interval]))", ""),
                ]),
                stat("Flows", "short", "Flows that live now, summed over hosts.", &[
                    ("sum(hivewall_flows_active{@i})", ""),
                ]),
                stat("Versions of hivewall", "none", "How many versions are in use; more than one while an upgrade runs.", &[
                    ("count(count by (version) (hivewall_build_info{@i}))", ""),
                ])
                .warn(2.0, 3.0),
                table("Hosts", "short", "One row for each host; click a host for its page. Rates are bytes a second.", &[
                    ("sum by (instance) (rate(hivewall_protocol_bytes_total{@i}[$__rate_interval]))", "Bytes a second"),
                    ("sum by (instance) (hivewall_flows_active{@i})", "Flows"),
                    ("sum by (instance) (hivewall_tcp_flows_half_open{@i})", "Half open"),
                    ("sum by (instance) (rate(hivewall_losses_total{@i}[$__rate_interval]))", "Losses a second"),
                    ("sum by (instance) (hivewall_health_reasons{@i})", "Reasons not to be ok"),
                    ("max by (instance) (hivewall_uptime_seconds{@i})", "Up, seconds"),
                ]),
            ],
        },
        Row {
            title: "Traffic",
            panels: &[
                stack("Traffic by host", "Bps", "IP bytes a second of each host, both directions.", &[
                    ("sum by (instance) (rate(hivewall_protocol_bytes_total{@i}[$__rate_interval]))", "{{instance}}"),
                ]),
                lines("New flows by host", "ops", "Flows that began, a second.", &[
                    ("sum by (instance) (rate(hivewall_flows_total{@i}[$__rate_interval]))", "{{instance}}"),
                ]),
                bars("CPU", "percentunit", "Share of CPU time that was not idle and not waiting for disks.", &[(
                    "1 - sum by (instance) (rate(hivewall_host_cpu_seconds_total{@i,mode=~\"idle|iowait\"}[$__rate_interval])) \
                     / sum by (instance) (rate(hivewall_host_cpu_seconds_total{@i}[$__rate_interval]))",
                    "{{instance}}",
                )])
                .warn(0.8, 0.95),
                bars("Busiest interfaces", "percentunit", "The busier direction's share of the link speed.", &[
                    ("topk(10, hivewall_interface_utilization_ratio{@i})", "{{instance}} {{device}}"),
                ])
                .warn(0.6, 0.8),
            ],
        },
        Row {
            title: "Membership",
            panels: &[
                lines("Members by state", "none", "Hosts of the fleet as they see one another.", &[
                    ("max by (state) (hivewall_cluster_members{@i})", "{{state}}"),
                ]),
                lines("Coverage", "percentunit", "Share of living hosts that is in each host's sum of the fleet.", &[
                    ("hivewall_cluster_coverage_ratio{@i}", "{{instance}}"),
                ]),
                stat("Hosts summed", "none", "Hosts in the fleet's sum, as the one sees it that sees fewest.", &[
                    ("min(hivewall_cluster_summed_hosts{@i})", ""),
                ]),
                stat("Age of the sum", "s", "Time since the end of the ten seconds that the sum is of, at worst.", &[
                    ("max(hivewall_cluster_total_age_seconds{@i})", ""),
                ])
                .warn(30.0, 60.0),
                stat("Error of the largest", "percentunit", "By which share a row of the largest may be too small.", &[
                    ("max(hivewall_cluster_error_ratio{@i})", ""),
                ])
                .warn(0.01, 0.05),
                stat("Hosts alone", "none", "Hosts of a fleet that hear of nobody else in it.", &[
                    ("count(hivewall_cluster_joined{@i} == 0) or vector(0)", ""),
                ])
                .warn(1.0, 1.0),
                stat("Most doubt", "none", "How much slower than others a host takes itself to be: 0 to 8.", &[
                    ("max(hivewall_cluster_doubt{@i})", ""),
                ])
                .warn(2.0, 5.0),
                stat("Alarms", "none", "Alarms of the fleet that an operator has to look at.", &[
                    ("max(hivewall_cluster_alarms_total{@i})", ""),
                ])
                .warn(1.0, 1.0),
            ],
        },
        Row {
            title: "What all saw together",
            panels: &[
                stack("Traffic of the fleet", "Bps", "Each flow once, at the host that counts it; of the hosts that are in the sum.", &[
                    ("max by (protocol, direction) (hivewall_cluster_bytes_per_second{@i})", "{{protocol}} {{direction}}"),
                ]),
                lines("Different peers", "short", "Sources, destinations and pairs of them within ten seconds; estimates.", &[
                    ("max by (what) (hivewall_cluster_distinct{@i})", "{{what}}"),
                    ("max by (what) (hivewall_cluster_distinct_error_ratio{@i} * hivewall_cluster_distinct{@i})", "{{what}}, ±"),
                ]),
                lines("Round trips between hosts", "s", "Over the links that each host timed: the median host's, and the worst.", &[
                    ("quantile by (what) (0.5, hivewall_cluster_link_rtt_seconds{@i})", "{{what}}"),
                ]),
                lines("Jitter between hosts", "s", "Over the same links.", &[
                    ("quantile by (what) (0.5, hivewall_cluster_link_jitter_seconds{@i})", "{{what}}"),
                ]),
                lines("Loss between hosts", "percentunit", "Share of probes without an answer, by host.", &[
                    ("hivewall_cluster_link_loss_ratio{@i,what=\"max\"}", "{{instance}}, worst link"),
                ]),
                lines("Links and connections", "none", "What is open between hosts, summed over them.", &[
                    ("sum(hivewall_cluster_links{@i})", "links that are timed"),
                    ("sum(hivewall_cluster_connections{@i})", "connections"),
                    ("sum(hivewall_cluster_sessions{@i})", "sessions for datagrams"),
                ]),
                lines("Messages between hosts", "Bps", "What agents say to one another, summed over hosts.", &[
                    ("sum by (kind, direction) (rate(hivewall_cluster_message_bytes_total{@i}[$__rate_interval]))", "{{kind}} {{direction}}"),
                ]),
                lines("What came to nothing between hosts", "ops", "By where and why; the reference of metrics names them.", &[
                    ("sum by (source, reason) (rate(hivewall_cluster_losses_total{@i}[$__rate_interval])) > 0 or sum by (source) (rate(hivewall_cluster_losses_total{@i}[$__rate_interval]))", "{{source}} {{reason}}"),
                ]),
                lines("Messages a second", "ops", "Datagrams and messages of connections, by kind and direction.", &[
                    ("sum by (kind, direction) (rate(hivewall_cluster_messages_total{@i}[$__rate_interval]))", "{{kind}} {{direction}}"),
                ]),
                lines("Handshakes between hosts", "ops", "That succeeded, a second: many mean that connections do not last.", &[
                    ("sum by (instance) (rate(hivewall_cluster_handshakes_total{@i}[$__rate_interval]))", "{{instance}}"),
                ]),
            ],
        },
    ],
};
