//! Results of all threads in, the rows of the answer out.

use super::worker::{RetentionWorker, UserRow};
use crate::behavior::retention::{RetentionPartial, RetentionRow, RetentionSpec};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::columns::column_of;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;

/// The rows of `emit => 'matrix'`, ordered by cohort, group and period.
pub(super) fn matrix(
    spec: &RetentionSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, RetentionWorker>>,
) -> Result<RecordBatch> {
    let mut groups = GroupValues::default();
    let mut all = RetentionPartial::<u32>::default();
    for (worker, decoder) in found {
        let RetentionWorker { partial, groups: codes, .. } = worker;
        let mut used: Vec<u32> = partial.keys().copied().collect();
        used.sort_unstable();
        used.dedup();
        let keys: Vec<Option<&[u32]>> = used.iter().map(|&group| Some(codes.key(group))).collect();
        let values = answer.by_rows(decoder, &keys, 1)?;
        let numbers: HashMap<u32, u32> =
            used.into_iter().zip(values).map(|(group, values)| (group, groups.number(values))).collect();
        all.merge_as(partial, |group| numbers[group]);
    }
    let newest_ts = if all.is_empty() { i64::MIN } else { (answer.newest_ts)()? };
    let columns = groups.columns(answer)?;
    let ranks = groups.ranks(&columns)?;
    let mut rows = Rows::with_room(all.len() * spec.periods.rows());
    all.each_row(spec, newest_ts, |group| (ranks[group as usize], group), |row| rows.push(&row));
    rows.batch(answer, &columns)
}

/// The columns of the answer.
struct Rows {
    cohorts_us: Vec<i64>,
    groups: Vec<u32>,
    cohort_users: Vec<i64>,
    periods: Vec<i64>,
    users: Vec<i64>,
    rates: Vec<f64>,
    complete: Vec<bool>,
}

impl Rows {
    fn with_room(rows: usize) -> Self {
        Self {
            cohorts_us: Vec::with_capacity(rows),
            groups: Vec::with_capacity(rows),
            cohort_users: Vec::with_capacity(rows),
            periods: Vec::with_capacity(rows),
            users: Vec::with_capacity(rows),
            rates: Vec::with_capacity(rows),
            complete: Vec::with_capacity(rows),
        }
    }

    /// Add a row, whose key is the place of its group in order of values, and the group.
    fn push(&mut self, row: &RetentionRow<(u32, u32)>) {
        self.cohorts_us.push(row.cohort_us);
        self.groups.push(row.key.1);
        self.cohort_users.push(row.cohort_users.cast_signed());
        self.periods.push(i64::from(row.period));
        self.users.push(row.users.cast_signed());
        self.rates.push(row.rate);
        self.complete.push(row.complete);
    }

    /// `groups` has the values of each group, a column for each of `by`.
    fn batch(self, answer: &Answer<'_>, groups: &[ArrayRef]) -> Result<RecordBatch> {
        let mut columns = vec![times(self.cohorts_us)];
        let of_rows = UInt32Array::from(self.groups);
        for values in groups {
            columns.push(take(values, &of_rows, None).map_err(DataFusionError::from)?);
        }
        let numbers = [self.cohort_users, self.periods, self.users];
        columns.extend(numbers.map(|numbers| Arc::new(Int64Array::from(numbers)) as ArrayRef));
        columns.push(Arc::new(Float64Array::from(self.rates)));
        columns.push(Arc::new(BooleanArray::from(self.complete)));
        answer.batch(columns)
    }
}

/// The distinct `by` values, and their numbers.
#[derive(Default)]
struct GroupValues {
    values: Vec<Vec<ScalarValue>>,
    numbers: HashMap<Vec<ScalarValue>, u32>,
}

impl GroupValues {
    fn number(&mut self, values: Vec<ScalarValue>) -> u32 {
        let next = self.values.len() as u32;
        *self.numbers.entry(values).or_insert_with_key(|values| {
            self.values.push(values.clone());
            next
        })
    }

    /// The values, a column for each of `by`.
    fn columns(&self, answer: &Answer<'_>) -> Result<Vec<ArrayRef>> {
        let column = |i: usize| {
            let values = self.values.iter().map(|values| values[i].clone());
            column_of(values, answer.schema.field(1 + i).data_type())
        };
        (0..answer.by).map(column).collect()
    }

    /// For each group its place among all in order of their values.
    fn ranks(&self, columns: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut ranks = vec![0; self.values.len()];
        if columns.is_empty() {
            return Ok(ranks);
        }
        let order: Vec<SortColumn> =
            columns.iter().map(|values| SortColumn { values: Arc::clone(values), options: None }).collect();
        let order = lexsort_to_indices(&order, None).map_err(DataFusionError::from)?;
        (0..).zip(order.values()).for_each(|(rank, &group)| ranks[group as usize] = rank);
        Ok(ranks)
    }
}

/// The rows of `emit => 'users'`, ordered by user and cohort.
pub(super) fn users(
    spec: &RetentionSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, RetentionWorker>>,
) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    for (worker, decoder) in found {
        let RetentionWorker { users: rows, groups, .. } = worker;
        let users: Vec<u64> = rows.iter().map(|row| row.user).collect();
        let keys: Vec<Option<&[u32]>> = rows.iter().map(|row| Some(groups.key(row.group))).collect();
        let mut columns = vec![answer.ids(&users, 0)?];
        columns.extend(answer.by_values(decoder, &keys, 1)?);
        columns.push(times(rows.iter().map(|row| row.cohort_us).collect()));
        columns.push(times(rows.iter().map(|row| row.start_ts).collect()));
        columns.push(period_lists(spec, &rows)?);
        batches.push(answer.batch(columns)?);
    }
    let (user, cohort) = (0, 1 + answer.by);
    answer.sorted(&answer.concat(&batches)?, [user, cohort].into_iter())
}

fn period_lists(spec: &RetentionSpec, rows: &[UserRow]) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.rows.len()));
    let periods = rows.iter().flat_map(|row| &row.rows).map(|&row| Some(i64::from(spec.periods.period(row as usize))));
    let field = Arc::new(Field::new_list_field(DataType::Int64, true));
    let list = ListArray::try_new(field, offsets, Arc::new(periods.collect::<Int64Array>()), None);
    Ok(Arc::new(list.map_err(DataFusionError::from)?))
}
