//! Building the indexes of a segment, block by block.

use super::day::DayClock;
use super::directory::{ListKey, Place};
use super::list::OrdinalList;
use crate::error::{Error, ErrorKind, Result};
use chrono_tz::Tz;
use std::collections::HashMap;

/// A column with more distinct values in a segment has no bitmaps per value.
const INDEXED_VALUES_MAX: usize = 256;
/// Lists per (event name, day) that are found without a look into the map. A power of two.
const CACHED_LISTS: usize = 4096;
const NO_LIST: u32 = u32::MAX;

/// The rows of a block: users, times and event names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockRows<'a> {
    /// Ordinals of the users.
    pub(crate) users: &'a [u32],
    /// First row of each user, and the number of rows.
    pub(crate) starts: &'a [u32],
    /// A time a row.
    pub(crate) ts: &'a [i64],
    /// A code a row.
    pub(crate) events: &'a [u32],
}

/// A property column of a block whose values are small codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexedColumn<'a> {
    /// A code a row, 0 for NULL.
    pub(crate) codes: &'a [i64],
    /// Whether the row has one.
    pub(crate) valid: &'a [bool],
    /// Whether each user has the same code, or NULL, in all rows.
    pub(crate) uniform: bool,
}

/// In place of the code of an event name: any event.
const ANY_EVENT: u32 = u32::MAX;

/// Collects the ordinals of every bitmap.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    clock: DayClock,
    users: OrdinalList,
    events: Vec<OrdinalList>,
    days: DayLists,
    /// Whether there are lists of any event, and of users with two events a day.
    counts_days: bool,
    columns: Vec<Option<ColumnLists>>,
}

#[derive(Debug, Clone, Default)]
struct ColumnLists {
    values: Vec<OrdinalList>,
    never_null: OrdinalList,
}

impl IndexBuilder {
    /// `indexed` says for each property whether it may have bitmaps per value; `counts_days` whether there are lists of
    /// days with any event, and of users with two events a day, which the first format did not have.
    pub(crate) fn new(tz: Tz, counts_days: bool, indexed: impl Iterator<Item = bool>) -> Self {
        Self {
            clock: DayClock::new(tz),
            users: OrdinalList::default(),
            events: Vec::new(),
            days: DayLists::new(),
            counts_days,
            columns: indexed.map(|indexed| indexed.then(ColumnLists::default)).collect(),
        }
    }

    /// Whether the property still has bitmaps per value.
    pub(crate) fn is_indexed(&self, column: usize) -> bool {
        self.columns[column].is_some()
    }

    /// Give up the bitmaps per value of a property.
    pub(crate) fn drop_column(&mut self, column: usize) {
        self.columns[column] = None;
    }

    /// Number of users so far.
    pub(crate) fn user_count(&self) -> u32 {
        self.users.len()
    }

    /// Whether the block's first user had rows in the block before. To be asked before [`IndexBuilder::add_rows`].
    pub(crate) fn continues(&self, rows: &BlockRows<'_>) -> bool {
        rows.users.first().is_some_and(|&first| self.users.ends_with(first))
    }

    /// Add users, event names and days of a block.
    pub(crate) fn add_rows(&mut self, rows: &BlockRows<'_>) {
        for (index, &user) in rows.users.iter().enumerate() {
            self.users.push(user);
            // Most events of a user share the day with the one before.
            let mut last_day = None;
            for row in rows.starts[index] as usize..rows.starts[index + 1] as usize {
                let code = rows.events[row];
                if code as usize >= self.events.len() {
                    self.events.resize(code as usize + 1, OrdinalList::default());
                }
                self.events[code as usize].push(user);
                let day = self.clock.day(rows.ts[row]);
                self.days.list(code, day).push(user);
                if self.counts_days && last_day != Some((day, true)) {
                    let is_second = self.days.list(ANY_EVENT, day).push(user);
                    last_day = Some((day, is_second));
                }
            }
        }
    }

    /// Add a property column of a block; `None` where all rows are NULL.
    pub(crate) fn add_column(
        &mut self,
        column: usize,
        rows: &BlockRows<'_>,
        continues: bool,
        data: Option<IndexedColumn<'_>>,
    ) {
        let Some(lists) = &mut self.columns[column] else { return };
        let Some(data) = data else {
            if let Some(&first) = rows.users.first().filter(|_| continues) {
                lists.never_null.take_back(first);
            }
            return;
        };
        for (index, &user) in rows.users.iter().enumerate() {
            let (start, end) = (rows.starts[index] as usize, rows.starts[index + 1] as usize);
            let end = if data.uniform { start + 1 } else { end };
            let mut has_null = false;
            for row in start..end {
                has_null |= !data.valid[row];
                if data.valid[row] && !lists.push(data.codes[row] as usize, user) {
                    self.columns[column] = None;
                    return;
                }
            }
            lists.note_nulls(user, has_null, continues && index == 0);
        }
    }

