//! What the demo's hosts say to one another: conversations that follow from a second and a seed alone, so that both ends,
//! which know nothing of each other, make the same of them.
//!
//! Invariant: the same second of the same demo has the same conversations on every host.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

/// Conversations that begin in a second, for each host.
const BEGIN_PER_HOST: u64 = 6;
/// Bytes of a full packet.
const FULL: usize = 1400;
/// Seconds in which somebody scans, of each minute.
const SCAN_SECONDS: std::ops::Range<u64> = 40..45;
/// Ports that a scan tries in a second.
const SCAN_PORTS: u16 = 30;

/// Where hosts of the demo are: 10.77.0.1 and up.
pub(super) fn address(host: u64) -> Ipv4Addr {
    Ipv4Addr::from(0x0a4d_0000_u32 + (host as u32 & 0xff) + 1)
}

/// What is talked to: port, whether TCP, most bytes of an answer, how often of 16.
const SERVICES: [(u16, bool, usize, u64); 6] = [
    (443, true, 90_000, 6),
    (80, true, 30_000, 3),
    (5432, true, 40_000, 2),
    (53, false, 300, 3),
    (22, true, 6_000, 1),
    (9092, true, 200_000, 1),
];

/// A conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    pub(super) client: Ipv4Addr,
    pub(super) server: Ipv4Addr,
    client_port: u16,
    server_port: u16,
    is_tcp: bool,
    answer: usize,
    /// A SYN that nobody answers.
    is_probe: bool,
}

/// Numbers that follow from a seed (the finalizer of MurmurHash3).
pub(super) fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// What begins in a second among so many hosts.
pub(super) fn of_second(second: u64, hosts: u64) -> Vec<Talk> {
    let mut talks: Vec<Talk> = (0..hosts * BEGIN_PER_HOST).map(|number| talk(second, number, hosts)).collect();
    if SCAN_SECONDS.contains(&(second % 60)) {
        let scanner = Ipv4Addr::new(198, 51, 100, 66);
        let victim = address(mix(second / 60) % hosts);
        talks.extend((0..SCAN_PORTS).map(|port| Talk {
            client: scanner,
            server: victim,
            client_port: 40_000 + port,
            server_port: 1 + port + (second % 60) as u16 * SCAN_PORTS,
            is_tcp: true,
            answer: 0,
            is_probe: true,
        }));
    }
    talks
}

fn talk(second: u64, number: u64, hosts: u64) -> Talk {
    let chance = mix(mix(second) ^ number);
    let client = chance % hosts;
    let outside = |bits: u64| Ipv4Addr::from(0xcb00_7100_u32 + (bits % 60) as u32);
    let (from, to) = match chance >> 8 & 7 {
        0 => (outside(chance >> 12), address(client)),
        1..=3 => (address(client), outside(chance >> 12)),
        _ => (address(client), address((client + 1 + (chance >> 12) % hosts.saturating_sub(1).max(1)) % hosts)),
    };
    let mut pick = chance >> 20 & 15;
    let service = SERVICES.iter().find(|(_, _, _, share)| {
        let is_it = pick < *share;
        pick = pick.saturating_sub(*share);
        is_it
    });
    let (server_port, is_tcp, most, _) = service.copied().unwrap_or((443, true, 90_000, 1));
    Talk {
        client: from,
        server: to,
        client_port: 32_768 + (chance >> 40 & 0x3fff) as u16,
        server_port,
        is_tcp,
        answer: most / 20 + (chance >> 24) as usize % most,
        is_probe: false,
    }
}

impl Talk {
    /// Its packets, in order, as bytes from the IP header on, each with whether the client sent it.
    pub(super) fn packets(&self) -> Vec<(bool, Vec<u8>)> {
        if !self.is_tcp {
            return vec![(true, self.udp(true, &self.dns(false))), (false, self.udp(false, &self.dns(true)))];
        }
        let mut packets = vec![(true, self.tcp(true, b"S", &[]))];
        if self.is_probe {
            packets.push((false, self.tcp(false, b"RA", &[])));
            return packets;
        }
        packets.push((false, self.tcp(false, b"SA", &[])));
        packets.push((true, self.tcp(true, b"A", &self.question())));
        let mut left = self.answer;
        while left > 0 {
            let piece = left.min(FULL);
            packets.push((false, self.tcp(false, b"A", &vec![0; piece])));
            left -= piece;
        }
        packets.extend([(true, self.tcp(true, b"FA", &[])), (false, self.tcp(false, b"FA", &[]))]);
        packets.push((true, self.tcp(true, b"A", &[])));
        packets
    }

