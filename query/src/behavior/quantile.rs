//! Exact quantiles of durations.

/// The quantiles `qs` (0 to 1, ascending) of `durations_us` in seconds, `None` when there are none.
///
/// Linear interpolation between the two neighbours of the position `q * (n - 1)`, as `quantile_cont` of DuckDB and
/// `percentile_cont` of PostgreSQL do it. Reorders the slice; the answer depends on its values alone.
pub fn quantiles_seconds<const N: usize>(durations_us: &mut [i64], qs: [f64; N]) -> [Option<f64>; N] {
    debug_assert!(qs.is_sorted(), "quantiles in ascending order");
    let count = durations_us.len();
    // Everything before `from` is at most everything from there on: a larger quantile is looked for behind a smaller.
    let mut from = 0;
    qs.map(|q| {
        if count == 0 {
            return None;
        }
        let position = q.clamp(0.0, 1.0) * (count - 1) as f64;
        let index = (position.floor() as usize).min(count - 1);
        let fraction = position - index as f64;
        let (_, low, above) = durations_us[from..].select_nth_unstable(index - from);
        let low = *low as f64;
        let high = if fraction > 0.0 { above.iter().min().map_or(low, |&high| high as f64) } else { low };
        from = index;
        Some((low + (high - low) * fraction) / 1e6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantile_seconds(durations_us: &mut [i64], q: f64) -> Option<f64> {
        quantiles_seconds(durations_us, [q])[0]
    }

    #[test]
    fn several_quantiles_are_those_of_one_at_a_time() {
        for count in 1..40_i64 {
            let durations: Vec<i64> = (0..count).map(|i| i * 7_919 % 101).collect();
            let qs = [0.0, 0.25, 0.5, 0.5, 0.9, 1.0];
            let together = quantiles_seconds(&mut durations.clone(), qs);
            assert_eq!(together, qs.map(|q| quantile_seconds(&mut durations.clone(), q)));
        }
    }

    #[test]
    fn interpolates_between_neighbours() {
        assert_eq!(quantile_seconds(&mut [], 0.5), None);
        assert_eq!(quantile_seconds(&mut [7_000_000], 0.9), Some(7.0));
        assert_eq!(quantile_seconds(&mut [4_000_000, 1_000_000, 3_000_000, 2_000_000], 0.5), Some(2.5));
        assert_eq!(quantile_seconds(&mut [30_000_000, 10_000_000, 20_000_000], 0.5), Some(20.0));
        let mut eleven: Vec<i64> = (0..=10).rev().map(|s| s * 1_000_000).collect();
        assert_eq!(quantile_seconds(&mut eleven, 0.9), Some(9.0));
        assert_eq!(quantile_seconds(&mut [0, 1_000_000], 0.9), Some(0.9));
        assert_eq!(quantile_seconds(&mut [0, 1_000_000], 1.0), Some(1.0));
    }
}
