//! A property column of a block, decoded on demand.

use super::buffer::double_key;
use super::ints::PackedInts;
use super::range_test::{RangeTest, RowTest, test_rows};
use super::text::TextBlock;
use super::validity::Validity;
use crate::rows::Column;
use crate::types::{ColumnType, Value};
use std::ops::{Range, RangeInclusive};

/// A property column of a block.
#[derive(Debug, Clone)]
pub enum ColumnBlock<'a> {
    /// BOOLEAN, as 0 and 1.
    Boolean(IntColumn<'a>),
    /// BIGINT.
    BigInt(IntColumn<'a>),
    /// DOUBLE.
    Double(DoubleColumn<'a>),
    /// TIMESTAMP in microseconds.
    Timestamp(IntColumn<'a>),
    /// TEXT.
    Text(TextBlock<'a>),
}

impl ColumnBlock<'_> {
    /// The type in which the segment stores the column; the table's may be wider by now.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Boolean(_) => ColumnType::Boolean,
            Self::BigInt(_) => ColumnType::BigInt,
            Self::Double(_) => ColumnType::Double,
            Self::Timestamp(_) => ColumnType::Timestamp,
            Self::Text(_) => ColumnType::Text,
        }
    }

    /// Which rows have a value.
    pub fn validity(&self) -> &Validity {
        match self {
            Self::Boolean(ints) | Self::BigInt(ints) | Self::Timestamp(ints) => &ints.validity,
            Self::Double(doubles) => &doubles.validity,
            Self::Text(text) => text.validity(),
        }
    }

    /// The value of `row`. Panics past the end, as a slice does.
    pub fn get(&self, row: usize) -> Value {
        let int = |ints: &IntColumn<'_>, to_value: fn(i64) -> Value| ints.get(row).map_or(Value::Null, to_value);
        match self {
            Self::Boolean(ints) => int(ints, |value| Value::Boolean(value != 0)),
            Self::BigInt(ints) => int(ints, Value::BigInt),
            Self::Timestamp(ints) => int(ints, Value::Timestamp),
            Self::Double(doubles) => doubles.get(row).map_or(Value::Null, Value::Double),
            Self::Text(text) => text.get(row).map_or(Value::Null, |text| Value::Text(text.into())),
        }
    }

    /// The rows of `range` as a column of its own. Panics past the end, as a slice does.
    pub fn decode(&self, range: Range<usize>) -> Column {
        let mut valid = Vec::new();
        self.validity().decode(range.clone(), &mut valid);
        let mut values = Vec::new();
        match self {
            Self::Boolean(ints) => {
                ints.decode(range, &mut values);
                Column::Boolean { values: values.into_iter().map(|value| value != 0).collect(), valid }
            }
            Self::BigInt(ints) => {
                ints.decode(range, &mut values);
                Column::BigInt { values, valid }
            }
            Self::Timestamp(ints) => {
                ints.decode(range, &mut values);
                Column::Timestamp { values, valid }
            }
            Self::Double(doubles) => {
                let mut values = Vec::new();
                doubles.decode(range, &mut values);
                Column::Double { values, valid }
            }
            Self::Text(text) => Column::Text(text.decode(range)),
        }
    }
}

/// Integers with NULLs.
#[derive(Debug, Clone)]
pub struct IntColumn<'a> {
    pub(crate) validity: Validity,
    pub(crate) values: PackedInts<'a>,
}

impl<'a> IntColumn<'a> {
    /// Which rows have a value.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The value of `row`. Panics past the end, as a slice does.
    #[inline]
    pub fn get(&self, row: usize) -> Option<i64> {
        self.validity.is_valid(row).then(|| self.values.get(self.validity.rank(row)))
    }

    /// Replace `out` by `OUTSIDE`, `NULL` or `INSIDE` for each of `rows`: whether its value lies in `range`. Panics past
    /// the end, as a slice does.
    pub(crate) fn test_rows(&self, range: &RangeInclusive<i64>, rows: &[u32], out: &mut Vec<u8>) {
        test_rows(&self.validity, &self.values, RangeTest::new(range, false), rows, out);
    }

