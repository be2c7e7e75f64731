//! A column of profiles that is kept in memory: values by user, and for few values a bitmap each.

use super::latest::LatestColumn;
use crate::scan::test::Test;
use crate::types::ColumnType;
use roaring::RoaringBitmap;
use std::collections::HashMap;

/// A column with more values in a shard has no bitmaps: they would be small, and the column itself is read as fast.
const BITMAPS_MAX: usize = 256;

/// The ordinal of a user that the event table does not know.
pub(super) const NOBODY: u32 = u32::MAX;

/// One column of a shard.
#[derive(Debug)]
pub(super) struct KeptColumn {
    pub(super) latest: LatestColumn,
    /// Users with a value, by their ordinals in the event table, as in all bitmaps here.
    pub(super) present: RoaringBitmap,
    by_value: Option<HashMap<i64, RoaringBitmap>>,
}

impl KeptColumn {
    /// The column with bitmaps of what it holds. `events` has the ordinals of its users in the event table.
    pub(super) fn new(latest: LatestColumn, events: &[u32]) -> Self {
        let mut present = Vec::new();
        let mut by_value: Option<HashMap<i64, Vec<u32>>> = Some(HashMap::new());
        for (user, &event) in (0_u32..).zip(events).filter(|(_, event)| **event != NOBODY) {
            let Some(cell) = latest.cell(user) else { continue };
            present.push(event);
            if let Some(values) = &mut by_value {
                values.entry(cell).or_default().push(event);
                if values.len() > BITMAPS_MAX {
                    by_value = None;
                }
            }
        }
        let by_value = by_value.map(|values| values.into_iter().map(|(cell, users)| (cell, bitmap(users))).collect());
        Self { latest, present: bitmap(present), by_value }
    }

    /// Follow a change of a user's value, from `before` to what it is now.
    pub(super) fn moved(&mut self, user: u32, event: u32, before: Option<i64>) {
        let now = self.latest.cell(user);
        if now == before {
            return;
        }
        self.forget(event, before);
        let Some(cell) = now else { return };
        self.present.insert(event);
        if let Some(values) = &mut self.by_value {
            values.entry(cell).or_default().insert(event);
            if values.len() > BITMAPS_MAX {
                self.by_value = None;
            }
        }
    }

    /// Take a user with value `before` out.
    pub(super) fn forget(&mut self, event: u32, before: Option<i64>) {
        self.present.remove(event);
        if let (Some(cell), Some(values)) = (before, &mut self.by_value)
            && let Some(users) = values.get_mut(&cell)
        {
            users.remove(event);
            if users.is_empty() {
                values.remove(&cell);
            }
        }
    }

    /// Put a user in whose ordinal has become known.
    pub(super) fn found(&mut self, user: u32, event: u32) {
        self.moved(user, event, None);
    }

    /// The users whose value passes.
    pub(super) fn passing(&self, test: &Test, events: &[u32]) -> RoaringBitmap {
        let passes = |cell: i64| self.passes(test, cell);
        if let Some(values) = &self.by_value {
            let mut users = RoaringBitmap::new();
            values.iter().filter(|(cell, _)| passes(**cell)).for_each(|(_, of_value)| users |= of_value);
            return users;
        }
        if let Some(cells) = self.cells_of(test) {
            return self.select(events, |cell| cells.contains(&cell));
        }
        self.select(events, passes)
    }

    fn select(&self, events: &[u32], passes: impl Fn(i64) -> bool) -> RoaringBitmap {
        let own = (0_u32..).zip(events).filter(|(_, event)| **event != NOBODY);
        let passing = own.filter(|(user, _)| self.latest.cell(*user).is_some_and(&passes));
        bitmap(passing.map(|(_, &event)| event).collect())
    }

    /// The codes of the texts that an equality asks for: no text is compared by row then.
    fn cells_of(&self, test: &Test) -> Option<Vec<i64>> {
        let texts = self.latest.texts()?;
        let literals = test.equals()?;
        let code = |literal: &crate::types::Value| match literal {
            crate::types::Value::Text(text) => texts.code(text).map(i64::from),
            _ => None,
        };
        Some(literals.iter().filter_map(code).collect())
    }

    fn passes(&self, test: &Test, cell: i64) -> bool {
        match self.latest.column_type {
            ColumnType::Boolean => test.boolean(cell != 0),
            ColumnType::BigInt | ColumnType::Timestamp => test.integer(cell),
            ColumnType::Double => test.double(f64::from_bits(cell as u64)),
            ColumnType::Text => self.latest.texts().is_some_and(|texts| test.text(texts.get(cell as u32))),
        }
    }

    /// Memory in use, about, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let values = self.by_value.iter().flat_map(HashMap::values);
        let bitmaps: usize = values.chain([&self.present]).map(bitmap_bytes).sum();
        self.latest.memory_bytes() + bitmaps
    }
}

/// The bitmap of ordinals in any order.
pub(super) fn bitmap(mut users: Vec<u32>) -> RoaringBitmap {
    if !users.is_sorted() {
        users.sort_unstable();
    }
    users.into_iter().collect()
}

/// Memory of a bitmap, about, in bytes.
pub(super) fn bitmap_bytes(bitmap: &RoaringBitmap) -> usize {
    bitmap.serialized_size()
}
