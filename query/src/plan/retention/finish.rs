//! Results of all threads in, the rows of the answer out.

use super::worker::{RetentionWorker, UserRow};
use crate::behavior::retention::{CohortPartial, RetentionPartial, RetentionRow, RetentionSpec, each_row};
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
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The rows of `emit => 'matrix'`, ordered by cohort, group and period; with `is_merged` those of one cohort for each group.
pub(super) fn matrix(
    spec: &RetentionSpec,
    is_merged: bool,
    answer: &Answer<'_>,
    found: Vec<Found<'_, RetentionWorker>>,
) -> Result<RecordBatch> {
    let mut groups = GroupValues::default();
    let mut all = Merged::default();
    for (worker, decoder) in found {
        let RetentionWorker { partial, counted, groups: codes, .. } = worker;
        let mut used: Vec<u32> = partial.keys().copied().chain(counted.iter().map(|(_, group, _)| *group)).collect();
        used.sort_unstable();
        used.dedup();
        let keys: Vec<Option<&[u32]>> = used.iter().map(|&group| Some(codes.key(group))).collect();
        let values = answer.by_rows(decoder, &keys, 1)?;
        let numbers: Vec<u32> = values.into_iter().map(|values| groups.number(values)).collect();
        let mut number_of = vec![0; used.last().map_or(0, |&last| last as usize + 1)];
        used.iter().zip(&numbers).for_each(|(&group, &number)| number_of[group as usize] = number);
        all.add(partial, counted, &number_of, groups.values.len() == numbers.len());
    }
    let cohorts = if is_merged { one_a_group(all.cohorts()) } else { all.cohorts() };
    let newest_ts = if cohorts.is_empty() { i64::MIN } else { (answer.newest_ts)()? };
    let columns = groups.columns(answer)?;
    let ranks = groups.ranks(&columns)?;
    let mut rows = Rows::with_room(cohorts.len() * spec.periods.rows());
    let keyed = cohorts.into_iter().map(|((start, group), of)| ((start, (ranks[group as usize], group)), of)).collect();
    each_row(keyed, spec, newest_ts, |row| rows.push(&row));
    rows.batch(answer, &columns)
}

/// All cohorts of each group as one, which starts with the first of them.
fn one_a_group(cohorts: Vec<((i64, u32), CohortPartial)>) -> Vec<((i64, u32), CohortPartial)> {
    let mut groups: BTreeMap<u32, (i64, CohortPartial)> = BTreeMap::new();
    for ((start, group), cohort) in cohorts {
        let (first, sum) = groups.entry(group).or_insert_with(|| (start, CohortPartial::default()));
        *first = start.min(*first);
        sum.merge(cohort);
    }
    groups.into_iter().map(|(group, (start, cohort))| ((start, group), cohort)).collect()
}

/// The cohorts of all workers.
#[derive(Default)]
struct Merged {
    /// Those of the first one, each once, as long as there is no other.
    only: Option<Vec<((i64, u32), CohortPartial)>>,
    partial: RetentionPartial<u32>,
}

impl Merged {
    /// Add what a worker found, whose groups are called `numbers` here. `is_apart`: no two groups are called alike, and
    /// none was met before.
    fn add(
        &mut self,
        partial: RetentionPartial<u32>,
        counted: Vec<(i64, u32, CohortPartial)>,
        numbers: &[u32],
        is_apart: bool,
    ) {
        let number = |group: u32| numbers[group as usize];
        let counted = counted.into_iter().map(|(start, group, cohort)| ((start, number(group)), cohort));
        if is_apart && self.only.is_none() && self.partial.is_empty() && partial.is_empty() {
            self.only = Some(counted.collect());
            return;
        }
        for ((start, group), cohort) in self.only.take().into_iter().flatten().chain(counted) {
            self.partial.merge_cohort(start, group, cohort);
        }
        self.partial.merge_as(partial, |&group| number(group));
    }

    fn cohorts(self) -> Vec<((i64, u32), CohortPartial)> {
        self.only.unwrap_or_else(|| self.partial.into_cohorts())
    }
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
