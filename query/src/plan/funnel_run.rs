//! The kernel at work: users in, partial results out, merged and turned into the rows of the answer. The same for
//! events from a table and for rows of any relation.

use super::floats;
use super::funnel_node::{Emit, FunnelShape, time_type};
use crate::behavior::funnel::{
    Attribution, Bucket, Chain, Count, FunnelKernel, FunnelPartial, FunnelSpec, GroupPartial, StepRow, UserInput,
    finish_all,
};
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
use trodden_engine::scan::{Keys, Times};

/// A group of the answer: the codes of its `by` values and the start of its bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupKey {
    /// `None`: the chain does not have the event that gives the values, which then are NULL. That is not the same as an
    /// event whose columns are NULL: an expression may make something of those.
    pub(crate) by: Option<Vec<u32>>,
    pub(crate) bucket_us: i64,
}

/// One user's events, as a source delivers them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserRows<'a> {
    /// Which user, in the numbering of the source.
    pub(crate) user: u64,
    pub(crate) times: Times<'a>,
    /// Bit i: step i is satisfied; bit steps + e: exclusion e is.
    pub(crate) masks: &'a [u64],
    /// Exclusions, where they do not fit beside the steps.
    pub(crate) excludes: Option<&'a [u64]>,
    pub(crate) by: Keys<'a>,
    pub(crate) hold: Keys<'a>,
}

/// A row of `emit => 'users'`, before names come back.
#[derive(Debug)]
struct UserRow {
    user: u64,
    by: Option<Vec<u32>>,
    times: Vec<i64>,
    reason: Option<&'static str>,
}

/// The kernel and the partial result of one thread.
#[derive(Debug)]
pub(crate) struct FunnelWorker {
    kernel: FunnelKernel,
    emit: Emit,
    /// Whether the answer has groups: without, every chain belongs to the only one.
    grouped: bool,
    by_columns: usize,
    partial: FunnelPartial<GroupKey>,
    /// In place of `partial` where the code of one `by` column at most makes the group: groups by code, so that no key
    /// is looked up for every user. The first is that of chains without the event that gives the value.
    by_code: Option<Vec<GroupPartial>>,
    /// Nobody asks for durations: where the group of a user is known without the chosen chain, its level is enough.
    levels_only: bool,
    users: Vec<UserRow>,
    key: GroupKey,
    steps: Vec<u64>,
    excludes: Vec<u64>,
    hold: Vec<u32>,
    hold_codes: HashMap<Vec<u32>, u32>,
}

impl FunnelWorker {
    /// A worker with nothing counted yet, for users with `by_columns` columns of `by` codes.
    ///
    /// # Errors
    /// As [`FunnelSpec::validate`].
    pub(crate) fn new(spec: &FunnelSpec, shape: &FunnelShape, by_columns: usize) -> Result<Self> {
        let kernel = FunnelKernel::new(spec.clone())?;
        let emit = shape.emit;
        let kernel = if emit == Emit::Users { kernel.with_reasons() } else { kernel };
        let by_code = by_columns <= 1 && !shape.bucketed && emit == Emit::Steps;
        Ok(Self {
            kernel,
            emit,
            grouped: !shape.by.is_empty(),
            by_columns,
            partial: FunnelPartial::default(),
            by_code: by_code.then(Vec::new),
            levels_only: false,
            users: Vec::new(),
            key: GroupKey::default(),
            steps: Vec::new(),
            excludes: Vec::new(),
            hold: Vec::new(),
            hold_codes: HashMap::new(),
        })
    }

    /// A worker of which only the counts are asked for.
    pub(crate) fn without_durations(mut self) -> Self {
        let spec = self.kernel.spec();
        self.levels_only = self.by_code.is_some()
            && spec.count == Count::Users
            && (!self.grouped || spec.attribution == Attribution::First);
        self
    }

    /// Count a user by the level alone; false where that is not enough.
    fn user_by_level(&mut self, rows: &UserRows<'_>) -> bool {
        let Some(groups) = &mut self.by_code else { return false };
        let slot = match self.by_columns {
            0 => 1,
            _ if rows.by.is_per_user() => 1 + rows.by.code(0, 0) as usize,
            _ => return false,
        };
        if slot >= SLOTS_MAX {
            return false;
        }
        let Some(level) = self.kernel.level(rows.times, rows.masks) else { return false };
        if level > 0 {
            group_of_slot(groups, slot).add_level(level);
        }
        true
    }

