//! On which day each user first did something: from day bitmaps, without reading an event.

use super::bind::Binder;
use super::candidates::visible_time;
use super::day_users::{Names, in_pieces, whole_days};
use crate::error::Result;
use crate::predicate::Predicate;
use crate::segment::{NO_DAY, Segment};
use crate::table::{LiveSegment, Snapshot};
use crate::types::TimeRange;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// For each ordinal of `shard` the first calendar day (in days since 1970-01-01, in the time zone of the table) on which the
/// user has an event in `time` that satisfies `condition`; [`NO_DAY`] for none. `None` where [`super::users_by_day`] has no
/// answer.
///
/// # Errors
/// `Corrupt` if an index cannot be read.
pub fn first_days(
    snapshot: &Snapshot,
    shard: usize,
    condition: &Predicate,
    time: TimeRange,
) -> Result<Option<Arc<Vec<i32>>>> {
    let time = visible_time(snapshot, time);
    let of_shard = &snapshot.shards[shard];
    let mut first = First { users: of_shard.next_ordinal as usize, days: Arc::default() };
    for live in &of_shard.segments {
        let meta = live.segment.meta();
        if meta.rows == 0 || !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let Some(days) = whole_days(snapshot, &live.segment, time)? else { return Ok(None) };
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(condition, false)?;
        let Some(names) = Names::of(&node, &live.segment) else { return Ok(None) };
        for name in names.lists(&live.segment) {
            match days == (i32::MIN..=i32::MAX) && pays_off(&live.segment)? {
                true => first.add_kept(live, name)?,
                false => first.add_days(live, name, &days)?,
            }
        }
    }
    Ok(Some(first.finish()))
}

/// Whether a day for each ordinal that the segment may have takes not much more room than its events.
pub(super) fn pays_off(segment: &Segment) -> Result<bool> {
    Ok(u64::from(segment.ordinals_end()?) <= 4 * segment.meta().rows)
}

/// First days of the users of a shard.
struct First {
    users: usize,
    /// Empty as long as nobody has one; otherwise one a user.
    days: Arc<Vec<i32>>,
}

impl First {
    fn days(&mut self) -> &mut Vec<i32> {
        let days = Arc::make_mut(&mut self.days);
        days.resize(self.users, NO_DAY);
        days
    }

    /// Add those that a segment keeps: they are shared where they say all.
    fn add_kept(&mut self, live: &LiveSegment, name: Option<u32>) -> Result<()> {
        let of_segment = live.segment.first_days(name)?;
        if live.hidden.is_empty() && self.days.is_empty() && of_segment.len() == self.users {
            self.days = of_segment;
            return Ok(());
        }
        let hidden = |ordinal: u32| !live.hidden.is_empty() && live.hidden.contains(ordinal);
        for (ordinal, (first, &day)) in (0..).zip(self.days().iter_mut().zip(of_segment.iter())) {
            if day < *first && !hidden(ordinal) {
                *first = day;
            }
        }
        Ok(())
    }

    /// Add the first of some days.
    fn add_days(&mut self, live: &LiveSegment, name: Option<u32>, days: &RangeInclusive<i32>) -> Result<()> {
        let first = self.days();
        for (day, users) in live.segment.users_by_day(name, false, days)? {
            let visible = &*users - &*live.hidden;
            in_pieces(&visible, |users| {
                for &user in users {
                    if let Some(known) = first.get_mut(user as usize) {
                        *known = day.min(*known);
                    }
                }
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Arc<Vec<i32>> {
        if self.days.is_empty() {
            self.days();
        }
        self.days
    }
}
