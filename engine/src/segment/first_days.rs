//! On which day each user of a segment first did something.

use super::reader::Segment;
use crate::error::{Error, Result};
use std::sync::Arc;

/// First days that a segment keeps, in bytes, or those of one name if they are more.
const BYTES_MAX: usize = 4 << 20;

/// The day of a user who has none: after all days.
pub const NO_DAY: i32 = i32::MAX;

impl Segment {
    /// For each ordinal up to the last one that the segment has or introduces, the first calendar day on which the user has an event
    /// here, of the name `code` or of any; [`NO_DAY`] for none. Kept for the next call. Any event needs
    /// [`Self::has_day_counts`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn first_days(&self, code: Option<u32>) -> Result<Arc<Vec<i32>>> {
        if let Some(known) = self.first_days.lock().get(&code) {
            return Ok(known);
        }
        let mut first = vec![NO_DAY; self.ordinals_end()? as usize];
        for (day, users) in self.users_by_day(code, false, &(i32::MIN..=i32::MAX))? {
            for user in users.iter() {
                let known = first.get_mut(user as usize).ok_or_else(unknown_user)?;
                *known = day.min(*known);
            }
        }
        let first = Arc::new(first);
        self.first_days.lock().keep(code, &first, BYTES_MAX);
        Ok(first)
    }

    /// All ordinals that it has or introduces are below this one.
    pub(crate) fn ordinals_end(&self) -> Result<u32> {
        Ok(self.users()?.max().map_or(0, |last| last + 1).max(self.introduced().end))
    }
}

pub(super) fn unknown_user() -> Error {
    Error::corrupt("a bitmap of a day has a user whom that of all users lacks")
}
