//! One user's events from several segments, in total order.
//!
//! Segments come in order of arrival and each is sorted by (user, ts, arrival). So a stable sort by ts of the pieces put
//! one after the other is the total order; when the pieces follow each other in time it is there already.

use super::bind::Binder;
use super::bound::{BoundScan, Wanted};
use super::condition_bits::UserBits;
use super::evaluate::BlockContext;
use super::keys::{KeyCodes, KeySpace, Keys};
use super::report::ScanReport;
use super::selection::Selection;
use super::times::Times;
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
    by_bits: bool,
    blocks: Range<usize>,
    selection: Selection<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first user. `by_bits`: see [`Selection::fill`]. `selection` gives its buffers.
    pub(crate) fn new(
        binder: &Binder<'a>,
        live: &'a LiveSegment,
        scan: BoundScan,
        wanted: Wanted<'a>,
        by_bits: bool,
        mut selection: Selection<'a>,
    ) -> Self {
        selection.clear();
        let blocks = live.segment.blocks();
        let first = blocks.partition_point(|block| block.last_ordinal < wanted.ordinals.start);
        let end = blocks.partition_point(|block| block.first_ordinal < wanted.ordinals.end);
        Self {
            snapshot: binder.snapshot,
            shard: binder.shard,
            live,
            scan,
            wanted,
            by_bits,
            blocks: first..end.max(first),
            selection,
            at: 0,
        }
    }

    /// Its buffers, for the next one.
    pub(crate) fn into_selection(self) -> Selection<'a> {
        self.selection
    }

    /// The user it stands at; `None` at the end.
    #[inline]
    pub(crate) fn ordinal(&self) -> Option<u32> {
        self.selection.ordinals.get(self.at).copied()
    }

    /// Read blocks until there is a user to stand at.
    #[inline]
    pub(crate) fn load(&mut self, keys: &mut KeySpace, report: &mut ScanReport) -> Result<()> {
        while self.at >= self.selection.ordinals.len() {
            self.at = 0;
            self.selection.clear();
            let Some(index) = self.blocks.next() else { return Ok(()) };
            self.read(index, keys, report)?;
        }
        Ok(())
    }

    #[cold]
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
        self.selection.fill(&mut self.scan, &context, &self.wanted, self.by_bits, keys, report)
    }

    /// Whether the user it stands at is the last one of the block.
    #[inline]
    pub(crate) fn is_last(&self) -> bool {
        self.at + 1 == self.selection.ordinals.len()
    }

    /// Whether the user it stands at may go on in the segment's next block.
    pub(crate) fn may_continue(&self) -> bool {
        self.is_last()
            && self.blocks.start < self.blocks.end
            && Some(self.live.segment.blocks()[self.blocks.start].first_ordinal) == self.ordinal()
    }

    /// Rows that the user it stands at may have from here on, at most.
    pub(crate) fn rows_ahead(&self) -> usize {
        let blocks = &self.live.segment.blocks()[self.blocks.start.saturating_sub(1)..self.blocks.end];
        let of_user = blocks.iter().take_while(|block| self.ordinal().is_some_and(|user| block.first_ordinal <= user));
        of_user.map(|block| block.rows as usize).sum()
    }

    /// The user it stands at, where events were selected as bits.
    #[inline]
    pub(crate) fn user_bits(&self, is_whole: bool) -> Option<UserBits<'_>> {
        self.selection.user_bits(self.at, self.shard, is_whole)
    }

    /// The events of the user it stands at. There may be none where events were selected as bits.
    pub(crate) fn events(&mut self) -> Piece<'_> {
        self.selection.events(self.at)
    }

    /// Go to the user behind the one it stands at, who goes on in the next block: blocks of that user alone are not read.
    pub(crate) fn skip_rest(&mut self, keys: &mut KeySpace, report: &mut ScanReport) -> Result<()> {
        let Some(ordinal) = self.ordinal() else { return Ok(()) };
        let blocks = self.live.segment.blocks();
        while !self.blocks.is_empty() && blocks[self.blocks.start].last_ordinal == ordinal {
            self.blocks.start += 1;
            report.blocks_skipped_by_users += 1;
        }
        self.advance(keys, report)?;
        if self.ordinal() == Some(ordinal) { self.advance(keys, report) } else { Ok(()) }
    }

    /// Go to the next user.
    pub(crate) fn advance(&mut self, keys: &mut KeySpace, report: &mut ScanReport) -> Result<()> {
        self.at += 1;
        self.load(keys, report)
    }
}

/// A user's events in one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) times: Times<'a>,
    pub(crate) masks: &'a [u64],
    pub(crate) keys: Keys<'a>,
}

/// Events of one user put together from several pieces.
#[derive(Default)]
pub(crate) struct Gathered {
    ts: Vec<i64>,
    masks: Vec<u64>,
    keys: Vec<KeyCodes>,
    order: Vec<u32>,
    spare_masks: Vec<u64>,
    spare_codes: Vec<u32>,
}

impl Gathered {
    /// Start a new user.
    pub(crate) fn clear(&mut self, keys: usize) {
        self.ts.clear();
        self.masks.clear();
        self.keys.resize_with(keys, KeyCodes::default);
        for column in &mut self.keys {
            column.codes().clear();
        }
    }

    /// Bytes held on the heap, used or not.
    pub(crate) fn heap_bytes(&self) -> usize {
        let codes: usize = self.keys.iter().map(KeyCodes::capacity).sum();
        8 * (self.ts.capacity() + self.masks.capacity() + self.spare_masks.capacity())
            + 4 * (codes + self.order.capacity() + self.spare_codes.capacity())
    }

    /// Make room for this many events more, at once: a list that grows again and again is copied each time.
    pub(crate) fn reserve(&mut self, events: usize) {
        self.ts.reserve(events);
        self.masks.reserve(events);
        self.keys.iter_mut().for_each(|column| column.codes().reserve(events));
    }

    /// Append a piece.
    pub(crate) fn add(&mut self, piece: &Piece<'_>) {
        piece.times.append_to(&mut self.ts);
        self.masks.extend_from_slice(piece.masks);
        for (place, to) in self.keys.iter_mut().enumerate() {
            let (codes, events) = (to.codes(), piece.masks.len());
            match piece.keys.per_event(place, events) {
                Some(of_piece) => codes.extend_from_slice(of_piece),
                None => codes.resize(codes.len() + events, piece.keys.code(place, 0)),
            }
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
        self.spare_masks.clear();
        self.spare_masks.extend(self.order.iter().map(|&at| self.masks[at as usize]));
        std::mem::swap(&mut self.spare_masks, &mut self.masks);
        for column in &mut self.keys {
            let codes = column.codes();
            self.spare_codes.clear();
            self.spare_codes.extend(self.order.iter().map(|&at| codes[at as usize]));
            std::mem::swap(&mut self.spare_codes, codes);
        }
        self.ts.sort_unstable();
    }

    /// All pieces as one.
    pub(crate) fn events(&self) -> Piece<'_> {
        Piece { times: Times::Decoded(&self.ts), masks: &self.masks, keys: Keys::new(&self.keys, 0, 0) }
    }
}