    /// The index section, and its directory.
    pub(crate) fn encode(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut writer = SectionWriter { section: Vec::new(), directory: Vec::new(), users: None };
        let place = writer.add(ListKey::USERS, &self.users)?;
        writer.users = Some((self.users.len(), place));
        for (code, list) in (0..).zip(&self.events) {
            writer.add(ListKey::event(code), list)?;
        }
        let mut days: Vec<_> = self.days.by_key.iter().map(|(&(code, day), &list)| (code, day, list)).collect();
        days.sort_unstable();
        for &(code, day, list) in &days {
            if code != ANY_EVENT {
                writer.add(ListKey::event_day(code, day), &self.days.lists[list as usize].once)?;
            }
        }
        for (column, lists) in self.columns.iter().enumerate() {
            let Some(lists) = lists else { continue };
            for (code, list) in (0..).zip(&lists.values) {
                writer.add(ListKey::value(column, code), list)?;
            }
            writer.add(ListKey::never_null(column), &lists.never_null)?;
        }
        if self.counts_days {
            self.encode_counts(&days, &mut writer)?;
        }
        Ok((writer.section, writer.directory))
    }
}

impl IndexBuilder {
    /// The lists that count the events of a day, in order of their keys.
    fn encode_counts(&self, days: &[(u32, i32, u32)], writer: &mut SectionWriter) -> Result<()> {
        let (of_any, of_event): (Vec<_>, Vec<_>) = days.iter().copied().partition(|(code, ..)| *code == ANY_EVENT);
        for (code, day, list) in of_event {
            writer.add(ListKey::event_day_twice(code, day), &self.days.lists[list as usize].twice)?;
        }
        for &(_, day, list) in &of_any {
            writer.add(ListKey::day_of_any(day), &self.days.lists[list as usize].once)?;
        }
        for &(_, day, list) in &of_any {
            writer.add(ListKey::day_twice(day), &self.days.lists[list as usize].twice)?;
        }
        Ok(())
    }
}

/// Users with an event, and those with two or more.
#[derive(Debug, Default)]
struct DayList {
    once: OrdinalList,
    twice: OrdinalList,
}

impl DayList {
    /// Add an event of `user`. Says whether there is more than one now.
    #[inline(always)]
    fn push(&mut self, user: u32) -> bool {
        let again = self.once.ends_with(user);
        if again {
            self.twice.push(user);
        } else {
            self.once.push(user);
        }
        again
    }
}

impl ColumnLists {
    /// Add `user` to the list of `code`; false if that is one value too many.
    #[inline(always)]
    fn push(&mut self, code: usize, user: u32) -> bool {
        if code >= self.values.len() {
            if code >= INDEXED_VALUES_MAX {
                return false;
            }
            self.values.resize(code + 1, OrdinalList::default());
        }
        self.values[code].push(user);
        true
    }

    /// Note whether a user has a NULL. Users without one are listed, so that a column that hardly any row has costs
    /// nothing. `continues`: the user had rows in the block before.
    fn note_nulls(&mut self, user: u32, has_null: bool, continues: bool) {
        if has_null {
            if continues {
                self.never_null.take_back(user);
            }
        } else if !continues || self.never_null.ends_with(user) {
            self.never_null.push(user);
        }
    }
}

/// A list for each (event name, day).
#[derive(Debug)]
struct DayLists {
    lists: Vec<DayList>,
    by_key: HashMap<(u32, i32), u32>,
    cache: Vec<(u32, i32, u32)>,
}

impl DayLists {
    fn new() -> Self {
        Self { lists: Vec::new(), by_key: HashMap::new(), cache: vec![(0, 0, NO_LIST); CACHED_LISTS] }
    }

    #[inline(always)]
    fn list(&mut self, code: u32, day: i32) -> &mut DayList {
        // Days of one event name lie side by side; event names are spread by an odd factor.
        let slot = (day as u32).wrapping_add(code.wrapping_mul(97)) as usize % CACHED_LISTS;
        let (cached_code, cached_day, list) = self.cache[slot];
        if (cached_code, cached_day) == (code, day) && list != NO_LIST {
            return &mut self.lists[list as usize];
        }
        self.find(code, day, slot)
    }

    fn find(&mut self, code: u32, day: i32, slot: usize) -> &mut DayList {
        let next = self.lists.len() as u32;
        let list = *self.by_key.entry((code, day)).or_insert(next);
        if list == next {
            self.lists.push(DayList::default());
        }
        self.cache[slot] = (code, day, list);
        &mut self.lists[list as usize]
    }
}

struct SectionWriter {
    section: Vec<u8>,
    directory: Vec<u8>,
    /// Number of all users, and where their list lies.
    users: Option<(u32, Place)>,
}

impl SectionWriter {
    /// Store a list. A list that is not there reads as empty; one of all users shares the bytes of the list of users.
    fn add(&mut self, key: ListKey, list: &OrdinalList) -> Result<Place> {
        let place = match self.users {
            Some((count, place)) if list.len() == count => place,
            Some((_, place)) if list.len() == 0 => place,
            _ => {
                let offset = self.section.len();
                list.encode(&mut self.section);
                let crc = crc32c::crc32c(&self.section[offset..]);
                Place { offset: checked(offset)?, length: checked(self.section.len() - offset)?, crc }
            }
        };
        if list.len() > 0 || key == ListKey::USERS {
            place.write(key, &mut self.directory);
        }
        Ok(place)
    }
}

fn checked(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        Error::new(ErrorKind::ResourceLimit, "the indexes of one segment would take more than 4 GiB")
            .with_hint("make smaller segments")
    })
}
