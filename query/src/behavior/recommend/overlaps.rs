//! With how many users each item shares its users: found when it is asked for, since counting for a popular item means to
//! look at most of what there is, and kept right while events come and go, for one addition a pair of items.
//!
//! A row has a number for every other item, in an order of columns that all rows share: items of many users first, as they were
//! when the first row was found, so that columns side by side need about as many shared users to be of interest. Where memory
//! does not suffice for the rows of all items, those of the items with most users are kept; to count anew is cheap for the
//! others.

use super::classes::{BLOCK, Classes};
use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Memory of all rows unless another limit is set, in bytes.
const BYTES_MAX: usize = 1 << 30;

/// By item the similarity of the last of so many neighbours when they were asked for last, as bits; 0 where that is not known.
pub(super) type Least = Arc<[AtomicU64]>;

/// Which item each column is about.
#[derive(Debug, Default)]
struct Columns {
    /// By column.
    items: Arc<Vec<u32>>,
    /// By item.
    places: Vec<u32>,
}

impl Columns {
    /// Columns for the items with these numbers of users, the largest first.
    fn by_users(users_of: &[u32]) -> Self {
        let mut items: Vec<u32> = (0..users_of.len() as u32).collect();
        items.sort_by_key(|&item| std::cmp::Reverse(users_of[item as usize]));
        let mut places = vec![0; items.len()];
        (0..).zip(&items).for_each(|(place, &item)| places[item as usize] = place);
        Self { items: Arc::new(items), places }
    }

    /// Columns at the end for items that are new, with codes below `items`.
    fn make_room(&mut self, items: usize) {
        if self.places.len() < items {
            Arc::make_mut(&mut self.items).extend(self.places.len() as u32..items as u32);
            self.places.extend(self.places.len() as u32..items as u32);
        }
    }

    fn heap_bytes(&self) -> usize {
        (self.items.capacity() + self.places.capacity()) * size_of::<u32>()
    }
}

/// The rows that were asked for.
#[derive(Debug)]
pub(super) struct Overlaps {
    /// Those of the first row that was kept; none before.
    columns: Columns,
    /// By code of item: as much of each number as fits into a cell, by column.
    rows: Vec<Option<Vec<u16>>>,
    /// The most that a cell holds; what a number has above it is in `more`.
    full: u16,
    more: HashMap<(u32, u32), u32>,
    /// Memory of the cells, in bytes.
    bytes: usize,
    bytes_max: usize,
    /// Rows of items with fewer users are not kept: there was no room for them.
    fewest_users: u32,
}

impl Default for Overlaps {
    fn default() -> Self {
        Self::new(u16::MAX, BYTES_MAX)
    }
}

impl Clone for Overlaps {
    /// Rows are found again when they are asked for.
    fn clone(&self) -> Self {
        Self::new(self.full, self.bytes_max)
    }
}

fn bytes_of(cells: &Vec<u16>) -> usize {
    cells.capacity() * size_of::<u16>()
}

impl Overlaps {
    fn new(full: u16, bytes_max: usize) -> Self {
        Self {
            columns: Columns::default(),
            rows: Vec::new(),
            full,
            more: HashMap::new(),
            bytes: 0,
            bytes_max,
            fewest_users: 0,
        }
    }

    /// Keeps all rows within a limit, in bytes.
    pub(super) fn keep_within(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// The row of an item, if it is kept.
    pub(super) fn row(&self, item: u32) -> Option<OverlapRow<'_>> {
        let cells = self.rows.get(item as usize)?.as_deref()?;
        Some(OverlapRow::Kept { item, cells, overlaps: self })
    }

    /// Whether the row of an item with so many users would be kept.
    pub(super) fn has_room_for(&self, users: u32) -> bool {
        users >= self.fewest_users
    }

    /// Keeps the row of an item: the number of shared users by code of item. `users_of` has the users of each item.
    pub(super) fn keep(&mut self, item: u32, counts: &[u32], users_of: &[u32]) {
        if self.rows.len() < counts.len() {
            self.rows.resize_with(counts.len(), || None);
        }
        if self.rows[item as usize].is_some() {
            return;
        }
        if self.columns.places.is_empty() {
            self.columns = Columns::by_users(&users_of[..counts.len()]);
        }
        self.columns.make_room(counts.len());
        // Room for some new items.
        let mut cells = Vec::with_capacity(counts.len() + counts.len() / 16);
        let full = u32::from(self.full);
        for &other in self.columns.items.iter() {
            let count = counts.get(other as usize).copied().unwrap_or(0);
            cells.push(count.min(full) as u16);
            if count > full {
                self.more.insert((item, other), count - full);
            }
        }
        self.bytes += bytes_of(&cells);
        self.rows[item as usize] = Some(cells);
        if self.heap_bytes() > self.bytes_max {
            self.make_room(users_of);
        }
    }

