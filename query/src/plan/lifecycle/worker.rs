//! One thread: users in, what they are in their periods out.

use super::Emit;
use crate::behavior::lifecycle::{LifecyclePartial, LifecycleSpec, Status, statuses};
use crate::behavior::periods::ActivePeriods;
use crate::plan::groups::Groups;
use crate::plan::operator::{UserRows, Worker};

/// A row of `emit => 'users'`, before names come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserRow {
    pub(super) user: u64,
    pub(super) period: i64,
    pub(super) group: u32,
    pub(super) status: Status,
}

/// What one thread has found.
#[derive(Debug)]
pub(crate) struct LifecycleWorker {
    active: ActivePeriods,
    emit: Emit,
    pub(super) groups: Groups,
    pub(super) partial: LifecyclePartial,
    pub(super) users: Vec<UserRow>,
    times: Vec<i64>,
}

impl LifecycleWorker {
    /// Nothing counted yet, for events with `by_columns` columns of `by` codes.
    pub(super) fn new(spec: &LifecycleSpec, emit: Emit, by_columns: usize) -> Self {
        Self {
            active: ActivePeriods::new(spec.calendar),
            emit,
            groups: Groups::new(by_columns),
            partial: LifecyclePartial::default(),
            users: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Whether every user has a row.
    pub(super) fn names_users(&self) -> bool {
        self.emit == Emit::Users
    }
}

impl Worker for LifecycleWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        let Some(first) = self.active.read(rows.times.decode(&mut self.times), rows.masks) else { return };
        let group = self.groups.of(&rows.by, first);
        let (partial, users) = (&mut self.partial, &mut self.users);
        statuses(self.active.numbers(), |period, status| match self.emit {
            Emit::Periods => partial.add(group, period, status, 1),
            Emit::Users => users.push(UserRow { user: rows.user, period, group, status }),
        });
    }

    fn heap_bytes(&self) -> usize {
        self.partial.heap_bytes() + self.groups.heap_bytes() + self.users.capacity() * size_of::<UserRow>()
    }
}
