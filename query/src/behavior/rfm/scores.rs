//! From customers to scores: by how many customers are worse, or by bounds.

use super::customer::Customer;
use super::spec::RfmSpec;
use crate::behavior::periods::{Calendar, Period};

/// The scores of a customer, each from 1 up to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores {
    /// The fewer days ago the better.
    pub recency: u32,
    /// The more often the better.
    pub frequency: u32,
    /// The more the better.
    pub monetary: u32,
}

/// The calendar days from the last event of each customer to `as_of_us`.
pub fn recency_days(spec: &RfmSpec, as_of_us: i64, customers: &[Customer]) -> Vec<i64> {
    let days = Calendar { period: Period::Day, time_zone: spec.time_zone };
    let as_of = days.number(as_of_us);
    customers.iter().map(|customer| as_of - days.number(customer.last_us)).collect()
}

/// The scores of all customers, of whom `days` are [`recency_days`].
pub fn scores(spec: &RfmSpec, days: &[i64], customers: &[Customer]) -> Vec<Scores> {
    let of = |values: Vec<f64>, bounds: &[f64]| match bounds {
        [] => by_quantiles(spec.scores, values),
        bounds => values.into_iter().map(|value| by_bounds(bounds, value)).collect(),
    };
    let bounds = &spec.bounds;
    // Fewer days are better, so they count from below zero: as many bounds are reached as are not less than the days.
    let turned: Vec<f64> = bounds.recency.iter().rev().map(|bound| -bound).collect();
    let recency = of(days.iter().map(|&days| -(days as f64)).collect(), &turned);
    let frequency = of(customers.iter().map(|customer| customer.frequency as f64).collect(), &bounds.frequency);
    let monetary = of(customers.iter().map(|customer| customer.monetary).collect(), &bounds.monetary);
    let scored = recency.into_iter().zip(frequency).zip(monetary);
    scored.map(|((recency, frequency), monetary)| Scores { recency, frequency, monetary }).collect()
}

/// One more than the number of bounds that are reached. NaN is more than every number.
fn by_bounds(bounds: &[f64], value: f64) -> u32 {
    1 + bounds.iter().filter(|&&bound| value >= bound || value.is_nan()).count() as u32
}

/// The place of each value among all, in `scores` equal parts: that of the first of those that are equal to it.
fn by_quantiles(scores: u32, mut values: Vec<f64>) -> Vec<u32> {
    // One zero and one NaN, which is more than every number.
    values.iter_mut().for_each(|value| *value = if value.is_nan() { f64::NAN } else { *value + 0.0 });
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let score = |value: f64| {
        let worse = sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        1 + (worse as u64 * u64::from(scores) / sorted.len() as u64) as u32
    };
    values.into_iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_score() {
        assert_eq!(by_quantiles(5, vec![1.0, 1.0, 1.0, 2.0, 3.0]), [1, 1, 1, 4, 5]);
        assert_eq!(by_quantiles(2, vec![4.0, 3.0, 2.0, 1.0]), [2, 2, 1, 1]);
        assert_eq!(by_quantiles(3, vec![f64::NAN, 0.0, -0.0]), [3, 1, 1]);
        assert_eq!(by_quantiles(5, vec![7.0]), [1]);
        assert_eq!(by_quantiles(5, vec![]), Vec::<u32>::new());
    }

    #[test]
    fn bounds_are_reached_by_what_is_equal_to_them() {
        let score = |value: f64| by_bounds(&[10.0, 20.0], value);
        assert_eq!([9.9, 10.0, 20.0, f64::NAN].map(score), [1, 2, 3, 3]);
    }
}
