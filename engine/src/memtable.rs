//! The memtable: recent events as small segments in memory, of the same format as those on disk, so that everything
//! above reads segments alone. Four of about one size become one: a row is merged about log4(n) times.

use crate::compact::{Keep, MergeInput, merge};
use crate::error::Result;
use crate::log::ShardBatch;
use crate::rows::Rows;
use crate::segment::{Segment, SegmentBuilder, SegmentSpec};
use crate::storage::Blob;
use crate::table::LiveSegment;
use crate::types::Schema;
use std::sync::Arc;

/// A segment of this many rows and new users is left alone until it is flushed.
const LARGE_ROWS: u64 = 1 << 17;

/// So many segments of about one size are merged into one.
const SIMILAR_MAX: usize = 4;

/// The segment of one shard's part of a batch.
pub(crate) fn build(batch: &ShardBatch, schema: &Schema, tz: chrono_tz::Tz) -> Result<LiveSegment> {
    let rows = &batch.rows;
    let spec = SegmentSpec {
        shard: batch.shard,
        seq: batch.seq_start..batch.seq_start + rows.len() as u64,
        introduced: batch.first_ordinal..batch.first_ordinal + batch.new_users.len() as u32,
        tz,
        schema: schema.clone(),
    };
    let mut builder = SegmentBuilder::new(spec, Vec::new());
    builder.push(rows, &rows.sort_permutation())?;
    let (_, bytes) = builder.finish(&mut batch.new_users.iter().cloned().map(Some))?;
    LiveSegment::new(Segment::open(Blob::from(bytes))?)
}

/// A segment of histories that aliases join to those of `rows.ordinals`. It comes before everything that arrived in the
/// shard, so its arrival numbers and the ordinals that it introduces are none.
pub(crate) fn build_joined(shard: u16, rows: &Rows, schema: &Schema, tz: chrono_tz::Tz) -> Result<LiveSegment> {
    let spec = SegmentSpec { shard, seq: 0..0, introduced: 0..0, tz, schema: schema.clone() };
    let mut builder = SegmentBuilder::new(spec, Vec::new());
    builder.push(rows, &rows.sort_permutation())?;
    let (_, bytes) = builder.finish(&mut std::iter::empty())?;
    LiveSegment::new(Segment::open(Blob::from(bytes))?)
}

/// Rows, and users whom the segment introduces: some come without a row.
fn weight(live: &LiveSegment) -> u64 {
    let meta = live.segment.meta();
    (meta.rows + u64::from(meta.introduced_end - meta.introduced_start)).max(1)
}

/// Merge the newest segments of `active` wherever there are several of about one size.
pub(crate) fn settle(active: &mut Vec<LiveSegment>, schema: &Schema) -> Result<()> {
    while let Some(start) = similar_from(&active.iter().map(weight).collect::<Vec<_>>()) {
        let merged = merge_in_memory(&active[start..], schema)?;
        active.truncate(start);
        active.push(merged);
    }
    Ok(())
}

/// Where those begin at the end of `weights` that are to be merged; `None` where there are too few of about one size.
fn similar_from(weights: &[u64]) -> Option<usize> {
    let last = *weights.last()?;
    let is_similar = |weight: &&u64| **weight < LARGE_ROWS && **weight < SIMILAR_MAX as u64 * last;
    let similar = weights.iter().rev().take_while(is_similar).count();
    (similar >= SIMILAR_MAX).then(|| weights.len() - similar)
}

fn merge_in_memory(segments: &[LiveSegment], schema: &Schema) -> Result<LiveSegment> {
    let inputs: Vec<MergeInput> = segments.iter().map(MergeInput::from).collect();
    let (_, bytes) = merge(&inputs, schema, i64::MIN, Keep::All, Vec::new())?;
    LiveSegment::new(Segment::open(Blob::from(bytes))?)
}

impl From<&LiveSegment> for MergeInput {
    fn from(live: &LiveSegment) -> Self {
        Self { segment: Arc::clone(&live.segment), hidden: Arc::clone(&live.erased) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes after segments of these sizes came one after the other, and how often a row was merged on average.
    fn settled(sizes: impl IntoIterator<Item = u64>) -> (Vec<u64>, f64) {
        let (mut weights, mut rows, mut merged) = (Vec::new(), 0, 0);
        for size in sizes {
            weights.push(size);
            rows += size;
            while let Some(start) = similar_from(&weights) {
                let sum = weights.drain(start..).sum();
                merged += sum;
                weights.push(sum);
            }
        }
        (weights, merged as f64 / rows as f64)
    }

    #[test]
    fn segments_in_memory_stay_few_and_rows_are_merged_seldom() {
        for size in [1, 125, 1_000] {
            let (weights, merged) = settled(std::iter::repeat_n(size, 255));
            assert_eq!(weights, [64, 64, 64, 16, 16, 16, 4, 4, 4, 1, 1, 1].map(|times| times * size));
            assert!(merged < 4.0, "{merged} times");
        }
        let mixed = (0..10_000_u64).map(|at| 1 + at * 7_919 % 97);
        let (weights, merged) = settled(mixed);
        assert!(weights.len() <= 24 && merged < 7.0, "{weights:?}, {merged} times");
        // One that is large waits for its like, and does not let small ones pile up behind it.
        let (weights, _) = settled([LARGE_ROWS].into_iter().chain(std::iter::repeat_n(1, 1_000)));
        assert!(weights.len() <= 16 && weights[0] == LARGE_ROWS, "{weights:?}");
    }
}
