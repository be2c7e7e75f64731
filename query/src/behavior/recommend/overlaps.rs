//! With how many users each item shares its users, for the items that were asked for: kept right while events come and go,
//! since counting anew for a popular item means to look at most of what there is.

use parking_lot::RwLock;
use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

/// Other items by code, ascending, and the number of users of both.
pub(super) type OverlapRow = Arc<Vec<(u32, u32)>>;

/// Memory of all rows above which they are forgotten, in bytes.
const BYTES_MAX: usize = 256 << 20;

/// The rows that were asked for.
#[derive(Debug, Default)]
pub(super) struct Overlaps(RwLock<Rows>);

#[derive(Debug, Default)]
struct Rows {
    of_item: HashMap<u32, OverlapRow>,
    entries: usize,
}

impl Clone for Overlaps {
    /// Rows are found again when they are asked for.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Overlaps {
    /// The row of an item, found by `find` at the first call.
    pub(super) fn get(&self, item: u32, find: impl FnOnce() -> Vec<(u32, u32)>) -> OverlapRow {
        if let Some(row) = self.0.read().of_item.get(&item) {
            return Arc::clone(row);
        }
        let row = Arc::new(find());
        let mut rows = self.0.write();
        if (rows.entries + row.len()) * size_of::<(u32, u32)>() > BYTES_MAX {
            *rows = Rows::default();
        }
        rows.entries += row.len();
        if let Some(before) = rows.of_item.insert(item, Arc::clone(&row)) {
            // Another thread found the same meanwhile.
            rows.entries -= before.len();
        }
        row
    }

    /// Whether there is nothing to be kept right.
    pub(super) fn is_empty(&mut self) -> bool {
        self.0.get_mut().of_item.is_empty()
    }

    /// A user of `others` got `item`, or lost it, for the first or the last time. `others` has each once.
    pub(super) fn pair(&mut self, item: u32, others: &[u32], is_new: bool) {
        let rows = self.0.get_mut();
        for &other in others {
            for (of, with) in [(item, other), (other, item)] {
                if let Some(row) = rows.of_item.get_mut(&of) {
                    let before = row.len();
                    count(Arc::make_mut(row), with, is_new);
                    rows.entries = rows.entries + row.len() - before;
                }
            }
        }
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let rows = self.0.read();
        rows.entries * size_of::<(u32, u32)>() + rows.of_item.capacity() * size_of::<(u32, OverlapRow)>()
    }
}

fn count(row: &mut Vec<(u32, u32)>, with: u32, is_new: bool) {
    match (row.binary_search_by_key(&with, |entry| entry.0), is_new) {
        (Ok(at), true) => row[at].1 += 1,
        (Ok(at), false) if row[at].1 > 1 => row[at].1 -= 1,
        (Ok(at), false) => drop(row.remove(at)),
        (Err(at), true) => row.insert(at, (with, 1)),
        (Err(_), false) => debug_assert!(false, "a pair that was never counted"),
    }
}
