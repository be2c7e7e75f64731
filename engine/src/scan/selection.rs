//! The events of one block that matter to a question: rows, condition masks, times and keys, user by user.

use super::bind::Node;
use super::bound::{BoundScan, Wanted, candidates_of, runs_of};
use super::condition_bits::{ConditionBits, UserBits};
use super::evaluate::{BlockContext, evaluate, row_test};
use super::event_rows::{DENSE_PART, EventRows, Picked};
use super::key_reader::KeyRows;
use super::keys::{KeyCodes, KeySpace, Keys};
use super::merge::Piece;
use super::report::ScanReport;
use super::test::TRUE;
use super::times::Times;
use crate::error::Result;
use crate::segment::{BlockUsers, PackedInts};
use std::ops::Range;

/// Selected events of one block. `bounds[i]..bounds[i + 1]` are the events of user `ordinals[i]`, or, where the selection
/// is one of bits, `ranges[i]` are the user's rows.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    pub(crate) ordinals: Vec<u32>,
    bounds: Vec<u32>,
    /// Selected events; with bits, those of the user who was asked for last.
    picked: Picked,
    bits: ConditionBits<'a>,
    is_bits: bool,
    keys: Vec<KeyCodes>,
    /// With bits, which of the keys is the name: its codes are those of the user who was asked for last.
    names_at: Option<usize>,
    /// Times of the whole block, unless those of the selected events are in `ts`.
    times: Option<PackedInts<'a>>,
    ts: Vec<i64>,
    /// Positions of `ordinals` among the users of the block.
    users: Vec<u32>,
    events: EventRows,
    runs: Vec<(u32, u32)>,
    ranges: Vec<(u32, u32)>,
    candidates: Vec<u32>,
    places: Vec<u32>,
    some_rows: Vec<u32>,
    some_codes: Vec<u32>,
}

impl<'a> Selection<'a> {
    /// Select from a block the events of the users who are `wanted`; `by_bits`: as bits of rows where that can be.
    pub(crate) fn fill(
        &mut self,
        scan: &mut BoundScan,
        context: &BlockContext<'a>,
        wanted: &Wanted<'_>,
        by_bits: bool,
        keys: &mut KeySpace,
        report: &mut ScanReport,
    ) -> Result<()> {
        self.clear();
        candidates_of(&context.users, wanted, &mut self.candidates);
        if self.candidates.is_empty() {
            report.blocks_skipped_by_users += 1;
            return Ok(());
        }
        let events = context.block.events()?;
        let starts = &context.users.starts;
        self.ranges.clear();
        self.ranges.extend(self.candidates.iter().map(|&user| (starts[user as usize], starts[user as usize + 1])));
        report.blocks_read += 1;
        report.events_read += self.rows_in_ranges() as u64;
        if by_bits && self.fill_bits(scan, context, &events, keys)? {
            report.events_matched += if scan.every_event { self.rows_in_ranges() as u64 } else { self.count_bits() };
            return Ok(());
        }
        self.events.select(&events, &scan.wanted, &self.ranges, scan.reads_codes, &mut self.picked);
        // By time first: a condition must not be evaluated, and fail, on an event that is no part of the input.
        self.select_by_time(scan, context)?;
        self.refine(scan, context)?;
        self.split_by_user(&context.users);
        self.read_keys(scan, context, keys)?;
        report.events_matched += self.picked.rows.len() as u64;
        Ok(())
    }

    /// The selection as bits of rows. False where a key, or a condition, needs the events one by one, or where only few
    /// rows matter.
    fn fill_bits(
        &mut self,
        scan: &mut BoundScan,
        context: &BlockContext<'a>,
        events: &PackedInts<'_>,
        keys: &mut KeySpace,
    ) -> Result<bool> {
        let Some(sets) = &scan.code_sets else { return Ok(false) };
        let (Some(first), Some(last)) = (self.ranges.first(), self.ranges.last()) else { return Ok(false) };
        let span = first.0 as usize..last.1 as usize;
        if self.rows_in_ranges() * DENSE_PART < span.len() {
            return Ok(false);
        }
        self.keys.resize_with(scan.keys.len(), KeyCodes::default);
        self.names_at = None;
        for (place, (reader, out)) in scan.keys.iter_mut().zip(&mut self.keys).enumerate() {
            if reader.is_of_names() && scan.every_event && self.names_at.is_none() {
                self.names_at = Some(place);
                out.per_event();
            } else if !reader.read_per_user(context, &self.candidates, keys, out)? {
                return Ok(false);
            }
        }
        runs_of(&context.users, &self.candidates, &mut self.runs);
        self.bits.fill(events, span, sets);
        if scan.every_event {
            let reader = self.names_at.and_then(|place| scan.keys.get_mut(place));
            let names = reader.map(|reader| reader.codes_of_names(context.segment, keys));
            self.bits.keep_every_event(names.into_iter().flatten().copied());
        }
        for (condition, (node, decided)) in scan.conditions.iter().enumerate() {
            if !decided {
                self.refine_bits(condition, node, context, events)?;
            }
        }
        self.times = Some(context.block.times()?);
        self.ordinals.extend(self.candidates.iter().map(|&user| context.users.ordinals[user as usize]));
        self.is_bits = true;
        Ok(true)
    }

