//! How many users were active on a day, and in the seven and thirty days that end with it: partials that merge in any order,
//! and the rows made of them.

use super::spec::StickinessSpec;
use hashbrown::HashMap;

/// The windows, in days.
const WINDOWS: [i64; 2] = [7, 30];

/// A row of `emit => 'active'`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveRow {
    /// Start of the day.
    pub day_us: i64,
    /// The group of `by` values.
    pub group: u32,
    /// Users of the day.
    pub dau: u64,
    /// Users of the 7 days that end with it.
    pub wau: u64,
    /// Users of the 30 days that end with it.
    pub mau: u64,
    /// Whether the day is over by the newest event of the snapshot.
    pub complete: bool,
}

/// What changes on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    users: u64,
    /// Users who enter each window, less those who leave it.
    windows: [i64; WINDOWS.len()],
}

/// Changes by day and group. Merging is commutative and associative, as long as each user was added once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivePartial {
    changes: HashMap<(i64, u32), Change>,
}

impl ActivePartial {
    /// Adds a user of a group with these active days, ascending.
    pub fn add_user(&mut self, group: u32, days: &[i64]) {
        let mut before = None;
        for &day in days {
            self.add_day(group, day, before.replace(day));
        }
        before.into_iter().for_each(|last| self.add_last(group, last));
    }

    /// Adds a user's active day; `before` is the last one before it. After the last of all [`Self::add_last`] is due.
    pub fn add_day(&mut self, group: u32, day: i64, before: Option<i64>) {
        self.change(day, group).users += 1;
        for (window, length) in WINDOWS.into_iter().enumerate() {
            // From one active day to the next the user may have been in the window all the time.
            if before.is_some_and(|before| day - before <= length) {
                continue;
            }
            self.change(day, group).windows[window] += 1;
            if let Some(before) = before {
                self.change(before + length, group).windows[window] -= 1;
            }
        }
    }

    /// Adds that `last` is the last active day of a user.
    pub fn add_last(&mut self, group: u32, last: i64) {
        for (window, length) in WINDOWS.into_iter().enumerate() {
            self.change(last + length, group).windows[window] -= 1;
        }
    }

    fn change(&mut self, day: i64, group: u32) -> &mut Change {
        self.changes.entry((day, group)).or_default()
    }

    /// Adds everything of `other`, whose groups mean what `group` makes of them. Different ones may mean the same.
    pub fn merge(&mut self, other: Self, group: impl Fn(u32) -> u32) {
        for ((day, theirs), change) in other.changes {
            let mine = self.change(day, group(theirs));
            mine.users += change.users;
            mine.windows.iter_mut().zip(change.windows).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// The groups that have users, each at least once.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        self.changes.keys().map(|(_, group)| *group)
    }

    /// Whether nobody was added.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        self.changes.capacity() * size_of::<((i64, u32), Change)>()
    }

    /// The first active day of each group, and the last day that has rows: no day that begins at the newest event or later,
    /// unless somebody is active on it.
    fn days(&self, spec: &StickinessSpec, newest_ts: i64) -> (Vec<(u32, i64)>, i64) {
        let mut firsts: HashMap<u32, i64> = HashMap::new();
        let mut last = i64::MIN;
        for ((day, group), _) in self.changes.iter().filter(|(_, change)| change.users > 0) {
            let first = firsts.entry(*group).or_insert(*day);
            *first = (*first).min(*day);
            last = last.max(*day);
        }
        (firsts.into_iter().collect(), last.max(spec.days().number(newest_ts.saturating_sub(1))))
    }

    /// How many rows [`Self::finish`] gives.
    pub fn rows(&self, spec: &StickinessSpec, newest_ts: i64) -> usize {
        let (firsts, last) = self.days(spec, newest_ts);
        firsts.iter().map(|(_, first)| (last - first + 1).max(0) as usize).sum()
    }

    /// The rows in the order of days and of groups by `rank`. Each group has a row for every day from its first active one
    /// on. `newest_ts` is the time of the newest event of the snapshot, of any user.
    pub fn finish(&self, spec: &StickinessSpec, newest_ts: i64, rank: impl Fn(u32) -> u32) -> Vec<ActiveRow> {
        let (mut firsts, last) = self.days(spec, newest_ts);
        firsts.sort_unstable_by_key(|(group, _)| rank(*group));
        let mut inside: Vec<[i64; WINDOWS.len()]> = vec![[0; WINDOWS.len()]; firsts.len()];
        let mut rows = Vec::with_capacity(self.rows(spec, newest_ts));
        for day in firsts.iter().map(|(_, first)| *first).min().unwrap_or(0)..=last {
            let (day_us, end_us) = (spec.days().start_us(day), spec.days().start_us(day + 1));
            for (&(group, first), inside) in firsts.iter().zip(&mut inside) {
                if day < first {
                    continue;
                }
                let change = self.changes.get(&(day, group)).copied().unwrap_or_default();
                inside.iter_mut().zip(change.windows).for_each(|(inside, change)| *inside += change);
                let [wau, mau] = inside.map(|users| users.max(0) as u64);
                rows.push(ActiveRow { day_us, group, dau: change.users, wau, mau, complete: newest_ts >= end_us });
            }
        }
        rows
    }
}
