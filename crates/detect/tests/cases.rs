//! Detectors over recorded captures with ground truth: scans, floods, spoofing, broken packets, spikes, and what is clean.
//!
//! One row a file; what logs in, tunnels and calls home is in `cases_app.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Row, clean, hold};

/// Prints what is said of a file: `HIVEWALL_LOOK=FILE cargo test -p hivewall-detect --test cases -- look --nocapture`.
#[test]
fn look() {
    let Some(file) = std::env::var_os("HIVEWALL_LOOK") else { return };
    for sign in support::replay(std::path::Path::new(&file), support::everything()) {
        println!("{} {:?} {} {:?} {:?}", sign.detector.name, sign.severity, sign.message, sign.subject, sign.figures);
    }
}

const fn attack(
    file: &'static str,
    detectors: &'static [&'static str],
    source: Option<&'static str>,
    target: Option<&'static str>,
) -> Row {
    Row { file, detectors, source, target, allowed: &[] }
}

#[test]
fn each_attack_is_found_and_the_right_one_named() {
    hold(&[
        attack("scan_nmap_syn.pcap", &["port_scan"], Some("192.168.1.10"), Some("192.168.1.25")),
        Row {
            allowed: &["invalid_packets"],
            ..attack("scan_nmap_null.pcap", &["port_scan"], Some("192.168.1.10"), Some("192.168.1.25"))
        },
        attack("scan_masscan_udp.pcap", &["port_scan"], Some("172.31.15.102"), Some("198.124.152.15")),
        attack("scan_10000_ports.pcapng", &["port_scan"], Some("192.168.1.7"), Some("192.168.1.1")),
        attack("scan_nmap_sV.pcap", &["port_scan"], Some("192.168.1.139"), Some("192.168.1.118")),
        attack("scan_sweep_icmp.pcap", &["host_sweep"], Some("10.0.0.128"), None),
        attack("scan_sweep_arp.pcap", &["arp_scan"], Some("10.0.0.128"), None),
        attack("scan_smb_worm.pcap", &["host_sweep"], Some("192.168.1.124"), None),
        attack("flood_syn_dominate.pcap", &["syn_flood"], None, Some("10.10.10.10")),
        attack("amp_isakmp.pcap", &["amplification"], None, Some("10.10.10.10")),
        attack("flood_icmp_spoofself.pcap", &["icmp_flood"], None, Some("192.168.1.1")),
        attack("arp_spoof_one.pcapng", &["arp_spoof"], Some("08:00:27:53:0c:ba"), Some("192.168.10.4")),
        attack("inv_badpackets.pcap", &["invalid_packets"], None, Some("204.186.80.229")),
        Row {
            allowed: &["brute_force"],
            ..attack("spike_ssh_transfer.pcap", &["traffic_spike"], None, Some("172.16.238.136"))
        },
    ]);
}

#[test]
fn nothing_above_info_is_said_of_clean_traffic() {
    hold(&[
        clean("arp_storm_requests.pcap"),
        clean("clean_web_zeek.pcap"),
        clean("clean_netflix.pcap"),
        clean("clean_dns_top1m_a.pcapng"),
        clean("clean_pings_browse.pcap"),
        clean("proto_gre.pcap"),
        clean("proto_6in4.pcap"),
        clean("proto_v6_hbh_routing.pcap"),
        clean("proto_v4_frag_icmp.pcap"),
        clean("proto_null_loopback.pcap"),
        clean("proto_nanosecond.pcap"),
        clean("proto_gso_loopback.pcap"),
        clean("app_tls_browsers.pcapng"),
        clean("app_http_pipelined.pcap"),
    ]);
}
