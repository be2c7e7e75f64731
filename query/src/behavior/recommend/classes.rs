//! Classes of items by their number of users, four for each doubling: how many users another item has to share to be alike
//! enough is told once for a class.

use super::item_knn::OfSets;
use parking_lot::Mutex;
use std::sync::Arc;

/// The class of the largest number.
const LAST: u8 = 4 * 31 + 3 - 4;

/// So many columns of a row are looked at together.
pub(super) const BLOCK: usize = 32;

/// The class of each item.
#[derive(Debug)]
pub(super) struct Classes {
    /// By code.
    pub(super) of_item: Vec<u8>,
    /// The classes that have an item, ascending, without that of no users: each with its fewest users and their margin.
    present: Vec<(u8, u32, f64)>,
    /// The same in the order of columns that was asked for last.
    of_columns: Mutex<Option<Arc<ColumnClasses>>>,
}

/// The classes of the items of columns.
#[derive(Debug)]
pub(super) struct ColumnClasses {
    /// What each column is about.
    items: Arc<Vec<u32>>,
    /// By column.
    pub(super) of_column: Vec<u8>,
    /// The lowest in each [`BLOCK`] columns, without those of items that nobody has.
    pub(super) lowest: Vec<u8>,
}

impl ColumnClasses {
    fn new(of_item: &[u8], items: &Arc<Vec<u32>>) -> Self {
        let class = |item: &u32| of_item.get(*item as usize).copied().unwrap_or(0);
        let of_column: Vec<u8> = items.iter().map(class).collect();
        let lowest = |block: &[u8]| block.iter().copied().filter(|&class| class > 0).min().unwrap_or(u8::MAX);
        let lowest = of_column.chunks(BLOCK).map(lowest).collect();
        Self { items: Arc::clone(items), of_column, lowest }
    }
}

/// The class of items with so many users.
fn class(users: u32) -> u8 {
    if users < 8 {
        return users as u8;
    }
    let doublings = users.ilog2();
    (4 * doublings + (users >> (doublings - 2) & 3) - 4) as u8
}

/// The fewest users of an item of a class.
fn fewest_users(class: u8) -> u32 {
    let class = u32::from(class);
    if class < 8 { class } else { (4 + class % 4) << ((class + 4) / 4 - 2) }
}

/// The first number from `low` on, below `high`, that is enough, `high` where none is; all after it are too. Looks around
/// `guess` first, in steps that double.
fn first(mut low: u32, mut high: u32, guess: u32, is_enough: impl Fn(u32) -> bool) -> u32 {
    let (mut next, mut step) = (guess, 1);
    while low < high {
        // Once the step is as wide as what is left, halves.
        if next < low || next >= high || step > (high - low) / 2 {
            next = low + (high - low) / 2;
        }
        match is_enough(next) {
            true => {
                high = next;
                next = high.saturating_sub(step);
            }
            false => {
                low = next + 1;
                next = low.saturating_add(step - 1);
            }
        }
        step = step.saturating_mul(2);
    }
    low
}

impl Classes {
    /// The classes of items with these numbers of users.
    pub(super) fn new(item_users: &[u32], of_sets: &OfSets) -> Self {
        let mut has_items = [false; 256];
        let of_item = item_users.iter().map(|&users| class(users));
        let of_item = of_item.inspect(|&class| has_items[usize::from(class)] = true).collect();
        let present = (1..=LAST).filter(|&class| has_items[usize::from(class)]).map(|class| {
            let fewest = fewest_users(class);
            (class, fewest, of_sets.margin(f64::from(fewest)))
        });
        Self { of_item, present: present.collect(), of_columns: Mutex::default() }
    }

