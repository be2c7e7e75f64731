//! Whole numbers of 64 bits, and their totals, which have 128: no number of rows that there can be makes these overflow.

use super::overflow::of_sum;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Int64Type, UInt64Type};
use datafusion::common::Result;
use std::fmt::Debug;
use std::hash::Hash;

/// The type of a total on its way between threads and to disk. Its 38 digits hold the sum of 2^62 values of 64 bits.
pub(super) const TOTAL: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// A type of whole numbers that `SUM` adds exactly.
pub(super) trait Whole:
    ArrowPrimitiveType<Native: Into<i128> + TryFrom<i128> + Eq + Hash> + Debug + Send + Sync
{
}

impl Whole for Int64Type {}

impl Whole for UInt64Type {}

/// A value as part of a total.
pub(super) fn wide<T: Whole>(value: T::Native) -> i128 {
    value.into()
}

/// A total as a value.
///
/// # Errors
/// `Execution` where it does not fit.
pub(super) fn narrow<T: Whole>(total: i128) -> Result<T::Native> {
    <T::Native as TryFrom<i128>>::try_from(total).map_err(|_| of_sum(&T::DATA_TYPE))
}
