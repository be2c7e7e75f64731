//! Results of all threads in, the rows of the answer out.

use super::worker::{LifecycleWorker, UserRow};
use crate::behavior::lifecycle::{LifecyclePartial, LifecycleRow, LifecycleSpec, Status};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::merged_groups::MergedGroups;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{BooleanArray, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;

/// Bytes of a row of `emit => 'periods'`, with the columns that are made of it; `by` values come on top.
const ROW_BYTES: usize = size_of::<LifecycleRow>() + 40;

/// The rows of `emit => 'periods'`, ordered by period, group and status.
pub(super) fn periods(
    spec: &LifecycleSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, LifecycleWorker>>,
) -> Result<RecordBatch> {
    let mut groups = MergedGroups::new(answer, 1)?;
    let mut all = LifecyclePartial::default();
    for (worker, decoder) in found {
        let LifecycleWorker { partial, groups: codes, .. } = worker;
        let numbers = groups.numbers(answer, decoder, &codes, partial.groups())?;
        all.merge(partial, |group| numbers[&group]);
    }
    let newest_ts = if all.is_empty() { i64::MIN } else { (answer.newest_ts)()? };
    answer.reserve_grid(all.rows(spec, newest_ts), ROW_BYTES)?;
    let ranks = groups.ranks();
    let rows = all.finish(spec, newest_ts, |group| ranks[group as usize]);
    let mut columns = vec![times(rows.iter().map(|row| row.period_us).collect())];
    columns.extend(groups.columns(rows.iter().map(|row| row.group))?);
    columns.push(Arc::new(rows.iter().map(|row| Some(row.status.word())).collect::<StringArray>()));
    columns.push(Arc::new(rows.iter().map(|row| i64::try_from(row.users).ok()).collect::<Int64Array>()));
    columns.push(Arc::new(rows.iter().map(|row| Some(row.complete)).collect::<BooleanArray>()));
    answer.batch(columns)
}

/// The rows of `emit => 'users'`, ordered by user and period.
pub(super) fn users(
    spec: &LifecycleSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, LifecycleWorker>>,
) -> Result<RecordBatch> {
    let is_active = |row: &&UserRow| row.status != Status::Dormant;
    let rows = || found.iter().flat_map(|(worker, _)| &worker.users);
    let first = rows().map(|row| row.period).min().unwrap_or(0);
    let last_active = rows().filter(is_active).map(|row| row.period).max().unwrap_or(0);
    let periods = spec.periods(first, last_active, (answer.newest_ts)()?);
    let mut batches = Vec::new();
    for (worker, decoder) in found {
        let LifecycleWorker { users: mut rows, groups, .. } = worker;
        rows.retain(|row| periods.contains(&row.period));
        let users: Vec<u64> = rows.iter().map(|row| row.user).collect();
        let keys: Vec<Option<&[u32]>> = rows.iter().map(|row| Some(groups.key(row.group))).collect();
        let mut columns = vec![answer.ids(&users, 0)?];
        columns.extend(answer.by_values(decoder, &keys, 1)?);
        columns.push(times(rows.iter().map(|row| spec.calendar.start_us(row.period)).collect()));
        columns.push(Arc::new(rows.iter().map(|row| Some(row.status.word())).collect::<StringArray>()));
        batches.push(answer.batch(columns)?);
    }
    let (user, period) = (0, 1 + answer.by);
    answer.sorted(&answer.concat(&batches)?, [user, period].into_iter())
}
