//! Sound captures: every container variant, time resolution and link type, read as it was written.
//!
//! Damaged ones are in `file_hostile.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod file_write;

use file_write::{ETHERNET, MICRO, MODIFIED, NANO, ORDERS, Order, Pcap, Pcapng};
use hivewall_datapath::parse::parse;
use hivewall_datapath::{Direction, FragmentId, Fragments, FrameBytes, Link, Reason};
use hivewall_host::file::{CaptureFile, FileLosses, Resolution};

/// A frame without its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    time_ns: i64,
    bytes: Vec<u8>,
    len: u32,
    stripped: u32,
    link: Option<Link>,
    interface: u32,
    ifindex: u32,
    direction: Direction,
}

/// An Ethernet frame of interface 0, received.
fn seen(time_ns: i64, len: u32, bytes: &[u8]) -> Seen {
    Seen {
        time_ns,
        bytes: bytes.to_vec(),
        len,
        stripped: 0,
        link: Some(Link::Ethernet),
        interface: 0,
        ifindex: 0,
        direction: Direction::Ingress,
    }
}

fn read(file: &mut CaptureFile) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(f) = file.next().unwrap() {
        all.push(Seen {
            time_ns: f.time_ns,
            bytes: f.bytes.to_vec(),
            len: f.len,
            stripped: f.stripped,
            link: f.link,
            interface: f.interface,
            ifindex: f.ifindex,
            direction: f.direction,
        });
    }
    all
}

/// Reads it from memory and as a stream, which have to agree.
fn open(bytes: &[u8]) -> (Vec<Seen>, CaptureFile) {
    let mut file = CaptureFile::from_bytes(bytes.to_vec()).unwrap();
    let all = read(&mut file);
    let mut streamed = CaptureFile::from_reader(std::io::Cursor::new(bytes.to_vec()), None).unwrap();
    assert_eq!(read(&mut streamed), all);
    assert_eq!(streamed.interfaces(), file.interfaces());
    assert_eq!(streamed.losses(), file.losses());
    assert_eq!(streamed.size(), None);
    for f in [&streamed, &file] {
        assert_eq!(f.position(), bytes.len() as u64);
        assert_eq!(f.records(), all.len() as u64);
    }
    assert_eq!(file.size(), Some(bytes.len() as u64));
    (all, file)
}

