//! Times of one user's events, decoded when they are asked for: a kernel needs few of them.

use crate::segment::PackedInts;

/// Times in microseconds, ascending.
#[derive(Debug, Clone, Copy)]
pub enum Times<'a> {
    /// Decoded already.
    Decoded(&'a [i64]),
    /// The times of these rows of a block.
    Packed {
        /// Times of the block.
        times: &'a PackedInts<'a>,
        /// Rows of the block.
        rows: &'a [u32],
    },
}

impl<'a> Times<'a> {
    /// Number of events.
    pub fn len(&self) -> usize {
        match self {
            Self::Decoded(ts) => ts.len(),
            Self::Packed { rows, .. } => rows.len(),
        }
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time of event `event`. Panics past the end, as a slice does.
    #[inline]
    pub fn at(&self, event: usize) -> i64 {
        match self {
            Self::Decoded(ts) => ts[event],
            Self::Packed { times, rows } => times.get(rows[event] as usize),
        }
    }

    /// All of them; `buffer` holds them when they were not decoded yet.
    pub fn decode<'b>(&self, buffer: &'b mut Vec<i64>) -> &'b [i64]
    where
        'a: 'b,
    {
        match self {
            Self::Decoded(ts) => ts,
            Self::Packed { .. } => {
                buffer.clear();
                self.append_to(buffer);
                buffer
            }
        }
    }

    /// Append all of them to `to`.
    pub(crate) fn append_to(&self, to: &mut Vec<i64>) {
        match self {
            Self::Decoded(ts) => to.extend_from_slice(ts),
            Self::Packed { times, rows } => to.extend(rows.iter().map(|&row| times.get(row as usize))),
        }
    }
}
