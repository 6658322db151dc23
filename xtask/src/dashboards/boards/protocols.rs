//! What kinds of traffic there are: protocols, applications, directions, frames that are no flow.
//!
//! Invariant: bytes are IP bytes unless the panel says wire bytes.

use super::super::{Board, Row, bars, lines, stack};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-protocols",
    title: "Protocols",
    about: "Traffic by protocol, application, interface and direction, and frames that are in no flow.",
    has_devices: true,
    rows: &[
        Row {
            title: "Of whole hosts, each packet once",
            panels: &[
                stack(
                    "Bytes by protocol",
                    "Bps",
                    "IP bytes a second, however many interfaces saw a packet.",
                    &[(
                        "sum by (protocol) (rate(hivewall_protocol_bytes_total{@i}[$__rate_interval]))",
                        "{{protocol}}",
                    )],
                ),
                stack(
                    "Packets by protocol",
                    "pps",
                    "Packets a second.",
                    &[(
                        "sum by (protocol) (rate(hivewall_protocol_packets_total{@i}[$__rate_interval]))",
                        "{{protocol}}",
                    )],
                ),
                bars(
                    "Flows by protocol",
                    "short",
                    "Flows that live now.",
                    &[("sum by (protocol) (hivewall_protocol_flows_active{@i})", "{{protocol}}")],
                ),
                bars(
                    "Share of each protocol",
                    "percentunit",
                    "Of all bytes since the agents started.",
                    &[(
                        "sum by (protocol) (hivewall_protocol_bytes_total{@i}) / on () group_left () sum(hivewall_protocol_bytes_total{@i})",
                        "{{protocol}}",
                    )],
                ),
            ],
        },
        Row {
            title: "Applications",
            panels: &[
                stack(
                    "Bytes by application",
                    "Bps",
                    "By what the payload showed, or a guess from the port.",
                    &[(
                        "sum by (application) (rate(hivewall_application_bytes_total{@i}[$__rate_interval]))",
                        "{{application}}",
                    )],
                ),
                stack(
                    "Packets by application",
                    "pps",
                    "Packets a second.",
                    &[(
                        "sum by (application) (rate(hivewall_application_packets_total{@i}[$__rate_interval]))",
                        "{{application}}",
                    )],
                ),
                lines(
                    "New flows by application",
                    "ops",
                    "Flows a second.",
                    &[(
                        "sum by (application) (rate(hivewall_application_flows_total{@i}[$__rate_interval]))",
                        "{{application}}",
                    )],
                ),
                bars(
                    "Guessed from the port",
                    "percentunit",
                    "Share of an application's flows that the payload did not show.",
                    &[(
                        "sum by (application) (hivewall_application_guessed_flows_total{@i}) \
                     / (sum by (application) (hivewall_application_flows_total{@i}) > 0)",
                        "{{application}}",
                    )],
                ),
            ],
        },
        Row {
            title: "As interfaces saw it",
            panels: &[
                lines(
                    "Bytes received by interface",
                    "Bps",
                    "IP bytes a second in flows.",
                    &[(
                        "sum by (instance, device, protocol) (rate(hivewall_traffic_bytes_total{@d,direction=\"ingress\"}[$__rate_interval]))",
                        "{{instance}} {{device}} {{protocol}}",
                    )],
                ),
                lines(
                    "Bytes sent by interface",
                    "Bps",
                    "IP bytes a second in flows.",
                    &[(
                        "sum by (instance, device, protocol) (rate(hivewall_traffic_bytes_total{@d,direction=\"egress\"}[$__rate_interval]))",
                        "{{instance}} {{device}} {{protocol}}",
                    )],
                ),
                lines(
                    "Packets by interface",
                    "pps",
                    "Packets a second in flows, by direction.",
                    &[(
                        "sum by (instance, device, direction) (rate(hivewall_traffic_packets_total{@d}[$__rate_interval]))",
                        "{{instance}} {{device}} {{direction}}",
                    )],
                ),
                lines(
                    "Wire bytes by interface",
                    "Bps",
                    "With link headers, VLAN tags and padding.",
                    &[(
                        "sum by (instance, device, direction) (rate(hivewall_traffic_wire_bytes_total{@d}[$__rate_interval]))",
                        "{{instance}} {{device}} {{direction}}",
                    )],
                ),
                lines(
                    "Frames that are in no flow",
                    "pps",
                    "ARP and the like, and malformed ones, by why.",
                    &[(
                        "sum by (reason) (rate(hivewall_frames_not_in_flows_total{@d}[$__rate_interval]))",
                        "{{reason}}",
                    )],
                ),
                lines(
                    "Their bytes",
                    "Bps",
                    "Wire bytes of frames that are in no flow.",
                    &[(
                        "sum by (reason) (rate(hivewall_frames_not_in_flows_bytes_total{@d}[$__rate_interval]))",
                        "{{reason}}",
                    )],
                ),
            ],
        },
    ],
};
