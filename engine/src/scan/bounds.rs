//! A set of users between two bitmaps: what indexes say where they do not say all.

use roaring::RoaringBitmap;
use std::sync::Arc;

/// A set of users of one shard that is not known exactly: it has all of `sure`, and nobody outside of `possible`.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Users who are in it.
    pub sure: Arc<RoaringBitmap>,
    /// Users who may be in it, those of `sure` among them. The same bitmap where the set is known.
    pub possible: Arc<RoaringBitmap>,
}

impl Bounds {
    /// A set that is known.
    pub fn exactly(users: Arc<RoaringBitmap>) -> Self {
        Self { sure: Arc::clone(&users), possible: users }
    }

    /// A set of which only `possible` is known.
    pub fn at_most(possible: Arc<RoaringBitmap>) -> Self {
        if possible.is_empty() { Self::exactly(possible) } else { Self { sure: Arc::default(), possible } }
    }

    /// A set between two bitmaps.
    pub fn between(sure: Arc<RoaringBitmap>, possible: Arc<RoaringBitmap>) -> Self {
        if sure.len() == possible.len() { Self::exactly(possible) } else { Self { sure, possible } }
    }

    /// Whether the set is known.
    pub fn is_exact(&self) -> bool {
        Arc::ptr_eq(&self.sure, &self.possible)
    }

    /// Users of both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other, |a, b| &**a & &**b, true)
    }

    /// Users of either set.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.with(other, |a, b| &**a | &**b, true)
    }

    /// Users of this set that are not in the other one.
    #[must_use]
    pub fn and_not(&self, other: &Self) -> Self {
        self.with(other, |a, b| &**a - &**b, false)
    }

    /// `grows`: whether the result grows with the other set.
    fn with(
        &self,
        other: &Self,
        join: impl Fn(&Arc<RoaringBitmap>, &Arc<RoaringBitmap>) -> RoaringBitmap,
        grows: bool,
    ) -> Self {
        if self.is_exact() && other.is_exact() {
            return Self::exactly(Arc::new(join(&self.possible, &other.possible)));
        }
        let (least, most) = if grows { (&other.sure, &other.possible) } else { (&other.possible, &other.sure) };
        Self::between(Arc::new(join(&self.sure, least)), Arc::new(join(&self.possible, most)))
    }

    /// Users of whom it is not known whether they are in the set.
    pub fn open(&self) -> RoaringBitmap {
        if self.is_exact() { RoaringBitmap::new() } else { &*self.possible - &*self.sure }
    }
}
