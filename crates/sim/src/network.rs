//! The network between hosts: how long a message takes, whether it arrives, how often.
//!
//! Streams are reliable while both ends are there and in one part; a lost packet costs them time. Invariant: all chance
//! comes from the generator that is handed in.

use rand::RngExt as _;
use rand::rngs::SmallRng;

/// Bytes that a packet has beside its payload: IPv4 and UDP headers 28, QUIC or Noise header and tag 32.
pub(crate) const PACKET_OVERHEAD: u64 = 60;
/// Payload of a packet of a stream, in bytes.
const PACKET_BYTES: u64 = 1200;
/// What lost packets of a stream cost, in microseconds: QUIC's probe timeout on a LAN, of which 25 ms are the delay that
/// acknowledgements may have (RFC 9002).
const RETRANSMIT_US: u64 = 30_000;

/// A model of a network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Least time between two hosts, in microseconds.
    pub latency_us: u64,
    /// What chance adds to it at most, in microseconds; more than the time between two messages reorders them.
    pub jitter_us: u64,
    /// Share of packets that get lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub doubled: f64,
    /// What a host can send, in bits per second.
    pub uplink_bps: u64,
    /// The part that each host is in; hosts of different parts do not reach one another.
    pub parts: Vec<u8>,
}

impl Network {
    /// A LAN: 0.3 to 2 ms, 0.5% loss, 1 Gbit/s.
    pub fn lan() -> Self {
        Self {
            latency_us: 300,
            jitter_us: 1700,
            loss: 0.005,
            doubled: 0.001,
            uplink_bps: 1_000_000_000,
            parts: Vec::new(),
        }
    }

    /// Whether two hosts reach one another.
    pub(crate) fn reaches(&self, a: usize, b: usize) -> bool {
        self.parts.get(a).copied().unwrap_or(0) == self.parts.get(b).copied().unwrap_or(0)
    }

    /// Packets that a message takes.
    pub(crate) fn packets(bytes: usize) -> u64 {
        (bytes as u64).div_ceil(PACKET_BYTES).max(1)
    }

    /// How long a host's uplink is busy with a message, in microseconds.
    pub(crate) fn sending_us(&self, bytes: usize) -> u64 {
        let bits = (bytes as u64 + Self::packets(bytes) * PACKET_OVERHEAD) * 8;
        bits * 1_000_000 / self.uplink_bps.max(1)
    }

    pub(crate) fn flight_us(&self, rng: &mut SmallRng) -> u64 {
        self.latency_us + rng.random_range(0..=self.jitter_us)
    }

    pub(crate) fn is_lost(&self, rng: &mut SmallRng) -> bool {
        rng.random_bool(self.loss)
    }

    pub(crate) fn is_doubled(&self, rng: &mut SmallRng) -> bool {
        rng.random_bool(self.doubled)
    }

    /// What lost packets add to a stream's message, in microseconds. Packets lost in one flight are sent again together.
    pub(crate) fn repeats_us(&self, bytes: usize, rng: &mut SmallRng) -> u64 {
        let mut missing = Self::packets(bytes);
        let mut rounds = 0;
        while missing > 0 && rounds < 10 {
            missing = (0..missing).filter(|_| rng.random_bool(self.loss)).count() as u64;
            rounds += u64::from(missing > 0);
        }
        rounds * RETRANSMIT_US
    }
}
