//! The most frequent retention from days alone: each user in the cohort of the first start, back in a period or not.
//!
//! In place of one user after the other it goes through the days, whose users come as lists of numbers, and keeps a bit
//! for each row of a user. It gives what [`super::RetentionKernel`] gives for `Mode::On`, `Cohorts::First`, `Windows::Calendar`,
//! a `min_count` of 1 and at most 64 rows.

use super::partial::CohortPartial;
use super::spec::{Cohorts, Mode, RetentionSpec, Windows};

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

/// One cohort of one group.
#[derive(Debug)]
struct Cohort {
    unit: i64,
    group: u32,
}

/// Counts users by day, one set of users after the other. Of each set first all starts are given, then all returns, in
/// order of days.
#[derive(Debug)]
pub struct FirstDays {
    first_day: i32,
    /// The unit of each day from the first one on, less that of the first, and at the end [`NEVER`].
    units: Vec<i32>,
    first_unit: i64,
    /// The bit of the row for each distance of units; none for rows that are not reported, and as the last entry for all
    /// other distances, so that nothing has to be asked of a user.
    bits: Vec<u64>,
    rows: usize,
    /// The first one is of those who did not start.
    cohorts: Vec<Cohort>,
    /// Users of each cohort: those with even numbers, and with odd ones.
    members: Vec<[u64; 2]>,
    /// For each group, and in it each unit, that of [`NEVER`] at the end: one more than the place of the cohort.
    places: Vec<u32>,
    /// Users by cohort and row, of the sets before this one.
    counts: Vec<u64>,
    set: Set,
}

/// The users of one set.
#[derive(Debug, Default)]
struct Set {
    users: Vec<User>,
    /// The place of the cohort of each.
    cohorts: Vec<u32>,
    /// Users with a row.
    back: Vec<u32>,
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
        let mut units: Vec<i32> = (first..=last).map(|day| (spec.unit_of_day(day) - first_unit) as i32).collect();
        let per_period = spec.period.units();
        let bit = |distance: i32| {
            let row = spec.periods.row(i64::from(distance) / per_period) as usize;
            if row < rows { 1 << row } else { 0 }
        };
        let distances = 0..=units.last().copied().unwrap_or(0);
        units.push(NEVER);
        Some(Self {
            first_day: first,
            bits: distances.map(bit).chain([0]).collect(),
            units,
            first_unit,
            rows,
            cohorts: vec![Cohort { unit: i64::from(NEVER), group: 0 }],
            members: vec![[0; 2]],
            places: Vec::new(),
            counts: Vec::new(),
            set: Set::default(),
        })
    }

    /// What follows is of other users. The day of the first start event of each, by number, `i32::MAX` for none; `groups`
    /// has the group of each, 0 where there is none.
    pub fn begin(&mut self, first_days: &[i32], groups: Option<&[u32]>) {
        self.count();
        let never = (self.units.len() - 1) as u32;
        let stride = self.bits.len();
        let mut set = std::mem::take(&mut self.set);
        set.users.resize(first_days.len(), User { rows: 0, start: never, unit: NEVER });
        set.cohorts.resize(first_days.len(), 0);
        let users = set.users.iter_mut().zip(&mut set.cohorts);
        // No branch on whether a user has started: it is hard to predict.
        for (number, (&day, (user, of_user))) in (0_u32..).zip(first_days.iter().zip(users)) {
            let start = (day.wrapping_sub(self.first_day) as u32).min(never);
            let unit = self.units[start as usize];
            *user = User { rows: 0, start, unit };
            let group = groups.map_or(0, |groups| groups[number as usize]);
            let cell = group as usize * stride + (unit as usize).min(stride - 1);
            let mut place = self.places.get(cell).copied().unwrap_or(0);
            if place == 0 {
                place = self.new_cohort(cell, unit, group);
            }
            *of_user = place - 1;
            // Neighbours share a cohort, and adding to one number would wait for the addition before it.
            self.members[*of_user as usize][number as usize % 2] += 1;
        }
        self.set = set;
    }

    /// One more than the place of the cohort of a cell that had none.
    #[cold]
    fn new_cohort(&mut self, cell: usize, unit: i32, group: u32) -> u32 {
        let stride = self.bits.len();
        if self.places.len() <= cell {
            self.places.resize((group as usize + 1) * stride, 0);
        }
        if unit != NEVER {
            self.cohorts.push(Cohort { unit: self.first_unit + i64::from(unit), group });
            self.members.push([0; 2]);
        }
        self.places[cell] = if unit == NEVER { 1 } else { self.cohorts.len() as u32 };
        self.places[cell]
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
        let (rows, Set { users, cohorts, back }) = (self.rows, &mut self.set);
        self.counts.resize(self.cohorts.len() * rows, 0);
        back.resize(back.len().max(users.len()), 0);
        // Who is back is picked first, without a branch, since that is hard to predict.
        let mut count = 0;
        for (number, user) in (0..).zip(users.iter()) {
            back[count] = number;
            count += usize::from(user.rows != 0);
        }
        for &number in &back[..count] {
            let of_cohort = &mut self.counts[cohorts[number as usize] as usize * rows..][..rows];
            let mut left = users[number as usize].rows;
            while left != 0 {
                of_cohort[left.trailing_zeros() as usize] += 1;
                left &= left - 1;
            }
        }
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let of_set = self.set.users.capacity() * (size_of::<User>() + 8);
        let of_days = 12 * self.units.len() + 4 * self.places.capacity();
        of_set + of_days + self.cohorts.capacity() * (size_of::<Cohort>() + 16) + 8 * self.counts.capacity()
    }

    /// The cohorts: start, group and users of each.
    pub fn finish(mut self, spec: &RetentionSpec) -> impl Iterator<Item = (i64, u32, CohortPartial)> {
        self.count();
        let (spec, rows, counts, members) = (spec.clone(), self.rows, self.counts, self.members);
        self.cohorts.into_iter().enumerate().skip(1).map(move |(place, cohort)| {
            let cohort_us = spec.unit_start_us(cohort.unit);
            let users = counts[place * rows..][..rows].to_vec();
            (cohort_us, cohort.group, CohortPartial::of_counts(members[place].iter().sum(), cohort_us, users))
        })
    }
}
