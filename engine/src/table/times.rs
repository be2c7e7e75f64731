//! The times at which a user had an event id: sorted, so that a user with very many of one id costs little more than
//! another.

use crate::catalog::{Catalog, EventKey};
use crate::error::Result;
use std::collections::HashMap;

/// Whether an event at `ts` is no duplicate of one of `times`, which are sorted; then it is added to them.
pub(crate) fn accept(times: &mut Vec<i64>, ts: i64, window_us: i64) -> bool {
    let window_us = window_us.max(0);
    let first = times.partition_point(|&time| time < ts.saturating_sub(window_us));
    let new = times.get(first).is_none_or(|&time| time > ts.saturating_add(window_us));
    if new {
        // Nothing lies between `first` and the window's end, so this is the place.
        times.insert(first, ts);
    }
    new
}

/// The times that the catalog has of `keys`, sorted. A catalog may hold them in order of arrival.
pub(crate) fn sorted_times(catalog: &dyn Catalog, keys: &[EventKey]) -> Result<Vec<Vec<i64>>> {
    let mut stored = catalog.event_times(keys)?;
    stored.iter_mut().filter(|times| !times.is_sorted()).for_each(|times| times.sort_unstable());
    Ok(stored)
}

/// `found`, each entry with the times that the catalog has already.
pub(crate) fn with_stored(
    catalog: &dyn Catalog,
    mut found: HashMap<EventKey, Vec<i64>>,
) -> Result<Vec<(EventKey, Vec<i64>)>> {
    let keys: Vec<EventKey> = found.keys().copied().collect();
    let stored = catalog.event_times(&keys)?;
    let merge = |(key, mut times): (EventKey, Vec<i64>)| {
        times.append(found.get_mut(&key).unwrap_or(&mut Vec::new()));
        times.sort_unstable();
        (key, times)
    };
    Ok(keys.into_iter().zip(stored).map(merge).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_near_another_is_a_duplicate_whatever_the_order() {
        let mut seed = 7_u64;
        let mut below = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % end
        };
        for window_us in [0, 1, 10, 1000] {
            let (mut times, mut plain): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
            for _ in 0..500 {
                let ts = below(4000) as i64 - 2000;
                let near = plain.iter().any(|time| time.abs_diff(ts) <= window_us as u64);
                assert_eq!(accept(&mut times, ts, window_us), !near, "{ts} with {plain:?}");
                if !near {
                    plain.push(ts);
                }
                assert!(times.is_sorted());
            }
            assert_eq!(times.len(), plain.len());
        }
    }

    #[test]
    fn both_ends_of_time_and_endless_windows() {
        let mut times = Vec::new();
        assert!(accept(&mut times, i64::MAX, 5) && accept(&mut times, i64::MIN, 5));
        assert!(!accept(&mut times, i64::MAX - 5, 5) && !accept(&mut times, i64::MIN + 5, 5));
        assert!(accept(&mut times, 0, 5) && !accept(&mut times, 1, i64::MAX));
        assert_eq!(times, [i64::MIN, 0, i64::MAX]);
    }

    #[test]
    fn a_constant_event_id_is_no_quadratic_search() {
        let mut times = Vec::new();
        // A search from the front would compare 80,000,000,000 times.
        assert!((0..400_000).all(|n| accept(&mut times, 2 * n, 1)));
        assert!((0..400_000).all(|n| !accept(&mut times, 2 * n + 1, 1)));
    }
}