/// Reads one packet of a link type and gives it back.
fn one(link_type: u16, data: &[u8]) -> Seen {
    let mut file = Pcap::new(Order::Little, MICRO, link_type);
    let (mut all, _) = open(&file.record(0, 0, data.len() as u32, data).bytes);
    all.pop().unwrap()
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_all_three_magics() {
    for order in ORDERS {
        for (magic, unit) in [(MICRO, 1000), (NANO, 1), (MODIFIED, 1000)] {
            let mut file = Pcap::new(order, magic, ETHERNET);
            file.record(1_700_000_000, 999_999, 60, &[7; 60]).record(0, 0, 0, &[]).record(u32::MAX, 1, 1500, &[9; 33]);
            let (all, file) = open(&file.bytes);
            assert_eq!(
                all,
                [
                    seen(1_700_000_000_000_000_000 + 999_999 * unit, 60, &[7; 60]),
                    seen(0, 0, &[]),
                    seen(i64::from(u32::MAX) * 1_000_000_000 + unit, 1500, &[9; 33]),
                ],
                "{order:?} {magic:#x}"
            );
            let [interface] = file.interfaces() else { panic!("one interface") };
            assert_eq!((interface.link_type, interface.snaplen, interface.name.as_deref()), (1, 65_535, None));
            let resolution = if unit == 1 { Resolution::NANOSECONDS } else { Resolution::MICROSECONDS };
            assert_eq!(interface.resolution, resolution);
            assert_eq!(*file.losses(), FileLosses::default());
        }
    }
}

#[test]
fn records_out_of_order_stay_in_file_order() {
    let mut file = Pcap::new(Order::Little, NANO, ETHERNET);
    file.record(5, 0, 1, &[1]).record(3, 0, 1, &[2]).record(4, 0, 1, &[3]);
    let (all, _) = open(&file.bytes);
    assert_eq!(all.iter().map(|f| f.time_ns / 1_000_000_000).collect::<Vec<_>>(), [5, 3, 4]);
}

#[test]
fn packets_longer_than_the_declared_snapshot_are_delivered_and_counted() {
    let mut file = Pcap::with(Order::Little, MICRO, ETHERNET, 4, 100);
    file.record(0, 0, 100, &[1; 100]).record(0, 0, 101, &[1; 101]);
    let (all, file) = open(&file.bytes);
    assert_eq!(all[1].bytes.len(), 101);
    assert_eq!(file.losses().over_snaplen, 1);

    let mut file = Pcapng::new(Order::Big);
    file.interface(ETHERNET, 100, &[]).enhanced(0, 0, 101, &[1; 101], &[]);
    assert_eq!(open(&file.bytes).1.losses().over_snaplen, 1);
}

#[test]
fn the_largest_packet_is_delivered() {
    let data = vec![3; 256 * 1024];
    let mut file = Pcap::new(Order::Little, MICRO, ETHERNET);
    assert_eq!(open(&file.record(0, 0, 256 * 1024, &data).bytes).0[0].bytes, data);
}

#[test]
fn a_wire_length_below_the_captured_one_is_mended_and_counted() {
    let mut file = Pcap::new(Order::Little, MICRO, ETHERNET);
    let (all, file) = open(&file.record(0, 0, 0, &[1; 60]).bytes);
    assert_eq!(all, [seen(0, 60, &[1; 60])]);
    assert_eq!(file.losses().length_mended, 1);
}

#[test]
fn lengths_swapped_by_old_writers_are_swapped_back() {
    let mut file = Pcap::with(Order::Big, MICRO, ETHERNET, 3, 0);
    let (all, _) = open(&file.record_claiming(0, 0, 1500, 68, &[1; 68]).bytes);
    assert_eq!(all, [seen(0, 1500, &[1; 68])]);
}

#[test]
fn the_checksum_bits_of_the_pcap_link_type_do_not_hide_it() {
    let mut file = Pcap::new(Order::Little, MICRO, ETHERNET);
    file.bytes[20..24].copy_from_slice(&0x5400_0001_u32.to_le_bytes());
    assert_eq!(open(&file.record(0, 0, 4, &[1; 4]).bytes).0, [seen(0, 4, &[1; 4])]);
}

#[test]
fn pcapng_packets_of_all_three_kinds_are_read_in_both_byte_orders() {
    for order in ORDERS {
        let mut file = Pcapng::new(order);
        file.interface(ETHERNET, 0, &[(2, b"eth0".to_vec())])
            .enhanced(0, 1_700_000_000_123_456, 60, &[1; 57], &[])
            .simple(3, &[2; 3])
            .obsolete(0, 0xffff, 1_700_000_001_000_000, 1500, &[3; 64]);
        let (all, file) = open(&file.bytes);
        assert_eq!(
            all,
            [
                seen(1_700_000_000_123_456_000, 60, &[1; 57]),
                seen(1_700_000_000_123_456_000, 3, &[2; 3]),
                seen(1_700_000_001_000_000_000, 1500, &[3; 64]),
            ],
            "{order:?}"
        );
        assert_eq!(file.interfaces()[0].name.as_deref(), Some("eth0"));
        assert_eq!(*file.losses(), FileLosses { untimed: 1, ..FileLosses::default() });
    }
}

#[test]
fn a_simple_packet_is_cut_at_the_snapshot_length() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 64, &[]).simple(1500, &[1; 64]);
    assert_eq!(open(&file.bytes).0, [seen(0, 1500, &[1; 64])]);
}

#[test]
fn time_resolution_and_offset_are_heeded_in_both_byte_orders() {
    for order in ORDERS {
        let mut file = Pcapng::new(order);
        file.interface(ETHERNET, 0, &[(9, vec![9])])
            .interface(ETHERNET, 0, &[(9, vec![0x80 | 32]), (14, order.u64(1_700_000_000).to_vec())])
            .interface(ETHERNET, 0, &[(9, vec![3]), (14, order.u64(-2_i64 as u64).to_vec())])
            .enhanced(0, 1_700_000_000_000_000_001, 1, &[1], &[])
            .enhanced(1, 3 << 31, 1, &[1], &[])
            .enhanced(2, 500, 1, &[1], &[]);
        let (all, file) = open(&file.bytes);
        assert_eq!(
            all.iter().map(|f| f.time_ns).collect::<Vec<_>>(),
            [1_700_000_000_000_000_001, 1_700_000_001_500_000_000, -1_500_000_000]
        );
        assert_eq!(file.interfaces()[1].resolution, Resolution::Binary(32));
        assert_eq!(file.interfaces()[2].offset_s, -2);
    }
}

#[test]
fn a_time_that_does_not_fit_is_the_nearest_and_counted() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[]).enhanced(0, u64::MAX, 1, &[1], &[]);
    let (all, file) = open(&file.bytes);
    assert_eq!(all[0].time_ns, i64::MAX);
    assert_eq!(file.losses().time_out_of_range, 1);
}

