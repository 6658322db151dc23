//! Detectors over recorded captures with ground truth: what logs in, tunnels, calls home and carries away.
//!
//! One row a file; scans, floods and clean traffic are in `cases.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Row, hold};

const fn attack(
    file: &'static str,
    detectors: &'static [&'static str],
    source: &'static str,
    target: Option<&'static str>,
    allowed: &'static [&'static str],
) -> Row {
    Row { file, detectors, source: Some(source), target, allowed }
}

#[test]
fn guessing_is_found_and_the_right_one_named() {
    hold(&[
        attack("brute_ftp_zeek.pcap", &["brute_force"], "192.168.56.1", Some("192.168.56.101"), &[]),
        attack("brute_ssh_sshguess.pcap", &["brute_force"], "192.168.56.1", Some("192.168.56.103"), &[]),
        attack("brute_ssh_hydra1.pcapng", &["brute_force"], "240.0.1.2", Some("240.125.0.2"), &[]),
        attack("spike_ssh_transfer.pcap", &["brute_force"], "172.16.238.1", Some("172.16.238.136"), &["traffic_spike"]),
    ]);
}

#[test]
fn tunnels_are_found_and_the_right_one_named() {
    hold(&[
        attack("dnstun_iodine_ndpi.pcap", &["dns_tunnel"], "10.0.2.30", Some("10.0.2.20"), &[]),
        attack("dnstun_dnscat2_cname.pcapng", &["dns_tunnel"], "192.168.68.62", Some("192.168.68.1"), &[]),
        attack("dnstun_sods.pcap", &["dns_tunnel"], "192.168.1.17", Some("192.168.1.210"), &[]),
        attack("exfil_icmp_tunnel_ndpi.pcap", &["icmp_tunnel"], "192.168.154.131", Some("192.168.154.132"), &[]),
    ]);
}

#[test]
fn calls_home_and_thefts_are_found_and_the_right_one_named() {
    hold(&[
        attack("c2_curl_2s.pcap", &["beacon"], "147.32.80.37", Some("141.193.213.21"), &[]),
        attack("c2_apt29_utica_c.pcap", &["beacon"], "10.0.1.5", Some("192.168.0.4"), &[]),
        attack("c2_empire_wmi.pcapng", &["beacon"], "192.168.1.195", Some("192.168.1.161"), &[]),
        attack("exfil_rat_screens.pcapng", &["exfiltration"], "172.16.0.114", Some("172.16.0.111"), &[]),
    ]);
}
