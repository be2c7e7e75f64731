//! What cohorts of many users add up to: partials that merge in any order, and the rows made of them.

use super::kernel::UserCohort;
use super::spec::{RetentionSpec, Windows};
use hashbrown::HashMap;
use std::hash::Hash;

/// A row of `emit => 'matrix'`.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionRow<K> {
    /// Start of the cohort.
    pub cohort_us: i64,
    /// The group of `by` values.
    pub key: K,
    /// Users of the cohort.
    pub cohort_users: u64,
    /// Number of the period, from 0, or of the last one of the bracket.
    pub period: u32,
    /// Users of the cohort that count in the period.
    pub users: u64,
    /// `users` as a part of `cohort_users`.
    pub rate: f64,
    /// Whether the period is over by the newest event of the snapshot, for every user of the cohort.
    pub complete: bool,
}

/// One cohort of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortPartial {
    cohort_users: u64,
    /// Users by row, up to the last row with any.
    users: Vec<u64>,
    /// Time of the last start event.
    last_start_ts: i64,
}

impl Default for CohortPartial {
    fn default() -> Self {
        Self { cohort_users: 0, users: Vec::new(), last_start_ts: i64::MIN }
    }
}

impl CohortPartial {
    /// `cohort_users` users, the last of whom started at `last_start_ts`, of whom `users` count in each row.
    pub fn of_counts(cohort_users: u64, last_start_ts: i64, users: Vec<u64>) -> Self {
        Self { cohort_users, users, last_start_ts }
    }

    /// Adds a user whose start event is at `start_ts` and who counts in `rows`, ascending.
    pub fn add_rows(&mut self, start_ts: i64, rows: &[u32]) {
        self.cohort_users += 1;
        self.last_start_ts = self.last_start_ts.max(start_ts);
        self.make_room(rows.last().map_or(0, |&last| last as usize + 1));
        for &row in rows {
            self.users[row as usize] += 1;
        }
    }

    /// Adds the users of another cohort, or other users of the same.
    pub fn merge(&mut self, other: Self) {
        self.cohort_users += other.cohort_users;
        self.last_start_ts = self.last_start_ts.max(other.last_start_ts);
        self.make_room(other.users.len());
        for (mine, theirs) in self.users.iter_mut().zip(other.users) {
            *mine += theirs;
        }
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        8 * self.users.capacity()
    }

    fn make_room(&mut self, rows: usize) {
        if self.users.len() < rows {
            self.users.resize(rows, 0);
        }
    }
}

/// Cohorts by start and group key. Merging is commutative and associative: the rows do not depend on how the users
/// were divided, as long as each user's events were in one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionPartial<K: Eq + Hash> {
    cohorts: HashMap<(i64, K), CohortPartial>,
}

impl<K: Eq + Hash> Default for RetentionPartial<K> {
    fn default() -> Self {
        Self { cohorts: HashMap::new() }
    }
}

impl<K: Eq + Hash + Ord + Clone> RetentionPartial<K> {
    /// Adds a user to a cohort of the group of `key`, which is that of the start event.
    pub fn add(&mut self, key: K, cohort: &UserCohort<'_>) {
        self.cohorts.entry((cohort.cohort_us, key)).or_default().add_rows(cohort.start_ts, cohort.rows);
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: Self) {
        for (key, cohort) in other.cohorts {
            self.cohorts.entry(key).or_default().merge(cohort);
        }
    }

    /// Adds users to the cohort that starts at `cohort_us`, in the group of `key`.
    pub fn merge_cohort(&mut self, cohort_us: i64, key: K, cohort: CohortPartial) {
        self.cohorts.entry((cohort_us, key)).or_default().merge(cohort);
    }

    /// The keys of groups, one for each cohort that has users of it.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.cohorts.keys().map(|(_, key)| key)
    }

    /// Adds everything of `other`, whose keys mean what `key` makes of them. Different ones may mean the same.
    pub fn merge_as<L: Eq + Hash>(&mut self, other: RetentionPartial<L>, key: impl Fn(&L) -> K) {
        self.cohorts.reserve(other.cohorts.len().saturating_sub(self.cohorts.len()));
        for ((cohort_us, theirs), cohort) in other.cohorts {
            self.cohorts.entry((cohort_us, key(&theirs))).or_default().merge(cohort);
        }
    }

    /// Number of cohorts.
    pub fn len(&self) -> usize {
        self.cohorts.len()
    }

    /// Whether there is no cohort.
    pub fn is_empty(&self) -> bool {
        self.cohorts.is_empty()
    }

    /// Bytes held on the heap, for accounting of memory. Keys count with their own size only.
    pub fn heap_bytes(&self) -> usize {
        let slots = self.cohorts.capacity() * size_of::<((i64, K), CohortPartial)>();
        slots + self.cohorts.values().map(CohortPartial::heap_bytes).sum::<usize>()
    }

    /// The rows in the order of cohort, key and period. Each cohort has a row for every period that `spec` asks for,
    /// with 0 where nobody counts. `newest_ts` is the time of the newest event of the snapshot, of any user.
    pub fn finish(self, spec: &RetentionSpec, newest_ts: i64) -> Vec<RetentionRow<K>> {
        let mut rows = Vec::with_capacity(self.len() * spec.periods.rows());
        each_row(self.into_cohorts(), spec, newest_ts, |row| rows.push(row));
        rows
    }

    /// The cohorts by start and key, in no order.
    pub fn into_cohorts(self) -> Vec<((i64, K), CohortPartial)> {
        self.cohorts.into_iter().collect()
    }
}

/// The rows of cohorts, each of which is there once: as of [`RetentionPartial::finish`].
pub fn each_row<K: Ord + Clone>(
    mut cohorts: Vec<((i64, K), CohortPartial)>,
    spec: &RetentionSpec,
    newest_ts: i64,
    mut each: impl FnMut(RetentionRow<K>),
) {
    // They may be in order already.
    cohorts.sort_by(|a, b| a.0.cmp(&b.0));
    // With calendar windows all groups of a cohort share the ends of its periods.
    let mut ends = PeriodEnds { spec, of: None, ends_us: Vec::new() };
    for ((cohort_us, key), cohort) in cohorts {
        let ends_us = ends.of(cohort_us, cohort.last_start_ts);
        for (row, &end_us) in ends_us.iter().enumerate() {
            let users = cohort.users.get(row).copied().unwrap_or(0);
            each(RetentionRow {
                cohort_us,
                key: key.clone(),
                cohort_users: cohort.cohort_users,
                period: spec.periods.period(row),
                users,
                rate: users as f64 / cohort.cohort_users as f64,
                complete: newest_ts >= end_us,
            });
        }
    }
}

/// The ends of the periods of the cohort that was asked for last.
struct PeriodEnds<'a> {
    spec: &'a RetentionSpec,
    of: Option<(i64, i64)>,
    ends_us: Vec<i64>,
}

impl PeriodEnds<'_> {
    fn of(&mut self, cohort_us: i64, last_start_ts: i64) -> &[i64] {
        let decides = match self.spec.windows {
            Windows::Calendar => (cohort_us, cohort_us),
            Windows::Rolling => (cohort_us, last_start_ts),
        };
        if self.of.replace(decides) != Some(decides) {
            let periods = (0..self.spec.periods.rows()).map(|row| self.spec.periods.period(row));
            self.ends_us = self.spec.period_ends_us(cohort_us, last_start_ts, periods);
        }
        &self.ends_us
    }
}
