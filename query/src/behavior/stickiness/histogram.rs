//! How many users were active on how many days of a period: partials that merge in any order, and the rows made of them.

use super::spec::StickinessSpec;
use hashbrown::HashMap;

/// A row of `emit => 'histogram'`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramRow {
    /// Start of the week or month.
    pub period_us: i64,
    /// The group of `by` values.
    pub group: u32,
    /// Active days, from 1.
    pub days: u64,
    /// Users with so many.
    pub users: u64,
    /// As a part of all users of the group who were active in the period.
    pub share: f64,
    /// Whether the period is over by the newest event of the snapshot.
    pub complete: bool,
}

/// Users by period, group and number of active days. Merging is commutative and associative, as long as each user was added
/// once to a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramPartial {
    /// Users with one day, with two, ….
    counts: HashMap<(i64, u32), Vec<u64>>,
}

impl HistogramPartial {
    /// Adds a user of a group with these active days, ascending.
    pub fn add_user(&mut self, spec: &StickinessSpec, group: u32, days: &[i64]) {
        let period = |day: &i64| spec.within.number_of_day(*day);
        for days in days.chunk_by(|a, b| period(a) == period(b)) {
            self.add(group, period(&days[0]), days.len(), 1);
        }
    }

    /// Adds users of a group who were active on `days` days of `period`, at least one.
    pub fn add(&mut self, group: u32, period: i64, days: usize, users: u64) {
        let counts = self.counts.entry((period, group)).or_default();
        if counts.len() < days {
            counts.resize(days, 0);
        }
        counts[days - 1] += users;
    }

    /// Adds everything of `other`, whose groups mean what `group` makes of them. Different ones may mean the same.
    pub fn merge(&mut self, other: Self, group: impl Fn(u32) -> u32) {
        for ((period, theirs), counts) in other.counts {
            for (days, users) in (1..).zip(counts).filter(|(_, users)| *users > 0) {
                self.add(group(theirs), period, days, users);
            }
        }
    }

    /// The groups that have users, each at least once.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        self.counts.keys().map(|(_, group)| *group)
    }

    /// Whether nobody was added.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let slots = self.counts.capacity() * size_of::<((i64, u32), Vec<u64>)>();
        slots + self.counts.values().map(|counts| 8 * counts.capacity()).sum::<usize>()
    }

    /// How many rows [`Self::finish`] gives, at most.
    pub fn rows_max(&self) -> usize {
        31 * self.counts.len()
    }

    /// The rows in the order of period, of groups by `rank`, and of days. A period in which somebody of the group was active
    /// has rows for 1 to all of its days. `newest_ts` is the time of the newest event of the snapshot, of any user.
    pub fn finish(self, spec: &StickinessSpec, newest_ts: i64, rank: impl Fn(u32) -> u32) -> Vec<HistogramRow> {
        let mut counted: Vec<((i64, u32), Vec<u64>)> = self.counts.into_iter().collect();
        counted.sort_unstable_by_key(|((period, group), _)| (*period, rank(*group)));
        let mut rows = Vec::new();
        for ((period, group), counts) in counted {
            let all: u64 = counts.iter().sum();
            let (period_us, end_us) = (spec.within.start_us(period), spec.within.start_us(period + 1));
            let days =
                (1..=spec.days_of(period).max(counts.len()) as u64).zip(counts.into_iter().chain(std::iter::repeat(0)));
            rows.extend(days.map(|(days, users)| HistogramRow {
                period_us,
                group,
                days,
                users,
                share: users as f64 / all as f64,
                complete: newest_ts >= end_us,
            }));
        }
        rows
    }
}
