//! Results of all threads in, the rows of the answer out.

use super::worker::{StickinessWorker, UserDay};
use crate::behavior::stickiness::{ActivePartial, ActiveRow, HistogramPartial, HistogramRow, StickinessSpec};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::merged_groups::MergedGroups;
use crate::plan::node::time_type;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::Field;
use datafusion::common::DataFusionError;
use std::sync::Arc;

/// Bytes of the columns that are made of a row; `by` values come on top.
const COLUMNS_BYTES: usize = 80;

fn integers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(|value| i64::try_from(value).ok()).collect::<Int64Array>())
}

/// The rows of `emit => 'histogram'`, ordered by period, group and days.
pub(super) fn histogram(
    spec: &StickinessSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, StickinessWorker>>,
) -> Result<RecordBatch> {
    let mut groups = MergedGroups::new(answer, 1)?;
    let mut all = HistogramPartial::default();
    for (worker, decoder) in found {
        let StickinessWorker { histogram, groups: codes, .. } = worker;
        let numbers = groups.numbers(answer, decoder, &codes, histogram.groups())?;
        all.merge(histogram, |group| numbers[&group]);
    }
    let newest_ts = if all.is_empty() { i64::MIN } else { (answer.newest_ts)()? };
    answer.reserve_grid(all.rows_max(), size_of::<HistogramRow>() + COLUMNS_BYTES)?;
    let ranks = groups.ranks();
    let rows = all.finish(spec, newest_ts, |group| ranks[group as usize]);
    let mut columns = vec![times(rows.iter().map(|row| row.period_us).collect())];
    columns.extend(groups.columns(rows.iter().map(|row| row.group))?);
    columns.push(integers(rows.iter().map(|row| row.days)));
    columns.push(integers(rows.iter().map(|row| row.users)));
    columns.push(Arc::new(rows.iter().map(|row| Some(row.share)).collect::<Float64Array>()));
    columns.push(Arc::new(rows.iter().map(|row| Some(row.complete)).collect::<BooleanArray>()));
    answer.batch(columns)
}

/// The rows of `emit => 'active'`, ordered by day and group.
pub(super) fn active(
    spec: &StickinessSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, StickinessWorker>>,
) -> Result<RecordBatch> {
    let mut groups = MergedGroups::new(answer, 1)?;
    let mut all = ActivePartial::default();
    for (worker, decoder) in found {
        let StickinessWorker { active, groups: codes, .. } = worker;
        let numbers = groups.numbers(answer, decoder, &codes, active.groups())?;
        all.merge(active, |group| numbers[&group]);
    }
    let newest_ts = if all.is_empty() { i64::MIN } else { (answer.newest_ts)()? };
    answer.reserve_grid(all.rows(spec, newest_ts), size_of::<ActiveRow>() + COLUMNS_BYTES)?;
    let ranks = groups.ranks();
    let rows = all.finish(spec, newest_ts, |group| ranks[group as usize]);
    let mut columns = vec![times(rows.iter().map(|row| row.day_us).collect())];
    columns.extend(groups.columns(rows.iter().map(|row| row.group))?);
    let of_rows = |count: fn(&ActiveRow) -> u64| rows.iter().map(count);
    columns.extend([
        integers(of_rows(|row| row.dau)),
        integers(of_rows(|row| row.wau)),
        integers(of_rows(|row| row.mau)),
    ]);
    let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let ratios = |of: fn(&ActiveRow) -> (u64, u64)| -> ArrayRef {
        Arc::new(rows.iter().map(of).map(|(part, whole)| ratio(part, whole)).collect::<Float64Array>())
    };
    columns.extend([
        ratios(|row| (row.dau, row.wau)),
        ratios(|row| (row.dau, row.mau)),
        ratios(|row| (row.wau, row.mau)),
    ]);
    columns.push(Arc::new(rows.iter().map(|row| Some(row.complete)).collect::<BooleanArray>()));
    answer.batch(columns)
}

/// The rows of `emit => 'users'`, ordered by user and period.
pub(super) fn users(
    spec: &StickinessSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, StickinessWorker>>,
) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    for (worker, decoder) in found {
        let StickinessWorker { mut user_days, groups, .. } = worker;
        user_days.sort_unstable();
        let place = |day: &UserDay| (day.user, spec.within.number_of_day(day.day));
        let rows: Vec<&[UserDay]> = user_days.chunk_by(|a, b| place(a) == place(b)).collect();
        let users: Vec<u64> = rows.iter().map(|days| days[0].user).collect();
        let keys: Vec<Option<&[u32]>> = rows.iter().map(|days| Some(groups.key(days[0].group))).collect();
        let mut columns = vec![answer.ids(&users, 0)?];
        columns.extend(answer.by_values(decoder, &keys, 1)?);
        columns.push(times(rows.iter().map(|days| spec.within.start_us(place(&days[0]).1)).collect()));
        columns.push(integers(rows.iter().map(|days| days.len() as u64)));
        columns.push(day_lists(spec, &user_days, &rows)?);
        batches.push(answer.batch(columns)?);
    }
    let (user, period) = (0, 1 + answer.by);
    answer.sorted(&answer.concat(&batches)?, [user, period].into_iter())
}

/// The start of each active day, in lists.
fn day_lists(spec: &StickinessSpec, days: &[UserDay], rows: &[&[UserDay]]) -> Result<ArrayRef> {
    let starts = times(days.iter().map(|day| spec.days().start_us(day.day)).collect());
    let field = Arc::new(Field::new_list_field(time_type(), true));
    let list = ListArray::try_new(field, OffsetBuffer::from_lengths(rows.iter().map(|days| days.len())), starts, None);
    Ok(Arc::new(list.map_err(DataFusionError::from)?))
}
