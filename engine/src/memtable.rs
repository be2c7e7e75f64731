//! The memtable: recent events as small segments in memory, of the same format as those on disk, so that everything
//! above reads segments alone. Their sizes follow a binary counter: a row is merged about log2(n) times.

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

/// Merge the newest segments of `active` while the last is not much smaller than the one before.
pub(crate) fn settle(active: &mut Vec<LiveSegment>, schema: &Schema) -> Result<()> {
    while let [.., before, last] = active.as_slice() {
        let (before, last) = (weight(before), weight(last));
        if before >= LARGE_ROWS || before >= 2 * last {
            break;
        }
        let merged = merge_in_memory(&active[active.len() - 2..], schema)?;
        active.truncate(active.len() - 2);
        active.push(merged);
    }
    Ok(())
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
