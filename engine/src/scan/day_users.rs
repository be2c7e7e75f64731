//! Who did something on which day, and who has which value: from bitmaps alone, without reading an event.

use super::bind::{Binder, Node};
use super::candidates::visible_time;
use super::first_days::pays_off;
use super::keys::{KEY_NULL, KeySpace};
use super::test::TRUE;
use crate::error::Result;
use crate::index::DayClock;
use crate::predicate::{ColumnRef, Predicate};
use crate::segment::{FIRST_VALUE, NULL_VALUE, Segment, VALUES_DIFFER};
use crate::table::{LiveSegment, Snapshot};
use crate::types::{ColumnType, TimeRange, Value};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The users of one shard with an event that satisfies a condition, on one calendar day.
#[derive(Debug, Clone)]
pub struct DayUsers {
    /// The day in the time zone of the table, in days since 1970-01-01.
    pub day: i32,
    /// Ordinals of users with at least one such event on the day.
    pub users: Arc<RoaringBitmap>,
    /// Ordinals of users with at least two; empty if nobody asked.
    pub twice: Arc<RoaringBitmap>,
}

/// The users of `shard` by day, in order of days, who have an event in `time` that satisfies `condition`: exact. `None`
/// where bitmaps do not cover the question: a condition on more than the event's name, a time that begins or ends within
/// a day, or a segment that lacks the bitmaps.
///
/// # Errors
/// `Corrupt` if an index cannot be read.
pub fn users_by_day(
    snapshot: &Snapshot,
    shard: usize,
    condition: &Predicate,
    time: TimeRange,
    twice: bool,
) -> Result<Option<Vec<DayUsers>>> {
    let time = visible_time(snapshot, time);
    let mut sum = BTreeMap::new();
    for live in &snapshot.shards[shard].segments {
        let meta = live.segment.meta();
        if meta.rows == 0 || !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let Some(days) = whole_days(snapshot, &live.segment, time)? else { return Ok(None) };
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(condition, false)?;
        let Some(names) = Names::of(&node, &live.segment) else { return Ok(None) };
        let mut reader = Reader { live, days, twice, sum: &mut sum };
        if !reader.read(&names)? {
            return Ok(None);
        }
    }
    let days = sum.into_iter().map(|(day, of_day)| DayUsers { day, users: of_day.users, twice: of_day.twice });
    Ok(Some(days.collect()))
}

