//! Which users satisfy a condition over profiles, in SQL's three-valued logic.

use crate::members::Members;
use roaring::RoaringBitmap;

/// What a condition is for the users of an event table.
#[derive(Debug, Clone, Default)]
pub struct ProfileAnswer {
    /// Users with a profile for whom it is true.
    pub yes: Members,
    /// Users with a profile for whom it is false. For those in neither it is NULL.
    pub no: Members,
    /// Users with a profile.
    pub profiled: Members,
    /// What it is for a user without a profile, all of whose columns are NULL, as an outer join says; `None`: NULL, or it
    /// depends on who the user is.
    pub without: Option<bool>,
}

/// The users of one shard.
#[derive(Debug, Clone, Default)]
pub(super) struct Truths {
    pub(super) yes: RoaringBitmap,
    pub(super) no: RoaringBitmap,
}

impl Truths {
    pub(super) fn and(mut self, other: Self) -> Self {
        self.yes &= other.yes;
        self.no |= other.no;
        self
    }

    pub(super) fn or(mut self, other: Self) -> Self {
        self.yes |= other.yes;
        self.no &= other.no;
        self
    }

    pub(super) fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }
}
