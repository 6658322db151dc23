//! Real captures against what tshark counts in them.
//!
//! The manifest counts packets in which tshark found a DNS question name (`dns.qry.name`), an HTTP request method
//! (`http.request.method`) and a server name in a ClientHello. Invariant: what differs stands in [`DIFFERENCES`] with its reason,
//! and what stands there differs.

use std::io::Write as _;
use std::path::PathBuf;

use hivewall_model::Learned;

use crate::seen;

const COLUMNS: [&str; 3] = ["dns_msgs", "http_requests", "tls_sni_hellos"];

/// File, column, what is found beyond the manifest (or is missing), and why.
const DIFFERENCES: &[(&str, &str, i64, &str)] = &[
    ("scan_nmap_syn.pcap", "http_requests", -4, "SSDP over UDP, which tshark shows with HTTP's fields"),
    ("clean_netflix.pcap", "http_requests", -16, "SSDP over UDP, which tshark shows with HTTP's fields"),
    ("scan_nmap_sV.pcap", "http_requests", 1, "a request to port 139, which tshark takes for NetBIOS by its port"),
    ("flood_icmp_spoofself.pcap", "dns_msgs", 2, "multicast announcements without a question"),
    ("c2_empire_wmi.pcapng", "dns_msgs", -2, "copies of a message inside of ICMP errors"),
    ("proto_gre.pcap", "dns_msgs", -2, "copies of a message inside of ICMP errors"),
    ("inv_badpackets.pcap", "dns_msgs", -83, "IP packets longer than their frames, which the datapath refuses"),
];

/// Folder of the corpus, or `None` when it is not there, which has been told then.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/cases"));
    if folder.join("manifest.tsv").exists() {
        return Some(folder);
    }
    let text = "NOT RUN: there is no corpus at ../shared/cases beside the checkout";
    assert!(std::env::var_os("HIVEWALL_REQUIRE_CORPUS").is_none_or(|value| value != "1"), "{text}");
    // Not eprintln!: the test runner keeps that to itself when a test passes.
    writeln!(std::io::stderr(), "\n{text}\n").expect("standard error is open");
    None
}

#[test]
fn the_corpus_tells_as_many_names_as_tshark_finds_or_the_difference_has_a_reason() {
    let Some(folder) = folder() else { return };
    let manifest = std::fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let mut lines = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let (mut wrong, mut files) = (Vec::new(), 0);
    for line in lines {
        let file = line[0];
        let (found, _) = seen::play(&std::fs::read(folder.join(file)).unwrap());
        let count = |is: fn(&Learned) -> bool| found.iter().filter(|finding| is(&finding.learned)).count() as i64;
        let own = [
            count(|learned| matches!(learned, Learned::Dns(_))),
            count(|learned| matches!(learned, Learned::HttpRequest(_))),
            count(|learned| matches!(learned, Learned::Tls(hello) if hello.server_name.is_some())),
        ];
        for (column, own) in COLUMNS.iter().zip(own) {
            let at = names.iter().position(|name| name == column).unwrap();
            let manifest: i64 = line[at].parse().unwrap();
            let known = DIFFERENCES.iter().find(|(of, in_column, ..)| *of == file && in_column == column);
            let expected = manifest + known.map_or(0, |(_, _, difference, _)| *difference);
            if own != expected {
                wrong.push(format!("{file}: {column} is {own}, expected {expected} (tshark {manifest})"));
            }
        }
        files += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files > 30 && DIFFERENCES.iter().all(|(file, ..)| manifest.contains(file)));
}

#[test]
fn browsers_have_the_fingerprint_that_foxio_publishes_for_this_capture() {
    let Some(folder) = folder() else { return };
    let (found, _) = seen::play(&std::fs::read(folder.join("app_tls_browsers.pcapng")).unwrap());
    let hellos: Vec<(&str, &str, u16)> = found
        .iter()
        .filter_map(|finding| match &finding.learned {
            Learned::Tls(hello) => Some((hello.server_name.as_deref().unwrap(), &*hello.ja4, hello.version)),
            _ => None,
        })
        .collect();
    // `browsers-x509.pcapng` of the specification's repository, and its expected output.
    let chrome = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    let expected = ["edge.microsoft.com", "nym1-ib.adnxs.com", "lptag.liveperson.net"];
    assert_eq!(hellos, expected.map(|name| (name, chrome, 0x0304)));
}
