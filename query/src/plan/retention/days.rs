//! RETENTION from day bitmaps: who started on a day, and who came back on which, without reading an event.
//!
//! They cover a question of calendar periods in the table's own time zone, whose conditions are event names. What an event
//! did within its day they do not know, except whether a user has one or several: that tells a start event, which is no
//! return, from a return on the same day.

use super::worker::RetentionWorker;
use super::{Emit, RETURN, Retention, START};
use crate::behavior::bucket::DAY_US;
use crate::behavior::retention::{CohortPartial, Cohorts, DayBits, DayRows, FirstDays, RetentionSpec, Windows};
use crate::error::Result;
use crate::plan::groups::Groups;
use crate::plan::operator::{Ask, Coverage, Indexed, Worker};
use datafusion::execution::memory_pool::MemoryReservation;
use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::parallel::in_turns;
use trodden_engine::predicate::Predicate;
use trodden_engine::scan::{
    ActiveDays, DayUsers, KEY_NULL, KeySpace, NO_DAY, SEVERAL_VALUES, active_days, covers_days, covers_values,
    first_days, in_pieces, satisfying_names, users_by_day, values_by_user,
};

/// Whether day bitmaps cover the question, and why not.
pub(super) fn coverage(retention: &Retention, spec: &RetentionSpec, ask: &Ask<'_>) -> Result<Coverage> {
    Ok(match covered(retention, spec, ask)? {
        Ok(_) => Coverage::Index("day bitmaps".into()),
        Err(reason) => Coverage::Scan(reason.into()),
    })
}

/// How start and return events lie to each other where bitmaps cover the question, or why they do not.
fn covered(
    retention: &Retention,
    spec: &RetentionSpec,
    ask: &Ask<'_>,
) -> Result<std::result::Result<Overlap, &'static str>> {
    let snapshot = ask.snapshot;
    let reason = if retention.emit == Emit::Users {
        "the time of each start event is asked for"
    } else if spec.windows == Windows::Rolling {
        "rolling windows begin within a day"
    } else if spec.min_count != 1 {
        "bitmaps do not count the events of a day"
    } else if !matches!(ask.condition.filter, Predicate::True) {
        "the input is filtered by more than time"
    } else if snapshot.options.tz()? != spec.time_zone {
        "the bitmaps are of days in the time zone of the table"
    } else if !ask.by_columns.iter().all(|column| covers_values(snapshot, column)) {
        "the bitmaps have no values of a by column"
    } else if !spec.has_whole_days(ask.times()) {
        "the clock goes back over a midnight"
    } else {
        return covered_by_days(ask);
    };
    Ok(Err(reason))
}

fn covered_by_days(ask: &Ask<'_>) -> Result<std::result::Result<Overlap, &'static str>> {
    let covers = |condition: usize, twice: bool| {
        covers_days(ask.snapshot, &ask.conditions[condition], ask.condition.time, twice)
    };
    Ok(match Overlap::of(ask)? {
        None => Err("a condition is about more than the name of the event"),
        Some(Overlap::Partly) => Err("some start events are returns and others are not"),
        Some(overlap) if covers(START, false)? && covers(RETURN, overlap == Overlap::Inside)? => Ok(overlap),
        Some(_) => Err("the time of the input begins or ends within a day, or a segment is of an older format"),
    })
}

/// How start events and return events lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overlap {
    /// No start event is a return event.
    Apart,
    /// Every start event is one.
    Inside,
    Partly,
}

impl Overlap {
    /// `None` where more than names decides.
    fn of(ask: &Ask<'_>) -> Result<Option<Self>> {
        let names = |condition: usize| satisfying_names(ask.snapshot, &ask.conditions[condition]);
        let (Some(starts), Some(returns)) = (names(START)?, names(RETURN)?) else { return Ok(None) };
        Ok(Some(if starts.is_disjoint(&returns) {
            Self::Apart
        } else if starts.is_subset(&returns) {
            Self::Inside
        } else {
            Self::Partly
        }))
    }
}

