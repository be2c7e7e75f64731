//! What funnels of many users add up to: partials that merge in any order, and the rows made of them.
//!
//! Durations are kept one by one (8 bytes each), since medians and quantiles are exact.

use super::matches::Chain;
use crate::behavior::quantile::quantiles_seconds;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use trodden_engine::parallel;

/// Counts and durations of one group: one combination of `by` values and bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupPartial {
    /// `levels[k]`: chains of exactly k + 1 events.
    levels: Vec<u64>,
    /// `gaps_us[k]`: times from step k + 1 to step k + 2, of chains that got there.
    gaps_us: Vec<Vec<i64>>,
    /// `totals_us[k]`: times from step 1 to step k + 3. To step 2 it is the gap.
    totals_us: Vec<Vec<i64>>,
}

impl GroupPartial {
    /// Adds a chain.
    pub fn add(&mut self, chain: &Chain<'_>) {
        let level = chain.level();
        if level == 0 {
            return;
        }
        self.make_room(level);
        self.levels[level - 1] += 1;
        let Some((&entered_at, later)) = chain.times.split_first() else { return };
        let mut before_at = entered_at;
        for (gap, &at) in later.iter().enumerate() {
            self.gaps_us[gap].push(at.saturating_sub(before_at));
            if gap > 0 {
                self.totals_us[gap - 1].push(at.saturating_sub(entered_at));
            }
            before_at = at;
        }
    }

    /// Counts a chain of `level` events, from 1, without its durations.
    #[inline]
    pub fn add_level(&mut self, level: usize) {
        self.make_room(level);
        self.levels[level - 1] += 1;
    }

