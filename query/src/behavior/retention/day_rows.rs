//! Retention of periods of days from the active days of users: where these stand together, a bit a day, the rows in which a
//! user counts are a few look-ups.
//!
//! It gives what [`super::RetentionKernel`] gives for `Mode::On`, `Cohorts::First`, `Windows::Calendar`, a `min_count` of 1
//! and periods of days, of which the last one ends at most 128 days after the start.

use super::partial::CohortPartial;
use super::spec::{Cohorts, Mode, Period, RetentionSpec, Windows};
use std::ops::Range;

/// Days from the start on that are looked at.
const DAYS_MAX: usize = 128;
/// Rows: they are bits of a word, with one left.
const ROWS_MAX: usize = 63;
/// Counters that are added to at once.
const LANES: usize = 8;
/// Users that are counted before counters are emptied, which have room for one more than these. Whole words of bits.
const USERS_AT_ONCE: usize = 1_023 * WORD;
/// Users of a word with a bit each.
const WORD: usize = u64::BITS as usize;
/// Numbers that together are the members of a cohort: neighbours share one, and adding to one number would wait for the
/// addition before it.
const BANKS: usize = 4;

/// For each byte a one in the place of each bit.
static LANES_OF_BITS: [[u16; LANES]; 256] = {
    let mut lanes = [[0; LANES]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < LANES {
            lanes[byte][bit] = (byte >> bit & 1) as u16;
            bit += 1;
        }
        byte += 1;
    }
    lanes
};

/// The days on which users have a return event: for each user `words` words with a bit a day.
#[derive(Debug, Clone, Copy)]
pub struct DayBits<'a> {
    /// The day of the lowest bit of the first word.
    pub first_day: i32,
    /// Words a user.
    pub words: usize,
    /// The users with any day, a bit each, 64 a word.
    pub users: &'a [u64],
    /// The words of the users, one after the other.
    pub active: &'a [u64],
    /// Where start events are return events, too: the same for days with two return events, or more.
    pub twice: Option<&'a [u64]>,
}

impl DayBits<'_> {
    /// The bits of a user's days from `day` on, with the start event left out.
    #[inline]
    fn after_start(&self, user: usize, day: i32) -> u128 {
        let days = self.days_from(self.active, user, day);
        // On the day of the start, one of the events is the start.
        self.twice.map_or(days, |twice| days & !1 | self.days_from(twice, user, day) & 1)
    }

    #[inline]
    fn days_from(&self, words: &[u64], user: usize, day: i32) -> u128 {
        let skipped = i64::from(day) - i64::from(self.first_day);
        let of_user = &words[user * self.words..][..self.words];
        if let (&[low, high], 0..128) = (of_user, skipped) {
            return (u128::from(low) | u128::from(high) << 64) >> skipped;
        }
        let at = |word: usize| u128::from(of_user.get(word).copied().unwrap_or(0));
        if skipped < 0 {
            let later = u32::try_from(-skipped).unwrap_or(u32::MAX);
            return (at(0) | at(1) << 64).checked_shl(later).unwrap_or(0);
        }
        let (word, bit) = ((skipped / 64) as usize, (skipped % 64) as u32);
        let low = at(word) | at(word + 1) << 64;
        if bit == 0 { low } else { low >> bit | at(word + 2) << (128 - bit) }
    }
}

/// Counts users by cohort and row, one set of users after the other.
///
/// A cohort is a cell: of a group, and in it of a day of start, counted from the first one; or, where cohorts are not told
/// apart, of all of them. The last cell of a group is of users who did not start, so that nobody has to be left out.
#[derive(Debug)]
pub struct DayRows {
    first_day: i32,
    /// Days of start.
    days: usize,
    /// Cohorts of a group: one a day of start, or one.
    starts: usize,
    rows: usize,
    /// For each byte of the days from the start on, the rows of its bits; empty where each day is a row.
    rows_of_bytes: Vec<[u64; 256]>,
    /// Users of each cell.
    members: Vec<[u32; BANKS]>,
    /// The users at hand who started, a bit each.
    started: Vec<u64>,
    /// For each cell one more than the number of its counters; 0 where nobody came back.
    numbers: Vec<u32>,
    /// Counters for the users at hand, one a row.
    counters: Vec<[u16; LANES]>,
    /// What they have added up to before.
    counts: Vec<u64>,
}

