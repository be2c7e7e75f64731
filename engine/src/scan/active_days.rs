//! On which days each user did something: from day bitmaps, without reading an event.

use super::bind::Binder;
use super::candidates::visible_time;
use super::day_users::{Names, in_pieces, whole_days};
use super::first_days::pays_off;
use crate::error::Result;
use crate::predicate::Predicate;
use crate::segment::{DAYS_PER_WORD, words_of};
use crate::table::{LiveSegment, Snapshot};
use crate::types::TimeRange;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A user's days are kept in at most this many words.
const WORDS_MAX: usize = 8;

/// The active days of the users of one shard.
#[derive(Debug, Clone, Default)]
pub struct ActiveDays {
    /// The day of the lowest bit of the first word, in days since 1970-01-01.
    pub first_day: i32,
    /// Words a user.
    pub words: usize,
    /// The users with a day, a bit each, 64 a word.
    pub users: Arc<Vec<u64>>,
    /// For each ordinal, one after the other, the words with a bit a day: whether the user has such an event on the day.
    pub active: Arc<Vec<u64>>,
    /// The same for two such events on the day, or more; empty if nobody asked.
    pub twice: Arc<Vec<u64>>,
}

/// The calendar days, in the time zone of the table, on which each user of `shard` has an event in `time` that satisfies
/// `condition`: exact. `None` where [`super::users_by_day`] has no answer, and where the days are too many for this form.
///
/// # Errors
/// `Corrupt` if an index cannot be read.
pub fn active_days(
    snapshot: &Snapshot,
    shard: usize,
    condition: &Predicate,
    time: TimeRange,
    twice: bool,
) -> Result<Option<ActiveDays>> {
    let time = visible_time(snapshot, time);
    let of_shard = &snapshot.shards[shard];
    let counts = |live: &&LiveSegment| {
        let meta = live.segment.meta();
        meta.rows > 0 && time.overlaps(meta.ts_min, meta.ts_max)
    };
    let segments: Vec<&LiveSegment> = of_shard.segments.iter().filter(counts).collect();
    let spans = || segments.iter().map(|live| live.segment.day_span());
    let first_day = spans().map(|span| *span.start()).min().unwrap_or(0);
    let span = first_day..=spans().map(|span| *span.end()).max().unwrap_or(0);
    let words = words_of(&span);
    if words > WORDS_MAX {
        return Ok(None);
    }
    let days = ActiveDays { first_day, words, ..ActiveDays::default() };
    let mut sum = Sum { users: of_shard.next_ordinal as usize, days, twice };
    for live in segments {
        let Some(days) = whole_days(snapshot, &live.segment, time)? else { return Ok(None) };
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(condition, false)?;
        let Some(names) = Names::of(&node, &live.segment) else { return Ok(None) };
        if twice && !live.segment.has_day_counts() {
            return Ok(None);
        }
        for name in names.lists(&live.segment) {
            match days == (i32::MIN..=i32::MAX) && pays_off(&live.segment)? {
                true => sum.add_kept(live, name)?,
                false => sum.add_days(live, name, &days)?,
            }
        }
    }
    Ok(Some(sum.finish()))
}

/// What several segments and names add up to.
struct Sum {
    users: usize,
    /// Lists are empty as long as nobody has a day.
    days: ActiveDays,
    twice: bool,
}