    /// Forgets an eighth of the rows, those of the fewest users.
    fn make_room(&mut self, users_of: &[u32]) {
        let kept = (0..).zip(&self.rows).filter(|(_, row)| row.is_some()).map(|(item, _)| item);
        let mut kept: Vec<u32> = kept.collect();
        kept.sort_by_key(|&item| users_of[item as usize]);
        let goes = kept.len().div_ceil(8);
        for &item in &kept[..goes] {
            self.fewest_users = self.fewest_users.max(users_of[item as usize] + 1);
            self.bytes -= self.rows[item as usize].take().as_ref().map_or(0, bytes_of);
        }
        let rows = &self.rows;
        self.more.retain(|(item, _), _| rows[*item as usize].is_some());
    }

    /// Whether no row is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// A user of `others` got `item`, or lost it, for the first or the last time. `others` has each once.
    pub(super) fn pair(&mut self, item: u32, others: &[u32], is_new: bool) {
        self.read_ahead(item, others);
        for &other in others {
            self.count(item, other, is_new);
            self.count(other, item, is_new);
        }
    }

    /// Reads the cells that are about to change. Nearly every one has to come from memory, and here, with nothing between two
    /// of them, many come at a time.
    fn read_ahead(&self, item: u32, others: &[u32]) {
        let place = |item: u32| self.columns.places.get(item as usize).map_or(usize::MAX, |&place| place as usize);
        let cells = |row: u32| self.rows.get(row as usize).and_then(Option::as_deref).unwrap_or(&[]);
        let cell = |cells: &[u16], place: usize| cells.get(place).copied().unwrap_or(0);
        let (own_place, own_cells) = (place(item), cells(item));
        let both = |&other: &u32| cell(cells(other), own_place) ^ cell(own_cells, place(other));
        std::hint::black_box(others.iter().fold(0, |read, other| read ^ both(other)));
    }

    #[inline]
    fn count(&mut self, row: u32, other: u32, is_new: bool) {
        let Some(Some(cells)) = self.rows.get_mut(row as usize) else { return };
        self.columns.make_room(other as usize + 1);
        let place = self.columns.places[other as usize] as usize;
        if cells.len() <= place {
            let before = bytes_of(cells);
            cells.resize(place + 1, 0);
            self.bytes += bytes_of(cells) - before;
        }
        let cell = &mut cells[place];
        if *cell < self.full {
            *cell = if is_new { *cell + 1 } else { *cell - 1 };
            return;
        }
        let more = self.more.entry((row, other)).or_default();
        match is_new {
            true => *more += 1,
            false if *more > 0 => *more -= 1,
            false => *cell -= 1,
        }
        if *more == 0 {
            self.more.remove(&(row, other));
        }
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let heads = self.rows.capacity() * size_of::<Option<Vec<u16>>>();
        self.bytes + heads + self.columns.heap_bytes() + self.more.capacity() * size_of::<((u32, u32), u32, u32)>()
    }
}

/// The numbers of one item.
#[derive(Debug, Clone, Copy)]
pub(super) enum OverlapRow<'a> {
    /// Of a row that is kept.
    Kept {
        /// The item.
        item: u32,
        /// As much of each number as fits.
        cells: &'a [u16],
        /// Where the rest is.
        overlaps: &'a Overlaps,
    },
    /// Counted for one question.
    Counted(&'a [u32]),
}

