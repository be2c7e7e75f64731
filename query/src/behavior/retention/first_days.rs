//! The most frequent retention from days alone: each user in the cohort of the first start, back in a period or not.
//!
//! In place of one user after the other it goes through the days, whose users come as lists of numbers, and keeps a bit
//! for each row of a user. It gives what [`super::RetentionKernel`] gives for `Mode::On`, `Cohorts::First`, `Windows::Calendar`,
//! a `min_count` of 1 and at most 64 rows.

use super::partial::CohortPartial;
use super::spec::{Cohorts, Mode, RetentionSpec, Windows};
use std::collections::HashMap;

/// Rows that a user's bits have room for.
const ROWS_MAX: usize = 64;

/// The unit of users who did not start, which no day comes after.
const NEVER: i32 = i32::MAX / 2;

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

/// Counts users by day, one set of users after the other. Of each set first all starts are given, then all returns, both in
/// order of days.
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
    cohorts: Vec<Cohort>,
    /// For each unit with starts, and each group: one more than the place of the cohort.
    places: HashMap<i64, Vec<u32>>,
    /// Users by cohort and row, of the sets before this one.
    counts: Vec<u64>,
    set: Set,
}

/// The users of one set.
#[derive(Debug, Default)]
struct Set {
    /// A bit for each who has started. Most starts of a day are of users who started before: they are told by this alone,
    /// which is so small that it stays at hand.
    started: Vec<u64>,
    users: Vec<User>,
    /// The place of the cohort of each who has started.
    cohorts: Vec<u32>,
    picked: Vec<u32>,
}

impl Set {
    fn begin(&mut self, users: usize) {
        self.started.clear();
        self.started.resize(users.div_ceil(64), 0);
        self.users.clear();
        self.users.resize(users, NOT_STARTED);
        self.cohorts.resize(users, 0);
    }
}

/// Put those of `users` into `picked` who have not started. No branch on it: it is hard to predict.
fn pick_new<'a>(started: &[u64], users: &[u32], picked: &'a mut Vec<u32>) -> &'a [u32] {
    if picked.len() < users.len() {
        picked.resize(users.len(), 0);
    }
    let picked = &mut picked[..users.len()];
    let mut count = 0;
    for &user in users {
        picked[count] = user;
        count += usize::from(started[user as usize / 64] >> (user % 64) & 1 == 0);
    }
    &picked[..count]
}

impl FirstDays {
    /// For days from `days.0` to `days.1`; `None` where the arguments need more than this.
    pub fn new(spec: &RetentionSpec, (first, last): (i32, i32)) -> Option<Self> {
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
            cohorts: Vec::new(),
            places: HashMap::new(),
            counts: Vec::new(),
            set: Set::default(),
        })
    }

    /// What follows is of other users, with numbers below `users`.
    pub fn begin(&mut self, users: usize) {
        self.count();
        self.set.begin(users);
    }

    /// Users with a start event on `day`, and the group of each.
    pub fn start(&mut self, day: i32, users: &[u32], mut group: impl FnMut(u32) -> u32) {
        let start = (day - self.first_day) as u32;
        let of_day = User { rows: 0, start, unit: self.units[start as usize] };
        let unit = self.first_unit + i64::from(of_day.unit);
        let (cohorts, places) = (&mut self.cohorts, self.places.entry(unit).or_default());
        let Set { started, users: all, cohorts: cohort_of, picked } = &mut self.set;
        for &user in pick_new(started, users, picked) {
            let cohort = cohort(cohorts, places, unit, group(user));
            cohorts[cohort as usize].users += 1;
            cohort_of[user as usize] = cohort;
            all[user as usize] = of_day;
            started[user as usize / 64] |= 1 << (user % 64);
        }
    }

    /// Users with a return event on `day`. Where `itself` is set, start events are return events, too: then a user whose
    /// start is of this day may have no other one.
    pub fn returned(&mut self, day: i32, users: &[u32], itself: bool) {
        let day = (day - self.first_day) as u32;
        let unit = self.units[day as usize];
        let others = self.bits.len() as u32 - 1;
        for &number in users {
            let user = &mut self.set.users[number as usize];
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
            let user = &mut self.set.users[number as usize];
            user.rows |= u64::from(user.start == start);
        }
    }

    /// Add up the rows of the users at hand.
    fn count(&mut self) {
        let rows = self.rows;
        self.counts.resize(self.cohorts.len() * rows, 0);
        for (user, &cohort) in self.set.users.iter().zip(&self.set.cohorts).filter(|(user, _)| user.rows != 0) {
            let of_cohort = &mut self.counts[cohort as usize * rows..][..rows];
            let mut left = user.rows;
            while left != 0 {
                of_cohort[left.trailing_zeros() as usize] += 1;
                left &= left - 1;
            }
        }
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let of_set = self.set.users.capacity() * (size_of::<User>() + 4) + 8 * self.set.started.capacity();
        let of_days = 12 * self.units.len() + 32 * self.places.capacity();
        of_set + of_days + self.cohorts.capacity() * (size_of::<Cohort>() + 4) + 8 * self.counts.capacity()
    }

    /// The cohorts: start, group and users of each.
    pub fn finish(mut self, spec: &RetentionSpec) -> impl Iterator<Item = (i64, u32, CohortPartial)> {
        self.count();
        let (spec, rows, counts) = (spec.clone(), self.rows, self.counts);
        self.cohorts.into_iter().enumerate().map(move |(place, cohort)| {
            let cohort_us = spec.unit_start_us(cohort.unit);
            let users = counts[place * rows..][..rows].to_vec();
            (cohort_us, cohort.group, CohortPartial::of_counts(cohort.users, cohort_us, users))
        })
    }
}

/// The place of the cohort of a group, whose places in this unit are `places`.
#[inline]
fn cohort(cohorts: &mut Vec<Cohort>, places: &mut Vec<u32>, unit: i64, group: u32) -> u32 {
    let at = group as usize;
    if places.len() <= at {
        places.resize(at + 1, 0);
    }
    if places[at] == 0 {
        cohorts.push(Cohort { unit, group, users: 0 });
        places[at] = cohorts.len() as u32;
    }
    places[at] - 1
}
