//! The events of one block that matter to a question: rows, condition masks, times and keys, user by user.

use super::bind::Node;
use super::column::{Fetched, Texts, type_of};
use super::evaluate::{BlockContext, evaluate};
use super::keys::{KEY_NULL, KeySpace};
use super::report::ScanReport;
use super::test::TRUE;
use crate::error::Result;
use crate::predicate::ColumnRef;
use crate::rows::NULL_CODE;
use crate::segment::{BlockUsers, Segment};
use crate::table::Snapshot;
use crate::types::{ColumnType, TimeRange, Value};
use roaring::RoaringBitmap;
use std::ops::Range;

/// The conditions of a scan, bound to one segment.
pub(crate) struct BoundScan {
    conditions: Vec<Node>,
    filter: Node,
    /// Per event code the conditions that may be true of such an event.
    masks: Vec<u64>,
    /// Per event code whether the filter may be true of such an event.
    passes: Vec<bool>,
    /// Conditions that the event's name alone does not decide.
    undecided: u64,
    /// Whether the filter needs more than the event's name.
    filter_undecided: bool,
    time: Option<TimeRange>,
    keys: Vec<KeyReader>,
    every_event: bool,
}

/// How to read a key column of one segment.
struct KeyReader {
    column: ColumnRef,
    /// Key codes of the segment's dictionary codes, as far as they were met (`u32::MAX`: not yet).
    known: Vec<u32>,
}

/// Which users of a segment matter.
#[derive(Clone)]
pub(crate) struct Wanted<'a> {
    /// Ordinals of the morsel.
    pub(crate) ordinals: Range<u32>,
    /// Those whom the indexes left; `None`: all.
    pub(crate) candidates: Option<&'a RoaringBitmap>,
    /// Those whose events in this segment were deleted.
    pub(crate) hidden: &'a RoaringBitmap,
}

/// Selected events of one block. `bounds[i]..bounds[i + 1]` are the events of user `ordinals[i]`.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) ordinals: Vec<u32>,
    pub(crate) bounds: Vec<u32>,
    pub(crate) ts: Vec<i64>,
    pub(crate) masks: Vec<u64>,
    pub(crate) keys: Vec<Vec<u32>>,
    rows: Vec<u32>,
    codes: Vec<u32>,
    runs: Vec<(u32, u32)>,
    scratch: Vec<u32>,
}

impl BoundScan {
    /// Prepare the lookup tables.
    pub(crate) fn new(
        segment: &Segment,
        conditions: Vec<Node>,
        filter: Node,
        time: TimeRange,
        keys: &[ColumnRef],
        every_event: bool,
    ) -> Self {
        let codes = segment.event_names().len();
        let mut masks = vec![0u64; codes];
        let mut undecided = 0;
        for (bit, node) in conditions.iter().enumerate() {
            for (code, mask) in masks.iter_mut().enumerate() {
                let by_event = node.by_event(code);
                *mask |= u64::from(by_event.can) << bit;
                undecided |= u64::from(by_event.can && !by_event.always) << bit;
            }
        }
        let by_filter: Vec<_> = (0..codes).map(|code| filter.by_event(code)).collect();
        let meta = segment.meta();
        Self {
            conditions,
            passes: by_filter.iter().map(|by| by.can).collect(),
            filter_undecided: by_filter.iter().any(|by| by.can && !by.always),
            filter,
            masks,
            undecided,
            time: if time.contains(meta.ts_min) && time.contains(meta.ts_max) { None } else { Some(time) },
            keys: keys.iter().map(|column| KeyReader { column: column.clone(), known: Vec::new() }).collect(),
            every_event,
        }
    }

    /// The range of time that rows are checked against; all of time when the segment lies inside the scan's range.
    pub(crate) fn time_or_all(&self) -> TimeRange {
        self.time.unwrap_or(TimeRange::ALL)
    }

    /// Whether block `block` can hold an event that counts.
    pub(crate) fn can_match_block(&self, segment: &Segment, block: usize) -> bool {
        self.filter.can_match_block(segment, block)
            && (self.every_event || self.conditions.iter().any(|node| node.can_match_block(segment, block)))
    }
}

impl Selection {
    /// Select from a block the events of the `users` who matter.
    pub(crate) fn fill(
        &mut self,
        scan: &mut BoundScan,
        context: &BlockContext<'_>,
        users: &Wanted<'_>,
        keys: &mut KeySpace,
        report: &mut ScanReport,
    ) -> Result<()> {
        self.clear(scan.keys.len());
        candidate_runs(&context.users, users, &mut self.runs);
        if self.runs.is_empty() {
            report.blocks_skipped_by_users += 1;
            return Ok(());
        }
        report.blocks_read += 1;
        self.select_by_event(scan, context, report)?;
        self.refine(scan, context)?;
        self.read_times(scan, context)?;
        self.split_by_user(&context.users);
        self.read_keys(scan, context, keys)?;
        report.events_matched += self.ts.len() as u64;
        Ok(())
    }

