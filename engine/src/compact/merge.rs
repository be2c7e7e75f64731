//! The merge itself: streaming, in bounded memory, also where one user has millions of rows.

use super::supersede::Latest;
use crate::error::{Error, Result};
use crate::rows::{Column, Rows};
use crate::segment::{Segment, SegmentBuilder, SegmentMeta, SegmentSpec, widen};
use crate::types::Schema;
use roaring::RoaringBitmap;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

/// Rows gathered before they are handed to the builder at once.
const BATCH_ROWS: usize = 1 << 16;
/// Memory of gathered rows, in bytes, before they are handed to the builder: texts may be long.
const BATCH_BYTES: usize = 32 << 20;

/// A segment to merge, and what of it must not survive.
pub(crate) struct MergeInput {
    /// The segment.
    pub(crate) segment: Arc<Segment>,
    /// Deleted users of its shard.
    pub(crate) hidden: Arc<RoaringBitmap>,
}

/// Which of the visible rows survive a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All: events are facts.
    All,
    /// Of updates of profiles, what no later update of the user replaced.
    Latest,
}

/// Where a row sorts.
type Key = (u32, i64);

/// Merge `inputs`, neighbours in order of arrival, into one segment with the columns of `schema`. Rows of hidden users
/// and rows before `hidden_before_us` are left out; the ids of hidden users become NULL.
///
/// # Errors
/// `Corrupt` for a damaged input, and what the sink says.
pub(crate) fn merge<W: Write>(
    inputs: &[MergeInput],
    schema: &Schema,
    hidden_before_us: i64,
    keep: Keep,
    sink: W,
) -> Result<(SegmentMeta, W)> {
    let (first, last) = match inputs {
        [first, .., last] => (first, last),
        [only] => (only, only),
        [] => return Err(Error::invalid("nothing to merge")),
    };
    let (start, end) = (first.segment.meta(), last.segment.meta());
    let spec = SegmentSpec {
        shard: start.shard,
        seq: start.seq_start..end.seq_end,
        introduced: start.introduced_start..end.introduced_end,
        tz: first.segment.time_zone(),
        schema: schema.clone(),
    };
    let mut builder = SegmentBuilder::new(spec, sink);
    // Inputs are appended in order of arrival, so the position breaks ties rightly.
    let mut push = |batch: &Rows| builder.push(batch, &batch.sort_permutation());
    match keep {
        Keep::All => for_each_batch(inputs, schema, hidden_before_us, &mut push)?,
        Keep::Latest => {
            let mut latest = Latest::default();
            for_each_batch(inputs, schema, hidden_before_us, &mut |batch| latest.add(batch, &mut push))?;
            latest.finish(&mut push)?;
        }
    }
    let mut ids = Vec::new();
    for input in inputs {
        let first = input.segment.meta().introduced_start;
        let own = input.segment.user_ids()?.into_iter().zip(first..);
        ids.extend(own.map(|(id, ordinal)| id.filter(|_| !input.hidden.contains(ordinal))));
    }
    builder.finish(&mut ids.into_iter())
}

/// Give `each` the rows of `inputs`, in batches that follow one another in the order of the rows. In memory are a block of
/// every input, and a batch of about [`BATCH_ROWS`] or [`BATCH_BYTES`].
fn for_each_batch(
    inputs: &[MergeInput],
    schema: &Schema,
    hidden_before_us: i64,
    each: &mut dyn FnMut(&Rows) -> Result<()>,
) -> Result<()> {
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        cursors.push(Cursor { input, schema, next_block: 0, buffers: VecDeque::new(), hidden_before_us });
    }
    let mut batch = Rows::default();
    while fill(&mut cursors)? {
        let bound = cursors.iter().filter_map(Cursor::bound).min();
        let mut taken = 0;
        for cursor in &mut cursors {
            taken += cursor.take_before(bound, &mut batch)?;
        }
        if taken == 0 {
            // All rows of a buffer share the key of the bound: more of the same input is needed to know where they end.
            for cursor in cursors.iter_mut().filter(|cursor| cursor.bound() == bound) {
                cursor.load_block()?;
            }
        } else if batch.len() >= BATCH_ROWS || batch.memory_bytes() >= BATCH_BYTES {
            each(&std::mem::take(&mut batch))?;
        }
    }
    if batch.is_empty() { Ok(()) } else { each(&batch) }
}

