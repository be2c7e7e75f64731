//! What funnels of many users add up to: partials that merge in any order, and the rows made of them.
//!
//! Durations are kept one by one (8 bytes each), since medians and quantiles are exact.

use super::matches::Chain;
use crate::behavior::quantile::quantile_seconds;
use std::collections::HashMap;
use std::hash::Hash;

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
    /// Adds a chain, given the times of the user's events.
    pub fn add(&mut self, chain: &Chain<'_>, ts: &[i64]) {
        let level = chain.level();
        if level == 0 {
            return;
        }
        self.make_room(level);
        self.levels[level - 1] += 1;
        let entered_at = ts[chain.events[0] as usize];
        let mut before_at = entered_at;
        for (gap, &event) in chain.events[1..].iter().enumerate() {
            let at = ts[event as usize];
            self.gaps_us[gap].push(at.saturating_sub(before_at));
            if gap > 0 {
                self.totals_us[gap - 1].push(at.saturating_sub(entered_at));
            }
            before_at = at;
        }
    }

    /// Adds `count` chains of one event each. For callers that know from an index that nothing more can match.
    pub fn add_entries(&mut self, count: u64) {
        if count > 0 {
            self.make_room(1);
            self.levels[0] += count;
        }
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
    pub fn finish(mut self, steps: usize) -> Vec<StepRow> {
        self.make_room(steps);
        let mut reached = self.levels.clone();
        for step in (1..reached.len()).rev() {
            reached[step - 1] += reached[step];
        }
        (0..steps).map(|step| self.row(step, &reached)).collect()
    }

    fn row(&mut self, step: usize, reached: &[u64]) -> StepRow {
        let users = reached[step];
        let before = step.checked_sub(1).map(|before| reached[before]);
        let (median_seconds, p90_seconds) = match step {
            0 => (None, None),
            _ => {
                let gaps_us = &mut self.gaps_us[step - 1];
                (quantile_seconds(gaps_us, 0.5), quantile_seconds(gaps_us, 0.9))
            }
        };
        let median_seconds_total = match step {
            0 => None,
            1 => median_seconds,
            _ => quantile_seconds(&mut self.totals_us[step - 2], 0.5),
        };
        StepRow {
            step: step as u32 + 1,
            users,
            conversion: ratio(users, reached[0]),
            step_conversion: before.and_then(|before| ratio(users, before)),
            dropped: before.map_or(0, |before| before - users),
            median_seconds,
            p90_seconds,
            median_seconds_total,
        }
    }

    fn make_room(&mut self, steps: usize) {
        if self.levels.len() < steps {
            self.levels.resize(steps, 0);
            self.gaps_us.resize_with(steps.saturating_sub(1), Vec::new);
            self.totals_us.resize_with(steps.saturating_sub(2), Vec::new);
        }
    }
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
        if !self.groups.contains_key(key) {
            self.groups.insert(key.clone(), GroupPartial::default());
        }
        self.groups.get_mut(key).expect("inserted above")
    }

    /// Adds a chain to the group of `key`, given the times of the user's events.
    pub fn add(&mut self, key: &K, chain: &Chain<'_>, ts: &[i64]) {
        self.group(key).add(chain, ts);
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