    /// Evaluate what the event's name did not decide about `condition`, or leave a test for it.
    fn refine_bits(
        &mut self,
        condition: usize,
        node: &Node,
        context: &BlockContext<'a>,
        events: &PackedInts<'_>,
    ) -> Result<()> {
        self.some_rows.clear();
        let test = row_test(node, context)?;
        if let Some(test) = test {
            self.bits.add_test(condition, test);
            return Ok(());
        }
        for run in &self.runs {
            self.bits.rows_of(condition, run.0 as usize..run.1 as usize, &mut self.some_rows);
        }
        self.some_codes.clear();
        if node.reads_event() {
            self.some_codes.extend(self.some_rows.iter().map(|&row| events.get(row as usize) as u32));
        }
        let truths = evaluate(node, context, &self.some_rows, &self.some_codes)?;
        for (&row, truth) in self.some_rows.iter().zip(truths) {
            if truth != TRUE {
                self.bits.clear(condition, row as usize);
            }
        }
        Ok(())
    }

    fn rows_in_ranges(&self) -> usize {
        self.ranges.iter().map(|(start, end)| (end - start) as usize).sum()
    }

    /// Number of rows of the runs with any bit. The gaps between the runs are short, so they are what is counted apart.
    fn count_bits(&self) -> u64 {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else { return 0 };
        let gaps = self.runs.windows(2).map(|pair| pair[0].1 as usize..pair[1].0 as usize);
        self.bits.count_any(first.0 as usize..last.1 as usize) - gaps.map(|gap| self.bits.count_few(gap)).sum::<u64>()
    }

    /// The `index`-th user, where the selection is one of bits.
    #[inline]
    pub(crate) fn user_bits(&self, index: usize, shard: usize, is_whole: bool) -> Option<UserBits<'_>> {
        let times = self.times.as_ref().filter(|_| self.is_bits)?;
        let (start, end) = self.ranges[index];
        Some(UserBits {
            shard,
            ordinal: self.ordinals[index],
            keys: Keys::new(&self.keys, index, 0),
            is_whole,
            start: start as usize,
            end: end as usize,
            bits: &self.bits,
            times,
        })
    }

    /// The selected events of the `index`-th user. There may be none where the selection is one of bits.
    pub(crate) fn events(&mut self, index: usize) -> Piece<'_> {
        if self.is_bits {
            let mut picked = std::mem::take(&mut self.picked);
            if let Some(user) = self.user_bits(index, 0, true) {
                user.to_masks(&mut picked.rows, &mut picked.masks);
            }
            if let Some(place) = self.names_at {
                self.keys[place].per_event().extend(self.bits.names_of(&picked.rows));
            }
            self.picked = picked;
        }
        let events = if self.is_bits { 0..self.picked.rows.len() } else { self.range(index) };
        let first = events.start;
        let times = match &self.times {
            Some(times) => Times::packed(times, &self.picked.rows[events.clone()]),
            None => Times::Decoded(&self.ts[events.clone()]),
        };
        Piece { times, masks: &self.picked.masks[events], keys: Keys::new(&self.keys, index, first) }
    }

    /// Forget everything.
    pub(crate) fn clear(&mut self) {
        self.is_bits = false;
        self.ordinals.clear();
        self.users.clear();
        self.bounds.clear();
        self.picked.clear();
        self.ts.clear();
        self.times = None;
    }

    fn range(&self, index: usize) -> Range<usize> {
        self.bounds[index] as usize..self.bounds[index + 1] as usize
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
        let Picked { rows, masks, codes, ends } = &mut self.picked;
        ends.clear();
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
        if self.picked.ends.is_empty() {
            self.count_ends(users);
        }
        let mut start = 0;
        for (&user, &end) in self.candidates.iter().zip(&self.picked.ends) {
            if end > start {
                self.ordinals.push(users.ordinals[user as usize]);
                self.users.push(user);
                self.bounds.push(start);
                start = end;
            }
        }
        self.bounds.push(start);
    }

    /// Find out anew how many rows are picked up to the end of each candidate.
    fn count_ends(&mut self, users: &BlockUsers) {
        let mut count = 0;
        for &user in &self.candidates {
            let end = users.starts[user as usize + 1];
            while self.picked.rows.get(count).is_some_and(|&row| row < end) {
                count += 1;
            }
            self.picked.ends.push(count as u32);
        }
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
