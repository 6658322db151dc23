//! Evidence in a directory of its own, read back as the product reads capture files.

use hivewall_datapath::{PeekHead, proto};
use hivewall_detect::Subject;
use hivewall_detect::definitions;
use tempfile::TempDir;

use super::testing::{at, head, stray};
use super::*;

fn place(directory: &TempDir, holding: Holding) -> Place {
    Place { directory: directory.path().join("captures"), holding, is_own: true }
}

fn alert(id: &str) -> Alert {
    Alert {
        id: id.to_owned(),
        detector: "port_scan".to_owned(),
        first_seen: hivewall_view::time::rfc3339(at(0)),
        ..Alert::default()
    }
}

fn sign(subject: Subject) -> Sign {
    let scan = definitions().into_iter().find(|definition| definition.name == "port_scan").unwrap();
    Sign::new(scan, subject, at(0), at(1), "a scan".to_owned())
}

fn attacker() -> Sign {
    sign(Subject::source("192.0.2.7".parse().unwrap()))
}

fn interfaces() -> HashMap<u32, String> {
    HashMap::from([(3, "eth0".to_owned())])
}

fn packet(second: i64, head: &PeekHead, payload: &[u8]) -> Packet {
    Packet::of(at(second), head, payload, Holding::Peek)
}

/// How many packets are in a capture file, by the blocks' kinds.
fn packets(bytes: &[u8]) -> usize {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        count += usize::from(word(at) == 6);
        at += word(at + 4) as usize;
    }
    assert_eq!(at, bytes.len(), "the last block is whole");
    count
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn packets_before_and_after_an_alert_are_in_its_file_and_those_of_others_are_not() {
    let directory = TempDir::new().unwrap();
    let mut evidence = Evidence::open(place(&directory, Holding::Peek), std::iter::empty());
    let mut other = head(proto::TCP, 9, 22, 5);
    other.key.src[3] = u32::from_ne_bytes([198, 51, 100, 1]);
    evidence.see(&packet(0, &head(proto::TCP, 4000, 22, 5), b"first"), &interfaces());
    evidence.see(&packet(0, &other, b"other"), &interfaces());
    let path = evidence.raise(at(1), (&alert("00aa"), &attacker()), &interfaces()).unwrap();
    assert!(path.ends_with("captures/00aa.pcapng"), "{path}");
    evidence.see(&packet(2, &head(proto::TCP, 4001, 23, 6), b"second"), &interfaces());
    evidence.see(&packet(2, &other, b"other"), &interfaces());
    evidence.see(&packet(40, &head(proto::TCP, 4002, 24, 4), b"late"), &interfaces());
    assert_eq!(evidence.tick(at(41)), []);
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(packets(&bytes), 2);
    assert!(holds(&bytes, b"first") && holds(&bytes, b"second") && holds(&bytes, b"port_scan 00aa"));
    assert!(!holds(&bytes, b"other") && !holds(&bytes, b"late"));
    assert_eq!(evidence.read("00aa").unwrap(), bytes);
    assert_eq!(evidence.summary(), CaptureSummary { files: 1, bytes: bytes.len() as u64, ..CaptureSummary::default() });
}

#[test]
fn where_the_first_packet_comes_later_the_path_is_told_then_and_where_none_comes_it_is_counted() {
    let directory = TempDir::new().unwrap();
    let mut evidence = Evidence::open(place(&directory, Holding::Headers), std::iter::empty());
    assert_eq!(evidence.raise(at(0), (&alert("00aa"), &attacker()), &interfaces()), None);
    let nobody = sign(Subject::source("203.0.113.1".parse().unwrap()));
    assert_eq!(evidence.raise(at(0), (&alert("00bb"), &nobody), &interfaces()), None);
    evidence.see(&packet(1, &head(proto::TCP, 1, 2, 0), b""), &interfaces());
    let told = evidence.tick(at(1));
    assert!(matches!(told.as_slice(), [(id, Some(_))] if id == "00aa"), "{told:?}");
    evidence.tick(at(60));
    assert_eq!(evidence.summary().lost, BTreeMap::from([("unseen".to_owned(), 1)]));
    // What no packet can be told by is nothing that was missed.
    assert_eq!(evidence.raise(at(60), (&alert("00cc"), &sign(Subject::default())), &interfaces()), None);
    evidence.tick(at(120));
    assert_eq!(evidence.summary().lost["unseen"], 1);
}

#[test]
fn an_alert_has_no_more_than_its_packets_and_bytes() {
    let directory = TempDir::new().unwrap();
    let mut evidence = Evidence::open(place(&directory, Holding::Peek), std::iter::empty());
    evidence.raise(at(0), (&alert("00aa"), &attacker()), &interfaces());
    for n in 0..500 {
        evidence.see(&packet(1, &head(proto::UDP, n, 53, 512), &[7; 512]), &interfaces());
    }
    evidence.tick(at(1));
    let bytes = evidence.read("00aa").unwrap();
    assert!(packets(&bytes) <= PACKETS_OF_ALERT_MAX && bytes.len() <= BYTES_OF_ALERT_MAX);
    assert!(packets(&bytes) > 80, "{}", packets(&bytes));
    assert_eq!(evidence.summary().lost["full"], 500 - packets(&bytes) as u64);
}

#[test]
fn no_more_alerts_are_followed_than_there_may_be() {
    let directory = TempDir::new().unwrap();
    let mut evidence = Evidence::open(place(&directory, Holding::Headers), std::iter::empty());
    for n in 0..FOLLOWED_MAX + 3 {
        evidence.raise(at(0), (&alert(&format!("{n:04x}")), &attacker()), &interfaces());
    }
    assert_eq!(evidence.summary().lost["busy"], 3);
}

