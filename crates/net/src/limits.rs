//! How much one peer, and one address that has proved nothing yet, may ask of this host. No sockets.
//!
//! Invariant: the memory of what is counted here does not grow with the number of sources.

use std::net::{IpAddr, SocketAddr};

/// Limits of the links. The defaults suit fleets of some thousand hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datagrams of one peer in a second.
    pub datagrams_s: u32,
    /// Bytes of datagrams of one peer in a second.
    pub datagram_bytes_s: u32,
    /// Streams that one peer may have open at a time.
    pub streams_open: u32,
    /// Streams that one peer may open in a second.
    pub streams_s: u32,
    /// First messages (of both kinds) from one source address in a second, before anything is proved. IPv6: of one /64.
    pub handshakes_source_s: u32,
    /// First messages in a second from everybody; above half of it, sources have to prove their address first.
    pub handshakes_s: u32,
    /// Noise sessions kept.
    pub sessions: usize,
    /// QUIC connections kept.
    pub connections: usize,
    /// Newcomers that enrol at a time.
    pub enrolling: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            datagrams_s: 2000,
            datagram_bytes_s: 2_000_000,
            streams_open: 32,
            streams_s: 200,
            handshakes_source_s: 50,
            handshakes_s: 400,
            sessions: 4096,
            connections: 64,
            enrolling: 8,
        }
    }
}

/// So much in a second, and as much again at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// What may be taken now, in millionths.
    left: u64,
    filled_us: u64,
}

impl Bucket {
    pub(crate) fn full(rate: u32, now_us: u64) -> Self {
        Self { left: u64::from(rate) * 1_000_000, filled_us: now_us }
    }

    /// Takes so much if it is there.
    pub(crate) fn take(&mut self, amount: u32, rate: u32, now_us: u64) -> bool {
        let most = u64::from(rate) * 1_000_000;
        let passed = now_us.saturating_sub(self.filled_us).min(1_000_000);
        self.filled_us = self.filled_us.max(now_us);
        self.left = (self.left + passed * u64::from(rate)).min(most);
        let wanted = u64::from(amount) * 1_000_000;
        let is_there = self.left >= wanted;
        if is_there {
            self.left -= wanted;
        }
        is_there
    }

    /// Whether less than half is left.
    pub(crate) fn is_low(&self, rate: u32) -> bool {
        self.left < u64::from(rate) * 500_000
    }
}

/// Sources that are counted apart. Two that fall on one place share what is left: an attacker cannot choose the
/// places, since they are drawn with a secret.
const SOURCES: usize = 1024;

/// First messages by source and of all.
#[derive(Debug)]
pub(crate) struct Gate {
    secret: [u8; 32],
    sources: Vec<Bucket>,
    all: Bucket,
}

/// What a first message may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Go on.
    Yes,
    /// Go on if the source has proved its address.
    IfProved,
    /// The source has used up its part.
    No,
}

impl Gate {
    pub(crate) fn new(secret: [u8; 32], limits: &Limits, now_us: u64) -> Self {
        let source = Bucket::full(limits.handshakes_source_s, now_us);
        Self { secret, sources: vec![source; SOURCES], all: Bucket::full(limits.handshakes_s, now_us) }
    }

    /// Counts a first message that comes from here.
    pub(crate) fn pass(&mut self, from: SocketAddr, limits: &Limits, now_us: u64) -> Pass {
        let place = u64::from_le_bytes(first_eight(&blake3_of(&self.secret, from.ip()))) as usize % SOURCES;
        let has_part =
            self.sources.get_mut(place).is_some_and(|bucket| bucket.take(1, limits.handshakes_source_s, now_us));
        if !has_part {
            return Pass::No;
        }
        let is_there = self.all.take(1, limits.handshakes_s, now_us);
        if is_there && !self.all.is_low(limits.handshakes_s) { Pass::Yes } else { Pass::IfProved }
    }
}

/// A source as it is counted: an IPv4 address, or the /64 of an IPv6 one.
fn blake3_of(secret: &[u8; 32], ip: IpAddr) -> [u8; 32] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => *blake3::keyed_hash(secret, &ip.octets()).as_bytes(),
        IpAddr::V6(ip) => *blake3::keyed_hash(secret, &(u128::from(ip) >> 64).to_le_bytes()).as_bytes(),
    }
}

fn first_eight(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let mut bucket = Bucket::full(10, 0);
        assert_eq!((0..100).filter(|_| bucket.take(1, 10, 0)).count(), 10);
        assert_eq!((0..100).filter(|_| bucket.take(1, 10, 500_000)).count(), 5);
        assert_eq!((0..100).filter(|_| bucket.take(1, 10, 60_000_000)).count(), 10);
    }

    #[test]
    fn one_source_cannot_use_up_what_others_need() {
        let limits = Limits { handshakes_source_s: 5, handshakes_s: 100, ..Limits::default() };
        let mut gate = Gate::new([7; 32], &limits, 0);
        let flooder: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let passed = (0..1000).filter(|_| gate.pass(flooder, &limits, 0) != Pass::No).count();
        assert_eq!(passed, 5);
        assert_eq!(gate.pass("192.0.2.2:1".parse().unwrap(), &limits, 0), Pass::Yes);
        let inside: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
        let passed =
            (0..1000_u16).filter(|port| gate.pass(SocketAddr::new(inside.ip(), *port), &limits, 0) != Pass::No);
        assert_eq!(passed.count(), 5);
    }
}
