//! The most frequent retention from days alone: each user in the cohort of the first start, back in a period or not.
//!
//! In place of one user after the other it goes through the days, whose users come as lists of numbers, and keeps four
//! numbers a user. It gives what [`super::RetentionKernel`] gives for `Mode::On`, `Cohorts::First`, `Windows::Calendar` and
//! a `min_count` of 1.

use super::partial::CohortPartial;
use super::spec::{Cohorts, Mode, RetentionSpec, Windows};

/// A unit that is never reached: that of the start of users who did not start.
const NEVER: i32 = i32::MAX / 2;

/// What is kept of a user.
#[derive(Debug, Clone, Copy)]
struct User {
    /// Where the counts of the user's cohort begin.
    counts: u32,
    /// The day of the start, counted from the first day.
    start: u32,
    /// Its unit, counted from the first one.
    unit: i32,
    /// The last row in which the user was counted.
    row: u32,
}

const NOT_STARTED: User = User { counts: 0, start: u32::MAX, unit: NEVER, row: u32::MAX };

/// One cohort of one group.
#[derive(Debug)]
struct Cohort {
    unit: i64,
    group: u32,
    users: u64,
}

/// Counts users by day. First all starts are given, then all returns, both in order of days.
#[derive(Debug)]
pub struct FirstDays {
    first_day: i32,
    /// The unit of each day from the first one on, less that of the first.
    units: Vec<i32>,
    /// The row for each distance of units, and as the last entry the one for all others: the row behind those that are
    /// reported, in which whatever does not count is counted, so that nothing has to be asked for every user.
    rows: Vec<u32>,
    /// Rows that are reported.
    rows_per_cohort: u32,
    first_unit: i64,
    users: Vec<User>,
    cohorts: Vec<Cohort>,
    /// For the unit of the last starts, and each group: one more than the place of the cohort.
    places: Vec<u32>,
    /// Users by cohort and row, with one row more than is reported.
    counts: Vec<u64>,
}

impl FirstDays {
    /// For users with numbers below `users`, and days from `days.0` to `days.1`; `None` where the arguments need more
    /// than this.
    pub fn new(spec: &RetentionSpec, users: usize, (first, last): (i32, i32)) -> Option<Self> {
        let plain = spec.mode == Mode::On && spec.cohort == Cohorts::First && spec.windows == Windows::Calendar;
        // A cohort has at least one user, and counts are found by 32 bits.
        let counts = users as u64 * (spec.periods.rows() as u64 + 1);
        if !plain || spec.min_count != 1 || counts >= u64::from(u32::MAX) {
            return None;
        }
        let first_unit = spec.unit_of_day(first);
        let units: Vec<i32> = (first..=last).map(|day| (spec.unit_of_day(day) - first_unit) as i32).collect();
        let rows_per_cohort = spec.periods.rows() as u32;
        let per_period = spec.period.units();
        let row = |distance: i32| {
            let row = u32::try_from(spec.periods.row(i64::from(distance) / per_period));
            row.unwrap_or(rows_per_cohort).min(rows_per_cohort)
        };
        let distances = 0..=units.last().copied().unwrap_or(0);
        Some(Self {
            first_day: first,
            rows: distances.map(row).chain([rows_per_cohort]).collect(),
            units,
            rows_per_cohort,
            first_unit,
            users: vec![NOT_STARTED; users],
            cohorts: Vec::new(),
            places: Vec::new(),
            counts: vec![0; rows_per_cohort as usize + 1],
        })
    }

    /// Users with a start event on `day`, and the group of each.
    pub fn start(&mut self, day: i32, users: &[u32], mut group: impl FnMut(u32) -> u32) {
        let start = (day - self.first_day) as u32;
        let unit = self.first_unit + i64::from(self.units[start as usize]);
        if self.cohorts.last().is_some_and(|cohort| cohort.unit != unit) {
            self.places.clear();
        }
        for &user in users {
            if self.users[user as usize].unit == NEVER {
                let cohort = self.cohort(unit, group(user));
                self.cohorts[cohort as usize].users += 1;
                let (counts, unit) = (cohort * (self.rows_per_cohort + 1), self.units[start as usize]);
                self.users[user as usize] = User { counts, start, unit, row: u32::MAX };
            }
        }
    }

    fn cohort(&mut self, unit: i64, group: u32) -> u32 {
        let at = group as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        if self.places[at] == 0 {
            self.cohorts.push(Cohort { unit, group, users: 0 });
            self.counts.resize(self.cohorts.len() * (self.rows_per_cohort as usize + 1), 0);
            self.places[at] = self.cohorts.len() as u32;
        }
        self.places[at] - 1
    }

    /// Users with a return event on `day`. Where `itself` is set, start events are return events, too: then a user whose
    /// start is of this day may have no other one.
    pub fn returned(&mut self, day: i32, users: &[u32], itself: bool) {
        let day = (day - self.first_day) as u32;
        let unit = self.units[day as usize];
        let (nowhere, others) = (self.rows_per_cohort, self.rows.len() as u32 - 1);
        for &number in users {
            let user = &mut self.users[number as usize];
            // A day before the start is a very long way behind it.
            let distance = unit.wrapping_sub(user.unit) as u32;
            let row = self.rows[distance.min(others) as usize];
            let row = if itself && user.start == day { nowhere } else { row };
            self.counts[(user.counts + row) as usize] += u64::from(row != user.row);
            user.row = if row == nowhere { user.row } else { row };
        }
    }

    /// Users with two return events on `day`, or more: one of them is not the start event.
    pub fn returned_twice(&mut self, day: i32, users: &[u32]) {
        let start = (day - self.first_day) as u32;
        for &number in users {
            let user = &mut self.users[number as usize];
            if user.start == start && user.row != 0 {
                user.row = 0;
                self.counts[user.counts as usize] += 1;
            }
        }
    }

    /// The cohorts: unit, group and users of each.
    pub fn finish(self, spec: &RetentionSpec) -> impl Iterator<Item = (i64, u32, CohortPartial)> {
        let counts = self.counts;
        let reported = self.rows_per_cohort as usize;
        let spec = spec.clone();
        self.cohorts.into_iter().enumerate().map(move |(place, cohort)| {
            let cohort_us = spec.unit_start_us(cohort.unit);
            let rows = counts[place * (reported + 1)..][..reported].to_vec();
            (cohort_us, cohort.group, CohortPartial::of_counts(cohort.users, cohort_us, rows))
        })
    }
}
