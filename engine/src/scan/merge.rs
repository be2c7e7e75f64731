//! One user's events from several segments, in total order.
//!
//! Segments come in order of arrival and each is sorted by (user, ts, arrival). So a stable sort by ts of the pieces put
//! one after the other is the total order; when the pieces follow each other in time it is there already.

use super::bind::Binder;
use super::evaluate::BlockContext;
use super::keys::KeySpace;
use super::report::ScanReport;
use super::selection::{BoundScan, Selection, Wanted};
use crate::error::Result;
use crate::table::{LiveSegment, Snapshot};
use std::ops::Range;

/// Walks the users of one segment within a morsel.
pub(crate) struct Cursor<'a> {
    snapshot: &'a Snapshot,
    shard: usize,
    live: &'a LiveSegment,
    scan: BoundScan,
    wanted: Wanted<'a>,
    blocks: Range<usize>,
    selection: Selection,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first user.
    pub(crate) fn new(binder: &Binder<'a>, live: &'a LiveSegment, scan: BoundScan, wanted: Wanted<'a>) -> Self {
        let blocks = live.segment.blocks();
        let first = blocks.partition_point(|block| block.last_ordinal < wanted.ordinals.start);
        let end = blocks.partition_point(|block| block.first_ordinal < wanted.ordinals.end);
        Self {
            snapshot: binder.snapshot,
            shard: binder.shard,
            live,
            scan,
            wanted,
            blocks: first..end.max(first),
            selection: Selection::default(),
            at: 0,
        }
    }

    /// The user it stands at; `None` at the end.
    pub(crate) fn ordinal(&self) -> Option<u32> {
        self.selection.ordinals.get(self.at).copied()
    }

    /// Read blocks until there is a user to stand at.
    pub(crate) fn load(&mut self, keys: &mut KeySpace, report: &mut ScanReport) -> Result<()> {
        while self.at >= self.selection.ordinals.len() {
            self.at = 0;
            self.selection.ordinals.clear();
            let Some(index) = self.blocks.next() else { return Ok(()) };
            self.read(index, keys, report)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize, keys: &mut KeySpace, report: &mut ScanReport) -> Result<()> {
        let segment = &*self.live.segment;
        let meta = &segment.blocks()[index];
        let visible = super::candidates::visible_time(self.snapshot, self.scan.time_or_all());
        if !visible.overlaps(meta.ts_min, meta.ts_max) {
            report.blocks_skipped_by_time += 1;
            return Ok(());
        }
        if !self.scan.can_match_block(segment, index) {
            report.blocks_skipped_by_range += 1;
            return Ok(());
        }
        if let Some(candidates) = self.wanted.candidates
            && candidates.range_cardinality(meta.first_ordinal..=meta.last_ordinal) == 0
        {
            report.blocks_skipped_by_users += 1;
            return Ok(());
        }
        let block = segment.block(index);
        let users = block.users()?;
        let context = BlockContext { snapshot: self.snapshot, shard: self.shard, segment, block, users };
        self.selection.fill(&mut self.scan, &context, &self.wanted, keys, report)
    }

    /// Whether the user it stands at may go on in the segment's next block.
    pub(crate) fn may_continue(&self) -> bool {
        self.at + 1 == self.selection.ordinals.len()
            && self.blocks.start < self.blocks.end
            && Some(self.live.segment.blocks()[self.blocks.start].first_ordinal) == self.ordinal()
    }

    /// The events of the user it stands at.
    pub(crate) fn events(&self) -> (Range<usize>, &Selection) {
        let bounds = &self.selection.bounds;
        (bounds[self.at] as usize..bounds[self.at + 1] as usize, &self.selection)
    }

    /// Go to the next user.
    pub(crate) fn advance(&mut self, keys: &mut KeySpace, report: &mut ScanReport) -> Result<()> {
        self.at += 1;
        self.load(keys, report)
    }
}

/// Events of one user put together from several pieces.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) ts: Vec<i64>,
    pub(crate) masks: Vec<u64>,
    pub(crate) keys: Vec<Vec<u32>>,
    order: Vec<u32>,
    spare: Vec<u64>,
}

impl Gathered {
    /// Start a new user.
    pub(crate) fn clear(&mut self, keys: usize) {
        self.ts.clear();
        self.masks.clear();
        self.keys.resize_with(keys, Vec::new);
        self.keys.iter_mut().for_each(Vec::clear);
    }

    /// Append a piece.
    pub(crate) fn add(&mut self, range: Range<usize>, from: &Selection) {
        self.ts.extend_from_slice(&from.ts[range.clone()]);
        self.masks.extend_from_slice(&from.masks[range.clone()]);
        for (to, from) in self.keys.iter_mut().zip(&from.keys) {
            to.extend_from_slice(&from[range.clone()]);
        }
    }

    /// Bring the pieces into total order.
    pub(crate) fn sort(&mut self) {
        if self.ts.is_sorted() {
            return;
        }
        self.order.clear();
        self.order.extend(0..self.ts.len() as u32);
        let ts = &self.ts;
        self.order.sort_by_key(|&at| ts[at as usize]);
        self.spare.clear();
        self.spare.extend(self.order.iter().map(|&at| self.masks[at as usize]));
        std::mem::swap(&mut self.spare, &mut self.masks);
        for column in &mut self.keys {
            *column = self.order.iter().map(|&at| column[at as usize]).collect();
        }
        self.ts.sort_unstable();
    }
}