    /// Whom it wants to talk to.
    fn name(&self) -> &'static str {
        let names = ["shop.example", "wiki.example", "mirror.example", "api.example"];
        names.get(self.answer % names.len()).copied().unwrap_or("shop.example")
    }

    /// A question for an address, or its answer (RFC 1035 §4.1); now and then there is no such name.
    fn dns(&self, is_answer: bool) -> Vec<u8> {
        let is_known = !self.answer.is_multiple_of(16);
        let flags: u16 = match (is_answer, is_known) {
            (false, _) => 0x0100,
            (true, true) => 0x8180,
            (true, false) => 0x8183,
        };
        let answers = u16::from(is_answer && is_known);
        let mut message = Vec::new();
        for word in [self.client_port, flags, 1, answers, 0, 0] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        for label in self.name().split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.extend_from_slice(&[0, 0, 1, 0, 1]);
        if answers > 0 {
            // The name above, type A, class IN, 300 s, four bytes.
            message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 203, 0, 113, self.answer as u8 % 60]);
        }
        message
    }

    fn question(&self) -> Vec<u8> {
        let name = self.name();
        match self.server_port {
            80 => format!("GET /{} HTTP/1.1\r\nHost: {name}\r\n\r\n", self.answer % 9).into_bytes(),
            _ => vec![0; 120],
        }
    }

    fn ends(&self, from_client: bool) -> (Ipv4Addr, Ipv4Addr, u16, u16) {
        if from_client {
            (self.client, self.server, self.client_port, self.server_port)
        } else {
            (self.server, self.client, self.server_port, self.client_port)
        }
    }

    fn tcp(&self, from_client: bool, flags: &[u8], payload: &[u8]) -> Vec<u8> {
        let (from, to, from_port, to_port) = self.ends(from_client);
        let mut builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).tcp(from_port, to_port, 1, 64_000);
        for flag in flags {
            builder = match flag {
                b'S' => builder.syn(),
                b'F' => builder.fin(),
                b'R' => builder.rst(),
                _ => builder.ack(1),
            };
        }
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        // Writing to memory does not fail, and the length is within what IP carries.
        let _ = builder.write(&mut bytes, payload);
        bytes
    }

    fn udp(&self, from_client: bool, payload: &[u8]) -> Vec<u8> {
        let (from, to, from_port, to_port) = self.ends(from_client);
        let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).udp(from_port, to_port);
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        let _ = builder.write(&mut bytes, payload);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_the_same_conversations_everywhere_and_every_host_takes_part() {
        let of = |second| -> Vec<(Ipv4Addr, Ipv4Addr, u16)> {
            of_second(second, 4).iter().map(|talk| (talk.client, talk.server, talk.server_port)).collect()
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        let many: Vec<_> = (0..60).flat_map(of).collect();
        for host in 0..4 {
            assert!(many.iter().any(|(client, ..)| *client == address(host)), "host {host} opens something");
            assert!(many.iter().any(|(_, server, _)| *server == address(host)), "host {host} is called");
        }
        assert!(of(100).iter().any(|(client, ..)| client.octets()[0] == 198), "somebody scans");
    }

    #[test]
    fn a_conversation_has_a_beginning_and_an_end_and_carries_its_bytes() {
        let talk = of_second(3, 4).into_iter().find(|talk| talk.is_tcp && talk.answer > FULL).unwrap();
        let packets = talk.packets();
        let carried: usize = packets.iter().filter(|(client, _)| !client).map(|(_, bytes)| bytes.len() - 40).sum();
        assert_eq!(carried, talk.answer);
        assert!(packets.iter().all(|(_, bytes)| bytes[0] == 0x45));
    }
}
