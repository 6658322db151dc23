//! Sixty-four-byte UDP and TCP frames over a number of flows: the load under which packets cost most.
//!
//! All are well-formed. Invariant: `flows` distinct five-tuples exist, and equal arguments give equal frames.

use std::net::Ipv4Addr;

use super::Rng;
use crate::packet::{ACK, frame};

/// Bytes of each frame, without the frame check sequence.
pub const SMALL_BYTES: usize = 64;

/// How often each flow is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popularity {
    /// All alike.
    Uniform,
    /// The n-th in proportion to 1/n, as in real traffic.
    Zipf,
}

/// `count` frames of [`SMALL_BYTES`] that belong to `flows` flows (at least 1).
pub fn small_packets(flows: usize, count: usize, seed: u64, popularity: Popularity) -> Vec<Vec<u8>> {
    let flows = flows.max(1);
    let mut rng = Rng::new(seed);
    // Shuffled numbers: a popular flow should not also be a neighbour of the next popular one in any table.
    let mut numbers: Vec<u32> = (0..flows as u32).collect();
    for at in (1..flows).rev() {
        numbers.swap(at, rng.below(at as u64 + 1) as usize);
    }
    let mut cumulative = Vec::new();
    if popularity == Popularity::Zipf {
        let mut sum = 0.0;
        cumulative.extend((1..=flows).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        }));
    }
    let total = cumulative.last().copied().unwrap_or(0.0);
    let mut choose = || match popularity {
        Popularity::Uniform => rng.below(flows as u64) as usize,
        Popularity::Zipf => {
            let at = (rng.bits() >> 11) as f64 / (1u64 << 53) as f64 * total;
            cumulative.partition_point(|&sum| sum <= at).min(flows - 1)
        }
    };
    (0..count).map(|_| numbers.get(choose()).map_or_else(Vec::new, |&number| small(number))).collect()
}

fn small(number: u32) -> Vec<u8> {
    let client = Ipv4Addr::from(0x0a00_0000 | (number & 0x00ff_ffff));
    let server = Ipv4Addr::from(0xc0a8_0000 | (number >> 24));
    let port = 1024 + (number.wrapping_mul(40_503) >> 4) as u16 % 64_000;
    let packet = frame().ipv4(client, server);
    if number & 1 == 0 {
        packet.udp(port, 443).payload(&[0; SMALL_BYTES - 42]).build()
    } else {
        packet.tcp(port, 443).flags(ACK).payload(&[0; SMALL_BYTES - 54]).build()
    }
}
