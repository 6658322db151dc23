//! The flows of a generator, and the well-formed (or, on request, cleverly wrong) frames of one.
//!
//! A flow's family, protocol, addresses, ports, tags and tunnel are fixed by seed and number; lengths, flags, options
//! and direction vary by frame. Invariant: two numbers give two flows, and frames that are not asked to be wrong are
//! right in every length and checksum.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Rng;
use crate::packet::{ACK, FIN, PSH, Packet, RST, SYN, bare, frame};

/// Ports that real traffic goes to.
const SERVICES: [u16; 12] = [53, 80, 443, 22, 123, 25, 5353, 5432, 8080, 3306, 6379, 161];
/// TCP flags as connections show them, then as scanners do.
const FLAGS: [u16; 12] =
    [SYN, SYN | ACK, ACK, ACK, ACK | PSH, ACK | PSH, ACK | FIN, RST, RST | ACK, 0, FIN | PSH | 0x20, 0x1ff];
/// What may stand between IPv6 and its transport.
const EXTENSIONS: [u8; 5] = [0, 60, 43, 135, 44];

/// One conversation.
pub(super) struct Flow {
    number: u64,
    shape: Rng,
}

impl Flow {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        // A draw between the two keeps neighbouring numbers' sequences apart.
        let mut mix = Rng::new(seed ^ 0x5eed);
        Self { number, shape: Rng::new(mix.bits().wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95))) }
    }

    /// A frame of the flow; with `wrong`, one builder-made mistake (a bad length, too many headers) may be in it.
    pub(super) fn frame(&self, rng: &mut Rng, wrong: bool) -> Vec<u8> {
        let mut shape = self.shape.clone();
        let mut packet = frame();
        // One in six flows is tagged, one in forty twice, one in two hundred three times.
        let tags = match shape.below(200) {
            0 => 3,
            1..6 => 2,
            6..33 => 1,
            _ => 0,
        };
        for depth in 0..tags {
            let tci = (shape.bits() & 0xefff) as u16;
            packet = if depth + 1 < tags { packet.service_vlan(tci) } else { packet.vlan(tci) };
        }
        let back = rng.below(2) == 1;
        let packet = match shape.below(100) {
            0 => return self.arp(packet, back).pad_to(60).build(),
            1 => return packet.protocol(0x88cc).payload_len(rng.below(100) as usize).pad_to(60).build(),
            2..6 => self.tunnel(packet, &mut shape, rng, back, wrong),
            6..70 => self.inside(packet, true, &mut shape, rng, back, wrong),
            _ => self.inside(packet, false, &mut shape, rng, back, wrong),
        };
        packet.pad_to(if shape.below(2) == 0 { 60 } else { 0 }).build()
    }

    fn v4(&self, back: bool) -> [Ipv4Addr; 2] {
        let client = Ipv4Addr::from(0x0a00_0000 | (self.number as u32 & 0x00ff_ffff));
        let server = Ipv4Addr::from(0xc0a8_0000 | ((self.number >> 4) as u32 & 0xff));
        if back { [server, client] } else { [client, server] }
    }

    fn v6(&self, back: bool) -> [Ipv6Addr; 2] {
        let net = 0x2001_0db8_u128 << 96;
        let client = Ipv6Addr::from(net | (1 << 64) | u128::from(self.number));
        let server = Ipv6Addr::from(net | (2 << 64) | u128::from(self.number >> 4 & 0xff));
        if back { [server, client] } else { [client, server] }
    }

    fn arp(&self, packet: Packet, back: bool) -> Packet {
        let [from, to] = self.v4(back);
        if back { packet.arp_reply(from, to) } else { packet.arp_request(from, to) }
    }

    fn tunnel(&self, packet: Packet, shape: &mut Rng, rng: &mut Rng, back: bool, wrong: bool) -> Packet {
        let outer = if shape.below(3) > 0 { self.ipv4(packet, rng, back, false) } else { self.ipv6(packet, back) };
        let key = shape.bits() as u32;
        let outer = match shape.below(6) {
            0 => outer.vxlan(key & 0xff_ffff).ethernet(),
            1 => outer.geneve(key & 0xff_ffff).options(&[1, 2, 3, 1, 9, 9, 9, 9]).ethernet(),
            2 => outer.gre(),
            3 => outer.gre().gre_key(key).gre_seq(rng.bits() as u32),
            4 => outer.gre().gre_checksum().ethernet(),
            _ => outer,
        };
        let v4 = shape.below(2) == 0;
        let inner = self.inside(bare(), v4, shape, rng, back, wrong);
        outer.inner(&inner)
    }

    /// IP, whatever stands between, and the transport.
    fn inside(&self, packet: Packet, v4: bool, shape: &mut Rng, rng: &mut Rng, back: bool, wrong: bool) -> Packet {
        let fragmented = shape.below(40) == 0;
        let packet = if v4 {
            let packet = self.ipv4(packet, rng, back, wrong);
            if fragmented { fragment_v4(packet, rng) } else { packet }
        } else {
            let packet = extensions(self.ipv6(packet, back), shape, wrong, rng);
            if fragmented {
                packet.ipv6_fragment((rng.below(3) * 8) as u16, rng.below(2) == 1, self.number as u32)
            } else {
                packet
            }
        };
        transport(packet, v4, shape, rng, back, wrong)
    }

    fn ipv4(&self, packet: Packet, rng: &mut Rng, back: bool, wrong: bool) -> Packet {
        let [from, to] = self.v4(back);
        let packet = packet.ipv4(from, to).id(rng.bits() as u16).ttl(rng.below(64) as u8 + 1);
        let packet = if rng.below(30) == 0 { packet.options(&[148, 4, 0, 0]) } else { packet };
        if !wrong {
            return packet;
        }
        match rng.below(12) {
            0 => packet.header_words(rng.below(16) as u8),
            1 => packet.length(rng.below(80) as u16),
            2 => packet.version(rng.below(16) as u8),
            3 => packet.fragment((rng.bits() & 0xfff8) as u16, rng.below(2) == 1),
            _ => packet,
        }
    }

    fn ipv6(&self, packet: Packet, back: bool) -> Packet {
        let [from, to] = self.v6(back);
        packet.ipv6(from, to).flow_label(self.number as u32)
    }
}

