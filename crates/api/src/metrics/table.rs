//! The one list of metrics. Invariants, held by tests: names follow Prometheus's conventions (one prefix, base units,
//! `_total` for counters and for nothing else), and no label takes values without bound: devices, protocols,
//! directions, reasons and states are few, addresses appear for the first [`TOP_TALKERS_MAX`] talkers only.

use hivewall_view::{InterfaceUtilization, TopTalker, TrafficCell};

use super::{Metric, MetricKind, Samples, Scrape};
use crate::state::counted;

/// Most addresses that ever appear in one scrape.
const TOP_TALKERS_MAX: usize = 10;

const NONE: &[&str] = &[];
const DEVICE: &[&str] = &["device"];
const TRAFFIC: &[&str] = &["device", "protocol", "direction"];
const REASON: &[&str] = &["reason"];
const PROTOCOL: &[&str] = &["protocol"];

macro_rules! metrics {
    ($($kind:ident $name:literal, $unit:literal, $labels:expr, $help:literal, $read:expr;)*) => {
        /// Every metric, in the order of the scrape.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name, kind: MetricKind::$kind, unit: $unit, help: $help, labels: $labels, read: $read,
        }),*];
    };
}

metrics! {
    Gauge "hivewall_build_info", "1", &["version"], "Always 1; the label tells the version of hivewall.",
        |s, out| out.add(&[&s.snapshot.host.version], 1.0);
    Gauge "hivewall_uptime_seconds", "seconds", NONE, "Time since the agent started.",
        |s, out| out.add(&[], s.snapshot.host.uptime_seconds);
    Counter "process_cpu_seconds_total", "seconds", NONE, "CPU time the agent has used.",
        |s, out| out.add(&[], s.snapshot.host.agent_cpu_seconds);
    Gauge "process_resident_memory_bytes", "bytes", NONE, "Memory the agent holds resident.",
        |s, out| out.count(&[], s.snapshot.host.agent_memory_bytes);

    Gauge "hivewall_capture_info", "1", &["source"],
        "Always 1; the label tells where packets come from: ebpf-tcx, ebpf-clsact, af-packet or file.",
        |s, out| out.add(&[&s.snapshot.capture.source], 1.0);
    Gauge "hivewall_capture_fallback", "1", NONE,
        "1 when packets come from a lesser source than the best, 0 otherwise.",
        |s, out| out.add(&[], flag(s.snapshot.capture.fallback_reason.is_some()));
    Gauge "hivewall_capture_interfaces", "interfaces", NONE, "Interfaces watched.",
        |s, out| out.count(&[], s.snapshot.capture.interfaces.len() as u64);
    Gauge "hivewall_capture_clock_resolution_seconds", "seconds", NONE,
        "One tick of the capture clock: the resolution of flow times.",
        |s, out| out.add(&[], s.snapshot.capture.clock_resolution_ms / 1e3);
    Counter "hivewall_capture_packets_total", "packets", NONE,
        "Packets counted into flows, once for each interface that saw them.",
        |s, out| out.count(&[], s.snapshot.capture.packets);
    Counter "hivewall_capture_records_total", "records", NONE, "Flow records handed over by the datapath.",
        |s, out| out.count(&[], s.snapshot.capture.records);

    Counter "hivewall_interface_receive_bytes_total", "bytes", DEVICE,
        "Bytes received, by the kernel's own counter of the interface.",
        |s, out| interfaces(s, out, |i| Some(i.in_bytes as f64));
    Counter "hivewall_interface_transmit_bytes_total", "bytes", DEVICE,
        "Bytes sent, by the kernel's own counter of the interface.",
        |s, out| interfaces(s, out, |i| Some(i.out_bytes as f64));
    Counter "hivewall_interface_receive_packets_total", "packets", DEVICE,
        "Packets received, by the kernel's own counter of the interface.",
        |s, out| interfaces(s, out, |i| Some(i.in_packets as f64));
    Counter "hivewall_interface_transmit_packets_total", "packets", DEVICE,
        "Packets sent, by the kernel's own counter of the interface.",
        |s, out| interfaces(s, out, |i| Some(i.out_packets as f64));
    Counter "hivewall_interface_errs_total", "packets", DEVICE, "Receive and transmit errors of the interface.",
        |s, out| interfaces(s, out, |i| Some(i.errors as f64));
    Counter "hivewall_interface_drop_total", "packets", DEVICE, "Packets the kernel dropped at the interface.",
        |s, out| interfaces(s, out, |i| Some(i.dropped as f64));
    Gauge "hivewall_interface_speed_bytes", "bytes per second", DEVICE,
        "Link speed in bytes per second; absent where the driver does not say.",
        |s, out| interfaces(s, out, |i| i.speed_bits_per_second.map(|bits| bits as f64 / 8.0));
    Gauge "hivewall_interface_utilization_ratio", "1", DEVICE,
        "The busier direction's share of the link speed over the last second, 0 to 1; absent without a speed.",
        |s, out| interfaces(s, out, |i| i.utilization);
    Gauge "hivewall_interface_up", "1", DEVICE, "1 when the interface is up and has carrier, 0 otherwise.",
        |s, out| interfaces(s, out, |i| Some(flag(i.up)));
    Gauge "hivewall_interface_captured", "1", DEVICE, "1 when the packets of the interface are captured, 0 otherwise.",
        |s, out| interfaces(s, out, |i| Some(flag(i.captured)));

    Counter "hivewall_traffic_packets_total", "packets", TRAFFIC,
        "Packets in flows as the interface saw them; direction is ingress or egress.",
        |s, out| traffic(s, out, |cell| [cell.in_packets, cell.out_packets]);
    Counter "hivewall_traffic_bytes_total", "bytes", TRAFFIC, "IP bytes in flows as the interface saw them.",
        |s, out| traffic(s, out, |cell| [cell.in_bytes, cell.out_bytes]);
    Counter "hivewall_traffic_wire_bytes_total", "bytes", TRAFFIC, "Wire bytes in flows as the interface saw them.",
        |s, out| traffic(s, out, |cell| [cell.in_wire_bytes, cell.out_wire_bytes]);
    Counter "hivewall_frames_not_in_flows_total", "frames", &["device", "direction", "reason"],
        "Frames that are in no flow: ARP and the like, malformed ones.",
        |s, out| outside(s, out, |cell| [cell.in_packets, cell.out_packets]);
    Counter "hivewall_frames_not_in_flows_bytes_total", "bytes", &["device", "direction", "reason"],
        "Wire bytes of frames that are in no flow.",
        |s, out| outside(s, out, |cell| [cell.in_wire_bytes, cell.out_wire_bytes]);

    Counter "hivewall_protocol_packets_total", "packets", PROTOCOL,
        "Packets of the whole host, each counted once however many interfaces saw it.",
        |s, out| s.snapshot.protocols.iter().for_each(|(name, p)| out.count(&[name], p.packets));
    Counter "hivewall_protocol_bytes_total", "bytes", PROTOCOL,
        "IP bytes of the whole host, each packet counted once.",
        |s, out| s.snapshot.protocols.iter().for_each(|(name, p)| out.count(&[name], p.bytes));
    Gauge "hivewall_protocol_flows_active", "flows", PROTOCOL, "Flows that live now.",
        |s, out| s.snapshot.protocols.iter().for_each(|(name, p)| out.count(&[name], p.active_flows));

    Gauge "hivewall_flows_active", "flows", NONE, "Flows that live now.",
        |s, out| out.count(&[], s.snapshot.flow_counts.active);
    Gauge "hivewall_flows_limit", "flows", NONE, "Most flows that can live at once.",
        |s, out| out.count(&[], s.snapshot.flow_counts.limit);
    Counter "hivewall_flows_total", "flows", NONE, "Flows seen.",
        |s, out| out.count(&[], s.snapshot.flow_counts.total);
    Counter "hivewall_flows_ended_total", "flows", REASON, "Flows that ended, by why.",
        |s, out| s.snapshot.flow_counts.ended.iter().for_each(|(reason, flows)| out.count(&[reason], *flows));
    Gauge "hivewall_tcp_flows", "flows", &["state"], "TCP flows by state.",
        |s, out| s.snapshot.connection_states.iter().for_each(|(state, flows)| out.count(&[state], *flows));
    Gauge "hivewall_tcp_flows_half_open", "flows", NONE, "TCP flows whose SYN has no answer yet.",
        |s, out| out.count(&[], s.snapshot.suspicious_traffic.half_open);
    Counter "hivewall_invalid_packets_total", "packets", REASON, "Frames that break a standard, by how.",
        |s, out| {
            let by_reason = &s.snapshot.suspicious_traffic.invalid_by_reason;
            for (reason, packets) in by_reason {
                out.count(&[reason], *packets);
            }
        };

    Counter "hivewall_losses_total", "events", REASON,
        "Records, rows or flows not seen or not kept; the snapshot tells what each reason means.",
        |s, out| s.snapshot.losses.iter().for_each(|(reason, loss)| out.count(&[reason], loss.count));
    Counter "hivewall_losses_packets_total", "packets", REASON, "Packets in what was lost, where that is known.",
        |s, out| s.snapshot.losses.iter().for_each(|(reason, loss)| out.count(&[reason], loss.packets));
    Counter "hivewall_losses_bytes_total", "bytes", REASON, "Bytes in what was lost, where that is known.",
        |s, out| s.snapshot.losses.iter().for_each(|(reason, loss)| out.count(&[reason], loss.bytes));

    Gauge "hivewall_addresses_tracked", "addresses", NONE, "Addresses whose traffic is kept apart.",
        |s, out| out.count(&[], s.snapshot.ip_traffic_accuracy.tracked);
    Gauge "hivewall_addresses_limit", "addresses", NONE, "Most addresses whose traffic can be kept apart.",
        |s, out| out.count(&[], s.snapshot.ip_traffic_accuracy.limit);
    Counter "hivewall_addresses_folded_total", "addresses", NONE,
        "Times a quiet address was folded into the rest to make room.",
        |s, out| out.count(&[], s.snapshot.ip_traffic_accuracy.folded);
    Gauge "hivewall_top_talker_sent_bytes_per_second", "bytes per second", &["address"],
        "IP bytes sent per second by each of the ten busiest addresses.",
        |s, out| talkers(s, out, |talker| talker.sent_bits_per_second / 8.0);
    Gauge "hivewall_top_talker_received_bytes_per_second", "bytes per second", &["address"],
        "IP bytes received per second by each of the ten busiest addresses.",
        |s, out| talkers(s, out, |talker| talker.received_bits_per_second / 8.0);

    Counter "hivewall_api_requests_total", "requests", &["code"], "Requests to this API, by status code.",
        |s, out| s.api.counts.requests().iter().for_each(|(code, n)| out.count(&[&code.to_string()], *n));
    Gauge "hivewall_api_connections", "connections", NONE, "Connections to this API that are open.",
        |s, out| out.count(&[], counted(&s.api.counts.connections));
    Counter "hivewall_api_connections_refused_total", "connections", NONE,
        "Connections turned away because too many were open.",
        |s, out| out.count(&[], counted(&s.api.counts.connections_refused));
    Gauge "hivewall_api_live_subscribers", "subscribers", NONE, "Clients that follow flows live.",
        |s, out| out.count(&[], s.api.live_subscribers());
    Counter "hivewall_api_live_missed_flows_total", "flows", NONE,
        "Closed flows that live subscribers missed because they read too slowly.",
        |s, out| out.count(&[], counted(&s.api.counts.live_missed));
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn interfaces(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&InterfaceUtilization) -> Option<f64>) {
    for (device, interface) in &scrape.snapshot.interface_utilization {
        if let Some(value) = value(interface) {
            out.add(&[device], value);
        }
    }
}

/// One sample for each interface, protocol and direction.
fn traffic(scrape: &Scrape<'_>, out: &mut Samples, both: fn(&TrafficCell) -> [u64; 2]) {
    for (device, interface) in &scrape.snapshot.network_traffic {
        for (protocol, cell) in &interface.protocols {
            let [ingress, egress] = both(cell);
            out.count(&[device, protocol, "ingress"], ingress);
            out.count(&[device, protocol, "egress"], egress);
        }
    }
}

/// One sample for each interface, direction and reason.
fn outside(scrape: &Scrape<'_>, out: &mut Samples, both: fn(&TrafficCell) -> [u64; 2]) {
    for (device, interface) in &scrape.snapshot.network_traffic {
        for (reason, cell) in &interface.not_in_flows {
            let [ingress, egress] = both(cell);
            out.count(&[device, "ingress", reason], ingress);
            out.count(&[device, "egress", reason], egress);
        }
    }
}

fn talkers(scrape: &Scrape<'_>, out: &mut Samples, rate: fn(&TopTalker) -> f64) {
    for talker in scrape.snapshot.top_talkers.iter().take(TOP_TALKERS_MAX) {
        out.add(&[&talker.address], rate(talker));
    }
}
