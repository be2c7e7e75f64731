//! On which day each user of a segment first did something, kept after it was asked for: a question for first days comes
//! again and again, and there are many days to go through.

use super::reader::Segment;
use crate::error::{Error, Result};
use std::sync::Arc;

/// First days that a segment keeps, in bytes, or those of one name if they are more.
const BYTES_MAX: usize = 4 << 20;

/// The day of a user who has none: after all days.
pub const NO_DAY: i32 = i32::MAX;

/// First days of users that were asked for, by name.
#[derive(Default)]
pub(super) struct FirstDaysCache(Vec<(Option<u32>, Arc<Vec<i32>>)>);

impl FirstDaysCache {
    fn get(&self, code: Option<u32>) -> Option<Arc<Vec<i32>>> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, first)| Arc::clone(first))
    }

    fn keep(&mut self, code: Option<u32>, first: Arc<Vec<i32>>) {
        let bytes = |first: &Arc<Vec<i32>>| 4 * first.len();
        let known: usize = self.0.iter().map(|(_, first)| bytes(first)).sum();
        if known + bytes(&first) > BYTES_MAX {
            self.0.clear();
        }
        self.0.push((code, first));
    }
}

impl Segment {
    /// For each ordinal up to the last one that the segment has or introduces, the first calendar day on which the user has an event
    /// here, of the name `code` or of any; [`NO_DAY`] for none. Kept for the next call. Any event needs
    /// [`Self::has_day_counts`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn first_days(&self, code: Option<u32>) -> Result<Arc<Vec<i32>>> {
        if let Some(known) = self.first_days.lock().get(code) {
            return Ok(known);
        }
        let users = self.users()?.max().map_or(0, |last| last + 1).max(self.introduced().end);
        let mut first = vec![NO_DAY; users as usize];
        for (day, users) in self.users_by_day(code, false, &(i32::MIN..=i32::MAX))? {
            for user in users.iter() {
                let known = first
                    .get_mut(user as usize)
                    .ok_or_else(|| Error::corrupt("a bitmap of a day has a user whom that of all users lacks"))?;
                *known = day.min(*known);
            }
        }
        let first = Arc::new(first);
        self.first_days.lock().keep(code, Arc::clone(&first));
        Ok(first)
    }
}
