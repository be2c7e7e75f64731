//! `emit => 'sessions'` and `'users'`: rows with the user that they are of.

use super::worker::{SessionsWorker, UserRow};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::merged_groups::MergedGroups;
use crate::plan::operator::{Answer, Decoder, Found};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use std::sync::Arc;

/// Bytes of a session, and of a user, in the columns that are made of it, while they are put into order.
const ROW_BYTES: usize = 250;

pub(super) fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

pub(super) fn doubles(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

/// What the codes of nodes of one thread are called, as texts: those up to `largest`, by code.
///
/// # Errors
/// Where values cannot be put together to a column of texts.
pub(super) fn names(decoder: &dyn Decoder, largest: u32) -> Result<ArrayRef> {
    let codes: Vec<u32> = (0..=largest).collect();
    Ok(cast(&decoder.column_values(0, &codes)?, &DataType::Utf8).map_err(DataFusionError::from)?)
}

/// Users one after the other, and which of them each row is of: a user's rows are neighbours.
fn users_once(rows: impl Iterator<Item = u64>) -> (Vec<u64>, UInt32Array) {
    let mut users: Vec<u64> = Vec::new();
    let places = rows.map(|user| {
        if users.last() != Some(&user) {
            users.push(user);
        }
        users.len() as u32 - 1
    });
    let places: Vec<u32> = places.collect();
    (users, places.into())
}

/// A row for each session, ordered by user and number.
pub(super) fn sessions(answer: &Answer<'_>, found: Vec<Found<'_, SessionsWorker>>) -> Result<RecordBatch> {
    let count: usize = found.iter().map(|(worker, _)| worker.found.sessions.len()).sum();
    answer.reservation.try_grow(count.saturating_mul(ROW_BYTES))?;
    let mut batches = Vec::with_capacity(found.len());
    for (worker, decoder) in found {
        answer.statement.check_cancelled()?;
        let (rows, groups) = (worker.found.sessions, worker.found.groups);
        let (users, places) = users_once(rows.iter().map(|row| row.user));
        let keys: Vec<Option<&[u32]>> = rows.iter().map(|row| Some(groups.key(row.group))).collect();
        let mut columns = vec![take(&answer.ids(&users, 0)?, &places, None).map_err(DataFusionError::from)?];
        columns.extend(answer.by_values(decoder, &keys, 1)?);
        columns.push(integers(rows.iter().map(|row| i64::from(row.number))));
        columns.push(times(rows.iter().map(|row| row.started_us).collect()));
        columns.push(times(rows.iter().map(|row| row.ended_us).collect()));
        let seconds = |us: i64| us as f64 / 1e6;
        columns.push(doubles(rows.iter().map(|row| Some(seconds(row.ended_us.saturating_sub(row.started_us))))));
        columns.push(integers(rows.iter().map(|row| i64::from(row.events))));
        let names = names(decoder, rows.iter().map(|row| row.entry.max(row.exit)).max().unwrap_or(0))?;
        for nodes in [rows.iter().map(|row| row.entry).collect(), rows.iter().map(|row| row.exit).collect()] {
            let nodes: Vec<u32> = nodes;
            columns.push(take(&names, &UInt32Array::from(nodes), None).map_err(DataFusionError::from)?);
        }
        columns.push(Arc::new(rows.iter().map(|row| Some(row.events == 1)).collect::<BooleanArray>()));
        batches.push(answer.batch(columns)?);
    }
    let (user, number) = (0, 1 + answer.by);
    answer.sorted(&answer.concat(&batches)?, [user, number].into_iter())
}

/// A row for each user and group, ordered by both.
pub(super) fn users(answer: &Answer<'_>, found: Vec<Found<'_, SessionsWorker>>) -> Result<RecordBatch> {
    let count: usize = found.iter().map(|(worker, _)| worker.found.users.len()).sum();
    answer.reservation.try_grow(count.saturating_mul(ROW_BYTES))?;
    let mut values = MergedGroups::new(answer, 1)?;
    let mut all: Vec<UserRow> = Vec::with_capacity(count);
    for (worker, decoder) in found {
        let (rows, groups) = (worker.found.users, worker.found.groups);
        let numbers = values.numbers(answer, decoder, &groups, rows.iter().map(|row| row.group))?;
        for of_user in rows.chunk_by(|a, b| a.user == b.user) {
            let mut of_user: Vec<UserRow> =
                of_user.iter().map(|row| UserRow { group: numbers[&row.group], ..*row }).collect();
            // Different codes may mean the same.
            of_user.sort_unstable_by_key(|row| row.group);
            of_user.dedup_by(|next, row| {
                let is_same = next.group == row.group;
                if is_same {
                    row.sessions += next.sessions;
                    row.bounces += next.bounces;
                    row.events += next.events;
                    row.us += next.us;
                }
                is_same
            });
            all.extend(of_user);
        }
    }
    let (users, places) = users_once(all.iter().map(|row| row.user));
    let mut columns = vec![take(&answer.ids(&users, 0)?, &places, None).map_err(DataFusionError::from)?];
    columns.extend(values.columns(all.iter().map(|row| row.group))?);
    columns.push(integers(all.iter().map(|row| i64::from(row.sessions))));
    columns.push(doubles(all.iter().map(|row| Some(row.us as f64 / 1e6))));
    columns.push(integers(all.iter().map(|row| row.events as i64)));
    columns.push(integers(all.iter().map(|row| i64::from(row.bounces))));
    answer.sorted(&answer.batch(columns)?, 0..1 + answer.by)
}