    /// Count a user.
    pub(crate) fn user(&mut self, rows: &UserRows<'_>) {
        if self.levels_only && self.user_by_level(rows) {
            return;
        }
        let spec = self.kernel.spec();
        let split = !spec.excludes.is_empty() && rows.excludes.is_none();
        if split {
            let (steps, mask) = (spec.steps.len(), step_mask(spec.steps.len()));
            self.steps.clear();
            self.steps.extend(rows.masks.iter().map(|events| events & mask));
            self.excludes.clear();
            self.excludes.extend(rows.masks.iter().map(|events| events.checked_shr(steps as u32).unwrap_or(0)));
        }
        join_hold(rows.hold, rows.masks.len(), &mut self.hold, &mut self.hold_codes);
        let input = UserInput {
            times: rows.times,
            steps: if split { &self.steps } else { rows.masks },
            excludes: if split { &self.excludes } else { rows.excludes.unwrap_or(&[]) },
            hold: &self.hold,
        };
        let (attribution, bucket, zone) = (spec.attribution, spec.bucket, spec.time_zone);
        for chain in self.kernel.run(&input).iter() {
            let attribution = if self.grouped { attribution } else { Attribution::First };
            let event = chain.attributed_event(attribution).map(|event| event as usize);
            if let Some(groups) = &mut self.by_code {
                let code = |event| if self.by_columns == 0 { 0 } else { rows.by.code(0, event) as usize };
                let slot = event.map_or(0, |event| 1 + code(event));
                if slot < SLOTS_MAX {
                    group_of_slot(groups, slot).add(&chain);
                    continue;
                }
            }
            set_key(&mut self.key.by, &rows.by, event);
            if self.emit == Emit::Users {
                self.users.push(user_row(rows, &chain, self.key.by.clone()));
                continue;
            }
            let start_us = |bucket: Bucket| bucket.start_us(chain.times[0], zone);
            self.key.bucket_us = bucket.map_or(0, start_us);
            self.partial.add(&self.key, &chain);
        }
    }

    /// Add counts to the only group of an answer without `by`.
    pub(crate) fn merge_only_group(&mut self, group: GroupPartial) {
        match &mut self.by_code {
            Some(groups) => group_of_slot(groups, 1).merge(group),
            None => self.partial.merge_group(GroupKey { by: Some(Vec::new()), bucket_us: 0 }, group),
        }
    }

    /// Memory in use by the results, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let row = size_of::<UserRow>() + 8 * (self.by_columns + self.kernel.spec().steps.len());
        let groups = self.by_code.iter().flatten();
        let by_code: usize = groups.map(|group| size_of::<GroupPartial>() + group.heap_bytes()).sum();
        by_code + self.partial.heap_bytes() + self.users.len() * row
    }

    fn into_groups(self) -> Vec<(GroupKey, GroupPartial)> {
        let by = self.by_columns;
        let by_slot = self.by_code.into_iter().flatten().zip(0_u32..).filter(|(group, _)| !group.is_empty());
        let by_slot = by_slot.map(|(group, slot)| {
            let by = slot.checked_sub(1).map(|code| vec![code; by]);
            (GroupKey { by, bucket_us: 0 }, group)
        });
        self.partial.into_groups().chain(by_slot).collect()
    }
}

/// Groups with a code below this are found by it, the others by their key.
const SLOTS_MAX: usize = 1 << 16;

fn group_of_slot(groups: &mut Vec<GroupPartial>, slot: usize) -> &mut GroupPartial {
    if groups.len() <= slot {
        groups.resize_with(slot + 1, GroupPartial::default);
    }
    &mut groups[slot]
}

/// Make `key` the codes of `event`, in the memory that it has.
fn set_key(key: &mut Option<Vec<u32>>, by: &Keys<'_>, event: Option<usize>) {
    let Some(event) = event else {
        *key = None;
        return;
    };
    let codes = key.get_or_insert_default();
    codes.clear();
    codes.extend((0..by.columns()).map(|column| by.code(column, event)));
}

fn step_mask(steps: usize) -> u64 {
    if steps >= 64 { u64::MAX } else { (1 << steps) - 1 }
}

fn user_row(rows: &UserRows<'_>, chain: &Chain<'_>, by: Option<Vec<u32>>) -> UserRow {
    let reason = chain.reason.map(|reason| reason.name());
    UserRow { user: rows.user, by, times: chain.times.to_vec(), reason }
}

/// One code for the values of several columns at each of `events` events: 0 where one of them is NULL.
fn join_hold(columns: Keys<'_>, events: usize, joined: &mut Vec<u32>, codes: &mut HashMap<Vec<u32>, u32>) {
    joined.clear();
    match columns.columns() {
        0 => {}
        1 => joined.extend((0..events).map(|event| columns.code(0, event))),
        count => {
            let mut values = Vec::with_capacity(count);
            for event in 0..events {
                values.clear();
                values.extend((0..count).map(|column| columns.code(column, event)));
                let next = codes.len() as u32 + 1;
                let code = match (values.contains(&0), codes.get(&values)) {
                    (true, _) => 0,
                    (false, Some(&code)) => code,
                    (false, None) => *codes.entry(values.clone()).or_insert(next),
                };
                joined.push(code);
            }
        }
    }
}

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
            let rows = worker.users;
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

/// Values of one type as a column.
pub(crate) fn column_of(values: impl IntoIterator<Item = ScalarValue>, data_type: &DataType) -> Result<ArrayRef> {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(datafusion::arrow::array::new_empty_array(data_type));
    }
    let column = ScalarValue::iter_to_array(values)?;
    Ok(cast(&column, data_type).map_err(datafusion::common::DataFusionError::from)?)
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let batch = RecordBatch::try_new(Arc::clone(schema), columns);
    batch.map_err(|error| Error::internal(format!("the answer of the funnel: {error}")))
}

/// Whether the kernel wants the events that satisfy nothing, too.
pub(crate) fn needs_every_event(spec: &FunnelSpec) -> Result<bool> {
    Ok(FunnelKernel::new(spec.clone())?.needs_every_event())
}
