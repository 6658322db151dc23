//! The one list of metrics. Invariants, held by tests: names follow Prometheus's conventions (one prefix, base units,
//! `_total` for counters and for nothing else), and no label takes values without bound: devices, protocols,
//! directions, reasons and states are few, addresses appear for the ten busiest talkers and as many peers and targets
//! only, and what the network can invent (types, codes, versions) has a name or is `other`. Where the samples come from,
//! and each such limit by name, stands in the modules beside this one.

use hivewall_view::fleet::Distinct;

use super::alerts;
use super::depth::{
    classes, disks, filesystems, half_open_targets, history, kernel_drops, known, peers, processes, system, transitions,
};
use super::fleet::{
    distinct, fleet, links, losses as cluster_losses, members, meter, policy_hosts, rollout, total,
    traffic as fleet_traffic,
};
use super::policy::{causes, drift, failures, policy, refused, rules, tables};
use super::traffic::{
    applications, flag, health, interfaces, outbound, outside, peers_summary, services, subnets, talkers, traffic,
};
use super::{Metric, MetricKind};
use crate::state::counted;

const NONE: &[&str] = &[];
const DEVICE: &[&str] = &["device"];
const TRAFFIC: &[&str] = &["device", "protocol", "direction"];
const REASON: &[&str] = &["reason"];
const PROTOCOL: &[&str] = &["protocol"];
const PROCESS: &[&str] = &["process"];
const APPLICATION: &[&str] = &["application"];
const FILESYSTEM: &[&str] = &["mountpoint"];
const SERVICE: &[&str] = &["service"];
const PREFIX: &[&str] = &["prefix"];

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
    Gauge "hivewall_snapshot_timestamp_seconds", "seconds", NONE,
        "When what is told here was taken, by the host's clock, in seconds since 1970: against the time of a scrape it shows \
         a clock that is off, or an agent that hangs.",
        |s, out| {
            let time = hivewall_view::time::parse_rfc3339(&s.snapshot.time);
            time.iter().for_each(|time| out.add(&[], time.0 as f64 / 1e9));
        };
    Gauge "hivewall_health_reasons", "reasons", &["kind"],
        "Why the agent's health is less than ok, by kind, as in the health document; all are 0 when it is ok.",
        |s, out| health(s, out);
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
    Counter "hivewall_interface_receive_errs_total", "packets", DEVICE, "Of them, errors of receiving.",
        |s, out| interfaces(s, out, |i| Some(i.in_errors as f64));
    Counter "hivewall_interface_transmit_errs_total", "packets", DEVICE, "Of them, errors of sending.",
        |s, out| interfaces(s, out, |i| Some(i.errors.saturating_sub(i.in_errors) as f64));
    Counter "hivewall_interface_drop_total", "packets", DEVICE, "Packets the kernel dropped at the interface.",
        |s, out| interfaces(s, out, |i| Some(i.dropped as f64));
    Counter "hivewall_interface_receive_drop_total", "packets", DEVICE, "Of them, packets that were received.",
        |s, out| interfaces(s, out, |i| Some(i.in_dropped as f64));
    Counter "hivewall_interface_transmit_drop_total", "packets", DEVICE, "Of them, packets that were to be sent.",
        |s, out| interfaces(s, out, |i| Some(i.dropped.saturating_sub(i.in_dropped) as f64));
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
        "IP bytes sent per second by each of the ten busiest addresses; other is all the rest of the host's traffic.",
        |s, out| talkers(s, out, |talker| talker.sent_bits_per_second / 8.0);
    Gauge "hivewall_top_talker_received_bytes_per_second", "bytes per second", &["address"],
        "IP bytes received per second by each of the ten busiest addresses; other is all the rest.",
        |s, out| talkers(s, out, |talker| talker.received_bits_per_second / 8.0);
    Counter "hivewall_subnet_sent_bytes_total", "bytes", PREFIX, "IP bytes sent by each prefix of the settings.",
        |s, out| subnets(s, out, |subnet| subnet.sent_bytes);
    Counter "hivewall_subnet_received_bytes_total", "bytes", PREFIX,
        "IP bytes received by each prefix of the settings.",
        |s, out| subnets(s, out, |subnet| subnet.received_bytes);
    Counter "hivewall_outbound_bytes_total", "bytes", &["direction"],
        "IP bytes of conversations that this host opened.",
        |s, out| outbound(s, out, "outbound_bytes", |peer| [peer.sent_bytes, peer.received_bytes]);
    Counter "hivewall_outbound_packets_total", "packets", &["direction"],
        "Packets of conversations that this host opened.",
        |s, out| outbound(s, out, "outbound_packets", |peer| [peer.sent_packets, peer.received_packets]);
    Gauge "hivewall_service_bytes", "bytes", SERVICE,
        "IP bytes since the start by server port, as tcp/443: the ten busiest, the rest is other. No counter: a port that \
         becomes one of the busiest leaves the rest.",
        |s, out| services(s, out, |service| service.bytes);
    Gauge "hivewall_service_packets", "packets", SERVICE, "Packets since the start, of the same server ports.",
        |s, out| services(s, out, |service| service.packets);
    Gauge "hivewall_service_flows", "flows", SERVICE, "Flows since the start, of the same server ports.",
        |s, out| services(s, out, |service| service.flows);

    Gauge "hivewall_attribution_info", "1", &["source"],
        "Always 1; the label tells how flows are tied to processes: kernel-events, sock-diag or none.",
        |s, out| out.add(&[&s.snapshot.attribution.source], 1.0);
    Gauge "hivewall_attribution_fallback", "1", NONE,
        "1 when flows are tied to processes in a lesser way than the best, 0 otherwise.",
        |s, out| out.add(&[], flag(s.snapshot.attribution.fallback_reason.is_some()));
    Counter "hivewall_attributed_flows_total", "flows", NONE,
        "Flows with an end on this host whose process is known.",
        |s, out| out.count(&[], s.snapshot.attribution.attributed_flows);
    Counter "hivewall_unattributed_flows_total", "flows", NONE,
        "Flows with an end on this host whose process is not known.",
        |s, out| out.count(&[], s.snapshot.attribution.unattributed_flows);
    Gauge "hivewall_sockets_tracked", "sockets", NONE, "Sockets remembered to tie flows to processes.",
        |s, out| out.count(&[], s.snapshot.attribution.sockets);
    Gauge "hivewall_processes_tracked", "processes", NONE, "Processes remembered to tie flows to.",
        |s, out| out.count(&[], s.snapshot.attribution.processes);
    Gauge "hivewall_process_transmit_bytes_per_second", "bytes per second", PROCESS,
        "IP bytes sent per second by processes of one name: the ten busiest names, the rest is other.",
        |s, out| processes(s, out, |process| process.sent_bits_per_second / 8.0);
    Gauge "hivewall_process_receive_bytes_per_second", "bytes per second", PROCESS,
        "IP bytes received per second by processes of one name.",
        |s, out| processes(s, out, |process| process.received_bits_per_second / 8.0);
    Gauge "hivewall_process_flows_active", "flows", PROCESS, "Flows that live now, of processes of one name.",
        |s, out| processes(s, out, |process| process.active_flows as f64);

    Counter "hivewall_application_bytes_total", "bytes", APPLICATION,
        "IP bytes by application protocol, each packet counted once.",
        |s, out| applications(s, out, "application_bytes", |a| a.bytes);
    Counter "hivewall_application_packets_total", "packets", APPLICATION,
        "Packets by application protocol, each counted once.",
        |s, out| applications(s, out, "application_packets", |a| a.packets);
    Counter "hivewall_application_flows_total", "flows", APPLICATION, "Flows by application protocol.",
        |s, out| applications(s, out, "application_flows", |a| a.flows);
    Counter "hivewall_application_guessed_flows_total", "flows", APPLICATION,
        "Of them, flows whose application is a guess from the port.",
        |s, out| applications(s, out, "application_guessed_flows", |a| a.guessed_flows);

    Counter "hivewall_dns_queries_total", "queries", &["type"], "DNS queries seen, by type asked for.",
        |s, out| known(out, &s.snapshot.dns_queries.types, |name| !name.starts_with("TYPE"));
    Counter "hivewall_dns_responses_total", "responses", &["rcode"], "DNS responses seen, by response code.",
        |s, out| known(out, &s.snapshot.dns_queries.rcodes, |name| !name.starts_with("RCODE"));
    Counter "hivewall_dns_multicast_total", "messages", NONE, "Messages of multicast DNS and LLMNR.",
        |s, out| out.count(&[], s.snapshot.dns_queries.multicast);
    Summary "hivewall_dns_latency_seconds", "seconds", NONE, "From DNS query to response.",
        |s, out| out.latency(&[], &s.snapshot.dns_queries.latency);
    Counter "hivewall_http_requests_total", "requests", &["method"], "HTTP/1.x requests seen, by method.",
        |s, out| known(out, &s.snapshot.http_requests.methods, |_| true);
    Counter "hivewall_http_responses_total", "responses", &["code"],
        "HTTP/1.x responses seen, by class of the status: 2xx and so on.",
        |s, out| classes(s, out);
    Summary "hivewall_http_latency_seconds", "seconds", NONE, "From HTTP request to the head of its response.",
        |s, out| out.latency(&[], &s.snapshot.http_requests.latency);
    Counter "hivewall_tls_handshakes_total", "handshakes", &["version"],
        "TLS ClientHellos seen, over TCP and in QUIC, by the greatest version offered.",
        |s, out| known(out, &s.snapshot.tls_handshakes.versions, |name| !name.starts_with("0x"));
    Counter "hivewall_quic_handshakes_total", "handshakes", NONE, "Of them, those in QUIC.",
        |s, out| out.count(&[], s.snapshot.tls_handshakes.quic_hellos);

    Gauge "hivewall_peer_rtt_seconds", "seconds", &["address"],
        "Smoothed round-trip time to each of the ten peers with most samples.",
        |s, out| peers(s, out, |peer| peer.smoothed_seconds);
    Gauge "hivewall_peer_jitter_seconds", "seconds", &["address"],
        "Jitter of the round trips to each of the ten peers with most samples.",
        |s, out| peers(s, out, |peer| peer.jitter_seconds);
    Gauge "hivewall_rtt_seconds", "seconds", &["what"],
        "Smoothed round-trip times over all peers that are kept apart: min, median, p95 and max.",
        |s, out| peers_summary(s, out, |peer| peer.smoothed_seconds);
    Gauge "hivewall_jitter_seconds", "seconds", &["what"],
        "Jitter over the same peers: min, median, p95 and max.",
        |s, out| peers_summary(s, out, |peer| peer.jitter_seconds);

    Gauge "hivewall_tcp_sockets", "sockets", &["state", "family"], "TCP sockets of this host by state.",
        |s, out| {
            for (state, count) in &s.snapshot.sockets.tcp {
                out.count(&[state, "ipv4"], count.ipv4);
                out.count(&[state, "ipv6"], count.ipv6);
            }
        };
    Gauge "hivewall_udp_sockets", "sockets", &["family"], "UDP sockets of this host.",
        |s, out| {
            out.count(&["ipv4"], s.snapshot.sockets.udp.ipv4);
            out.count(&["ipv6"], s.snapshot.sockets.udp.ipv6);
        };
    Counter "hivewall_socket_transitions_total", "transitions", &["from", "to"],
        "Times a TCP socket of this host went from one state to another.",
        |s, out| transitions(s, out);
    Counter "hivewall_tcp_retransmits_total", "segments", NONE,
        "Segments that TCP sockets of this host sent again, over flows that were seen.",
        |s, out| out.count(&[], s.snapshot.sockets.retransmits);
    Gauge "hivewall_half_open_target_flows", "flows", &["address"],
        "TCP flows without an established handshake to each of the ten targets (address and port) that have most.",
        |s, out| half_open_targets(s, out);
    Counter "hivewall_kernel_drops_total", "packets", &["reason", "device", "protocol"],
        "Packets the kernel dropped, by the kernel's name of the reason; device is none where there was none.",
        |s, out| kernel_drops(s, out);
    Gauge "hivewall_security_alerts", "alerts", &["kind"], "Security alerts by kind.",
        |s, out| s.snapshot.security_alerts.iter().for_each(|(kind, alerts)| out.count(&[kind], *alerts));

    Gauge "hivewall_alerts_active", "alerts", &["detector", "severity"], "Alerts that go on.",
        |s, out| alerts::tally(&s.snapshot.alerts.active, out);
    Counter "hivewall_alerts_total", "alerts", &["detector", "severity"], "Alerts that were raised.",
        |s, out| alerts::raised(s, out);
    Counter "hivewall_alert_signs_total", "signs", &["detector"],
        "What detectors saw; signs of one thing are one alert.",
        |s, out| s.snapshot.alerts.signs.iter().for_each(|(detector, signs)| out.count(&[detector], *signs));
    Counter "hivewall_failed_logins_total", "logins", NONE, "Failed logins that the host's own logs told of.",
        |s, out| out.count(&[], s.snapshot.alerts.failed_logins);
    Counter "hivewall_responses_total", "responses", &["detector", "action", "outcome"],
        "What was done about alerts by itself, as the policy grants it.",
        |s, out| alerts::responses(s, out);
    Counter "hivewall_delivery_total", "messages", &["channel", "outcome"], "Messages about alerts, by channel and outcome.",
        |s, out| alerts::delivery(s, out);
    Gauge "hivewall_alert_captures", "files", NONE, "Capture files of the packets that alerts rest on.",
        |s, out| out.count(&[], s.snapshot.alerts.captures.files);
    Gauge "hivewall_alert_captures_bytes", "bytes", NONE, "Size of those files.",
        |s, out| out.count(&[], s.snapshot.alerts.captures.bytes);
    Counter "hivewall_alert_captures_lost_total", "1", &["reason"],
        "Packets (`full`, `undelivered`) and whole captures (`busy`, `unseen`, `unwritten`, `removed`) that are missing in those files.",
        |s, out| s.snapshot.alerts.captures.lost.iter().for_each(|(reason, lost)| out.count(&[reason], *lost));
    Gauge "hivewall_delivery_queue_items", "messages", &["channel"], "Messages about alerts that wait to be delivered.",
        |s, out| s.snapshot.alerts.channels.iter().for_each(|row| out.count(&[&row.channel], row.queued));
    Counter "hivewall_flow_export_records_total", "records", &["target"], "Records sent to flow collectors.",
        |s, out| s.snapshot.flow_export.iter().for_each(|row| out.count(&[&row.target], row.records));
    Counter "hivewall_flow_export_bytes_total", "bytes", &["target"], "Bytes of messages sent to flow collectors.",
        |s, out| s.snapshot.flow_export.iter().for_each(|row| out.count(&[&row.target], row.bytes));
    Gauge "hivewall_flow_export_queue_items", "records", &["target"], "Records that wait to be sent to flow collectors.",
        |s, out| s.snapshot.flow_export.iter().for_each(|row| out.count(&[&row.target], row.queued));
    Counter "hivewall_flow_export_lost_total", "records", &["target", "reason"],
        "Records that could not be sent to flow collectors.",
        |s, out| alerts::export_lost(s, out);
    Gauge "hivewall_policy_info", "1", &["name", "mode", "backend"],
        "Always 1; the labels tell the policy in force, whether it is enforced or only observes, and by what.",
        |s, out| policy(s, |policy| out.add(&[&policy.name, &policy.mode, &policy.backend], 1.0));
    Gauge "hivewall_policy_version", "1", NONE, "Version of the policy in force; absent while there is none.",
        |s, out| policy(s, |policy| out.count(&[], policy.version));
    Gauge "hivewall_policy_epoch", "1", NONE, "Number of the change that is in force, in the datapath's own count.",
        |s, out| policy(s, |policy| out.count(&[], u64::from(policy.epoch)));
    Counter "hivewall_policy_changes_total", "changes", NONE, "Changes of policy that came into force.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.changes);
    Counter "hivewall_policy_changes_reverted_total", "changes", NONE,
        "Changes of policy that were taken back because nobody confirmed them.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.reverted);
    Gauge "hivewall_policy_confirmation_seconds", "seconds", NONE,
        "Time left to confirm a change of policy; absent while none waits for it.",
        |s, out| policy(s, |policy| policy.pending.iter().for_each(|change| out.add(&[], change.seconds_left)));
    Gauge "hivewall_policy_expiry_timestamp_seconds", "seconds", NONE,
        "Until when the policy is meant to hold, in seconds since 1970; absent where it does not say.",
        |s, out| policy(s, |policy| {
            let until = policy.not_after.as_deref().and_then(hivewall_view::time::parse_rfc3339);
            until.iter().for_each(|until| out.add(&[], until.0 as f64 / 1e9));
        });
    Gauge "hivewall_policy_problems", "problems", NONE, "What an operator should know of the policy, each one problem.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.problems.len() as u64);
    Gauge "hivewall_policy_failures", "failures", &["kind"],
        "What makes the policy less than it is meant to be, now; as in the health document.",
        |s, out| failures(s, out);
    Counter "hivewall_firewall_drift_total", "changes", &["what", "owner"],
        "Changes of the host's packet filters by other programs, to ours or to others' rules; where the policy is in one.",
        |s, out| drift(s, out);
    Counter "hivewall_firewall_repairs_total", "repairs", NONE,
        "Times that our rules in a packet filter were put back after another program changed them.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.drift.repairs);
    Counter "hivewall_firewall_repairs_failed_total", "repairs", NONE, "Times that they could not be put back.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.drift.repairs_failed);
    Gauge "hivewall_policy_rules", "rules", NONE, "Rules of the policy in force, guard and defaults among them.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.rules.len() as u64);
    Counter "hivewall_policy_rule_packets_total", "packets", &["rule"],
        "Packets a rule decided, at each hook where they were judged.",
        |s, out| rules(s, out, |rule| rule.packets);
    Counter "hivewall_policy_rule_bytes_total", "bytes", &["rule"], "IP bytes of those packets.",
        |s, out| rules(s, out, |rule| rule.bytes);
    Counter "hivewall_policy_rule_flows_total", "flows", &["rule"], "Flows a rule decided.",
        |s, out| rules(s, out, |rule| rule.flows);
    Counter "hivewall_policy_cause_packets_total", "packets", &["cause"],
        "Packets that were decided by something other than a rule; absent while there is no policy.",
        |s, out| causes(s, out);
    Counter "hivewall_policy_refused_packets_total", "packets", &["cause", "direction"],
        "Packets dropped, by what decided (rule: any rule of the policy) and direction (ingress or egress).",
        |s, out| refused(s, out, |cell| [cell.in_packets, cell.out_packets]);
    Counter "hivewall_policy_refused_bytes_total", "bytes", &["cause", "direction"], "IP bytes of those packets.",
        |s, out| refused(s, out, |cell| [cell.in_bytes, cell.out_bytes]);
    Counter "hivewall_policy_observed_packets_total", "packets", &["cause", "direction"],
        "Packets that passed and would have been dropped if the policy were enforced.",
        |s, out| refused(s, out, |cell| [cell.observed_in_packets, cell.observed_out_packets]);
    Counter "hivewall_policy_observed_bytes_total", "bytes", &["cause", "direction"], "IP bytes of those packets.",
        |s, out| refused(s, out, |cell| [cell.observed_in_bytes, cell.observed_out_bytes]);
    Counter "hivewall_policy_logs_suppressed_total", "refusals", NONE,
        "Refusals that rules asked to be logged and that were beyond their rates.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.logs_suppressed);
    Gauge "hivewall_policy_bans", "bans", NONE, "Bans that hold.",
        |s, out| out.count(&[], s.snapshot.firewall_rules.bans_total);
    Gauge "hivewall_policy_table_entries", "entries", &["table"], "Entries of a table of the datapath.",
        |s, out| tables(s, out, |fill| fill.entries);
    Gauge "hivewall_policy_table_limit", "entries", &["table"],
        "Most entries the table can hold; one that is full refuses new ones.",
        |s, out| tables(s, out, |fill| fill.limit);
    Counter "hivewall_policy_table_refused_total", "entries", &["table"], "Entries that found no room in the table.",
        |s, out| tables(s, out, |fill| fill.refused);

    Gauge "hivewall_host_cpus", "cpus", NONE, "CPUs that are online.",
        |s, out| system(s, |system| out.count(&[], u64::from(system.cpus)));
    Counter "hivewall_host_cpu_seconds_total", "seconds", &["mode"], "CPU time of the host by mode, over all CPUs.",
        |s, out| system(s, |system| {
            system.cpu_seconds.iter().for_each(|(mode, seconds)| out.add(&[mode], *seconds));
        });
    Gauge "hivewall_host_load_average", "1", &["minutes"], "Load average of the host over so many minutes.",
        |s, out| system(s, |system| {
            ["1", "5", "15"].iter().zip(&system.load_average).for_each(|(minutes, load)| out.add(&[minutes], *load));
        });
    Gauge "hivewall_host_memory_bytes", "bytes", NONE, "Memory of the host.",
        |s, out| system(s, |system| out.count(&[], system.memory_bytes));
    Gauge "hivewall_host_memory_available_bytes", "bytes", NONE, "Memory that programs could still get.",
        |s, out| system(s, |system| out.count(&[], system.memory_available_bytes));
    Gauge "hivewall_host_swap_bytes", "bytes", NONE, "Swap space of the host.",
        |s, out| system(s, |system| out.count(&[], system.swap_bytes));
    Gauge "hivewall_host_swap_used_bytes", "bytes", NONE, "Swap space in use.",
        |s, out| system(s, |system| out.count(&[], system.swap_used_bytes));
    Counter "hivewall_host_disk_read_bytes_total", "bytes", DEVICE, "Bytes read from the disk.",
        |s, out| disks(s, out, |disk| disk.read_bytes as f64);
    Counter "hivewall_host_disk_written_bytes_total", "bytes", DEVICE, "Bytes written to the disk.",
        |s, out| disks(s, out, |disk| disk.written_bytes as f64);
    Gauge "hivewall_host_disk_utilization_ratio", "1", DEVICE,
        "Share of time in which the disk had something to do, over the last second, 0 to 1.",
        |s, out| disks(s, out, |disk| disk.utilization);
    Gauge "hivewall_host_filesystem_size_bytes", "bytes", FILESYSTEM, "Bytes the filesystem can hold.",
        |s, out| filesystems(s, out, |fill| fill.size_bytes);
    Gauge "hivewall_host_filesystem_available_bytes", "bytes", FILESYSTEM, "Bytes that can still be written to it.",
        |s, out| filesystems(s, out, |fill| fill.available_bytes);
    Gauge "hivewall_host_conntrack_entries", "entries", NONE, "Entries of the connection tracking table.",
        |s, out| system(s, |system| system.conntrack.iter().for_each(|fill| out.count(&[], fill.entries)));
    Gauge "hivewall_host_conntrack_limit", "entries", NONE, "Most entries the connection tracking table can hold.",
        |s, out| system(s, |system| system.conntrack.iter().for_each(|fill| out.count(&[], fill.limit)));
    Gauge "hivewall_host_processes", "processes", NONE, "Processes that exist on the host.",
        |s, out| system(s, |system| out.count(&[], system.processes));
    Gauge "hivewall_host_uptime_seconds", "seconds", NONE, "Time since the host booted.",
        |s, out| system(s, |system| out.add(&[], system.uptime_seconds));

    Gauge "hivewall_history_flows", "flows", NONE, "Flows kept on disk; absent while history is off.",
        |s, out| history(s, |history| out.count(&[], history.flows));
    Gauge "hivewall_history_bytes", "bytes", NONE, "Bytes that history takes on disk.",
        |s, out| history(s, |history| out.count(&[], history.bytes));
    Gauge "hivewall_history_segments", "segments", NONE, "Segments of history on disk.",
        |s, out| history(s, |history| out.count(&[], history.segments));
    Gauge "hivewall_history_oldest_timestamp_seconds", "seconds", NONE,
        "First packet of the oldest flow kept, in seconds since 1970.",
        |s, out| history(s, |history| {
            let oldest = history.oldest.as_deref().and_then(hivewall_view::time::parse_rfc3339);
            if let Some(oldest) = oldest {
                out.add(&[], oldest.0 as f64 / 1e9);
            }
        });
    Gauge "hivewall_history_failing", "1", NONE, "1 when history cannot be written, 0 otherwise.",
        |s, out| history(s, |history| out.add(&[], flag(history.failure.is_some())));

    Gauge "hivewall_agent_cpu_ratio", "1", NONE, "Share of one CPU the agent used over the last second.",
        |s, out| out.add(&[], s.snapshot.agent.cpu_share);
    Gauge "hivewall_kernel_seconds_per_packet", "seconds per packet", NONE,
        "Time the kernel's programs took per packet; absent where the kernel does not count it.",
        |s, out| s.snapshot.agent.kernel_ns_per_packet.iter().for_each(|ns| out.add(&[], ns / 1e9));
    Counter "hivewall_payload_copies_total", "copies", NONE, "First bytes of payload copied to learn names from.",
        |s, out| out.count(&[], s.snapshot.agent.peeks);
    Counter "hivewall_socket_events_total", "events", NONE, "Events of sockets taken from the kernel.",
        |s, out| out.count(&[], s.snapshot.agent.socket_events);

    Gauge "hivewall_cluster_members", "hosts", &["state"],
        "Hosts of the fleet by state: alive, suspect, down, left, revoked. In no fleet there is no metric of it.",
        members;
    Gauge "hivewall_cluster_joined", "1", NONE, "1 when this host is among others of its fleet, 0 while it is alone.",
        |s, out| fleet(s, |f| out.add(&[], flag(f.joined)));
    Gauge "hivewall_cluster_doubt", "1", NONE,
        "How much slower than others this host takes itself to be: 0 when it trusts its own judgement, up to 8.",
        |s, out| fleet(s, |f| out.count(&[], u64::from(f.doubt)));
    Gauge "hivewall_cluster_coverage_ratio", "1", NONE, "Share of the living hosts that is in the fleet's total.",
        |s, out| total(s, |t| out.add(&[], t.coverage.ratio()));
    Gauge "hivewall_cluster_summed_hosts", "hosts", NONE, "Hosts that are in the fleet's total.",
        |s, out| total(s, |t| out.count(&[], t.coverage.heard));
    Gauge "hivewall_cluster_total_age_seconds", "seconds", NONE,
        "Time since the end of the ten seconds that the fleet's total is of.",
        |s, out| total(s, |t| out.add(&[], t.coverage.age_ms as f64 / 1e3));
    Gauge "hivewall_cluster_error_ratio", "1", NONE,
        "By which share of all bytes a row of the fleet's largest sources, destinations and services may be too small.",
        |s, out| total(s, |t| out.add(&[], t.error_share()));
    Gauge "hivewall_cluster_bytes_per_second", "bytes per second", &["protocol", "direction"],
        "Traffic that the hosts of the fleet's total saw together, each flow at the host that counts it.",
        fleet_traffic;
    Gauge "hivewall_cluster_distinct", "1", &["what"],
        "Different sources, destinations and pairs of them that the hosts of the fleet's total saw; an estimate.",
        |s, out| distinct(s, out, |d| d.estimate);
    Gauge "hivewall_cluster_distinct_error_ratio", "1", &["what"],
        "By which share such an estimate may be off, in 95 of 100 cases.",
        |s, out| distinct(s, out, Distinct::error_share);
    Gauge "hivewall_cluster_policy_version", "1", NONE, "Version of the fleet's policy.",
        |s, out| rollout(s, |r| out.count(&[], r.version));
    Gauge "hivewall_cluster_policy_hosts", "hosts", &["state"],
        "Hosts by what they do about the fleet's policy: have, enforced, refused, unknown.",
        policy_hosts;
    Gauge "hivewall_cluster_policy_frozen", "1", NONE,
        "1 while two documents of one version are about, both validly signed, and neither replaces the other.",
        |s, out| rollout(s, |r| out.add(&[], flag(r.frozen)));
    Gauge "hivewall_cluster_bans", "bans", NONE, "Bans that the fleet spreads.",
        |s, out| fleet(s, |f| out.count(&[], f.bans_total));
    Gauge "hivewall_cluster_audit_entries", "entries", NONE, "Entries of the fleet's audit log.",
        |s, out| fleet(s, |f| out.count(&[], f.audit_total));
    Counter "hivewall_cluster_alarms_total", "alarms", NONE, "Alarms of the fleet that an operator has to look at.",
        |s, out| fleet(s, |f| out.count(&[], f.alarms_total));
    Gauge "hivewall_cluster_links", "links", NONE, "Links between hosts whose times are known here.",
        |s, out| fleet(s, |f| out.count(&[], f.links_total));
    Gauge "hivewall_cluster_link_rtt_seconds", "seconds", &["what"],
        "Round-trip time of this host's links to others: min, median, p95 and max over links.",
        |s, out| links(s, out, |l| l.rtt_seconds);
    Gauge "hivewall_cluster_link_jitter_seconds", "seconds", &["what"],
        "Jitter of this host's links to others: min, median, p95 and max over links.",
        |s, out| links(s, out, |l| l.jitter_seconds);
    Gauge "hivewall_cluster_link_loss_ratio", "1", &["what"],
        "Share of probes without an answer on this host's links to others: min, median, p95 and max over links.",
        |s, out| links(s, out, |l| l.loss);
    Counter "hivewall_cluster_messages_total", "messages", &["kind", "direction"],
        "Messages from and to other hosts of the fleet.",
        |s, out| meter(s, out, |m| [m.in_messages, m.out_messages]);
    Counter "hivewall_cluster_message_bytes_total", "bytes", &["kind", "direction"],
        "Their bytes, without headers of IP and UDP.",
        |s, out| meter(s, out, |m| [m.in_bytes, m.out_bytes]);
    Counter "hivewall_cluster_losses_total", "events", &["source", "reason"],
        "What came to nothing between hosts of the fleet, in the protocol (core) and in its links, by reason.",
        cluster_losses;
    Counter "hivewall_cluster_handshakes_total", "handshakes", NONE, "Handshakes with other hosts that succeeded.",
        |s, out| fleet(s, |f| out.count(&[], f.meter.handshakes));
    Gauge "hivewall_cluster_connections", "connections", NONE, "Connections to other hosts that are open.",
        |s, out| fleet(s, |f| out.count(&[], f.meter.connections));
    Gauge "hivewall_cluster_sessions", "sessions", NONE, "Sessions for datagrams with other hosts that are open.",
        |s, out| fleet(s, |f| out.count(&[], f.meter.sessions));

    Counter "hivewall_api_requests_total", "requests", &["code"], "Requests to this API, by status code.",
        |s, out| s.api.counts.requests().iter().for_each(|(code, n)| out.count(&[&code.to_string()], *n));
    Counter "hivewall_api_requests_limited_total", "requests", NONE,
        "Requests refused with 429 because too many came from one address.",
        |s, out| out.count(&[], counted(&s.api.counts.requests_limited));
    Counter "hivewall_api_logins_total", "logins", &["outcome"],
        "Logins: succeeded, failed, or limited because too many had failed before.",
        |s, out| s.api.counts.logins().iter().for_each(|(outcome, n)| out.count(&[outcome], *n));
    Gauge "hivewall_api_connections", "connections", NONE, "Connections to this API that are open.",
        |s, out| out.count(&[], counted(&s.api.counts.connections));
    Counter "hivewall_api_connections_refused_total", "connections", NONE,
        "Connections turned away because too many were open.",
        |s, out| out.count(&[], counted(&s.api.counts.connections_refused));
    Counter "hivewall_api_handshakes_failed_total", "connections", NONE,
        "Connections to this API on which no TLS came about: too slow, not TLS, or not agreed on.",
        |s, out| out.count(&[], counted(&s.api.counts.handshakes_failed));
    Gauge "hivewall_api_live_subscribers", "subscribers", NONE, "Clients that follow flows live.",
        |s, out| out.count(&[], s.api.live_subscribers());
    Counter "hivewall_api_live_missed_flows_total", "flows", NONE,
        "Closed flows that live subscribers missed because they read too slowly.",
        |s, out| out.count(&[], counted(&s.api.counts.live_missed));
}
