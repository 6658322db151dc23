//! Layouts byte by byte, and any flow against a reader of its own that knows only the RFCs.

mod reader;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use hivewall_model::{
    Direction, EndReason, Flow, FlowId, FlowNames, Perspective, Point, Side, TcpFlags, Timestamp, Timing, Tuple,
};
use proptest::prelude::*;

use super::*;
use crate::message::{Batch, Encoder, Item, Message};
use crate::record::Record;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn flow(tuple: Tuple, to_server: Side, to_client: Side) -> Flow {
    let point = |direction, to_server, side| Point { ifindex: 3, direction, to_server, tunnel: None, side };
    Flow {
        id: FlowId(0x0102),
        tuple,
        roles_known: true,
        perspective: Perspective::Outbound,
        to_server,
        to_client,
        start: NOW - Duration::from_millis(2500),
        last: NOW - Duration::from_millis(500),
        tcp_state: None,
        ended: Some(EndReason::Finished),
        portless: false,
        points: vec![point(Direction::Egress, true, to_server), point(Direction::Ingress, false, to_client)],
        rate: 0.0,
        client_process: None,
        server_process: None,
        names: Some(Arc::new(FlowNames { application: Some("tls"), ..FlowNames::default() })),
        timing: Timing::default(),
        judgement: None,
    }
}

fn side(packets: u64, ip_bytes: u64, flags: u8) -> Side {
    Side { packets, ip_bytes, wire_bytes: ip_bytes, flags: TcpFlags(flags) }
}

fn web() -> Flow {
    let tuple = Tuple {
        protocol: 6,
        client: Ipv4Addr::new(10, 0, 0, 1).into(),
        server: Ipv4Addr::new(192, 0, 2, 80).into(),
        client_port: 0xc000,
        server_port: 443,
        vlans: [10, 20],
    };
    flow(tuple, side(5, 600, 0x1b), side(0, 0, 0))
}

fn item(flows: Vec<Flow>) -> Item {
    let flows: Vec<_> = flows.into_iter().map(Arc::new).collect();
    let batch = Arc::new(Batch::new(&flows, &|ifindex| format!("eth{ifindex}")));
    Item::Flows { count: flows.len(), batch }
}

