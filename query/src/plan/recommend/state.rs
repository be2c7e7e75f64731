//! The events of all threads as one state that algorithms read: items and users by codes that do not depend on threads.

use super::Recommend;
use super::worker::{Event, Newest, RecommendWorker};
use crate::behavior::recommend::{Interaction, Interactions};
use crate::error::Result;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::{cast, concat, sort_to_indices, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;

/// Who did what with which item.
pub(super) struct State {
    pub(super) interactions: Interactions,
    /// The items, in order of their values: the code of an item is its place here.
    pub(super) items: ArrayRef,
    /// The number of each user in the numbering of the source: the code of a user is its place here.
    pub(super) users: Vec<u64>,
    /// By code of item, whether it may be recommended; `None`: all may.
    pub(super) candidates: Option<Vec<bool>>,
}

impl State {
    /// The state of what the threads found.
    pub(super) fn new(
        recommend: &Recommend,
        answer: &Answer<'_>,
        found: Vec<Found<'_, RecommendWorker>>,
    ) -> Result<Self> {
        let mut parts = Vec::with_capacity(found.len());
        let mut values = Vec::with_capacity(found.len());
        for (worker, decoder) in found {
            let mut codes: Vec<u32> = worker.events.iter().map(|event| event.item).collect();
            codes.extend(worker.newest.keys());
            codes.sort_unstable();
            codes.dedup();
            values.push(decoder.column_values(0, &codes)?);
            parts.push((worker, codes));
        }
        let (items, codes_of_parts) = merged(&values)?;
        let code_of = |part: usize, codes: &[u32], item: u32| -> u32 {
            let place = codes.partition_point(|&code| code < item);
            codes_of_parts[part][place]
        };
        let mut numbers: Vec<u64> =
            parts.iter().flat_map(|(worker, _)| &worker.events).map(|event| event.user).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let codes_of_users = codes_of_users(&numbers, answer)?;
        let mut newest: HashMap<u32, Newest> = HashMap::new();
        let mut events: Vec<(u32, Interaction)> = Vec::new();
        for (part, (worker, codes)) in parts.into_iter().enumerate() {
            for (item, of_item) in worker.newest {
                let known = newest.entry(code_of(part, &codes, item)).or_insert(of_item);
                *known = (*known).max(of_item);
            }
            // All events of a user are in one part, in order.
            events.extend(worker.events.into_iter().map(|Event { user, ts_us, item, kind }| {
                let user = codes_of_users[numbers.partition_point(|&other| other < user)];
                (user, Interaction { ts_us, item: code_of(part, &codes, item), kind })
            }));
        }
        let candidates = recommend.candidates.then(|| {
            let is_candidate = |item: u32| newest.get(&item).is_some_and(|newest| newest.is_candidate);
            (0..items.len() as u32).map(is_candidate).collect()
        });
        let mut users = vec![0; numbers.len()];
        numbers.iter().zip(&codes_of_users).for_each(|(&number, &code)| users[code as usize] = number);
        Ok(Self { interactions: Interactions::from_events(events), items, users, candidates })
    }

    /// The order of items by value, by code: codes are in that order.
    pub(super) fn ranks(&self) -> Vec<u32> {
        (0..self.items.len() as u32).collect()
    }

    /// The code of an item, if there is one of this value.
    pub(super) fn item(&self, value: &ScalarValue) -> Result<Option<u32>> {
        let Ok(value) = value.cast_to(self.items.data_type()) else { return Ok(None) };
        if value.is_null() {
            return Ok(None);
        }
        let same = datafusion::arrow::compute::kernels::cmp::eq(&self.items, &value.to_scalar()?);
        let same = same.map_err(DataFusionError::from)?;
        Ok((0..same.len()).find(|&item| same.value(item)).map(|item| item as u32))
    }
}

/// The code of each user, which orders uses of equal time: by number where that order is always the same, else by id.
fn codes_of_users(numbers: &[u64], answer: &Answer<'_>) -> Result<Vec<u32>> {
    if answer.numbers_in_order || numbers.is_empty() {
        return Ok((0..numbers.len() as u32).collect());
    }
    let order = sort_to_indices(&(answer.user_ids)(numbers)?, None, None).map_err(DataFusionError::from)?;
    let mut codes = vec![0; numbers.len()];
    (0..).zip(order.values()).for_each(|(code, &place)| codes[place as usize] = code);
    Ok(codes)
}

/// The distinct values of several columns in their order, and for each value of each column its place among them.
fn merged(columns: &[ArrayRef]) -> Result<(ArrayRef, Vec<Vec<u32>>)> {
    let parts: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let all = concat(&parts).map_err(DataFusionError::from)?;
    // Dictionaries and the like would be compared by what they are, not by their values.
    let all = match all.data_type() {
        DataType::Dictionary(_, values) => cast(&all, values).map_err(DataFusionError::from)?,
        _ => all,
    };
    let order = sort_to_indices(&all, None, None).map_err(DataFusionError::from)?;
    let converter = RowConverter::new(vec![SortField::new(all.data_type().clone())]).map_err(DataFusionError::from)?;
    let rows = converter.convert_columns(std::slice::from_ref(&all)).map_err(DataFusionError::from)?;
    let mut places = vec![0_u32; all.len()];
    let mut firsts: Vec<u32> = Vec::new();
    for &row in order.values() {
        let is_new = firsts.last().is_none_or(|&last| rows.row(last as usize) != rows.row(row as usize));
        if is_new {
            firsts.push(row);
        }
        places[row as usize] = firsts.len() as u32 - 1;
    }
    let distinct = take(&all, &UInt32Array::from(firsts), None).map_err(DataFusionError::from)?;
    let mut rest = places.as_slice();
    let of_columns = columns.iter().map(|column| {
        let (of_column, behind) = rest.split_at(column.len());
        rest = behind;
        of_column.to_vec()
    });
    let of_columns = of_columns.collect();
    Ok((distinct, of_columns))
}
