//! Exact quantiles of durations.

/// The `q`-quantile (0 to 1) of `durations_us` in seconds, or `None` when there are none.
///
/// Linear interpolation between the two neighbours of the position `q * (n - 1)`, as `quantile_cont` of DuckDB and
/// `percentile_cont` of PostgreSQL do it. Reorders the slice; the answer depends on its values alone.
pub fn quantile_seconds(durations_us: &mut [i64], q: f64) -> Option<f64> {
    if durations_us.is_empty() {
        return None;
    }
    let position = q.clamp(0.0, 1.0) * (durations_us.len() - 1) as f64;
    let index = (position.floor() as usize).min(durations_us.len() - 1);
    let fraction = position - index as f64;
    let (_, low, above) = durations_us.select_nth_unstable(index);
    let low = *low as f64;
    let high = above.iter().min().map_or(low, |&high| high as f64);
    Some((low + (high - low) * fraction) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

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