    /// The classes of columns, `items` being what each is about.
    pub(super) fn of_columns(&self, items: &Arc<Vec<u32>>) -> Arc<ColumnClasses> {
        let mut known = self.of_columns.lock();
        if let Some(classes) = known.as_ref().filter(|classes| Arc::ptr_eq(&classes.items, items)) {
            return Arc::clone(classes);
        }
        let classes = Arc::new(ColumnClasses::new(&self.of_item, items));
        *known = Some(Arc::clone(&classes));
        classes
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let columns = self.of_columns.lock();
        let columns = columns.as_ref().map_or(0, |classes| classes.of_column.len() + classes.lowest.len());
        self.of_item.capacity() + self.present.capacity() * size_of::<(u8, u32, f64)>() + columns
    }

    /// For each class the number of shared users below which none of its items is as similar as `least`, which is above 0,
    /// to one with `users` users: not lower for a higher class with items.
    pub(super) fn fewest_shared(&self, users: u32, least: f64, of_sets: &OfSets) -> [u32; 256] {
        // A little less, since sums of logarithms are not exact.
        let least = least * (1.0 - 1e-9);
        let own = (f64::from(users), of_sets.margin(f64::from(users)));
        let mut fewest = [u32::MAX; 256];
        // More users never make an item with the same number of shared ones more alike.
        let (mut low, mut last_rise) = (1, 0);
        for &(class, others, margin) in &self.present {
            let most = users.min(others);
            let is_enough =
                |shared: u32| of_sets.of_margins(f64::from(shared), own, (f64::from(others), margin)) >= least;
            let before = low;
            low = first(low, most + 1, low.saturating_add(last_rise), is_enough);
            last_rise = low - before;
            // Past what the smallest item of the class can share, a larger one may.
            fewest[usize::from(class)] = if low > users { u32::MAX } else { low };
        }
        fewest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behavior::recommend::Similarity;
    use proptest::prelude::*;

    #[test]
    fn classes_are_in_order() {
        let all = (0..5_000).chain([1 << 20, u32::MAX / 2, u32::MAX]);
        let mut last = 0;
        for users in all {
            let class = class(users);
            assert!(class >= last && class <= LAST);
            assert!(fewest_users(class) <= users);
            assert!(class == LAST || fewest_users(class + 1) > users);
            last = class;
        }
    }

    proptest! {
        #[test]
        fn the_first_that_is_enough(low in 0..50_u32, count in 0..3_000_u32, guess in 0..4_000_u32, enough in 0..4_000_u32) {
            let expected = enough.clamp(low, low + count);
            let asked = std::cell::Cell::new(0);
            let found = first(low, low + count, guess, |number| {
                asked.set(asked.get() + 1);
                assert!((low..low + count).contains(&number));
                number >= enough
            });
            prop_assert_eq!(found, expected);
            // Doubling steps there, and halves of the last one.
            prop_assert!(asked.get() <= 2 * 12 + 2, "{} numbers were looked at", asked.get());
        }

        #[test]
        fn who_shares_fewer_is_less_alike(
            n in 1..400_u32,
            a in 1..400_u32,
            b in 1..400_u32,
            both in 1..400_u32,
            least in 0.01..30.0_f64,
            similarity in prop_oneof![
                Just(Similarity::Llr), Just(Similarity::Cosine), Just(Similarity::Jaccard), Just(Similarity::Overlap)
            ],
        ) {
            let (a, b) = (a.min(n), b.min(n));
            // Sets that there can be.
            let both = both.min(a).min(b).max((a + b).saturating_sub(n));
            prop_assume!(both > 0);
            let of_sets = OfSets::new(similarity, n);
            let least = if matches!(similarity, Similarity::Cosine | Similarity::Jaccard) { least / 30.0 } else { least };
            let all: Vec<u32> = (0..=n).collect();
            let fewest = Classes::new(&all, &of_sets).fewest_shared(a, least, &of_sets)[usize::from(class(b))];
            if of_sets.of(f64::from(both), f64::from(a), f64::from(b)) >= least {
                prop_assert!(both >= fewest, "{both} of {a} and {b} among {n}, but at least {fewest}");
            }
        }
    }
}
