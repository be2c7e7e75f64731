//! The same work on many things, by a few threads.

use crate::error::Result;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `act` on every one of `items`, by up to `threads` threads; the results in the order of the items, or the error of the
/// first item that has one.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    act: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    map_all(items, threads, act).into_iter().collect()
}

/// `act` on every one of `items`, by up to `threads` threads; the results in the order of the items.
pub fn map_all<T: Sync, R: Send>(items: &[T], threads: usize, act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(act).collect();
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let work = || {
        while let Some((at, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
        {
            let result = act(item);
            results.lock().push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn results_keep_the_order_and_errors_arrive() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(map(&items, 4, |item| Ok(item * 2)).unwrap(), (0..100).map(|n| n * 2).collect::<Vec<_>>());
        let error = map(&items, 4, |item| if item % 7 == 6 { Err(Error::invalid(item.to_string())) } else { Ok(()) });
        assert_eq!(error.unwrap_err().message(), "6");
    }
}
