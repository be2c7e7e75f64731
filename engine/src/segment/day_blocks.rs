//! Who did something within a stretch of days: the union of the bitmaps of its days. A question for the last months unites a
//! hundred of them; most are in aligned blocks of days whose unions are kept.

use super::reader::Segment;
use crate::error::Result;
use roaring::{MultiOps, RoaringBitmap};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Days of a block, the largest first. Each is a number of the next ones.
const BLOCK_DAYS: [i32; 2] = [64, 8];
/// A segment whose events lie further apart than this has few events in a block, and many blocks without any.
const SPAN_DAYS_MAX: u32 = 1 << 14;
/// Unions that a segment keeps, in bytes of memory, about.
const BYTES_MAX: usize = 4 << 20;

/// A block of days of one name, or of any: the name, the first day, and how many.
type BlockKey = (Option<u32>, i32, i32);

/// Unions that were asked for, in limited memory.
#[derive(Default)]
pub(super) struct DayBlocks {
    unions: HashMap<BlockKey, Arc<RoaringBitmap>>,
    bytes: usize,
}

impl DayBlocks {
    /// Keep a union. Where all together would have more than `bytes_max`, the others go.
    fn keep(&mut self, key: BlockKey, users: &Arc<RoaringBitmap>, bytes_max: usize) {
        // Roaring's own forms are at most about as large in memory as on disk.
        let bytes = users.serialized_size() + 64;
        if self.bytes + bytes > bytes_max {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.unions.insert(key, Arc::clone(users));
    }
}

impl Segment {
    /// Users with an event of the name `code`, or of any, on a calendar day in `days`: exact. Any event needs
    /// [`Self::has_day_counts`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn users_in_days(&self, code: Option<u32>, days: &RangeInclusive<i32>) -> Result<Arc<RoaringBitmap>> {
        let span = self.day_span();
        if span.end().abs_diff(*span.start()) > SPAN_DAYS_MAX {
            return Ok(union(self.days(code, days.clone())?));
        }
        let last = *days.end().min(span.end());
        // A block may begin before all events, as it may end after them.
        let mut day = match days.start() <= span.start() {
            true => span.start() - span.start().rem_euclid(BLOCK_DAYS[0]),
            false => *days.start(),
        };
        let mut parts = Vec::new();
        while day <= last {
            let is_block = |size: &i32| day.rem_euclid(*size) == 0 && day.saturating_add(size - 1) <= *days.end();
            day = match BLOCK_DAYS.into_iter().position(|size| is_block(&size)) {
                Some(level) => {
                    parts.push(self.users_in_block(code, day, level)?);
                    day + BLOCK_DAYS[level]
                }
                None => {
                    let smallest = BLOCK_DAYS[BLOCK_DAYS.len() - 1];
                    let next = day - day.rem_euclid(smallest) + smallest;
                    parts.extend(self.days(code, day..=last.min(next - 1))?);
                    next
                }
            };
        }
        Ok(union(parts))
    }

    /// The users of the block that begins on `day`, of the size at `level`.
    fn users_in_block(&self, code: Option<u32>, day: i32, level: usize) -> Result<Arc<RoaringBitmap>> {
        let size = BLOCK_DAYS[level];
        let key = (code, day, size);
        if let Some(known) = self.day_blocks.lock().unions.get(&key) {
            return Ok(Arc::clone(known));
        }
        let parts = match BLOCK_DAYS.get(level + 1) {
            Some(&part) => {
                let starts = (day..day + size).step_by(part as usize);
                starts.map(|start| self.users_in_block(code, start, level + 1)).collect::<Result<_>>()?
            }
            None => self.days(code, day..=day + size - 1)?,
        };
        let users = union(parts);
        self.day_blocks.lock().keep(key, &users, BYTES_MAX);
        Ok(users)
    }

    fn days(&self, code: Option<u32>, days: RangeInclusive<i32>) -> Result<Vec<Arc<RoaringBitmap>>> {
        Ok(self.users_by_day(code, false, &days)?.into_iter().map(|(_, users)| users).collect())
    }
}

/// The union of bitmaps; the only one that has users, where that is so.
fn union(mut parts: Vec<Arc<RoaringBitmap>>) -> Arc<RoaringBitmap> {
    parts.retain(|users| !users.is_empty());
    match parts.len() {
        0 | 1 => parts.pop().unwrap_or_default(),
        _ => Arc::new(parts.iter().map(|users| &**users).union()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_are_kept_up_to_a_limit() {
        let users = |count: u32| Arc::new((0..count).map(|user| 3 * user).collect::<RoaringBitmap>());
        let bytes = users(100).serialized_size() + 64;
        let mut kept = DayBlocks::default();
        kept.keep((None, 0, 8), &users(100), 2 * bytes);
        kept.keep((None, 8, 8), &users(100), 2 * bytes);
        assert_eq!((kept.unions.len(), kept.bytes), (2, 2 * bytes));
        kept.keep((Some(1), 8, 8), &users(100), 2 * bytes);
        assert_eq!((kept.unions.len(), kept.bytes), (1, bytes), "the others went");
        assert_eq!(kept.unions[&(Some(1), 8, 8)], users(100));
    }
}
