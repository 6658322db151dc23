//! From one netlink message to the facts of a link or an address. Only the attributes that are needed are looked at,
//! so a newer kernel's new attributes, or a longer form of an old one, cannot break it and cost nothing.
//!
//! It talks to no socket. Invariant: any bytes give facts or an error, never a panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hivewall_model::{Interface, LinkLayer};
use netlink_packet_core::NlasIterator;

use super::{LinkError, layer};

/// `struct ifinfomsg` and `struct ifaddrmsg` (linux/rtnetlink.h, linux/if_addr.h).
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;
/// `IFLA_VLAN_ID` within the VLAN kind's own data (linux/if_link.h).
const VLAN_ID: u16 = 1;

/// An interface, and what decides its place among others.
#[derive(Debug, Default)]
pub(super) struct LinkFacts {
    pub(super) interface: Interface,
    /// Index of the bridge, bond or the like that it is a port of.
    pub(super) master: Option<u32>,
    /// Whether it names a lower interface that is in this namespace.
    pub(super) has_lower: bool,
    /// How often the carrier came or went: a new link speed comes with a new count.
    pub(super) carrier_changes: u32,
}

/// `IFLA_XDP_PROG_ID` (linux/if_link.h), and the numbers it has where two hooks of one interface have a program each.
const XDP_PROGRAM_IDS: std::ops::RangeInclusive<u16> = 4..=7;

/// The interface of an `RTM_NEWLINK` message and the XDP program on it, if there is one.
pub(super) fn xdp_program(payload: &[u8]) -> Result<Option<(u32, u32)>, LinkError> {
    let broken = |why| LinkError::Malformed { what: "links", why };
    let (header, attributes) =
        payload.split_first_chunk::<LINK_HEADER_BYTES>().ok_or(broken("a link without its header"))?;
    let [_, _, _, _, i0, i1, i2, i3, ..] = *header;
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| broken("a broken attribute"))?;
        if attribute.kind() & libc::NLA_TYPE_MASK as u16 != libc::IFLA_XDP {
            continue;
        }
        for inner in NlasIterator::new(attribute.value()) {
            let inner = inner.map_err(|_| broken("a broken attribute"))?;
            if XDP_PROGRAM_IDS.contains(&inner.kind()) {
                return Ok(Some((u32::from_ne_bytes([i0, i1, i2, i3]), word(inner.value()))));
            }
        }
    }
    Ok(None)
}

/// Reads an `RTM_NEWLINK` message.
pub(super) fn link(payload: &[u8]) -> Result<LinkFacts, LinkError> {
    let broken = |why| LinkError::Malformed { what: "links", why };
    let (header, attributes) =
        payload.split_first_chunk::<LINK_HEADER_BYTES>().ok_or(broken("a link without its header"))?;
    let [_, _, t0, t1, i0, i1, i2, i3, f0, f1, f2, f3, _, _, _, _] = *header;
    let arphrd = u16::from_ne_bytes([t0, t1]);
    let flags = i32::from_ne_bytes([f0, f1, f2, f3]);
    let mut facts = LinkFacts::default();
    let (mut lower, mut elsewhere) = (0, false);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| broken("a broken attribute"))?;
        let value = attribute.value();
        let interface = &mut facts.interface;
        match attribute.kind() {
            libc::IFLA_IFNAME => interface.name = text(value),
            libc::IFLA_MTU => interface.mtu = word(value),
            libc::IFLA_ADDRESS => interface.mac = value.to_vec(),
            libc::IFLA_MASTER => facts.master = Some(word(value)),
            libc::IFLA_LINK => lower = word(value),
            libc::IFLA_LINK_NETNSID => elsewhere = true,
            libc::IFLA_CARRIER_CHANGES => facts.carrier_changes = word(value),
            libc::IFLA_STATS64 => counters(value, interface),
            libc::IFLA_LINKINFO => kind(value, interface).map_err(|()| broken("a broken link kind"))?,
            _ => {}
        }
    }
    facts.has_lower = lower != 0 && !elsewhere;
    let interface = &mut facts.interface;
    interface.index = u32::from_ne_bytes([i0, i1, i2, i3]);
    interface.link = layer::link_layer(arphrd, &interface.kind);
    interface.loopback = flags & libc::IFF_LOOPBACK != 0;
    interface.up = flags & libc::IFF_UP != 0 && flags & libc::IFF_LOWER_UP != 0;
    // A tunnel puts its endpoint where others have a hardware address, and the loopback has zeros.
    if interface.link == LinkLayer::Ip || interface.mac.iter().all(|byte| *byte == 0) {
        interface.mac.clear();
    }
    Ok(facts)
}

