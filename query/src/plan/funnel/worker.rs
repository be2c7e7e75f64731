//! The kernel at work on one thread: users in, results out. The same for events from a table and for rows of any relation.

use super::results::{GroupKey, Results, UserRow};
use super::{Emit, Funnel};
use crate::behavior::funnel::{Count, FunnelKernel, FunnelSpec, GroupPartial, Matches, UserInput};
use crate::error::Result;
use crate::plan::operator::{UserRows, Worker};
use std::collections::HashMap;
use trodden_engine::scan::{Keys, UserBits};

/// The kernel and the partial result of one thread.
#[derive(Debug)]
pub(crate) struct FunnelWorker {
    kernel: FunnelKernel,
    results: Results,
    /// Nobody asks for durations: where the group of a user is known without the chosen chain, its level is enough.
    levels_only: bool,
    steps: Vec<u64>,
    excludes: Vec<u64>,
    hold: Vec<u32>,
    hold_codes: HashMap<Vec<u32>, u32>,
}

impl FunnelWorker {
    /// A worker with nothing counted yet, for users with `by_columns` columns of `by` codes.
    ///
    /// # Errors
    /// As [`FunnelSpec::validate`].
    pub(crate) fn new(spec: &FunnelSpec, funnel: &Funnel, by_columns: usize) -> Result<Self> {
        let kernel = FunnelKernel::new(spec.clone())?;
        Ok(Self {
            kernel: if funnel.emit == Emit::Users { kernel.with_reasons() } else { kernel },
            results: Results::new(spec, funnel, by_columns),
            levels_only: false,
            steps: Vec::new(),
            excludes: Vec::new(),
            hold: Vec::new(),
            hold_codes: HashMap::new(),
        })
    }

    /// A worker of which only the counts are asked for.
    pub(crate) fn without_durations(mut self) -> Self {
        self.levels_only = self.kernel.spec().count == Count::Users && self.results.takes_levels();
        self
    }

    /// Count a user by the level alone; false where that is not enough.
    fn user_by_level(&mut self, rows: &UserRows<'_>) -> bool {
        let Some(slot) = self.results.slot_of_user(&rows.by) else { return false };
        let Some(level) = self.kernel.level(rows.times, rows.masks) else { return false };
        self.results.add_level(slot, level);
        true
    }

    pub(super) fn into_groups(self) -> Vec<(GroupKey, GroupPartial)> {
        self.results.into_groups()
    }

    pub(super) fn into_users(self) -> Vec<UserRow> {
        self.results.into_users()
    }
}

impl Worker for FunnelWorker {
    fn takes_bits(&self) -> bool {
        self.kernel.takes_rows()
    }

    /// When all steps are reached, no later event changes the chain.
    fn user_bits(&mut self, user: &UserBits<'_>, number: u64, by: &Keys<'_>) -> bool {
        let enough = if user.is_whole { 0 } else { self.kernel.spec().steps.len() };
        if self.levels_only
            && let Some(slot) = self.results.slot_of_user(by)
        {
            let Some(level) = self.kernel.level_of_rows(user).filter(|level| *level >= enough) else { return false };
            self.results.add_level(slot, level);
            return true;
        }
        let level = |matches: &Matches| matches.first().map_or(0, |chain| chain.level());
        let Some(matches) = self.kernel.run_rows(user).filter(|matches| level(matches) >= enough) else { return false };
        matches.iter().for_each(|chain| self.results.add(&chain, number, by));
        true
    }

    fn user(&mut self, rows: &UserRows<'_>) {
        if self.levels_only && self.user_by_level(rows) {
            return;
        }
        let spec = self.kernel.spec();
        let split = !spec.excludes.is_empty();
        if split {
            split_masks(rows, spec.steps.len(), &mut self.steps, &mut self.excludes);
        }
        join_hold(rows.columns, rows.masks.len(), &mut self.hold, &mut self.hold_codes);
        let input = UserInput {
            times: rows.times,
            steps: if split { &self.steps } else { rows.masks },
            excludes: if split { &self.excludes } else { &[] },
            hold: &self.hold,
        };
        let matches = self.kernel.run(&input);
        matches.iter().for_each(|chain| self.results.add(&chain, rows.user, &rows.by));
    }

    /// Users who entered and got no further, where there is but one group.
    fn add_counted(&mut self, users: u64) {
        let mut entered = GroupPartial::default();
        entered.add_entries(users);
        self.results.merge_only_group(entered);
    }

    fn heap_bytes(&self) -> usize {
        self.results.heap_bytes()
    }
}

/// Divides the conditions of each event into steps and exclusions, which lie behind them.
fn split_masks(rows: &UserRows<'_>, count: usize, steps: &mut Vec<u64>, excludes: &mut Vec<u64>) {
    let mask = if count >= 64 { u64::MAX } else { (1 << count) - 1 };
    steps.clear();
    steps.extend(rows.masks.iter().map(|events| events & mask));
    excludes.clear();
    excludes.extend(rows.masks.iter().map(|events| events.checked_shr(count as u32).unwrap_or(0)));
    for (excludes, high) in excludes.iter_mut().zip(rows.high_masks) {
        *excludes |= high << (64 - count);
    }
}

/// One code for the values of several columns at each of `events` events: 0 where one of them is NULL.
fn join_hold(columns: Keys<'_>, events: usize, joined: &mut Vec<u32>, codes: &mut HashMap<Vec<u32>, u32>) {
    joined.clear();
    match columns.columns() {
        0 => {}
        1 => joined.extend((0..events).map(|event| columns.code(0, event))),
        count => {
            let mut values = Vec::with_capacity(count);
            for event in 0..events {
                values.clear();
                values.extend((0..count).map(|column| columns.code(column, event)));
                let next = codes.len() as u32 + 1;
                let code = match (values.contains(&0), codes.get(&values)) {
                    (true, _) => 0,
                    (false, Some(&code)) => code,
                    (false, None) => *codes.entry(values.clone()).or_insert(next),
                };
                joined.push(code);
            }
        }
    }
}
