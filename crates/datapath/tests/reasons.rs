//! Every reason, provoked: a frame that gives it, its nearest neighbour that does not, and the same bytes where they
//! mean something else.
//!
//! `InnerUnread` is in `tunnel.rs`; those that need more than a frame (`Segments`, `UnknownLink`, `NoCache`,
//! `ImpossibleLength`) are provoked in `hivewall-soft`. Invariant: each other reason appears in [`CASES`].
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shared;

use hivewall_datapath::Reason::{self, *};
use hivewall_datapath::parse::parse;
use hivewall_datapath::{Frame, FrameBytes};
use hivewall_testkit::packet::{Packet, frame};
use shared::{Memory, ethernet, read};

/// A frame refused for a reason, the nearest one that is read, and the same mistake under another protocol, where it
/// is none (or another).
struct Case {
    reason: Reason,
    refused: Vec<u8>,
    read: Vec<u8>,
    elsewhere: (Vec<u8>, Option<Reason>),
}

fn v4() -> Packet {
    frame().ipv4("10.0.0.1", "10.0.0.2")
}

fn v6() -> Packet {
    frame().ipv6("fd00::1", "fd00::2")
}

fn udp(packet: Packet) -> Vec<u8> {
    packet.udp(1, 2).payload_len(8).build()
}

fn cut(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.truncate(len);
    bytes
}

/// Under another EtherType, at 12.
fn under(ethertype: u16, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
    bytes
}

fn link_cases() -> Vec<Case> {
    let good = || udp(v4());
    let tags = |count| udp((0..count).fold(frame(), Packet::vlan).ipv4("10.0.0.1", "10.0.0.2"));
    let case = |reason, refused, elsewhere| Case { reason, refused, read: good(), elsewhere };
    vec![
        case(ShortEthernet, vec![0; 13], (cut(tags(1), 17), Some(ShortEthernet))),
        Case { read: tags(2), ..case(TooManyTags, tags(3), (under(0x0800, tags(3)), Some(BadIpv4Header))) },
        case(Arp, frame().arp_request("10.0.0.1", "10.0.0.2").build(), (under(0x88cc, good()), Some(OtherEtherType))),
        case(Llc, under(0x05ff, good()), (under(0x0600, good()), Some(OtherEtherType))),
        case(Mpls, under(0x8847, good()), (under(0x8848, good()), Some(Mpls))),
        case(OtherEtherType, under(0x88cc, good()), (under(0x0000, good()), Some(Llc))),
    ]
}

fn network_cases() -> Vec<Case> {
    let chain = |length| v6().extension(60, &[1, 4, 0, 0, 0, 0]).length(length).udp(1, 2).build();
    vec![
        Case {
            reason: BadIpv4Header,
            refused: udp(v4().header_words(4)),
            read: udp(v4().header_words(5)),
            elsewhere: (under(0x86dd, udp(v4().header_words(4))), Some(BadIpv6Header)),
        },
        Case {
            reason: BadIpv4Header,
            refused: udp(v4().version(6)),
            read: udp(v4().version(4)),
            elsewhere: (cut(udp(v4()), 33), Some(BadIpv4Header)),
        },
        Case {
            reason: BadIpv4Header,
            refused: v4().header_words(15).protocol(253).payload_len(8).build(),
            read: v4().header_words(7).protocol(253).payload_len(8).build(),
            elsewhere: (v4().header_words(7).udp(1, 2).payload_len(8).build(), Some(BadUdpHeader)),
        },
        Case {
            reason: BadIpv4Length,
            refused: udp(v4().length(37)),
            read: udp(v4().length(36)),
            elsewhere: (udp(v4().length(19)), Some(BadIpv4Length)),
        },
        Case {
            reason: BadIpv6Header,
            refused: udp(v6().version(4)),
            read: udp(v6().version(6)),
            elsewhere: (cut(udp(v6()), 53), Some(BadIpv6Header)),
        },
        Case {
            reason: BadIpv6Length,
            refused: udp(v6().length(17)),
            read: udp(v6().length(16)),
            elsewhere: (udp(v6().length(1)), Some(BadUdpHeader)),
        },
        Case {
            reason: BadIpv6Extension,
            refused: chain(2),
            read: chain(0),
            // The same bytes behind a number that is no extension header are not looked at.
            elsewhere: (v6().protocol(253).payload(&[17, 9, 1, 4, 0, 0, 0, 0]).build(), None),
        },
        Case {
            reason: BadIpv6Extension,
            refused: v6().protocol(60).payload(&[17, 0, 1, 4, 0, 0, 0]).build(),
            read: v6().protocol(60).payload(&[59, 0, 1, 4, 0, 0, 0, 0]).build(),
            elsewhere: (v4().protocol(60).payload(&[17, 0, 1, 4, 0, 0, 0]).build(), None),
        },
        Case {
            reason: TooManyExtensions,
            refused: udp((0..9).fold(v6(), |packet, _| packet.routing())),
            read: udp((0..8).fold(v6(), |packet, _| packet.routing())),
            elsewhere: (udp(v6().extension(60, &[0; 510])), Some(TooManyExtensions)),
        },
    ]
}

