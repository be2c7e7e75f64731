//! The kernel at work on one thread: users in, cohorts out.

use super::Emit;
use crate::behavior::retention::{RetentionKernel, RetentionPartial, RetentionSpec, UserCohort};
use crate::error::Result;
use crate::plan::operator::{UserRows, Worker};
use std::collections::HashMap;
use trodden_engine::scan::Keys;

/// A row of `emit => 'users'`, before names come back.
#[derive(Debug)]
pub(super) struct UserRow {
    pub(super) user: u64,
    pub(super) group: u32,
    pub(super) cohort_us: i64,
    pub(super) start_ts: i64,
    /// Rows of the specification in which the user counts.
    pub(super) rows: Vec<u32>,
}

/// The kernel and the partial result of one thread.
#[derive(Debug)]
pub(crate) struct RetentionWorker {
    pub(super) kernel: RetentionKernel,
    emit: Emit,
    pub(super) groups: Groups,
    pub(super) partial: RetentionPartial<u32>,
    pub(super) users: Vec<UserRow>,
    times: Vec<i64>,
}

impl RetentionWorker {
    /// A worker with nothing counted yet, for events with `by_columns` columns of `by` codes.
    ///
    /// # Errors
    /// As [`RetentionSpec::validate`].
    pub(super) fn new(spec: &RetentionSpec, emit: Emit, by_columns: usize) -> Result<Self> {
        Ok(Self {
            kernel: RetentionKernel::new(spec.clone())?,
            emit,
            groups: Groups::new(by_columns),
            partial: RetentionPartial::default(),
            users: Vec::new(),
            times: Vec::new(),
        })
    }
}

impl Worker for RetentionWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        let times = rows.times.decode(&mut self.times);
        let (emit, groups, partial, users) = (self.emit, &mut self.groups, &mut self.partial, &mut self.users);
        self.kernel.run(times, rows.masks, |cohort: UserCohort<'_>| {
            let group = groups.of(&rows.by, cohort.start_event);
            match emit {
                Emit::Matrix => partial.add(group, &cohort),
                Emit::Users => users.push(UserRow {
                    user: rows.user,
                    group,
                    cohort_us: cohort.cohort_us,
                    start_ts: cohort.start_ts,
                    rows: cohort.rows.to_vec(),
                }),
            }
        });
    }

    fn heap_bytes(&self) -> usize {
        let row = size_of::<UserRow>() + 4 * self.kernel.spec().periods.rows().min(32);
        self.partial.heap_bytes() + self.groups.heap_bytes() + self.users.len() * row
    }
}

/// Numbers for the combinations of `by` codes.
#[derive(Debug)]
pub(super) struct Groups {
    columns: usize,
    /// With more than one column, the combinations in order of their numbers; with fewer the code is the number.
    keys: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32>,
    key: Vec<u32>,
}

impl Groups {
    fn new(columns: usize) -> Self {
        Self { columns, keys: Vec::new(), numbers: HashMap::new(), key: Vec::new() }
    }

    /// The group of an event.
    fn of(&mut self, by: &Keys<'_>, event: usize) -> u32 {
        match self.columns {
            0 => return 0,
            1 => return by.code(0, event),
            columns => {
                self.key.clear();
                self.key.extend((0..columns).map(|column| by.code(column, event)));
            }
        }
        self.number()
    }

    /// The group of `codes`, one a column.
    pub(super) fn of_codes(&mut self, codes: impl Iterator<Item = u32>) -> u32 {
        self.key.clear();
        self.key.extend(codes);
        match self.columns {
            0 => 0,
            1 => self.key[0],
            _ => self.number(),
        }
    }

    fn number(&mut self) -> u32 {
        if let Some(&number) = self.numbers.get(&self.key) {
            return number;
        }
        let number = self.keys.len() as u32;
        self.keys.push(self.key.clone());
        self.numbers.insert(self.key.clone(), number);
        number
    }

    /// The codes of a group.
    pub(super) fn codes(&self, group: u32) -> Vec<u32> {
        match self.columns {
            0 => Vec::new(),
            1 => vec![group],
            _ => self.keys[group as usize].clone(),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.keys.len() * (2 * (4 * self.columns + size_of::<Vec<u32>>()) + 16)
    }
}