/// Load a block for every cursor that has none; false when all are at their ends.
fn fill(cursors: &mut [Cursor<'_>]) -> Result<bool> {
    let mut any = false;
    for cursor in cursors {
        while cursor.buffers.is_empty() && cursor.has_more_blocks() {
            cursor.load_block()?;
        }
        any |= !cursor.buffers.is_empty();
    }
    Ok(any)
}

struct Buffer {
    rows: Rows,
    /// Rows before this one are taken.
    at: usize,
}

struct Cursor<'a> {
    input: &'a MergeInput,
    /// Of the segment that is made.
    schema: &'a Schema,
    next_block: usize,
    /// Loaded blocks; each has a row left.
    buffers: VecDeque<Buffer>,
    hidden_before_us: i64,
}

impl Cursor<'_> {
    fn has_more_blocks(&self) -> bool {
        self.next_block < self.input.segment.blocks().len()
    }

    /// Keys before this one are all loaded; `None` when everything is.
    fn bound(&self) -> Option<Key> {
        if !self.has_more_blocks() {
            return None;
        }
        let rows = &self.buffers.back()?.rows;
        Some((*rows.ordinals.last()?, *rows.ts.last()?))
    }

    fn load_block(&mut self) -> Result<()> {
        let meta = self.input.segment.blocks()[self.next_block];
        let block = self.input.segment.block(self.next_block);
        self.next_block += 1;
        let one_user = meta.first_ordinal == meta.last_ordinal;
        if meta.ts_max < self.hidden_before_us || one_user && self.input.hidden.contains(meta.first_ordinal) {
            return Ok(());
        }
        let mut rows = block.read(0..block.rows())?;
        // Inputs from before and after a column was widened meet here.
        for (name, column) in &mut rows.properties {
            if let Some(wanted) = self.schema.column(name).map(|column| column.column_type)
                && wanted != column.column_type()
            {
                *column = widen(std::mem::replace(column, Column::new(wanted)), wanted)?;
            }
        }
        if !rows.is_empty() {
            self.buffers.push_back(Buffer { rows, at: 0 });
        }
        Ok(())
    }

    /// Move the rows with keys before `bound` to `batch`, those that are not hidden; how many rows there were, hidden ones
    /// too.
    fn take_before(&mut self, bound: Option<Key>, batch: &mut Rows) -> Result<usize> {
        let mut taken = 0;
        while let Some(buffer) = self.buffers.front_mut() {
            let rows = &buffer.rows;
            let end = match bound {
                None => rows.len(),
                Some(bound) => partition_point(rows, buffer.at, bound),
            };
            let shown = |row: &usize| {
                rows.ts[*row] >= self.hidden_before_us && !self.input.hidden.contains(rows.ordinals[*row])
            };
            if meta_is_shown(&self.input.hidden, rows, buffer.at..end, self.hidden_before_us) {
                batch.append(rows, buffer.at..end)?;
            } else {
                let kept: Vec<u32> = (buffer.at..end).filter(shown).map(|row| row as u32).collect();
                batch.append_picked(rows, &kept)?;
            }
            taken += end - buffer.at;
            buffer.at = end;
            if end < rows.len() {
                break;
            }
            self.buffers.pop_front();
        }
        Ok(taken)
    }
}

/// Whether certainly no row of `range` is hidden.
fn meta_is_shown(hidden: &RoaringBitmap, rows: &Rows, range: std::ops::Range<usize>, hidden_before_us: i64) -> bool {
    let (Some(&first), Some(&last)) = (rows.ordinals.get(range.start), rows.ordinals.get(range.end.wrapping_sub(1)))
    else {
        return true;
    };
    let users = range.is_empty() || hidden.range_cardinality(first..=last) == 0;
    users && (hidden_before_us == i64::MIN || rows.ts[range].iter().all(|&ts| ts >= hidden_before_us))
}