/// The answer for all users of whom the bitmaps know the `by` values; the others are left to be read.
pub(super) fn by_indexes(
    retention: &Retention,
    spec: &RetentionSpec,
    ask: &Ask<'_>,
    reservation: &MemoryReservation,
) -> Result<Option<Indexed<RetentionWorker>>> {
    let Ok(overlap) = covered(retention, spec, ask)? else { return Ok(None) };
    let shards = ask.snapshot.shards.len();
    let begin = || -> Result<Thread<'_>> {
        Ok(Thread {
            ask,
            spec,
            overlap,
            worker: RetentionWorker::new(spec, retention.emit, ask.by_columns.len())?,
            rows: DayRows::new(spec, days_around(ask.times()), retention.merged),
            table: FirstDays::new(spec, days_around(ask.times())),
            keys: KeySpace::new(ask.by_columns.len()),
            rest: vec![RoaringBitmap::new(); shards],
            reservation: reservation.new_empty(),
            is_covered: true,
        })
    };
    let mut threads = in_turns(shards, ask.threads, begin, |thread, shard| -> Result<()> {
        ask.statement.check_cancelled()?;
        thread.is_covered = thread.is_covered && thread.shard(shard)?;
        Ok(())
    })?;
    if threads.iter().any(|thread| !thread.is_covered) {
        return Ok(None);
    }
    if let [first, others @ ..] = threads.as_mut_slice() {
        others.iter_mut().for_each(|other| first.take_rows(other));
    }
    let mut rest = vec![RoaringBitmap::new(); shards];
    let mut found = Vec::with_capacity(threads.len());
    for thread in threads {
        let thread = thread.finished()?;
        rest.iter_mut().zip(&thread.rest).for_each(|(rest, users)| *rest |= users);
        if !thread.worker.is_empty() {
            found.push((thread.worker, thread.keys, Some(thread.reservation)));
        }
    }
    Ok(Some(Indexed { found, rest }))
}

/// Days that those of all events are among, whatever the time zone: none is a day away from UTC.
fn days_around((first_us, last_us): (i64, i64)) -> (i32, i32) {
    let day = |us: i64| us.div_euclid(DAY_US) as i32;
    if first_us <= last_us { (day(first_us) - 1, day(last_us) + 1) } else { (0, 0) }
}

/// What one thread needs and finds.
struct Thread<'a> {
    ask: &'a Ask<'a>,
    spec: &'a RetentionSpec,
    overlap: Overlap,
    worker: RetentionWorker,
    /// For the most frequent questions.
    rows: Option<DayRows>,
    /// For frequent ones.
    table: Option<FirstDays>,
    keys: KeySpace,
    /// Per shard the users that have to be read.
    rest: Vec<RoaringBitmap>,
    /// The memory of what was found.
    reservation: MemoryReservation,
    /// Whether the bitmaps said enough so far.
    is_covered: bool,
}