    fn clear(&mut self, keys: usize) {
        self.ordinals.clear();
        self.bounds.clear();
        self.ts.clear();
        self.masks.clear();
        self.rows.clear();
        self.codes.clear();
        self.keys.resize_with(keys, Vec::new);
        self.keys.iter_mut().for_each(Vec::clear);
    }

    /// Rows whose event name leaves a chance, with the masks that it leaves.
    fn select_by_event(&mut self, scan: &BoundScan, context: &BlockContext<'_>, report: &mut ScanReport) -> Result<()> {
        let events = context.block.events()?;
        let keep: Vec<bool> =
            scan.masks.iter().zip(&scan.passes).map(|(m, p)| *p && (scan.every_event || *m != 0)).collect();
        for &(start, end) in &self.runs {
            events.decode_u32(start as usize..end as usize, &mut self.scratch);
            report.events_read += u64::from(end - start);
            let base = self.rows.len();
            let run = (end - start) as usize;
            self.rows.resize(base + run, 0);
            self.codes.resize(base + run, 0);
            let mut count = base;
            // branchless: the slot is written always and kept only when the event counts
            for (row, &code) in (start..end).zip(&self.scratch) {
                self.rows[count] = row;
                self.codes[count] = code;
                count += usize::from(keep[code as usize]);
            }
            self.rows.truncate(count);
            self.codes.truncate(count);
        }
        self.masks.extend(self.codes.iter().map(|&code| scan.masks[code as usize]));
        Ok(())
    }

    /// Evaluate what the event's name did not decide.
    fn refine(&mut self, scan: &BoundScan, context: &BlockContext<'_>) -> Result<()> {
        if scan.filter_undecided {
            let truths = evaluate(&scan.filter, context, &self.rows, &self.codes)?;
            self.retain(|at| truths[at] == TRUE);
        }
        if scan.undecided == 0 {
            return Ok(());
        }
        for (bit, node) in scan.conditions.iter().enumerate().filter(|(bit, _)| scan.undecided >> bit & 1 == 1) {
            let flag = 1u64 << bit;
            let places: Vec<usize> = (0..self.rows.len()).filter(|&at| self.masks[at] & flag != 0).collect();
            let rows: Vec<u32> = places.iter().map(|&at| self.rows[at]).collect();
            let codes: Vec<u32> = places.iter().map(|&at| self.codes[at]).collect();
            let truths = evaluate(node, context, &rows, &codes)?;
            for (at, truth) in places.into_iter().zip(truths) {
                if truth != TRUE {
                    self.masks[at] &= !flag;
                }
            }
        }
        if !scan.every_event {
            let masks = std::mem::take(&mut self.masks);
            self.masks = masks.clone();
            self.retain(|at| masks[at] != 0);
        }
        Ok(())
    }

    fn read_times(&mut self, scan: &BoundScan, context: &BlockContext<'_>) -> Result<()> {
        let times = context.block.times()?;
        self.ts.extend(self.rows.iter().map(|&row| times.get(row as usize)));
        if let Some(range) = scan.time {
            let inside: Vec<bool> = self.ts.iter().map(|&ts| range.contains(ts)).collect();
            self.retain(|at| inside[at]);
        }
        Ok(())
    }

    fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let timed = !self.ts.is_empty();
        let mut count = 0;
        for at in 0..self.rows.len() {
            self.rows[count] = self.rows[at];
            self.codes[count] = self.codes[at];
            self.masks[count] = self.masks[at];
            if timed {
                self.ts[count] = self.ts[at];
            }
            count += usize::from(keep(at));
        }
        self.rows.truncate(count);
        self.codes.truncate(count);
        self.masks.truncate(count);
        self.ts.truncate(count);
    }

    /// Cut the selected rows where the user changes. Users without a selected row do not appear.
    fn split_by_user(&mut self, users: &BlockUsers) {
        let mut user = 0;
        let mut last = usize::MAX;
        for (at, &row) in self.rows.iter().enumerate() {
            if users.starts[user + 1] <= row {
                user = match users.starts[user + 1..].partition_point(|&start| start <= row) {
                    0 => user,
                    ahead => user + ahead,
                };
            }
            if user != last {
                self.ordinals.push(users.ordinals[user]);
                self.bounds.push(at as u32);
                last = user;
            }
        }
        self.bounds.push(self.rows.len() as u32);
    }

    fn read_keys(&mut self, scan: &mut BoundScan, context: &BlockContext<'_>, keys: &mut KeySpace) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        for (place, reader) in scan.keys.iter_mut().enumerate() {
            let out = &mut self.keys[place];
            reader.read(context, &self.rows, &self.codes, place, keys, out)?;
        }
        Ok(())
    }
}

