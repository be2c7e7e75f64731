//! Do the values of given rows lie in a range? The kernel of conditions on numbers.
//!
//! Where a value lies depends on how many rows before it have one, so bits are counted for every row. The instruction
//! for that is missing from the oldest processors of the x86-64 family, so the loop is compiled twice. Nothing in it
//! branches on a value: what is hard to predict costs more than what is computed in vain.

use super::buffer::double_key;
use super::ints::PackedInts;
use super::validity::Validity;
use std::hint::select_unpredictable;
use std::ops::RangeInclusive;

/// The value lies outside of the range.
pub(crate) const OUTSIDE: u8 = 0;
/// There is no value.
pub(crate) const NULL: u8 = 1;
/// The value lies in the range.
pub(crate) const INSIDE: u8 = 2;

/// A range of stored integers.
#[derive(Debug, Clone, Copy)]
pub(super) struct RangeTest {
    low: i64,
    /// The largest value less the smallest.
    span: u64,
    is_empty: bool,
    /// The integers are bits of doubles, and the range is one of their order keys.
    of_keys: bool,
}

impl RangeTest {
    pub(super) fn new(range: &RangeInclusive<i64>, of_keys: bool) -> Self {
        let (low, high) = (*range.start(), *range.end());
        Self { low, span: high.wrapping_sub(low) as u64, is_empty: low > high, of_keys }
    }

    #[inline(always)]
    fn of(self, value: i64) -> u8 {
        let value = if self.of_keys { double_key(value) } else { value };
        u8::from(value.wrapping_sub(self.low) as u64 <= self.span && !self.is_empty) * INSIDE
    }
}

/// Does the value of a row lie in a range? For a few rows of a block.
#[derive(Debug, Clone)]
pub(crate) struct RowTest<'a> {
    validity: Validity,
    values: PackedInts<'a>,
    test: RangeTest,
}

impl<'a> RowTest<'a> {
    pub(super) fn new(validity: Validity, values: PackedInts<'a>, test: RangeTest) -> Self {
        Self { validity, values, test }
    }

    /// Whether `row` has a value, and that lies in the range. Panics past the end, as a slice does.
    #[inline]
    pub(crate) fn passes(&self, row: usize) -> bool {
        let place = match &self.validity {
            Validity::All { .. } => row,
            Validity::None { .. } => return false,
            Validity::Some(valid) => match valid.rank_and_get(row) {
                (rank, true) => rank,
                (_, false) => return false,
            },
        };
        let value = match self.values.as_frame() {
            Some(packed) => packed.get(place),
            None => self.values.get(place),
        };
        self.test.of(value) == INSIDE
    }
}