    /// The test whether the value of a row lies in `range`.
    pub(crate) fn into_test(self, range: &RangeInclusive<i64>) -> RowTest<'a> {
        RowTest::new(self.validity, self.values, RangeTest::new(range, false))
    }

    /// Replace `out` by the values of `range`, 0 for NULL. Panics past the end, as a slice does.
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<i64>) {
        self.values.decode(self.validity.stored(&range), out);
        self.validity.spread(range, out, 0);
    }
}

/// Doubles with NULLs.
#[derive(Debug, Clone)]
pub struct DoubleColumn<'a> {
    pub(crate) validity: Validity,
    pub(crate) values: PackedInts<'a>,
    pub(crate) scale: Scale,
}

impl<'a> DoubleColumn<'a> {
    /// Which rows have a value.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The value of `row`. Panics past the end, as a slice does.
    #[inline]
    pub fn get(&self, row: usize) -> Option<f64> {
        self.validity.is_valid(row).then(|| self.scale.to_double(self.values.get(self.validity.rank(row))))
    }

    /// As [`IntColumn::test_rows`], for a range of order keys.
    pub(crate) fn test_rows(&self, range: &RangeInclusive<i64>, rows: &[u32], out: &mut Vec<u8>) {
        test_rows(&self.validity, &self.values, self.range_test(range), rows, out);
    }

    /// As [`IntColumn::into_test`], for a range of order keys.
    pub(crate) fn into_test(self, range: &RangeInclusive<i64>) -> RowTest<'a> {
        let test = self.range_test(range);
        RowTest::new(self.validity, self.values, test)
    }

    fn range_test(&self, range: &RangeInclusive<i64>) -> RangeTest {
        match self.scale {
            Scale::Bits => RangeTest::new(range, true),
            Scale::Decimal(exponent) => RangeTest::new(&decimals_in(range, POWERS_OF_TEN[exponent as usize]), false),
        }
    }

    /// Replace `out` by the values of `range`, 0 for NULL. Panics past the end, as a slice does.
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<f64>) {
        let mut bits = Vec::new();
        self.values.decode(self.validity.stored(&range), &mut bits);
        if let Scale::Decimal(exponent) = self.scale {
            let power = POWERS_OF_TEN[exponent as usize];
            bits.iter_mut().for_each(|int| *int = (*int as f64 / power).to_bits() as i64);
        }
        self.validity.spread(range, &mut bits, 0);
        out.clear();
        out.extend(bits.into_iter().map(|bits| f64::from_bits(bits as u64)));
    }
}

/// How integers stand for doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// By their bits.
    Bits,
    /// Divided by ten to this power.
    Decimal(u8),
}

/// The integers, of those that stand for doubles, whose quotient by `power` has its order key in `range`. They are a
/// range too, since the quotient never falls when the integer grows.
fn decimals_in(range: &RangeInclusive<i64>, power: f64) -> RangeInclusive<i64> {
    let key = |int: i64| double_key((int as f64 / power).to_bits() as i64);
    // The first integer from which on `reached` holds.
    let first = |reached: &dyn Fn(i64) -> bool| {
        let (mut low, mut high) = (-DECIMALS_END, DECIMALS_END);
        while low < high {
            let middle = low + (high - low) / 2;
            if reached(middle) { high = middle } else { low = middle + 1 }
        }
        low
    };
    let start = first(&|int| key(int) >= *range.start());
    let end = first(&|int| key(int) > *range.end());
    start..=end - 1
}

/// Integers that stand for doubles are below this, and above its opposite.
const DECIMALS_END: i64 = 1 << 53;

/// Powers of ten that are exact doubles.
const POWERS_OF_TEN: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const SCALE_BITS: u8 = 255;

