//! Damaged, cut and hostile captures: all whole records, one error that says where, no panic, no large allocation.
//!
//! Also the second opinion: on captures written at random, `pcap-parser` sees the same packets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod file_write;

use file_write::{ETHERNET, MICRO, MODIFIED, NANO, ORDERS, Order, Pcap, Pcapng};
use hivewall_host::file::{CAPTURED_BYTES_MAX, CaptureFile, Fault, FileError, INTERFACES_MAX};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader};
use proptest::prelude::*;

/// Whole records, and the error at the end if there is one.
fn read(bytes: &[u8]) -> (u64, Option<FileError>) {
    let memory = drain(CaptureFile::from_bytes(bytes.to_vec()), bytes.len());
    let stream = drain(CaptureFile::from_reader(std::io::Cursor::new(bytes.to_vec()), None), bytes.len());
    assert_eq!(memory.0, stream.0);
    assert_eq!(memory.1.as_ref().map(ToString::to_string), stream.1.map(|e| e.to_string()));
    memory
}

fn drain(file: Result<CaptureFile, FileError>, size: usize) -> (u64, Option<FileError>) {
    let mut file = match file {
        Ok(file) => file,
        Err(error) => return (0, Some(error)),
    };
    let mut records = 0;
    loop {
        match file.next() {
            Ok(Some(frame)) => {
                assert!(frame.len as usize >= frame.bytes.len());
                assert!((frame.interface as usize) < INTERFACES_MAX);
                records += 1;
                // Each record has at least twelve bytes of its own: more of them would mean that one came twice.
                assert!(records * 12 <= size as u64, "more records than bytes");
            }
            Ok(None) => return (records, None),
            Err(error) => {
                assert_eq!(file.records(), records);
                assert!(file.next().unwrap().is_none(), "an error is given once");
                assert!(file.position() <= size as u64);
                return (records, Some(error));
            }
        }
    }
}

fn fault(bytes: &[u8]) -> (u64, Fault) {
    match read(bytes) {
        (_, Some(FileError::Broken { offset, fault, .. })) => (offset, fault),
        other => panic!("{other:?}"),
    }
}

/// Cuts a capture at every byte; `ends` are the offsets behind each whole record, `clean` those a file may end at.
fn cut_everywhere(bytes: &[u8], ends: &[usize], clean: &[usize]) {
    for n in 0..=bytes.len() {
        let whole = ends.iter().filter(|&&end| end <= n).count() as u64;
        let (records, error) = read(&bytes[..n]);
        assert_eq!(records, whole, "cut at {n}");
        match error {
            None => assert!(clean.contains(&n), "cut at {n} went unnoticed"),
            Some(FileError::Empty) => assert_eq!(n, 0),
            Some(FileError::CutOff { offset, records }) => {
                assert!(!clean.contains(&n), "cut at {n}");
                let before = clean.iter().filter(|&&end| end <= n).max().copied().unwrap_or(0);
                assert_eq!((offset, records), (before as u64, whole), "cut at {n}");
            }
            Some(other) => panic!("cut at {n}: {other}"),
        }
    }
}

#[test]
fn a_pcap_cut_at_any_byte_gives_its_whole_records_and_says_so() {
    for order in ORDERS {
        for magic in [MICRO, NANO, MODIFIED] {
            let mut file = Pcap::new(order, magic, ETHERNET);
            let mut ends = Vec::new();
            for n in [60, 0, 14, 61] {
                file.record(1, 2, 1500, &vec![n as u8; n]);
                ends.push(file.bytes.len());
            }
            let clean: Vec<_> = [24].into_iter().chain(ends.iter().copied()).collect();
            cut_everywhere(&file.bytes, &ends, &clean);
        }
    }
}

/// Whether it writes a packet, and what it writes.
type Step<'a> = (bool, &'a dyn Fn(&mut Pcapng));

#[test]
fn a_pcapng_cut_at_any_byte_gives_its_whole_records_and_says_so() {
    for order in ORDERS {
        let mut file = Pcapng::new(order);
        let (mut ends, mut clean) = (Vec::new(), vec![file.bytes.len()]);
        let comment = (1, b"seen".to_vec());
        let steps: [Step<'_>; 8] = [
            (false, &|f| {
                f.interface(ETHERNET, 0, &[(2, b"eth0".to_vec()), (9, vec![9])]);
            }),
            (true, &|f| {
                f.enhanced(0, 1, 60, &[1; 57], std::slice::from_ref(&comment));
            }),
            (true, &|f| {
                f.simple(5, &[1; 5]);
            }),
            (false, &|f| {
                f.block(4, &[0; 16]);
            }),
            (true, &|f| {
                f.obsolete(0, 1, 1, 9, &[1; 9]);
            }),
            (false, &|f| {
                f.statistics(0, &[(5, f.order.u64(1).to_vec())]);
            }),
            (false, &|f| {
                f.section(Order::Big).interface(ETHERNET, 0, &[]);
            }),
            (true, &|f| {
                f.enhanced(0, 1, 0, &[], &[]);
            }),
        ];
        for (packet, step) in steps {
            let before = file.bytes.len();
            step(&mut file);
            if packet {
                ends.push(file.bytes.len());
            }
            // The step with two blocks may also end cleanly between them.
            let mut at = before;
            while at < file.bytes.len() {
                let length = file.bytes[at + 4..at + 8].try_into().unwrap();
                at += if file.order == Order::Big { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) }
                    as usize;
                clean.push(at);
            }
        }
        cut_everywhere(&file.bytes, &ends, &clean);
    }
}

