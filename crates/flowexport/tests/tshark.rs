//! Wireshark's dissectors as the reader: fields, sequence numbers, templates and options as they were meant.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::{LONGEST, close, conversation, export_to, mixture, name, said, sums};
use expect_test::{Expect, expect};
use hivewall_model::{Action, Flow, Interface, Judgement, Ruling, Verdict};
use hivewall_testkit::packet::{ACK, PSH, frame};
use hivewall_testkit::pcap::{PcapFormat, pcap_bytes};

/// A capture of these messages, one a packet.
fn capture(messages: &[Vec<u8>], tcp: bool) -> tempfile::NamedTempFile {
    let mut sequence = 1;
    let packets: Vec<_> = messages
        .iter()
        .map(|message| {
            let packet = frame().ipv4("127.0.0.1", "127.0.0.2");
            let packet = if tcp {
                packet.tcp(40_000, 4739).flags(PSH | ACK).numbers(sequence, 1)
            } else {
                packet.udp(40_000, 4739)
            };
            sequence += message.len() as u32;
            packet.payload(message).build()
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let timed = packets.iter().map(|packet| (1_700_000_000_000_000_000, packet.as_slice()));
    std::fs::write(file.path(), pcap_bytes(PcapFormat::default(), timed)).unwrap();
    file
}

/// The captures have one port; only flows go over TCP too.
fn decode_as(command: &mut Command, dissector: &str) {
    command.args(["-d", &format!("udp.port==4739,{dissector}")]);
    if dissector == "cflow" {
        command.args(["-d", "tcp.port==4739,cflow"]);
    }
}

/// What tshark tells of these fields, a line a packet; values of one field are joined by commas.
fn fields(capture: &tempfile::NamedTempFile, dissector: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture.path());
    decode_as(&mut command, dissector);
    command.args(["-T", "fields", "-E", "separator=|"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let text = said(&mut command);
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// No packet may be malformed or unread.
#[track_caller]
fn is_clean(capture: &tempfile::NamedTempFile, dissector: &str) {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture.path());
    decode_as(&mut command, dissector);
    command.arg("-V");
    let text = said(&mut command);
    for bad in ["Malformed", "No template found", "Expert Info (Error", "Expert Info (Warn", "Sequence number mismatch"]
    {
        let at = text.lines().position(|line| line.contains(bad));
        assert!(
            at.is_none(),
            "{bad}: {}",
            text.lines().skip(at.unwrap_or(0).saturating_sub(15)).take(25).collect::<Vec<_>>().join("\n")
        );
    }
}

fn receive(socket: &UdpSocket) -> Vec<Vec<u8>> {
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let mut messages = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = socket.recv(&mut buffer) {
        messages.push(buffer[..length].to_vec());
    }
    messages
}

/// What leaves for a UDP target.
fn sent(scheme: &str, parameters: &str, flows: &[Arc<Flow>], interfaces: &[Interface]) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let state = tempfile::tempdir().unwrap();
    let port = socket.local_addr().unwrap().port();
    // Read while it is sent: what a socket holds by default is little.
    let reader = std::thread::spawn(move || receive(&socket));
    let exporters = export_to(&format!("{scheme}://127.0.0.1:{port}{parameters}"), state.path());
    exporters.interfaces(interfaces);
    exporters.flows(flows, &name);
    close(exporters);
    reader.join().unwrap()
}

/// One message for every sort of flow, so that a picture shows all fields.
fn samples() -> Vec<Arc<Flow>> {
    let mut denied = conversation(7, 6, ["10.1.2.3", "192.0.2.80"], [50_000, 443], [3, 180], [0, 0]);
    denied.judgement = Some(Judgement {
        ruling: Ruling { verdict: Verdict::new(1, Action::Drop, 40), rule: "web".into() },
        reply: None,
        dropped_packets: 3,
        dropped_bytes: 180,
    });
    denied.tuple.vlans = [10, 20];
    let echo = conversation(8, 58, ["2001:db8::1", "2001:db8::2"], [128, 0], [4, 416], [4, 416]);
    vec![Arc::new(denied), Arc::new(echo)]
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a picture is made where it is compared")]
fn check(rows: &[Vec<String>], expect: Expect) {
    expect.assert_eq(&rows.iter().map(|row| row.join(" | ")).collect::<Vec<_>>().join("\n"));
}

const FLOW_FIELDS: &[&str] = &[
    "cflow.srcaddr",
    "cflow.dstaddr",
    "cflow.srcaddrv6",
    "cflow.dstaddrv6",
    "cflow.srcport",
    "cflow.dstport",
    "cflow.protocol",
    "cflow.packets",
    "cflow.octets",
    "cflow.tcpflags",
    "cflow.inputint",
    "cflow.outputint",
    "cflow.direction",
    "cflow.vlanid",
    "cflow.dot1q_customer_vlan_id",
    "cflow.flow_id",
    "cflow.flow_end_reason",
    "cflow.forwarding_status",
    "cflow.firewall_event",
    "cflow.icmp_ipv6_type",
    "cflow.appl_name",
];

#[test]
fn wireshark_reads_every_field_of_ipfix() {
    let capture = capture(&sent("ipfix+udp", "?domain=77", &samples(), &[]), false);
    is_clean(&capture, "cflow");
    check(
        &fields(&capture, "cflow", FLOW_FIELDS),
        expect![[r#"
         |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  | 
         |  |  |  |  |  |  |  |  |  | 2 |  |  |  |  |  |  |  |  |  | 
        10.1.2.3 | 192.0.2.80 | 2001:db8::1,2001:db8::2 | 2001:db8::2,2001:db8::1 | 50000 | 443 | 6,58,58 | 3,4,4 | 180,416,416 | 0x1b | 0,0,2 | 2,2,0 | 1,1,0 | 10,0,0 | 20,0,0 | 7,8,8 | 3,1,1 | 2,0,0 | 3,2,2 | 128,129 | tls"#]],
    );
}

#[test]
fn wireshark_reads_every_field_of_netflow_9() {
    let capture = capture(&sent("netflow9", "?domain=77", &samples(), &[]), false);
    is_clean(&capture, "cflow");
    check(
        &fields(&capture, "cflow", FLOW_FIELDS),
        expect![[r#"
         |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  | 
         |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  | 
        10.1.2.3 | 192.0.2.80 | 2001:db8::1,2001:db8::2 | 2001:db8::2,2001:db8::1 | 50000 | 443 | 6,58,58 | 3,4,4 | 180,416,416 | 0x1b | 0,0,2 | 2,2,0 | 1,1,0 | 10,0,0 |  | 7,8,8 | 3,1,1 | 2,0,0 | 3,2,2 | 128,129 | tls,,"#]],
    );
}

#[test]
fn wireshark_reads_netflow_5() {
    let capture = capture(&sent("netflow5", "?domain=77", &samples(), &[]), false);
    is_clean(&capture, "cflow");
    check(
        &fields(&capture, "cflow", FLOW_FIELDS),
        expect!["10.1.2.3 | 192.0.2.80 |  |  | 50000 | 443 | 6 | 3 | 180 | 0x1b | 0 | 2 |  |  |  |  |  |  |  |  | "],
    );
}

fn interface(index: u32) -> Interface {
    Interface {
        index,
        name: format!("eth{index}"),
        up: true,
        speed: Some(10_000_000_000),
        rx_bytes: 5_000_000_000 + u64::from(index),
        rx_packets: 4_000_000,
        rx_dropped: 7,
        tx_bytes: 6_000_000_000,
        tx_packets: 3_000_000,
        tx_errors: 2,
        ..Interface::default()
    }
}

#[test]
fn options_tell_the_sampling_and_the_names_of_interfaces() {
    for scheme in ["ipfix+udp", "netflow9"] {
        let messages = sent(scheme, "", &samples(), &[interface(2), interface(3)]);
        let capture = capture(&messages, false);
        let text =
            said(Command::new("tshark").arg("-r").arg(capture.path()).args(["-V", "-d", "udp.port==4739,cflow"]));
        for wanted in ["eth2", "eth3"] {
            assert!(text.contains(wanted), "{scheme}: no {wanted} in {text}");
        }
        let sampling = if scheme == "netflow9" { "Sampling interval: 1" } else { "Sampling Packet Interval: 1" };
        assert!(text.contains(sampling), "{scheme}: no `{sampling}` in {text}");
    }
}

/// The sequence numbers of messages, as tshark reads them, and the ones that the RFCs want.
#[track_caller]
fn sequences(scheme: &str, step: impl Fn(&[u8]) -> u32) {
    let messages = sent(scheme, "?template_messages=5", &mixture(900), &[]);
    assert!(messages.len() > 20, "{} messages", messages.len());
    let longest = messages.iter().map(Vec::len).max().unwrap();
    assert!((1300..=1400).contains(&longest), "the longest message has {longest} bytes");
    let capture = capture(&messages, false);
    is_clean(&capture, "cflow");
    let read: Vec<u32> =
        fields(&capture, "cflow", &["cflow.sequence"]).iter().map(|row| row[0].parse().unwrap()).collect();
    let mut wanted = 0u32;
    for (message, sequence) in messages.iter().zip(read) {
        assert_eq!(sequence, wanted);
        wanted = wanted.wrapping_add(step(message));
    }
}

#[test]
fn netflow_9_numbers_its_messages() {
    sequences("netflow9", |_| 1);
}

#[test]
fn netflow_5_numbers_its_records() {
    let messages = sent("netflow5", "", &mixture(900), &[]);
    let mut wanted = 0;
    for message in &messages {
        assert!(message.len() <= 1400);
        assert_eq!(u32::from_be_bytes(message[16..20].try_into().unwrap()), wanted);
        wanted += u32::from(u16::from_be_bytes(message[2..4].try_into().unwrap()));
    }
}

#[test]
fn templates_come_again_after_so_many_messages() {
    for (scheme, set) in [("ipfix+udp", 2u16), ("netflow9", 0)] {
        let messages = sent(scheme, "?template_messages=5", &mixture(900), &[]);
        let header = if scheme == "netflow9" { 20 } else { 16 };
        let is_template = |message: &Vec<u8>| message[header..header + 2] == set.to_be_bytes();
        let at: Vec<_> =
            messages.iter().enumerate().filter(|(_, message)| is_template(message)).map(|(at, _)| at).collect();
        assert_eq!(at[0], 0, "{scheme}: templates come first");
        assert!(at.len() >= messages.len() / 7, "{scheme}: templates only at {at:?} of {}", messages.len());
    }
}

/// Splits a stream of IPFIX by the lengths in its headers.
fn split(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut rest = stream;
    while rest.len() >= 16 {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let (message, after) = rest.split_at(length);
        messages.push(message.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "the stream ends within a message");
    messages
}

#[test]
fn ipfix_over_tcp_begins_each_connection_with_templates_and_sequence_zero() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = tempfile::tempdir().unwrap();
    let exporters = export_to(&format!("ipfix+tcp://{}", listener.local_addr().unwrap()), state.path());
    let flows = mixture(500);
    let (first, second) = flows.split_at(200);
    exporters.flows(first, &name);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    assert_eq!((head[..2].to_vec(), head[8..12].to_vec()), (vec![0, 10], vec![0; 4]));
    // The collector goes away in the middle of it and comes back.
    drop(stream);
    exporters.flows(second, &name);
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let counters = close(exporters);
    let messages = split(&reader.join().unwrap());
    assert_eq!((counters.sent, counters.lost_total(), counters.failures), (500, 0, 1), "{counters:?}");
    let capture = capture(&messages, true);
    is_clean(&capture, "cflow");
    let rows = fields(&capture, "cflow", &["cflow.sequence", "cflow.packets", "cflow.octets"]);
    assert_eq!(rows[0][0].split(',').next(), Some("0"));
    let sum = |column: usize| -> u64 {
        rows.iter().flat_map(|row| row[column].split(',')).filter_map(|value| value.parse::<u64>().ok()).sum()
    };
    // What was sent within seconds before the break came once more: nothing is missing.
    let (_, packets, bytes) = sums(&flows);
    assert_eq!((sum(1), sum(2)), (packets, bytes));
}

#[test]
fn wireshark_reads_the_counters_of_interfaces_in_sflow() {
    let interfaces: Vec<_> = (1..=30).map(interface).collect();
    let messages = sent("sflow", "?domain=3", &[], &interfaces);
    assert!(messages.iter().all(|message| message.len() <= 1400));
    let capture = capture(&messages, false);
    is_clean(&capture, "sflow");
    let names = ["sflow_245.agent", "sflow_245.sub_agent_id", "sflow_245.sequence_number", "sflow_245.numsamples"];
    check(
        &fields(&capture, "sflow", &names),
        expect![[r#"
        127.0.0.1 | 3 | 1 | 11
        127.0.0.1 | 3 | 2 | 11
        127.0.0.1 | 3 | 3 | 8"#]],
    );
    let names = [
        "sflow_245.ifindex",
        "sflow_245.ifspeed",
        "sflow_245.ifinoct",
        "sflow_245.ifoutoct",
        "sflow_245.ifinpkt",
        "sflow_245.ifindisc",
        "sflow_245.ifouterr",
    ];
    check(
        &fields(&capture, "sflow", &names)[2..],
        expect![
            "23,24,25,26,27,28,29,30 | 10000000000,10000000000,10000000000,10000000000,10000000000,10000000000,10000000000,10000000000 | 5000000023,5000000024,5000000025,5000000026,5000000027,5000000028,5000000029,5000000030 | 6000000000,6000000000,6000000000,6000000000,6000000000,6000000000,6000000000,6000000000 | 4000000,4000000,4000000,4000000,4000000,4000000,4000000,4000000 | 7,7,7,7,7,7,7,7 | 2,2,2,2,2,2,2,2"
        ],
    );
}
