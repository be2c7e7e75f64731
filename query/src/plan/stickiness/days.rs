//! STICKINESS from day bitmaps: the users of one day after the other.

use super::Emit;
use super::worker::{StickinessWorker, UserDay};
use crate::plan::day_bitmaps::ShardDays;
use crate::plan::table_scan::user_number;
use roaring::RoaringBitmap;
use trodden_engine::scan::{DayUsers, in_pieces};

/// Add the users of a shard.
pub(super) fn count(worker: &mut StickinessWorker, shard: usize, of_shard: &ShardDays) {
    match worker.emit {
        Emit::Histogram => histogram(worker, of_shard),
        Emit::Active => active(worker, of_shard),
        Emit::Users => user_days(worker, shard, of_shard),
    }
}

fn histogram(worker: &mut StickinessWorker, of_shard: &ShardDays) {
    let StickinessWorker { spec, groups, histogram, .. } = worker;
    let period_of = |day: &DayUsers| spec.within.number_of_day(i64::from(day.day));
    // Active days of each user in the period at hand.
    let mut counts = vec![0_u8; of_shard.users];
    for days in of_shard.days.chunk_by(|a, b| period_of(a) == period_of(b)) {
        let period = period_of(&days[0]);
        let mut users = RoaringBitmap::new();
        for day in days {
            users |= &*day.users;
            in_pieces(&day.users, |users| users.iter().for_each(|&user| counts[user as usize] += 1));
        }
        in_pieces(&users, |users| {
            for &user in users {
                let days = std::mem::take(&mut counts[user as usize]);
                histogram.add(groups.of_codes(of_shard.codes_of(user)), period, usize::from(days), 1);
            }
        });
    }
}

fn active(worker: &mut StickinessWorker, of_shard: &ShardDays) {
    const NEVER: i32 = i32::MIN;
    let StickinessWorker { groups, active, .. } = worker;
    let mut last = vec![NEVER; of_shard.users];
    let day_of = |last: i32| (last != NEVER).then_some(i64::from(last));
    for of_day in &of_shard.days {
        in_pieces(&of_day.users, |users| {
            for &user in users {
                let before = std::mem::replace(&mut last[user as usize], of_day.day);
                let group = groups.of_codes(of_shard.codes_of(user));
                active.add_day(group, i64::from(of_day.day), day_of(before));
            }
        });
    }
    for (user, last) in (0..).zip(last) {
        if let Some(last) = day_of(last) {
            active.add_last(groups.of_codes(of_shard.codes_of(user)), last);
        }
    }
}

fn user_days(worker: &mut StickinessWorker, shard: usize, of_shard: &ShardDays) {
    let StickinessWorker { groups, user_days, .. } = worker;
    for of_day in &of_shard.days {
        let day = i64::from(of_day.day);
        in_pieces(&of_day.users, |users| {
            user_days.extend(users.iter().map(|&user| {
                let group = groups.of_codes(of_shard.codes_of(user));
                UserDay { user: user_number(shard, user), day, group }
            }));
        });
    }
}
