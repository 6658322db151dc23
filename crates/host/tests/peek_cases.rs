//! First bytes of conversations in real captures, against what tshark found in them (the corpus of `docs/cases.md`).
//!
//! How they are read is another crate's; here, that each message is among the copies. Invariant: a corpus that is missing
//! is told on standard error, and is a failure where `HIVEWALL_REQUIRE_CORPUS=1` is set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hivewall_datapath::{HashSeed, PeekHead, proto};
use hivewall_host::source::{Batch, FileSource, Progress, Source as _};

/// A file, and how many of its DNS messages, HTTP requests and TLS hellos with a name tshark counts that have no packet
/// of their own here, with the reason.
const DIFFERENT: [(&str, [usize; 3], &str); 5] = [
    ("proto_gre.pcap", [2, 0, 0], "quoted in ICMP errors"),
    ("c2_empire_wmi.pcapng", [2, 0, 0], "as above"),
    ("inv_badpackets.pcap", [83, 0, 0], "every packet claims more bytes than its frame holds; in no flow"),
    ("clean_netflix.pcap", [0, 16, 0], "SSDP, which is HTTP over UDP"),
    ("scan_nmap_syn.pcap", [0, 4, 0], "as above"),
];

fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if folder.join("manifest.tsv").exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("HIVEWALL_REQUIRE_CORPUS").is_none(), "there is no {}", folder.display());
    // Not `eprintln!`, which a test runner keeps to itself.
    let _ = writeln!(std::io::stderr(), "NOT RUN: there is no {}", folder.display());
    None
}

fn copies(path: &Path) -> Vec<(PeekHead, Vec<u8>)> {
    let mut source =
        FileSource::open(path, 1 << 14, HashSeed { words: [7; 12], multiplier: 0x9e37_79b9_7f4a_7c15 }).unwrap();
    source.peek(true);
    let (mut batch, mut all) = (Batch::default(), Vec::new());
    while source.poll(Duration::ZERO, &mut batch).unwrap() != Progress::End {
        all.extend(batch.peeks.iter().map(|(_, head, payload)| (*head, payload.to_vec())));
        batch.peeks.clear();
    }
    all.extend(batch.peeks.iter().map(|(_, head, payload)| (*head, payload.to_vec())));
    all
}

/// DNS messages, HTTP requests, TLS ClientHellos among the copies, by their first bytes; a QUIC Initial packet (RFC 9000
/// §14.1: a datagram of 1,200 bytes at least) has a hello inside.
fn known(copies: &[(PeekHead, Vec<u8>)]) -> [usize; 3] {
    let has_port = |head: &PeekHead, port| head.key.sport == port || head.key.dport == port;
    let is_dns = |head: &PeekHead| [53, 5353, 5355].into_iter().any(|port| has_port(head, port)) && head.captured >= 12;
    let is_hello = |payload: &[u8]| payload.first() == Some(&0x16) && payload.get(5) == Some(&1);
    let is_initial = |head: &PeekHead, payload: &[u8]| {
        head.key.proto() == proto::UDP && head.captured >= 1200 && payload[0] & 0xf0 == 0xc0
    };
    let is_request = |payload: &[u8]| payload.starts_with(b"GET ") || payload.starts_with(b"POST ");
    let count =
        |wanted: &dyn Fn(&PeekHead, &[u8]) -> bool| copies.iter().filter(|(head, bytes)| wanted(head, bytes)).count();
    [
        count(&|head, _| is_dns(head)),
        count(&|_, bytes| is_request(bytes)),
        count(&|head, bytes| is_hello(bytes) || is_initial(head, bytes)),
    ]
}

#[test]
fn every_message_that_tshark_finds_is_among_the_copies() {
    let Some(folder) = corpus() else { return };
    let manifest = std::fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let mut lines = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let columns =
        ["dns_msgs", "http_requests", "tls_sni_hellos"].map(|name| names.iter().position(|n| *n == name).unwrap());
    let (mut wanting, mut files) = (Vec::new(), 0);
    for row in lines {
        let expected = columns.map(|column| row[column].parse::<usize>().unwrap());
        let found = known(&copies(&folder.join(row[0])));
        let apart = DIFFERENT.iter().find(|(file, ..)| *file == row[0]).map_or([0; 3], |(_, apart, _)| *apart);
        files += usize::from(expected != [0; 3]);
        // A difference that is not needed is as wrong as one that is not told.
        if (0..3).any(|at| found[at] + apart[at] < expected[at] || apart[at] > 0 && found[at] >= expected[at]) {
            wanting.push(format!("{}: found {found:?}, apart {apart:?}, of {expected:?}", row[0]));
        }
    }
    assert!(wanting.is_empty() && files > 15, "{files} files\n{}", wanting.join("\n"));
}

#[test]
fn what_a_handshake_and_an_echo_leave_behind_is_timed_and_numbered() {
    let Some(folder) = corpus() else { return };
    let all = copies(&folder.join("clean_pings_browse.pcap"));
    let echoes = all.iter().filter(|(head, _)| head.key.proto() == proto::ICMP);
    let numbers: Vec<(u16, u32)> = echoes
        .map(|(head, payload)| {
            assert_eq!((payload.len(), head.time_ns > 0), (8, true));
            (head.key.sport, head.seq)
        })
        .collect();
    let answered = numbers.iter().filter(|(kind, seq)| *kind == 8 && numbers.contains(&(0, *seq))).count();
    assert!(answered > 10, "{numbers:?}");
    let is = |flags: u8| move |head: &&PeekHead| head.tcp_flags & 0x17 == flags && head.captured == 0;
    let heads: Vec<&PeekHead> = all.iter().map(|(head, _)| head).collect();
    let [syn, answer, ack] = [0x02, 0x12, 0x10].map(|flags| heads.iter().copied().filter(is(flags)).count());
    assert!(syn >= answer && answer > 10 && ack >= answer / 2, "{syn} SYNs, {answer} answers, {ack} ACKs");
}
