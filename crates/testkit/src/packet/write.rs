//! From layers to bytes: every header in order into one buffer, then lengths and checksums from the inside out.
//!
//! It decides no defaults but lengths, checksums and protocol numbers. Invariant: a field overridden on a layer is
//! written as given, and every later checksum covers the bytes as they finally stand.

use std::net::IpAddr;

use super::checksum::{add, crc32c, finish, internet};
use super::layer::{Ipv4, Ipv6, Kind, Layer, Tcp};

/// Writes all layers; the starts of the layers go to `starts`.
pub(super) fn assemble(layers: &[Layer], out: &mut Vec<u8>, starts: &mut Vec<usize>) {
    for (index, layer) in layers.iter().enumerate() {
        starts.push(out.len());
        header(layer, layers.get(index + 1), out);
    }
    for (index, (layer, &start)) in layers.iter().zip(starts.iter()).enumerate().rev() {
        let outer = layers.get(..index).unwrap_or_default();
        finish_layer(layer, start, outer, out);
    }
}

fn header(layer: &Layer, next: Option<&Layer>, out: &mut Vec<u8>) {
    let ethertype = || layer.protocol.unwrap_or_else(|| next.map_or(0x88b5, |l| l.kind.ethertype()));
    let number = || layer.protocol.map_or_else(|| next.map_or(59, |l| l.kind.ip_protocol()), |p| p as u8);
    match &layer.kind {
        Kind::Ethernet { dst, src } => {
            out.extend_from_slice(dst);
            out.extend_from_slice(src);
            put16(out, ethertype());
        }
        Kind::Vlan { tci, .. } => {
            put16(out, *tci);
            put16(out, ethertype());
        }
        Kind::Arp { operation, sender, target } => arp(*operation, sender.octets(), target.octets(), out),
        Kind::Ipv4(ip) => ipv4(ip, layer, number(), out),
        Kind::Ipv6(ip) => ipv6(ip, layer, number(), out),
        Kind::Extension { .. } => extension(layer, number(), out),
        Kind::Fragment { offset, more, id, reserved } => {
            out.extend_from_slice(&[number(), *reserved]);
            put16(out, (offset & !7) | u16::from(*more));
            put32(out, *id);
        }
        Kind::Authentication { spi, seq } => {
            let words = 3 + layer.options.len().div_ceil(4);
            out.extend_from_slice(&[number(), layer.length.unwrap_or(words as u16 - 2) as u8, 0, 0]);
            put32(out, *spi);
            put32(out, *seq);
            padded(&layer.options, 4, out);
        }
        Kind::Esp { spi, seq } => {
            put32(out, *spi);
            put32(out, *seq);
        }
        Kind::Tcp(tcp) => tcp_header(tcp, layer, out),
        Kind::Udp { src, dst } => {
            put16(out, *src);
            put16(out, *dst);
            put32(out, 0);
        }
        Kind::Icmp { kind, code, rest } | Kind::Icmp6 { kind, code, rest } => {
            out.extend_from_slice(&[*kind, *code, 0, 0]);
            put32(out, *rest);
        }
        Kind::Sctp { src, dst, tag } => {
            put16(out, *src);
            put16(out, *dst);
            put32(out, *tag);
            put32(out, 0);
        }
        Kind::Gre { checksummed, key, seq, version } => gre(*checksummed, *key, *seq, *version, ethertype(), out),
        Kind::Vxlan { vni } => {
            out.extend_from_slice(&[0x08, 0, 0, 0]);
            put32(out, vni << 8);
        }
        Kind::Geneve { vni } => {
            let words = layer.length.unwrap_or(layer.options.len().div_ceil(4) as u16);
            out.extend_from_slice(&[layer.version.unwrap_or(0) << 6 | (words as u8 & 0x3f), 0]);
            put16(out, ethertype());
            put32(out, vni << 8);
            padded(&layer.options, 4, out);
        }
        Kind::Payload(bytes) => out.extend_from_slice(bytes),
    }
}

fn arp(operation: u16, sender: [u8; 4], target: [u8; 4], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 1, 8, 0, 6, 4]);
    put16(out, operation);
    out.extend_from_slice(&super::SRC_MAC);
    out.extend_from_slice(&sender);
    out.extend_from_slice(if operation == 1 { &[0; 6] } else { &super::DST_MAC });
    out.extend_from_slice(&target);
}

fn ipv4(ip: &Ipv4, layer: &Layer, number: u8, out: &mut Vec<u8>) {
    let words = layer.header_words.unwrap_or(5 + layer.options.len().div_ceil(4) as u8);
    out.extend_from_slice(&[(layer.version.unwrap_or(4) << 4) | (words & 15), ip.tos, 0, 0]);
    put16(out, ip.id);
    let flags = (u16::from(ip.reserved) << 15) | (u16::from(ip.dont) << 14) | (u16::from(ip.more) << 13);
    put16(out, flags | (ip.offset / 8));
    out.extend_from_slice(&[ip.ttl, number, 0, 0]);
    out.extend_from_slice(&ip.src.octets());
    out.extend_from_slice(&ip.dst.octets());
    padded(&layer.options, 4, out);
}

