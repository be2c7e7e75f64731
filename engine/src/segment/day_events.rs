//! How many events of each name a segment has on each day, and of how many users. Its bitmaps know the users only, so events are
//! counted when they are asked for the first time, and kept; so are numbers of users, since of many users the bitmaps are large.

use super::reader::Segment;
use crate::error::{Error, Result};
use crate::index::DayClock;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// More numbers than these are not kept.
const NUMBERS_MAX: usize = 1 << 20;

/// For each event name, by code, and in it each day of [`Segment::day_span`], a number.
#[derive(Debug, Default)]
pub struct DayCounts {
    /// Events.
    pub events: Vec<u32>,
    /// Users with such an event; empty where somebody is hidden.
    pub users: Vec<u32>,
}

impl Segment {
    /// Events and users by name and day, of users who are not `hidden`. `None` where these are too many numbers. Kept for the next
    /// call where nobody is hidden.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn day_events(&self, hidden: &RoaringBitmap) -> Result<Option<Arc<DayCounts>>> {
        let known = self.day_events.lock().clone();
        if let Some(known) = known.filter(|_| hidden.is_empty()) {
            return Ok(Some(known));
        }
        let span = self.day_span();
        let days = span.end().abs_diff(*span.start()) as usize + 1;
        if self.event_names().len().saturating_mul(days) > NUMBERS_MAX {
            return Ok(None);
        }
        let mut counts = vec![0_u32; self.event_names().len() * days];
        let mut clock = DayClock::new(self.time_zone());
        let (mut codes, mut times) = (Vec::new(), Vec::new());
        for index in 0..self.blocks().len() {
            let block = self.block(index);
            let users = block.users()?;
            block.events()?.decode(0..block.rows(), &mut codes);
            block.times()?.decode(0..block.rows(), &mut times);
            for (user, rows) in users.ordinals.iter().zip(users.starts.windows(2)) {
                if hidden.contains(*user) {
                    continue;
                }
                for row in rows[0] as usize..rows[1] as usize {
                    let day = clock.day(times[row]).abs_diff(*span.start()) as usize;
                    let place = codes[row] as usize * days + day;
                    *counts.get_mut(place).ok_or_else(|| Error::corrupt("an event is on no day of its segment"))? += 1;
                }
            }
        }
        let mut counts = DayCounts { events: counts, users: Vec::new() };
        if !hidden.is_empty() {
            return Ok(Some(Arc::new(counts)));
        }
        counts.users = self.day_users(days)?;
        let counts = Arc::new(counts);
        *self.day_events.lock() = Some(Arc::clone(&counts));
        Ok(Some(counts))
    }

    /// The number of users of each name and, of `days` days, each day.
    fn day_users(&self, days: usize) -> Result<Vec<u32>> {
        let span = self.day_span();
        let mut counts = vec![0_u32; self.event_names().len() * days];
        for (code, of_name) in (0..).zip(counts.chunks_exact_mut(days)) {
            for (day, users) in self.users_by_day(Some(code), false, &span)? {
                of_name[day.abs_diff(*span.start()) as usize] = users.len() as u32;
            }
        }
        Ok(counts)
    }
}