fn transport_cases() -> Vec<Case> {
    let tcp = |words| v4().tcp(1, 2).header_words(words).payload_len(4).build();
    let bytes = |proto, len| v4().protocol(proto).payload_len(len).build();
    vec![
        Case { reason: BadTcpHeader, refused: tcp(4), read: tcp(5), elsewhere: (tcp(6), None) },
        Case { reason: BadTcpHeader, refused: tcp(7), read: tcp(6), elsewhere: (bytes(253, 24), None) },
        Case {
            reason: BadTcpHeader,
            refused: cut(v4().length(33).tcp(1, 2).build(), 47),
            read: v4().tcp(1, 2).build(),
            elsewhere: (bytes(132, 13), None),
        },
        Case {
            reason: BadUdpHeader,
            refused: v4().udp(1, 2).length(7).build(),
            read: v4().udp(1, 2).length(8).build(),
            elsewhere: (v4().protocol(136).payload(&[0, 1, 0, 2, 0, 7, 0, 0]).build(), None),
        },
        Case {
            reason: BadUdpHeader,
            refused: v4().protocol(17).payload(&[0, 1, 0, 2, 0, 8, 0]).build(),
            read: v4().protocol(17).payload(&[0, 1, 0, 2, 0, 8, 0, 0]).build(),
            elsewhere: (v4().protocol(1).payload(&[0, 1, 0, 2, 0, 8, 0]).build(), None),
        },
        Case { reason: BadIcmpHeader, refused: bytes(1, 3), read: bytes(1, 4), elsewhere: (bytes(2, 3), None) },
        Case {
            reason: BadIcmpHeader,
            refused: v6().protocol(58).payload_len(3).build(),
            read: v6().protocol(58).payload_len(4).build(),
            elsewhere: (v6().protocol(59).payload_len(3).build(), None),
        },
        Case {
            reason: BadTransportHeader,
            refused: bytes(132, 7),
            read: bytes(132, 8),
            elsewhere: (bytes(50, 7), None),
        },
        Case { reason: BadTransportHeader, refused: bytes(33, 7), read: bytes(33, 8), elsewhere: (bytes(34, 7), None) },
        Case {
            reason: BadTransportHeader,
            refused: bytes(136, 7),
            read: bytes(136, 8),
            elsewhere: (bytes(137, 7), None),
        },
    ]
}