fn ipv6(ip: &Ipv6, layer: &Layer, number: u8, out: &mut Vec<u8>) {
    let version = u32::from(layer.version.unwrap_or(6)) << 28;
    put32(out, version | (u32::from(ip.class) << 20) | (ip.label & 0xf_ffff));
    out.extend_from_slice(&[0, 0, number, ip.hops]);
    out.extend_from_slice(&ip.src.octets());
    out.extend_from_slice(&ip.dst.octets());
}

fn extension(layer: &Layer, number: u8, out: &mut Vec<u8>) {
    let bytes = (2 + layer.options.len()).next_multiple_of(8);
    out.extend_from_slice(&[number, layer.length.unwrap_or((bytes / 8 - 1) as u16) as u8]);
    out.extend_from_slice(&layer.options);
    out.resize(out.len() + bytes - 2 - layer.options.len(), 0);
}

fn tcp_header(tcp: &Tcp, layer: &Layer, out: &mut Vec<u8>) {
    put16(out, tcp.src);
    put16(out, tcp.dst);
    put32(out, tcp.seq);
    put32(out, tcp.ack);
    let words = layer.header_words.unwrap_or(5 + layer.options.len().div_ceil(4) as u8);
    put16(out, (u16::from(words & 15) << 12) | (tcp.flags & 0x0fff));
    put16(out, tcp.window);
    put16(out, 0);
    put16(out, tcp.urgent);
    padded(&layer.options, 4, out);
}

fn gre(checksummed: bool, key: Option<u32>, seq: Option<u32>, version: u8, protocol: u16, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    let flags = flag(checksummed, 0x8000) | flag(key.is_some(), 0x2000) | flag(seq.is_some(), 0x1000);
    put16(out, flags | u16::from(version & 7));
    put16(out, protocol);
    if checksummed {
        put32(out, 0);
    }
    for word in [key, seq].into_iter().flatten() {
        put32(out, word);
    }
}

/// Fills in what depends on everything behind: lengths and checksums.
fn finish_layer(layer: &Layer, start: usize, outer: &[Layer], out: &mut [u8]) {
    let bytes = out.len() - start;
    match &layer.kind {
        Kind::Ipv4(_) => {
            set16(out, start + 2, layer.length.unwrap_or(bytes as u16));
            let header = 20 + layer.options.len().next_multiple_of(4);
            let sum = internet(out.get(start..start + header).unwrap_or_default());
            set16(out, start + 10, layer.checksum.map_or(sum, |c| c as u16));
        }
        Kind::Ipv6(_) => set16(out, start + 4, layer.length.unwrap_or(bytes.saturating_sub(40) as u16)),
        Kind::Tcp(_) => checksum_at(layer, start, 16, pseudo(outer, 6, bytes), out),
        Kind::Udp { .. } => {
            set16(out, start + 4, layer.length.unwrap_or(bytes as u16));
            checksum_at(layer, start, 6, pseudo(outer, 17, bytes), out);
            // Zero means "none" on the wire, so a sum that comes out as zero is sent as its twin.
            if layer.checksum.is_none() && out.get(start + 6..start + 8) == Some(&[0, 0]) {
                set16(out, start + 6, 0xffff);
            }
        }
        Kind::Icmp { .. } => checksum_at(layer, start, 2, 0, out),
        Kind::Icmp6 { .. } => checksum_at(layer, start, 2, pseudo(outer, 58, bytes), out),
        Kind::Gre { checksummed: true, .. } => checksum_at(layer, start, 4, 0, out),
        Kind::Sctp { .. } => {
            let sum = layer.checksum.unwrap_or_else(|| crc32c(out.get(start..).unwrap_or_default()));
            if let Some(field) = out.get_mut(start + 8..start + 12) {
                // RFC 9260 appendix A: this one field goes out least significant byte first.
                field.copy_from_slice(&sum.to_le_bytes());
            }
        }
        _ => {}
    }
}

fn checksum_at(layer: &Layer, start: usize, field: usize, base: u64, out: &mut [u8]) {
    let sum = layer.checksum.map_or_else(|| finish(add(base, out.get(start..).unwrap_or_default())), |c| c as u16);
    set16(out, start + field, sum);
}

/// Sum of the pseudo header of the nearest IP layer; 0 without one.
fn pseudo(outer: &[Layer], protocol: u8, bytes: usize) -> u64 {
    let Some((src, dst)) = outer.iter().rev().find_map(|layer| match &layer.kind {
        Kind::Ipv4(ip) => Some((IpAddr::V4(ip.src), IpAddr::V4(ip.dst))),
        Kind::Ipv6(ip) => Some((IpAddr::V6(ip.src), IpAddr::V6(ip.dst))),
        _ => None,
    }) else {
        return 0;
    };
    let base = u64::from(protocol) + bytes as u64;
    [src, dst].into_iter().fold(base, |sum, address| match address {
        IpAddr::V4(v4) => add(sum, &v4.octets()),
        IpAddr::V6(v6) => add(sum, &v6.octets()),
    })
}

fn padded(bytes: &[u8], to: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().next_multiple_of(to) - bytes.len(), 0);
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn set16(out: &mut [u8], at: usize, value: u16) {
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
