//! The fields of a record, once for templates, records and documents. Numbers are IANA's IPFIX elements, whose first 127
//! are those of NetFlow v9 (RFC 7012 §4.7; the registry "IP Flow Information Export (IPFIX) Entities").
//!
//! Invariant: a field writes as many bytes as its length says, one with the length [`VARIABLE`] its own prefix too.

use std::net::IpAddr;

use super::uptime::Uptime;
use crate::record::Record;

/// RFC 7011 §7: the length stands before each value.
pub(crate) const VARIABLE: u16 = 65535;

/// Room for an application's name where lengths are fixed.
const NAME_BYTES: usize = 16;

/// Where a value goes and what it is made of.
pub(crate) struct Field {
    /// Information element.
    pub(crate) id: u16,
    /// Bytes.
    pub(crate) length: u16,
    pub(crate) write: fn(&Record, Uptime, &mut Vec<u8>),
}

const fn field(id: u16, length: u16, write: fn(&Record, Uptime, &mut Vec<u8>)) -> Field {
    Field { id, length, write }
}

/// sourceIPv4Address, destinationIPv4Address.
pub(crate) const V4: &[Field] =
    &[field(8, 4, |r, _, out| put_v4(r.source, out)), field(12, 4, |r, _, out| put_v4(r.destination, out))];

/// sourceIPv6Address, destinationIPv6Address.
pub(crate) const V6: &[Field] =
    &[field(27, 16, |r, _, out| put_v6(r.source, out)), field(28, 16, |r, _, out| put_v6(r.destination, out))];

/// sourceTransportPort, destinationTransportPort, tcpControlBits.
pub(crate) const PORTS: &[Field] = &[
    field(7, 2, |r, _, out| out.extend(r.source_port.to_be_bytes())),
    field(11, 2, |r, _, out| out.extend(r.destination_port.to_be_bytes())),
    field(6, 1, |r, _, out| out.push(r.tcp_flags)),
];

/// icmpTypeCodeIPv4.
pub(crate) const ICMP_V4: &[Field] = &[field(32, 2, put_icmp)];

/// icmpTypeCodeIPv6.
pub(crate) const ICMP_V6: &[Field] = &[field(139, 2, put_icmp)];

/// flowStartMilliseconds, flowEndMilliseconds.
pub(crate) const TIMES_IPFIX: &[Field] = &[
    field(152, 8, |r, _, out| out.extend(r.start_ms.to_be_bytes())),
    field(153, 8, |r, _, out| out.extend(r.end_ms.to_be_bytes())),
];

/// FIRST_SWITCHED, LAST_SWITCHED.
pub(crate) const TIMES_V9: &[Field] = &[
    field(22, 4, |r, uptime, out| out.extend(uptime.of(r.start_ms).to_be_bytes())),
    field(21, 4, |r, uptime, out| out.extend(uptime.of(r.end_ms).to_be_bytes())),
];

/// In every template: octetDeltaCount, packetDeltaCount, protocolIdentifier, ingressInterface, egressInterface,
/// flowDirection, vlanId, flowEndReason, forwardingStatus, firewallEvent, flowId.
pub(crate) const COMMON: &[Field] = &[
    field(1, 8, |r, _, out| out.extend(r.bytes.to_be_bytes())),
    field(2, 8, |r, _, out| out.extend(r.packets.to_be_bytes())),
    field(4, 1, |r, _, out| out.push(r.protocol)),
    field(10, 4, |r, _, out| out.extend(r.ingress.to_be_bytes())),
    field(14, 4, |r, _, out| out.extend(r.egress.to_be_bytes())),
    field(61, 1, |r, _, out| out.push(r.direction)),
    field(58, 2, |r, _, out| out.extend(outer_vlan(r).to_be_bytes())),
    field(136, 1, |r, _, out| out.push(r.end_reason)),
    field(89, 1, |r, _, out| out.push(r.forwarding)),
    field(233, 1, |r, _, out| out.push(r.firewall_event)),
    field(148, 8, |r, _, out| out.extend(r.flow_id.to_be_bytes())),
];

/// dot1qCustomerVlanId, applicationName.
pub(crate) const LAST_IPFIX: &[Field] = &[
    field(245, 2, |r, _, out| out.extend(inner_vlan(r).to_be_bytes())),
    field(96, VARIABLE, |r, _, out| put_text(r.application, out)),
];

/// applicationName, cut and filled up.
pub(crate) const LAST_V9: &[Field] =
    &[field(96, NAME_BYTES as u16, |r, _, out| put_fixed_text(r.application, NAME_BYTES, out))];

fn outer_vlan(record: &Record) -> u16 {
    record.vlans[0]
}

fn inner_vlan(record: &Record) -> u16 {
    record.vlans[1]
}

fn put_v4(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => out.extend(v4.octets()),
        // A template of IPv4 is only chosen where both ends are.
        IpAddr::V6(_) => out.extend([0; 4]),
    }
}

fn put_v6(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => out.extend(v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => out.extend(v6.octets()),
    }
}

fn put_icmp(record: &Record, _: Uptime, out: &mut Vec<u8>) {
    let (kind, code) = record.icmp.unwrap_or_default();
    out.extend([kind, code]);
}

/// RFC 7011 §7: one byte of length, which is below 255 for every text we have.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    let cut = cut(text, 254);
    out.push(cut.len() as u8);
    out.extend(cut.as_bytes());
}

/// A text in `room` bytes, filled up with zeros.
pub(crate) fn put_fixed_text(text: &str, room: usize, out: &mut Vec<u8>) {
    let cut = cut(text, room);
    out.extend(cut.as_bytes());
    out.resize(out.len() + room - cut.len(), 0);
}

/// The start of a text that fits, ending between two characters.
fn cut(text: &str, room: usize) -> &str {
    let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
