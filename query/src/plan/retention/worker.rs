//! The kernel at work on one thread: users in, cohorts out.

use super::Emit;
use crate::behavior::retention::{CohortPartial, RetentionKernel, RetentionPartial, RetentionSpec, UserCohort};
use crate::error::Result;
use crate::plan::groups::Groups;
use crate::plan::operator::{UserRows, Worker};

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
    /// Cohorts beside those of `partial`: start, group and users of each, once.
    pub(super) counted: Vec<(i64, u32, CohortPartial)>,
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
            counted: Vec::new(),
            users: Vec::new(),
            times: Vec::new(),
        })
    }

    /// Whether it has counted nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.counted.is_empty() && self.users.is_empty()
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
        let counted: usize = self.counted.iter().map(|(.., cohort)| cohort.heap_bytes()).sum();
        let counted = counted + self.counted.capacity() * size_of::<(i64, u32, CohortPartial)>();
        self.partial.heap_bytes() + counted + self.groups.heap_bytes() + self.users.len() * row
    }
}
