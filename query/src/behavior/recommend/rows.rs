//! Rows of numbers by item, each found when first asked for and kept while it is right.

use super::interactions::Interactions;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

/// Items with a number each.
pub type Row = Arc<[(u32, f64)]>;

/// Rows that were found, each with the version of the interactions at which it was.
#[derive(Debug, Default)]
pub(super) struct Rows(RwLock<HashMap<u32, (u64, Row)>>);

impl Rows {
    /// The row of an item, found by `find` at the first call. Threads that ask at once may both find it, and find the same.
    pub(super) fn get(&self, interactions: &Interactions, item: u32, find: impl FnOnce() -> Vec<(u32, f64)>) -> Row {
        if let Some((_, row)) = self.0.read().get(&item) {
            return Arc::clone(row);
        }
        let row: Row = find().into();
        self.0.write().insert(item, (interactions.version(), Arc::clone(&row)));
        row
    }

    /// The rows of items whose users and their items are the same as when they were found.
    pub(super) fn kept(self, interactions: &Interactions) -> Self {
        let mut rows = self.0.into_inner();
        rows.retain(|&item, (version, _)| *version >= interactions.changed_at(item));
        Self(RwLock::new(rows))
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let rows = self.0.read();
        let heads = rows.capacity() * size_of::<(u32, (u64, Row))>();
        heads + rows.values().map(|(_, row)| row.len() * size_of::<(u32, f64)>()).sum::<usize>()
    }
}
