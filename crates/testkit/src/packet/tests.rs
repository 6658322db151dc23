//! What the builder writes, held against literal bytes and against an independent parser (etherparse).
//!
//! It does not test the product's parser. Invariant: every default packet verifies, every override is seen.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;

fn sliced(bytes: &[u8]) -> SlicedPacket<'_> {
    SlicedPacket::from_ethernet(bytes).expect("an independent parser reads it")
}

/// The header's own sum and, over the pseudo header, the transport's: both must come out as zero.
fn verifies(bytes: &[u8]) -> bool {
    let packet = sliced(bytes);
    let (network_ok, pseudo, payload) = match packet.net.as_ref().expect("IP") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let payload = ip.payload().payload;
            let mut pseudo = [header.source(), header.destination()].concat();
            pseudo.extend_from_slice(&[0, header.protocol().0]);
            pseudo.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            (internet(header.slice()) == 0, pseudo, payload)
        }
        NetSlice::Ipv6(ip) => {
            let payload = ip.payload().payload;
            let mut pseudo = [ip.header().source(), ip.header().destination()].concat();
            pseudo.extend_from_slice(&(payload.len() as u32).to_be_bytes());
            pseudo.extend_from_slice(&[0, 0, 0, ip.payload().ip_number.0]);
            (true, pseudo, payload)
        }
        NetSlice::Arp(_) => panic!("not IP"),
    };
    let pseudo = if matches!(packet.transport, Some(TransportSlice::Icmpv4(_))) { Vec::new() } else { pseudo };
    network_ok && internet(&[pseudo, payload.to_vec()].concat()) == 0
}

#[test]
fn a_default_tcp_frame_is_these_bytes() {
    let bytes = frame().vlan(10).ipv4("10.0.0.1", "10.0.0.2").tcp(1234, 80).flags(SYN).payload(b"ab").build();
    let want = [
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x81, 0, 0, 10, 0x08, 0, // Ethernet, tag
        0x45, 0, 0, 42, 0, 0, 0, 0, 64, 6, 0x66, 0xcc, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
        0x04, 0xd2, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, // TCP
    ];
    assert_eq!(bytes[..want.len()], want);
    assert!(verifies(&bytes));
}

#[test]
fn every_transport_verifies_over_both_families() {
    let v4 = || frame().ipv4("192.0.2.1", "198.51.100.7").id(7).ttl(3).tos(0x2e).options(&[7, 3, 4]);
    let v6 = || frame().ipv6("2001:db8::1", "2001:db8::2").flow_label(0xabcde).tos(1);
    for base in [v4(), v6()] {
        assert!(verifies(&base.clone().tcp(1, 2).flags(0x1ff).options(&[2, 4, 5, 0xb4]).payload(b"odd").build()));
        assert!(verifies(&base.clone().udp(53, 5353).payload_len(33).build()));
        assert!(verifies(&base.udp(53, 5353).build()));
    }
    assert!(verifies(&v4().icmp(8, 0, 0x0001_0002).payload(b"ping").build()));
    assert!(verifies(&v6().icmp6(128, 0, 0x0001_0002).payload(b"ping").build()));
}

#[test]
fn extension_headers_chain_and_the_transport_behind_them_is_found() {
    let bytes = frame()
        .ipv6("2001:db8::1", "2001:db8::2")
        .hop_by_hop()
        .destination_options()
        .routing()
        .ipv6_fragment(0, false, 9)
        .authentication(12)
        .udp(1000, 2000)
        .payload(b"deep")
        .build();
    let packet = sliced(&bytes);
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP found") };
    assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (1000, 2000, &b"deep"[..]));
    assert!(verifies(&bytes));
    let mobile = frame().ipv6("::1", "::2").mobility().build();
    assert_eq!((mobile[20], mobile[54], mobile.len()), (135, 59, 62));
}

#[test]
fn three_tags_of_both_kinds_are_named_by_the_one_before() {
    let bytes = frame().service_vlan(1).vlan(2).vlan(0xe003).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build();
    assert_eq!(bytes[12..26], [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0xe0, 3, 0x08, 0]);
}

