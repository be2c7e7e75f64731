//! The most frequent retention from days alone: each user in the cohort of the first start, back in a period or not.
//!
//! In place of one user after the other it goes through the days, whose users come as lists of numbers, and keeps a bit
//! for each row of a user. It gives what [`super::RetentionKernel`] gives for `Mode::On`, `Cohorts::First`, `Windows::Calendar`,
//! a `min_count` of 1 and at most 64 rows.

use super::partial::CohortPartial;
use super::spec::{Cohorts, Mode, RetentionSpec, Windows};

/// The unit of users who did not start, which no day comes after.
const NEVER: i32 = i32::MAX / 2;
/// In place of a cohort.
const NONE: u32 = u32::MAX;
/// Rows that a user's bits have room for.
const ROWS_MAX: usize = 64;

/// What is kept of a user.
#[derive(Debug, Clone, Copy)]
struct User {
    /// A bit for each row in which the user counts.
    rows: u64,
    /// The day of the start, counted from the first day.
    start: u32,
    /// Its unit, counted from the first one.
    unit: i32,
}

const NOT_STARTED: User = User { rows: 0, start: u32::MAX, unit: NEVER };

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
    first_unit: i64,
    /// The bit of the row for each distance of units; none for rows that are not reported, and as the last entry for all
    /// other distances, so that nothing has to be asked of a user.
    bits: Vec<u64>,
    rows: usize,
    users: Vec<User>,
    /// Place of each user's cohort; [`NONE`] before the start.
    cohort_of: Vec<u32>,
    cohorts: Vec<Cohort>,
    /// For the unit of the last starts, and each group: one more than the place of the cohort.
    places: Vec<u32>,
}

impl FirstDays {
    /// For users with numbers below `users`, and days from `days.0` to `days.1`; `None` where the arguments need more
    /// than this.
    pub fn new(spec: &RetentionSpec, users: usize, (first, last): (i32, i32)) -> Option<Self> {
        let plain = spec.mode == Mode::On && spec.cohort == Cohorts::First && spec.windows == Windows::Calendar;
        let rows = spec.periods.rows();
        if !plain || spec.min_count != 1 || rows > ROWS_MAX {
            return None;
        }
        let first_unit = spec.unit_of_day(first);
        let units: Vec<i32> = (first..=last).map(|day| (spec.unit_of_day(day) - first_unit) as i32).collect();
        let per_period = spec.period.units();
        let bit = |distance: i32| {
            let row = spec.periods.row(i64::from(distance) / per_period) as usize;
            if row < rows { 1 << row } else { 0 }
        };
        let distances = 0..=units.last().copied().unwrap_or(0);
        Some(Self {
            first_day: first,
            bits: distances.map(bit).chain([0]).collect(),
            units,
            first_unit,
            rows,
            users: vec![NOT_STARTED; users],
            cohort_of: vec![NONE; users],
            cohorts: Vec::new(),
            places: Vec::new(),
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
            if self.cohort_of[user as usize] == NONE {
                let cohort = self.cohort(unit, group(user));
                self.cohort_of[user as usize] = cohort;
                self.cohorts[cohort as usize].users += 1;
                self.users[user as usize] = User { rows: 0, start, unit: self.units[start as usize] };
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
            self.places[at] = self.cohorts.len() as u32;
        }
        self.places[at] - 1
    }

    /// Users with a return event on `day`. Where `itself` is set, start events are return events, too: then a user whose
    /// start is of this day may have no other one.
    pub fn returned(&mut self, day: i32, users: &[u32], itself: bool) {
        let day = (day - self.first_day) as u32;
        let unit = self.units[day as usize];
        let others = self.bits.len() as u32 - 1;
        for &number in users {
            let user = &mut self.users[number as usize];
            // A day before the start is a very long way behind it.
            let distance = unit.wrapping_sub(user.unit) as u32;
            let bit = self.bits[distance.min(others) as usize];
            user.rows |= if itself && user.start == day { 0 } else { bit };
        }
    }

    /// Users with two return events on `day`, or more: one of them is not the start event.
    pub fn returned_twice(&mut self, day: i32, users: &[u32]) {
        let start = (day - self.first_day) as u32;
        for &number in users {
            let user = &mut self.users[number as usize];
            user.rows |= u64::from(user.start == start);
        }
    }

    /// The cohorts: start, group and users of each.
    pub fn finish(self, spec: &RetentionSpec) -> impl Iterator<Item = (i64, u32, CohortPartial)> {
        let rows = self.rows;
        let mut counts = vec![0_u64; self.cohorts.len() * rows];
        for (user, &cohort) in self.users.iter().zip(&self.cohort_of).filter(|(user, _)| user.rows != 0) {
            let of_cohort = &mut counts[cohort as usize * rows..][..rows];
            let mut left = user.rows;
            while left != 0 {
                of_cohort[left.trailing_zeros() as usize] += 1;
                left &= left - 1;
            }
        }
        let spec = spec.clone();
        self.cohorts.into_iter().enumerate().map(move |(place, cohort)| {
            let cohort_us = spec.unit_start_us(cohort.unit);
            let users = counts[place * rows..][..rows].to_vec();
            (cohort_us, cohort.group, CohortPartial::of_counts(cohort.users, cohort_us, users))
        })
    }
}
