//! Results of all threads in, the rows of the answer out. The same for events from a table and for rows of any relation.

use super::Funnel;
use super::results::UserRow;
use super::worker::FunnelWorker;
use crate::behavior::funnel::{FunnelSpec, GroupPartial, StepRow, finish_all};
use crate::error::Result;
use crate::plan::answer::{sort_by, times};
use crate::plan::columns::column_of;
use crate::plan::node::time_type;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::SortColumn;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;

/// A group of the answer: its `by` values, and the start of its bucket.
type Group = (Vec<ScalarValue>, i64);

/// Merges workers and makes the answer.
pub(super) struct Finisher<'a> {
    pub(super) funnel: &'a Funnel,
    pub(super) spec: &'a FunnelSpec,
    pub(super) answer: &'a Answer<'a>,
}

impl Finisher<'_> {
    /// The rows of `emit => 'steps'`, ordered by group.
    pub(super) fn steps(&self, found: Vec<Found<'_, FunnelWorker>>) -> Result<RecordBatch> {
        let mut groups: HashMap<Group, GroupPartial> = HashMap::new();
        for (worker, decoder) in found {
            let parts = worker.into_groups();
            let keys: Vec<Option<&[u32]>> = parts.iter().map(|(key, _)| key.by.as_deref()).collect();
            let values = self.answer.by_rows(decoder, &keys, 0)?;
            for ((key, part), values) in parts.into_iter().zip(values) {
                groups.entry((values, key.bucket_us)).or_default().merge(part);
            }
        }
        if groups.is_empty() && !self.funnel.grouped && !self.funnel.bucketed {
            groups.insert(Default::default(), GroupPartial::default());
        }
        let steps = self.spec.steps.len();
        let (keys, parts): (Vec<Group>, Vec<GroupPartial>) = groups.into_iter().unzip();
        let groups: Vec<_> = keys.into_iter().zip(finish_all(parts, steps, self.answer.threads)).collect();
        let batch = self.step_batch(&groups)?;
        self.answer.sorted(&batch, 0..self.answer.by + usize::from(self.funnel.bucketed) + 1)
    }

    fn step_batch(&self, groups: &[(Group, Vec<StepRow>)]) -> Result<RecordBatch> {
        let rows = || groups.iter().flat_map(|(_, rows)| rows);
        let steps = self.spec.steps.len();
        let repeated = |value: &dyn Fn(&Group) -> ScalarValue, data_type: &DataType| {
            let values = groups.iter().flat_map(|(key, _)| std::iter::repeat_n(value(key), steps));
            column_of(values, data_type)
        };
        let mut columns = Vec::new();
        for (i, field) in self.answer.schema.fields()[..self.answer.by].iter().enumerate() {
            columns.push(repeated(&|key| key.0[i].clone(), field.data_type())?);
        }
        if self.funnel.bucketed {
            let at = |us| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
            columns.push(repeated(&|key| at(key.1), &time_type())?);
        }
        let integer = |value: &dyn Fn(&StepRow) -> u64| -> ArrayRef {
            Arc::new(rows().map(|row| i64::try_from(value(row)).ok()).collect::<Int64Array>())
        };
        let double = |value: &dyn Fn(&StepRow) -> Option<f64>| -> ArrayRef {
            Arc::new(rows().map(value).collect::<Float64Array>())
        };
        let names = rows().map(|row| Some(self.spec.steps[row.step as usize - 1].as_str()));
        columns.push(integer(&|row| u64::from(row.step)));
        columns.push(Arc::new(names.collect::<StringArray>()));
        columns.push(integer(&|row| row.users));
        columns.push(double(&|row| row.conversion));
        columns.push(double(&|row| row.step_conversion));
        columns.push(integer(&|row| row.dropped));
        columns.push(double(&|row| row.median_seconds));
        columns.push(double(&|row| row.p90_seconds));
        columns.push(double(&|row| row.median_seconds_total));
        self.answer.batch(columns)
    }

    /// The rows of `emit => 'users'`, ordered by user and entry.
    pub(super) fn users(&self, found: Vec<Found<'_, FunnelWorker>>) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        for (worker, decoder) in found {
            let rows = worker.into_users();
            let users: Vec<u64> = rows.iter().map(|row| row.user).collect();
            let keys: Vec<Option<&[u32]>> = rows.iter().map(|row| row.by.as_deref()).collect();
            let mut columns = vec![self.answer.ids(&users, 0)?];
            columns.extend(self.answer.by_values(decoder, &keys, 1)?);
            let entered = rows.iter().map(|row| row.times[0]).collect::<Vec<_>>();
            columns.push(times(entered));
            columns.push(Arc::new(rows.iter().map(|row| i64::try_from(row.times.len()).ok()).collect::<Int64Array>()));
            columns.push(time_lists(&rows)?);
            columns.push(Arc::new(rows.iter().map(|row| row.reason).collect::<StringArray>()));
            batches.push(self.answer.batch(columns)?);
        }
        let all = self.answer.concat(&batches)?;
        let entered = 1 + self.answer.by;
        // Attempts that enter at the same time stay in their order, in which they lie beside each other.
        let position: ArrayRef = Arc::new((0..all.num_rows() as u32).collect::<UInt32Array>());
        let order = [Arc::clone(all.column(0)), Arc::clone(all.column(entered)), position];
        sort_by(&all, &order.map(|values| SortColumn { values, options: None }))
    }
}

fn time_lists(rows: &[UserRow]) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.times.len()));
    let values = times(rows.iter().flat_map(|row| row.times.iter().copied()).collect());
    let field = Arc::new(Field::new_list_field(time_type(), true));
    let list = ListArray::try_new(field, offsets, values, None);
    Ok(Arc::new(list.map_err(datafusion::common::DataFusionError::from)?))
}
