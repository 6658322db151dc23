//! Messages built by another encoder (netlink-packet-route) are read back, and broken ones are refused.
//!
//! Real messages of the running kernel are read by `tests/link_namespace.rs`.

use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Stats64,
};

use super::*;

fn encoded(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn vlan_message() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.header.flags = LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Broadcast;
    let mut stats = Stats64::default();
    stats.rx_packets = 1;
    stats.tx_packets = 2;
    stats.rx_bytes = 3;
    stats.tx_bytes = u64::MAX;
    stats.rx_errors = 5;
    stats.tx_errors = 6;
    stats.rx_dropped = 7;
    stats.tx_dropped = 8;
    stats.rx_missed_errors = 100;
    message.attributes = vec![
        LinkAttribute::IfName("eth0.42".to_owned()),
        LinkAttribute::Mtu(1496),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        LinkAttribute::Link(2),
        LinkAttribute::Controller(9),
        LinkAttribute::CarrierChanges(11),
        LinkAttribute::Stats64(stats),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(42)])),
        ]),
    ];
    message
}

#[test]
fn every_fact_of_a_link_is_read() {
    let facts = link(&encoded(&vlan_message())).unwrap();
    let want = Interface {
        index: 7,
        name: "eth0.42".to_owned(),
        kind: "vlan".to_owned(),
        vlan: 42,
        up: true,
        mtu: 1496,
        mac: vec![2, 0, 0, 0, 0, 1],
        rx_packets: 1,
        tx_packets: 2,
        rx_bytes: 3,
        tx_bytes: u64::MAX,
        rx_errors: 5,
        tx_errors: 6,
        rx_dropped: 107,
        tx_dropped: 8,
        ..Interface::default()
    };
    assert_eq!(facts.interface, want);
    assert_eq!((facts.master, facts.has_lower, facts.carrier_changes), (Some(9), true, 11));
}

#[test]
fn a_lower_interface_in_another_namespace_does_not_count_as_one() {
    let mut message = vlan_message();
    message.attributes.push(LinkAttribute::LinkNetNsId(0));
    assert!(!link(&encoded(&message)).unwrap().has_lower);
}

#[test]
fn without_carrier_a_link_is_not_up() {
    let mut message = vlan_message();
    message.header.flags = LinkFlags::Up;
    assert!(!link(&encoded(&message)).unwrap().interface.up);
}

#[test]
fn the_loopback_and_tunnels_have_no_hardware_address() {
    let mut message = LinkMessage::default();
    message.header.link_layer_type = LinkLayerType::Loopback;
    message.header.flags = LinkFlags::Loopback;
    message.attributes = vec![LinkAttribute::Address(vec![0; 6])];
    let facts = link(&encoded(&message)).unwrap();
    assert!(facts.interface.loopback && facts.interface.mac.is_empty());
    message.header.link_layer_type = LinkLayerType::Tunnel;
    message.attributes = vec![LinkAttribute::Address(vec![10, 0, 0, 1])];
    let interface = link(&encoded(&message)).unwrap().interface;
    assert_eq!((interface.link, interface.mac.len()), (LinkLayer::Ip, 0));
}

#[test]
fn the_host_side_of_a_point_to_point_address_is_taken() {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = 3;
    message.attributes = vec![
        AddressAttribute::Address("10.0.0.2".parse().unwrap()),
        AddressAttribute::Local("10.0.0.1".parse().unwrap()),
    ];
    assert_eq!(address(&encoded(&message)).unwrap(), Some((3, "10.0.0.1".parse().unwrap())));
    message.attributes = vec![AddressAttribute::Address("fd00::1".parse().unwrap())];
    assert_eq!(address(&encoded(&message)).unwrap(), Some((3, "fd00::1".parse().unwrap())));
    message.attributes.clear();
    assert_eq!(address(&encoded(&message)).unwrap(), None);
}

#[test]
fn any_prefix_and_any_changed_byte_gives_facts_or_an_error() {
    let whole = encoded(&vlan_message());
    for len in 0..whole.len() {
        let _ = link(&whole[..len]);
        let _ = address(&whole[..len]);
    }
    for at in 0..whole.len() {
        for value in [0, 1, 3, 4, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let _ = link(&bytes);
            let _ = address(&bytes);
        }
    }
    assert!(link(&[]).is_err() && address(&[0; 7]).is_err());
}