impl Sum {
    /// The lists, to be written.
    fn lists(&mut self) -> Lists<'_> {
        let words = self.users * self.days.words;
        let ActiveDays { users, active, twice, .. } = &mut self.days;
        let (users, active, twice) = (Arc::make_mut(users), Arc::make_mut(active), Arc::make_mut(twice));
        users.resize(self.users.div_ceil(DAYS_PER_WORD), 0);
        active.resize(words, 0);
        twice.resize(if self.twice { words } else { 0 }, 0);
        Lists { users, active, twice }
    }

    /// Add those that a segment keeps: they are shared where they say all.
    fn add_kept(&mut self, live: &LiveSegment, name: Option<u32>) -> Result<()> {
        let segment = &live.segment;
        let active = segment.active_days(name, false)?;
        let twice = if self.twice { segment.active_days(name, true)? } else { Arc::default() };
        let (span, words) = (segment.day_span(), self.days.words);
        let same = *span.start() == self.days.first_day && active.len() == self.users * words;
        if live.hidden.is_empty() && self.days.active.is_empty() && same && words_of(&span) == words {
            (self.days.users, self.days.active, self.days.twice) = (segment.active_users(name)?, active, twice);
            return Ok(());
        }
        let shift = span.start().abs_diff(self.days.first_day) as usize;
        let (own, asked) = (words_of(&span), self.twice);
        let all = self.lists();
        for (user, days) in active.chunks_exact(own).enumerate() {
            if days.iter().all(|&word| word == 0) || live.hidden.contains(user as u32) {
                continue;
            }
            let place = user * words..(user + 1) * words;
            // The kept list may have users that this shard's snapshot does not: those it has none of.
            let Some(known) = all.active.get_mut(place.clone()) else { break };
            all.users[user / DAYS_PER_WORD] |= 1 << (user % DAYS_PER_WORD);
            if asked {
                let doubles = &mut all.twice[place];
                each_shifted(days, shift, |word, bits| {
                    doubles[word] |= known[word] & bits;
                    known[word] |= bits;
                });
                each_shifted(&twice[user * own..(user + 1) * own], shift, |word, bits| doubles[word] |= bits);
            } else {
                each_shifted(days, shift, |word, bits| known[word] |= bits);
            }
        }
        Ok(())
    }

    /// Add some days.
    fn add_days(&mut self, live: &LiveSegment, name: Option<u32>, days: &RangeInclusive<i32>) -> Result<()> {
        let (first_day, words, asked) = (self.days.first_day, self.days.words, self.twice);
        let Lists { users: all, active, twice } = self.lists();
        let place = |day: i32| {
            let at = day.abs_diff(first_day) as usize;
            (at / DAYS_PER_WORD, 1_u64 << (at % DAYS_PER_WORD))
        };
        for (day, users) in live.segment.users_by_day(name, false, days)? {
            let (word, bit) = place(day);
            in_pieces(&(&*users - &*live.hidden), |users| {
                for &user in users {
                    let at = user as usize * words + word;
                    let Some(known) = active.get_mut(at) else { continue };
                    if asked {
                        twice[at] |= *known & bit;
                    }
                    *known |= bit;
                    all[user as usize / DAYS_PER_WORD] |= 1 << (user as usize % DAYS_PER_WORD);
                }
            });
        }
        let doubles = if asked { live.segment.users_by_day(name, true, days)? } else { Vec::new() };
        for (day, users) in doubles {
            let (word, bit) = place(day);
            in_pieces(&(&*users - &*live.hidden), |users| {
                for &user in users {
                    if let Some(known) = twice.get_mut(user as usize * words + word) {
                        *known |= bit;
                    }
                }
            });
        }
        Ok(())
    }

    fn finish(mut self) -> ActiveDays {
        if self.days.active.is_empty() {
            self.lists();
        }
        self.days
    }
}

/// The lists of active days, to be written; that of days with two events is empty if nobody asked for it.
struct Lists<'a> {
    users: &'a mut Vec<u64>,
    active: &'a mut Vec<u64>,
    twice: &'a mut Vec<u64>,
}

