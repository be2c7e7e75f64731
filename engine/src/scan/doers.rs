//! Who surely did something so often within a time, and who may have: from bitmaps alone, without reading an event.
//!
//! Bitmaps of names and days count events of one user from below: a day on which a name is in the bitmap has one at least,
//! two where the user is in that of users with several. What more than the name decides, and days of which only a part
//! counts, leave users open.

use super::bind::{Binder, Node};
use super::bounds::Bounds;
use super::candidates::{users_of, visible_time};
use super::day_edges::DayEdges;
use super::day_users::{Names, in_pieces};
use crate::error::Result;
use crate::predicate::Predicate;
use crate::segment::Segment;
use crate::table::{LiveSegment, Snapshot};
use crate::types::TimeRange;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often, at least; from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Events.
    Events(u32),
    /// Different calendar days with an event, in the time zone of the table.
    Days(u32),
}

impl Amount {
    fn is_once(self) -> bool {
        matches!(self, Self::Events(0 | 1) | Self::Days(0 | 1))
    }
}

/// What is asked of the users of a shard.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Which events count.
    pub condition: &'a Predicate,
    /// When.
    pub time: TimeRange,
    /// How many of them.
    pub amount: Amount,
    /// Nobody asks about other users, whatever the answer says of them. `None`: all.
    pub among: Option<&'a RoaringBitmap>,
}

/// The users of `shard` who did what is asked.
///
/// # Errors
/// `Corrupt` if an index cannot be read.
pub fn doers(snapshot: &Snapshot, shard: usize, question: &Question<'_>) -> Result<Bounds> {
    let time = visible_time(snapshot, question.time);
    let of_shard = &snapshot.shards[shard];
    let mut found = Found::new(question, of_shard.next_ordinal as usize);
    for live in &of_shard.segments {
        let meta = live.segment.meta();
        if meta.rows == 0 || !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(question.condition, false)?;
        let edges = DayEdges::of(&live.segment, time);
        match ByName::of(&node, &live.segment)? {
            Some(by_name) if question.amount.is_once() && edges.is_all() => {
                by_name.ever(live, |users| found.add_once(users, true))?;
            }
            Some(by_name) if question.amount.is_once() => by_name.once(live, &edges, question, &mut found)?,
            Some(by_name) => by_name.by_day(live, &edges, question, &mut found)?,
            None => {
                let part = if edges.is_all() { None } else { Some((snapshot, time)) };
                let of_segment = users_of(&node, &live.segment, part)?;
                let users = match of_segment.users {
                    Some(users) => Arc::new(users),
                    None => live.segment.users()?,
                };
                let users = visible(live, users, question.among);
                let is_exact = of_segment.exact && edges.is_all() && question.amount.is_once();
                if is_exact { found.add_once(users, true) } else { found.add_open(users) }
            }
        }
    }
    Ok(found.finish())
}

/// Users of a segment that are not hidden and that somebody asks about.
fn visible(live: &LiveSegment, users: Arc<RoaringBitmap>, among: Option<&RoaringBitmap>) -> Arc<RoaringBitmap> {
    let users = match among {
        Some(among) => Arc::new(&*users & among),
        None => users,
    };
    if live.hidden.is_empty() { users } else { Arc::new(&*users - &*live.hidden) }
}

/// A condition on the name of the event, and on what is the same for all events of a user.
struct ByName {
    names: Names,
    /// Users for whom the rest is true; `None`: all.
    holders: Option<RoaringBitmap>,
}

impl ByName {
    /// `None` where the condition is another one.
    fn of(node: &Node, segment: &Segment) -> Result<Option<Self>> {
        let parts = match node {
            Node::And(parts) => parts.as_slice(),
            node => std::slice::from_ref(node),
        };
        let mut sum = Self { names: Names::All, holders: None };
        for part in parts {
            if let Some(names) = Names::of(part, segment) {
                sum.names = both(sum.names, names);
                continue;
            }
            // What nothing is known of has neither all users nor an exact set of them.
            let found = users_of(part, segment, None)?;
            let (true, true, Some(users)) = (found.exact, found.per_user, found.users) else { return Ok(None) };
            sum.holders = Some(match sum.holders {
                Some(holders) => holders & users,
                None => users,
            });
        }
        Ok(Some(sum))
    }

    fn held(&self, live: &LiveSegment, users: Arc<RoaringBitmap>) -> Arc<RoaringBitmap> {
        visible(live, users, self.holders.as_ref())
    }

    /// Users with such an event at any time, in one bitmap or several.
    fn ever(&self, live: &LiveSegment, mut each: impl FnMut(Arc<RoaringBitmap>)) -> Result<()> {
        let segment = &live.segment;
        match &self.names {
            Names::All => each(self.held(live, segment.users()?)),
            Names::Some(codes) => {
                for &code in codes {
                    each(self.held(live, segment.event_users(code)?));
                }
            }
        }
        Ok(())
    }

    /// Users with such an event on any of the days.
    fn once(&self, live: &LiveSegment, edges: &DayEdges, question: &Question<'_>, found: &mut Found) -> Result<()> {
        let segment = &live.segment;
        let wanted = |users| visible(live, self.held(live, users), question.among);
        for list in self.names.lists(segment) {
            if !edges.inside.is_empty() {
                found.add_once(wanted(segment.users_in_days(list, &edges.inside)?), true);
            }
            for days in edges.partly() {
                for (_, users) in segment.users_by_day(list, false, &days)? {
                    found.add_once(wanted(users), false);
                }
            }
        }
        Ok(())
    }