/// The first row from `from` on whose key is not before `bound`.
fn partition_point(rows: &Rows, from: usize, bound: Key) -> usize {
    let (mut low, mut high) = (from, rows.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if (rows.ordinals[middle], rows.ts[middle]) < bound { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::TextColumn;
    use crate::storage::Blob;
    use crate::types::{ColumnDef, ColumnType};

    /// A segment of the users `users`, each with a text of `bytes` bytes that no other has.
    fn segment(users: std::ops::Range<u32>, schema: &Schema, bytes: usize) -> MergeInput {
        let spec = SegmentSpec {
            shard: 0,
            seq: u64::from(users.start)..u64::from(users.end),
            introduced: users.clone(),
            tz: chrono_tz::Tz::UTC,
            schema: schema.clone(),
        };
        let mut builder = SegmentBuilder::new(spec, Vec::new());
        let mut rows = Rows { ordinals: users.clone().collect(), ts: vec![1; users.len()], ..Rows::default() };
        let mut text = TextColumn::default();
        for user in users.clone() {
            rows.event.push(Some("x"));
            rows.event_id.push(None);
            text.push(Some(&format!("{user}{}", "x".repeat(bytes))));
        }
        rows.properties.push(("t".into(), Column::Text(text)));
        builder.push(&rows, &rows.sort_permutation()).unwrap();
        let (_, bytes) = builder.finish(&mut users.map(|user| Some(user.to_string()))).unwrap();
        MergeInput { segment: Arc::new(Segment::open(Blob::from(bytes)).unwrap()), hidden: Arc::default() }
    }

    #[test]
    fn a_segment_of_which_everything_is_hidden_leaves_the_ids_of_nobody() {
        let schema = Schema { columns: vec![ColumnDef { name: "t".into(), column_type: ColumnType::Text }] };
        let mut inputs = [segment(0..3, &schema, 1), segment(3..5, &schema, 1)];
        let hidden = |users: std::ops::Range<u32>| Arc::new(users.collect::<RoaringBitmap>());
        (inputs[0].hidden, inputs[1].hidden) = (hidden(0..3), hidden(3..5));
        for inputs in [&inputs[..1], &inputs[..]] {
            let (meta, bytes) = merge(inputs, &schema, i64::MIN, Keep::All, Vec::new()).unwrap();
            let merged = Segment::open(Blob::from(bytes)).unwrap();
            assert_eq!((meta.rows, merged.user_ids().unwrap().iter().flatten().count()), (0, 0));
        }
        // Past retention, with users that nobody deleted: their ids stay.
        (inputs[0].hidden, inputs[1].hidden) = (Arc::default(), hidden(3..4));
        let (meta, bytes) = merge(&inputs, &schema, 1, Keep::All, Vec::new()).unwrap();
        assert_eq!(meta.rows, 4, "a row at the line is not past it");
        let (meta, _) = merge(&inputs, &schema, 2, Keep::All, Vec::new()).unwrap();
        assert_eq!(meta.rows, 0);
        assert_eq!(Segment::open(Blob::from(bytes)).unwrap().user_ids().unwrap().iter().flatten().count(), 4);
    }

    #[test]
    fn batches_of_long_texts_are_bounded_by_bytes() {
        const TEXT_BYTES: usize = 1 << 20;
        let schema = Schema { columns: vec![ColumnDef { name: "t".into(), column_type: ColumnType::Text }] };
        let inputs = [segment(0..60, &schema, TEXT_BYTES), segment(60..120, &schema, TEXT_BYTES)];
        let (mut batches, mut users) = (Vec::new(), Vec::new());
        for_each_batch(&inputs, &schema, i64::MIN, &mut |batch| {
            batches.push(batch.memory_bytes());
            users.extend_from_slice(&batch.ordinals);
            Ok(())
        })
        .unwrap();
        assert!(users.into_iter().eq(0..120));
        // A dictionary keeps each text twice, and a step adds at most a block of each input.
        let most = BATCH_BYTES + 2 * inputs.len() * (17 * TEXT_BYTES);
        assert!(batches.iter().all(|&bytes| bytes <= most), "{batches:?}, at most {most}");
        assert!(batches.len() >= 3, "{batches:?}");
    }
}
