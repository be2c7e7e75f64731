//! Events as rows, each question answered by a walk.

use crate::case::Event;
use std::ops::Range;
use trodden_query::behavior::funnel::StepRows;

/// One user's events, in the rows from `first` on.
pub(crate) struct PlainRows<'a> {
    events: &'a [Event],
    first: usize,
}

impl<'a> PlainRows<'a> {
    pub(crate) fn new(events: &'a [Event], first: usize) -> Self {
        Self { events, first }
    }

    fn satisfies(&self, step: usize, row: usize) -> bool {
        self.events[row - self.first].steps >> step & 1 == 1
    }
}

impl StepRows for PlainRows<'_> {
    fn rows(&self) -> Range<usize> {
        self.first..self.first + self.events.len()
    }

    fn time(&self, row: usize) -> i64 {
        self.events[row - self.first].ts
    }

    fn first_in(&self, step: usize, mut range: Range<usize>) -> Option<usize> {
        range.find(|row| self.satisfies(step, *row))
    }

    fn last_in(&self, step: usize, mut range: Range<usize>) -> Option<usize> {
        range.rfind(|row| self.satisfies(step, *row))
    }

    fn may_satisfy_any(&self, row: usize) -> bool {
        self.events[row - self.first].steps != 0
    }

    fn is_disjoint(&self) -> bool {
        self.events.iter().all(|event| event.steps.count_ones() < 2)
    }
}
