//! Times of one user's events, decoded when they are asked for: a kernel needs few of them.

use crate::segment::{Packed, PackedInts};

/// Times in microseconds, ascending.
#[derive(Debug, Clone, Copy)]
pub enum Times<'a> {
    /// Decoded already.
    Decoded(&'a [i64]),
    /// The times of these rows of a block, in the form that nearly all blocks have.
    Frame {
        /// Times of the block.
        frame: &'a Packed<'a>,
        /// Rows of the block.
        rows: &'a [u32],
    },
    /// The times of these rows of a block.
    Packed {
        /// Times of the block.
        times: &'a PackedInts<'a>,
        /// Rows of the block.
        rows: &'a [u32],
    },
}

impl<'a> Times<'a> {
    /// The times of `rows`, of `times` of a block.
    #[inline]
    pub(crate) fn packed(times: &'a PackedInts<'a>, rows: &'a [u32]) -> Self {
        match times.as_frame() {
            Some(frame) => Self::Frame { frame, rows },
            None => Self::Packed { times, rows },
        }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        match self {
            Self::Decoded(ts) => ts.len(),
            Self::Frame { rows, .. } | Self::Packed { rows, .. } => rows.len(),
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
            Self::Frame { frame, rows } => frame.get(rows[event] as usize),
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
            Self::Frame { .. } | Self::Packed { .. } => {
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
            Self::Frame { frame, rows } => to.extend(rows.iter().map(|&row| frame.get(row as usize))),
            Self::Packed { times, rows } => append_packed(times, rows, to),
        }
    }
}

/// From this many rows on a decoded block is worth its memory.
const MANY_ROWS: usize = 256;
/// With fewer rows than this part of those between the first and the last, times are decoded one by one.
const DENSE_PART: usize = 8;

fn append_packed(times: &PackedInts<'_>, rows: &[u32], to: &mut Vec<i64>) {
    let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return };
    let span = first as usize..last as usize + 1;
    if rows.len() == span.len() {
        let before = to.len();
        to.resize(before + rows.len(), 0);
        times.decode_into(span, &mut to[before..]);
    } else if rows.len() >= MANY_ROWS.max(span.len() / DENSE_PART) {
        let mut all = Vec::new();
        times.decode(span, &mut all);
        to.extend(rows.iter().map(|&row| all[(row - first) as usize]));
    } else {
        to.extend(rows.iter().map(|&row| times.get(row as usize)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_times_are_those_asked_for_one_by_one(
            gaps in prop::collection::vec(prop_oneof![3 => 0..100_000_i64, 1 => 0..10_000_000_000_i64], 1..900),
            every in 1..12_usize,
        ) {
            let values: Vec<i64> = gaps.into_iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let rows: Vec<u32> = (0..values.len() as u32).step_by(every).collect();
            let mut bytes = Vec::new();
            let times = PackedInts::times_for_tests(&values, &mut bytes);
            let of_rows = Times::packed(&times, &rows);
            let mut found = vec![7];
            of_rows.append_to(&mut found);
            let expected: Vec<i64> = std::iter::once(7).chain((0..rows.len()).map(|event| of_rows.at(event))).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert!(rows.iter().zip(&found[1..]).all(|(row, at)| values[*row as usize] == *at));
        }
    }
}
