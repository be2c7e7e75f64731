//! Which rows of a block have a value.

use super::bits::Bits;
use super::wire::Reader;
use crate::error::{Error, Result};
use std::hint::select_unpredictable;
use std::ops::Range;
use std::sync::Arc;

pub(crate) const ALL: u8 = 0;
pub(crate) const BITMAP: u8 = 1;
pub(crate) const SAME_AS: u8 = 2;
pub(crate) const PER_USER: u8 = 3;

/// Which rows of a block have a value. Values are stored for these only.
#[derive(Debug, Clone)]
pub enum Validity {
    /// Every row has one.
    All {
        /// Number of rows.
        rows: usize,
    },
    /// No row has one.
    None {
        /// Number of rows.
        rows: usize,
    },
    /// Some have one.
    Some(ValidRows),
}

/// A bit a row, with rank.
#[derive(Debug, Clone)]
pub struct ValidRows(Arc<Bits>);

impl ValidRows {
    /// The number of rows before `row` with a value, and whether `row` has one.
    #[inline(always)]
    pub(crate) fn rank_and_get(&self, row: usize) -> (usize, bool) {
        self.0.rank_and_get(row)
    }
}

/// The head of a chunk as it is stored.
pub(crate) enum StoredValidity {
    All,
    Bitmap(Bits),
    SameAs(u32),
    PerUser(Bits),
}

impl StoredValidity {
    /// Read the head of a chunk of `rows` rows; `users` gives the number of users of the block.
    pub(crate) fn read(reader: &mut Reader<'_>, rows: usize, users: impl FnOnce() -> Result<usize>) -> Result<Self> {
        match reader.u8()? {
            ALL => Ok(Self::All),
            BITMAP => Ok(Self::Bitmap(Bits::read(reader, rows)?)),
            SAME_AS => Ok(Self::SameAs(reader.u32()?)),
            PER_USER => Ok(Self::PerUser(Bits::read(reader, users()?)?)),
            other => Err(Error::corrupt(format!("validity in the unknown encoding {other}"))),
        }
    }
}

impl Validity {
    pub(crate) fn from_bits(bits: Bits) -> Self {
        Self::Some(ValidRows(Arc::new(bits)))
    }

    /// All rows of a user alike.
    pub(crate) fn per_user(valid: &[bool], starts: &[u32]) -> Self {
        let rows = starts.last().map_or(0, |&rows| rows as usize);
        let mut words = vec![0_u64; rows.div_ceil(64)];
        for (user, _) in starts.windows(2).zip(valid).filter(|(_, valid)| **valid) {
            for row in user[0] as usize..user[1] as usize {
                words[row / 64] |= 1 << (row % 64);
            }
        }
        Self::from_bits(Bits::new(words, rows))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::All { rows } | Self::None { rows } => *rows,
            Self::Some(valid) => valid.0.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows with a value.
    pub fn valid_count(&self) -> usize {
        match self {
            Self::All { rows } => *rows,
            Self::None { .. } => 0,
            Self::Some(valid) => valid.0.ones(),
        }
    }

    /// Number of rows without a value.
    pub fn null_count(&self) -> usize {
        self.len() - self.valid_count()
    }

    /// Whether `row` has a value. Panics past the end, as a slice does.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::All { .. } => true,
            Self::None { .. } => false,
            Self::Some(valid) => valid.0.get(row),
        }
    }

    /// Number of rows before `row` with a value: its place among the stored values.
    #[inline]
    pub(crate) fn rank(&self, row: usize) -> usize {
        match self {
            Self::All { .. } => row,
            Self::None { .. } => 0,
            Self::Some(valid) => valid.0.rank(row),
        }
    }

    /// Replace `out` by a truth value for each row of `range`.
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<bool>) {
        out.clear();
        match self {
            Self::All { .. } => out.resize(range.len(), true),
            Self::None { .. } => out.resize(range.len(), false),
            Self::Some(valid) => out.extend(range.map(|row| valid.0.get(row))),
        }
    }

    /// The places of the rows of `range` among the stored values.
    pub(crate) fn stored(&self, range: &Range<usize>) -> Range<usize> {
        self.rank(range.start)..self.rank(range.end)
    }

    /// Spread `values`, which are those of the valid rows of `range`, over all rows; the others get `null`.
    pub(crate) fn spread<T: Copy>(&self, range: Range<usize>, values: &mut Vec<T>, null: T) {
        let Self::Some(valid) = self else {
            if matches!(self, Self::None { .. }) {
                values.clear();
                values.resize(range.len(), null);
            }
            return;
        };
        // From behind, in place: the place that is read is never behind the row that is written.
        let mut next = values.len();
        values.resize(range.len(), null);
        let count = range.len();
        for start in (0..count).step_by(64).rev() {
            let word = valid.0.word_from(range.start + start);
            for row in (start..count.min(start + 64)).rev() {
                let is_valid = (word >> (row - start)) as usize & 1;
                next -= is_valid;
                let value = values[next];
                values[row] = select_unpredictable(is_valid == 1, value, null);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_spread_over_their_rows() {
        let valid = [true, false, false, true, true, false, true, false];
        let mut bytes = Vec::new();
        Bits::write(valid.into_iter(), &mut bytes);
        let validity = Validity::from_bits(Bits::read(&mut Reader::new(&bytes), 8).unwrap());
        assert_eq!((validity.null_count(), validity.valid_count(), validity.len()), (4, 4, 8));
        let stored = [10, 13, 14, 16];
        for start in 0..8 {
            for end in start..=8 {
                let mut values = stored[validity.stored(&(start..end))].to_vec();
                validity.spread(start..end, &mut values, -1);
                let expected: Vec<i32> = (start..end).map(|i| if valid[i] { i as i32 + 10 } else { -1 }).collect();
                assert_eq!(values, expected);
                let mut flags = Vec::new();
                validity.decode(start..end, &mut flags);
                assert_eq!(flags, valid[start..end]);
            }
        }
    }
}
