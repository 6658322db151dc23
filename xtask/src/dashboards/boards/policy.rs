//! Policy: what holds where, what each rule did, bans, tables, drift, and whether the fleet agrees.
//!
//! Invariant: a rule's counters are of packets where they were judged; a host without a policy has no series of them.

use super::super::{Board, Row, bars, lines, stack, stat, table};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-policy",
    title: "Policy",
    about: "Which policy holds on which host, what its rules did, what was refused, and whether all hosts agree.",
    has_devices: false,
    rows: &[
        Row {
            title: "What holds",
            panels: &[
                stat(
                    "Hosts with a policy",
                    "none",
                    "Hosts on which a policy is in force.",
                    &[("count(hivewall_policy_info{@i}) or vector(0)", "")],
                ),
                stat(
                    "Enforced",
                    "none",
                    "Of them, hosts on which it is enforced and not only observed.",
                    &[("count(hivewall_policy_info{@i,mode=\"enforce\"}) or vector(0)", "")],
                ),
                stat(
                    "Failures",
                    "none",
                    "What makes a policy less than it is meant to be.",
                    &[("sum(hivewall_policy_failures{@i}) or vector(0)", "")],
                )
                .warn(1.0, 1.0),
                stat(
                    "Problems",
                    "none",
                    "What an operator should know of a policy.",
                    &[("sum(hivewall_policy_problems{@i})", "")],
                )
                .warn(1.0, 5.0),
                stat(
                    "Bans",
                    "none",
                    "Bans that hold, as the host sees it that has most.",
                    &[("max(hivewall_policy_bans{@i})", "")],
                ),
                stat(
                    "Refused",
                    "pps",
                    "Packets dropped by policy and bans, a second.",
                    &[("sum(rate(hivewall_policy_refused_packets_total{@i}[$__rate_interval])) or vector(0)", "")],
                ),
                table(
                    "Policy by host",
                    "none",
                    "The name, mode and means of the policy in force, and its version.",
                    &[
                        (
                            "max by (instance, name, mode, backend) (hivewall_policy_info{@i} * on (job, instance) group_left () hivewall_policy_version{@i})",
                            "Version",
                        ),
                        ("max by (instance) (hivewall_policy_epoch{@i})", "Epoch"),
                        ("max by (instance) (hivewall_policy_rules{@i})", "Rules"),
                    ],
                ),
            ],
        },
        Row {
            title: "Rules",
            panels: &[
                bars(
                    "Rules that decided most",
                    "short",
                    "Packets since each rule was first loaded.",
                    &[("topk(15, sum by (rule) (hivewall_policy_rule_packets_total{@i}))", "{{rule}}")],
                ),
                lines(
                    "Packets by rule",
                    "pps",
                    "The ten rules that decide most, a second.",
                    &[(
                        "topk(10, sum by (rule) (rate(hivewall_policy_rule_packets_total{@i}[$__rate_interval])))",
                        "{{rule}}",
                    )],
                ),
                lines(
                    "Bytes by rule",
                    "Bps",
                    "The ten rules that decide most, a second.",
                    &[(
                        "topk(10, sum by (rule) (rate(hivewall_policy_rule_bytes_total{@i}[$__rate_interval])))",
                        "{{rule}}",
                    )],
                ),
                lines(
                    "Flows by rule",
                    "ops",
                    "The ten rules that decide most, a second.",
                    &[(
                        "topk(10, sum by (rule) (rate(hivewall_policy_rule_flows_total{@i}[$__rate_interval])))",
                        "{{rule}}",
                    )],
                ),
                stack(
                    "Decided by something else than a rule",
                    "pps",
                    "Replies, guards, limits, bans and the like.",
                    &[(
                        "sum by (cause) (rate(hivewall_policy_cause_packets_total{@i}[$__rate_interval]))",
                        "{{cause}}",
                    )],
                ),
                lines(
                    "Log lines held back",
                    "ops",
                    "Refusals that rules asked to be logged and that were beyond their rates.",
                    &[("rate(hivewall_policy_logs_suppressed_total{@i}[$__rate_interval])", "{{instance}}")],
                ),
            ],
        },
        Row {
            title: "Refused",
            panels: &[
                stack(
                    "Packets refused",
                    "pps",
                    "By what decided, and direction.",
                    &[(
                        "sum by (cause, direction) (rate(hivewall_policy_refused_packets_total{@i}[$__rate_interval]))",
                        "{{cause}} {{direction}}",
                    )],
                ),
                stack(
                    "Bytes refused",
                    "Bps",
                    "By what decided, and direction.",
                    &[(
                        "sum by (cause, direction) (rate(hivewall_policy_refused_bytes_total{@i}[$__rate_interval]))",
                        "{{cause}} {{direction}}",
                    )],
                ),
                stack(
                    "Packets that would be refused",
                    "pps",
                    "Under a policy that only observes.",
                    &[(
                        "sum by (cause, direction) (rate(hivewall_policy_observed_packets_total{@i}[$__rate_interval]))",
                        "{{cause}} {{direction}}",
                    )],
                ),
                stack(
                    "Their bytes",
                    "Bps",
                    "Under a policy that only observes.",
                    &[(
                        "sum by (cause, direction) (rate(hivewall_policy_observed_bytes_total{@i}[$__rate_interval]))",
                        "{{cause}} {{direction}}",
                    )],
                ),
            ],
        },
        Row {
            title: "Changes and drift",
            panels: &[
                lines(
                    "Changes",
                    "none",
                    "Changes that came into force, and those taken back because nobody confirmed them.",
                    &[
                        ("increase(hivewall_policy_changes_total{@i}[5m])", "{{instance}} in force"),
                        ("increase(hivewall_policy_changes_reverted_total{@i}[5m])", "{{instance}} taken back"),
                    ],
                ),
                lines(
                    "Left to confirm",
                    "s",
                    "Time left to confirm a change.",
                    &[("hivewall_policy_confirmation_seconds{@i}", "{{instance}}")],
                ),
                lines(
                    "Failures by kind",
                    "none",
                    "What makes a policy less than it is meant to be.",
                    &[("sum by (instance, kind) (hivewall_policy_failures{@i})", "{{instance}} {{kind}}")],
                )
                .warn(1.0, 1.0),
                lines(
                    "Drift and repairs",
                    "none",
                    "Changes of packet filters by others, and our repairs, within five minutes.",
                    &[
                        (
                            "sum by (instance, what, owner) (increase(hivewall_firewall_drift_total{@i}[5m]))",
                            "{{instance}} {{what}} of {{owner}}",
                        ),
                        ("increase(hivewall_firewall_repairs_total{@i}[5m])", "{{instance}} put back"),
                        ("increase(hivewall_firewall_repairs_failed_total{@i}[5m])", "{{instance}} not put back"),
                    ],
                ),
                bars(
                    "Tables",
                    "percentunit",
                    "Fill of the datapath's tables.",
                    &[(
                        "hivewall_policy_table_entries{@i} / hivewall_policy_table_limit{@i}",
                        "{{instance}} {{table}}",
                    )],
                )
                .warn(0.7, 0.9),
                lines(
                    "Entries without room",
                    "ops",
                    "What found no room in a table, a second.",
                    &[("rate(hivewall_policy_table_refused_total{@i}[$__rate_interval])", "{{instance}} {{table}}")],
                ),
                lines(
                    "Holds until",
                    "s",
                    "Time until a policy is meant to end; it goes on holding after that, as a problem.",
                    &[("hivewall_policy_expiry_timestamp_seconds{@i} - time()", "{{instance}}")],
                ),
            ],
        },
        Row {
            title: "The fleet",
            panels: &[
                stat(
                    "Newest version",
                    "none",
                    "Version of the fleet's policy.",
                    &[("max(hivewall_cluster_policy_version{@i})", "")],
                ),
                stat(
                    "Spread",
                    "none",
                    "Versions between the oldest and the newest that a member holds.",
                    &[("max(fleet:hivewall_policy_version:spread)", "")],
                )
                .warn(1.0, 2.0),
                stat(
                    "Frozen",
                    "none",
                    "1 while two documents of one version are about, both validly signed.",
                    &[("max(hivewall_cluster_policy_frozen{@i})", "")],
                )
                .warn(1.0, 1.0),
                stat("Bans spread", "none", "Bans that the fleet spreads.", &[("max(hivewall_cluster_bans{@i})", "")]),
                stat(
                    "Audit log",
                    "none",
                    "Entries of the fleet's audit log.",
                    &[("max(hivewall_cluster_audit_entries{@i})", "")],
                ),
                lines(
                    "Hosts and the fleet's policy",
                    "none",
                    "Hosts that have it, enforce it, refuse it, or have not said.",
                    &[("max by (state) (hivewall_cluster_policy_hosts{@i})", "{{state}}")],
                ),
            ],
        },
    ],
};
