//! One thread: users in, their active days out.

use super::Emit;
use crate::behavior::periods::ActivePeriods;
use crate::behavior::stickiness::{ActivePartial, HistogramPartial, StickinessSpec};
use crate::plan::groups::Groups;
use crate::plan::operator::{UserRows, Worker};

/// An active day of a user, of `emit => 'users'`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserDay {
    pub(super) user: u64,
    pub(super) day: i64,
    pub(super) group: u32,
}

/// What one thread has found.
#[derive(Debug)]
pub(crate) struct StickinessWorker {
    pub(super) spec: StickinessSpec,
    pub(super) emit: Emit,
    days: ActivePeriods,
    pub(super) groups: Groups,
    pub(super) histogram: HistogramPartial,
    pub(super) active: ActivePartial,
    pub(super) user_days: Vec<UserDay>,
    times: Vec<i64>,
}

impl StickinessWorker {
    /// Nothing counted yet, for events with `by_columns` columns of `by` codes.
    pub(super) fn new(spec: &StickinessSpec, emit: Emit, by_columns: usize) -> Self {
        Self {
            spec: spec.clone(),
            emit,
            days: ActivePeriods::new(spec.days()),
            groups: Groups::new(by_columns),
            histogram: HistogramPartial::default(),
            active: ActivePartial::default(),
            user_days: Vec::new(),
            times: Vec::new(),
        }
    }
}

impl Worker for StickinessWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        let Some(first) = self.days.read(rows.times.decode(&mut self.times), rows.masks) else { return };
        let group = self.groups.of(&rows.by, first);
        let (user, days) = (rows.user, self.days.numbers());
        match self.emit {
            Emit::Histogram => self.histogram.add_user(&self.spec, group, days),
            Emit::Active => self.active.add_user(group, days),
            Emit::Users => self.user_days.extend(days.iter().map(|&day| UserDay { user, day, group })),
        }
    }

    fn heap_bytes(&self) -> usize {
        let counted = self.histogram.heap_bytes() + self.active.heap_bytes() + self.groups.heap_bytes();
        counted + self.user_days.capacity() * size_of::<UserDay>()
    }
}