/// Everything that leaves for these flows, sealed; whether the format carries them all.
fn messages(encoder: &mut dyn Encoder, flows: Vec<Flow>) -> (Vec<Message>, bool) {
    let mut out = Vec::new();
    encoder.announce(NOW, &mut out);
    let carried = encoder.push(&item(flows), &mut out).is_ok();
    out.extend(encoder.flush());
    out.iter_mut().for_each(|message| encoder.seal(message, NOW));
    (out, carried)
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a picture is made where it is compared")]
fn check(encoder: &mut dyn Encoder, expect: Expect) {
    let (messages, _) = messages(encoder, vec![web()]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let text = messages.iter().map(|message| {
        let words: Vec<_> = message.bytes.chunks(4).map(hex).collect();
        words.chunks(8).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
    });
    expect.assert_eq(&text.collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn a_message_of_ipfix() {
    check(
        &mut Templated::new(Version::Ipfix, 9, None, NOW),
        expect![[r#"
        000a018e 6553f100 00000000 00000009 00020144 01000014 00080004 000c0004
        00070002 000b0002 00060001 00980008 00990008 00010008 00020008 00040001
        000a0004 000e0004 003d0001 003a0002 00880001 00590001 00e90001 00940008
        00f50002 0060ffff 01010014 001b0010 001c0010 00070002 000b0002 00060001
        00980008 00990008 00010008 00020008 00040001 000a0004 000e0004 003d0001
        003a0002 00880001 00590001 00e90001 00940008 00f50002 0060ffff 01020012
        00080004 000c0004 00200002 00980008 00990008 00010008 00020008 00040001
        000a0004 000e0004 003d0001 003a0002 00880001 00590001 00e90001 00940008
        00f50002 0060ffff 01030012 001b0010 001c0010 008b0002 00980008 00990008
        00010008 00020008 00040001 000a0004 000e0004 003d0001 003a0002 00880001
        00590001 00e90001 00940008 00f50002 0060ffff 00030028 01040004 00010095
        00040130 00020131 00040132 00040105 00020001 000a0004 0052ffff 01040012
        00000009 00010000 00010000 0000

        000a001d 6553f100 00000001 00000009 0105000d 00000003 04657468 33

        000a005e 6553f100 00000002 00000009 0100004e 0a000001 c0000250 c00001bb
        1b000001 8bcfe55e 3c000001 8bcfe566 0c000000 00000002 58000000 00000000
        05060000 00000000 00030100 0a030002 00000000 00000102 00140374 6c73"#]],
    );
}

#[test]
fn a_message_of_netflow_9() {
    check(
        &mut Templated::new(Version::Nine, 9, None, NOW),
        expect![[r#"
        00090007 05265c00 6553f100 00000000 00000009 00000134 01000013 00080004
        000c0004 00070002 000b0002 00060001 00160004 00150004 00010008 00020008
        00040001 000a0004 000e0004 003d0001 003a0002 00880001 00590001 00e90001
        00940008 00600010 01010013 001b0010 001c0010 00070002 000b0002 00060001
        00160004 00150004 00010008 00020008 00040001 000a0004 000e0004 003d0001
        003a0002 00880001 00590001 00e90001 00940008 00600010 01020011 00080004
        000c0004 00200002 00160004 00150004 00010008 00020008 00040001 000a0004
        000e0004 003d0001 003a0002 00880001 00590001 00e90001 00940008 00600010
        01030011 001b0010 001c0010 008b0002 00160004 00150004 00010008 00020008
        00040001 000a0004 000e0004 003d0001 003a0002 00880001 00590001 00e90001
        00940008 00600010 00010024 01040004 00080001 00040022 00040023 00010105
        00040004 00020004 00520010 01040010 00000009 00000001 01000000

        00090001 05265c00 6553f100 00000001 00000009 01050018 00000003 65746833
        00000000 00000000 00000000

        00090001 05265c00 6553f100 00000002 00000009 01000050 0a000001 c0000250
        c00001bb 1b052652 3c05265a 0c000000 00000002 58000000 00000000 05060000
        00000000 00030100 0a030002 00000000 00000102 746c7300 00000000 00000000
        00000000"#]],
    );
}

#[test]
fn a_message_of_netflow_5() {
    check(
        &mut V5::new(9, NOW),
        expect![[r#"
        00050001 05265c00 6553f100 00000000 00000000 00090000 0a000001 c0000250
        00000000 00000003 00000005 00000258 0526523c 05265a0c c00001bb 001b0600
        00000000 00000000"#]],
    );
}

#[test]
fn a_header_is_never_earlier_than_its_records() {
    for ms in [0, 1, 499, 999] {
        let now = NOW + Duration::from_millis(ms);
        let uptime = uptime::Uptime::new(NOW);
        let (header, seconds) = uptime.header(now);
        let record = uptime.of(NOW.0 as u64 / 1_000_000 + ms);
        assert!(record <= header);
        // Boot time, as collectors compute it, and from it the record's own time.
        let boot = u64::from(seconds) * 1000 - u64::from(header);
        assert_eq!(boot + u64::from(record), NOW.0 as u64 / 1_000_000 + ms);
    }
}

#[test]
fn a_seal_that_was_taken_back_leaves_no_gap() {
    let ready: [(Box<dyn Encoder>, usize); 3] = [
        (Box::new(Templated::new(Version::Nine, 9, None, NOW)), 12),
        (Box::new(Templated::new(Version::Ipfix, 9, None, NOW)), 8),
        (Box::new(V5::new(9, NOW)), 16),
    ];
    for (mut encoder, at) in ready {
        let (mut out, _) = messages(encoder.as_mut(), vec![web()]);
        let last = out.last_mut().unwrap();
        let before = last.bytes.clone();
        encoder.unseal(last);
        encoder.seal(last, NOW);
        assert_eq!(before[at..at + 4], last.bytes[at..at + 4]);
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|v4| Ipv4Addr::from(v4).into()),
        any::<u128>().prop_map(|v6| Ipv6Addr::from(v6).into())
    ]
}

/// Counters of all sizes, among them those at the edge of 32 bits.
fn counter() -> impl Strategy<Value = u64> {
    let edge = u64::from(u32::MAX);
    prop_oneof![0..2000u64, edge - 2..edge + 3, any::<u64>()]
}

fn any_side() -> impl Strategy<Value = Side> {
    (counter(), counter(), any::<u8>()).prop_map(|(packets, bytes, flags)| side(packets, bytes, flags))
}

prop_compose! {
    fn any_tuple()(
        (client, server) in (address(), address()),
        protocol in prop_oneof![Just(6u8), Just(17), Just(1), Just(58), any::<u8>()],
        (client_port, server_port) in any::<(u16, u16)>(),
        vlans in [0..4096u16, 0..4096u16],
    ) -> Tuple {
        Tuple { protocol, client, server, client_port, server_port, vlans }
    }
}

prop_compose! {
    fn any_flow()(
        tuple in any_tuple(),
        (to_server, to_client) in (any_side(), any_side()),
        (id, start, last) in any::<(u64, i64, i64)>(),
        ended in prop::option::of(prop::sample::select(EndReason::ALL.to_vec())),
        ifindexes in prop::collection::vec(any::<u32>(), 0..4),
        application in prop::option::of(prop::sample::select(vec!["dns", "tls", "quic", "http", "ssh"])),
    ) -> Flow {
        let point = |(at, ifindex): (usize, &u32)| Point {
            ifindex: *ifindex,
            direction: if at % 2 == 0 { Direction::Ingress } else { Direction::Egress },
            to_server: at < 2,
            tunnel: None,
            side: to_server,
        };
        Flow {
            id: FlowId(id),
            start: Timestamp(start),
            last: Timestamp(last),
            ended,
            points: ifindexes.iter().enumerate().map(point).collect(),
            names: application.map(|name| Arc::new(FlowNames { application: Some(name), ..FlowNames::default() })),
            ..flow(tuple, to_server, to_client)
        }
    }
}

/// What a reader should find of a record.
fn wanted(record: &Record, version: Version) -> reader::Found {
    let v4 = record.source.is_ipv4() && record.destination.is_ipv4();
    let octets = |address: IpAddr| match address {
        IpAddr::V4(a) if v4 => a.octets().to_vec(),
        IpAddr::V4(a) => a.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let mut fields = vec![
        (if v4 { 8 } else { 27 }, octets(record.source)),
        (if v4 { 12 } else { 28 }, octets(record.destination)),
        (1, record.bytes.to_be_bytes().to_vec()),
        (2, record.packets.to_be_bytes().to_vec()),
        (4, vec![record.protocol]),
        (10, record.ingress.to_be_bytes().to_vec()),
        (14, record.egress.to_be_bytes().to_vec()),
        (58, record.vlans[0].to_be_bytes().to_vec()),
        (136, vec![record.end_reason]),
        (148, record.flow_id.to_be_bytes().to_vec()),
    ];
    match record.icmp {
        Some((kind, code)) => fields.push((if v4 { 32 } else { 139 }, vec![kind, code])),
        None => fields.extend([
            (7, record.source_port.to_be_bytes().to_vec()),
            (11, record.destination_port.to_be_bytes().to_vec()),
            (6, vec![record.tcp_flags]),
        ]),
    }
    if version == Version::Ipfix {
        fields.push((152, record.start_ms.to_be_bytes().to_vec()));
        fields.push((153, record.end_ms.to_be_bytes().to_vec()));
        fields.push((96, record.application.as_bytes().to_vec()));
    }
    fields.into_iter().collect()
}

proptest! {
    #[test]
    fn any_flow_by_templates_is_read_back(flows in prop::collection::vec(any_flow(), 1..40), nine in any::<bool>()) {
        let version = if nine { Version::Nine } else { Version::Ipfix };
        let mut records: Vec<_> = flows.iter().flat_map(Record::of).map(|record| wanted(&record, version)).collect();
        let count = flows.len() as u64;
        let (messages, carried) = messages(&mut Templated::new(version, 9, None, NOW), flows);
        prop_assert!(carried && messages.iter().all(|message| message.bytes.len() <= MESSAGE_BYTES_MAX));
        prop_assert_eq!(messages.iter().map(|message| message.items).sum::<u64>(), count);
        let mut reader = reader::Reader::default();
        for message in &messages {
            reader.read(&message.bytes);
        }
        // Records are grouped by template within a message, so their order is not that of the flows.
        for found in &reader.data {
            let at = records.iter().position(|wanted| wanted.iter().all(|(id, value)| found.get(id) == Some(value)));
            prop_assert!(at.is_some(), "{found:?} is none of what was sent");
            records.swap_remove(at.unwrap());
        }
        prop_assert!(records.is_empty(), "not found: {records:?}");
    }

    #[test]
    fn any_flow_in_netflow_5_adds_up(flows in prop::collection::vec(any_flow(), 1..20)) {
        let fits = |sum: u64| sum <= u64::from(u32::MAX) * 1024;
        let says = |flow: &Flow| flow.tuple.client.is_ipv4() && flow.tuple.server.is_ipv4()
            && [flow.to_server, flow.to_client].iter().all(|side| fits(side.packets) && fits(side.ip_bytes) || side.packets == 0 && flow.to_server.packets + flow.to_client.packets > 0);
        let sums = |flows: &[&Flow]| flows.iter().flat_map(|flow| Record::of(flow)).fold((0u128, 0u128), |(packets, bytes), record| {
            (packets + u128::from(record.packets), bytes + u128::from(record.bytes))
        });
        let all: Vec<_> = flows.iter().filter(|flow| says(flow)).collect();
        let wanted = sums(&all);
        let (said, total) = (all.len(), flows.len());
        let (messages, carried) = messages(&mut V5::new(9, NOW), flows);
        prop_assert_eq!(carried, said == total);
        let mut found = (0u128, 0u128);
        let mut sequence = 0;
        for message in &messages {
            let bytes = &message.bytes;
            let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let count = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            prop_assert_eq!((bytes.len(), word(16)), (24 + 48 * count, sequence));
            prop_assert!(bytes.len() <= MESSAGE_BYTES_MAX);
            sequence += count as u32;
            for at in (24..bytes.len()).step_by(48) {
                found.0 += u128::from(word(at + 16));
                found.1 += u128::from(word(at + 20));
            }
        }
        prop_assert_eq!(found, wanted);
    }
}
