//! Plain rows of a table as Arrow batches, for general SQL.

use super::batch::batch_of;
use super::bind::{Binder, Node};
use super::bound::{Wanted, candidates_of, runs_of};
use super::candidates::{matching_users, visible_time};
use super::evaluate::{BlockContext, evaluate};
use super::report::ScanReport;
use super::test::TRUE;
use crate::error::Result;
use crate::predicate::{ColumnRef, Predicate};
use crate::table::Snapshot;
use crate::types::TimeRange;
use arrow_array::RecordBatch;
use roaring::RoaringBitmap;

/// Blocks in one morsel of rows.
const MORSEL_BLOCKS: usize = 4;

/// Which rows and columns SQL wants.
#[derive(Debug, Clone)]
pub struct RowScan {
    /// Columns of the batches, in order.
    pub columns: Vec<ColumnRef>,
    /// Only rows for which it is true.
    pub filter: Predicate,
    /// Only rows in this range of time.
    pub time: TimeRange,
    /// A morsel may stop after this many rows.
    pub limit: Option<usize>,
}

/// A piece of a [`RowPlan`]: some blocks of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMorsel {
    shard: usize,
    segment: usize,
    blocks: Vec<usize>,
}

/// A row scan of one snapshot, with what the indexes pruned.
#[derive(Debug)]
pub struct RowPlan {
    snapshot: Snapshot,
    scan: RowScan,
    users: Option<Vec<RoaringBitmap>>,
    morsels: Vec<RowMorsel>,
    report: ScanReport,
}

/// Decide which blocks to read.
///
/// # Errors
/// `InvalidInput` for a column that the table does not have; `Corrupt` if an index cannot be read.
pub fn plan_rows(snapshot: &Snapshot, scan: RowScan) -> Result<RowPlan> {
    super::batch::arrow_schema(&snapshot.schema, &scan.columns)?;
    let scan = RowScan { time: visible_time(snapshot, scan.time), ..scan };
    let filtered = !matches!(scan.filter, Predicate::True);
    let users = if filtered {
        let sets = matching_users(snapshot, &scan.filter, scan.time)?;
        Some(sets.into_iter().map(|set| set.users).collect::<Vec<_>>())
    } else {
        None
    };
    let mut plan =
        RowPlan { snapshot: snapshot.clone(), scan, users, morsels: Vec::new(), report: ScanReport::default() };
    plan.choose_blocks()?;
    Ok(plan)
}

impl RowPlan {
    fn choose_blocks(&mut self) -> Result<()> {
        let mut report = ScanReport::default();
        let mut morsels = Vec::new();
        for (shard, of) in self.snapshot.shards.iter().enumerate() {
            report.users += u64::from(of.next_ordinal);
            let candidates = self.users.as_ref().map(|users| &users[shard]);
            report.users_candidate += candidates.map_or(u64::from(of.next_ordinal), RoaringBitmap::len);
            for (index, live) in of.segments.iter().enumerate() {
                let node = self.bind(shard, index)?;
                report.segments += 1;
                report.events += live.segment.meta().rows;
                let mut chosen = Vec::new();
                for (block, meta) in live.segment.blocks().iter().enumerate() {
                    report.blocks += 1;
                    if !self.scan.time.overlaps(meta.ts_min, meta.ts_max) {
                        report.blocks_skipped_by_time += 1;
                    } else if !node.can_match_block(&live.segment, block) {
                        report.blocks_skipped_by_range += 1;
                    } else if candidates
                        .is_some_and(|users| users.range_cardinality(meta.first_ordinal..=meta.last_ordinal) == 0)
                    {
                        report.blocks_skipped_by_users += 1;
                    } else {
                        chosen.push(block);
                    }
                }
                let piece = |blocks: &[usize]| RowMorsel { shard, segment: index, blocks: blocks.to_vec() };
                morsels.extend(chosen.chunks(MORSEL_BLOCKS).map(piece));
            }
        }
        (self.morsels, self.report) = (morsels, report);
        Ok(())
    }

