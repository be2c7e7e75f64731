//! Results of all threads in, the rows of the answer out. The same for events from a table and for rows of any relation.

use super::columns::column_of;
use super::floats;
use super::funnel_node::{Emit, FunnelShape, time_type};
use super::funnel_results::UserRow;
use super::funnel_worker::FunnelWorker;
use crate::behavior::funnel::{FunnelSpec, GroupPartial, StepRow, finish_all};
use crate::error::{Error, Result};
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{SortColumn, cast, lexsort_to_indices, take, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;

/// A group of the answer: its `by` values, and the start of its bucket.
type Group = (Vec<ScalarValue>, i64);

/// What a worker's codes mean.
pub(crate) trait Decoder {
    /// The values of the `by` columns for each of `keys`: a column each.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises.
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>>;
}

/// Merges workers and makes the answer.
pub(crate) struct Finisher<'a> {
    pub(crate) shape: &'a FunnelShape,
    pub(crate) spec: &'a FunnelSpec,
    pub(crate) threads: usize,
    /// Of the whole answer.
    pub(crate) schema: SchemaRef,
}

impl Finisher<'_> {
    /// The rows of `emit => 'steps'`, ordered by group.
    pub(crate) fn steps(&self, workers: Vec<(FunnelWorker, &dyn Decoder)>) -> Result<RecordBatch> {
        let mut groups: HashMap<Group, GroupPartial> = HashMap::new();
        for (worker, decoder) in workers {
            let parts = worker.into_groups();
            let keys: Vec<Option<&[u32]>> = parts.iter().map(|(key, _)| key.by.as_deref()).collect();
            let columns = self.by_values(decoder, &keys)?;
            for (row, (key, part)) in parts.into_iter().enumerate() {
                let values = columns.iter().map(|column| ScalarValue::try_from_array(column, row));
                let values = values.collect::<datafusion::common::Result<Vec<_>>>()?;
                groups.entry((values, key.bucket_us)).or_default().merge(part);
            }
        }
        if groups.is_empty() && self.shape.by.is_empty() && !self.shape.bucketed {
            groups.insert(Default::default(), GroupPartial::default());
        }
        let steps = self.spec.steps.len();
        let (keys, parts): (Vec<Group>, Vec<GroupPartial>) = groups.into_iter().unzip();
        let groups: Vec<_> = keys.into_iter().zip(finish_all(parts, steps, self.threads)).collect();
        let batch = self.step_batch(&groups)?;
        self.sorted(batch, self.shape.by.len() + usize::from(self.shape.bucketed) + 1)
    }

    /// The `by` values behind keys: NULL where a chain does not have the event that gives them.
    fn by_values(&self, decoder: &dyn Decoder, keys: &[Option<&[u32]>]) -> Result<Vec<ArrayRef>> {
        let known: Vec<&[u32]> = keys.iter().copied().flatten().collect();
        let start = usize::from(self.shape.emit == Emit::Users);
        let fields = &self.schema.fields()[start..start + self.shape.by.len()];
        if known.is_empty() {
            return Ok(fields.iter().map(|field| new_null_array(field.data_type(), keys.len())).collect());
        }
        let columns = decoder.by_values(&known)?;
        let mut places = 0..known.len() as u32;
        let places: UInt32Array = keys.iter().map(|key| key.and_then(|_| places.next())).collect();
        let columns = columns.iter().zip(fields).map(|(column, field)| {
            let column = floats::of_column(&cast(column, field.data_type())?);
            if known.len() == keys.len() { Ok(column) } else { take(&column, &places, None) }
        });
        Ok(columns.collect::<Result<_, _>>().map_err(datafusion::common::DataFusionError::from)?)
    }

    fn step_batch(&self, groups: &[(Group, Vec<StepRow>)]) -> Result<RecordBatch> {
        let rows = || groups.iter().flat_map(|(_, rows)| rows);
        let steps = self.spec.steps.len();
        let repeated = |value: &dyn Fn(&Group) -> ScalarValue, data_type: &DataType| {
            let values = groups.iter().flat_map(|(key, _)| std::iter::repeat_n(value(key), steps));
            column_of(values, data_type)
        };
        let mut columns = Vec::new();
        for (i, field) in self.schema.fields()[..self.shape.by.len()].iter().enumerate() {
            columns.push(repeated(&|key| key.0[i].clone(), field.data_type())?);
        }
        if self.shape.bucketed {
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
        batch(&self.schema, columns)
    }

    /// The rows of `emit => 'users'`, ordered by user and entry. `user_ids` gives the ids behind numbers of users.
    pub(crate) fn users(
        &self,
        workers: Vec<(FunnelWorker, &dyn Decoder)>,
        user_ids: impl Fn(&[u64]) -> Result<ArrayRef>,
    ) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        for (worker, decoder) in workers {
            let rows = worker.into_users();
            let users: Vec<u64> = rows.iter().map(|row| row.user).collect();
            let keys: Vec<Option<&[u32]>> = rows.iter().map(|row| row.by.as_deref()).collect();
            let ids = cast(&user_ids(&users)?, self.schema.field(0).data_type());
            let mut columns = vec![ids.map_err(datafusion::common::DataFusionError::from)?];
            columns.extend(self.by_values(decoder, &keys)?);
            let entered = rows.iter().map(|row| row.times[0]).collect::<Vec<_>>();
            columns.push(times(entered));
            columns.push(Arc::new(rows.iter().map(|row| i64::try_from(row.times.len()).ok()).collect::<Int64Array>()));
            columns.push(time_lists(&rows)?);
            columns.push(Arc::new(rows.iter().map(|row| row.reason).collect::<StringArray>()));
            batches.push(batch(&self.schema, columns)?);
        }
        let all = datafusion::arrow::compute::concat_batches(&self.schema, &batches);
        let all = all.map_err(datafusion::common::DataFusionError::from)?;
        let entered = 1 + self.shape.by.len();
        // Attempts that enter at the same time stay in their order, in which they lie beside each other.
        let position: ArrayRef = Arc::new((0..all.num_rows() as u32).collect::<UInt32Array>());
        let order = [Arc::clone(all.column(0)), Arc::clone(all.column(entered)), position];
        sort_by(&all, &order.map(|values| SortColumn { values, options: None }))
    }

    fn sorted(&self, batch: RecordBatch, columns: usize) -> Result<RecordBatch> {
        let order: Vec<_> =
            (0..columns).map(|at| SortColumn { values: batch.column(at).clone(), options: None }).collect();
        sort_by(&batch, &order)
    }
}

fn sort_by(batch: &RecordBatch, order: &[SortColumn]) -> Result<RecordBatch> {
    let sorted = lexsort_to_indices(order, None).and_then(|order| take_record_batch(batch, &order));
    Ok(sorted.map_err(datafusion::common::DataFusionError::from)?)
}

fn times(us: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(us).with_timezone("UTC"))
}

fn time_lists(rows: &[UserRow]) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.times.len()));
    let values = times(rows.iter().flat_map(|row| row.times.iter().copied()).collect());
    let field = Arc::new(Field::new_list_field(time_type(), true));
    let list = ListArray::try_new(field, offsets, values, None);
    Ok(Arc::new(list.map_err(datafusion::common::DataFusionError::from)?))
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let batch = RecordBatch::try_new(Arc::clone(schema), columns);
    batch.map_err(|error| Error::internal(format!("the answer of the funnel: {error}")))
}
