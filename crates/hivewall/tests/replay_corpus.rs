//! Real captures against independent tools: for every file of the corpus, the flows, packets and bytes that tshark,
//! nfpcapd and nfstream found, and no panic wherever the file is cut.
//!
//! Where the tools disagree with us or among themselves, [`DIFFERENT`] says whom we follow and why; `docs/cases.md`
//! tells the same to people. Invariant: a difference that is not in the list fails, and so does an entry that is no
//! longer needed.

mod corpus;
mod play;

use std::process::Command;

use corpus::{Capture, Count};
use hivewall_engine::Limits;
use hivewall_testkit::generate::Rng;
use play::{LINES, Played};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Tshark,
    Nfpcapd,
    Nfstream,
}
use Tool::{Nfpcapd, Nfstream, Tshark};

/// A protocol of a file that not every tool counts as we do.
struct Different {
    file: &'static str,
    protocol: &'static str,
    /// Those that count otherwise.
    from: &'static [Tool],
    /// What we count.
    ours: Count,
    why: &'static str,
}

const fn count(tuples: u64, packets: u64, ip_bytes: u64) -> Count {
    Count { tuples, packets, ip_bytes }
}

const DIFFERENT: &[Different] = &[
    Different {
        file: "c2_apt29_utica_c.pcap",
        protocol: "tcp",
        from: &[Nfpcapd, Nfstream],
        ours: count(30, 484, 727_570),
        why: "Three buffers claim an IPv4 length of 48252, 48252 and 51088 in frames of 45430 bytes: refused as \
              bad_ipv4_length, as the kernel's ip_rcv drops them; both tools believe the claim (147592 bytes). Five \
              buffers left to segmentation offload have length 0: we count what is in the frame (9781 bytes) as \
              tshark does, nfpcapd counts the packets without bytes, nfstream skips them.",
    },
    Different {
        file: "inv_badpackets.pcap",
        protocol: "udp",
        from: &[Tshark, Nfstream],
        ours: count(0, 0, 0),
        why: "All 93 packets claim more bytes than their frame holds: bad_ipv4_length, in no flow, as with nfpcapd; \
              nfstream counts what they claim.",
    },
    Different {
        file: "inv_tcp_trunc_hdr.pcap",
        protocol: "tcp",
        from: &[Nfpcapd],
        ours: count(1, 24, 1589),
        why: "The snapshot length cut the options off the first SYN; ports and flags are there. nfpcapd leaves the \
              packet out, nfstream and tshark count it.",
    },
    Different {
        file: "proto_gre.pcap",
        protocol: "tcp",
        from: &[Nfstream],
        ours: count(1, 22, 3783),
        why: "nfstream does not look into GRE; we show the flows inside, marked with their tunnel, as nfpcapd does.",
    },
    Different { file: "proto_gre.pcap", protocol: "udp", from: &[Nfstream], ours: count(4, 8, 578), why: "As above." },
    Different {
        file: "proto_v6_hbh_routing.pcap",
        protocol: "udp",
        from: &[Nfpcapd],
        ours: count(1, 1, 99),
        why: "nfpcapd gives up at the hop-by-hop options; tshark and nfstream walk the extension headers.",
    },
    Different {
        file: "app_tls_browsers.pcapng",
        protocol: "tcp",
        from: &[Nfpcapd, Nfstream],
        ours: count(3, 179, 53_506),
        why: "Three buffers left to segmentation offload have an IPv4 length of 0: we count the 5742 bytes that are in \
              the frames, as tshark does; nfpcapd counts the packets without bytes, nfstream skips them.",
    },
];

/// Files in which a 5-tuple is used for more than one connection: how many connections there are more than 5-tuples.
/// The tools' numbers count 5-tuples; a connection is a flow of its own here.
const REUSED: &[(&str, u64)] = &[("scan_smb_worm.pcap", 2), ("c2_curl_2s.pcap", 2)];

/// Files in which the default idle timeouts cut conversations: (file, TCP flows, UDP flows) that are more than without.
const CUT_BY_DEFAULT: &[(&str, u64, u64)] =
    &[("scan_smb_worm.pcap", 0, 1), ("dnstun_sods.pcap", 0, 1), ("clean_pings_browse.pcap", 0, 5)];

/// Files up to this size are cut at every byte, larger ones at [`CUTS`] places.
const EVERY_CUT_BYTES: usize = 2048;
const CUTS: u64 = 200;

