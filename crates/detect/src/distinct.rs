//! How many different things there were: exact while they are few, estimated beyond that, in bounded memory.
//!
//! Invariant: an instance holds at most [`EXACT_MAX`] values, or one sketch of some hundred bytes.

use std::hash::Hash;
use std::net::IpAddr;

use datasketches::hll::{HllSketch, HllType};

/// So many are counted exactly.
pub(crate) const EXACT_MAX: usize = 256;

/// log2 of the sketch's registers: 256 of them, within about 7% in two cases of three.
const REGISTERS_LOG2: u8 = 8;

/// A counter of different values.
#[derive(Clone, Debug)]
pub(crate) enum Distinct {
    /// Each of them, sorted.
    Exact(Vec<u64>),
    /// About how many, and how many as of the last question.
    Sketch(Box<HllSketch>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distinct {
    /// Adds a value; whether it is certain to be new. `false` always once there are too many to know.
    pub(crate) fn insert(&mut self, value: u64) -> bool {
        match self {
            Self::Exact(values) => match values.binary_search(&value) {
                Ok(_) => false,
                Err(at) if values.len() < EXACT_MAX => {
                    values.insert(at, value);
                    true
                }
                Err(_) => {
                    // Only a number of registers that cannot be is refused.
                    if let Ok(mut sketch) = HllSketch::new(REGISTERS_LOG2, HllType::Hll8) {
                        values.iter().for_each(|value| sketch.update(value));
                        sketch.update(value);
                        *self = Self::Sketch(Box::new(sketch));
                    }
                    true
                }
            },
            Self::Sketch(sketch) => {
                sketch.update(value);
                false
            }
        }
    }

    /// How many: exact up to [`EXACT_MAX`].
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Exact(values) => values.len() as u64,
            Self::Sketch(sketch) => (sketch.estimate().round() as u64).max(EXACT_MAX as u64 + 1),
        }
    }

    /// Whether there are at least so many; cheaper than counting while they are few.
    pub(crate) fn is_at_least(&self, count: u64) -> bool {
        self.count() >= count
    }

    /// Whether it holds `value` for certain.
    pub(crate) fn holds(&self, value: u64) -> bool {
        matches!(self, Self::Exact(values) if values.binary_search(&value).is_ok())
    }

    /// Takes a value out again, where they are still known one by one.
    pub(crate) fn remove(&mut self, value: u64) {
        if let Self::Exact(values) = self
            && let Ok(at) = values.binary_search(&value)
        {
            values.remove(at);
        }
    }

    /// The values, while they are known one by one.
    pub(crate) fn exact(&self) -> &[u64] {
        match self {
            Self::Exact(values) => values,
            Self::Sketch(_) => &[],
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// About how many bytes it takes beside itself.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Exact(values) => values.capacity() * size_of::<u64>(),
            Self::Sketch(_) => size_of::<HllSketch>() + (1 << REGISTERS_LOG2),
        }
    }
}

/// A number that stands for an address: the address itself for IPv4, a hash for IPv6.
pub(crate) fn address_word(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            mix((bits >> 64) as u64 ^ mix(bits as u64))
        }
    }
}

/// A number that stands for anything.
#[allow(dead_code, reason = "detectors use parts of it")]
pub(crate) fn word_of(value: &impl Hash) -> u64 {
    let mut state = Fnv(0xcbf2_9ce4_8422_2325);
    value.hash(&mut state);
    mix(state.0)
}

/// Spreads the bits of a number; the finalizer of SplitMix64.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// FNV-1a: without keys, so that the same traffic is judged the same way twice.
#[allow(dead_code, reason = "detectors use parts of it")]
struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_exactly_however_often_they_come() {
        let mut distinct = Distinct::default();
        for _ in 0..3 {
            for value in 0..EXACT_MAX as u64 {
                distinct.insert(value);
            }
        }
        assert_eq!(distinct.count(), EXACT_MAX as u64);
        assert!(distinct.holds(5) && distinct.is_at_least(256) && !distinct.is_at_least(257));
        distinct.remove(5);
        assert!(!distinct.holds(5));
        assert_eq!(distinct.exact().len(), 255);
    }

    #[test]
    fn many_are_counted_within_a_fifth_in_some_hundred_bytes() {
        for many in [300_u64, 1_000, 65_536, 1_000_000] {
            let mut distinct = Distinct::default();
            (0..many).for_each(|value| {
                distinct.insert(value);
            });
            let count = distinct.count() as f64;
            assert!((count / many as f64 - 1.0).abs() < 0.2, "{count} of {many}");
            assert!(distinct.heap_bytes() <= 4096, "{}", distinct.heap_bytes());
        }
    }

    #[test]
    fn a_new_value_is_told_from_an_old_one() {
        let mut distinct = Distinct::default();
        assert!(distinct.insert(1) && !distinct.insert(1) && distinct.insert(2));
        distinct.clear();
        assert_eq!((distinct.count(), distinct.insert(1)), (0, true));
    }

    #[test]
    fn addresses_and_names_have_numbers_of_their_own() {
        let v4 = address_word(IpAddr::from([192, 0, 2, 7]));
        assert_eq!(v4, 0xc000_0207);
        let v6 = |last| address_word(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]));
        assert_ne!(v6(1), v6(2));
        assert_ne!(word_of(&"a.example"), word_of(&"b.example"));
        assert_eq!(word_of(&"a.example"), word_of(&"a.example"));
    }
}