#[test]
fn sections_number_their_interfaces_anew_and_may_change_byte_order() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[(2, b"a".to_vec())])
        .interface(101, 0, &[(2, b"b".to_vec())])
        .enhanced(1, 1, 1, &[1], &[])
        .section(Order::Big)
        .interface(ETHERNET, 0, &[(2, b"c".to_vec())])
        .enhanced(0, 2, 1, &[2], &[])
        .simple(1, &[3])
        .section(Order::Little)
        .interface(ETHERNET, 0, &[(2, b"d".to_vec())])
        .obsolete(0, 0, 3, 1, &[4]);
    let (all, file) = open(&file.bytes);
    assert_eq!(
        all.iter().map(|f| (f.interface, f.time_ns)).collect::<Vec<_>>(),
        [(1, 1000), (2, 2000), (2, 2000), (3, 3000)]
    );
    assert_eq!(all[0].link, Some(Link::Ip));
    let named: Vec<_> = file.interfaces().iter().map(|i| (i.name.clone().unwrap(), i.section)).collect();
    assert_eq!(named, [("a".into(), 0), ("b".into(), 0), ("c".into(), 1), ("d".into(), 2)]);
}

#[test]
fn blocks_without_packets_are_skipped_and_counted_whatever_their_size() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[])
        .block(4, &[0; 4])
        .block(0xbad, &[0; 8])
        .block(10, &vec![0; 3 << 20])
        .block(0x7777, &[])
        .enhanced(0, 0, 2, &[1; 2], &[]);
    let (all, file) = open(&file.bytes);
    assert_eq!(all.len(), 1);
    assert_eq!(file.losses().skipped_blocks, 4);
}

#[test]
fn direction_is_read_from_packet_flags() {
    for order in ORDERS {
        let flags = |bits: u32| vec![(1, b"a comment".to_vec()), (2, order.u32(bits).to_vec())];
        let mut file = Pcapng::new(order);
        file.interface(ETHERNET, 0, &[])
            .enhanced(0, 0, 1, &[1], &flags(2))
            .enhanced(0, 0, 1, &[1], &flags(1))
            .enhanced(0, 0, 1, &[1], &flags(0))
            .enhanced(0, 0, 1, &[1], &flags(3))
            .enhanced(0, 0, 1, &[1], &flags(0xffff_fffe));
        let directions: Vec<_> = open(&file.bytes).0.iter().map(|f| f.direction).collect();
        let (received, sent) = (Direction::Ingress, Direction::Egress);
        assert_eq!(directions, [sent, received, received, received, sent]);
    }
}

#[test]
fn what_the_capturing_program_lost_is_counted_once() {
    for order in ORDERS {
        let drops = |code: u16, n: u64| (code, order.u64(n).to_vec());
        let mut file = Pcapng::new(order);
        file.interface(ETHERNET, 0, &[])
            .interface(ETHERNET, 0, &[])
            .enhanced(0, 0, 1, &[1], &[drops(4, 5)])
            .obsolete(1, 3, 0, 1, &[1])
            .obsolete(1, 0xffff, 0, 1, &[1])
            // Counts since the start: the later block replaces the earlier, and both count what the packets told.
            .statistics(0, &[drops(4, 1000), drops(5, 4), drops(7, 2)])
            .statistics(0, &[drops(5, 6), drops(7, 2)])
            .statistics(9, &[drops(5, 6)]);
        let (_, file) = open(&file.bytes);
        assert_eq!(file.interfaces().iter().map(|i| i.dropped).collect::<Vec<_>>(), [8, 3]);
        assert_eq!(*file.losses(), FileLosses { dropped: 11, ..FileLosses::default() });
    }
}

#[test]
fn interface_names_are_fit_for_a_terminal() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[(2, b"\x1b[31meth\xff\0\0".to_vec())]).interface(
        ETHERNET,
        0,
        &[(2, vec![b'x'; 999])],
    );
    let (_, file) = open(&file.bytes);
    assert_eq!(file.interfaces()[0].name.as_deref(), Some("\u{fffd}[31meth\u{fffd}"));
    assert_eq!(file.interfaces()[1].name.as_ref().unwrap().len(), 256);
}

#[test]
fn raw_ip_is_left_as_it_is() {
    for (link_type, link) in
        [(12, Link::Ip), (14, Link::Ip), (101, Link::Ip), (228, Link::After(0x0800)), (229, Link::After(0x86dd))]
    {
        assert_eq!(one(link_type, &[0x45; 20]), Seen { link: Some(link), ..seen(0, 20, &[0x45; 20]) });
    }
}

