//! The totals of whole numbers, one for each group.

use super::whole::{TOTAL, Whole, narrow, wide};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, Decimal128Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::NullState;
use std::marker::PhantomData;
use std::sync::Arc;

/// A total for each group.
#[derive(Debug)]
pub(super) struct Totals<T: Whole> {
    sums: Vec<i128>,
    /// Which groups have a value at all.
    seen: NullState,
    of: PhantomData<T>,
}

impl<T: Whole> Totals<T> {
    pub(super) fn new() -> Self {
        Self { sums: Vec::new(), seen: NullState::new(), of: PhantomData }
    }

    /// Adds values, or totals of others.
    fn add<P: ArrowPrimitiveType<Native: Into<i128>> + Send>(
        &mut self,
        values: &PrimitiveArray<P>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) {
        let Self { sums, seen, .. } = self;
        sums.resize(total_num_groups, 0);
        seen.accumulate(groups, values, filter, total_num_groups, |group, value| {
            let value: i128 = value.into();
            sums[group] += value;
        });
    }
}

impl<T: Whole> GroupsAccumulator for Totals<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.add(values[0].as_primitive::<T>(), group_indices, opt_filter, total_num_groups);
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.add(values[0].as_primitive::<Decimal128Type>(), group_indices, None, total_num_groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, nulls) = (emit_to.take_needed(&mut self.sums), self.seen.build(emit_to));
        // A group without a value has 0, which fits.
        let sums = sums.into_iter().map(narrow::<T>).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(PrimitiveArray::<T>::new(sums.into(), nulls)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, nulls) = (emit_to.take_needed(&mut self.sums), self.seen.build(emit_to));
        Ok(vec![totals(sums, nulls)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let passing = opt_filter.map(|filter| {
            NullBuffer::new(match filter.nulls() {
                Some(known) => filter.values() & known.inner(),
                None => filter.values().clone(),
            })
        });
        let nulls = NullBuffer::union(values.nulls(), passing.as_ref());
        Ok(vec![totals(values.values().iter().map(|value| wide::<T>(*value)).collect(), nulls)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.size()
    }
}

fn totals(sums: Vec<i128>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(Decimal128Array::new(sums.into(), nulls).with_data_type(TOTAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::Int64Type;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// The group, the value, and what a filter says of it.
    type Row = (u8, Option<i64>, Option<bool>);

    /// Rows, whether they are filtered, and on which of three ways they get into the totals.
    type Batch = (Vec<Row>, bool, u8);

    fn batch() -> impl Strategy<Value = Batch> {
        let value = prop_oneof![Just(i64::MAX), Just(i64::MIN), -5..5_i64, any::<i64>()];
        let row = (0..6_u8, option::weighted(0.8, value), option::weighted(0.8, any::<bool>()));
        (vec(row, 1..100), any::<bool>(), 0..3_u8)
    }

    fn give(
        found: &mut Totals<Int64Type>,
        way: u8,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) {
        match way {
            0 => found.update_batch(values, groups, filter, total).unwrap(),
            1 => {
                let states = found.convert_to_state(values, filter).unwrap();
                found.merge_batch(&states, groups, total).unwrap();
            }
            // Another thread has its own numbers of groups.
            _ => {
                let mut met: Vec<usize> = Vec::new();
                let mut place = |group: &usize| {
                    met.iter().position(|known| known == group).unwrap_or_else(|| {
                        met.push(*group);
                        met.len() - 1
                    })
                };
                let places: Vec<usize> = groups.iter().map(&mut place).collect();
                let mut other = Totals::<Int64Type>::new();
                other.update_batch(values, &places, filter, met.len()).unwrap();
                let states = other.state(EmitTo::All).unwrap();
                found.merge_batch(&states, &met, total).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn totals_are_those_of_plain_addition(batches in vec(batch(), 1..6), emitted in 0..8_usize) {
            let mut found = Totals::<Int64Type>::new();
            let (mut numbers, mut model): (HashMap<u8, usize>, Vec<Option<i128>>) = Default::default();
            for (rows, is_filtered, way) in &batches {
                let number = |(group, ..): &Row| {
                    let next = numbers.len();
                    *numbers.entry(*group).or_insert(next)
                };
                let groups: Vec<usize> = rows.iter().map(number).collect();
                model.resize(numbers.len(), None);
                for ((_, value, passes), group) in rows.iter().zip(&groups) {
                    if let Some(value) = value.filter(|_| !is_filtered || *passes == Some(true)) {
                        *model[*group].get_or_insert(0) += i128::from(value);
                    }
                }
                let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
                let filter = is_filtered.then(|| rows.iter().map(|row| row.2).collect::<BooleanArray>());
                give(&mut found, *way, &[values], &groups, filter.as_ref(), model.len());
            }
            let first = emitted.min(model.len());
            let rest = model.split_off(first);
            let fits = |sum: &Option<i128>| sum.map(i64::try_from).transpose().ok();
            let expected: Option<Vec<Option<i64>>> = model.iter().map(fits).collect();
            let answer = found.evaluate(EmitTo::First(first)).ok();
            let answer = answer.map(|answer| answer.as_primitive::<Int64Type>().iter().collect::<Vec<_>>());
            prop_assert_eq!(answer, expected);
            let states = found.state(EmitTo::All).unwrap();
            prop_assert_eq!(states[0].data_type(), &TOTAL);
            prop_assert_eq!(states[0].as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), rest);
        }
    }
}