    fn bind(&self, shard: usize, segment: usize) -> Result<Node> {
        let segment = &self.snapshot.shards[shard].segments[segment].segment;
        Binder { snapshot: &self.snapshot, shard, segment }.bind(&self.scan.filter, false)
    }

    /// The pieces of work, in order of shard, arrival and user. They can be read in any order, by any thread.
    pub fn morsels(&self) -> &[RowMorsel] {
        &self.morsels
    }

    /// What was pruned before any row was read.
    pub fn report(&self) -> &ScanReport {
        &self.report
    }

    /// The Arrow schema of the batches.
    ///
    /// # Errors
    /// None in practice: the columns were checked when the plan was made.
    pub fn schema(&self) -> Result<arrow_schema::SchemaRef> {
        super::batch::arrow_schema(&self.snapshot.schema, &self.scan.columns)
    }

    /// Read one piece: a batch a block, without the empty ones. `report` counts the work.
    ///
    /// # Errors
    /// `Corrupt` if a block cannot be read, and what a custom condition raises.
    pub fn read(&self, morsel: &RowMorsel, report: &mut ScanReport) -> Result<Vec<RecordBatch>> {
        let node = self.bind(morsel.shard, morsel.segment)?;
        let mut left = self.scan.limit.unwrap_or(usize::MAX);
        let mut batches = Vec::new();
        for &block in &morsel.blocks {
            if left == 0 {
                break;
            }
            let batch = self.read_block(morsel, &node, block, left, report)?;
            if let Some(batch) = batch {
                left -= batch.num_rows();
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    fn read_block(
        &self,
        morsel: &RowMorsel,
        node: &Node,
        index: usize,
        limit: usize,
        report: &mut ScanReport,
    ) -> Result<Option<RecordBatch>> {
        let live = &self.snapshot.shards[morsel.shard].segments[morsel.segment];
        let block = live.segment.block(index);
        let users = block.users()?;
        let context =
            BlockContext { snapshot: &self.snapshot, shard: morsel.shard, segment: &live.segment, block, users };
        let mut rows = self.select(&context, morsel, node, index, report)?;
        rows.truncate(limit);
        if rows.is_empty() {
            return Ok(None);
        }
        report.events_matched += rows.len() as u64;
        batch_of(&context, &self.scan.columns, &rows).map(Some)
    }

    fn select(
        &self,
        context: &BlockContext<'_>,
        morsel: &RowMorsel,
        node: &Node,
        index: usize,
        report: &mut ScanReport,
    ) -> Result<Vec<u32>> {
        let live = &self.snapshot.shards[morsel.shard].segments[morsel.segment];
        let candidates = self.users.as_ref().map(|users| &users[morsel.shard]);
        let mut runs = Vec::new();
        let wanted = Wanted { ordinals: 0..u32::MAX, candidates, hidden: &live.hidden };
        let mut candidates = Vec::new();
        candidates_of(&context.users, &wanted, &mut candidates);
        runs_of(&context.users, &candidates, &mut runs);
        if runs.is_empty() {
            report.blocks_skipped_by_users += 1;
            return Ok(Vec::new());
        }
        report.blocks_read += 1;
        let mut rows: Vec<u32> = runs.iter().flat_map(|&(start, end)| start..end).collect();
        report.events_read += rows.len() as u64;
        let meta = &live.segment.blocks()[index];
        if !(self.scan.time.contains(meta.ts_min) && self.scan.time.contains(meta.ts_max)) {
            let times = context.block.times()?;
            rows.retain(|&row| self.scan.time.contains(times.get(row as usize)));
        }
        if !matches!(node, Node::Const(TRUE)) && !rows.is_empty() {
            let events = context.block.events()?;
            let codes: Vec<u32> = rows.iter().map(|&row| events.get(row as usize) as u32).collect();
            let truths = evaluate(node, context, &rows, &codes)?;
            let mut truths = truths.into_iter();
            rows.retain(|_| truths.next() == Some(TRUE));
        }
        Ok(rows)
    }
}
