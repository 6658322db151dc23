//! Connections: states, transitions, half-open ones, round trips, retransmissions.
//!
//! Invariant: flows are what packets showed, sockets are what the kernel of the host has; panels say which.

use super::super::{Board, Row, bars, lines, stack, stat};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-states",
    title: "Connection states",
    about: "TCP by state, as packets show it and as the kernel has it; half-open connections; times and losses on the way.",
    has_devices: false,
    rows: &[
        Row {
            title: "Now",
            panels: &[
                stat(
                    "Established",
                    "short",
                    "TCP flows that are established.",
                    &[("sum(hivewall_tcp_flows{@i,state=\"ESTABLISHED\"})", "")],
                ),
                stat(
                    "Half open",
                    "short",
                    "TCP flows whose SYN has no answer yet.",
                    &[("sum(hivewall_tcp_flows_half_open{@i})", "")],
                )
                .warn(200.0, 1000.0),
                stat("TCP sockets", "short", "TCP sockets of the hosts.", &[("sum(hivewall_tcp_sockets{@i})", "")]),
                stat("UDP sockets", "short", "UDP sockets of the hosts.", &[("sum(hivewall_udp_sockets{@i})", "")]),
                stat(
                    "Median round trip",
                    "s",
                    "Over all peers of each host; the worst host's.",
                    &[("max(hivewall_rtt_seconds{@i,what=\"median\"})", "")],
                ),
                stat(
                    "Sent again",
                    "pps",
                    "TCP segments that the hosts sent again, a second.",
                    &[("sum(rate(hivewall_tcp_retransmits_total{@i}[$__rate_interval]))", "")],
                ),
            ],
        },
        Row {
            title: "States",
            panels: &[
                stack(
                    "TCP flows by state",
                    "short",
                    "As packets show it, of flows that live.",
                    &[("sum by (state) (hivewall_tcp_flows{@i})", "{{state}}")],
                ),
                stack(
                    "TCP sockets by state",
                    "short",
                    "As the kernel has it, both families.",
                    &[("sum by (state) (hivewall_tcp_sockets{@i})", "{{state}}")],
                ),
                lines(
                    "Transitions",
                    "ops",
                    "From which state to which sockets go, a second.",
                    &[(
                        "sum by (from, to) (rate(hivewall_socket_transitions_total{@i}[$__rate_interval]))",
                        "{{from}} to {{to}}",
                    )],
                ),
                lines(
                    "Sockets by family",
                    "short",
                    "IPv4 and IPv6.",
                    &[
                        ("sum by (family) (hivewall_tcp_sockets{@i})", "tcp {{family}}"),
                        ("sum by (family) (hivewall_udp_sockets{@i})", "udp {{family}}"),
                    ],
                ),
                lines(
                    "Half-open flows",
                    "short",
                    "SYNs without an answer: a flood, a scan, or a service that does not accept.",
                    &[("hivewall_tcp_flows_half_open{@i}", "{{instance}}")],
                ),
                bars(
                    "Targets of half-open flows",
                    "short",
                    "The ten of each host that have most.",
                    &[("topk(10, sum by (address) (hivewall_half_open_target_flows{@i}))", "{{address}}")],
                )
                .warn(100.0, 500.0),
            ],
        },
        Row {
            title: "Times and losses on the way",
            panels: &[
                lines(
                    "Round trips",
                    "s",
                    "How smoothed round-trip times are spread over all peers of a host.",
                    &[("hivewall_rtt_seconds{@i}", "{{instance}} {{what}}")],
                ),
                lines(
                    "Jitter",
                    "s",
                    "How the jitter of round trips is spread over the same peers.",
                    &[("hivewall_jitter_seconds{@i}", "{{instance}} {{what}}")],
                ),
                bars(
                    "Round trips to the ten best known peers",
                    "s",
                    "Smoothed; the peers with most samples.",
                    &[("topk(15, hivewall_peer_rtt_seconds{@i})", "{{instance}} to {{address}}")],
                ),
                bars(
                    "Jitter to the same peers",
                    "s",
                    "Of the same round trips.",
                    &[("topk(15, hivewall_peer_jitter_seconds{@i})", "{{instance}} to {{address}}")],
                ),
                lines(
                    "Segments sent again",
                    "pps",
                    "TCP segments that sockets of the host sent again, over flows that were seen.",
                    &[("rate(hivewall_tcp_retransmits_total{@i}[$__rate_interval])", "{{instance}}")],
                ),
                lines(
                    "Share sent again",
                    "percentunit",
                    "Of TCP packets that left, over five minutes.",
                    &[("instance:hivewall_tcp_retransmits:ratio5m{@i}", "{{instance}}")],
                )
                .warn(0.01, 0.05),
            ],
        },
    ],
};