    /// Users with such an event by day.
    fn by_day(&self, live: &LiveSegment, edges: &DayEdges, question: &Question<'_>, found: &mut Found) -> Result<()> {
        let segment = &live.segment;
        let counts = matches!(found.count, Count::Events { .. });
        for list in self.names.lists(segment) {
            let twice = match counts && segment.has_day_counts() {
                true => segment.users_by_day(list, true, &edges.touched)?,
                false => Vec::new(),
            };
            let mut twice = twice.into_iter().peekable();
            for (day, users) in segment.users_by_day(list, false, &edges.touched)? {
                let wanted = |users| visible(live, users, question.among);
                let users = wanted(self.held(live, users));
                let several = match twice.next_if(|(of, _)| *of == day) {
                    Some((_, several)) => wanted(self.held(live, several)),
                    // Segments of older formats do not tell once from several times.
                    None if counts && !segment.has_day_counts() => Arc::clone(&users),
                    None => Arc::default(),
                };
                let entry = Entry { day, users, several, is_told: segment.has_day_counts() };
                found.add_day(entry, edges.inside.contains(&day));
            }
        }
        Ok(())
    }
}

fn both(a: Names, b: Names) -> Names {
    match (a, b) {
        (Names::All, names) | (names, Names::All) => names,
        (Names::Some(a), Names::Some(b)) => Names::Some(a.into_iter().filter(|code| b.contains(code)).collect()),
    }
}

/// Users with an event on a day.
struct Entry {
    day: i32,
    users: Arc<RoaringBitmap>,
    /// Those who may have several.
    several: Arc<RoaringBitmap>,
    /// Whether those surely have.
    is_told: bool,
}

/// What was found so far.
struct Found {
    /// Users with an event, whatever the number.
    sure: Union,
    /// Users who may have any number of events.
    open: Union,
    count: Count,
}

/// How users come to more than one event.
enum Count {
    Once,
    Events {
        at_least: u32,
        sure: Vec<u32>,
        possible: Vec<u32>,
    },
    Days {
        at_least: u32,
        /// For each day who surely has an event, and who may have.
        days: BTreeMap<i32, (Union, Union)>,
        users: usize,
    },
}

impl Found {
    fn new(question: &Question<'_>, users: usize) -> Self {
        let count = match question.amount {
            amount if amount.is_once() => Count::Once,
            Amount::Events(at_least) => Count::Events { at_least, sure: vec![0; users], possible: vec![0; users] },
            Amount::Days(at_least) => Count::Days { at_least, days: BTreeMap::new(), users },
        };
        Self { sure: Union::default(), open: Union::default(), count }
    }

    /// Users with an event; `is_sure` or not.
    fn add_once(&mut self, users: Arc<RoaringBitmap>, is_sure: bool) {
        if is_sure { self.sure.add(users) } else { self.open.add(users) }
    }

    /// Users who may have any number of events.
    fn add_open(&mut self, users: Arc<RoaringBitmap>) {
        self.open.add(users);
    }

    fn add_day(&mut self, entry: Entry, is_inside: bool) {
        match &mut self.count {
            Count::Once => self.add_once(entry.users, is_inside),
            Count::Events { sure, possible, .. } => {
                add(possible, &entry.users);
                if is_inside {
                    add(sure, &entry.users);
                    if entry.is_told {
                        add(sure, &entry.several);
                    }
                }
                // Two of them are enough for two; of more nothing is known.
                self.open.add(entry.several);
            }
            Count::Days { days, .. } => {
                let (sure, possible) = days.entry(entry.day).or_default();
                if is_inside {
                    sure.add(Arc::clone(&entry.users));
                }
                possible.add(entry.users);
            }
        }
    }

    fn finish(self) -> Bounds {
        let (sure, possible) = match self.count {
            Count::Once => return self.sure.bounds_with(self.open),
            Count::Events { at_least, sure, possible } => (reached(&sure, at_least), reached(&possible, at_least)),
            Count::Days { at_least, days, users } => {
                let (mut sure, mut possible) = (vec![0; users], vec![0; users]);
                for (of_sure, of_possible) in days.into_values() {
                    add(&mut sure, &of_sure.users);
                    add(&mut possible, &of_possible.users);
                }
                (reached(&sure, at_least), reached(&possible, at_least))
            }
        };
        let possible = possible | &*self.open.users;
        Bounds::between(Arc::new(sure), Arc::new(possible))
    }
}

/// One more for each of `users`.
fn add(counts: &mut [u32], users: &RoaringBitmap) {
    in_pieces(users, |users| {
        for &user in users {
            if let Some(count) = counts.get_mut(user as usize) {
                *count = count.saturating_add(1);
            }
        }
    });
}

/// The users whose count is at least so much.
fn reached(counts: &[u32], at_least: u32) -> RoaringBitmap {
    (0..).zip(counts).filter(|(_, count)| **count >= at_least).map(|(user, _)| user).collect()
}

/// A union that shares its only bitmap.
#[derive(Default)]
struct Union {
    users: Arc<RoaringBitmap>,
}

impl Union {
    fn add(&mut self, users: Arc<RoaringBitmap>) {
        if self.users.is_empty() {
            self.users = users;
        } else if !users.is_empty() && !Arc::ptr_eq(&self.users, &users) {
            *Arc::make_mut(&mut self.users) |= &*users;
        }
    }

    /// These users surely, and the others possibly.
    fn bounds_with(self, mut open: Self) -> Bounds {
        if open.users.is_empty() {
            return Bounds::exactly(self.users);
        }
        open.add(Arc::clone(&self.users));
        Bounds::between(self.users, open.users)
    }
}