impl DayRows {
    /// For starts on days from `days.0` to `days.1`; `None` where the arguments need more than this. With `merged` all cohorts
    /// of a group are one.
    pub fn new(spec: &RetentionSpec, (first, last): (i32, i32), merged: bool) -> Option<Self> {
        let plain = spec.mode == Mode::On && spec.cohort == Cohorts::First && spec.windows == Windows::Calendar;
        let rows = spec.periods.rows();
        let days_of_period = match spec.period {
            Period::Day => 1,
            Period::Days(days) => days.max(1) as usize,
            Period::Week { .. } | Period::Month => return None,
        };
        let looked_at = (spec.periods.period(rows - 1) as usize + 1).checked_mul(days_of_period)?;
        if !plain || spec.min_count != 1 || rows > ROWS_MAX || looked_at > DAYS_MAX {
            return None;
        }
        let row = |day: usize| spec.periods.row((day / days_of_period) as i64) as usize;
        let is_a_row_each = (0..looked_at).all(|day| row(day) == day);
        let bytes = if is_a_row_each { 0 } else { looked_at.div_ceil(8) };
        let row_bit = |day: usize| if day < looked_at { 1 << row(day) } else { 0 };
        let days = usize::try_from(i64::from(last) - i64::from(first) + 1).ok()?;
        Some(Self {
            first_day: first,
            days,
            starts: if merged { 1 } else { days },
            rows,
            rows_of_bytes: (0..bytes).map(|byte| rows_of_byte(|bit| row_bit(8 * byte + bit))).collect(),
            members: Vec::new(),
            started: Vec::new(),
            numbers: Vec::new(),
            counters: Vec::new(),
            counts: Vec::new(),
        })
    }

    /// Add a set of users: the day of the first start event of each, `i32::MAX` for none, and the days of return events.
    /// `groups` has the group of each user; 0 where there is none.
    pub fn add(&mut self, first_days: &[i32], returns: &DayBits<'_>, groups: Option<&[u32]>) {
        for begin in (0..first_days.len()).step_by(USERS_AT_ONCE) {
            let users = begin..first_days.len().min(begin + USERS_AT_ONCE);
            match groups {
                None => self.add_users(first_days, returns, users, |_| 0),
                Some(groups) => self.add_users(first_days, returns, users, |user| groups[user] as usize),
            }
        }
    }

    #[inline]
    fn add_users(
        &mut self,
        first_days: &[i32],
        returns: &DayBits<'_>,
        users: Range<usize>,
        group: impl Fn(usize) -> usize,
    ) {
        let (first_day, days, starts) = (self.first_day, self.days, self.starts);
        // What makes a cell of a day of start, without a branch: the day itself, or whether there is none.
        let (more, shift) = if starts == days { (0, 0) } else { ((1 << 32) - days as u64, 32) };
        // The cell of a user, and whether the user started.
        let cell = |user: usize| {
            let start = (first_days[user].wrapping_sub(first_day) as u32 as usize).min(days);
            (group(user) * (starts + 1) + ((start as u64 + more) >> shift) as usize, start < days)
        };
        self.count_members(users.clone(), cell);
        let words = users.start / WORD..users.end.div_ceil(WORD);
        match returns.words {
            // The frequent one, known to the compiler.
            2 => self.count_returns(first_days, &DayBits { words: 2, ..*returns }, words, cell),
            _ => self.count_returns(first_days, returns, words, cell),
        }
        self.sum_up();
    }

    /// Count the members of cells, and find who started, without a branch: it would be hard to predict.
    #[inline]
    fn count_members(&mut self, users: Range<usize>, cell: impl Fn(usize) -> (usize, bool)) {
        self.started.clear();
        for begin in users.clone().step_by(WORD) {
            let mut started = 0;
            for (bit, user) in (begin..users.end.min(begin + WORD)).enumerate() {
                let (cell, starts) = cell(user);
                started |= u64::from(starts) << bit;
                if cell >= self.members.len() {
                    self.make_room(cell);
                }
                self.members[cell][bit % BANKS] += 1;
            }
            self.started.push(started);
        }
    }

    #[cold]
    fn make_room(&mut self, cell: usize) {
        let cells = (cell + 1).next_multiple_of(self.starts + 1);
        self.members.resize(cells, [0; BANKS]);
        self.numbers.resize(cells, 0);
    }

    /// Count those who started and have a day in the rows in which they came back.
    #[inline]
    fn count_returns(
        &mut self,
        first_days: &[i32],
        returns: &DayBits<'_>,
        words: Range<usize>,
        cell: impl Fn(usize) -> (usize, bool),
    ) {
        let groups = self.rows.div_ceil(LANES);
        for (place, word) in words.enumerate() {
            let mut left = self.started[place] & returns.users.get(word).copied().unwrap_or(0);
            while left != 0 {
                let user = word * WORD + left.trailing_zeros() as usize;
                left &= left - 1;
                let rows = self.rows_of(returns.after_start(user, first_days[user]));
                let begin = self.counters_of(cell(user).0) * groups;
                for (counters, byte) in self.counters[begin..begin + groups].iter_mut().zip(rows.to_le_bytes()) {
                    let lanes = &LANES_OF_BITS[byte as usize];
                    counters.iter_mut().zip(lanes).for_each(|(counter, lane)| *counter += lane);
                }
            }
        }
    }

