//! On which days each user of a segment did something: the bitmaps of days, turned so that a user's days stand together.

use super::first_days::unknown_user;
use super::reader::Segment;
use crate::error::Result;
use crate::index::DayClock;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Active days that a segment keeps, in bytes, or those of one name if they are more.
const BYTES_MAX: usize = 16 << 20;

/// Days of one word.
pub const DAYS_PER_WORD: usize = u64::BITS as usize;

/// Which active days: of events of this name, or of any; of two events a day, or more.
pub(super) type ActiveKey = (Option<u32>, bool);

impl Segment {
    /// Calendar days that those of all its events are among.
    pub fn day_span(&self) -> RangeInclusive<i32> {
        let find = || {
            let (meta, mut clock) = (self.meta(), DayClock::new(self.time_zone()));
            // a day more on both sides, for zones that once went back over the date line
            (clock.day(meta.ts_min) - 1, clock.day(meta.ts_max) + 1)
        };
        let (first, last) = *self.day_span.get_or_init(find);
        first..=last
    }

    /// For each ordinal up to the last one that the segment has or introduces, the calendar days on which the user has an
    /// event here, of the name `code` or of any: a bit a day of [`Self::day_span`], the first one as the lowest bit, in as
    /// many words as the span needs. With `twice` the days with two such events, or more. Kept for the next call. Any
    /// event, and `twice`, need [`Self::has_day_counts`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn active_days(&self, code: Option<u32>, twice: bool) -> Result<Arc<Vec<u64>>> {
        if let Some(known) = self.active_days.lock().get(&(code, twice)) {
            return Ok(known);
        }
        let span = self.day_span();
        let words = words_of(&span);
        let mut active = vec![0_u64; self.ordinals_end()? as usize * words];
        for (day, users) in self.users_by_day(code, twice, &span)? {
            let at = day.abs_diff(*span.start()) as usize;
            let bit = 1 << (at % DAYS_PER_WORD);
            for user in users.iter() {
                *active.get_mut(user as usize * words + at / DAYS_PER_WORD).ok_or_else(unknown_user)? |= bit;
            }
        }
        let active = Arc::new(active);
        self.active_days.lock().keep((code, twice), &active, BYTES_MAX);
        Ok(active)
    }
}

impl Segment {
    /// The users with an active day, of the name `code` or any, a bit each. Kept as [`Self::active_days`] is.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn active_users(&self, code: Option<u32>) -> Result<Arc<Vec<u64>>> {
        if let Some(known) = self.active_users.lock().get(&code) {
            return Ok(known);
        }
        let active = self.active_days(code, false)?;
        let words = words_of(&self.day_span());
        let mut users = vec![0_u64; (active.len() / words).div_ceil(DAYS_PER_WORD)];
        for (user, days) in active.chunks_exact(words).enumerate() {
            let is_active = days.iter().any(|&word| word != 0);
            users[user / DAYS_PER_WORD] |= u64::from(is_active) << (user % DAYS_PER_WORD);
        }
        let users = Arc::new(users);
        self.active_users.lock().keep(code, &users, BYTES_MAX);
        Ok(users)
    }
}

/// Words that have a bit for each day of `span`.
pub fn words_of(span: &RangeInclusive<i32>) -> usize {
    (span.end().abs_diff(*span.start()) as usize + 1).div_ceil(DAYS_PER_WORD)
}