#[test]
fn a_record_of_absurd_length_is_an_error_with_its_offset() {
    for order in ORDERS {
        for claimed in [CAPTURED_BYTES_MAX + 1, 0x7fff_ffff, u32::MAX] {
            let mut file = Pcap::new(order, MICRO, ETHERNET);
            file.record(0, 0, 4, &[1; 4]).record_claiming(0, 0, claimed, claimed, &[1; 64]);
            let (records, error) = read(&file.bytes);
            assert_eq!(records, 1);
            let error = error.unwrap();
            assert!(
                matches!(error, FileError::TooLong { offset: 44, records: 1, captured } if captured == claimed),
                "{error}"
            );
            assert!(error.to_string().contains("byte 44"), "{error}");
        }
    }
}

#[test]
fn hostile_lengths_in_pcapng_are_named() {
    for order in ORDERS {
        let mut file = Pcapng::new(order);
        file.interface(ETHERNET, 0, &[]);
        let start = file.bytes.len();
        let with = |at: usize, value: u32| {
            let mut file = Pcapng { order, bytes: file.bytes.clone() };
            file.enhanced(0, 0, 8, &[1; 8], &[]);
            file.bytes[start + at..start + at + 4].copy_from_slice(&order.u32(value));
            file.bytes
        };
        for length in [0, 4, 8, 11, 13, 41, u32::MAX] {
            assert_eq!(fault(&with(4, length)), (start as u64, Fault::Length { length }));
        }
        assert_eq!(fault(&with(4, 0xffff_fffc)).1, Fault::TooLarge { length: 0xffff_fffc });
        assert_eq!(fault(&with(4, 36)).1, Fault::Lengths { leading: 36, trailing: 0x0101_0101 });
        assert_eq!(fault(&with(36, 44)).1, Fault::Lengths { leading: 40, trailing: 44 });
        assert_eq!(fault(&with(8, 1)).1, Fault::NoInterface { interface: 1, described: 1 });
        assert_eq!(fault(&with(8, u32::MAX)).1, Fault::NoInterface { interface: u32::MAX, described: 1 });
        assert_eq!(fault(&with(20, 9)).1, Fault::Overrun { captured: 9, length: 40 });
        for captured in [CAPTURED_BYTES_MAX + 1, u32::MAX - 3, u32::MAX] {
            assert!(matches!(read(&with(20, captured)).1, Some(FileError::TooLong { .. })));
        }
        // A block of unknown type may have any length: the file just ends inside it.
        let mut unknown = with(4, 0xffff_fffc);
        unknown[start..start + 4].copy_from_slice(&order.u32(0x5555));
        assert!(matches!(read(&unknown).1, Some(FileError::CutOff { .. })));
    }
}

#[test]
fn blocks_too_short_for_their_fields_are_named() {
    for order in ORDERS {
        for (kind, body) in [(1, 4), (2, 16), (3, 0), (6, 16)] {
            let mut file = Pcapng::new(order);
            file.interface(ETHERNET, 0, &[]).block(kind, &vec![0; body]);
            assert_eq!(fault(&file.bytes).1, Fault::Short { kind });
        }
        let mut file = Pcapng { order, bytes: Vec::new() };
        file.block(0x0a0d_0d0a, &order.u32(0x1a2b_3c4d));
        assert_eq!(fault(&file.bytes).1, Fault::Short { kind: 0x0a0d_0d0a });
    }
}

#[test]
fn a_simple_packet_before_any_interface_is_an_error() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[]).section(Order::Little).simple(1, &[1]);
    assert_eq!(fault(&file.bytes).1, Fault::NoInterface { interface: 0, described: 0 });
}

#[test]
fn a_simple_packet_that_does_not_fit_is_an_error() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[]).simple(64, &[1; 60]);
    assert_eq!(fault(&file.bytes).1, Fault::Overrun { captured: 64, length: 76 });
}

#[test]
fn a_section_header_of_no_byte_order_is_an_error() {
    let mut file = Pcapng::new(Order::Little);
    file.bytes[8] ^= 1;
    assert_eq!(fault(&file.bytes), (0, Fault::ByteOrder));
}

#[test]
fn versions_nobody_wrote_are_refused() {
    let mut file = Pcap::new(Order::Little, MICRO, ETHERNET);
    file.bytes[4] = 3;
    assert!(matches!(read(&file.bytes).1, Some(FileError::Version { format: "pcap", major: 3, minor: 4 })));
    let mut file = Pcapng::new(Order::Big);
    file.bytes[13] = 2;
    assert!(matches!(read(&file.bytes).1, Some(FileError::Version { format: "pcapng", major: 2, minor: 0 })));
}

