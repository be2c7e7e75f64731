//! Users of one table, as bitmaps: what a tag, a segment or a condition on profiles leaves.

use roaring::RoaringBitmap;
use std::fmt;
use std::sync::Arc;

/// Users of one table by ordinal, a bitmap a shard. A shard that is not there has none. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Members {
    /// Ordinals, by shard.
    pub shards: Vec<Arc<RoaringBitmap>>,
}

impl Members {
    /// Nobody, in a table of so many shards.
    pub fn none(shards: usize) -> Self {
        Self { shards: vec![Arc::default(); shards] }
    }

    /// Whether the user with this ordinal is one of them.
    pub fn contains(&self, shard: usize, ordinal: u32) -> bool {
        self.shards.get(shard).is_some_and(|of_shard| of_shard.contains(ordinal))
    }

    /// How many they are.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|of_shard| of_shard.len()).sum()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|of_shard| of_shard.is_empty())
    }

    /// Those of a shard.
    pub fn of_shard(&self, shard: usize) -> Arc<RoaringBitmap> {
        self.shards.get(shard).cloned().unwrap_or_default()
    }

    /// Those who are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.combined(
            other,
            |mine, others| {
                if Arc::ptr_eq(mine, others) { Arc::clone(mine) } else { Arc::new(&**mine & &**others) }
            },
        )
    }

    /// Those who are in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.combined(other, |mine, others| match (mine.is_empty(), others.is_empty()) {
            (true, _) => Arc::clone(others),
            (_, true) => Arc::clone(mine),
            _ => Arc::new(&**mine | &**others),
        })
    }

    /// Those who are in this one, and not in `other`.
    #[must_use]
    pub fn and_not(&self, other: &Self) -> Self {
        self.combined(
            other,
            |mine, others| {
                if mine.is_disjoint(others) { Arc::clone(mine) } else { Arc::new(&**mine - &**others) }
            },
        )
    }

    /// How many are in both, without building them.
    pub fn and_len(&self, other: &Self) -> u64 {
        self.shards.iter().zip(&other.shards).map(|(mine, others)| mine.intersection_len(others)).sum()
    }

    fn combined(
        &self,
        other: &Self,
        combine: impl Fn(&Arc<RoaringBitmap>, &Arc<RoaringBitmap>) -> Arc<RoaringBitmap>,
    ) -> Self {
        let shards = self.shards.len().max(other.shards.len());
        let combine = |shard| combine(&self.of_shard(shard), &other.of_shard(shard));
        Self { shards: (0..shards).map(combine).collect() }
    }
}

impl From<Vec<RoaringBitmap>> for Members {
    fn from(shards: Vec<RoaringBitmap>) -> Self {
        Self { shards: shards.into_iter().map(Arc::new).collect() }
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        let shards = self.shards.len().max(other.shards.len());
        (0..shards).all(|shard| self.of_shard(shard) == other.of_shard(shard))
    }
}

/// Their number alone: a plan that shows them must stay readable.
impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Pairs of shard and ordinal.
    type Plain = BTreeSet<(usize, u32)>;

    fn members(plain: &Plain, shards: usize) -> Members {
        let of_shard = |shard| plain.iter().filter(move |(of, _)| *of == shard).map(|(_, ordinal)| *ordinal).collect();
        (0..shards).map(of_shard).collect::<Vec<RoaringBitmap>>().into()
    }

    fn plain() -> impl Strategy<Value = Plain> {
        proptest::collection::btree_set((0..3_usize, 0..20_u32), 0..25)
    }

    proptest! {
        #[test]
        fn the_algebra_is_that_of_sets(a in plain(), b in plain()) {
            let (left, right) = (members(&a, 3), members(&b, 3));
            prop_assert_eq!(left.and(&right), members(&(&a & &b), 3));
            prop_assert_eq!(left.or(&right), members(&(&a | &b), 3));
            prop_assert_eq!(left.and_not(&right), members(&(&a - &b), 3));
            prop_assert_eq!(left.and_len(&right), (&a & &b).len() as u64);
            prop_assert_eq!((left.len(), left.is_empty()), (a.len() as u64, a.is_empty()));
            for shard in 0..4 {
                for ordinal in 0..21 {
                    prop_assert_eq!(left.contains(shard, ordinal), a.contains(&(shard, ordinal)));
                }
            }
        }
    }

    #[test]
    fn a_shard_that_is_not_there_has_nobody() {
        let some = members(&Plain::from([(0, 1), (2, 5)]), 3);
        let none = Members::default();
        assert_eq!(
            (some.and(&none), some.or(&none), some.and_not(&none)),
            (Members::none(3), some.clone(), some.clone())
        );
        assert_eq!((none.or(&some), none.and_len(&some)), (some.clone(), 0));
        assert_eq!(format!("{some:?}"), "2 users");
    }
}
