//! `emit => 'summary'` and `'stops'`: what sessions add up to.

use super::listed::{doubles, integers, names};
use super::worker::SessionsWorker;
use crate::behavior::sessions::{SessionsSpec, StopRow, StopsPartial, SummaryPartial, SummaryRow};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::intern::Interner;
use crate::plan::merged_groups::MergedGroups;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;

/// A row for each group and bucket, ordered by them; one row where there are neither, whatever there is.
pub(super) fn summary(
    spec: &SessionsSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, SessionsWorker>>,
) -> Result<RecordBatch> {
    let mut groups = MergedGroups::new(answer, 0)?;
    let mut all = SummaryPartial::default();
    for (worker, decoder) in found {
        let (summary, codes) = (&worker.found.summary, &worker.found.groups);
        // Twice: medians need the values of a group together.
        answer.reservation.try_grow(2 * summary.heap_bytes())?;
        let numbers = groups.numbers(answer, decoder, codes, summary.groups())?;
        all.merge(summary, |group| numbers[&group]);
    }
    let ranks = groups.ranks();
    let mut rows = all.finish(|group| ranks[group as usize]);
    if rows.is_empty() && answer.by == 0 && spec.bucket.is_none() {
        rows.push(SummaryRow {
            group: 0,
            bucket_us: 0,
            sessions: 0,
            users: 0,
            seconds: [0.0; 2],
            events: [0.0; 2],
            bounces: 0,
        });
    }
    let number = |of: fn(&SummaryRow) -> f64| doubles(rows.iter().map(|row| (row.sessions > 0).then(|| of(row))));
    let count = |of: fn(&SummaryRow) -> u64| integers(rows.iter().map(|row| of(row) as i64));
    let mut columns = groups.columns(rows.iter().map(|row| row.group))?;
    if spec.bucket.is_some() {
        columns.push(times(rows.iter().map(|row| row.bucket_us).collect()));
    }
    columns.extend([count(|row| row.sessions), count(|row| row.users)]);
    columns.extend([number(|row| row.seconds[0]), number(|row| row.seconds[1])]);
    columns.extend([number(|row| row.events[0]), number(|row| row.events[1])]);
    columns.extend([count(|row| row.bounces), number(|row| row.bounces as f64 / row.sessions as f64)]);
    answer.batch(columns)
}

/// A row for each group and node, ordered by group and from frequent to rare.
pub(super) fn stops(answer: &Answer<'_>, found: Vec<Found<'_, SessionsWorker>>) -> Result<RecordBatch> {
    let (mut groups, mut nodes) = (MergedGroups::new(answer, 0)?, Interner::new(&[DataType::Utf8])?);
    let mut all = StopsPartial::default();
    for (worker, decoder) in found {
        let (stops, codes) = (&worker.found.stops, &worker.found.groups);
        answer.reservation.try_grow(2 * stops.heap_bytes())?;
        let numbers = groups.numbers(answer, decoder, codes, stops.keys().map(|(group, _)| group))?;
        let names = names(decoder, stops.keys().map(|(_, node)| node).max().unwrap_or(0))?;
        let mut node_codes = Vec::with_capacity(names.len());
        nodes.add(std::slice::from_ref(&names), names.len(), &mut node_codes)?;
        all.merge(stops, |group| numbers[&group], |node| node_codes[node as usize]);
    }
    let (group_ranks, node_ranks) = (groups.ranks(), nodes.ranks());
    let (group, node) = (|group: u32| group_ranks[group as usize], |node: u32| node_ranks[node as usize]);
    let rows = all.finish(answer.threads, group, node);
    let count = |of: fn(&StopRow) -> u64| integers(rows.iter().map(|row| of(row) as i64));
    let mut columns = groups.columns(rows.iter().map(|row| row.group))?;
    columns.extend(nodes.decode(rows.iter().map(|row| row.node))?);
    columns.extend([count(|row| row.stops), count(|row| row.sessions), count(|row| row.users)]);
    columns.push(doubles(rows.iter().map(|row| row.median_dwell_seconds)));
    columns.extend([count(|row| row.entries), count(|row| row.exits)]);
    answer.batch(columns)
}