impl Thread<'_> {
    /// Count the users of a shard; false if the bitmaps do not say enough after all.
    fn shard(&mut self, shard: usize) -> Result<bool> {
        let ask = self.ask;
        let mut codes = Vec::with_capacity(ask.by_columns.len());
        for (place, column) in ask.by_columns.iter().enumerate() {
            let Some(of_column) = values_by_user(ask.snapshot, shard, column, (&mut self.keys, place))? else {
                return Ok(false);
            };
            codes.push(of_column);
        }
        let counted = match (self.rows.take(), self.table.take()) {
            (Some(rows), table) => {
                self.table = table;
                self.day_rows(shard, rows, codes)?
            }
            (None, Some(table)) => self.first_days(shard, table, codes)?,
            (None, None) => self.day_by_day(shard, &codes)?,
        };
        let of_tables = self.table.as_ref().map_or(0, FirstDays::heap_bytes);
        let of_rows = self.rows.as_ref().map_or(0, DayRows::heap_bytes);
        self.reservation.try_resize(self.worker.heap_bytes() + of_tables + of_rows)?;
        Ok(counted)
    }

    /// Take what another thread has in rows: the cohorts of both are then made at once.
    fn take_rows(&mut self, other: &mut Self) {
        let (Some(mine), Some(theirs)) = (&mut self.rows, other.rows.take()) else { return };
        let codes: Vec<Vec<u32>> = (0..self.ask.by_columns.len())
            .map(|column| {
                let theirs = 0..other.keys.codes_end(column);
                theirs.map(|code| self.keys.code(column, other.keys.value(column, code))).collect()
            })
            .collect();
        let groups: Vec<u32> = (0..other.worker.groups.len() as u32)
            .map(|group| {
                let key = other.worker.groups.key(group).iter().zip(&codes);
                self.worker.groups.of_codes(key.map(|(&code, codes)| codes[code as usize]))
            })
            .collect();
        mine.merge(&theirs, &groups);
    }

    /// All that was found is in the worker.
    fn finished(mut self) -> Result<Self> {
        self.worker.counted = self.rows.take().map_or_else(Vec::new, |rows| rows.finish(self.spec));
        let table = self.table.take().into_iter().flat_map(|table| table.finish(self.spec));
        for (cohort_us, group, cohort) in table {
            self.worker.partial.merge_cohort(cohort_us, group, cohort);
        }
        self.reservation.try_resize(self.worker.heap_bytes())?;
        Ok(self)
    }

    /// Leave users with several values in a `by` column to be read: which is that of the start event only it knows.
    fn leave_several(&mut self, shard: usize, starts: &[DayUsers], codes: &[Vec<u32>]) {
        for codes in codes.iter().filter(|codes| codes.contains(&SEVERAL_VALUES)) {
            let is_several = |user: &u32| codes[*user as usize] == SEVERAL_VALUES;
            starts.iter().for_each(|day| self.rest[shard].extend(day.users.iter().filter(is_several)));
        }
    }

    /// Any question: the users of a day of start, one after the other.
    fn day_by_day(&mut self, shard: usize, codes: &[Vec<u32>]) -> Result<bool> {
        let Some(starts) = self.users_by_day(shard, START, false)? else { return Ok(false) };
        let Some(returns) = self.users_by_day(shard, RETURN, self.overlap == Overlap::Inside)? else {
            return Ok(false);
        };
        self.leave_several(shard, &starts, codes);
        let mut starters = RoaringBitmap::new();
        starts.iter().for_each(|day| starters |= &*day.users);
        starters -= &self.rest[shard];
        let users = self.ask.snapshot.shards[shard].next_ordinal as usize;
        let returned = Returned::new(&returns, &starters, users, |day| self.spec.unit_of_day(day));
        self.count(&starts, &returns, starters, &returned, codes);
        Ok(true)
    }

    fn users_by_day(&self, shard: usize, condition: usize, twice: bool) -> Result<Option<Vec<DayUsers>>> {
        let ask = self.ask;
        Ok(users_by_day(ask.snapshot, shard, &ask.conditions[condition], ask.condition.time, twice)?)
    }

    /// The first day of each user; those with several values in a `by` column have none, and are left to be read.
    fn starts(&mut self, shard: usize, codes: &mut [Vec<u32>]) -> Result<Option<Arc<Vec<i32>>>> {
        let (time, condition) = (self.ask.condition.time, &self.ask.conditions[START]);
        let Some(mut first) = first_days(self.ask.snapshot, shard, condition, time)? else { return Ok(None) };
        for codes in codes.iter_mut().filter(|codes| codes.contains(&SEVERAL_VALUES)) {
            let several = (0..).zip(codes).filter(|(_, code)| **code == SEVERAL_VALUES);
            for (user, code) in several {
                *code = KEY_NULL;
                let first = &mut Arc::make_mut(&mut first)[user as usize];
                if std::mem::replace(first, NO_DAY) != NO_DAY {
                    self.rest[shard].insert(user);
                }
            }
        }
        Ok(Some(first))
    }

    /// The most frequent questions: the first day of each user, and all days after it at once.
    fn day_rows(&mut self, shard: usize, mut rows: DayRows, mut codes: Vec<Vec<u32>>) -> Result<bool> {
        let (snapshot, time, condition) = (self.ask.snapshot, self.ask.condition.time, &self.ask.conditions[RETURN]);
        let itself = self.overlap == Overlap::Inside;
        let Some(days) = active_days(snapshot, shard, condition, time, itself)? else {
            // The shard has too many days.
            self.rows = Some(rows);
            return match self.table.take() {
                Some(table) => self.first_days(shard, table, codes),
                None => self.day_by_day(shard, &codes),
            };
        };
        let Some(first) = self.starts(shard, &mut codes)? else { return Ok(false) };
        let twice = itself.then_some(days.twice.as_slice());
        let ActiveDays { first_day, words, users, active, .. } = &days;
        let returns = DayBits { first_day: *first_day, words: *words, users, active, twice };
        rows.add(&first, &returns, groups_of(&mut self.worker.groups, &self.keys, codes).as_deref());
        self.rows = Some(rows);
        Ok(true)
    }

    /// Frequent questions: each user by the first day, then day by day those who came back.
    fn first_days(&mut self, shard: usize, mut table: FirstDays, mut codes: Vec<Vec<u32>>) -> Result<bool> {
        let itself = self.overlap == Overlap::Inside;
        let Some(first) = self.starts(shard, &mut codes)? else { return Ok(false) };
        let Some(returns) = self.users_by_day(shard, RETURN, itself)? else { return Ok(false) };
        let starts = if itself { self.users_by_day(shard, START, false)? } else { Some(Vec::new()) };
        let Some(starts) = starts else { return Ok(false) };
        table.begin(&first, groups_of(&mut self.worker.groups, &self.keys, codes).as_deref());
        for of_day in &returns {
            in_pieces(&of_day.users, |users| table.returned(of_day.day, users, itself));
            if let Ok(at) = starts.binary_search_by_key(&of_day.day, |starts| starts.day) {
                let twice = &*of_day.twice & &*starts[at].users;
                in_pieces(&twice, |users| table.returned_twice(of_day.day, users));
            }
        }
        self.table = Some(table);
        Ok(true)
    }

    /// Go through the days with a start, and count the cohorts of their users.
    fn count(
        &mut self,
        starts: &[DayUsers],
        returns: &[DayUsers],
        mut left: RoaringBitmap,
        returned: &Returned,
        codes: &[Vec<u32>],
    ) {
        let every = self.spec.cohort == Cohorts::Every;
        for of_unit in starts.chunk_by(|a, b| self.spec.unit_of_day(a.day) == self.spec.unit_of_day(b.day)) {
            let unit = self.spec.unit_of_day(of_unit[0].day);
            let cohort_us = self.spec.unit_start_us(unit);
            let mut cohorts = UnitCohorts::default();
            let mut seen = RoaringBitmap::new();
            for day in of_unit {
                let mut users = &*day.users & &left;
                if every {
                    users -= &seen;
                    seen |= &users;
                } else {
                    left -= &users;
                }
                let at = returns.binary_search_by_key(&day.day, |of_day| of_day.day);
                let again = at.map_or_else(|_| RoaringBitmap::new(), |at| &*returns[at].twice & &users);
                for user in &users {
                    let group = self.worker.groups.of_codes(codes.iter().map(|codes| codes[user as usize]));
                    let itself = self.overlap == Overlap::Inside && !again.contains(user);
                    let rows = self.worker.kernel.rows_of_units(unit, returned.of(user, unit), itself);
                    cohorts.of_group(group).add_rows(cohort_us, rows);
                }
            }
            for (group, cohort) in cohorts.cohorts {
                self.worker.partial.merge_cohort(cohort_us, group, cohort);
            }
        }
    }
}

