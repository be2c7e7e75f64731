//! The same work on many things, by a few threads.

use crate::error::Result;
use std::convert::Infallible;
use std::panic::resume_unwind;
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
    let begin = || Ok::<_, Infallible>(Vec::new());
    let of_threads = in_turns(items.len(), threads, begin, |results, at| {
        results.push((at, act(&items[at])));
        Ok(())
    });
    let mut results: Vec<(usize, R)> = of_threads.into_iter().flatten().flatten().collect();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The pieces of a work, from 0 to `pieces`, by up to `threads` threads: each makes its own `begin`, to which it adds the
/// pieces that it takes, by `add`.
///
/// # Errors
/// One of those of `begin` and `add`. After the first one nobody takes another piece.
pub fn in_turns<T: Send, E: Send>(
    pieces: usize,
    threads: usize,
    begin: impl Fn() -> Result<T, E> + Sync,
    add: impl Fn(&mut T, usize) -> Result<(), E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let work_off = || -> Result<T, E> {
        let mut state = begin()?;
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return Ok(state);
            }
            if let Err(error) = add(&mut state, piece) {
                next.store(pieces, Ordering::Relaxed);
                return Err(error);
            }
        }
    };
    let threads = threads.min(pieces);
    if threads <= 1 {
        return Ok(vec![work_off()?]);
    }
    // This thread waits. If it worked, too, the scheduler would often leave a new thread on its core, behind it, for as long as
    // work of a millisecond takes, and another core idle.
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work_off)).collect();
        all.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
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

    #[test]
    fn every_piece_is_taken_once_and_none_after_an_error() {
        for threads in [0, 1, 3, 200] {
            let add = |taken: &mut Vec<usize>, piece| {
                taken.push(piece);
                Ok::<_, Infallible>(())
            };
            let of_threads = in_turns(100, threads, || Ok(Vec::new()), add).unwrap();
            assert_eq!(of_threads.len(), threads.clamp(1, 100));
            let mut taken = of_threads.concat();
            taken.sort_unstable();
            assert_eq!(taken, (0..100).collect::<Vec<_>>());
        }
        let count = AtomicUsize::new(0);
        let add = |_: &mut (), piece: usize| {
            count.fetch_add(1, Ordering::Relaxed);
            if piece == 3 { Err(piece) } else { Ok(()) }
        };
        assert_eq!(in_turns(1_000_000, 1, || Ok(()), add), Err(3));
        assert_eq!(count.into_inner(), 4);
        assert_eq!(in_turns(0, 4, || Ok(7), |_, _| Err(())), Ok(vec![7]));
    }
}