/// Reads an `RTM_NEWADDR` message: the interface's index and the host's own address. `None` for other families.
pub(super) fn address(payload: &[u8]) -> Result<Option<(u32, IpAddr)>, LinkError> {
    let broken = |why| LinkError::Malformed { what: "addresses", why };
    let (header, attributes) =
        payload.split_first_chunk::<ADDRESS_HEADER_BYTES>().ok_or(broken("an address without its header"))?;
    let [_, _, _, _, i0, i1, i2, i3] = *header;
    let (mut local, mut plain) = (None, None);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| broken("a broken attribute"))?;
        match attribute.kind() {
            libc::IFA_LOCAL => local = ip(attribute.value()),
            libc::IFA_ADDRESS => plain = ip(attribute.value()),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the peer and IFA_LOCAL the host; elsewhere IPv6 gives the first alone.
    Ok(local.or(plain).map(|ip| (u32::from_ne_bytes([i0, i1, i2, i3]), ip)))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|v6| Ipv6Addr::from(v6).into())
}

/// A number of 32 bits; 0 where the kernel sent fewer.
fn word(value: &[u8]) -> u32 {
    value.first_chunk::<4>().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// Text up to its closing zero. Names are bytes to the kernel; what is not UTF-8 is shown with replacement characters.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// `IFLA_LINKINFO`: the kind, and for a VLAN its id.
fn kind(value: &[u8], interface: &mut Interface) -> Result<(), ()> {
    let mut data = &[][..];
    let mut bytes = value;
    // Walked by hand once more, because the data is to outlive the walk and its kind may come after it.
    while !bytes.is_empty() {
        let Some(Ok(attribute)) = NlasIterator::new(bytes).next() else { return Err(()) };
        let len = usize::from(attribute.length());
        let inner = bytes.get(4..len).ok_or(())?;
        match attribute.kind() {
            libc::IFLA_INFO_KIND => interface.kind = text(inner),
            libc::IFLA_INFO_DATA => data = inner,
            _ => {}
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    if interface.kind == "vlan" {
        for attribute in NlasIterator::new(data) {
            let attribute = attribute.map_err(|_| ())?;
            if let (VLAN_ID, Some(id)) = (attribute.kind(), attribute.value().first_chunk::<2>()) {
                interface.vlan = u16::from_ne_bytes(*id);
            }
        }
    }
    Ok(())
}

/// `struct rtnl_link_stats64`: numbers of 64 bits, of which newer kernels append more.
fn counters(value: &[u8], interface: &mut Interface) {
    let (numbers, _) = value.as_chunks::<8>();
    let at = |index: usize| numbers.get(index).map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    interface.rx_packets = at(0);
    interface.tx_packets = at(1);
    interface.rx_bytes = at(2);
    interface.tx_bytes = at(3);
    interface.rx_errors = at(4);
    interface.tx_errors = at(5);
    // The last, rx_missed_errors, is what the card had no buffer for; the kernel's own /proc/net/dev adds it too.
    interface.rx_dropped = at(6).saturating_add(at(15));
    interface.tx_dropped = at(7);
}

#[cfg(test)]
mod tests;
