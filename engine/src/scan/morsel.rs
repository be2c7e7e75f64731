//! How is the work cut into pieces? Ranges of ordinals of one shard, of about the same number of rows.

use crate::table::{ShardSnapshot, Snapshot};
use std::ops::Range;

/// Rows of one morsel, about: small enough that two threads finish together, large enough that starting one is nothing.
const MORSEL_ROWS: u64 = 262_144;

/// A range of users of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Morsel {
    pub(crate) shard: usize,
    pub(crate) ordinals: Range<u32>,
}

/// All users of the snapshot in morsels, in order.
pub(crate) fn morsels(snapshot: &Snapshot) -> Vec<Morsel> {
    let cut = |(shard, of): (usize, &ShardSnapshot)| {
        cuts(of).into_iter().map(move |ordinals| Morsel { shard, ordinals }).collect::<Vec<_>>()
    };
    snapshot.shards.iter().enumerate().flat_map(cut).collect()
}

/// The largest segment of the shard tells where its rows are.
fn cuts(shard: &ShardSnapshot) -> Vec<Range<u32>> {
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
            ranges.push(start..block.last_ordinal + 1);
            start = block.last_ordinal + 1;
            rows = 0;
        }
    }
    ranges.push(start..u32::MAX);
    ranges
}
