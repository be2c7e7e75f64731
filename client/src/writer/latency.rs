//! How long batches take from their sending to their acknowledgement, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each doubling: a quantile is right to a sixteenth.
const PER_DOUBLING: u64 = 16;
/// Doublings of a microsecond: the last one is above a day.
const DOUBLINGS: u64 = 37;

/// Times from the sending of a batch to its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Batches.
    pub batches: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Counts of times.
pub(super) struct Histogram {
    buckets: Vec<AtomicU64>,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = (0..PER_DOUBLING * DOUBLINGS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, max_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts a time.
    pub(super) fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.max_us.fetch_max(us, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub(super) fn summary(&self) -> Latency {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let batches: u64 = counts.iter().sum();
        let max = Duration::from_micros(self.max_us.load(Ordering::Relaxed));
        let at = |percent: u64| {
            let wanted = (batches * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            found.map_or(Duration::ZERO, |bucket| Duration::from_micros(end_of(bucket)).min(max))
        };
        Latency { batches, p50: at(50), p99: at(99), max }
    }
}

/// The bucket of a time: below 16 µs one each, above that 16 for each doubling.
fn bucket_of(us: u64) -> usize {
    let doubling = (us / PER_DOUBLING).checked_ilog2().map_or(0, |log| u64::from(log) + 1);
    let within = if doubling == 0 { us } else { (us >> (doubling - 1)) - PER_DOUBLING };
    usize::try_from((doubling * PER_DOUBLING + within).min(PER_DOUBLING * DOUBLINGS - 1)).unwrap_or(usize::MAX)
}

/// The longest time of a bucket, in microseconds.
fn end_of(bucket: usize) -> u64 {
    let (doubling, within) = (bucket as u64 / PER_DOUBLING, bucket as u64 % PER_DOUBLING);
    match doubling {
        0 => within,
        doubling => ((PER_DOUBLING + within + 1) << (doubling - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_ends_after_it() {
        for us in (0..5_000).chain([1 << 20, (1 << 20) - 1, 123_456_789, 86_400_000_000]) {
            let bucket = bucket_of(us);
            assert!(us <= end_of(bucket), "{us}");
            assert!(bucket == 0 || us > end_of(bucket - 1), "{us}");
            assert!(end_of(bucket) as f64 <= us as f64 * (1.0 + 1.0 / 16.0) + 1.0, "{us}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_counted_times() {
        let histogram = Histogram::default();
        assert_eq!(histogram.summary(), Latency::default());
        (1..=100).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        let summary = histogram.summary();
        let near = |found: Duration, ms: u128| found.as_millis() >= ms && found.as_millis() <= ms + ms / 16 + 1;
        assert!(near(summary.p50, 50) && near(summary.p99, 99), "{summary:?}");
        assert_eq!((summary.batches, summary.max), (100, Duration::from_millis(100)));
        histogram.record(Duration::MAX);
        assert_eq!(histogram.summary().batches, 101);
    }
}