/// Whether [`users_by_day`] has an answer, without reading a bitmap.
///
/// # Errors
/// `Corrupt` if a directory cannot be read.
pub fn covers_days(snapshot: &Snapshot, condition: &Predicate, time: TimeRange, twice: bool) -> Result<bool> {
    let time = visible_time(snapshot, time);
    for (shard, live) in segments(snapshot) {
        let meta = live.segment.meta();
        if !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(condition, false)?;
        let named = Names::of(&node, &live.segment).is_some() && whole_days(snapshot, &live.segment, time)?.is_some();
        if !named || twice && !live.segment.has_day_counts() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names of events that satisfy `condition`; `None` where more than the name decides.
///
/// # Errors
/// `Corrupt` if a dictionary cannot be read.
pub fn satisfying_names(snapshot: &Snapshot, condition: &Predicate) -> Result<Option<BTreeSet<String>>> {
    let mut satisfying = BTreeSet::new();
    for (shard, live) in segments(snapshot) {
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(condition, false)?;
        let names = live.segment.event_names();
        match Names::of(&node, &live.segment) {
            None => return Ok(None),
            Some(Names::All) => satisfying.extend(names.iter().map(ToString::to_string)),
            Some(Names::Some(codes)) => satisfying.extend(codes.iter().map(|&code| names[code as usize].to_string())),
        }
    }
    Ok(Some(satisfying))
}

/// The segments with rows, and their shards.
fn segments(snapshot: &Snapshot) -> impl Iterator<Item = (usize, &LiveSegment)> {
    let shards = snapshot.shards.iter().enumerate();
    let all = shards.flat_map(|(shard, of_shard)| of_shard.segments.iter().map(move |live| (shard, live)));
    all.filter(|(_, live)| live.segment.meta().rows > 0)
}

/// The first and the last day of `time`; `None` where it begins or ends within a day of the segment's events.
pub(super) fn whole_days(
    snapshot: &Snapshot,
    segment: &Segment,
    time: TimeRange,
) -> Result<Option<RangeInclusive<i32>>> {
    let (meta, tz) = (segment.meta(), snapshot.options.tz()?);
    if segment.time_zone() != tz {
        return Ok(None);
    }
    if time.contains(meta.ts_min) && time.contains(meta.ts_max) {
        return Ok(Some(i32::MIN..=i32::MAX));
    }
    let mut clock = DayClock::new(tz);
    let mut boundary = |at: i64| {
        let (before, after) = (clock.day(at - 1), clock.day(at));
        (before < after).then_some((before, after))
    };
    let first = if time.start_us <= meta.ts_min { Some(i32::MIN) } else { boundary(time.start_us).map(|days| days.1) };
    let last = if time.end_us > meta.ts_max { Some(i32::MAX) } else { boundary(time.end_us).map(|days| days.0) };
    Ok(first.zip(last).map(|(first, last)| first..=last))
}

/// Which event names of a segment satisfy a condition.
pub(super) enum Names {
    All,
    Some(Vec<u32>),
}

impl Names {
    pub(super) fn of(node: &Node, segment: &Segment) -> Option<Self> {
        let mut passes = vec![false; segment.event_names().len()];
        if !mark(node, &mut passes) {
            return None;
        }
        if passes.iter().all(|passes| *passes) {
            return Some(Self::All);
        }
        Some(Self::Some((0..).zip(passes).filter(|(_, passes)| *passes).map(|(code, _)| code).collect()))
    }
}

impl Names {
    /// Their codes.
    pub(super) fn codes(&self, segment: &Segment) -> Vec<u32> {
        match self {
            Self::All => (0..segment.event_names().len() as u32).collect(),
            Self::Some(codes) => codes.clone(),
        }
    }

    /// The lists of days that hold their users: that of any event, or one a name.
    pub(super) fn lists(&self, segment: &Segment) -> Vec<Option<u32>> {
        match self {
            Self::All if segment.has_day_counts() => vec![None],
            Self::All => (0..segment.event_names().len() as u32).map(Some).collect(),
            Self::Some(codes) => codes.iter().copied().map(Some).collect(),
        }
    }
}

/// Mark the names for which `node` is true; false where more than the name decides.
fn mark(node: &Node, passes: &mut [bool]) -> bool {
    match node {
        Node::Const(truth) => {
            if *truth == TRUE {
                passes.fill(true);
            }
            true
        }
        Node::Event(of_node) => {
            passes.iter_mut().zip(of_node).for_each(|(passes, also)| *passes |= also);
            true
        }
        Node::Or(parts) => parts.iter().all(|part| mark(part, passes)),
        _ => false,
    }
}

#[derive(Default)]
struct Sum {
    users: Arc<RoaringBitmap>,
    twice: Arc<RoaringBitmap>,
}

impl Sum {
    /// Add other events of the day.
    fn add(&mut self, users: Arc<RoaringBitmap>, twice: Option<Arc<RoaringBitmap>>) {
        if self.users.is_empty() {
            self.users = users;
            self.twice = twice.unwrap_or_default();
            return;
        }
        if let Some(twice) = twice {
            let both = &*self.users & &*users;
            let sum = Arc::make_mut(&mut self.twice);
            *sum |= &*twice;
            *sum |= both;
        }
        *Arc::make_mut(&mut self.users) |= &*users;
    }
}

/// Reads one segment.
struct Reader<'a> {
    live: &'a LiveSegment,
    /// First and last day that count.
    days: RangeInclusive<i32>,
    twice: bool,
    sum: &'a mut BTreeMap<i32, Sum>,
}

impl Reader<'_> {
    /// Add the segment's users; false if it lacks the bitmaps.
    fn read(&mut self, names: &Names) -> Result<bool> {
        let segment = &self.live.segment;
        if self.twice && !segment.has_day_counts() {
            return Ok(false);
        }
        names.lists(segment).into_iter().try_for_each(|list| self.add(list))?;
        Ok(true)
    }

    /// Add the users of one name, or of any.
    fn add(&mut self, code: Option<u32>) -> Result<()> {
        let segment = &self.live.segment;
        let twice = if self.twice { segment.users_by_day(code, true, &self.days)? } else { Vec::new() };
        let mut twice = twice.into_iter().peekable();
        for (day, users) in segment.users_by_day(code, false, &self.days)? {
            let twice = twice.next_if(|(of, _)| *of == day).map(|(_, users)| self.visible(users));
            let users = self.visible(users);
            if !users.is_empty() {
                self.sum.entry(day).or_default().add(users, self.twice.then(|| twice.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn visible(&self, users: Arc<RoaringBitmap>) -> Arc<RoaringBitmap> {
        if self.live.hidden.is_empty() { users } else { Arc::new(&*users - &*self.live.hidden) }
    }
}

/// The code of a user who does not have one value in all events.
pub const SEVERAL_VALUES: u32 = u32::MAX;

/// Whether [`values_by_user`] has an answer for every shard, without reading a bitmap.
pub fn covers_values(snapshot: &Snapshot, column: &ColumnRef) -> bool {
    let ColumnRef::Property(name) = column else { return false };
    segments(snapshot).all(|(_, live)| match live.segment.schema().column(name) {
        Some(stored) => stored.column_type == ColumnType::Text && live.segment.is_value_indexed(name),
        None => true,
    })
}

/// For each ordinal of `shard` the code of the value that all events of the user have in a property, as `keys` numbers
/// the values of its column `place`: 0 for NULL, [`SEVERAL_VALUES`] where the events differ. `None` where bitmaps do not
/// say it.
///
/// # Errors
/// `Corrupt` if an index cannot be read.
pub fn values_by_user(
    snapshot: &Snapshot,
    shard: usize,
    column: &ColumnRef,
    (keys, place): (&mut KeySpace, usize),
) -> Result<Option<Vec<u32>>> {
    let ColumnRef::Property(name) = column else { return Ok(None) };
    let shard = &snapshot.shards[shard];
    let mut sum = Values { users: shard.next_ordinal as usize, codes: Vec::new() };
    for live in shard.segments.iter().filter(|live| live.segment.meta().rows > 0) {
        let segment = &live.segment;
        let Some(stored) = segment.schema().column(name) else {
            sum.add(&*segment.users()?, KEY_NULL);
            continue;
        };
        let (ColumnType::Text, Some(nulls)) = (stored.column_type, segment.null_users(name)?) else { return Ok(None) };
        let texts = segment.dictionary(name)?.unwrap_or_default();
        let values = texts.iter().map(|text| Value::Text(text.to_string()));
        let codes: Vec<u32> = values.map(|value| keys.columns[place].code(value)).collect();
        if pays_off(segment)? {
            let Some(values) = segment.values_by_user(name)? else { return Ok(None) };
            sum.add_kept(&values, &codes);
            continue;
        }
        sum.add(&nulls, KEY_NULL);
        for (stored, code) in (0..).zip(codes) {
            let Some(users) = segment.value_users(name, stored)? else { return Ok(None) };
            sum.add(&users, code);
        }
    }
    Ok(Some(sum.finish()))
}

/// The codes of users of whom several segments know something.
struct Values {
    users: usize,
    /// Empty as long as nothing is known; otherwise one a user.
    codes: Vec<u32>,
}

impl Values {
    fn add(&mut self, users: &RoaringBitmap, code: u32) {
        self.codes.resize(self.users, NONE);
        in_pieces(users, |users| {
            for &user in users {
                self.codes.get_mut(user as usize).into_iter().for_each(|known| *known = united(*known, code));
            }
        });
    }

    /// Add what a segment keeps of its users; `codes` are those of its values.
    fn add_kept(&mut self, values: &[u16], codes: &[u32]) {
        let mut meaning = vec![NONE; usize::from(FIRST_VALUE)];
        meaning[usize::from(NULL_VALUE)] = KEY_NULL;
        meaning[usize::from(VALUES_DIFFER)] = SEVERAL_VALUES;
        meaning.extend_from_slice(codes);
        let of_users = values.iter().take(self.users).map(|&value| meaning[usize::from(value)]);
        if self.codes.is_empty() {
            self.codes = of_users.collect();
        } else {
            self.codes.iter_mut().zip(of_users).for_each(|(known, also)| *known = united(*known, also));
        }
        self.codes.resize(self.users, NONE);
    }

    fn finish(mut self) -> Vec<u32> {
        self.codes.resize(self.users, NONE);
        self.codes.iter_mut().filter(|code| **code == NONE).for_each(|code| *code = KEY_NULL);
        self.codes
    }
}

/// No event so far.
const NONE: u32 = u32::MAX - 1;

/// The code of a user of whom several segments know something.
#[inline]
fn united(known: u32, also: u32) -> u32 {
    match (known, also) {
        (NONE, code) | (code, NONE) => code,
        (known, also) if known == also => known,
        _ => SEVERAL_VALUES,
    }
}

/// Give the ordinals of a bitmap to `each`, many at once: one by one they take several times as long.
pub fn in_pieces(users: &RoaringBitmap, mut each: impl FnMut(&[u32])) {
    let mut buffer = [0; 1_024];
    let mut ordinals = users.iter();
    loop {
        let piece = ordinals.next_many(&mut buffer);
        if piece.is_empty() {
            return;
        }
        each(piece);
    }
}