    /// Adds `count` chains of one event each. For callers that know from an index that nothing more can match.
    pub fn add_entries(&mut self, count: u64) {
        if count > 0 {
            self.make_room(1);
            self.levels[0] += count;
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: Self) {
        self.make_room(other.levels.len());
        for (mine, theirs) in self.levels.iter_mut().zip(other.levels) {
            *mine += theirs;
        }
        append_all(&mut self.gaps_us, other.gaps_us);
        append_all(&mut self.totals_us, other.totals_us);
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let durations: usize = self.gaps_us.iter().chain(&self.totals_us).map(Vec::capacity).sum();
        8 * (durations + self.levels.capacity())
    }

    /// The rows of this group, one per step of a funnel of `steps` steps.
    pub fn finish(self, steps: usize) -> Vec<StepRow> {
        finish_all(vec![self], steps, 1).swap_remove(0)
    }

    /// The rows, given the quantiles of every gap and every total.
    fn rows(&self, steps: usize, gaps: &[Quantiles], totals: &[Quantiles]) -> Vec<StepRow> {
        let mut reached = self.levels.clone();
        for step in (1..reached.len()).rev() {
            reached[step - 1] += reached[step];
        }
        let row = |step: usize| {
            let before = step.checked_sub(1).map(|before| reached[before]);
            let [median_seconds, p90_seconds] = before.map_or([None, None], |_| gaps[step - 1]);
            StepRow {
                step: step as u32 + 1,
                users: reached[step],
                conversion: ratio(reached[step], reached[0]),
                step_conversion: before.and_then(|before| ratio(reached[step], before)),
                dropped: before.map_or(0, |before| before - reached[step]),
                median_seconds,
                p90_seconds,
                // To step 2 it is the gap.
                median_seconds_total: if step < 2 { median_seconds } else { totals[step - 2][0] },
            }
        };
        (0..steps).map(row).collect()
    }

    fn make_room(&mut self, steps: usize) {
        if self.levels.len() < steps {
            self.levels.resize(steps, 0);
            self.gaps_us.resize_with(steps.saturating_sub(1), Vec::new);
            self.totals_us.resize_with(steps.saturating_sub(2), Vec::new);
        }
    }
}

/// The median and the 0.9-quantile of some durations, in seconds.
type Quantiles = [Option<f64>; 2];

/// With fewer durations than this, threads cost more than they save.
const DURATIONS_FOR_THREADS: usize = 50_000;

/// The rows of each of `groups`, one per step of a funnel of `steps` steps, made by up to `threads` threads.
pub fn finish_all(mut groups: Vec<GroupPartial>, steps: usize, threads: usize) -> Vec<Vec<StepRow>> {
    groups.iter_mut().for_each(|group| group.make_room(steps));
    let durations = groups.iter_mut().flat_map(|group| group.gaps_us.iter_mut().chain(&mut group.totals_us));
    let durations: Vec<Mutex<&mut Vec<i64>>> = durations.map(Mutex::new).collect();
    let count: usize = durations.iter().map(|durations| durations.lock().len()).sum();
    let threads = if count < DURATIONS_FOR_THREADS { 1 } else { threads };
    let quantiles: Vec<Quantiles> =
        parallel::map_all(&durations, threads, |durations| quantiles_seconds(&mut durations.lock(), [0.5, 0.9]));
    drop(durations);
    let mut rest = &quantiles[..];
    let rows = groups.iter().map(|group| {
        let (gaps, others) = rest.split_at(group.gaps_us.len());
        let (totals, others) = others.split_at(group.totals_us.len());
        rest = others;
        group.rows(steps, gaps, totals)
    });
    rows.collect()
}

fn append_all(mine: &mut [Vec<i64>], theirs: Vec<Vec<i64>>) {
    for (mine, mut theirs) in mine.iter_mut().zip(theirs) {
        if mine.is_empty() {
            *mine = theirs;
        } else {
            mine.append(&mut theirs);
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A row of `emit => 'steps'`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRow {
    /// Number of the step, from 1.
    pub step: u32,
    /// Users (or attempts) that reached this step.
    pub users: u64,
    /// `users` as a part of those of step 1. `None` when nobody entered.
    pub conversion: Option<f64>,
    /// `users` as a part of those of the step before. `None` at step 1, and when nobody reached the step before.
    pub step_conversion: Option<f64>,
    /// Users that reached the step before but not this one; 0 at step 1.
    pub dropped: u64,
    /// Median of the seconds from the step before, over those who reached this step. `None` when there are none.
    pub median_seconds: Option<f64>,
    /// The 0.9-quantile of the same.
    pub p90_seconds: Option<f64>,
    /// Median of the seconds from step 1. `None` at step 1.
    pub median_seconds_total: Option<f64>,
}

/// Groups by key. Merging is commutative and associative: the rows do not depend on how the users were divided.
#[derive(Debug, Clone, PartialEq)]
pub struct FunnelPartial<K: Eq + Hash> {
    groups: HashMap<K, GroupPartial>,
}

impl<K: Eq + Hash> Default for FunnelPartial<K> {
    fn default() -> Self {
        Self { groups: HashMap::new() }
    }
}

impl<K: Eq + Hash + Ord + Clone> FunnelPartial<K> {
    /// The group of `key`, made when it is new.
    pub fn group(&mut self, key: &K) -> &mut GroupPartial {
        // Most users belong to a group that is known, so the key is copied only when it is new.
        if !self.groups.contains_key(key) {
            self.groups.insert(key.clone(), GroupPartial::default());
        }
        self.groups.get_mut(key).expect("inserted above")
    }

    /// Adds a chain to the group of `key`.
    pub fn add(&mut self, key: &K, chain: &Chain<'_>) {
        self.group(key).add(chain);
    }

    /// Adds a whole group, for callers that keep groups by a code of their own.
    pub fn merge_group(&mut self, key: K, group: GroupPartial) {
        self.groups.entry(key).or_default().merge(group);
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: Self) {
        for (key, group) in other.groups {
            self.merge_group(key, group);
        }
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Bytes held on the heap by the groups, for accounting of memory. Keys count with their own size only.
    pub fn heap_bytes(&self) -> usize {
        let slots = self.groups.capacity() * (size_of::<K>() + size_of::<GroupPartial>());
        slots + self.groups.values().map(GroupPartial::heap_bytes).sum::<usize>()
    }

    /// The groups, in no order, for callers that give them other keys.
    pub fn into_groups(self) -> impl Iterator<Item = (K, GroupPartial)> {
        self.groups.into_iter()
    }

    /// The rows of every group of a funnel of `steps` steps, in the order of the keys.
    pub fn finish(self, steps: usize) -> Vec<(K, Vec<StepRow>)> {
        let mut groups: Vec<(K, GroupPartial)> = self.groups.into_iter().collect();
        groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        groups.into_iter().map(|(key, group)| (key, group.finish(steps))).collect()
    }
}
