//! Where each bitmap of a segment lies.

use crate::error::{Error, Result};
use crate::segment::wire::u32_at;
use std::cmp::Ordering;

/// Bytes of an entry: list, code, day, offset, length, CRC32C, 4 bytes each.
pub(crate) const ENTRY_BYTES: usize = 24;
const OFFSET_AT: usize = 12;
const LENGTH_AT: usize = 16;
const CRC_AT: usize = 20;

/// Lists behind those of all properties.
const EVENT_DAY_TWICE: u32 = u32::MAX - 2;
const DAY: u32 = u32::MAX - 1;
const DAY_TWICE: u32 = u32::MAX;

/// Which bitmap of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListKey {
    list: u32,
    code: u32,
    day: i32,
}

impl ListKey {
    /// All users.
    pub(crate) const USERS: Self = Self { list: 0, code: 0, day: 0 };

    /// Users with an event of this name.
    pub(crate) fn event(code: u32) -> Self {
        Self { list: 1, code, day: 0 }
    }

    /// Users with an event of this name on this day.
    pub(crate) fn event_day(code: u32, day: i32) -> Self {
        Self { list: 2, code, day }
    }

    /// Users with this value in a property.
    pub(crate) fn value(column: usize, code: u32) -> Self {
        Self { list: 3 + 2 * column as u32, code, day: 0 }
    }

    /// Users without a NULL in a property.
    pub(crate) fn never_null(column: usize) -> Self {
        Self { list: 4 + 2 * column as u32, code: 0, day: 0 }
    }

    /// Users with two events of this name, or more, on this day.
    pub(crate) fn event_day_twice(code: u32, day: i32) -> Self {
        Self { list: EVENT_DAY_TWICE, code, day }
    }

    /// Users with an event of any name on this day.
    pub(crate) fn day_of_any(day: i32) -> Self {
        Self { list: DAY, code: 0, day }
    }

    /// Users with two events, or more, on this day.
    pub(crate) fn day_twice(day: i32) -> Self {
        Self { list: DAY_TWICE, code: 0, day }
    }

    /// The same list on another day.
    pub(crate) fn on(self, day: i32) -> Self {
        Self { day, ..self }
    }

    /// Its list, code and day, as they are stored.
    pub(crate) fn fields(&self) -> (u32, u32, i32) {
        (self.list, self.code, self.day)
    }

    /// Which users its bitmap has.
    pub(crate) fn kind(&self) -> ListKind {
        match self.list {
            0 => ListKind::Users,
            1 => ListKind::Event(self.code),
            2 => ListKind::EventDay(self.code, self.day),
            EVENT_DAY_TWICE => ListKind::EventDayTwice(self.code, self.day),
            DAY => ListKind::Day(self.day),
            DAY_TWICE => ListKind::DayTwice(self.day),
            list if list % 2 == 1 => ListKind::Value((list as usize - 3) / 2, self.code),
            list => ListKind::NeverNull((list as usize - 4) / 2),
        }
    }

    /// The day of a bitmap per event name and day.
    pub(crate) fn day(&self) -> i32 {
        self.day
    }
}

/// Which users a bitmap has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// All.
    Users,
    /// Those with an event of this code.
    Event(u32),
    /// Those with an event of this code on this day.
    EventDay(u32, i32),
    /// Those with two events of this code on this day, or more.
    EventDayTwice(u32, i32),
    /// Those with an event on this day.
    Day(i32),
    /// Those with two events on this day, or more.
    DayTwice(i32),
    /// Those with this code in this property.
    Value(usize, u32),
    /// Those without a NULL in this property.
    NeverNull(usize),
}

/// Where a bitmap lies in the index section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) crc: u32,
}

impl Place {
    pub(crate) fn write(self, key: ListKey, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.list.to_le_bytes());
        out.extend_from_slice(&key.code.to_le_bytes());
        out.extend_from_slice(&key.day.to_le_bytes());
        for number in [self.offset, self.length, self.crc] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// The directory of bitmaps as it lies on disk, in order of keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    bytes: &'a [u8],
}

impl<'a> Directory<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        match bytes.len() % ENTRY_BYTES {
            0 => Ok(Self { bytes }),
            _ => Err(Error::corrupt("a directory of bitmaps that ends inside an entry")),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / ENTRY_BYTES
    }

    pub(crate) fn key(&self, index: usize) -> ListKey {
        let at = index * ENTRY_BYTES;
        let number = |place| u32_at(self.bytes, at + place);
        ListKey { list: number(0), code: number(4), day: number(8) as i32 }
    }

    pub(crate) fn place(&self, index: usize) -> Place {
        let at = index * ENTRY_BYTES;
        let number = |place| u32_at(self.bytes, at + place);
        Place { offset: number(OFFSET_AT), length: number(LENGTH_AT), crc: number(CRC_AT) }
    }

    /// The first entry whose key is not below `key`.
    pub(crate) fn lower_bound(&self, key: ListKey) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(&key) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    pub(crate) fn find(&self, key: ListKey) -> Option<usize> {
        let index = self.lower_bound(key);
        (index < self.len() && self.key(index) == key).then_some(index)
    }

    /// The entries that differ from `first` in nothing but a later day, and their places.
    pub(crate) fn days_from(&self, first: ListKey) -> impl Iterator<Item = (usize, ListKey)> + use<'a> {
        let directory = *self;
        (self.lower_bound(first)..self.len())
            .map(move |index| (index, directory.key(index)))
            .take_while(move |(_, key)| *key == first.on(key.day))
    }
}
