//! Values at given rows of a block: the kernel of conditions on numbers.
//!
//! Where a value lies depends on how many rows before it have one, so bits are counted for every row. The instruction
//! for that is missing from the oldest processors of the x86-64 family, so the loop is compiled twice.

use super::ints::PackedInts;
use super::validity::Validity;

/// Hand the values of `rows` to `each`, in order, `None` for NULL. Panics past the end, as a slice does.
#[inline]
pub(super) fn at_rows(validity: &Validity, values: &PackedInts<'_>, rows: &[u32], each: impl FnMut(Option<i64>)) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has the instruction.
        return unsafe { with_popcnt(validity, values, rows, each) };
    }
    at_rows_anywhere(validity, values, rows, each);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn with_popcnt(validity: &Validity, values: &PackedInts<'_>, rows: &[u32], each: impl FnMut(Option<i64>)) {
    at_rows_anywhere(validity, values, rows, each);
}

/// The choice of encoding is made once, outside of the loop.
#[inline(always)]
fn at_rows_anywhere(validity: &Validity, values: &PackedInts<'_>, rows: &[u32], mut each: impl FnMut(Option<i64>)) {
    match validity {
        Validity::All { .. } => {
            values.at_each(rows.iter().map(|&row| (row as usize, ())), |value, ()| each(Some(value)));
        }
        Validity::Some(valid) if !values.is_empty() => {
            // The value beside a NULL is read and dropped: whether a row has one is hard to predict.
            let last = values.len() - 1;
            let places = rows.iter().map(|&row| {
                let (rank, is_valid) = valid.rank_and_get(row as usize);
                (rank.min(last), is_valid)
            });
            values.at_each(places, |value, is_valid| each(is_valid.then_some(value)));
        }
        _ => rows.iter().for_each(|_| each(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::bits::Bits;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_loops_give_the_values_of_the_rows(
            column in prop::collection::vec(prop::option::weighted(0.6, -5_000_i64..5_000), 1..300),
            rows in prop::collection::vec(0_u32..300, 0..100),
        ) {
            let rows: Vec<u32> = rows.into_iter().map(|row| row % column.len() as u32).collect();
            let stored: Vec<i64> = column.iter().flatten().copied().collect();
            let mut bytes = Vec::new();
            let values = PackedInts::for_tests(&stored, &mut bytes);
            let mut words = vec![0_u64; column.len().div_ceil(64)];
            for row in (0..column.len()).filter(|row| column[*row].is_some()) {
                words[row / 64] |= 1 << (row % 64);
            }
            let validity = Validity::from_bits(Bits::new(words, column.len()));
            let expected: Vec<Option<i64>> = rows.iter().map(|row| column[*row as usize]).collect();
            let (mut fast, mut anywhere) = (Vec::new(), Vec::new());
            at_rows(&validity, &values, &rows, |value| fast.push(value));
            at_rows_anywhere(&validity, &values, &rows, |value| anywhere.push(value));
            prop_assert_eq!(&fast, &expected);
            prop_assert_eq!(&anywhere, &expected);
        }
    }
}
