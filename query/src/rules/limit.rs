//! How many events of a user within a span of time are let in.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Most counts that are kept a rule.
const COUNTS_MAX: usize = 100_000;

/// The counts of one rule.
#[derive(Debug)]
pub(super) struct Limit {
    events: u64,
    window_us: i64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By window, and in it by the hash of the user: ids may be long.
    windows: BTreeMap<i64, HashMap<u128, u64>>,
    total: usize,
}

impl Limit {
    pub(super) fn new(events: u64, window_us: i64) -> Self {
        Self { events, window_us, counts: Mutex::default() }
    }

    /// Let one more event of a user in, if there is room for it. `taken` gives the place back, unless it is kept.
    pub(super) fn take(self: &Arc<Self>, user: u128, ts_us: i64, taken: &mut Taken) -> bool {
        let window = ts_us.div_euclid(self.window_us);
        let mut counts = self.counts.lock();
        let users = counts.windows.entry(window).or_default();
        let before = users.get(&user).copied().unwrap_or(0);
        if before >= self.events {
            return false;
        }
        users.insert(user, before + 1);
        counts.total += usize::from(before == 0);
        while counts.total > COUNTS_MAX {
            let forgotten = counts.windows.pop_first().map_or(0, |(_, users)| users.len());
            counts.total = counts.total.saturating_sub(forgotten);
        }
        taken.places.push((Arc::clone(self), user, window));
        true
    }

    fn give_back(&self, user: u128, window: i64) {
        let mut counts = self.counts.lock();
        // It may be forgotten by now.
        let Some(users) = counts.windows.get_mut(&window) else { return };
        let Some(count) = users.get_mut(&user) else { return };
        *count -= 1;
        if *count == 0 {
            users.remove(&user);
            if users.is_empty() {
                counts.windows.remove(&window);
            }
            counts.total -= 1;
        }
    }
}

/// What events of a batch took of limits. Dropped before [`Taken::keep`], it gives everything back: the batch was not stored.
#[derive(Debug, Default)]
pub struct Taken {
    places: Vec<(Arc<Limit>, u128, i64)>,
}

impl Taken {
    /// The batch is stored.
    pub fn keep(mut self) {
        self.places.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (limit, user, window) in self.places.drain(..) {
            limit.give_back(user, window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_is_not_counted() {
        let limit = Arc::new(Limit::new(2, 1_000));
        let mut taken = Taken::default();
        assert!(limit.take(7, 0, &mut taken) && limit.take(7, 999, &mut taken));
        assert!(!limit.take(7, 500, &mut taken) && limit.take(7, 1_000, &mut taken) && limit.take(7, -1, &mut taken));
        drop(taken);
        assert_eq!(limit.counts.lock().total, 0);
        assert!(limit.counts.lock().windows.is_empty());
        let mut taken = Taken::default();
        assert!(limit.take(7, 0, &mut taken));
        taken.keep();
        for _ in 0..3 {
            assert!(limit.take(7, 0, &mut Taken::default()));
        }
    }

    #[test]
    fn the_earliest_are_forgotten() {
        let limit = Arc::new(Limit::new(1, 1));
        let mut taken = Taken::default();
        for user in 0..COUNTS_MAX as u128 {
            assert!(limit.take(user, i64::from(user >= 10), &mut taken));
        }
        assert!(!limit.take(3, 0, &mut taken));
        assert!(limit.take(0, 2, &mut taken));
        assert!(limit.take(3, 5, &mut taken));
        assert!(!limit.take(20, 1, &mut taken));
        assert!(limit.counts.lock().total <= COUNTS_MAX);
        drop(taken);
        assert_eq!(limit.counts.lock().total, 0);
    }
}