/// Replace `out` by [`OUTSIDE`], [`NULL`] or [`INSIDE`] for each of `rows`. Panics past the end, as a slice does.
pub(super) fn test_rows(
    validity: &Validity,
    values: &PackedInts<'_>,
    test: RangeTest,
    rows: &[u32],
    out: &mut Vec<u8>,
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has the instruction.
        return unsafe { test_rows_with_popcnt(validity, values, test, rows, out) };
    }
    test_rows_anywhere(validity, values, test, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn test_rows_with_popcnt(
    validity: &Validity,
    values: &PackedInts<'_>,
    test: RangeTest,
    rows: &[u32],
    out: &mut Vec<u8>,
) {
    test_rows_anywhere(validity, values, test, rows, out);
}

#[inline(always)]
fn test_rows_anywhere(validity: &Validity, values: &PackedInts<'_>, test: RangeTest, rows: &[u32], out: &mut Vec<u8>) {
    out.clear();
    out.resize(rows.len(), NULL);
    let Some(last) = values.len().checked_sub(1) else { return };
    match (validity, values.as_frame()) {
        (Validity::None { .. }, _) => {}
        (Validity::All { .. }, Some(packed)) => {
            for (out, &row) in out.iter_mut().zip(rows) {
                *out = test.of(packed.get((row as usize).min(last)));
            }
        }
        (Validity::All { .. }, None) => {
            for (out, &row) in out.iter_mut().zip(rows) {
                *out = test.of(values.get(row as usize));
            }
        }
        (Validity::Some(valid), Some(packed)) => {
            for (out, &row) in out.iter_mut().zip(rows) {
                let (rank, is_valid) = valid.rank_and_get(row as usize);
                // The value beside a NULL is tested, and that forgotten.
                *out = select_unpredictable(is_valid, test.of(packed.get(rank.min(last))), NULL);
            }
        }
        (Validity::Some(valid), None) => {
            for (out, &row) in out.iter_mut().zip(rows) {
                let (rank, is_valid) = valid.rank_and_get(row as usize);
                *out = if is_valid { test.of(values.get(rank)) } else { NULL };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::bits::Bits;
    use proptest::prelude::*;

    fn validity_of(column: &[Option<i64>]) -> Validity {
        let rows = column.len();
        if column.iter().all(Option::is_some) {
            return Validity::All { rows };
        }
        if column.iter().all(Option::is_none) {
            return Validity::None { rows };
        }
        let mut words = vec![0_u64; rows.div_ceil(64)];
        for row in (0..rows).filter(|row| column[*row].is_some()) {
            words[row / 64] |= 1 << (row % 64);
        }
        Validity::from_bits(Bits::new(words, rows))
    }

    proptest! {
        #[test]
        fn both_loops_agree_with_the_values(
            column in prop::collection::vec(prop::option::weighted(0.7, -5_i64..5), 1..300),
            repeat in 1_usize..30, share in 0_u8..4, rows in prop::collection::vec(0_u32..300, 0..100),
            low in prop_oneof![-6_i64..6, Just(i64::MIN)], high in prop_oneof![-6_i64..6, Just(i64::MAX)],
        ) {
            let column: Vec<Option<i64>> = match share {
                0 => column.iter().map(|value| value.or(Some(0))).collect(),
                1 => vec![None; column.len()],
                // Long runs get another encoding.
                2 => column.iter().flat_map(|value| std::iter::repeat_n(*value, repeat)).collect(),
                _ => column,
            };
            let rows: Vec<u32> = rows.into_iter().map(|row| row % column.len() as u32).collect();
            let stored: Vec<i64> = column.iter().flatten().copied().collect();
            let mut bytes = Vec::new();
            let values = PackedInts::for_tests(&stored, &mut bytes);
            let expected: Vec<u8> = rows.iter().map(|row| match column[*row as usize] {
                None => NULL,
                Some(value) if low <= value && value <= high => INSIDE,
                Some(_) => OUTSIDE,
            }).collect();
            let (mut fast, mut anywhere) = (Vec::new(), Vec::new());
            let test = RangeTest::new(&(low..=high), false);
            test_rows(&validity_of(&column), &values, test, &rows, &mut fast);
            test_rows_anywhere(&validity_of(&column), &values, test, &rows, &mut anywhere);
            let one = RowTest::new(validity_of(&column), values, test);
            prop_assert!(rows.iter().zip(&expected).all(|(row, expected)| one.passes(*row as usize) == (*expected == INSIDE)));
            prop_assert_eq!(&fast, &expected);
            prop_assert_eq!(&anywhere, &expected);
        }

        #[test]
        fn doubles_are_tested_by_their_order(values in prop::collection::vec(any::<f64>(), 1..40), a: f64, b: f64) {
            let stored: Vec<i64> = values.iter().map(|value| value.to_bits() as i64).collect();
            let mut bytes = Vec::new();
            let packed = PackedInts::for_tests(&stored, &mut bytes);
            let rows: Vec<u32> = (0..values.len() as u32).collect();
            let key = |value: f64| double_key(value.to_bits() as i64);
            let mut out = Vec::new();
            let test = RangeTest::new(&(key(a)..=key(b)), true);
            test_rows(&Validity::All { rows: values.len() }, &packed, test, &rows, &mut out);
            for (value, found) in values.iter().zip(out) {
                prop_assert_eq!(found == INSIDE, key(a) <= key(*value) && key(*value) <= key(b));
            }
        }
    }
}
