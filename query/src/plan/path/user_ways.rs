//! `emit => 'users'`: every way with its user, one after the other.

use super::worker::PathWorker;
use crate::behavior::path::{CUT, Way};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::node::time_type;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, ListArray, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{concat, concat_batches, sort_to_indices, take, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DataFusionError;
use std::sync::Arc;

/// Ways of one thread, before names come back.
#[derive(Debug, Default)]
pub(super) struct UserWays {
    users: Vec<u64>,
    groups: Vec<u32>,
    lengths: Vec<u32>,
    exited: Vec<bool>,
    /// Stops and their times, of one way after the other.
    stops: Vec<u32>,
    times: Vec<i64>,
}

impl UserWays {
    pub(super) fn add(&mut self, user: u64, group: u32, way: &Way<'_>) {
        self.users.push(user);
        self.groups.push(group);
        self.lengths.push(way.stops.len() as u32);
        self.exited.push(way.exited);
        self.stops.extend_from_slice(way.stops);
        self.times.extend_from_slice(way.times);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let per_way = 8 * self.users.capacity() + 4 * (self.groups.capacity() + self.lengths.capacity());
        per_way + self.exited.capacity() + 4 * self.stops.capacity() + 8 * self.times.capacity()
    }
}

/// The rows, ordered by user; those of a user session by session, and from early to late.
pub(super) fn finish(answer: &Answer<'_>, found: Vec<Found<'_, PathWorker>>) -> Result<RecordBatch> {
    let (mut batches, mut ids) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    // How many ways each user has, and which rows they are in: a user's ways are neighbours.
    let (mut rows, mut last) = (Vec::new(), 0);
    for (worker, decoder) in found {
        let (ways, groups) = worker.into_user_ways();
        let (mut users, mut user_of_way) = (Vec::new(), Vec::with_capacity(ways.users.len()));
        for of_user in ways.users.chunk_by(|a, b| a == b) {
            user_of_way.resize(user_of_way.len() + of_user.len(), users.len() as u32);
            users.push(of_user[0]);
            rows.push(last..last + of_user.len() as u32);
            last += of_user.len() as u32;
        }
        let own_ids = answer.ids(&users, 0)?;
        let mut columns = vec![take(&own_ids, &UInt32Array::from(user_of_way), None).map_err(DataFusionError::from)?];
        ids.push(own_ids);
        let keys: Vec<Option<&[u32]>> = ways.groups.iter().map(|&group| Some(groups.key(group))).collect();
        columns.extend(answer.by_values(decoder, &keys, 1)?);
        let names = super::finish::names(decoder, ways.stops.iter().copied())?;
        let stops: StringArray = ways.stops.iter().map(|&stop| Some(name_of(&names, stop))).collect();
        columns.push(list(&ways.lengths, Arc::new(stops), DataType::Utf8)?);
        columns.push(list(&ways.lengths, times(ways.times), time_type())?);
        columns.push(Arc::new(BooleanArray::from(ways.exited)));
        batches.push(answer.batch(columns)?);
    }
    let ids: Vec<&dyn Array> = ids.iter().map(AsRef::as_ref).collect();
    let by_user = concat(&ids).and_then(|ids| sort_to_indices(&ids, None, None)).map_err(DataFusionError::from)?;
    let order: UInt32Array = by_user.values().iter().flat_map(|&user| rows[user as usize].clone()).collect();
    let all = concat_batches(&answer.schema, &batches).and_then(|all| take_record_batch(&all, &order));
    Ok(all.map_err(DataFusionError::from)?)
}

/// What a stop is called.
pub(super) fn name_of(names: &StringArray, stop: u32) -> &str {
    if stop == CUT { "…" } else { names.value(stop as usize) }
}

/// Lists of these lengths, of `values` one after the other.
pub(super) fn list(lengths: &[u32], values: ArrayRef, of: DataType) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|&length| length as usize));
    let list = ListArray::try_new(Arc::new(Field::new_list_field(of, true)), offsets, values, None);
    Ok(Arc::new(list.map_err(DataFusionError::from)?))
}