fn fragment_cases() -> Vec<Case> {
    let first = |offset, len| v4().fragment(offset, true).protocol(6).payload(&[0x50; 24][..len]).build();
    let v6_first = |proto| v6().ipv6_fragment(0, true, 1).protocol(proto).payload_len(8).build();
    vec![
        Case {
            reason: ShortFirstFragment,
            refused: first(0, 16),
            read: first(0, 24),
            // A later fragment has no header to hold, and a whole packet is plainly wrong.
            elsewhere: (first(24, 16), None),
        },
        Case {
            reason: ShortFirstFragment,
            refused: v6_first(6),
            read: v6_first(132),
            elsewhere: (v6().protocol(6).payload_len(8).build(), Some(BadTcpHeader)),
        },
        Case {
            reason: OverlappingFragment,
            refused: first(16, 8),
            read: first(24, 8),
            // A datagram header is over by then.
            elsewhere: (v4().fragment(8, true).protocol(17).payload_len(8).build(), None),
        },
        Case {
            reason: OverlappingFragment,
            refused: v6().ipv6_fragment(8, true, 1).protocol(6).payload_len(8).build(),
            read: v6().ipv6_fragment(24, true, 1).protocol(6).payload_len(8).build(),
            elsewhere: (v6().ipv6_fragment(8, true, 1).protocol(17).payload_len(8).build(), None),
        },
    ]
}

fn cases() -> Vec<Case> {
    [link_cases(), network_cases(), transport_cases(), fragment_cases()].into_iter().flatten().collect()
}

#[test]
fn each_reason_has_a_frame_that_gives_it_and_a_neighbour_that_does_not() {
    for (at, case) in cases().iter().enumerate() {
        let name = format!("case {at}: {}", case.reason.label());
        assert_eq!(read(&case.refused).err(), Some(case.reason), "{name}");
        assert_eq!(read(&case.read).err(), None, "{name}: its neighbour");
        assert_eq!(read(&case.elsewhere.0).err(), case.elsewhere.1, "{name}: elsewhere");
    }
}

#[test]
fn no_reason_is_without_a_case() {
    let elsewhere = [UnknownLink, Snapped, InnerUnread, Segments, NoCache, ImpossibleLength];
    let cases = cases();
    for reason in Reason::ALL {
        assert_ne!(cases.iter().any(|case| case.reason == *reason), elsewhere.contains(reason), "{}", reason.label());
    }
}

#[test]
fn numbers_and_labels_of_reasons_are_unique_and_found_again() {
    for (at, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, at + 1, "numbers have no gaps: they are bits 0–15 of a tally's key");
        assert_eq!(Reason::from_number(*reason as u32), Some(*reason));
        assert!(Reason::ALL[..at].iter().all(|other| other.label() != reason.label()));
        assert!(reason.doc().ends_with('.') && !reason.doc().is_empty(), "{}", reason.label());
    }
    assert_eq!((Reason::from_number(0), Reason::from_number(Reason::ALL.len() as u32 + 1)), (None, None));
    // Refusals of an extension walk cross a function border of the kernel in five bits.
    assert!(Reason::ALL.len() < 32);
}

#[test]
fn a_refusal_does_not_depend_on_how_much_was_captured_unless_it_says_so() {
    for case in cases() {
        for kept in 0..case.refused.len() {
            let told = parse(&FrameBytes(&case.refused[..kept]), &ethernet(case.refused.len()), &mut Memory::default());
            assert!([Some(case.reason), Some(Snapped)].contains(&told.err()), "{} at {kept}", case.reason.label());
        }
    }
}

#[test]
fn a_short_first_fragment_leaves_nothing_to_inherit() {
    let mut memory = Memory::default();
    let mut see = |bytes: Vec<u8>| parse(&FrameBytes(&bytes), &ethernet(bytes.len()), &mut memory);
    let short = v4().fragment(0, true).protocol(6).payload_len(8).build();
    assert_eq!(see(short).err(), Some(ShortFirstFragment));
    let later = see(v4().fragment(24, false).protocol(6).payload_len(40).build());
    assert!(later.unwrap().packet.key.is_portless());
}

#[test]
fn bytes_beyond_the_length_of_the_frame_are_not_the_frame() {
    // A capture may hold more bytes than its length says; those are not on the wire.
    let bytes = udp(v4());
    for len in 0..bytes.len() {
        let frame = Frame { len: len as u32, ..ethernet(len) };
        let told = parse(&FrameBytes(&bytes), &frame, &mut Memory::default());
        assert_eq!(told, parse(&FrameBytes(&bytes[..len]), &frame, &mut Memory::default()), "{len}");
        assert!(told.is_err());
    }
}
