//! Flows and who makes them: talkers, prefixes, services, conversations that hosts opened.
//!
//! Invariant: addresses and ports come from metrics that hold a named number of them and `other`.

use super::super::{Board, Row, bars, lines, stack, stat};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-flows",
    title: "Flows and talkers",
    about: "Who moves what: flows, the busiest addresses and server ports, prefixes, and what hosts open themselves.",
    has_devices: true,
    rows: &[
        Row {
            title: "Flows",
            panels: &[
                stat("Flows", "short", "Flows that live now.", &[("sum(hivewall_flows_active{@i})", "")]),
                stat(
                    "New flows",
                    "ops",
                    "Flows that began, a second.",
                    &[("sum(rate(hivewall_flows_total{@i}[$__rate_interval]))", "")],
                ),
                stat(
                    "Flow table",
                    "percentunit",
                    "Fill of the fullest host's table of flows.",
                    &[("max(hivewall_flows_active{@i} / hivewall_flows_limit{@i})", "")],
                )
                .warn(0.7, 0.9),
                stat(
                    "Traffic",
                    "Bps",
                    "IP bytes a second.",
                    &[("sum(rate(hivewall_protocol_bytes_total{@i}[$__rate_interval]))", "")],
                ),
                stat(
                    "Packets",
                    "pps",
                    "Packets a second.",
                    &[("sum(rate(hivewall_protocol_packets_total{@i}[$__rate_interval]))", "")],
                ),
                stat(
                    "Addresses",
                    "short",
                    "Addresses whose traffic is kept apart.",
                    &[("sum(hivewall_addresses_tracked{@i})", "")],
                ),
                lines("Flows that live", "short", "By host.", &[("hivewall_flows_active{@i}", "{{instance}}")]),
                stack(
                    "Flows that ended",
                    "ops",
                    "By why.",
                    &[("sum by (reason) (rate(hivewall_flows_ended_total{@i}[$__rate_interval]))", "{{reason}}")],
                ),
            ],
        },
        Row {
            title: "Talkers",
            panels: &[
                stack(
                    "Sent by address",
                    "Bps",
                    "The ten busiest addresses of each host; other is all the rest.",
                    &[("sum by (address) (hivewall_top_talker_sent_bytes_per_second{@i})", "{{address}}")],
                ),
                stack(
                    "Received by address",
                    "Bps",
                    "The ten busiest addresses of each host; other is all the rest.",
                    &[("sum by (address) (hivewall_top_talker_received_bytes_per_second{@i})", "{{address}}")],
                ),
                bars(
                    "Busiest now",
                    "Bps",
                    "Sent and received together.",
                    &[(
                        "topk(10, sum by (address) (hivewall_top_talker_sent_bytes_per_second{@i}) \
                     + sum by (address) (hivewall_top_talker_received_bytes_per_second{@i}))",
                        "{{address}}",
                    )],
                ),
                lines(
                    "Talkers' room",
                    "percentunit",
                    "Fill of the table of addresses; when it is full, quiet ones are folded into other.",
                    &[("hivewall_addresses_tracked{@i} / hivewall_addresses_limit{@i}", "{{instance}}")],
                )
                .warn(0.8, 1.0),
                lines(
                    "Addresses folded",
                    "ops",
                    "Quiet addresses that made room for others, a second.",
                    &[("rate(hivewall_addresses_folded_total{@i}[$__rate_interval])", "{{instance}}")],
                ),
                lines(
                    "Prefixes",
                    "Bps",
                    "Sent and received by the prefixes of the settings (traffic.subnets).",
                    &[
                        (
                            "sum by (prefix) (rate(hivewall_subnet_sent_bytes_total{@i}[$__rate_interval]))",
                            "{{prefix}} sent",
                        ),
                        (
                            "sum by (prefix) (rate(hivewall_subnet_received_bytes_total{@i}[$__rate_interval]))",
                            "{{prefix}} received",
                        ),
                    ],
                ),
            ],
        },
        Row {
            title: "Services, and what hosts open themselves",
            panels: &[
                bars(
                    "Busiest server ports",
                    "bytes",
                    "IP bytes since the agents started; each host's ten busiest, the rest is other.",
                    &[("topk(15, sum by (service) (hivewall_service_bytes{@i}))", "{{service}}")],
                ),
                lines(
                    "Server ports over time",
                    "Bps",
                    "Bytes a second of each host's ten busiest ports.",
                    &[(
                        "clamp_min(sum by (service) (deriv(hivewall_service_bytes{@i,service!=\"other\"}[$__rate_interval])), 0)",
                        "{{service}}",
                    )],
                ),
                bars(
                    "Packets by server port",
                    "short",
                    "Since the agents started.",
                    &[("topk(15, sum by (service) (hivewall_service_packets{@i}))", "{{service}}")],
                ),
                bars(
                    "Flows by server port",
                    "short",
                    "Since the agents started.",
                    &[("topk(15, sum by (service) (hivewall_service_flows{@i}))", "{{service}}")],
                ),
                lines(
                    "Conversations that hosts opened",
                    "Bps",
                    "Bytes of conversations that the host began, by direction.",
                    &[(
                        "sum by (instance, direction) (rate(hivewall_outbound_bytes_total{@i}[$__rate_interval]))",
                        "{{instance}} {{direction}}",
                    )],
                ),
                lines(
                    "Their packets",
                    "pps",
                    "Packets of conversations that the host began, by direction.",
                    &[(
                        "sum by (instance, direction) (rate(hivewall_outbound_packets_total{@i}[$__rate_interval]))",
                        "{{instance}} {{direction}}",
                    )],
                ),
            ],
        },
    ],
};