/// The words of `days` moved up by `shift` bits, each with its place; those without a bit are left out.
fn each_shifted(days: &[u64], shift: usize, mut each: impl FnMut(usize, u64)) {
    let (whole, part) = (shift / DAYS_PER_WORD, (shift % DAYS_PER_WORD) as u32);
    for (word, &bits) in days.iter().enumerate() {
        let (low, high) = (bits << part, bits.checked_shr(DAYS_PER_WORD as u32 - part).unwrap_or(0));
        if low != 0 {
            each(word + whole, low);
        }
        if high != 0 {
            each(word + whole + 1, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineOptions};
    use crate::ingest::EventBatch;
    use crate::scan::{NO_DAY, first_days, users_by_day};
    use crate::storage::MemoryStore;
    use crate::types::{Schema, TableOptions};
    use arrow_array::{Int64Array, StringArray};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const HOUR_US: i64 = 3_600_000_000;

    /// A user, an hour and a name.
    type Event = (u8, i64, u8);

    fn batch(events: &[Event]) -> EventBatch {
        EventBatch {
            user_id: StringArray::from_iter_values(events.iter().map(|event| format!("user {}", event.0))),
            ts: Int64Array::from_iter_values(events.iter().map(|event| event.1 * HOUR_US)),
            event: StringArray::from_iter_values(events.iter().map(|event| ["a", "b", "c"][usize::from(event.2)])),
            event_id: None,
            properties: Vec::new(),
        }
    }

    /// What users of a shard do by day, once and twice, from the bitmaps of each day, or from those of each user.
    type Days = [BTreeSet<(i32, u32)>; 2];

    fn by_day(snapshot: &Snapshot, shard: usize, condition: &Predicate, time: TimeRange) -> Option<Days> {
        let days = users_by_day(snapshot, shard, condition, time, true).unwrap()?;
        let users = |of: fn(&crate::scan::DayUsers) -> &roaring::RoaringBitmap| {
            days.iter().flat_map(|day| of(day).iter().map(|user| (day.day, user))).collect()
        };
        Some([users(|day| &day.users), users(|day| &day.twice)])
    }

    fn by_user(days: &ActiveDays) -> Days {
        let set = |lists: &[u64]| {
            let bits = (0..lists.len() * DAYS_PER_WORD).filter(|bit| lists[bit / 64] >> (bit % 64) & 1 == 1);
            let of_user = days.words * DAYS_PER_WORD;
            bits.map(|bit| (days.first_day + (bit % of_user) as i32, (bit / of_user) as u32)).collect()
        };
        [set(&days.active), set(&days.twice)]
    }

    fn check(snapshot: &Snapshot, shard: usize, condition: &Predicate, time: TimeRange) {
        let expected = by_day(snapshot, shard, condition, time);
        let found = active_days(snapshot, shard, condition, time, true).unwrap();
        assert_eq!(found.as_ref().map(by_user), expected, "{condition:?} in {time:?}");
        let (Some(found), Some([once, _])) = (found, expected) else { return };
        let plain = active_days(snapshot, shard, condition, time, false).unwrap().unwrap();
        assert_eq!((&plain.active, plain.twice.len()), (&found.active, 0));
        let first = first_days(snapshot, shard, condition, time).unwrap().unwrap();
        for user in 0..snapshot.shards[shard].next_ordinal {
            let of_user = once.iter().filter(|(_, of)| *of == user).map(|(day, _)| *day);
            assert_eq!(first[user as usize], of_user.clone().min().unwrap_or(NO_DAY));
            let is_active = found.users[user as usize / 64] >> (user % 64) & 1 == 1;
            assert_eq!(is_active, of_user.count() > 0, "user {user}");
        }
    }

    proptest! {
        #[test]
        fn the_days_of_users_are_the_users_of_days(
            batches in vec((vec((0..12_u8, prop_oneof![0..100_i64, 0..6_000_i64], 0..3_u8), 1..12), 0..4_u8), 1..6),
            cut in 0..120_i64,
            zone in prop_oneof![Just("UTC"), Just("Asia/Kolkata"), Just("America/New_York")],
        ) {
            let engine = Engine::open_store(Arc::new(MemoryStore::default()), EngineOptions::default()).unwrap();
            let options = TableOptions { shards: 2, time_zone: zone.into(), ..TableOptions::default() };
            let table = engine.create_table("t", Schema::default(), options).unwrap();
            for (events, then) in &batches {
                table.append(batch(events)).unwrap();
                match then {
                    0 => table.flush().unwrap(),
                    1 => drop(table.delete_user(&format!("user {}", events[0].0)).unwrap()),
                    _ => {}
                }
            }
            let snapshot = table.snapshot();
            let names = Predicate::Or(vec![Predicate::event_is("a"), Predicate::event_is("b")]);
            let after = TimeRange { start_us: cut * 24 * HOUR_US, end_us: i64::MAX };
            for condition in [Predicate::True, Predicate::event_is("a"), names] {
                for (shard, time) in [(0, TimeRange::ALL), (1, TimeRange::ALL), (0, after), (1, after)] {
                    check(&snapshot, shard, &condition, time);
                }
            }
        }
    }
}
