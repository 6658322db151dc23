//! Repeated measurements of one thing.

/// Values in the order they were taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample(pub(super) Vec<f64>);

impl Sample {
    /// The least value; 0 when there is none.
    pub(super) fn min(&self) -> f64 {
        self.0.iter().copied().reduce(f64::min).unwrap_or(0.0)
    }

    /// The middle value (the lower of two); 0 when there is none.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
    }

    /// Round by round, this less the other.
    pub(super) fn above(&self, floor: &Self) -> Self {
        Self(self.0.iter().zip(&floor.0).map(|(value, floor)| value - floor).collect())
    }

    /// Round by round, this divided by the other.
    pub(super) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(value, other)| value / other).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        let middles = [vec![9.0, 1.0, 5.0], vec![4.0, 1.0, 9.0, 2.0], vec![]].map(|values| Sample(values).median());
        assert_eq!((middles, Sample::default().min()), ([5.0, 2.0, 0.0], 0.0));
    }

    #[test]
    fn differences_are_taken_round_by_round() {
        let difference = Sample(vec![5.0, 9.0]).above(&Sample(vec![1.0, 2.0]));
        assert_eq!(difference.0, [4.0, 7.0]);
        assert_eq!(Sample(vec![5.0, 9.0]).over(&Sample(vec![10.0, 3.0])).0, [0.5, 3.0]);
    }
}