    /// The rows of days from the start on, a bit each.
    #[inline]
    fn rows_of(&self, days: u128) -> u64 {
        match self.rows_of_bytes.as_slice() {
            [] => days as u64 & ((1 << self.rows) - 1),
            of_bytes if of_bytes.len() <= 8 => rows_of_days(of_bytes, days as u64),
            of_bytes => rows_of_days(&of_bytes[..8], days as u64) | rows_of_days(&of_bytes[8..], (days >> 64) as u64),
        }
    }

    /// The number of the counters of a cell.
    #[inline]
    fn counters_of(&mut self, cell: usize) -> usize {
        match self.numbers[cell] {
            0 => self.add_counters(cell),
            number => number as usize - 1,
        }
    }

    #[cold]
    fn add_counters(&mut self, cell: usize) -> usize {
        let groups = self.rows.div_ceil(LANES);
        let number = self.counters.len() / groups;
        self.counters.resize(self.counters.len() + groups, [0; LANES]);
        self.numbers[cell] = number as u32 + 1;
        number
    }

    /// Empty the counters before they are full.
    fn sum_up(&mut self) {
        self.counts.resize(self.counters.len() * LANES, 0);
        for (counts, counters) in self.counts.chunks_exact_mut(LANES).zip(&mut self.counters) {
            counts.iter_mut().zip(counters.iter()).for_each(|(count, &counter)| *count += u64::from(counter));
            *counters = [0; LANES];
        }
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let of_cells = self.members.capacity() * size_of::<[u32; BANKS]>() + 4 * self.numbers.capacity();
        let of_counters = self.counters.capacity() * size_of::<[u16; LANES]>() + 8 * self.counts.capacity();
        of_cells + of_counters + 8 * self.started.capacity() + size_of_val(self.rows_of_bytes.as_slice())
    }

    /// Adds what `other` has counted for the same arguments, whose groups have the numbers `groups` here.
    pub fn merge(&mut self, other: &Self, groups: &[u32]) {
        let (cells, of_cell) = (self.starts + 1, self.counted_rows());
        for (place, &group) in groups.iter().enumerate().take(other.members.len() / cells) {
            for start in 0..cells {
                let (theirs, mine) = (place * cells + start, group as usize * cells + start);
                if mine >= self.members.len() {
                    self.make_room(mine);
                }
                self.members[mine].iter_mut().zip(other.members[theirs]).for_each(|(mine, theirs)| *mine += theirs);
                let Some(from) = other.numbers[theirs].checked_sub(1).map(|number| number as usize * of_cell) else {
                    continue;
                };
                let to = self.counters_of(mine) * of_cell;
                self.counts.resize(self.counters.len() * LANES, 0);
                let counts = self.counts[to..to + of_cell].iter_mut().zip(&other.counts[from..from + of_cell]);
                counts.for_each(|(mine, theirs)| *mine += theirs);
            }
        }
    }

    /// Rows that a cell has counters for.
    fn counted_rows(&self) -> usize {
        self.rows.div_ceil(LANES) * LANES
    }

    /// The cohorts in the order of their start: start, group and users of each, once. Where all of a group are one, it is said to
    /// start with the first day.
    pub fn finish(self, spec: &RetentionSpec) -> Vec<(i64, u32, CohortPartial)> {
        let of_cell = self.counted_rows();
        let groups = self.members.len() / (self.starts + 1);
        let mut cohorts = Vec::with_capacity(groups * self.starts);
        for (start, day) in (self.first_day..).take(self.starts).enumerate() {
            let cohort_us = spec.unit_start_us(spec.unit_of_day(day));
            for group in 0..groups {
                let cell = group * (self.starts + 1) + start;
                let members: u64 = self.members[cell].iter().copied().map(u64::from).sum();
                let users = match self.numbers[cell] {
                    0 => vec![0; self.rows],
                    number => self.counts[(number as usize - 1) * of_cell..][..self.rows].to_vec(),
                };
                if members > 0 {
                    cohorts.push((cohort_us, group as u32, CohortPartial::of_counts(members, cohort_us, users)));
                }
            }
        }
        cohorts
    }
}

/// The rows of each value of a byte, from those of its bits.
fn rows_of_byte(row_bit: impl Fn(usize) -> u64) -> [u64; 256] {
    let mut rows = [0; 256];
    for byte in 1..256_usize {
        rows[byte] = rows[byte & (byte - 1)] | row_bit(byte.trailing_zeros() as usize);
    }
    rows
}

/// The rows of up to 64 days, whose bytes have these rows.
#[inline]
fn rows_of_days(rows_of_bytes: &[[u64; 256]], days: u64) -> u64 {
    let bytes = (0..u64::BITS).step_by(8).map(|shift| (days >> shift) as u8);
    rows_of_bytes.iter().zip(bytes).fold(0, |rows, (of_byte, byte)| rows | of_byte[usize::from(byte)])
}
