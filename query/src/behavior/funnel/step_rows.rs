//! What a kernel asks of a user whose events are bits of rows: where is the next event of this step, where the last one?

use super::spec::Ties;
use std::ops::Range;
use trodden_engine::scan::UserBits;

/// One user's events as rows in total order, of which each knows the steps that it satisfies.
pub trait StepRows {
    /// The user's rows.
    fn rows(&self) -> Range<usize>;
    /// The time of `row` in microseconds.
    fn time(&self, row: usize) -> i64;
    /// Whether the time of `late` is at most `limit_us` after that of `early`, a row before it.
    fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool {
        self.time(late) <= self.time(early).saturating_add(limit_us)
    }
    /// The first row of `range` that satisfies `step` (from 0).
    fn first_in(&self, step: usize, range: Range<usize>) -> Option<usize>;
    /// The last row of `range` that satisfies `step`.
    fn last_in(&self, step: usize, range: Range<usize>) -> Option<usize>;
    /// The first row of `range` that may satisfy `step`: one that does not comes into question too.
    fn first_possible_in(&self, step: usize, range: Range<usize>) -> Option<usize> {
        self.first_in(step, range)
    }
    /// The last row of `range` that may satisfy `step`.
    fn last_possible_in(&self, step: usize, range: Range<usize>) -> Option<usize> {
        self.last_in(step, range)
    }
    /// Whether `row` may satisfy any step: true in doubt.
    fn may_satisfy_any(&self, row: usize) -> bool;
    /// Whether no event can satisfy two steps.
    fn is_disjoint(&self) -> bool;
    /// Whether the events of `rows`, of which there is one, all have the same time.
    fn is_same_time(&self, rows: Range<usize>) -> bool {
        self.time(rows.start) == self.time(rows.end - 1)
    }
}

impl StepRows for UserBits<'_> {
    #[inline(always)]
    fn rows(&self) -> Range<usize> {
        self.rows()
    }

    #[inline(always)]
    fn time(&self, row: usize) -> i64 {
        self.time(row)
    }

    #[inline(always)]
    fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool {
        self.is_within(early, late, limit_us)
    }

    #[inline(always)]
    fn first_in(&self, step: usize, range: Range<usize>) -> Option<usize> {
        self.first_in(step, range)
    }

    #[inline(always)]
    fn first_possible_in(&self, step: usize, range: Range<usize>) -> Option<usize> {
        self.first_possible_in(step, range)
    }

    #[inline(always)]
    fn last_in(&self, step: usize, range: Range<usize>) -> Option<usize> {
        self.last_in(step, range)
    }

    #[inline(always)]
    fn last_possible_in(&self, step: usize, range: Range<usize>) -> Option<usize> {
        self.last_possible_in(step, range)
    }

    #[inline(always)]
    fn may_satisfy_any(&self, row: usize) -> bool {
        self.may_satisfy_any(row)
    }

    #[inline(always)]
    fn is_disjoint(&self) -> bool {
        self.is_disjoint()
    }

    #[inline(always)]
    fn is_same_time(&self, rows: Range<usize>) -> bool {
        self.is_same_time(rows)
    }
}

/// Events with the same time compete: another kernel must decide.
pub(super) struct Tied;

/// Rows in which an event with the same time is looked for.
const NEAR_ROWS: usize = 64;

/// With free ties an event may take its place in a chain before others with the same time. Where it matters whether a
/// later event of `step` can stand before `row`, none must have its time.
pub(super) fn expect_none_later(user: &impl StepRows, step: usize, row: usize, ties: Ties) -> Result<(), Tied> {
    if ties != Ties::Any {
        return Ok(());
    }
    if !user.is_disjoint() {
        return expect_alone(user, row);
    }
    // What may stand before an event depends on its time alone when no event satisfies two steps.
    let near = row + 1..(row + 1 + NEAR_ROWS).min(user.rows().end);
    // When none is near, all of those that are must have the same time for one behind them to have it.
    let last = user.first_possible_in(step, near.clone()).unwrap_or(near.end - 1);
    if last > row && user.is_same_time(row..last + 1) { Err(Tied) } else { Ok(()) }
}

/// The same of an event of `step` in an earlier row, which can stand behind `row`.
pub(super) fn expect_none_earlier(user: &impl StepRows, step: usize, row: usize, ties: Ties) -> Result<(), Tied> {
    if ties != Ties::Any {
        return Ok(());
    }
    if !user.is_disjoint() {
        return expect_alone(user, row);
    }
    let near = row.saturating_sub(NEAR_ROWS).max(user.rows().start)..row;
    let first = user.last_possible_in(step, near.clone()).unwrap_or(near.start);
    if first < row && user.is_same_time(first..row + 1) { Err(Tied) } else { Ok(()) }
}

/// No event that can end a chain may have the time of `entry`, the first event of step 1.
pub(super) fn expect_first(user: &impl StepRows, entry: usize, ties: Ties) -> Result<(), Tied> {
    match ties {
        Ties::Arrival | Ties::Increase => Ok(()),
        Ties::Any if !user.is_disjoint() => expect_alone(user, entry),
        Ties::Any if entry > user.rows().start && user.is_same_time(entry - 1..entry + 1) => Err(Tied),
        Ties::Any => Ok(()),
    }
}

/// No other event that counts may have the time of `row`.
fn expect_alone(user: &impl StepRows, row: usize) -> Result<(), Tied> {
    let Range { start, end } = user.rows();
    let at = user.time(row);
    let has_same_time = |other: &usize| user.time(*other) == at;
    let mut around = (row + 1..end).take_while(has_same_time).chain((start..row).rev().take_while(has_same_time));
    if around.any(|other| user.may_satisfy_any(other)) { Err(Tied) } else { Ok(()) }
}
