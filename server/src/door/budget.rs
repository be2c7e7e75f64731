//! How much may be under way at one time, and how fast one key may send.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of requests that are under way.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<AtomicUsize>,
}

/// Bytes that are taken from a budget until this is dropped.
#[derive(Debug)]
pub struct Held {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// Nothing yet.
    pub fn hold(&self) -> Held {
        Held { free: Arc::clone(&self.free), bytes: 0 }
    }
}

impl Held {
    /// Take more. Whether there was so much.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(bytes));
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

/// Events a second, key by key. A batch is taken as long as nothing is owed, and owes what goes beyond the rate: so a large
/// batch is never too large, and on average the rate holds.
#[derive(Debug)]
pub struct Rates {
    per_second: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Events that may come; below 0: that were let in ahead of their time.
    events: f64,
    at_us: i64,
}

impl Rates {
    /// So many events a second; 0: any number.
    pub fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second), buckets: Mutex::default() }
    }

    /// Let `events` of a key in, or say after how many seconds to come again.
    ///
    /// # Errors
    /// The seconds, at least 1.
    pub fn charge(&self, key: &str, events: usize, now_us: i64) -> Result<(), u64> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock();
        let full = Bucket { events: self.per_second, at_us: now_us };
        let bucket = buckets.entry(key.to_string()).or_insert(full);
        let seconds = now_us.saturating_sub(bucket.at_us).max(0) as f64 / 1e6;
        let held = (bucket.events + seconds * self.per_second).min(self.per_second);
        *bucket = Bucket { events: held, at_us: now_us.max(bucket.at_us) };
        if held <= 0.0 {
            return Err((-held / self.per_second).ceil().max(1.0) as u64);
        }
        bucket.events = held - events as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_comes_back() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.hold(), budget.hold());
        assert!(first.grow(4) && second.grow(6));
        assert!(!first.grow(1));
        drop(second);
        assert!(first.grow(6) && !first.grow(1));
    }

    #[test]
    fn a_rate_holds_on_average_and_each_key_has_its_own() {
        let rates = Rates::new(10);
        assert_eq!(rates.charge("a", 35, 0), Ok(()));
        assert_eq!(rates.charge("a", 1, 0), Err(3));
        assert_eq!(rates.charge("b", 1, 0), Ok(()));
        assert_eq!(rates.charge("a", 1, 2_400_000), Err(1));
        assert_eq!(rates.charge("a", 1, 2_600_000), Ok(()));
        // A clock that goes back gives nothing.
        assert_eq!(rates.charge("a", 1, 0), Err(1));
        assert_eq!(Rates::new(0).charge("a", 1_000_000, 0), Ok(()));
        assert_eq!(rates.charge("a", 1, 60_000_000), Ok(()));
    }
}