fn played(capture: &Capture, limits: Limits) -> Played {
    match play::play(capture.bytes(), limits, LINES) {
        Ok(played) => played,
        Err(error) => panic!("{}: {error}", capture.file),
    }
}

const PROTOCOLS: [(&str, u8); 2] = [("tcp", 6), ("udp", 17)];

#[test]
fn flows_packets_and_bytes_are_those_of_independent_tools() {
    let Some(captures) = corpus::captures() else { return };
    let mut needed = Vec::new();
    for capture in &captures {
        let played = played(capture, play::no_timeouts());
        for (protocol, number) in PROTOCOLS {
            let sum = played.sum(number);
            let ours = Count { tuples: played.tuples(number), packets: sum.packets, ip_bytes: sum.ip_bytes };
            let different = DIFFERENT.iter().find(|entry| entry.file == capture.file && entry.protocol == protocol);
            needed.extend(different.map(|entry| (entry.file, entry.protocol)));
            let tuples = capture.number(&format!("{protocol}_5tuples"));
            let tools = [
                (Nfpcapd, capture.nfpcapd(protocol)),
                (Nfstream, capture.nfstream(protocol)),
                (Tshark, Count { tuples, ..ours }),
            ];
            let from: Vec<Tool> = tools.iter().filter(|(_, theirs)| *theirs != ours).map(|(tool, _)| *tool).collect();
            let mut listed = different.map_or(Vec::new(), |entry| entry.from.to_vec());
            listed.sort_by_key(|tool| tools.iter().position(|(other, _)| other == tool));
            assert_eq!(from, listed, "{} {protocol}: ours {ours:?}, tools {tools:?}", capture.file);
            if let Some(entry) = different {
                assert_eq!(ours, entry.ours, "{} {protocol}: {}", capture.file, entry.why);
            }
            let reused =
                REUSED.iter().find(|(file, _)| *file == capture.file && protocol == "tcp").map_or(0, |(_, n)| *n);
            assert_eq!(sum.flows, ours.tuples + reused, "{} {protocol}: flows beyond 5-tuples", capture.file);
        }
    }
    let unneeded = DIFFERENT.iter().filter(|entry| !needed.contains(&(entry.file, entry.protocol)));
    assert_eq!(unneeded.map(|entry| entry.file).collect::<Vec<_>>(), [""; 0], "not in the corpus");
}

#[test]
fn every_packet_and_byte_of_every_file_is_accounted_for() {
    let Some(captures) = corpus::captures() else { return };
    for capture in &captures {
        for limits in [play::no_timeouts(), Limits::default()] {
            // With 8 lines of cache nearly every packet evicts another flow.
            for lines in [8, LINES] {
                let played = play::play(capture.bytes(), limits.clone(), lines).expect("it was read before");
                assert!(played.failure.is_none(), "{}: {:?}", capture.file, played.failure);
                played.check_sums();
                let all = played.all();
                assert_eq!(all.packets, capture.number("packets"), "{}", capture.file);
                assert_eq!(all.bytes, capture.number("total_bytes_tshark"), "{}", capture.file);
                assert_eq!(
                    played.loss("capture_records_late") == 0,
                    capture.text("time_ordered") == "True",
                    "{}",
                    capture.file
                );
            }
        }
    }
}

#[test]
fn default_timeouts_cut_only_the_conversations_that_fell_silent() {
    let Some(captures) = corpus::captures() else { return };
    for capture in &captures {
        let (without, with) = (played(capture, play::no_timeouts()), played(capture, Limits::default()));
        let more = PROTOCOLS.map(|(_, number)| with.sum(number).flows - without.sum(number).flows);
        let listed =
            CUT_BY_DEFAULT.iter().find(|(file, ..)| *file == capture.file).map_or([0; 2], |(_, tcp, udp)| [*tcp, *udp]);
        assert_eq!(more, listed, "{}", capture.file);
    }
}

