//! A list that is the same for everybody, of which most questions look at the beginning alone.

use super::item_knn::best_first;
use std::sync::OnceLock;

/// So many items are brought into their order at first: more than most lists look at before they are full.
const FIRST: usize = 1_000;

/// Items with scores above 0, the best first.
#[derive(Debug)]
pub(super) struct Ranking {
    first: Vec<(u32, f64)>,
    /// Whether there are more.
    is_cut: bool,
    all: OnceLock<Vec<(u32, f64)>>,
}

impl Ranking {
    /// The ranking of items with scores. Equally good ones are in the order of `ranks`.
    pub(super) fn new(scored: impl Iterator<Item = (u32, f64)>, ranks: &[u32]) -> Self {
        let mut first: Vec<(u32, f64)> = scored.filter(|(_, score)| *score > 0.0).collect();
        let is_cut = first.len() > FIRST;
        best_first(&mut first, ranks, FIRST);
        Self { first, is_cut, all: OnceLock::new() }
    }

    /// The items, the best first. `again` gives what [`Self::new`] was given, for who goes on past the first ones.
    pub(super) fn iter<'a, I: Iterator<Item = (u32, f64)>>(
        &'a self,
        ranks: &'a [u32],
        again: impl FnOnce() -> I + 'a,
    ) -> impl Iterator<Item = (u32, f64)> + 'a {
        let others = move || {
            let all = self.all.get_or_init(|| {
                let mut all: Vec<(u32, f64)> = again().filter(|(_, score)| *score > 0.0).collect();
                let count = all.len();
                best_first(&mut all, ranks, count);
                all
            });
            &all[self.first.len()..]
        };
        let others = self.is_cut.then(|| std::iter::once_with(others).flatten());
        self.first.iter().chain(others.into_iter().flatten()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn all_items_come_in_one_order(
            scores in prop::collection::vec(prop_oneof![(0_u32..9).prop_map(f64::from), -1.0..50.0_f64], 0..2_500),
        ) {
            let ranks: Vec<u32> = (0..scores.len() as u32).rev().collect();
            let scored = || (0..).zip(scores.iter().copied());
            let mut want: Vec<(u32, f64)> = scored().filter(|(_, score)| *score > 0.0).collect();
            want.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
            let ranking = Ranking::new(scored(), &ranks);
            for _ in 0..2 {
                prop_assert_eq!(ranking.iter(&ranks, scored).collect::<Vec<_>>(), want.clone());
                prop_assert_eq!(ranking.iter(&ranks, scored).take(7).collect::<Vec<_>>(), &want[..want.len().min(7)]);
            }
        }
    }
}