#[test]
fn overrides_are_written_as_given() {
    let ip = frame().ipv4("10.0.0.1", "10.0.0.2");
    assert_eq!(ip.clone().length(9).build()[16..18], [0, 9]);
    assert_eq!(ip.clone().header_words(4).build()[14], 0x44);
    assert_eq!(ip.clone().version(7).build()[14], 0x75);
    assert_eq!(ip.clone().checksum(0xbeef).build()[24..26], [0xbe, 0xef]);
    assert_eq!(ip.clone().udp(1, 2).length(3).checksum(4).build()[38..42], [0, 3, 0, 4]);
    assert_eq!(ip.clone().tcp(1, 2).header_words(15).build()[46], 0xf0);
    assert_eq!(ip.clone().protocol(200).payload(b"x").build()[23], 200);
    assert_eq!(ip.fragment(1480, true).reserved().dont_fragment().build()[20..22], [0xe0, 185]);
    let v6 = frame().ipv6("::1", "::2").length(5);
    assert_eq!(v6.clone().build()[18..20], [0, 5]);
    assert_eq!(v6.extension(60, &[0; 6]).length(255).build()[54..56], [59, 255]);
    assert_eq!(frame().protocol(0x1234).build()[12..14], [0x12, 0x34]);
}

#[test]
fn a_wrong_checksum_does_not_verify() {
    assert!(!verifies(&frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).checksum(0x1111).build()));
}

#[test]
fn tunnels_nest_and_both_layers_verify() {
    let inside = bare().ipv4("172.16.0.1", "172.16.0.2").tcp(1, 2).payload(b"in");
    let outer = || frame().ipv4("10.0.0.1", "10.0.0.2");
    let vxlan = outer().vxlan(0x12_3456).ethernet().inner(&inside).build();
    assert!(verifies(&vxlan) && verifies(&vxlan[50..]));
    assert_eq!(vxlan[42..50], [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
    let geneve = outer().geneve(5).options(&[1, 2, 3, 4]).ethernet().inner(&inside).build();
    assert!(verifies(&geneve) && verifies(&geneve[54..]));
    assert_eq!(geneve[42..46], [1, 0, 0x65, 0x58]);
    let gre = outer().gre().gre_checksum().gre_key(7).gre_seq(8).inner(&inside).build();
    assert_eq!(gre[34..38], [0xb0, 0, 0x08, 0]);
    assert_eq!(internet(&gre[34..]), 0);
    assert_eq!(outer().inner(&inside).build()[23], 4);
    assert_eq!(outer().ipv6("::1", "::2").udp(1, 2).build()[23], 41);
    assert_eq!(frame().ipv6("::1", "::2").inner(&inside).build()[20], 4);
}

#[test]
fn sctp_carries_crc32c_least_significant_byte_first() {
    let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").sctp(5, 6, 7).payload(&[1, 0, 0, 4]).build();
    let mut zeroed = bytes[34..].to_vec();
    zeroed[8..12].fill(0);
    assert_eq!(bytes[42..46], crc32c(&zeroed).to_le_bytes());
}

#[test]
fn fragments_put_together_again_are_the_whole() {
    let whole = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload_len(100);
    let pieces = whole.fragments(48, 99);
    assert_eq!(pieces.len(), 3);
    let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece[34..].to_vec()).collect();
    assert_eq!(joined, whole.build()[34..]);
    let offsets: Vec<_> = pieces.iter().map(|p| [p[20], p[21]]).collect();
    assert_eq!(offsets, [[0x20, 0], [0x20, 6], [0, 12]]);
    let six = frame().ipv6("::1", "::2").udp(1, 2).payload_len(100).fragments(48, 99);
    assert_eq!(six[1][54..62], [17, 0, 0, 49, 0, 0, 0, 99]);
}

#[test]
fn arp_and_padding_make_the_smallest_ethernet_frame() {
    let bytes = frame().arp_request("10.0.0.1", "10.0.0.2").pad_to(60).build();
    assert_eq!((bytes.len(), &bytes[12..22]), (60, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1][..]));
    let padded = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).pad_to(60).build();
    assert_eq!((padded.len(), &padded[16..18]), (60, &[0, 28][..]));
    assert!(verifies(&padded));
}

#[test]
#[should_panic(expected = "`flags` does not fit the last layer")]
fn a_change_after_the_wrong_layer_says_so() {
    let _ = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).flags(SYN);
}
