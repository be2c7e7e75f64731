//! The total of the whole numbers of one group or of one window, and that of the different ones among them.

use super::whole::{TOTAL, Whole, narrow, wide};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, Decimal128Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use hashbrown::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// The total of all values; of a window too, which values leave.
#[derive(Debug)]
pub(super) struct Total<T: Whole> {
    sum: i128,
    /// How many values are in it, or totals of others: without one it is NULL.
    parts: u64,
    of: PhantomData<T>,
}

impl<T: Whole> Total<T> {
    pub(super) fn new() -> Self {
        Self { sum: 0, parts: 0, of: PhantomData }
    }
}

impl<T: Whole> Accumulator for Total<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        self.sum += sum_of(values);
        self.parts += count_of(values);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        self.sum -= sum_of(values);
        self.parts -= count_of(values);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.parts > 0).then(|| narrow::<T>(self.sum)).transpose()?;
        ScalarValue::new_primitive::<T>(sum, &T::DATA_TYPE)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = (self.parts > 0).then_some(self.sum);
        Ok(vec![ScalarValue::Decimal128(sum, DECIMAL128_MAX_PRECISION, 0)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        debug_assert_eq!(states[0].data_type(), &TOTAL);
        for sum in states[0].as_primitive::<Decimal128Type>().iter().flatten() {
            self.sum += sum;
            self.parts += 1;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

fn sum_of<T: Whole>(values: &PrimitiveArray<T>) -> i128 {
    let of_part = |part: &[T::Native]| part.iter().fold(0_i128, |sum, value| sum + wide::<T>(*value));
    let all: &[T::Native] = values.values();
    match values.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nulls.valid_slices().map(|(start, end)| of_part(&all[start..end])).sum(),
        None => of_part(all),
    }
}

fn count_of<T: Whole>(values: &PrimitiveArray<T>) -> u64 {
    (values.len() - values.null_count()) as u64
}

/// The total of the different values; of a window too, which values leave.
#[derive(Debug)]
pub(super) struct DistinctTotal<T: Whole> {
    /// How often each value was met.
    met: HashMap<T::Native, u64>,
    sum: i128,
}

impl<T: Whole> DistinctTotal<T> {
    pub(super) fn new() -> Self {
        Self { met: HashMap::new(), sum: 0 }
    }

    fn add(&mut self, value: T::Native) {
        let times = self.met.entry(value).or_insert(0);
        if *times == 0 {
            self.sum += wide::<T>(value);
        }
        *times += 1;
    }

    fn take(&mut self, value: T::Native) {
        let Some(times) = self.met.get_mut(&value) else { return };
        *times -= 1;
        if *times == 0 {
            self.met.remove(&value);
            self.sum -= wide::<T>(value);
        }
    }
}

impl<T: Whole> Accumulator for DistinctTotal<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<T>().iter().flatten().for_each(|value| self.add(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<T>().iter().flatten().for_each(|value| self.take(value));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (!self.met.is_empty()).then(|| narrow::<T>(self.sum)).transpose()?;
        ScalarValue::new_primitive::<T>(sum, &T::DATA_TYPE)
    }

    /// The values themselves, as one list.
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = PrimitiveArray::<T>::from_iter_values(self.met.keys().copied());
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(values)).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.met.capacity() * size_of::<(T::Native, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::Int64Type;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn values() -> impl Strategy<Value = Vec<Option<i64>>> {
        let value = prop_oneof![Just(i64::MAX), Just(i64::MIN), -3..3_i64, any::<i64>()];
        vec(option::weighted(0.8, value), 0..40)
    }

    fn array(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<Int64Array>())
    }

    /// What is to be found; `None`: an error.
    fn expected(values: &[Option<i64>], is_distinct: bool) -> Option<ScalarValue> {
        let all: Vec<i64> = values.iter().flatten().copied().collect();
        if all.is_empty() {
            return Some(ScalarValue::Int64(None));
        }
        let different: BTreeSet<i64> = all.iter().copied().collect();
        let sum: i128 = match is_distinct {
            true => different.into_iter().map(i128::from).sum(),
            false => all.into_iter().map(i128::from).sum(),
        };
        i64::try_from(sum).ok().map(|sum| ScalarValue::Int64(Some(sum)))
    }

    fn accumulator(is_distinct: bool) -> Box<dyn Accumulator> {
        match is_distinct {
            true => Box::new(DistinctTotal::<Int64Type>::new()),
            false => Box::new(Total::<Int64Type>::new()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Each window is that of the last `width` rows.
        #[test]
        fn windows_have_their_own_totals(values in values(), width in 1..8_usize, is_distinct: bool) {
            let mut total = accumulator(is_distinct);
            for (row, value) in values.iter().enumerate() {
                total.update_batch(&[array(&[*value])]).unwrap();
                if let Some(left) = row.checked_sub(width) {
                    total.retract_batch(&[array(&values[left..=left])]).unwrap();
                }
                let window = &values[(row + 1).saturating_sub(width)..=row];
                prop_assert_eq!(total.evaluate().ok(), expected(window, is_distinct));
            }
        }

        /// Threads add up parts, of which none needs to fit.
        #[test]
        fn totals_of_parts_are_those_of_the_whole(values in values(), size in 1..8_usize, is_distinct: bool) {
            let mut total = accumulator(is_distinct);
            for part in values.chunks(size) {
                let mut other = accumulator(is_distinct);
                other.update_batch(&[array(part)]).unwrap();
                let states: Vec<ArrayRef> = other.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect();
                total.merge_batch(&states).unwrap();
            }
            prop_assert_eq!(total.evaluate().ok(), expected(&values, is_distinct));
        }
    }
}
