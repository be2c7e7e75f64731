//! What statuses of many users add up to: partials that merge in any order, and the rows made of them.

use super::spec::LifecycleSpec;
use super::status::Status;
use hashbrown::HashMap;
use std::ops::RangeInclusive;

/// A row of `emit => 'periods'`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleRow {
    /// Start of the period.
    pub period_us: i64,
    /// The group of `by` values.
    pub group: u32,
    /// What the users are.
    pub status: Status,
    /// How many are.
    pub users: u64,
    /// Whether the period is over by the newest event of the snapshot.
    pub complete: bool,
}

/// Users by period, group and status. Merging is commutative and associative, as long as each user was added once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LifecyclePartial {
    counts: HashMap<(i64, u32), [u64; Status::ALL.len()]>,
}

/// The periods of one group.
type GroupPeriods = (u32, RangeInclusive<i64>);

impl LifecyclePartial {
    /// Adds users of a group who are `status` in `period`.
    pub fn add(&mut self, group: u32, period: i64, status: Status, users: u64) {
        if users > 0 {
            self.counts.entry((period, group)).or_default()[status as usize] += users;
        }
    }

    /// Adds everything of `other`, whose groups mean what `group` makes of them. Different ones may mean the same.
    pub fn merge(&mut self, other: Self, group: impl Fn(u32) -> u32) {
        for ((period, theirs), users) in other.counts {
            let mine = self.counts.entry((period, group(theirs))).or_default();
            mine.iter_mut().zip(users).for_each(|(mine, users)| *mine += users);
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
        self.counts.capacity() * size_of::<((i64, u32), [u64; Status::ALL.len()])>()
    }

    /// Last period in which anybody is active.
    pub fn last_active(&self) -> Option<i64> {
        let is_active = |users: &[u64; Status::ALL.len()]| users[..Status::Dormant as usize].iter().any(|&n| n > 0);
        self.counts.iter().filter(|(_, users)| is_active(users)).map(|((period, _), _)| *period).max()
    }

    /// The periods that each group has rows of, from that of its first user on.
    fn periods(&self, spec: &LifecycleSpec, newest_ts: i64) -> Vec<GroupPeriods> {
        let Some(last) = self.last_active() else { return Vec::new() };
        let mut firsts: HashMap<u32, i64> = HashMap::new();
        for (period, group) in self.counts.keys() {
            let first = firsts.entry(*group).or_insert(*period);
            *first = (*first).min(*period);
        }
        firsts.into_iter().map(|(group, first)| (group, spec.periods(first, last, newest_ts))).collect()
    }

    /// How many rows [`Self::finish`] gives.
    pub fn rows(&self, spec: &LifecycleSpec, newest_ts: i64) -> usize {
        let periods = self.periods(spec, newest_ts);
        let count = |periods: &RangeInclusive<i64>| (periods.end() - periods.start() + 1).max(0) as usize;
        periods.iter().map(|(_, periods)| Status::ALL.len() * count(periods)).sum()
    }

    /// The rows in the order of period, of groups by `rank`, and of statuses. Each group has rows for every period, with 0
    /// where nobody is. `newest_ts` is the time of the newest event of the snapshot, of any user.
    pub fn finish(&self, spec: &LifecycleSpec, newest_ts: i64, rank: impl Fn(u32) -> u32) -> Vec<LifecycleRow> {
        let mut groups = self.periods(spec, newest_ts);
        groups.sort_unstable_by_key(|(group, _)| rank(*group));
        let first = groups.iter().map(|(_, periods)| *periods.start()).min().unwrap_or(0);
        let last = groups.iter().map(|(_, periods)| *periods.end()).max().unwrap_or(-1);
        let mut rows = Vec::with_capacity(self.rows(spec, newest_ts));
        for period in first..=last {
            let (period_us, end_us) = (spec.calendar.start_us(period), spec.calendar.start_us(period + 1));
            let complete = newest_ts >= end_us;
            for (group, _) in groups.iter().filter(|(_, periods)| periods.contains(&period)) {
                let users = self.counts.get(&(period, *group)).copied().unwrap_or_default();
                let row = |(status, users)| LifecycleRow { period_us, group: *group, status, users, complete };
                rows.extend(Status::ALL.into_iter().zip(users).map(row));
            }
        }
        rows
    }
}