/// The group of each user by its codes; `None` without `by`.
fn groups_of(groups: &mut Groups, keys: &KeySpace, mut codes: Vec<Vec<u32>>) -> Option<Vec<u32>> {
    let users = codes.first()?.len();
    if let [codes] = codes.as_mut_slice() {
        // The code is the group; the last one makes all known.
        groups.of_codes([keys.codes_end(0) - 1].into_iter());
        return Some(std::mem::take(codes));
    }
    Some((0..users).map(|user| groups.of_codes(codes.iter().map(|codes| codes[user]))).collect())
}

/// The cohorts of one calendar unit, by group.
#[derive(Default)]
struct UnitCohorts {
    /// By group: one more than the place in `cohorts`, 0 for none.
    places: Vec<u32>,
    cohorts: Vec<(u32, CohortPartial)>,
}

impl UnitCohorts {
    fn of_group(&mut self, group: u32) -> &mut CohortPartial {
        let at = group as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        if self.places[at] == 0 {
            self.cohorts.push((group, CohortPartial::default()));
            self.places[at] = self.cohorts.len() as u32;
        }
        &mut self.cohorts[self.places[at] as usize - 1].1
    }
}

/// The calendar units in which users have a return event, a unit for each of its days.
struct Returned {
    /// Where the units of each ordinal begin.
    starts: Vec<u32>,
    units: Vec<i32>,
}

impl Returned {
    fn new(days: &[DayUsers], starters: &RoaringBitmap, users: usize, unit_of_day: impl Fn(i32) -> i64) -> Self {
        let of_starters: Vec<(i32, RoaringBitmap)> =
            days.iter().map(|day| (unit_of_day(day.day) as i32, &*day.users & starters)).collect();
        let mut starts = vec![0_u32; users + 2];
        for (_, users) in &of_starters {
            users.iter().for_each(|user| starts[user as usize + 2] += 1);
        }
        for user in 1..starts.len() {
            starts[user] += starts[user - 1];
        }
        // While the units are filled in, the entry behind a user's is the place of the next one.
        let mut units = vec![0; starts.last().map_or(0, |&end| end as usize)];
        for (unit, users) in &of_starters {
            for user in users {
                let place = &mut starts[user as usize + 1];
                units[*place as usize] = *unit;
                *place += 1;
            }
        }
        Self { starts, units }
    }

    /// The units of a user from `unit` on, ascending.
    fn of(&self, user: u32, unit: i64) -> impl Iterator<Item = i64> + '_ {
        let range = self.starts[user as usize] as usize..self.starts[user as usize + 1] as usize;
        self.units[range].iter().map(|&unit| i64::from(unit)).skip_while(move |&of_user| of_user < unit)
    }
}
