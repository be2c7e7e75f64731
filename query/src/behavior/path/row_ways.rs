//! The ways that lead to an end, from bits of rows: only the ends are looked for, and only the rows before them are read.

use super::kernel::Way;
use super::spec::{Anchor, PathSpec, Sessions};
use std::ops::Range;

/// One user's events as rows of a block, none of which is left out.
pub trait PathRows {
    /// The user's rows, in total order.
    fn rows(&self) -> Range<usize>;

    /// The node of a row.
    fn node(&self, row: usize) -> u32;

    /// The time of a row in microseconds.
    fn time(&self, row: usize) -> i64;

    /// Whether the time of `late` is at most `limit_us` after that of `early`, a row before it.
    fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool;

    /// The first row of `range`, which is part of the user's rows, that is an end.
    fn first_end(&self, range: Range<usize>) -> Option<usize>;
}

/// One user's events with a node each, in total order, none of which is left out.
#[derive(Debug, Clone, Copy)]
pub struct ListedRows<'a> {
    /// Times in microseconds, ascending.
    pub times: &'a [i64],
    /// The node of each event.
    pub nodes: &'a [u32],
    /// Conditions of each event.
    pub masks: &'a [u64],
    /// The bit of a mask that says that the event is an end.
    pub end: u64,
}

impl PathRows for ListedRows<'_> {
    fn rows(&self) -> Range<usize> {
        0..self.nodes.len()
    }

    #[inline(always)]
    fn node(&self, row: usize) -> u32 {
        self.nodes[row]
    }

    #[inline(always)]
    fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    #[inline(always)]
    fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool {
        self.times[late].saturating_sub(self.times[early]) <= limit_us
    }

    #[inline]
    fn first_end(&self, range: Range<usize>) -> Option<usize> {
        let first = range.start;
        self.masks[range].iter().position(|mask| mask & self.end != 0).map(|place| first + place)
    }
}

/// Walks back from ends. Buffers are kept from user to user.
#[derive(Debug, Default)]
pub(super) struct RowWays {
    /// The stops of the way at hand, the last one first while it is walked.
    stops: Vec<u32>,
    /// The row of each stop.
    rows: Vec<usize>,
    times: Vec<i64>,
}

impl RowWays {
    /// Calls `found` for each way of a user, as [`super::PathKernel::ways`] does, the arguments being those of
    /// [`super::PathKernel::takes_rows`]. `anchor_event` is counted from the user's first row. Without `with_times` the times
    /// are not read, and empty.
    pub(super) fn of_user(
        &mut self,
        spec: &PathSpec,
        user: &impl PathRows,
        with_times: bool,
        mut found: impl FnMut(&Way<'_>),
    ) {
        let rows = user.rows();
        let goes_on = |row: usize| match spec.sessions {
            Sessions::GapUs(gap_us) => user.is_within(row - 1, row, gap_us),
            Sessions::Named | Sessions::Whole => true,
        };
        let mut next = user.first_end(rows.clone());
        let mut before = None;
        while let Some(end) = next {
            next = if end + 1 < rows.end { user.first_end(end + 1..rows.end) } else { None };
            let is_first = spec.anchor == Anchor::Each
                || before.is_none_or(|before: usize| !(before + 1..=end).rev().all(&goes_on));
            if is_first {
                self.walk(spec, user, rows.start, before, end, &goes_on);
                self.times.clear();
                if with_times {
                    self.times.extend(self.rows.iter().map(|&row| user.time(row)));
                }
                let anchor_event = end - rows.start;
                found(&Way { anchor_event, stops: &self.stops, times: &self.times, exited: false });
            }
            before = Some(end);
        }
    }

    /// Find the stops that lead to `end`. Where they are those of the end `before`, which is in the same stop, they stay: so
    /// that a stop of many ends is walked once.
    fn walk(
        &mut self,
        spec: &PathSpec,
        user: &impl PathRows,
        start: usize,
        before: Option<usize>,
        end: usize,
        goes_on: &impl Fn(usize) -> bool,
    ) {
        let node = user.node(end);
        let mut row = end;
        if spec.collapse {
            while row > start && user.node(row - 1) == node && goes_on(row) {
                row -= 1;
                if Some(row) == before {
                    return;
                }
            }
        }
        self.stops.clear();
        self.rows.clear();
        self.stops.push(node);
        self.rows.push(row);
        let mut last = node;
        while row > start && goes_on(row) {
            let node = user.node(row - 1);
            if spec.collapse && node == last {
                // The stop began earlier.
                let place = self.rows.len() - 1;
                self.rows[place] = row - 1;
            } else if self.stops.len() == spec.steps as usize {
                break;
            } else {
                self.stops.push(node);
                self.rows.push(row - 1);
                last = node;
            }
            row -= 1;
        }
        self.stops.reverse();
        self.rows.reverse();
    }
}
