//! With how many users each item shares its users, for the items that were asked for: kept right while events come and go,
//! since counting anew for a popular item means to look at most of what there is.
//!
//! Most items share few users with most others, so a row holds the largest numbers only, and says what the others are at
//! most. Whoever needs more asks for a longer row.

use parking_lot::RwLock;
use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

/// Memory of all rows above which half of them are forgotten, in bytes.
const BYTES_MAX: usize = 512 << 20;

/// The largest overlaps of an item.
#[derive(Debug, Clone)]
pub(super) struct OverlapRow {
    /// Other items by code, ascending, and the number of users of both.
    pub(super) entries: Vec<(u32, u32)>,
    /// Every other item that shared so many users, when the row was found, is among the entries.
    pub(super) fewest: u32,
    /// By item that is not: how many users came to be shared since. Few.
    pub(super) grown: HashMap<u32, u32>,
}

impl OverlapRow {
    /// The row of these counts by item, with all of `fewest` and more.
    pub(super) fn new(counts: &[u32], fewest: u32) -> Self {
        let fewest = fewest.max(1);
        let entries =
            (0..).zip(counts).filter(|(_, users)| **users >= fewest).map(|(item, &users)| (item, users)).collect();
        Self { entries, fewest, grown: HashMap::new() }
    }

    /// The most users that an item can share that is no entry.
    pub(super) fn most_of_others(&self) -> u32 {
        self.fewest - 1
    }

    /// Sets the number of an item that was counted.
    pub(super) fn set(&mut self, item: u32, users: u32) {
        self.grown.remove(&item);
        match self.entries.binary_search_by_key(&item, |entry| entry.0) {
            Ok(at) => self.entries[at].1 = users,
            Err(at) => self.entries.insert(at, (item, users)),
        }
    }

    fn count(&mut self, with: u32, is_new: bool) {
        match (self.entries.binary_search_by_key(&with, |entry| entry.0), is_new) {
            (Ok(at), true) => self.entries[at].1 += 1,
            // It stays with 0: what is an entry is exact.
            (Ok(at), false) => self.entries[at].1 -= 1,
            (Err(at), true) if self.fewest == 1 => self.entries.insert(at, (with, 1)),
            (Err(_), true) => *self.grown.entry(with).or_default() += 1,
            // What it was at most, it still is.
            (Err(_), false) => {}
        }
    }

    fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(u32, u32)>() + self.grown.capacity() * 2 * size_of::<(u32, u32)>()
    }
}

/// The rows that were asked for.
#[derive(Debug, Default)]
pub(super) struct Overlaps(RwLock<Rows>);

#[derive(Debug, Default)]
struct Rows {
    of_item: HashMap<u32, Arc<OverlapRow>>,
    bytes: usize,
}

impl Clone for Overlaps {
    /// Rows are found again when they are asked for.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Overlaps {
    /// The row of an item, if it was found before.
    pub(super) fn known(&self, item: u32) -> Option<Arc<OverlapRow>> {
        self.0.read().of_item.get(&item).map(Arc::clone)
    }

    /// Keeps the row of an item, in place of the one before.
    pub(super) fn keep(&self, item: u32, row: OverlapRow) -> Arc<OverlapRow> {
        let row = Arc::new(row);
        let mut rows = self.0.write();
        if rows.bytes > BYTES_MAX {
            // Which half does not matter: what is asked for comes back.
            rows.of_item.retain(|other, _| (other ^ item) & 1 == 0);
            rows.bytes = rows.of_item.values().map(|row| row.heap_bytes()).sum();
        }
        rows.bytes += row.heap_bytes();
        if let Some(before) = rows.of_item.insert(item, Arc::clone(&row)) {
            rows.bytes -= before.heap_bytes().min(rows.bytes);
        }
        row
    }

    /// Whether there is nothing to be kept right.
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().of_item.is_empty()
    }

    /// A user of `others` got `item`, or lost it, for the first or the last time. `others` has each once.
    pub(super) fn pair(&mut self, item: u32, others: &[u32], is_new: bool) {
        let rows = self.0.get_mut();
        let mut own = rows.of_item.remove(&item);
        for &other in others {
            if let Some(row) = &mut own {
                Arc::make_mut(row).count(other, is_new);
            }
            if let Some(row) = rows.of_item.get_mut(&other) {
                Arc::make_mut(row).count(item, is_new);
            }
        }
        if let Some(row) = own {
            rows.of_item.insert(item, row);
        }
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let rows = self.0.read();
        rows.bytes + rows.of_item.capacity() * (size_of::<(u32, Arc<OverlapRow>)>() + size_of::<OverlapRow>())
    }
}