#[test]
fn bsd_loopback_headers_are_taken_off() {
    for (link_type, family, ethertype) in [
        (0, [2, 0, 0, 0], 0x0800),
        (0, [0, 0, 0, 2], 0x0800),
        (0, [30, 0, 0, 0], 0x86dd),
        (0, [0, 0, 0, 24], 0x86dd),
        (108, [0, 0, 0, 2], 0x0800),
        (108, [0, 0, 0, 28], 0x86dd),
    ] {
        let frame = one(link_type, &[&family[..], &[0x45; 20]].concat());
        assert_eq!(frame, Seen { link: Some(Link::After(ethertype)), stripped: 4, ..seen(0, 20, &[0x45; 20]) });
    }
}

#[test]
fn cooked_headers_are_taken_off_and_tell_the_direction() {
    for (kind, direction) in [(0, Direction::Ingress), (3, Direction::Ingress), (4, Direction::Egress)] {
        let v1 = [&[0, kind, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x86, 0xdd], &[0x60; 40][..]].concat();
        let want = Seen { link: Some(Link::After(0x86dd)), direction, ..seen(0, 40, &[0x60; 40]) };
        assert_eq!(one(113, &v1), Seen { stripped: 16, ..want.clone() });
        let v2 = [&[0x86, 0xdd, 0, 0, 0, 0, 0, 7, 0, 1, kind, 6, 1, 2, 3, 4, 5, 6, 0, 0], &[0x60; 40][..]].concat();
        assert_eq!(one(276, &v2), Seen { stripped: 20, ifindex: 7, ..want });
    }
}

#[test]
fn a_frame_cut_inside_its_link_header_has_no_bytes_but_its_length() {
    let mut file = Pcap::new(Order::Little, MICRO, 113);
    file.record(0, 0, 100, &[0; 15]).record(0, 0, 9, &[0; 9]);
    let (all, _) = open(&file.bytes);
    assert_eq!(all[0], Seen { link: Some(Link::Ip), stripped: 16, ..seen(0, 84, &[]) });
    assert_eq!(all[1], Seen { link: Some(Link::Ip), stripped: 9, ..seen(0, 0, &[]) });
}

/// A fragment table that remembers nothing.
struct NoFragments;

impl Fragments for NoFragments {
    fn remember(&mut self, _: &FragmentId, _: u32) {}

    fn recall(&mut self, _: &FragmentId) -> Option<u32> {
        None
    }
}

#[test]
fn the_datapath_refuses_a_frame_cut_inside_its_link_header_as_snapped() {
    for link_type in [0, 108, 113, 276] {
        let mut file = Pcap::new(Order::Little, MICRO, link_type);
        let mut file = CaptureFile::from_bytes(file.record(0, 0, 100, &[0; 3]).bytes.clone()).unwrap();
        let captured = file.next().unwrap().unwrap();
        let refused = parse(&FrameBytes(captured.bytes), &captured.frame(1).unwrap(), &mut NoFragments).err();
        assert_eq!(refused, Some(Reason::Snapped));
    }
}

#[test]
fn a_frame_of_an_unknown_link_type_is_delivered_without_a_link() {
    assert_eq!(one(127, &[1; 30]), Seen { link: None, ..seen(0, 30, &[1; 30]) });
}

#[test]
fn a_file_on_disk_and_its_size_are_found() {
    let mut capture = Pcap::new(Order::Little, MICRO, ETHERNET);
    for n in 0..40_000 {
        capture.record(n, 0, 64, &[n as u8; 64]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    std::fs::write(&path, &capture.bytes).unwrap();
    let mut file = CaptureFile::open(&path).unwrap();
    assert_eq!(file.size(), Some(capture.bytes.len() as u64));
    let all = read(&mut file);
    assert!(all.iter().enumerate().all(|(n, f)| f.bytes == [n as u8; 64] && f.time_ns as usize == n * 1_000_000_000));
    assert_eq!(all.len(), 40_000);
}

#[test]
fn the_datapath_gets_what_it_needs_to_know() {
    let mut file = Pcap::new(Order::Little, MICRO, 0);
    let mut file = CaptureFile::from_bytes(file.record(0, 0, 100, &[2; 24]).bytes.clone()).unwrap();
    let captured = file.next().unwrap().unwrap();
    let frame = captured.frame(3).unwrap();
    assert_eq!((frame.link, frame.len, frame.stripped, frame.ifindex), (Link::After(0xffff), 96, 4, 3));
    assert_eq!((frame.segments, frame.segment_size, frame.vlan), (1, 0, None));
}
