//! The events of one block that matter to a question: rows, condition masks, times and keys, user by user.

use super::bound::{BoundScan, Wanted, candidates_of};
use super::evaluate::{BlockContext, evaluate};
use super::event_rows::{EventRows, Picked};
use super::key_reader::KeyRows;
use super::keys::{KeyCodes, KeySpace, Keys};
use super::report::ScanReport;
use super::test::TRUE;
use super::times::Times;
use crate::error::Result;
use crate::segment::{BlockUsers, PackedInts};
use std::ops::Range;

/// Selected events of one block. `bounds[i]..bounds[i + 1]` are the events of user `ordinals[i]`.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    pub(crate) ordinals: Vec<u32>,
    bounds: Vec<u32>,
    picked: Picked,
    keys: Vec<KeyCodes>,
    /// Times of the whole block, unless those of the selected events are in `ts`.
    times: Option<PackedInts<'a>>,
    ts: Vec<i64>,
    /// Positions of `ordinals` among the users of the block.
    users: Vec<u32>,
    events: EventRows,
    runs: Vec<(u32, u32)>,
    candidates: Vec<u32>,
    places: Vec<u32>,
    some_rows: Vec<u32>,
    some_codes: Vec<u32>,
}

impl<'a> Selection<'a> {
    /// Select from a block the events of the users who are `wanted`.
    pub(crate) fn fill(
        &mut self,
        scan: &mut BoundScan,
        context: &BlockContext<'a>,
        wanted: &Wanted<'_>,
        keys: &mut KeySpace,
        report: &mut ScanReport,
    ) -> Result<()> {
        self.clear();
        candidates_of(&context.users, wanted, &mut self.candidates, &mut self.runs);
        if self.runs.is_empty() {
            report.blocks_skipped_by_users += 1;
            return Ok(());
        }
        report.blocks_read += 1;
        report.events_read += self.runs.iter().map(|run| u64::from(run.1 - run.0)).sum::<u64>();
        let events = context.block.events()?;
        self.events.select(&events, &scan.wanted, &self.runs, scan.reads_codes, &mut self.picked);
        // By time first: a condition must not be evaluated, and fail, on an event that is no part of the input.
        self.select_by_time(scan, context)?;
        self.refine(scan, context)?;
        self.split_by_user(&context.users);
        self.read_keys(scan, context, keys)?;
        report.events_matched += self.picked.rows.len() as u64;
        Ok(())
    }

    /// Forget everything.
    pub(crate) fn clear(&mut self) {
        self.ordinals.clear();
        self.users.clear();
        self.bounds.clear();
        self.picked.clear();
        self.ts.clear();
        self.times = None;
    }

    /// The selected events of the `index`-th user.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        self.bounds[index] as usize..self.bounds[index + 1] as usize
    }

    /// Times of the events `range`.
    pub(crate) fn times(&self, range: Range<usize>) -> Times<'_> {
        match &self.times {
            Some(times) => Times::Packed { times, rows: &self.picked.rows[range] },
            None => Times::Decoded(&self.ts[range]),
        }
    }

    /// Condition masks of the events `range`.
    pub(crate) fn masks(&self, range: Range<usize>) -> &[u64] {
        &self.picked.masks[range]
    }

    /// Keys of the `index`-th user.
    pub(crate) fn keys(&self, index: usize) -> Keys<'_> {
        Keys::new(&self.keys, index, self.bounds[index] as usize)
    }

    /// Times are decoded later, each when it is asked for, unless events are selected by them.
    fn select_by_time(&mut self, scan: &BoundScan, context: &BlockContext<'a>) -> Result<()> {
        let times = context.block.times()?;
        let Some(range) = scan.time else {
            self.times = Some(times);
            return Ok(());
        };
        self.ts.extend(self.picked.rows.iter().map(|&row| times.get(row as usize)));
        let inside: Vec<bool> = self.ts.iter().map(|&ts| range.contains(ts)).collect();
        self.retain(|at, _| inside[at]);
        Ok(())
    }

    /// Evaluate what the event's name did not decide.
    fn refine(&mut self, scan: &BoundScan, context: &BlockContext<'_>) -> Result<()> {
        if scan.filter_undecided {
            let truths = evaluate(&scan.filter, context, &self.picked.rows, &self.picked.codes)?;
            self.retain(|at, _| truths[at] == TRUE);
        }
        let undecided = || (0..).zip(&scan.conditions).filter(|(_, (_, decided))| !decided);
        for (bit, (node, _)) in undecided() {
            self.find_places(bit);
            self.some_rows.clear();
            self.some_rows.extend(self.places.iter().map(|&at| self.picked.rows[at as usize]));
            self.some_codes.clear();
            if scan.reads_codes {
                self.some_codes.extend(self.places.iter().map(|&at| self.picked.codes[at as usize]));
            }
            let truths = evaluate(node, context, &self.some_rows, &self.some_codes)?;
            for (&at, truth) in self.places.iter().zip(truths) {
                self.picked.masks[at as usize] &= !(u64::from(truth != TRUE) << bit);
            }
        }
        if !scan.every_event && undecided().next().is_some() {
            self.retain(|_, mask| mask != 0);
        }
        Ok(())
    }

    /// Put into `places` the events whose mask has `bit`. No branch on it: it is hard to predict.
    fn find_places(&mut self, bit: u32) {
        self.places.resize(self.picked.masks.len(), 0);
        let mut count = 0;
        for (at, mask) in (0..).zip(&self.picked.masks) {
            self.places[count] = at;
            count += (mask >> bit & 1) as usize;
        }
        self.places.truncate(count);
    }

    /// Keep the events for whose place and mask `keep` holds.
    fn retain(&mut self, keep: impl Fn(usize, u64) -> bool) {
        let Picked { rows, masks, codes } = &mut self.picked;
        let (timed, coded) = (!self.ts.is_empty(), !codes.is_empty());
        let mut count = 0;
        for at in 0..rows.len() {
            let kept = keep(at, masks[at]);
            rows[count] = rows[at];
            masks[count] = masks[at];
            if coded {
                codes[count] = codes[at];
            }
            if timed {
                self.ts[count] = self.ts[at];
            }
            count += usize::from(kept);
        }
        rows.truncate(count);
        masks.truncate(count);
        codes.truncate(count);
        self.ts.truncate(count);
    }

    /// Cut the selected rows where the user changes. Users without a selected row do not appear.
    fn split_by_user(&mut self, users: &BlockUsers) {
        let rows = &self.picked.rows;
        let mut at = 0;
        for &user in &self.candidates {
            let end = users.starts[user as usize + 1];
            let start = at;
            while rows.get(at).is_some_and(|&row| row < end) {
                at += 1;
            }
            if at > start {
                self.ordinals.push(users.ordinals[user as usize]);
                self.users.push(user);
                self.bounds.push(start as u32);
            }
        }
        self.bounds.push(at as u32);
    }

    fn read_keys(&mut self, scan: &mut BoundScan, context: &BlockContext<'_>, keys: &mut KeySpace) -> Result<()> {
        self.keys.resize_with(scan.keys.len(), KeyCodes::default);
        if self.picked.rows.is_empty() {
            return Ok(());
        }
        let wanted = KeyRows { rows: &self.picked.rows, codes: &self.picked.codes, users: &self.users };
        for (reader, out) in scan.keys.iter_mut().zip(&mut self.keys) {
            reader.read(context, &wanted, keys, out)?;
        }
        Ok(())
    }
}
