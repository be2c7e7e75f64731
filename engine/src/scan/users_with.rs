//! Who has an event like that? From the indexes where they are exact, and by looking at events of those who may where
//! they are not.

use super::behavior::{BehaviorScan, UserEvents, scan_user_bits};
use super::candidates::matching_users;
use super::condition_bits::UserBits;
use crate::error::Result;
use crate::members::Members;
use crate::predicate::Predicate;
use crate::table::Snapshot;
use crate::types::TimeRange;
use roaring::RoaringBitmap;
use std::sync::atomic::AtomicBool;

impl Snapshot {
    /// The snapshot without segments that have nothing but events that arrived before: `arrivals` has by shard the first
    /// arrival number to look at. Older events may be left, where they lie in one segment with newer ones.
    #[must_use]
    pub fn since(&self, arrivals: &[u64]) -> Self {
        let mut part = self.clone();
        for (shard, first) in part.shards.iter_mut().zip(arrivals) {
            shard.segments.retain(|live| live.segment.meta().seq_end > *first);
        }
        part
    }
}

/// The users with an event in `time` that satisfies `predicate`.
///
/// # Errors
/// `Corrupt`, what a custom condition raises, `Cancelled` soon after `cancel` is set.
pub fn users_with(
    snapshot: &Snapshot,
    predicate: &Predicate,
    time: TimeRange,
    threads: usize,
    cancel: &AtomicBool,
) -> Result<Members> {
    let sets = matching_users(snapshot, predicate, time)?;
    let mut found: Vec<RoaringBitmap> = Vec::with_capacity(sets.len());
    let mut open: Vec<RoaringBitmap> = Vec::with_capacity(sets.len());
    for set in sets {
        let (exact, rest) =
            if set.exact { (set.users, RoaringBitmap::new()) } else { (RoaringBitmap::new(), set.users) };
        found.push(exact);
        open.push(rest);
    }
    if open.iter().any(|users| !users.is_empty()) {
        let scan = BehaviorScan {
            conditions: vec![predicate.clone()],
            filter: Predicate::True,
            time,
            keys: Vec::new(),
            every_event: false,
            users: Some(open),
        };
        for part in scanned(snapshot, &scan, threads, cancel)? {
            found.iter_mut().zip(part).for_each(|(sum, users)| *sum |= users);
        }
    }
    Ok(found.into())
}

/// Per thread and shard the users with an event of the scan.
fn scanned(
    snapshot: &Snapshot,
    scan: &BehaviorScan,
    threads: usize,
    cancel: &AtomicBool,
) -> Result<Vec<Vec<RoaringBitmap>>> {
    let init = || vec![RoaringBitmap::new(); snapshot.shards.len()];
    let by_bits = |found: &mut Vec<RoaringBitmap>, user: &UserBits<'_>| {
        let is_one = user.first_in(0, user.rows()).is_some();
        if is_one {
            found[user.shard].insert(user.ordinal);
        }
        // Where there was none, the events in the next block decide.
        Ok(is_one || user.is_whole)
    };
    let each = |found: &mut Vec<RoaringBitmap>, user: &UserEvents<'_>| {
        found[user.shard].insert(user.ordinal);
        Ok(())
    };
    let (workers, _) = scan_user_bits(snapshot, scan, threads, cancel, init, by_bits, each)?;
    Ok(workers.into_iter().map(|worker| worker.partial).collect())
}
