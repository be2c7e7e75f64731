//! One thread: users in, what they did out. Values are codes until all users are known.

use crate::behavior::rfm::events_until;
use crate::plan::groups::Groups;
use crate::plan::operator::{UserRows, Worker};

/// A user with an event that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserRow {
    pub(super) user: u64,
    pub(super) group: u32,
    /// How many of the codes are the user's, in the order of users.
    pub(super) events: u32,
    pub(super) last_us: i64,
}

/// What one thread has found.
#[derive(Debug)]
pub(crate) struct RfmWorker {
    as_of_us: Option<i64>,
    pub(super) groups: Groups,
    pub(super) users: Vec<UserRow>,
    /// The code of the value of each event.
    pub(super) values: Vec<u32>,
    times: Vec<i64>,
}

impl RfmWorker {
    /// Nothing yet, for events with `by_columns` columns of `by` codes.
    pub(super) fn new(as_of_us: Option<i64>, by_columns: usize) -> Self {
        Self { as_of_us, groups: Groups::new(by_columns), users: Vec::new(), values: Vec::new(), times: Vec::new() }
    }
}

impl Worker for RfmWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        let times = rows.times.decode(&mut self.times);
        let until = events_until(times, self.as_of_us);
        let mut last = None;
        let before = self.values.len();
        for event in (0..until).filter(|&event| rows.masks[event] != 0) {
            if last.is_none() {
                let group = self.groups.of(&rows.by, event);
                self.users.push(UserRow { user: rows.user, group, events: 0, last_us: 0 });
            }
            self.values.push(rows.columns.code(0, event));
            last = Some(times[event]);
        }
        if let (Some(last_us), Some(row)) = (last, self.users.last_mut()) {
            // A user's events are rows of one block or lists of codes: fewer than 2³².
            (row.events, row.last_us) = ((self.values.len() - before) as u32, last_us);
        }
    }

    fn heap_bytes(&self) -> usize {
        let users = self.users.capacity() * size_of::<UserRow>();
        users + 4 * self.values.capacity() + self.groups.heap_bytes()
    }
}
