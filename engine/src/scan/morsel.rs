//! How is the work cut into pieces? Ranges of ordinals of one shard, of about the same number of rows.

use crate::table::{ShardSnapshot, Snapshot};
use std::cmp::Reverse;
use std::ops::Range;

/// Rows of one morsel, about: small enough that two threads finish together, large enough that starting one is nothing.
const MORSEL_ROWS: u64 = 262_144;

/// A range of users of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Morsel {
    pub(crate) shard: usize,
    pub(crate) ordinals: Range<u32>,
    /// About.
    rows: u64,
}

/// All users of the snapshot in morsels: first those that are several times as large as others, since they have a user
/// with a great many events, whom one thread reads while others do the rest; then in order.
pub(crate) fn morsels(snapshot: &Snapshot) -> Vec<Morsel> {
    let cut = |(shard, of): (usize, &ShardSnapshot)| {
        cuts(of).into_iter().map(move |(ordinals, rows)| Morsel { shard, ordinals, rows }).collect::<Vec<_>>()
    };
    let mut morsels: Vec<Morsel> = snapshot.shards.iter().enumerate().flat_map(cut).collect();
    morsels.sort_by_key(|morsel| Reverse(morsel.rows / (2 * MORSEL_ROWS)));
    morsels
}

/// Ranges and their rows. The largest segment of the shard tells where its rows are.
fn cuts(shard: &ShardSnapshot) -> Vec<(Range<u32>, u64)> {
    let Some(largest) = shard.segments.iter().max_by_key(|live| live.segment.meta().rows) else { return Vec::new() };
    let total: u64 = shard.segments.iter().map(|live| live.segment.meta().rows).sum();
    let own = largest.segment.meta().rows;
    if own == 0 {
        return Vec::new();
    }
    // the other segments' rows are taken to lie like the largest one's
    let target = (MORSEL_ROWS * own / total).max(1);
    let (mut start, mut rows, mut ranges) = (0, 0, Vec::new());
    for block in largest.segment.blocks() {
        rows += u64::from(block.rows);
        if rows >= target && block.last_ordinal >= start {
            ranges.push((start..block.last_ordinal + 1, rows.saturating_mul(total) / own));
            start = block.last_ordinal + 1;
            rows = 0;
        }
    }
    ranges.push((start..u32::MAX, rows.saturating_mul(total) / own));
    ranges
}
