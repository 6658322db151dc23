//! How many different things there were: HyperLogLog of 4096 registers by the `datasketches` crate.
//!
//! Invariant: what many sketches say together does not depend on how they were merged.

use datasketches::common::NumStdDev;
use datasketches::hll::{HllSketch, HllType, HllUnion};

/// Logarithm of the number of registers: 1.6% standard error in 2 KB.
const LG_REGISTERS: u8 = 12;
/// Longest encoded sketch, in bytes.
pub(crate) const BYTES_MAX: usize = 8 << 10;

/// A set that can only be counted and united.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distinct(Option<HllSketch>);

impl Distinct {
    /// Adds a thing by its hash.
    pub(crate) fn add(&mut self, hash: u64) {
        if self.0.is_none() {
            self.0 = HllSketch::new(LG_REGISTERS, HllType::Hll4).ok();
        }
        if let Some(sketch) = &mut self.0 {
            sketch.update(hash);
        }
    }

    /// Unites with another.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.0 else { return };
        let Some(ours) = &self.0 else {
            self.0 = Some(theirs.clone());
            return;
        };
        if let Ok(mut union) = HllUnion::new(LG_REGISTERS) {
            union.update(ours);
            union.update(theirs);
            self.0 = Some(union.to_sketch(HllType::Hll4));
        }
    }

    /// About how many there are.
    pub fn estimate(&self) -> f64 {
        self.0.as_ref().map_or(0.0, HllSketch::estimate)
    }

    /// Between which numbers the truth lies in 95 cases of 100.
    pub fn bounds(&self) -> (f64, f64) {
        self.0
            .as_ref()
            .map_or((0.0, 0.0), |sketch| (sketch.lower_bound(NumStdDev::Two), sketch.upper_bound(NumStdDev::Two)))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.as_ref().map(HllSketch::serialize).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(None));
        }
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let sketch = HllSketch::deserialize(bytes).ok()?;
        (sketch.lg_config_k() == LG_REGISTERS).then_some(Self(Some(sketch)))
    }
}