impl OverlapRow<'_> {
    /// Calls `found` for each other item that shares at least as many users as `fewest` says for its class, at least one, with
    /// how many. `fewest` is not lower for a higher class that has items.
    #[inline]
    pub(super) fn each(&self, classes: &Classes, fewest: &[u32; 256], mut found: impl FnMut(u32, u32)) {
        match self {
            Self::Counted(counts) => {
                for (other, (&count, &class)) in (0..).zip(counts.iter().zip(&classes.of_item)) {
                    if count >= fewest[usize::from(class)].max(1) {
                        found(other, count);
                    }
                }
            }
            Self::Kept { item, cells, overlaps } => {
                let full = overlaps.full;
                let fewest_cells = fewest.map(|fewest| fewest.clamp(1, u32::from(full)) as u16);
                let items = &overlaps.columns.items;
                let classes = classes.of_columns(items);
                let columns = items.chunks(BLOCK).zip(classes.of_column.chunks(BLOCK)).zip(&classes.lowest);
                for (cells, ((items, of_column), &lowest)) in cells.chunks(BLOCK).zip(columns) {
                    // Most blocks have no cell that is large enough even for the smallest of their items.
                    if cells.iter().copied().fold(0, u16::max) < fewest_cells[usize::from(lowest)] {
                        continue;
                    }
                    for (&cell, (&other, &class)) in cells.iter().zip(items.iter().zip(of_column)) {
                        if cell >= fewest_cells[usize::from(class)] {
                            let more = if cell == full { overlaps.more.get(&(*item, other)).copied() } else { None };
                            let count = u32::from(cell) + more.unwrap_or(0);
                            if count >= fewest[usize::from(class)] {
                                found(other, count);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behavior::recommend::Similarity;
    use crate::behavior::recommend::item_knn::OfSets;
    use proptest::prelude::*;

    const ITEMS: u32 = 5;

    fn found(row: OverlapRow<'_>, classes: &Classes, fewest: &[u32; 256]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        row.each(classes, fewest, |other, count| found.push((other, count)));
        found.sort_unstable();
        found
    }

    proptest! {
        /// Small cells, so that most numbers are in two parts; rows that are kept before all items are there.
        #[test]
        fn what_comes_and_goes_is_counted(
            full in 1..4_u16,
            acts in proptest::collection::vec((0..ITEMS, 0..ITEMS, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut overlaps = Overlaps::new(full, BYTES_MAX);
            let mut counts = [[0_u32; ITEMS as usize]; ITEMS as usize];
            let classes = Classes::new(&[1; ITEMS as usize], &OfSets::new(Similarity::Overlap, ITEMS));
            for (a, b, is_new, is_asked) in acts {
                if is_asked {
                    let known = (a as usize + 1).max(ITEMS as usize - 1);
                    if counts[a as usize][known..].iter().all(|&count| count == 0) {
                        overlaps.keep(a, &counts[a as usize][..known], &[1, 5, 2, 4, 3]);
                    }
                }
                if a != b && (is_new || counts[a as usize][b as usize] > 0) {
                    let change = |count: &mut u32| *count = if is_new { *count + 1 } else { *count - 1 };
                    change(&mut counts[a as usize][b as usize]);
                    change(&mut counts[b as usize][a as usize]);
                    overlaps.pair(a, &[b], is_new);
                }
                for item in 0..ITEMS {
                    let Some(row) = overlaps.row(item) else { continue };
                    for fewest in [1, 3] {
                        let expected: Vec<(u32, u32)> =
                            (0..).zip(counts[item as usize]).filter(|(_, count)| *count >= fewest).collect();
                        let counted = OverlapRow::Counted(&counts[item as usize]);
                        prop_assert_eq!(found(counted, &classes, &[fewest; 256]), expected.clone());
                        prop_assert_eq!(found(row, &classes, &[fewest; 256]), expected);
                    }
                }
            }
        }

        /// Several blocks of columns, in the order of other numbers of users than there are when it is asked.
        #[test]
        fn what_is_passed_over_shares_too_few(
            items in proptest::collection::vec((0..60_u32, 0..60_u32, 0..60_u32), 2..200),
            known in 1..200_usize,
            least in prop_oneof![0.001..1.0_f64, 1.0..60.0_f64],
            similarity in prop_oneof![Just(Similarity::Llr), Just(Similarity::Jaccard), Just(Similarity::Overlap)],
        ) {
            let of_sets = OfSets::new(similarity, 150);
            let users: Vec<u32> = items.iter().map(|item| item.0).collect();
            let before: Vec<u32> = items.iter().map(|item| item.1).collect();
            // The row of the first item.
            let mut counts: Vec<u32> = items.iter().map(|item| item.2.min(item.0).min(users[0])).collect();
            counts[0] = 0;
            let known = known.min(counts.len());
            counts[known..].fill(0);
            let mut overlaps = Overlaps::new(u16::MAX, BYTES_MAX);
            overlaps.keep(0, &counts[..known], &before);
            let classes = Classes::new(&users, &of_sets);
            for fewest in [[1; 256], classes.fewest_shared(users[0], least, &of_sets)] {
                let kept = overlaps.row(0).map(|row| found(row, &classes, &fewest));
                prop_assert_eq!(kept, Some(found(OverlapRow::Counted(&counts), &classes, &fewest)));
            }
        }
    }

    #[test]
    fn rows_of_the_fewest_users_go_when_there_is_no_room() {
        let mut overlaps = Overlaps::new(1, 1_000);
        let users: Vec<u32> = (0..200).collect();
        let mut counts = vec![0; 200];
        counts[7] = 5;
        for item in [150, 20, 90] {
            overlaps.keep(item, &counts, &users);
        }
        // Heads and three rows of 400 bytes and more do not fit.
        assert!(overlaps.row(20).is_none() && overlaps.heap_bytes() > 0);
        assert!(!overlaps.has_room_for(20) && overlaps.has_room_for(200));
        let kept = users.iter().filter(|item| overlaps.row(**item).is_some()).count();
        assert_eq!(overlaps.more.len(), kept);
    }
}