#[test]
fn the_program_prints_every_flow_that_was_compared() {
    let Some(captures) = corpus::captures() else { return };
    for capture in &captures {
        let mut program = Command::new(env!("CARGO_BIN_EXE_hivewall"));
        // Neither a configuration of this host nor its environment may change the answer.
        program.env_clear().args(["replay", "-o", "jsonl", "--config", "/dev/null"]).arg(capture.path());
        let output = program.output().expect("the program starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {} {told}", capture.file, output.status);
        let played = played(capture, Limits::default());
        let mut printed = [play::Sum::default(); 2];
        let mut rows = 0;
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: hivewall_view::FlowRow = serde_json::from_slice(line).expect("a line is a flow");
            rows += 1;
            let Some(at) = PROTOCOLS.iter().position(|(_, number)| *number == row.protocol_number) else { continue };
            printed[at].flows += 1;
            printed[at].packets += row.packets;
            printed[at].ip_bytes += row.bytes;
        }
        assert_eq!(rows, played.flows.len(), "{}: flows printed", capture.file);
        assert_eq!(printed, PROTOCOLS.map(|(_, number)| played.sum(number)), "{}", capture.file);
    }
}

#[test]
fn no_cut_through_any_file_panics_or_loses_a_packet_before_it() {
    let Some(captures) = corpus::captures() else { return };
    for capture in &captures {
        let bytes = capture.bytes();
        let mut rng = Rng::new(bytes.len() as u64);
        let mut cuts: Vec<usize> = if bytes.len() <= EVERY_CUT_BYTES {
            (0..bytes.len()).collect()
        } else {
            (0..CUTS).map(|_| rng.below(bytes.len() as u64) as usize).collect()
        };
        cuts.sort_unstable();
        let mut before = 0;
        for cut in cuts {
            // A file without a whole header is refused, which is an answer too.
            let Ok(played) = play::play(bytes[..cut].to_vec(), Limits::default(), 256) else { continue };
            played.check_sums();
            assert!(
                played.packets >= before,
                "{} cut at {cut}: {} packets, {before} before",
                capture.file,
                played.packets
            );
            before = played.packets;
        }
        assert!(before > 0 || bytes.len() <= EVERY_CUT_BYTES, "{}: no cut left a packet", capture.file);
    }
}

/// DNS messages, HTTP requests and ClientHellos, where we count others than tshark, and why.
const NAMED_DIFFERENTLY: [(&str, [u64; 3], &str); 8] = [
    ("scan_nmap_syn.pcap", [0, 0, 0], "tshark's four requests are SSDP: HTTP over UDP"),
    ("clean_netflix.pcap", [28, 32, 20], "tshark's other sixteen requests are SSDP"),
    ("scan_nmap_sV.pcap", [0, 1, 0], "a GET to port 139, which tshark reads as NetBIOS"),
    (
        "flood_icmp_spoofself.pcap",
        [17, 0, 2],
        "two multicast announcements without a question, which the manifest counts by",
    ),
    ("c2_apt29_utica_c.pcap", [2, 0, 29], "the manifest counts ClientHellos with a server name; these have none"),
    ("c2_empire_wmi.pcapng", [1, 30, 0], "two messages are quoted in ICMP errors"),
    ("proto_gre.pcap", [2, 0, 0], "as above"),
    ("inv_badpackets.pcap", [0, 0, 0], "every packet claims more bytes than its frame holds: invalid, and not read on"),
];

#[test]
fn names_found_by_a_replay_are_as_many_as_tshark_finds() {
    let Some(captures) = corpus::captures() else { return };
    let mut apart = Vec::new();
    for capture in &captures {
        let mut program = Command::new(env!("CARGO_BIN_EXE_hivewall"));
        let said = program.args(["replay", "-o", "json"]).arg(capture.path()).output().unwrap();
        let snapshot: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        let sum = |places: &[&str]| places.iter().map(|place| snapshot.pointer(place).unwrap().as_u64().unwrap()).sum();
        let ours: [u64; 3] = [
            sum(&["/dns_queries/queries", "/dns_queries/responses", "/dns_queries/multicast"]),
            sum(&["/http_requests/requests"]),
            sum(&["/tls_handshakes/hellos", "/tls_handshakes/quic_hellos"]),
        ];
        let theirs = ["dns_msgs", "http_requests", "tls_sni_hellos"].map(|column| capture.number(column));
        let told = NAMED_DIFFERENTLY.iter().find(|(file, ..)| *file == capture.file).map(|(_, counts, _)| *counts);
        let needless = told.is_some() && ours == theirs;
        if needless || ours != told.unwrap_or(theirs) {
            apart.push(format!("{}: {ours:?}, tshark {theirs:?}, told {told:?}", capture.file));
        }
    }
    assert!(apart.is_empty(), "{}", apart.join("\n"));
}
