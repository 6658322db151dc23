//! The keyed hash that chooses a flow's set.
//!
//! NH (Black et al., "UMAC", CRYPTO '99): sums of 32×32→64-bit products of key words with secret words, which is
//! 2⁻³²-almost-universal. An attacker who does not know the seed cannot aim flows at one set; the seed is drawn
//! anew at every load. Four multiplications for IPv4, seven for IPv6, no table.

use crate::FlowKey;

/// Where the secret words of the flow hash come from.
pub trait Seed {
    /// Secret word `index`, 0–11.
    fn word(&self, index: usize) -> u32;
    /// Final multiplier; its lowest bit is set before use.
    fn multiplier(&self) -> u64;
}

/// Secret words of the flow hash. Draw them from the system's random source.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HashSeed {
    /// One secret per key word.
    pub words: [u32; 12],
    /// Final multiplier.
    pub multiplier: u64,
}

impl Seed for HashSeed {
    #[inline(always)]
    fn word(&self, index: usize) -> u32 {
        self.words.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn multiplier(&self) -> u64 {
        self.multiplier
    }
}

#[inline(always)]
fn pair(a: u32, b: u32, ka: u32, kb: u32) -> u64 {
    u64::from(a.wrapping_add(ka)).wrapping_mul(u64::from(b.wrapping_add(kb)))
}

/// 32 well-mixed bits of the key; take as many upper bits as there are sets.
///
/// The upper words of mapped IPv4 addresses are the same in every key that the family tag marks as IPv4, so they add
/// nothing and are left out.
#[inline(always)]
pub fn flow_hash<S: Seed>(key: &FlowKey, seed: &S) -> u32 {
    let k = |index| seed.word(index);
    let ports = u32::from(key.sport) << 16 | u32::from(key.dport);
    let mut sum = pair(key.src[3], key.dst[3], k(0), k(1))
        .wrapping_add(pair(ports, key.place, k(2), k(3)))
        .wrapping_add(pair(key.tags, 0, k(10), k(11)));
    if key.is_v6() {
        sum = sum
            .wrapping_add(pair(key.src[0], key.src[1], k(4), k(5)))
            .wrapping_add(pair(key.src[2], key.dst[0], k(6), k(7)))
            .wrapping_add(pair(key.dst[1], key.dst[2], k(8), k(9)));
    }
    ((sum ^ sum >> 32).wrapping_mul(seed.multiplier() | 1) >> 32) as u32
}
