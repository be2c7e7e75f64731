//! LIFECYCLE from day bitmaps: what users are in a period is told by the set of its users, that of the period before, and
//! that of all before.

use super::worker::{LifecycleWorker, UserRow};
use crate::behavior::lifecycle::{LifecycleSpec, Status};
use crate::plan::day_bitmaps::ShardDays;
use crate::plan::table_scan::user_number;
use roaring::RoaringBitmap;
use trodden_engine::scan::{DayUsers, in_pieces};

/// Add the users of a shard.
pub(super) fn count(worker: &mut LifecycleWorker, spec: &LifecycleSpec, shard: usize, of_shard: &ShardDays) {
    let period_of = |day: &DayUsers| spec.calendar.number_of_day(i64::from(day.day));
    let mut shard = Shard { worker, number: shard, days: of_shard };
    let mut seen = RoaringBitmap::new();
    // The last period with an active user, and its users.
    let mut last: Option<(i64, RoaringBitmap)> = None;
    for days in of_shard.days.chunk_by(|a, b| period_of(a) == period_of(b)) {
        let period = period_of(&days[0]);
        let mut active = RoaringBitmap::new();
        days.iter().for_each(|day| active |= &*day.users);
        let before = match last.take() {
            Some((number, users)) if number + 1 == period => users,
            Some((number, users)) => {
                shard.add(number + 1, Status::Dormant, &users);
                RoaringBitmap::new()
            }
            None => RoaringBitmap::new(),
        };
        let again = &active & &seen;
        shard.add(period, Status::New, &(&active - &seen));
        shard.add(period, Status::Returning, &(&active & &before));
        shard.add(period, Status::Resurrected, &(again - &before));
        shard.add(period, Status::Dormant, &(before - &active));
        seen |= &active;
        last = Some((period, active));
    }
    if let Some((number, users)) = last {
        shard.add(number + 1, Status::Dormant, &users);
    }
}

struct Shard<'a> {
    worker: &'a mut LifecycleWorker,
    number: usize,
    days: &'a ShardDays,
}

impl Shard<'_> {
    /// Users who are `status` in `period`.
    fn add(&mut self, period: i64, status: Status, users: &RoaringBitmap) {
        let names_users = self.worker.names_users();
        let LifecycleWorker { groups, partial, users: rows, .. } = &mut *self.worker;
        if !names_users && !self.days.has_groups() {
            partial.add(groups.of_codes(std::iter::empty()), period, status, users.len());
            return;
        }
        in_pieces(users, |users| {
            for &user in users {
                let group = groups.of_codes(self.days.codes_of(user));
                if names_users {
                    rows.push(UserRow { user: user_number(self.number, user), period, group, status });
                } else {
                    partial.add(group, period, status, 1);
                }
            }
        });
    }
}