impl KeyReader {
    fn read(
        &mut self,
        context: &BlockContext<'_>,
        rows: &[u32],
        codes: &[u32],
        place: usize,
        keys: &mut KeySpace,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        let column = self.column.clone();
        match &column {
            ColumnRef::Event => self.by_dictionary(context.segment.event_names(), codes, place, keys, out),
            ColumnRef::Time => {
                let times = context.block.times()?;
                let code = |&row: &u32| keys.columns[place].code(Value::Timestamp(times.get(row as usize)));
                out.extend(rows.iter().map(code));
            }
            ColumnRef::User => {
                let shard = &context.snapshot.shards[context.shard];
                for user in context.user_indexes(rows) {
                    let user_id = shard.user_id(context.users.ordinals[user as usize])?;
                    out.push(keys.columns[place].code(user_id.map_or(Value::Null, Value::Text)));
                }
            }
            ColumnRef::EventId => self.by_text("event_id", context, rows, place, keys, out)?,
            ColumnRef::Property(name) => self.by_property(name, context, rows, place, keys, out)?,
        }
        Ok(())
    }

    fn by_property(
        &mut self,
        name: &str,
        context: &BlockContext<'_>,
        rows: &[u32],
        place: usize,
        keys: &mut KeySpace,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        let wanted = table_type(context.snapshot, name);
        match context.segment.schema().column(name).map(|column| column.column_type) {
            None => out.resize(rows.len(), KEY_NULL),
            Some(ColumnType::Text) => self.by_text(name, context, rows, place, keys, out)?,
            Some(stored) => {
                let fetched = Fetched::new(&context.block, name, wanted.unwrap_or(stored), rows)?;
                let mut last = (Value::Null, KEY_NULL);
                for &row in rows {
                    let value = fetched.column.get(fetched.index(row));
                    if value != last.0 || type_of(&value) == Some(ColumnType::Double) {
                        last = (value.clone(), keys.columns[place].code(value));
                    }
                    out.push(last.1);
                }
            }
        }
        Ok(())
    }

    fn by_text(
        &mut self,
        name: &str,
        context: &BlockContext<'_>,
        rows: &[u32],
        place: usize,
        keys: &mut KeySpace,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        match Texts::new(&context.block, name, rows)? {
            Texts::Codes(codes) => match context.segment.dictionary(name)? {
                Some(dictionary) => self.by_dictionary(&dictionary, &codes, place, keys, out),
                None => out.resize(rows.len(), KEY_NULL),
            },
            Texts::Plain(texts) => out
                .extend(texts.into_iter().map(|text| keys.columns[place].code(text.map_or(Value::Null, Value::Text)))),
        }
        Ok(())
    }

    fn by_dictionary(
        &mut self,
        dictionary: &[Box<str>],
        codes: &[u32],
        place: usize,
        keys: &mut KeySpace,
        out: &mut Vec<u32>,
    ) {
        const UNMET: u32 = u32::MAX;
        self.known.resize(dictionary.len(), UNMET);
        for &code in codes {
            if code == NULL_CODE {
                out.push(KEY_NULL);
                continue;
            }
            let known = &mut self.known[code as usize];
            if *known == UNMET {
                *known = keys.columns[place].code(Value::Text(dictionary[code as usize].to_string()));
            }
            out.push(*known);
        }
    }
}

fn table_type(snapshot: &Snapshot, name: &str) -> Option<ColumnType> {
    snapshot.schema.column(name).map(|column| column.column_type)
}

/// Row runs of the users who matter, neighbours joined.
pub(crate) fn candidate_runs(users: &BlockUsers, wanted: &Wanted<'_>, runs: &mut Vec<(u32, u32)>) {
    runs.clear();
    let from = users.ordinals.partition_point(|&ordinal| ordinal < wanted.ordinals.start);
    let to = users.ordinals.partition_point(|&ordinal| ordinal < wanted.ordinals.end);
    if from == to {
        return;
    }
    let (first, last) = (users.ordinals[from], users.ordinals[to - 1]);
    let mut candidates = wanted.candidates.map(|bitmap| {
        let mut iter = bitmap.iter();
        iter.advance_to(first);
        iter.peekable()
    });
    let hides = !wanted.hidden.is_empty() && wanted.hidden.range_cardinality(first..=last) > 0;
    for at in from..to {
        let ordinal = users.ordinals[at];
        if let Some(candidates) = &mut candidates {
            while candidates.next_if(|&candidate| candidate < ordinal).is_some() {}
            match candidates.peek() {
                None => break,
                Some(&candidate) if candidate != ordinal => continue,
                Some(_) => {}
            }
        }
        if hides && wanted.hidden.contains(ordinal) {
            continue;
        }
        let (start, end) = (users.starts[at], users.starts[at + 1]);
        match runs.last_mut() {
            Some(run) if run.1 == start => run.1 = end,
            _ => runs.push((start, end)),
        }
    }
}
