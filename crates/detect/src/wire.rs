//! What detectors know of addresses, protocols and ports.
//!
//! Facts by the registries alone; what is made of them is each detector's own.

use std::net::IpAddr;

use hivewall_model::{Pulse, Tuple};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// UDP services that send far more than they are asked for, when their address is open to everybody (US-CERT TA14-017A and
/// what was found since), by port.
pub(crate) const REFLECTORS: &[(u16, &str)] = &[
    (17, "QOTD"),
    (19, "Chargen"),
    (53, "DNS"),
    (69, "TFTP"),
    (111, "Portmap"),
    (123, "NTP"),
    (137, "NetBIOS"),
    (161, "SNMP"),
    (177, "XDMCP"),
    (389, "CLDAP"),
    (427, "SLP"),
    (500, "ISAKMP"),
    (520, "RIP"),
    (623, "IPMI"),
    (1434, "MS SQL"),
    (1604, "Citrix ICA"),
    (1701, "L2TP"),
    (1900, "SSDP"),
    (3283, "Apple Remote Desktop"),
    (3389, "RDP"),
    (3478, "STUN"),
    (3702, "WS-Discovery"),
    (4500, "ISAKMP behind NAT"),
    (5060, "SIP"),
    (5093, "Sentinel"),
    (5353, "mDNS"),
    (5683, "CoAP"),
    (6881, "BitTorrent"),
    (10001, "Ubiquiti"),
    (11211, "memcached"),
    (20811, "DVR"),
    (27015, "Source engine"),
    (30120, "FiveM"),
    (32414, "Plex"),
    (33848, "Jenkins"),
    (37810, "DVR DHCP"),
];

/// Name of the service at a reflector's port.
pub(crate) fn reflector(port: u16) -> Option<&'static str> {
    REFLECTORS.iter().find(|(number, _)| *number == port).map(|(_, name)| *name)
}

/// Whether it is the address of one host that could be called: no group, no broadcast, no loopback, not unspecified.
pub(crate) fn is_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_multicast() || address.is_loopback() || address.is_unspecified() || is_broadcast)
}

/// Whether it is an address of the public Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    is_host(address)
        && match address {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                let is_shared = a == 100 && b & 0xc0 == 64;
                !(v4.is_private() || v4.is_link_local() || is_shared || a >= 240 || a == 0)
            }
            IpAddr::V6(v6) => v6.segments().first().is_some_and(|first| first & 0xe000 == 0x2000),
        }
}

/// Whether it is a flow of echo requests and replies.
pub(crate) fn is_echo(tuple: &Tuple) -> bool {
    match tuple.protocol {
        ICMP => matches!(tuple.client_port, 0 | 8),
        ICMPV6 => matches!(tuple.client_port, 128 | 129),
        _ => false,
    }
}

/// Who sends in a flow in which one side sends alone: sender, its port, receiver, its port.
pub(crate) fn one_sided(pulse: &Pulse) -> Option<((IpAddr, u16), (IpAddr, u16))> {
    let tuple = &pulse.tuple;
    let (client, server) = ((tuple.client, tuple.client_port), (tuple.server, tuple.server_port));
    match (pulse.to_server.packets, pulse.to_client.packets) {
        (0, 0) => None,
        (_, 0) => Some((client, server)),
        (0, _) => Some((server, client)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, host, ip};

    #[test]
    fn addresses_are_told_apart() {
        for text in ["224.0.0.251", "255.255.255.255", "127.0.0.1", "0.0.0.0", "ff02::1", "::1", "::"] {
            assert!(!is_host(ip(text)) && !is_public(ip(text)), "{text}");
        }
        for text in ["10.1.2.3", "192.168.1.1", "172.31.0.1", "100.64.0.1", "169.254.1.1", "fe80::1", "fd00::1"] {
            assert!(is_host(ip(text)) && !is_public(ip(text)), "{text}");
        }
        for text in ["8.8.8.8", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(ip(text)), "{text}");
        }
    }

    #[test]
    fn the_side_that_sends_alone_is_found_whatever_its_role() {
        let (a, b) = ((host(1), 4000), (host(2), 53));
        assert_eq!(one_sided(&Make::udp(a, b, (1, 60), (0, 0)).0), Some((a, b)));
        assert_eq!(one_sided(&Make::udp(a, b, (0, 0), (1, 60)).0), Some((b, a)));
        assert_eq!(one_sided(&Make::udp(a, b, (1, 60), (1, 60)).0), None);
    }
}