/// First, middle or last piece; offsets that meet, so that a cache of fragments has something to find.
fn fragment_v4(packet: Packet, rng: &mut Rng) -> Packet {
    let packet = packet.id(rng.below(16) as u16);
    match rng.below(3) {
        0 => packet.fragment(0, true),
        1 => packet.fragment((rng.below(8) * 8) as u16, true),
        _ => packet.fragment((rng.below(180) * 8) as u16, false),
    }
}

fn extensions(mut packet: Packet, shape: &mut Rng, wrong: bool, rng: &mut Rng) -> Packet {
    let count = match shape.below(20) {
        0 => 1 + shape.below(8),
        1 if wrong => 8 + rng.below(5),
        _ => 0,
    };
    for _ in 0..count {
        let number = shape.pick(&EXTENSIONS).unwrap_or_default();
        packet = match number {
            44 => packet.ipv6_fragment(0, false, 1),
            0 if shape.below(2) == 0 => packet.authentication(12),
            _ => packet.extension(number, &[1, 4, 0, 0, 0, 0]),
        };
    }
    if wrong && count > 0 && rng.below(4) == 0 {
        return packet.length(rng.below(256) as u16);
    }
    packet
}

fn transport(packet: Packet, v4: bool, shape: &mut Rng, rng: &mut Rng, back: bool, wrong: bool) -> Packet {
    let kind = shape.below(100);
    let ports = [shape.below(28_000) as u16 + 32_768, shape.pick(&SERVICES).unwrap_or_default()];
    let [from, to] = if back { [ports[1], ports[0]] } else { ports };
    let packet = match kind {
        0..55 => tcp(packet.tcp(from, to), rng, wrong),
        55..85 => {
            let packet = packet.udp(from, to);
            if wrong && rng.below(4) == 0 { packet.length(rng.below(64) as u16) } else { packet }
        }
        85..91 if v4 => packet.icmp(rng.pick(&[0, 3, 8, 11, 13]).unwrap_or_default(), rng.below(16) as u8, 0x1234_0001),
        85..91 => packet.icmp6(rng.pick(&[1, 2, 3, 128, 129, 135, 136]).unwrap_or_default(), 0, 0x1234_0001),
        91..94 => packet.sctp(from, to, shape.bits() as u32),
        94..96 => packet.esp(shape.bits() as u32, rng.bits() as u32),
        // Any protocol at all, by number.
        _ => packet.protocol(shape.below(256) as u16),
    };
    packet.payload_len(payload(rng))
}

fn tcp(packet: Packet, rng: &mut Rng, wrong: bool) -> Packet {
    let flags = rng.pick(&FLAGS).unwrap_or_default();
    let packet = packet.flags(flags).numbers(rng.bits() as u32, rng.bits() as u32);
    let packet = match rng.below(4) {
        0 => packet.options(&[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]),
        1 | 2 => packet.options(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        _ => packet,
    };
    if wrong && rng.below(6) == 0 { packet.header_words(rng.below(16) as u8) } else { packet }
}

/// Mostly nothing or little, sometimes a full frame: the two humps of real traffic.
fn payload(rng: &mut Rng) -> usize {
    match rng.below(16) {
        0..6 => 0,
        6..15 => rng.below(128) as usize,
        _ => rng.below(1200) as usize,
    }
}
