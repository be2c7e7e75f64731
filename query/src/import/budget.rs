//! Memory of the pieces of work under way, kept below a limit whatever the number of threads.

use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;

/// Memory that the jobs under way may take until their turn comes, about, in bytes.
pub(super) const AHEAD_BYTES: u64 = 512 << 20;

/// How much memory the jobs under way may come to need.
///
/// The events of a job wait in the table for those of all jobs before it. So a job gives its share back when it and all
/// before it have ended, not when it has ended itself: else the jobs behind a slow one would pile up there.
pub(super) struct Budget {
    limit: u64,
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    used: u64,
    /// The first job that has not ended.
    next: u64,
    /// Jobs behind it that have ended, with what they hold.
    ended: BTreeMap<u64, u64>,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default(), released: Condvar::new() }
    }

    /// Wait until there is room for `bytes`. One job always has room.
    pub(super) fn acquire(&self, bytes: u64) {
        let mut state = self.state.lock();
        while state.used > 0 && state.used.saturating_add(bytes) > self.limit {
            self.released.wait(&mut state);
        }
        state.used = state.used.saturating_add(bytes);
    }

    /// Job `index`, which acquired `bytes`, has ended. Jobs are numbered from 0 in the order in which they acquired.
    pub(super) fn end(&self, index: u64, bytes: u64) {
        let mut state = self.state.lock();
        state.ended.insert(index, bytes);
        loop {
            let next = state.next;
            let Some(bytes) = state.ended.remove(&next) else { break };
            state.used = state.used.saturating_sub(bytes);
            state.next += 1;
        }
        drop(state);
        self.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    const JOBS: u64 = 400;
    const LIMIT: u64 = 100;

    fn size(job: u64) -> u64 {
        7 + job % 5
    }

    /// What is held at most when job 0 ends only after a while in which the others could run ahead.
    fn most_held(threads: usize, first: Duration) -> u64 {
        let budget = Budget::new(LIMIT);
        let (gauge, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let turn = Mutex::new((0, BTreeMap::new()));
        // Nothing is ever sent here: to wait for it is to wait for the time.
        let (_never, clock) = crossbeam_channel::bounded::<()>(0);
        let (sender, receiver) = crossbeam_channel::bounded::<u64>(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (receiver, clock) = (receiver.clone(), clock.clone());
                let (budget, gauge, turn) = (&budget, &gauge, &turn);
                scope.spawn(move || {
                    for job in receiver {
                        if job == 0 {
                            let _ = clock.recv_timeout(first);
                        }
                        // The gauge falls when the turn of a job has passed, as its events leave the queue of the table.
                        let mut turn = turn.lock();
                        turn.1.insert(job, size(job));
                        while let Some((&next, &bytes)) = turn.1.first_key_value().filter(|(next, _)| **next == turn.0)
                        {
                            gauge.fetch_sub(bytes, Ordering::SeqCst);
                            turn.1.remove(&next);
                            turn.0 += 1;
                        }
                        drop(turn);
                        budget.end(job, size(job));
                    }
                });
            }
            drop(receiver);
            for job in 0..JOBS {
                budget.acquire(size(job));
                let held = gauge.fetch_add(size(job), Ordering::SeqCst) + size(job);
                most.fetch_max(held, Ordering::SeqCst);
                sender.send(job).unwrap();
            }
            drop(sender);
        });
        assert_eq!(turn.into_inner().0, JOBS);
        most.into_inner()
    }

    #[test]
    fn jobs_behind_a_slow_one_stay_below_the_limit() {
        for threads in [1, 2, 8, 64] {
            let most = most_held(threads, Duration::from_millis(100));
            assert!(most <= LIMIT, "{most} bytes were held with {threads} threads");
        }
    }

    #[test]
    fn a_job_above_the_limit_runs_alone() {
        let budget = Budget::new(LIMIT);
        budget.acquire(10 * LIMIT);
        budget.end(0, 10 * LIMIT);
        budget.acquire(LIMIT);
        budget.end(1, LIMIT);
        assert_eq!(budget.state.lock().used, 0);
    }
}
