//! What was found and what came of it: alerts, responses, invalid packets, drops, deliveries.
//!
//! Invariant: no attacker is a label; who it was is in the alert itself.

use super::super::{Board, Row, bars, lines, stack, stat};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-security",
    title: "Security",
    about: "Alerts by detector and severity, what was done about them, who was told; invalid packets and drops.",
    has_devices: false,
    rows: &[
        Row {
            title: "Alerts",
            panels: &[
                stat("Active", "none", "Alerts that go on.", &[("sum(hivewall_alerts_active{@i}) or vector(0)", "")])
                    .warn(1.0, 10.0),
                stat(
                    "High or critical",
                    "none",
                    "Of them, those that somebody should look at now.",
                    &[("sum(hivewall_alerts_active{@i,severity=~\"high|critical\"}) or vector(0)", "")],
                )
                .warn(1.0, 1.0),
                stat(
                    "Raised",
                    "none",
                    "Alerts raised over the time shown.",
                    &[("sum(increase(hivewall_alerts_total{@i}[$__range])) or vector(0)", "")],
                ),
                stat(
                    "Bans",
                    "none",
                    "Bans that hold, as the host sees it that has most.",
                    &[("max(hivewall_policy_bans{@i})", "")],
                ),
                stat(
                    "Invalid packets",
                    "pps",
                    "Frames that break a standard, a second.",
                    &[("sum(rate(hivewall_invalid_packets_total{@i}[$__rate_interval])) or vector(0)", "")],
                )
                .warn(1.0, 100.0),
                stat(
                    "Half open",
                    "short",
                    "TCP flows whose SYN has no answer yet.",
                    &[("sum(hivewall_tcp_flows_half_open{@i})", "")],
                )
                .warn(200.0, 1000.0),
                stack(
                    "Active by detector",
                    "none",
                    "Alerts that go on.",
                    &[("sum by (detector, severity) (hivewall_alerts_active{@i})", "{{detector}} {{severity}}")],
                ),
                stack(
                    "Raised by detector",
                    "none",
                    "Alerts raised within five minutes.",
                    &[(
                        "sum by (detector, severity) (increase(hivewall_alerts_total{@i}[5m]))",
                        "{{detector}} {{severity}}",
                    )],
                ),
                lines(
                    "Signs",
                    "ops",
                    "How often a detector saw something, a second; an alert is many signs of one thing.",
                    &[("sum by (detector) (rate(hivewall_alert_signs_total{@i}[$__rate_interval]))", "{{detector}}")],
                ),
                bars(
                    "By kind",
                    "none",
                    "Security alerts by kind, as the snapshot has them.",
                    &[("sum by (kind) (hivewall_security_alerts{@i})", "{{kind}}")],
                ),
            ],
        },
        Row {
            title: "Responses and deliveries",
            panels: &[
                lines(
                    "Responses",
                    "none",
                    "What was done by itself within five minutes, and what came of it.",
                    &[(
                        "sum by (detector, action, outcome) (increase(hivewall_responses_total{@i}[5m]))",
                        "{{detector}} {{action}} {{outcome}}",
                    )],
                ),
                lines(
                    "Deliveries",
                    "ops",
                    "Alerts handed to each channel, by outcome.",
                    &[(
                        "sum by (channel, outcome) (rate(hivewall_delivery_total{@i}[$__rate_interval]))",
                        "{{channel}} {{outcome}}",
                    )],
                ),
                lines(
                    "Waiting to be delivered",
                    "none",
                    "Alerts in the queue of each channel.",
                    &[("sum by (instance, channel) (hivewall_delivery_queue_items{@i})", "{{instance}} {{channel}}")],
                )
                .warn(10.0, 100.0),
                lines(
                    "Flows exported",
                    "ops",
                    "Records to each collector, and those it did not get.",
                    &[
                        (
                            "sum by (target) (rate(hivewall_flow_export_records_total{@i}[$__rate_interval]))",
                            "{{target}}",
                        ),
                        (
                            "sum by (target, reason) (rate(hivewall_flow_export_lost_total{@i}[$__rate_interval]))",
                            "{{target}} lost, {{reason}}",
                        ),
                    ],
                ),
            ],
        },
        Row {
            title: "Packets that alerts rest on",
            panels: &[
                lines(
                    "Captures",
                    "none",
                    "Capture files of alerts on each host.",
                    &[("sum by (instance) (hivewall_alert_captures{@i})", "{{instance}}")],
                ),
                lines(
                    "Their size",
                    "bytes",
                    "Of all capture files of a host; the oldest go at 64 MiB.",
                    &[("sum by (instance) (hivewall_alert_captures_bytes{@i})", "{{instance}}")],
                ),
                lines(
                    "What is missing in them",
                    "ops",
                    "Packets and captures that were left out, a second, by reason.",
                    &[(
                        "sum by (reason) (rate(hivewall_alert_captures_lost_total{@i}[$__rate_interval]))",
                        "{{reason}}",
                    )],
                ),
            ],
        },
        Row {
            title: "What does not belong",
            panels: &[
                stack(
                    "Invalid packets",
                    "pps",
                    "Frames that break a standard, by how.",
                    &[("sum by (reason) (rate(hivewall_invalid_packets_total{@i}[$__rate_interval]))", "{{reason}}")],
                ),
                stack(
                    "Dropped by the kernel",
                    "pps",
                    "By the kernel's name of the reason.",
                    &[("sum by (reason) (rate(hivewall_kernel_drops_total{@i}[$__rate_interval]))", "{{reason}}")],
                ),
                lines(
                    "Dropped, by interface and protocol",
                    "pps",
                    "An interface called none: there was none.",
                    &[(
                        "sum by (instance, device, protocol) (rate(hivewall_kernel_drops_total{@i}[$__rate_interval]))",
                        "{{instance}} {{device}} {{protocol}}",
                    )],
                ),
                bars(
                    "Targets of half-open flows",
                    "short",
                    "Address and port; a flood's sources may be spoofed.",
                    &[("topk(10, sum by (address) (hivewall_half_open_target_flows{@i}))", "{{address}}")],
                )
                .warn(100.0, 500.0),
                lines(
                    "Refused by policy",
                    "pps",
                    "Packets dropped, by what decided.",
                    &[(
                        "sum by (cause, direction) (rate(hivewall_policy_refused_packets_total{@i}[$__rate_interval]))",
                        "{{cause}} {{direction}}",
                    )],
                ),
                lines(
                    "Firewall drift",
                    "none",
                    "Changes of packet filters by other programs within five minutes.",
                    &[(
                        "sum by (instance, what, owner) (increase(hivewall_firewall_drift_total{@i}[5m]))",
                        "{{instance}} {{what}} of {{owner}}",
                    )],
                ),
            ],
        },
    ],
};
