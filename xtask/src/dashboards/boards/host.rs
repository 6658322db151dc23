//! One host, or a few: load, links, memory, disks, processes. Its traffic in detail is `flows`.
//!
//! Invariant: every series names its host, so that several chosen ones can be told apart.

use super::super::{Board, Row, bars, lines, stack, stat};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-host",
    title: "Host",
    about: "How busy a host is: CPU, memory, disks, interfaces, and which processes move what.",
    has_devices: true,
    rows: &[
        Row {
            title: "Now",
            panels: &[
                stat("CPU", "percentunit", "Share of CPU time that was not idle and not waiting for disks.", &[(
                    "1 - sum by (instance) (rate(hivewall_host_cpu_seconds_total{@i,mode=~\"idle|iowait\"}[$__rate_interval])) \
                     / sum by (instance) (rate(hivewall_host_cpu_seconds_total{@i}[$__rate_interval]))",
                    "{{instance}}",
                )])
                .warn(0.8, 0.95),
                stat("Load per CPU", "short", "Load average over one minute, per CPU.", &[
                    ("hivewall_host_load_average{@i,minutes=\"1\"} / on (job, instance) hivewall_host_cpus{@i}", "{{instance}}"),
                ])
                .warn(1.0, 2.0),
                stat("Memory in use", "percentunit", "Share of memory that programs could not get.", &[
                    ("1 - hivewall_host_memory_available_bytes{@i} / hivewall_host_memory_bytes{@i}", "{{instance}}"),
                ])
                .warn(0.85, 0.95),
                stat("Connection tracking", "percentunit", "Share of the kernel's table of tracked connections in use.", &[
                    ("hivewall_host_conntrack_entries{@i} / hivewall_host_conntrack_limit{@i}", "{{instance}}"),
                ])
                .warn(0.7, 0.9),
                stat("Processes", "short", "Processes that exist.", &[("hivewall_host_processes{@i}", "{{instance}}")]),
                stat("Up since", "s", "Time since the host booted.", &[("hivewall_host_uptime_seconds{@i}", "{{instance}}")]),
            ],
        },
        Row {
            title: "Interfaces",
            panels: &[
                lines("Received", "Bps", "By the kernel's own counters.", &[
                    ("rate(hivewall_interface_receive_bytes_total{@d}[$__rate_interval])", "{{instance}} {{device}}"),
                ]),
                lines("Sent", "Bps", "By the kernel's own counters.", &[
                    ("rate(hivewall_interface_transmit_bytes_total{@d}[$__rate_interval])", "{{instance}} {{device}}"),
                ]),
                lines("Packets received", "pps", "By the kernel's own counters.", &[
                    ("rate(hivewall_interface_receive_packets_total{@d}[$__rate_interval])", "{{instance}} {{device}}"),
                ]),
                lines("Packets sent", "pps", "By the kernel's own counters.", &[
                    ("rate(hivewall_interface_transmit_packets_total{@d}[$__rate_interval])", "{{instance}} {{device}}"),
                ]),
                lines("Utilization", "percentunit", "The busier direction's share of the link speed; where the driver knows a speed.", &[
                    ("hivewall_interface_utilization_ratio{@d}", "{{instance}} {{device}}"),
                ])
                .warn(0.6, 0.8),
                bars("Link speed", "Bps", "Bytes a second that the link can carry; where the driver knows.", &[
                    ("hivewall_interface_speed_bytes{@d}", "{{instance}} {{device}}"),
                ]),
                lines("Errors", "pps", "Errors of receiving and sending.", &[
                    ("rate(hivewall_interface_receive_errs_total{@d}[$__rate_interval])", "{{instance}} {{device}} received"),
                    ("rate(hivewall_interface_transmit_errs_total{@d}[$__rate_interval])", "{{instance}} {{device}} sent"),
                ]),
                lines("Drops at interfaces", "pps", "Packets that the kernel dropped at the interface, both directions apart.", &[
                    ("rate(hivewall_interface_receive_drop_total{@d}[$__rate_interval])", "{{instance}} {{device}} received"),
                    ("rate(hivewall_interface_transmit_drop_total{@d}[$__rate_interval])", "{{instance}} {{device}} sent"),
                ]),
                bars("Carrier", "none", "1 for an interface that is up and has carrier.", &[
                    ("hivewall_interface_up{@d}", "{{instance}} {{device}}"),
                ]),
                bars("Watched", "none", "1 for an interface whose packets are captured.", &[
                    ("hivewall_interface_captured{@d}", "{{instance}} {{device}}"),
                ]),
            ],
        },
        Row {
            title: "CPU, memory, disks",
            panels: &[
                stack("CPU by mode", "short", "CPUs' worth of time by mode, idle time left out.", &[
                    ("sum by (instance, mode) (rate(hivewall_host_cpu_seconds_total{@i,mode!=\"idle\"}[$__rate_interval]))", "{{instance}} {{mode}}"),
                ]),
                lines("Load", "short", "Load averages over 1, 5 and 15 minutes.", &[
                    ("hivewall_host_load_average{@i}", "{{instance}} {{minutes}} min"),
                ]),
                lines("Memory", "bytes", "What there is, what programs could still get, and swap in use.", &[
                    ("hivewall_host_memory_bytes{@i}", "{{instance}} memory"),
                    ("hivewall_host_memory_available_bytes{@i}", "{{instance}} available"),
                    ("hivewall_host_swap_used_bytes{@i}", "{{instance}} swap used"),
                    ("hivewall_host_swap_bytes{@i}", "{{instance}} swap"),
                ]),
                bars("Filesystems", "percentunit", "Share of each filesystem that is full.", &[(
                    "1 - hivewall_host_filesystem_available_bytes{@i} / hivewall_host_filesystem_size_bytes{@i}",
                    "{{instance}} {{mountpoint}}",
                )])
                .warn(0.85, 0.95),
                lines("Disks", "Bps", "Bytes read and written.", &[
                    ("rate(hivewall_host_disk_read_bytes_total{@i}[$__rate_interval])", "{{instance}} {{device}} read"),
                    ("rate(hivewall_host_disk_written_bytes_total{@i}[$__rate_interval])", "{{instance}} {{device}} written"),
                ]),
                lines("Disks busy", "percentunit", "Share of time in which a disk had something to do.", &[
                    ("hivewall_host_disk_utilization_ratio{@i}", "{{instance}} {{device}}"),
                ])
                .warn(0.8, 0.95),
            ],
        },
        Row {
            title: "Processes",
            panels: &[
                stack("Sent by process", "Bps", "By processes of one name: the ten busiest names, the rest is other.", &[
                    ("hivewall_process_transmit_bytes_per_second{@i}", "{{instance}} {{process}}"),
                ]),
                stack("Received by process", "Bps", "By processes of one name.", &[
                    ("hivewall_process_receive_bytes_per_second{@i}", "{{instance}} {{process}}"),
                ]),
                bars("Flows by process", "short", "Flows that live now.", &[
                    ("hivewall_process_flows_active{@i}", "{{instance}} {{process}}"),
                ]),
                lines("Flows whose process is known", "percentunit", "Share of flows with an end on the host, since the agent's start.", &[(
                    "hivewall_attributed_flows_total{@i} / (hivewall_attributed_flows_total{@i} + hivewall_unattributed_flows_total{@i} > 0)",
                    "{{instance}}",
                )]),
            ],
        },
    ],
};
