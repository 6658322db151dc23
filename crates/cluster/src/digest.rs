//! What a set holds, told in 64 numbers: who has other numbers has another set, and knows in which part.
//!
//! Only members of the fleet send digests, and a wrong one costs an exchange, so the numbers are short and no
//! cryptography. Invariant: the digest of a set does not depend on the order in which it was filled.

use serde::{Deserialize, Serialize};

use crate::id::mix;

/// Parts that a set is divided into.
pub(crate) const BUCKETS: usize = 64;

/// A digest: the sum of the fingerprints of what falls into each part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(Vec<u32>);

impl Default for Digest {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Digest {
    /// Adds one thing: `key` chooses the part, `state` is what may differ.
    pub(crate) fn add(&mut self, key: u64, state: u64) {
        let fingerprint = mix(key ^ mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        if let Some(bucket) = self.0.get_mut(bucket(key)) {
            *bucket = bucket.wrapping_add(fingerprint as u32);
        }
    }

    /// Bit i is set when part i differs. A digest of another length differs everywhere.
    pub(crate) fn differs(&self, other: &Self) -> u64 {
        if self.0.len() != other.0.len() {
            return u64::MAX;
        }
        self.0.iter().zip(&other.0).enumerate().fold(0, |bits, (at, (a, b))| bits | u64::from(a != b) << (at & 63))
    }

    /// Whether it has the length it must have.
    pub(crate) fn fits(&self) -> bool {
        self.0.len() == BUCKETS
    }

    /// The whole digest as one number.
    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, bucket| mix(sum ^ u64::from(*bucket)).wrapping_add(1))
    }
}

/// The part that a key falls into.
pub(crate) fn bucket(key: u64) -> usize {
    (mix(key) >> 58) as usize
}

/// Whether a key falls into one of the parts named by the bits.
pub(crate) fn within(key: u64, parts: u64) -> bool {
    parts >> bucket(key) & 1 == 1
}

/// The first few of the parts named by the bits, beginning anywhere: what one exchange repairs.
pub(crate) fn some_of(parts: u64, at_most: u32, start: u32) -> u64 {
    let mut turned = parts.rotate_right(start & 63);
    while turned.count_ones() > at_most {
        turned &= !(1 << turned.ilog2());
    }
    turned.rotate_left(start & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_that_differ_in_one_thing_differ_in_its_part_alone() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        for key in 0..1000_u64 {
            a.add(mix(key), key);
            b.add(mix(999 - key), 999 - key);
        }
        assert_eq!(a.differs(&b), 0);
        a.add(5, 1);
        assert_eq!(a.differs(&b), 1 << bucket(5));
        assert!(within(5, a.differs(&b)));
    }

    #[test]
    fn an_exchange_repairs_a_bounded_number_of_parts_and_begins_anywhere() {
        assert_eq!(some_of(u64::MAX, 2, 62), 0b11 << 62);
        assert_eq!(some_of(0b1011, 2, 1), 0b1010);
        assert_eq!(some_of(0, 8, 3), 0);
    }
}
