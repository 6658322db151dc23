//! The agent itself: whether it sees everything, what it costs, its log, history and API.
//!
//! Invariant: whatever was not seen, kept or written is here, by reason.

use super::super::{Board, Row, lines, stack, stat, table};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-agent",
    title: "Agent health",
    about: "Whether agents see everything, what they lose and why, and what they cost.",
    has_devices: false,
    rows: &[
        Row {
            title: "Health",
            panels: &[
                stat("Reasons not to be ok", "none", "As in the health document; 0 is ok.", &[
                    ("sum(hivewall_health_reasons{@i})", ""),
                ])
                .warn(1.0, 3.0),
                stat("Lesser captures", "none", "Hosts on which packets come from a lesser source than the best.", &[
                    ("sum(hivewall_capture_fallback{@i})", ""),
                ])
                .warn(1.0, 1.0),
                stat("Lesser attribution", "none", "Hosts on which flows are tied to processes in a lesser way.", &[
                    ("sum(hivewall_attribution_fallback{@i})", ""),
                ])
                .warn(1.0, 1.0),
                stat("Losses", "ops", "Everything not seen or not kept, a second.", &[
                    ("sum(rate(hivewall_losses_total{@i}[$__rate_interval]))", ""),
                ])
                .warn(0.1, 10.0),
                stat("Clock off", "s", "By how much a host's clock and that of Prometheus differ, at most.", &[
                    ("max(abs(timestamp(hivewall_snapshot_timestamp_seconds{@i}) - hivewall_snapshot_timestamp_seconds{@i}))", ""),
                ])
                .warn(5.0, 10.0),
                stat("History failing", "none", "Hosts that cannot write their history.", &[
                    ("sum(hivewall_history_failing{@i}) or vector(0)", ""),
                ])
                .warn(1.0, 1.0),
                table("Agents", "none", "Where packets come from and how flows are tied to processes, by host.", &[
                    ("max by (instance, version) (hivewall_build_info{@i})", "There"),
                    (
                        "max by (instance, capture) (label_replace(hivewall_capture_info{@i}, \"capture\", \"$1\", \"source\", \"(.*)\"))",
                        "Captures",
                    ),
                    (
                        "max by (instance, attribution) (label_replace(hivewall_attribution_info{@i}, \"attribution\", \"$1\", \"source\", \"(.*)\"))",
                        "Attributes",
                    ),
                    ("max by (instance) (hivewall_capture_interfaces{@i})", "Interfaces"),
                ]),
                lines("Reasons by kind", "none", "Why the health is less than ok.", &[
                    ("sum by (instance, kind) (hivewall_health_reasons{@i})", "{{instance}} {{kind}}"),
                ]),
                lines("Up", "s", "Time since the agent started; a fall is a restart.", &[
                    ("hivewall_uptime_seconds{@i}", "{{instance}}"),
                ]),
            ],
        },
        Row {
            title: "Losses",
            panels: &[
                lines("Losses by reason", "ops", "Records, rows or flows that were not seen or not kept; the snapshot says what each reason means.", &[
                    ("sum by (reason) (rate(hivewall_losses_total{@i}[$__rate_interval]))", "{{reason}}"),
                ]),
                lines("Packets in them", "pps", "Where that is known.", &[
                    ("sum by (reason) (rate(hivewall_losses_packets_total{@i}[$__rate_interval]))", "{{reason}}"),
                ]),
                lines("Bytes in them", "Bps", "Where that is known.", &[
                    ("sum by (reason) (rate(hivewall_losses_bytes_total{@i}[$__rate_interval]))", "{{reason}}"),
                ]),
                lines("Log writer", "ops", "Events that were not logged, by why.", &[
                    ("sum by (instance, reason) (rate(hivewall_losses_total{@i,reason=~\"log_.*\"}[$__rate_interval]))", "{{instance}} {{reason}}"),
                ]),
            ],
        },
        Row {
            title: "Cost",
            panels: &[
                lines("CPU of the agent", "percentunit", "Share of one CPU: by the system's count, and as the agent saw it over the last second.", &[
                    ("rate(process_cpu_seconds_total{@i,job=~\"hivewall.*\"}[$__rate_interval])", "{{instance}}"),
                    ("hivewall_agent_cpu_ratio{@i}", "{{instance}}, last second"),
                ]),
                lines("Memory of the agent", "bytes", "Resident memory.", &[
                    ("process_resident_memory_bytes{@i,job=~\"hivewall.*\"}", "{{instance}}"),
                ]),
                lines("Kernel time per packet", "s", "What the kernel's programs took per packet, where the kernel counts it.", &[
                    ("hivewall_kernel_seconds_per_packet{@i}", "{{instance}}"),
                ]),
                lines("Captured", "pps", "Packets counted into flows, and records handed over by the datapath.", &[
                    ("rate(hivewall_capture_packets_total{@i}[$__rate_interval])", "{{instance}} packets"),
                    ("rate(hivewall_capture_records_total{@i}[$__rate_interval])", "{{instance}} records"),
                ]),
                lines("Events of sockets", "ops", "Taken from the kernel, a second.", &[
                    ("rate(hivewall_socket_events_total{@i}[$__rate_interval])", "{{instance}}"),
                ]),
                lines("Remembered", "short", "Sockets and processes remembered to tie flows to.", &[
                    ("hivewall_sockets_tracked{@i}", "{{instance}} sockets"),
                    ("hivewall_processes_tracked{@i}", "{{instance}} processes"),
                ]),
                lines("Clock of the capture", "s", "One tick: the resolution of flow times.", &[
                    ("hivewall_capture_clock_resolution_seconds{@i}", "{{instance}}"),
                ]),
                lines("Clock of the host", "s", "How far it is behind that of Prometheus.", &[
                    ("timestamp(hivewall_snapshot_timestamp_seconds{@i}) - hivewall_snapshot_timestamp_seconds{@i}", "{{instance}}"),
                ]),
            ],
        },
        Row {
            title: "History and API",
            panels: &[
                lines("History on disk", "bytes", "Bytes that the history takes.", &[("hivewall_history_bytes{@i}", "{{instance}}")]),
                lines("Flows in history", "short", "Flows, and the segments that they are in.", &[
                    ("hivewall_history_flows{@i}", "{{instance}} flows"),
                    ("hivewall_history_segments{@i}", "{{instance}} segments"),
                ]),
                lines("History reaches back", "s", "Time since the first packet of the oldest flow kept.", &[
                    ("time() - hivewall_history_oldest_timestamp_seconds{@i}", "{{instance}}"),
                ]),
                stack("Requests to the API", "reqps", "By status code.", &[
                    ("sum by (code) (rate(hivewall_api_requests_total{@i}[$__rate_interval]))", "{{code}}"),
                ]),
                lines("Connections to the API", "none", "Open ones, clients that follow flows live, connections turned away, and those on which no TLS came about.", &[
                    ("hivewall_api_connections{@i}", "{{instance}} open"),
                    ("hivewall_api_live_subscribers{@i}", "{{instance}} live"),
                    ("rate(hivewall_api_connections_refused_total{@i}[$__rate_interval])", "{{instance}} turned away a second"),
                    ("rate(hivewall_api_handshakes_failed_total{@i}[$__rate_interval])", "{{instance}} without TLS a second"),
                ]),
                stack("Logins to the API", "ops", "By outcome: succeeded, failed, or limited because too many had failed before.", &[
                    ("sum by (outcome) (rate(hivewall_api_logins_total{@i}[$__rate_interval]))", "{{outcome}}"),
                ]),
                lines("Requests refused as too many", "reqps", "Refused with 429 because too many came from one address.", &[
                    ("rate(hivewall_api_requests_limited_total{@i}[$__rate_interval])", "{{instance}}"),
                ]),
                lines("Missed by live clients", "ops", "Closed flows that clients missed because they read too slowly.", &[
                    ("rate(hivewall_api_live_missed_flows_total{@i}[$__rate_interval])", "{{instance}}"),
                ]),
            ],
        },
    ],
};
