//! Classes of items by their number of users, four for each doubling: how many users another item has to share to be alike
//! enough is told once for a class.

use super::item_knn::OfSets;

/// The class of the largest number.
const LAST: u8 = 4 * 31 + 3 - 4;

/// The class of each item.
#[derive(Debug)]
pub(super) struct Classes {
    /// By code.
    pub(super) of_item: Vec<u8>,
    /// Whether a class has an item.
    has_items: [bool; 256],
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

impl Classes {
    /// The classes of items with these numbers of users.
    pub(super) fn new(item_users: &[u32]) -> Self {
        let mut has_items = [false; 256];
        let of_item = item_users.iter().map(|&users| class(users));
        let of_item = of_item.inspect(|&class| has_items[usize::from(class)] = true).collect();
        Self { of_item, has_items }
    }

    /// For each class the number of shared users below which none of its items is as similar as `least`, which is above 0,
    /// to one with `users` users.
    pub(super) fn fewest_shared(&self, users: u32, least: f64, of_sets: &OfSets) -> [u32; 256] {
        // A little less, since sums of logarithms are not exact.
        let least = least * (1.0 - 1e-9);
        let mut fewest = [u32::MAX; 256];
        // More users never make an item with the same number of shared ones more alike.
        let mut low = 1;
        for class in (1..=LAST).filter(|&class| self.has_items[usize::from(class)]) {
            let others = fewest_users(class);
            let most = users.min(others);
            let is_enough = |shared: u32| of_sets.of(f64::from(shared), f64::from(users), f64::from(others)) >= least;
            let mut high = most + 1;
            while low < high {
                let middle = low + (high - low) / 2;
                match is_enough(middle) {
                    true => high = middle,
                    false => low = middle + 1,
                }
            }
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
            let fewest = Classes::new(&all).fewest_shared(a, least, &of_sets)[usize::from(class(b))];
            if of_sets.of(f64::from(both), f64::from(a), f64::from(b)) >= least {
                prop_assert!(both >= fewest, "{both} of {a} and {b} among {n}, but at least {fewest}");
            }
        }
    }
}
