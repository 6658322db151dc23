//! What an interface's frames start with, and where it lies among others. Pure rules over what netlink told.
//!
//! Invariant: an interface is called bare IP only where both the tc hooks and a raw packet socket are handed frames
//! that start with an IP header, in both directions.

use hivewall_model::{LinkLayer, Rank};

use super::message::LinkFacts;

/// `ARPHRD_*` (linux/if_arp.h).
mod arphrd {
    pub(super) const ETHER: u16 = 1;
    pub(super) const SLIP: u16 = 256;
    pub(super) const CSLIP6: u16 = 259;
    pub(super) const PPP: u16 = 512;
    pub(super) const RAWIP: u16 = 519;
    pub(super) const TUNNEL: u16 = 768;
    pub(super) const TUNNEL6: u16 = 769;
    pub(super) const LOOPBACK: u16 = 772;
    pub(super) const SIT: u16 = 776;
    pub(super) const IPGRE: u16 = 778;
    pub(super) const IP6GRE: u16 = 823;
    pub(super) const NONE: u16 = 65534;
}

/// The framing of a device type. `kind` is netlink's name for what made the device.
///
/// - Loopback frames have an Ethernet header of zeros.
/// - `NONE` is tun, WireGuard, XFRM and the like; `RAWIP` is a modem's data channel; both are IP from the first byte.
/// - IP tunnels hand over the inner packet. Before Linux 5.14 some left the MAC header offset at the outer packet on
///   receipt, so that tc saw the outer header first; that is below the kernels aimed at. A GRE device without a fixed
///   remote shows the outer IP header as its link header: IP again, and then the flow is the outer one.
/// - `ppp` devices add their protocol field below tc and take it off above, so IP is what is seen. Other makers of
///   `ARPHRD_PPP` devices (synchronous HDLC) leave their header on: refused rather than misread.
/// - Everything else (InfiniBand, CAN, 802.11 monitors, netlink monitors) is not captured.
pub(super) fn link_layer(arphrd: u16, kind: &str) -> LinkLayer {
    match arphrd {
        arphrd::ETHER | arphrd::LOOPBACK => LinkLayer::Ethernet,
        arphrd::NONE
        | arphrd::RAWIP
        | arphrd::TUNNEL
        | arphrd::TUNNEL6
        | arphrd::SIT
        | arphrd::IPGRE
        | arphrd::IP6GRE
        | arphrd::SLIP..=arphrd::CSLIP6 => LinkLayer::Ip,
        arphrd::PPP if kind == "ppp" => LinkLayer::Ip,
        other => LinkLayer::Other(other),
    }
}

/// Kinds that show the same packets as the lower interface they name. Tunnels and MACsec name one as well, but what
/// passes there is encapsulated; a veth names its peer, which is the other end of a cable.
fn is_upper(kind: &str) -> bool {
    matches!(kind, "vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap")
}

/// Kinds that are made of ports even while they have none.
fn is_master(kind: &str) -> bool {
    matches!(kind, "bridge" | "bond" | "team" | "vrf" | "hsr")
}

/// The place of an interface. `has_ports` says whether another one names it as its master.
///
/// Where several fit, what lies below decides: a bond that is a port of a bridge repeats what its own ports show, so
/// it is a master; a VLAN that is a port of a bridge repeats its lower interface, so it is an upper. An upper whose
/// lower interface is in another namespace repeats nothing that this host's agent sees.
pub(super) fn rank(facts: &LinkFacts, has_ports: bool) -> Rank {
    let kind = facts.interface.kind.as_str();
    if is_upper(kind) && facts.has_lower {
        Rank::Upper
    } else if is_master(kind) || has_ports {
        Rank::Master
    } else if facts.master.is_some() {
        Rank::Port
    } else {
        Rank::Plain
    }
}

#[cfg(test)]
mod tests {
    use hivewall_model::Interface;

    use super::*;

    fn placed(kind: &str, master: Option<u32>, has_lower: bool, has_ports: bool) -> Rank {
        let interface = Interface { kind: kind.to_owned(), ..Interface::default() };
        rank(&LinkFacts { interface, master, has_lower, carrier_changes: 0 }, has_ports)
    }

    #[test]
    fn ethernet_loopback_and_bare_ip_are_told_apart() {
        for (number, kind, want) in [
            (1, "veth", LinkLayer::Ethernet),
            (1, "", LinkLayer::Ethernet),
            (772, "", LinkLayer::Ethernet),
            (65534, "tun", LinkLayer::Ip),
            (65534, "wireguard", LinkLayer::Ip),
            (519, "rmnet", LinkLayer::Ip),
            (768, "ipip", LinkLayer::Ip),
            (769, "ip6tnl", LinkLayer::Ip),
            (776, "sit", LinkLayer::Ip),
            (778, "gre", LinkLayer::Ip),
            (823, "ip6gre", LinkLayer::Ip),
            (257, "", LinkLayer::Ip),
            (512, "ppp", LinkLayer::Ip),
            (512, "", LinkLayer::Other(512)),
            (32, "ipoib", LinkLayer::Other(32)),
            (280, "can", LinkLayer::Other(280)),
            (803, "", LinkLayer::Other(803)),
            (824, "nlmon", LinkLayer::Other(824)),
        ] {
            assert_eq!(link_layer(number, kind), want, "{number} {kind}");
        }
    }

    #[test]
    fn a_veth_names_its_peer_and_is_plain_all_the_same() {
        assert_eq!(placed("veth", None, true, false), Rank::Plain);
        assert_eq!(placed("veth", Some(5), true, false), Rank::Port);
    }

    #[test]
    fn stacked_interfaces_are_uppers_only_where_the_lower_one_is_here() {
        for kind in ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"] {
            assert_eq!(placed(kind, None, true, false), Rank::Upper, "{kind}");
            assert_eq!(placed(kind, None, false, false), Rank::Plain, "{kind}");
        }
    }

    #[test]
    fn tunnels_over_an_interface_show_other_packets_than_it() {
        for kind in ["ipip", "gre", "sit", "vxlan", "macsec", "xfrm"] {
            assert_eq!(placed(kind, None, true, false), Rank::Plain, "{kind}");
        }
    }

    #[test]
    fn what_lies_below_decides_where_several_ranks_fit() {
        assert_eq!(placed("bond", Some(9), false, true), Rank::Master);
        assert_eq!(placed("vlan", Some(9), true, false), Rank::Upper);
        assert_eq!(placed("bridge", None, false, false), Rank::Master);
        assert_eq!(placed("openvswitch", None, false, true), Rank::Master);
        assert_eq!(placed("", Some(9), false, false), Rank::Port);
        assert_eq!(placed("", None, false, false), Rank::Plain);
    }
}
