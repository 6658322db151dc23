//! nfcapd and nfdump as the collector: what they count is what was sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Program, close, export_to, free_udp_port, mixture, name, said, sums, udp_socket, wait_for};
use hivewall_flowexport::LossReason;

/// A running nfcapd and where it writes.
struct Collector {
    program: Program,
    directory: tempfile::TempDir,
    port: u16,
}

impl Collector {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_udp_port();
        let mut command = Command::new("nfcapd");
        command
            .args(["-p", &port.to_string(), "-t", "3600", "-b", "127.0.0.1", "-B", "4000000", "-w"])
            .arg(directory.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let program = Program::start(command);
        wait_for("nfcapd's socket", || udp_socket(port).is_some());
        Self { program, directory, port }
    }

    /// Ends it once it has read everything.
    fn end(mut self) -> tempfile::TempDir {
        wait_for("nfcapd to read all", || udp_socket(self.port).is_some_and(|(queued, _)| queued == 0));
        assert_eq!(udp_socket(self.port).map(|(_, dropped)| dropped), Some(0), "nfcapd's socket overflowed");
        self.program.end();
        self.directory
    }
}

/// `nfdump -I`: the collector's own sums.
fn totals(directory: &Path) -> BTreeMap<String, String> {
    let text = said(Command::new("nfdump").arg("-R").arg(directory).arg("-I"));
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

fn records(directory: &Path, format: &str) -> Vec<String> {
    let text =
        said(Command::new("nfdump").arg("-R").arg(directory).args(["-q", "-N", "-6", "-o", &format!("fmt:{format}")]));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).filter(|line| !line.is_empty()).collect()
}

#[track_caller]
fn check(scheme: &str, carries_v6: bool) {
    let collector = Collector::start();
    let state = tempfile::tempdir().unwrap();
    let exporters = export_to(&format!("{scheme}://127.0.0.1:{}", collector.port), state.path());
    let flows = mixture(1000);
    for some in flows.chunks(37) {
        exporters.flows(some, &name);
    }
    let counters = close(exporters);
    let directory = collector.end();
    let carried: Vec<_> = flows.iter().filter(|flow| carries_v6 || flow.tuple.client.is_ipv4()).cloned().collect();
    let (mut count, packets, bytes) = sums(&carried);
    if !carries_v6 {
        // One direction has more bytes than 32 bits hold and is told in two parts.
        count += 1;
    }
    let said = totals(directory.path());
    let told = |key: &str| said.get(key).unwrap_or_else(|| panic!("no {key} in {said:?}")).clone();
    assert_eq!(
        (told("Flows"), told("Packets"), told("Bytes"), told("Sequence failures")),
        (count.to_string(), packets.to_string(), bytes.to_string(), "0".to_owned()),
        "{counters:?}"
    );
    assert_eq!(counters.sent, carried.len() as u64, "{counters:?}");
    assert_eq!(counters.lost(LossReason::NotCarried), (flows.len() - carried.len()) as u64);
    assert_eq!((counters.queued, counters.given), (0, flows.len() as u64));
    let mut seen = records(directory.path(), "%pr %sap %dap %pkt %byt %flg %in %out");
    seen.sort();
    for flow in carried.iter().filter(|flow| flow.tuple.protocol == 6 && flow.packets() < 1_000_000).take(50) {
        let tuple = &flow.tuple;
        let separator = if tuple.client.is_ipv4() { ':' } else { '.' };
        let there = format!(
            "6 {}{separator}{} {}{separator}443 {} {} ...AP.SF 0 2",
            tuple.client, tuple.client_port, tuple.server, flow.to_server.packets, flow.to_server.ip_bytes
        );
        assert!(
            seen.binary_search(&there).is_ok(),
            "no line `{there}` among {:#?}",
            &seen[seen.len().saturating_sub(20)..]
        );
    }
}

#[test]
fn nfdump_counts_what_was_sent_as_ipfix() {
    check("ipfix+udp", true);
}

#[test]
fn nfdump_counts_what_was_sent_as_netflow_9() {
    check("netflow9", true);
}

#[test]
fn nfdump_counts_what_was_sent_as_netflow_5_without_ipv6() {
    check("netflow5", false);
}
