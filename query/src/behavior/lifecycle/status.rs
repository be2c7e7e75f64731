//! What a user is in a period.

/// What a user is in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Active for the first time ever.
    New,
    /// Active, and in the period before, too.
    Returning,
    /// Active, not in the period before, but earlier.
    Resurrected,
    /// Not active, but in the period before.
    Dormant,
}

impl Status {
    /// All of them, in the order of rows.
    pub const ALL: [Self; 4] = [Self::New, Self::Returning, Self::Resurrected, Self::Dormant];

    /// The word in an answer.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Returning => "returning",
            Self::Resurrected => "resurrected",
            Self::Dormant => "dormant",
        }
    }
}

/// Calls `found` for each period in which a user with these `active` periods, ascending, is anything. After the last one the
/// user is dormant, too: whether that period has begun is for the caller to know.
pub fn statuses(active: &[i64], mut found: impl FnMut(i64, Status)) {
    for (place, &period) in active.iter().enumerate() {
        let status = match place.checked_sub(1).map(|before| active[before]) {
            None => Status::New,
            Some(before) if before + 1 == period => Status::Returning,
            Some(_) => Status::Resurrected,
        };
        found(period, status);
        if active.get(place + 1) != Some(&(period + 1)) {
            found(period + 1, Status::Dormant);
        }
    }
}
