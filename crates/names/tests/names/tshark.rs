//! Field by field against tshark, on real captures. Times too: the issue asks for 10% or 50 µs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use hivewall_model::{Finding, Learned};

use crate::{corpus, seen};

/// Rows of fields that tshark prints for the packets that `filter` chooses.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    tshark_with(&[], file, filter, fields)
}

fn tshark_with(options: &[&str], file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(options).arg("-n").arg("-r").arg(file);
    command.args(["-Y", filter, "-T", "fields", "-E", "aggregator=;"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output().expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn found(file: &Path) -> Vec<Finding> {
    seen::play(&std::fs::read(file).unwrap()).0
}

fn end(octets: [u8; 16], port: u16) -> String {
    format!("{}:{port}", std::net::Ipv6Addr::from(octets).to_canonical())
}

fn ends(finding: &Finding) -> [String; 2] {
    let key = &finding.key;
    [end(key.src_octets(), key.sport), end(key.dst_octets(), key.dport)]
}

/// Both have the same keys, and times that differ by a tenth or 50 µs at most.
fn assert_near(what: &str, ours: &BTreeMap<String, f64>, theirs: &BTreeMap<String, f64>) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}");
    assert!(!ours.is_empty(), "{what}: nothing to compare");
    for (key, own) in ours {
        let other = theirs[key];
        assert!((own - other).abs() <= (other * 0.1).max(50e-6), "{what}: {key} took {own}, tshark says {other}");
    }
}

#[test]
#[ignore = "needs tshark and the corpus: cargo test -p hivewall-names -- --ignored"]
fn handshakes_take_as_long_as_tshark_says() {
    let Some(folder) = corpus::folder() else { return };
    for file in ["clean_web_zeek.pcap", "clean_netflix.pcap", "c2_curl_2s.pcap", "brute_ssh_hydra1.pcapng"] {
        let path = folder.join(file);
        let fields = ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.analysis.initial_rtt"];
        let opened = tshark(&path, "tcp.flags.syn==1 && tcp.flags.ack==0", &fields[..4]);
        let opened: Vec<_> = opened.iter().map(|row| format!("{}:{} {}:{}", row[0], row[1], row[2], row[3])).collect();
        let mut theirs = BTreeMap::new();
        for row in tshark(&path, "tcp.analysis.initial_rtt", &fields) {
            let forward = format!("{}:{} {}:{}", row[0], row[1], row[2], row[3]);
            // Some ports are used again; the first connection is compared.
            if opened.contains(&forward) {
                theirs.entry(forward).or_insert_with(|| row[4].parse::<f64>().unwrap());
            }
        }
        let mut ours = BTreeMap::new();
        for finding in found(&path) {
            if let Learned::Handshake { server, client } = finding.learned {
                let [src, dst] = ends(&finding);
                ours.entry(format!("{src} {dst}")).or_insert((server + client).as_secs_f64());
            }
        }
        assert_near(file, &ours, &theirs);
    }
}

#[test]
#[ignore = "needs tshark and the corpus: cargo test -p hivewall-names -- --ignored"]
fn dns_answers_take_as_long_and_say_the_same_as_in_tshark() {
    let Some(folder) = corpus::folder() else { return };
    for file in ["clean_dns_top1m_a.pcapng", "clean_pings_browse.pcap", "clean_netflix.pcap", "dnstun_sods.pcap"] {
        let path = folder.join(file);
        let fields = ["ip.dst", "udp.dstport", "dns.id", "dns.qry.name", "dns.flags.rcode", "dns.a", "dns.time"];
        let (mut theirs, mut their_words) = (BTreeMap::new(), Vec::new());
        for row in tshark(&path, "dns.flags.response == 1 && udp.port == 53 && !icmp", &fields) {
            let id = u16::from_str_radix(row[2].trim_start_matches("0x"), 16).unwrap();
            let key = format!("{}:{} {id} {}", row[0], row[1], row[3]);
            their_words.push(format!("{key} {} {}", row[4], row[5]));
            if let Ok(time) = row[6].parse::<f64>() {
                theirs.insert(key, time);
            }
        }
        let (mut ours, mut our_words) = (BTreeMap::new(), Vec::new());
        for finding in found(&path) {
            let Learned::Dns(message) = &finding.learned else { continue };
            if !message.response || message.multicast {
                continue;
            }
            let key = format!("{} {} {}", ends(&finding)[1], message.id, message.name);
            let addresses = message.answers.iter().filter_map(|answer| answer.address).filter(IpAddr::is_ipv4);
            let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
            our_words.push(format!("{key} {} {}", message.rcode, addresses.join(";")));
            if let Some(latency) = message.latency {
                ours.insert(key, latency.as_secs_f64());
            }
        }
        assert_eq!(our_words, their_words, "{file}");
        assert_near(file, &ours, &theirs);
    }
}

#[test]
#[ignore = "needs tshark and the corpus: cargo test -p hivewall-names -- --ignored"]
fn http_heads_are_those_that_tshark_reads() {
    let Some(folder) = corpus::folder() else { return };
    for file in ["clean_web_zeek.pcap", "clean_pings_browse.pcap", "clean_netflix.pcap", "app_http_pipelined.pcap"] {
        let path = folder.join(file);
        let fields = ["http.request.method", "http.host", "http.request.uri", "http.user_agent"];
        let mut theirs = Vec::new();
        for row in tshark(&path, "http.request.method && tcp", &fields) {
            // One row a packet: of several requests in it, tshark joins the fields.
            let columns: Vec<Vec<&str>> = row.iter().map(|column| column.split(';').collect()).collect();
            for at in 0..columns[0].len() {
                let part = |column: usize| columns[column].get(at).copied().unwrap_or_default();
                let many = columns[0].len() > 1;
                let whole = |column: usize| if many { part(column) } else { row[column].as_str() };
                let host = whole(1).split(':').next().unwrap().to_owned();
                let target = whole(2).get(..1024).unwrap_or(whole(2)).to_owned();
                theirs.push((whole(0).to_owned(), host, target, whole(3).get(..256).unwrap_or(whole(3)).to_owned()));
            }
        }
        let (mut ours, mut statuses) = (Vec::new(), Vec::new());
        for finding in found(&path) {
            match &finding.learned {
                Learned::HttpRequest(request) => {
                    let text = |value: &Option<Box<str>>| value.as_deref().unwrap_or_default().to_owned();
                    let (host, agent) = (text(&request.host), text(&request.user_agent));
                    ours.push((request.method.to_string(), host, request.target.to_string(), agent));
                }
                Learned::HttpResponse(response) => statuses.push(response.status.to_string()),
                _ => {}
            }
        }
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{file}");
        // With reassembly, tshark does not show a response whose body the capture does not hold to its end.
        let filter = "http.response.code && tcp";
        let rows = tshark_with(&["-o", "tcp.desegment_tcp_streams:false"], &path, filter, &["http.response.code"]);
        let mut codes: Vec<_> = rows.iter().flat_map(|row| row[0].split(';').map(str::to_owned)).collect();
        codes.sort();
        statuses.sort();
        assert_eq!(statuses, codes, "{file}");
    }
}

#[test]
#[ignore = "needs tshark and the corpus: cargo test -p hivewall-names -- --ignored"]
fn server_names_and_banners_are_those_that_tshark_reads() {
    let Some(folder) = corpus::folder() else { return };
    for file in ["c2_curl_2s.pcap", "clean_netflix.pcap", "flood_icmp_spoofself.pcap", "proto_6in4.pcap"] {
        let path = folder.join(file);
        let name = "tls.handshake.extensions_server_name";
        let mut theirs: Vec<_> = tshark(&path, name, &[name]).into_iter().map(|mut row| row.remove(0)).collect();
        let mut ours: Vec<String> = found(&path)
            .iter()
            .filter_map(|finding| match &finding.learned {
                Learned::Tls(hello) => hello.server_name.as_deref().map(str::to_owned),
                _ => None,
            })
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{file}");
    }
    for file in ["brute_ssh_sshguess.pcap", "brute_ssh_hydra1.pcapng", "spike_ssh_transfer.pcap"] {
        let path = folder.join(file);
        let rows = tshark(&path, "ssh.protocol", &["ip.src", "tcp.srcport", "ssh.protocol"]);
        let mut theirs: Vec<_> = rows.iter().map(|row| format!("{}:{} {}", row[0], row[1], row[2].trim())).collect();
        let mut ours: Vec<String> = found(&path)
            .iter()
            .filter_map(|finding| match &finding.learned {
                Learned::SshBanner { text, .. } => Some(format!("{} {text}", ends(finding)[0])),
                _ => None,
            })
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{file}");
    }
}