#[test]
fn a_file_goes_with_its_alert_with_age_and_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    let known = [("00aa", 0), ("00bb", 0), ("00cc", 0)];
    let mut evidence = Evidence::open(place(&directory, Holding::Headers), std::iter::empty());
    evidence.see(&packet(0, &head(proto::TCP, 1, 2, 0), b""), &interfaces());
    for (id, second) in known {
        evidence.raise(at(second), (&alert(id), &attacker()), &interfaces()).unwrap();
    }
    evidence.retire("00aa");
    let file = |id: &str| directory.path().join(format!("captures/{id}.pcapng")).exists();
    assert!(!file("00aa") && file("00bb"));
    let mut kept = alert("00bb");
    kept.evidence.capture = Some("somewhere".to_owned());
    let mut lost = alert("00dd");
    lost.evidence.capture = Some("somewhere".to_owned());
    let mut again = Evidence::open(place(&directory, Holding::Headers), [&kept, &lost].into_iter());
    assert!(file("00bb") && !file("00cc"), "00cc is of an alert that nobody knows any more");
    assert_eq!(again.tick(at(1)), [("00dd".to_owned(), None)]);
    assert!(again.read("00bb").is_ok() && again.read("00cc").is_err());
    let month = disk::AGE_MAX.as_secs().cast_signed();
    assert_eq!(again.tick(at(month + 1)), [("00bb".to_owned(), None)]);
    assert!(!file("00bb"));
}

#[test]
fn the_oldest_files_make_room_and_that_is_counted() {
    let directory = TempDir::new().unwrap();
    let mut disk = Disk::open(place(&directory, Holding::Headers), std::iter::empty());
    let whole = vec![0; BYTES_OF_ALERT_MAX];
    let most = disk::TOTAL_BYTES_MAX / BYTES_OF_ALERT_MAX as u64;
    for n in 0..most + 2 {
        disk.is_at(at(n.cast_signed()));
        disk.write(&format!("{n:04x}"), &whole, true).unwrap();
    }
    let (gone, for_room) = disk.tidy(at(5000));
    assert_eq!((gone, for_room), (vec!["0000".to_owned(), "0001".to_owned()], 2));
    assert_eq!(disk.size(), (most, disk::TOTAL_BYTES_MAX));
}

#[test]
fn in_a_directory_of_others_nothing_is_removed_and_a_replay_writes_the_same_again() {
    let directory = TempDir::new().unwrap();
    let place = Place { is_own: false, ..place(&directory, Holding::Headers) };
    std::fs::create_dir(&place.directory).unwrap();
    let foreign = place.directory.join("mine.pcapng");
    std::fs::write(&foreign, b"mine").unwrap();
    let write = || {
        let mut evidence = Evidence::open(place.clone(), std::iter::empty());
        evidence.see(&packet(0, &head(proto::TCP, 1, 2, 0), b""), &interfaces());
        let path = evidence.raise(at(1), (&alert("00aa"), &attacker()), &interfaces()).unwrap();
        std::fs::read(path).unwrap()
    };
    assert_eq!(write(), write());
    assert!(foreign.exists());
}

#[test]
fn what_cannot_be_written_is_counted_and_the_alert_has_no_capture() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("captures"), b"a file").unwrap();
    let mut evidence = Evidence::open(place(&directory, Holding::Headers), std::iter::empty());
    evidence.see(&packet(0, &head(proto::TCP, 1, 2, 0), b""), &interfaces());
    assert_eq!(evidence.raise(at(1), (&alert("00aa"), &attacker()), &interfaces()), None);
    assert_eq!(evidence.summary().lost, BTreeMap::from([("unwritten".to_owned(), 1)]));
}

#[test]
fn an_alert_rests_on_packets_of_its_source_targets_port_and_protocol() {
    let tcp = packet(0, &head(proto::TCP, 4000, 22, 0), b"");
    let of = |change: &dyn Fn(&mut Sign)| {
        let mut sign = attacker();
        change(&mut sign);
        Rests::of(&sign).is_some_and(|rests| rests.holds(&tcp))
    };
    assert!(of(&|_| {}));
    assert!(of(&|sign| sign.port = Some(22)) && !of(&|sign| sign.port = Some(23)));
    assert!(of(&|sign| sign.protocol = Some(6)) && !of(&|sign| sign.protocol = Some(17)));
    let to = |address: &str| vec![address.parse::<IpAddr>().unwrap()];
    assert!(of(&|sign| (sign.targets, sign.target_count) = (to("10.0.0.1"), 1)));
    assert!(!of(&|sign| (sign.targets, sign.target_count) = (to("10.0.0.9"), 1)));
    assert!(of(&|sign| (sign.targets, sign.target_count) = (to("10.0.0.9"), 50)), "there was no room to name all");
    let spoofed = |sign: &mut Sign| (sign.subject.source, sign.targets) = (None, to("10.0.0.1"));
    assert!(of(&spoofed));
    assert!(!of(&|sign| sign.subject.source = Some("192.0.2.8".parse().unwrap())));
}

#[test]
fn a_frame_in_no_flow_is_told_by_its_link_address() {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9]);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let packet = Packet::of(at(0), &stray(&frame), &frame, Holding::Headers);
    let mut of = sign(Subject::default());
    of.source_mac = Some([2, 0, 0, 0, 0, 9]);
    assert!(Rests::of(&of).unwrap().holds(&packet));
    of.source_mac = Some([2, 0, 0, 0, 0, 8]);
    assert!(!Rests::of(&of).unwrap().holds(&packet));
}