#[test]
fn broken_options_lose_the_options_and_not_the_packet() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(ETHERNET, 0, &[]);
    let mut body = [0_u32, 0, 7, 4, 4].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    body.extend([1, 2, 3, 4, 2, 0, 0xff, 0xff]);
    file.block(6, &body);
    assert!(matches!(read(&file.bytes), (1, None)));
}

#[test]
fn interfaces_without_end_are_refused() {
    let mut file = Pcapng::new(Order::Little);
    for _ in 0..=INTERFACES_MAX {
        file.interface(ETHERNET, 0, &[]);
    }
    assert_eq!(fault(&file.bytes).1, Fault::TooManyInterfaces);
}

#[test]
fn what_is_no_capture_is_named_with_what_to_do() {
    for (bytes, words) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "zcat FILE | hivewall replay -"),
        (b"10:00:00.1 IP 10.0.0.1 > 10.0.0.2", "tcpdump -w"),
        (b"\x7fELF\x02\x01\x01", "ELF"),
        (b"\x01\x02\x03\x04\x05\x06", "01 02 03 04"),
    ] {
        let error = read(bytes).1.unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = CaptureFile::open("no/such/file.pcap").unwrap_err().to_string();
    assert!(error.contains("no/such/file.pcap"), "{error}");
}

#[test]
fn a_directory_is_an_error_and_not_an_empty_capture() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(CaptureFile::open(dir.path()), Err(FileError::Read { offset: 0, .. })));
}

/// Length on the wire and captured bytes of each packet.
type Packets = Vec<(u32, Vec<u8>)>;

fn ours(bytes: &[u8]) -> Packets {
    let mut file = CaptureFile::from_bytes(bytes.to_vec()).unwrap();
    let mut all = Vec::new();
    while let Some(frame) = file.next().unwrap() {
        all.push((frame.len, frame.bytes.to_vec()));
    }
    all
}

fn theirs(mut reader: impl PcapReaderIterator) -> Packets {
    let mut all = Vec::new();
    loop {
        let used = match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::Legacy(p) => all.push((p.origlen, p.data.to_vec())),
                    PcapBlockOwned::NG(Block::EnhancedPacket(p)) => {
                        all.push((p.origlen, p.data[..p.caplen as usize].to_vec()));
                    }
                    _ => {}
                }
                used
            }
            Err(PcapError::Eof) => return all,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().unwrap();
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        reader.consume(used);
    }
}

fn packets() -> impl Strategy<Value = Packets> {
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    let packet = (data, 0_u32..2000).prop_map(|(data, more)| (data.len() as u32 + more, data));
    proptest::collection::vec(packet, 0..40)
}

/// A sound capture in which some bytes were changed, so that the changes reach beyond the magic number.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12);
    (packets(), any::<bool>(), any::<bool>(), 0_u16..300, changes).prop_map(|(packets, big, ng, link_type, changes)| {
        let order = if big { Order::Big } else { Order::Little };
        let mut bytes = if ng { pcapng(order, link_type, &packets) } else { pcap(order, link_type, &packets) };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes
    })
}

fn pcap(order: Order, link_type: u16, packets: &Packets) -> Vec<u8> {
    let mut file = Pcap::new(order, MICRO, link_type);
    for (len, data) in packets {
        file.record(1, 2, *len, data);
    }
    file.bytes
}

fn pcapng(order: Order, link_type: u16, packets: &Packets) -> Vec<u8> {
    let mut file = Pcapng::new(order);
    file.interface(link_type, 0, &[(2, b"eth0".to_vec()), (9, vec![9])]);
    for (n, (len, data)) in packets.iter().enumerate() {
        match n % 4 {
            3 => file.block(0x1234, data.get(..data.len() / 4 * 4).unwrap_or_default()),
            2 => file.enhanced(0, 5, *len, data, &[(2, order.u32(2).to_vec())]),
            _ => file.enhanced(0, 5, *len, data, &[]),
        };
    }
    file.bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn arbitrary_bytes_behind_a_file_header_never_panic_and_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        big in any::<bool>(),
    ) {
        let order = if big { Order::Big } else { Order::Little };
        read(&[pcap(order, 113, &Vec::new()), bytes.clone()].concat());
        read(&[pcapng(order, 1, &Vec::new()), bytes].concat());
    }

    #[test]
    fn damaged_captures_never_panic_and_end(bytes in damaged()) {
        read(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pcap_parser_sees_the_same_packets(packets in packets(), big in any::<bool>()) {
        let order = if big { Order::Big } else { Order::Little };
        let classic = pcap(order, 1, &packets);
        prop_assert_eq!(ours(&classic), theirs(LegacyPcapReader::new(1 << 20, &classic[..]).unwrap()));
        let ng = pcapng(order, 1, &packets);
        prop_assert_eq!(ours(&ng), theirs(PcapNGReader::new(1 << 20, &ng[..]).unwrap()));
    }
}