impl Scale {
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Bits => SCALE_BITS,
            Self::Decimal(exponent) => exponent,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            SCALE_BITS => Some(Self::Bits),
            exponent if (exponent as usize) < POWERS_OF_TEN.len() => Some(Self::Decimal(exponent)),
            _ => None,
        }
    }

    #[inline]
    fn to_double(self, int: i64) -> f64 {
        match self {
            Self::Bits => f64::from_bits(int as u64),
            Self::Decimal(exponent) => int as f64 / POWERS_OF_TEN[exponent as usize],
        }
    }

    /// Turn `values`, bits of doubles, into the smallest integers that give every one back bit by bit.
    pub(crate) fn apply(values: &mut [i64]) -> Self {
        let mut exponent = 0;
        for &bits in values.iter() {
            while decimal(f64::from_bits(bits as u64), exponent).is_none() {
                exponent += 1;
                if exponent == POWERS_OF_TEN.len() {
                    return Self::Bits;
                }
            }
        }
        // A value that was exact with fewer digits can be out of range with more of them.
        if !values.iter().all(|&bits| decimal(f64::from_bits(bits as u64), exponent).is_some()) {
            return Self::Bits;
        }
        for bits in values.iter_mut() {
            *bits = decimal(f64::from_bits(*bits as u64), exponent).unwrap_or_default();
        }
        Self::Decimal(exponent as u8)
    }
}

/// The integer that divided by ten to the power of `exponent` is exactly `value`, sign of zero included.
#[inline]
fn decimal(value: f64, exponent: usize) -> Option<i64> {
    let power = POWERS_OF_TEN[exponent];
    let int = (value * power + 0.5_f64.copysign(value)) as i64;
    let exact = int.unsigned_abs() < DECIMALS_END as u64 && (int as f64 / power).to_bits() == value.to_bits();
    exact.then_some(int)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(doubles: &[f64]) -> Scale {
        let mut ints: Vec<i64> = doubles.iter().map(|double| double.to_bits() as i64).collect();
        let scale = Scale::apply(&mut ints);
        assert_eq!(Scale::from_byte(scale.to_byte()), Some(scale));
        for (int, double) in ints.iter().zip(doubles) {
            assert_eq!(scale.to_double(*int).to_bits(), double.to_bits());
        }
        scale
    }

    #[test]
    fn decimals_are_found_and_other_doubles_kept() {
        assert_eq!(round_trip(&[19.99, 5.0, 0.1, -3.25, 123_456.78]), Scale::Decimal(2));
        assert_eq!(round_trip(&[1.0, 2.0, 0.0]), Scale::Decimal(0));
        for odd in [-0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1.0 / 3.0, f64::MAX, 9.1e15, -9.3e15] {
            assert_eq!(round_trip(&[1.5, odd]), Scale::Bits, "{odd}");
        }
        assert_eq!(round_trip(&[0.000_000_000_000_1, 9e15]), Scale::Bits);
    }

    proptest! {
        #[test]
        fn decimals_of_a_range_are_those_whose_doubles_lie_in_it(
            ints in prop::collection::vec(-1_000_i64..1_000, 1..50), a in -1_000_i64..1_000, b in -1_000_i64..1_000,
            exponent in 0_usize..4, odd in -0.7_f64..0.7,
        ) {
            let power = POWERS_OF_TEN[exponent];
            let key = |value: f64| double_key(value.to_bits() as i64);
            let range = key((a as f64 + odd) / power)..=key(b as f64 / power);
            let decimals = decimals_in(&range, power);
            for int in ints.into_iter().chain([a - 1, a, a + 1, b - 1, b, b + 1]) {
                prop_assert_eq!(decimals.contains(&int), range.contains(&key(int as f64 / power)));
            }
            prop_assert!(decimals_in(&(i64::MIN..=i64::MAX), power).contains(&(DECIMALS_END - 1)));
            prop_assert!(decimals_in(&(i64::MIN..=i64::MAX), power).contains(&(1 - DECIMALS_END)));
        }

        #[test]
        fn any_doubles_round_trip(bits in prop::collection::vec(any::<u64>(), 0..20)) {
            round_trip(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn any_decimals_round_trip(
            ints in prop::collection::vec(-1_000_000_000_i64..1_000_000_000, 1..50),
            exponent in 0_usize..9,
        ) {
            let doubles: Vec<f64> = ints.iter().map(|int| *int as f64 / POWERS_OF_TEN[exponent]).collect();
            prop_assert_ne!(round_trip(&doubles), Scale::Bits);
        }
    }
}
