//! Who was active on which day, from day bitmaps: what answers an operator of calendar periods without reading an event.
//!
//! They cover a question about the names of events, in the table's own time zone, whose input is cut by whole days and by
//! nothing else, and whose `by` columns have bitmaps of their values. Users with several values in such a column are read.

use super::operator::{Ask, Coverage, Indexed, Worker};
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::execution::memory_pool::MemoryReservation;
use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::parallel::in_turns;
use trodden_engine::predicate::Predicate;
use trodden_engine::scan::{
    DayUsers, KeySpace, SEVERAL_VALUES, covers_days, covers_values, satisfying_names, users_by_day, values_by_user,
};

/// The condition whose events count, the only one.
const COUNTS: usize = 0;

/// Whether day bitmaps cover the question, and why not. `has_whole_days`: whether no clock goes back over a midnight.
///
/// # Errors
/// `Corrupt` if a directory or dictionary cannot be read.
pub(crate) fn coverage(ask: &Ask<'_>, time_zone: Tz, has_whole_days: bool) -> Result<Coverage> {
    let (snapshot, condition) = (ask.snapshot, &ask.conditions[COUNTS]);
    let reason = if !matches!(ask.condition.filter, Predicate::True) {
        "the input is filtered by more than time"
    } else if snapshot.options.tz()? != time_zone {
        "the bitmaps are of days in the time zone of the table"
    } else if !ask.by_columns.iter().all(|column| covers_values(snapshot, column)) {
        "the bitmaps have no values of a by column"
    } else if !has_whole_days {
        "the clock goes back over a midnight"
    } else if satisfying_names(snapshot, condition)?.is_none() {
        "the condition is about more than the name of the event"
    } else if !covers_days(snapshot, condition, ask.condition.time, false)? {
        "the time of the input begins or ends within a day, or a segment is of an older format"
    } else {
        return Ok(Coverage::Index("day bitmaps".into()));
    };
    Ok(Coverage::Scan(reason.into()))
}

/// The active users of one shard, without those who have to be read.
pub(crate) struct ShardDays {
    /// In order of days.
    pub(crate) days: Vec<DayUsers>,
    /// For each `by` column the code of each user's value.
    codes: Vec<Vec<u32>>,
    /// More than any user's number.
    pub(crate) users: usize,
}

impl ShardDays {
    /// Whether users are told apart by values.
    pub(crate) fn has_groups(&self) -> bool {
        !self.codes.is_empty()
    }

    /// The codes of a user, one for each `by` column.
    pub(crate) fn codes_of(&self, user: u32) -> impl Iterator<Item = u32> + '_ {
        self.codes.iter().map(move |codes| codes[user as usize])
    }
}

/// What one thread needs and finds.
struct Thread<'a, W> {
    ask: &'a Ask<'a>,
    worker: W,
    keys: KeySpace,
    /// Per shard the users that have to be read.
    rest: Vec<RoaringBitmap>,
    /// The memory of what was found.
    reservation: MemoryReservation,
    /// Whether the bitmaps said enough so far.
    is_covered: bool,
}

impl<W: Worker> Thread<'_, W> {
    /// The active users of a shard; `None` if the bitmaps do not say enough after all.
    fn read(&mut self, shard: usize) -> Result<Option<ShardDays>> {
        let ask = self.ask;
        let days = users_by_day(ask.snapshot, shard, &ask.conditions[COUNTS], ask.condition.time, false)?;
        let Some(mut days) = days else { return Ok(None) };
        let mut codes = Vec::with_capacity(ask.by_columns.len());
        for (place, column) in ask.by_columns.iter().enumerate() {
            let Some(of_column) = values_by_user(ask.snapshot, shard, column, (&mut self.keys, place))? else {
                return Ok(None);
            };
            codes.push(of_column);
        }
        // Which of several values is that of the first event only the event knows.
        let rest = &mut self.rest[shard];
        for codes in codes.iter().filter(|codes| codes.contains(&SEVERAL_VALUES)) {
            let is_several = |user: &u32| codes[*user as usize] == SEVERAL_VALUES;
            days.iter().for_each(|day| rest.extend(day.users.iter().filter(is_several)));
        }
        if !rest.is_empty() {
            days.iter_mut().for_each(|day| day.users = Arc::new(&*day.users - &*rest));
        }
        Ok(Some(ShardDays { days, codes, users: ask.snapshot.shards[shard].next_ordinal as usize }))
    }
}

/// What all shards say, on all threads: each of `make` a worker, to which `count` adds the users of one shard after the
/// other. `None` where the bitmaps do not say enough after all.
///
/// # Errors
/// `Corrupt` if an index cannot be read; `Cancelled`; `ResourceLimit`.
pub(crate) fn by_shards<W: Worker>(
    ask: &Ask<'_>,
    reservation: &MemoryReservation,
    make: impl Fn() -> W + Sync,
    count: impl Fn(&mut W, usize, &ShardDays) + Sync,
) -> Result<Option<Indexed<W>>> {
    let shards = ask.snapshot.shards.len();
    let begin = || -> Result<Thread<'_, W>> {
        Ok(Thread {
            ask,
            worker: make(),
            keys: KeySpace::new(ask.by_columns.len()),
            rest: vec![RoaringBitmap::new(); shards],
            reservation: reservation.new_empty(),
            is_covered: true,
        })
    };
    let threads = in_turns(shards, ask.threads, begin, |thread, shard| -> Result<()> {
        ask.statement.check_cancelled()?;
        match thread.read(shard)? {
            Some(days) => count(&mut thread.worker, shard, &days),
            None => thread.is_covered = false,
        }
        Ok(thread.reservation.try_resize(thread.worker.heap_bytes())?)
    })?;
    if threads.iter().any(|thread| !thread.is_covered) {
        return Ok(None);
    }
    let mut rest = vec![RoaringBitmap::new(); shards];
    let mut found = Vec::with_capacity(threads.len());
    for thread in threads {
        rest.iter_mut().zip(&thread.rest).for_each(|(rest, users)| *rest |= users);
        found.push((thread.worker, thread.keys, Some(thread.reservation)));
    }
    Ok(Some(Indexed { found, rest }))
}
