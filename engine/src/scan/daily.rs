//! How many events of each name there are on each day, and of whom: from what segments keep, without reading an event.

use super::bind::Binder;
use super::candidates::visible_time;
use super::day_users::{Names, whole_days};
use crate::error::Result;
use crate::predicate::Predicate;
use crate::table::Snapshot;
use crate::types::TimeRange;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The events of one name on one calendar day, in one shard.
#[derive(Debug, Clone, Default)]
pub struct Daily {
    /// Ordinals of users with at least one.
    pub users: Arc<RoaringBitmap>,
    /// Number of events.
    pub events: u64,
}

/// By name, and in it by day (in days since 1970-01-01, in the time zone of the table).
pub type DailyByName = BTreeMap<Box<str>, BTreeMap<i32, Daily>>;

/// A name, a day, the users with such an event on it, and the events.
pub type DailyCount = (Box<str>, i32, u64, u64);

/// What [`daily`] says, in numbers alone, where one segment of the shard has it all. `None` where it does not, and where
/// [`daily`] has no answer.
///
/// # Errors
/// `Corrupt` if an index or a block cannot be read.
pub fn daily_counts(
    snapshot: &Snapshot,
    shard: usize,
    condition: &Predicate,
    time: TimeRange,
) -> Result<Option<Vec<DailyCount>>> {
    let time = visible_time(snapshot, time);
    let mut segments = snapshot.shards[shard].segments.iter().filter(|live| {
        let meta = live.segment.meta();
        meta.rows > 0 && time.overlaps(meta.ts_min, meta.ts_max)
    });
    let (live, others) = (segments.next(), segments.next());
    let Some(live) = live.filter(|live| others.is_none() && live.hidden.is_empty()) else { return Ok(None) };
    let segment = &live.segment;
    let Some(days) = whole_days(snapshot, segment, time)? else { return Ok(None) };
    let node = Binder { snapshot, shard, segment }.bind(condition, false)?;
    let Some(names) = Names::of(&node, segment) else { return Ok(None) };
    let Some(counts) = segment.day_events(&live.hidden)? else { return Ok(None) };
    let span = segment.day_span();
    let mut found = Vec::new();
    for code in names.codes(segment) {
        for (day, place) in span.clone().zip(code as usize * span.clone().count()..) {
            if counts.events[place] > 0 && days.contains(&day) {
                let name = segment.event_names()[code as usize].clone();
                found.push((name, day, u64::from(counts.users[place]), u64::from(counts.events[place])));
            }
        }
    }
    Ok(Some(found))
}

/// The events of `shard` in `time` that satisfy `condition`, by name and day: exact. `None` where [`super::users_by_day`] has no
/// answer, or where there are too many names and days.
///
/// # Errors
/// `Corrupt` if an index or a block cannot be read.
pub fn daily(snapshot: &Snapshot, shard: usize, condition: &Predicate, time: TimeRange) -> Result<Option<DailyByName>> {
    let time = visible_time(snapshot, time);
    let mut sum = DailyByName::new();
    for live in &snapshot.shards[shard].segments {
        let (segment, meta) = (&live.segment, live.segment.meta());
        if meta.rows == 0 || !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let Some(days) = whole_days(snapshot, segment, time)? else { return Ok(None) };
        let node = Binder { snapshot, shard, segment }.bind(condition, false)?;
        let Some(names) = Names::of(&node, segment) else { return Ok(None) };
        let Some(counts) = segment.day_events(&live.hidden)? else { return Ok(None) };
        let span = segment.day_span();
        let days_of_name = span.end().abs_diff(*span.start()) as usize + 1;
        for code in names.codes(segment) {
            let of_name = sum.entry(segment.event_names()[code as usize].clone()).or_default();
            for (day, users) in segment.users_by_day(Some(code), false, &days)? {
                let events = counts.events[code as usize * days_of_name + day.abs_diff(*span.start()) as usize];
                let users = if live.hidden.is_empty() { users } else { Arc::new(&*users - &*live.hidden) };
                if users.is_empty() {
                    continue;
                }
                let known = of_name.entry(day).or_default();
                known.events += u64::from(events);
                if known.users.is_empty() {
                    known.users = users;
                } else {
                    *Arc::make_mut(&mut known.users) |= &*users;
                }
            }
        }
    }
    Ok(Some(sum))
}
