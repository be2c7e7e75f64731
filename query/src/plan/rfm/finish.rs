//! Results of all threads in, the rows of the answer out.

use super::Emit;
use super::customers::Customers;
use super::worker::RfmWorker;
use crate::behavior::rfm::{RfmSpec, Segment, Totals};
use crate::error::Result;
use crate::plan::answer::times;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use std::collections::HashMap;
use std::sync::Arc;

/// See [`crate::plan::operator::Operator::finish`].
pub(super) fn finish(
    emit: Emit,
    spec: &RfmSpec,
    answer: &Answer<'_>,
    found: Vec<Found<'_, RfmWorker>>,
) -> Result<RecordBatch> {
    let first_by = usize::from(emit == Emit::Users);
    let all = Customers::of(spec, answer, first_by, found)?;
    match emit {
        Emit::Users => users(spec, answer, &all),
        Emit::Segments => segments(spec, answer, &all),
        Emit::Cells => cells(spec, answer, &all),
    }
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn doubles(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn words(segments: impl Iterator<Item = Segment>) -> ArrayRef {
    Arc::new(segments.map(|segment| Some(segment.word())).collect::<StringArray>())
}

/// A row for each user, ordered by user.
fn users(spec: &RfmSpec, answer: &Answer<'_>, all: &Customers) -> Result<RecordBatch> {
    let customers = || all.customers.iter();
    let mut columns = vec![answer.ids(&all.users, 0)?];
    columns.extend(all.values.columns(all.groups.iter().copied())?);
    columns.push(times(customers().map(|customer| customer.last_us).collect()));
    columns.push(integers(all.days.iter().copied()));
    columns.push(integers(customers().map(|customer| customer.frequency as i64)));
    columns.push(doubles(customers().map(|customer| Some(customer.monetary))));
    columns.push(integers(all.scores.iter().map(|scores| i64::from(scores.recency))));
    columns.push(integers(all.scores.iter().map(|scores| i64::from(scores.frequency))));
    columns.push(integers(all.scores.iter().map(|scores| i64::from(scores.monetary))));
    columns.push(words((0..all.customers.len()).map(|customer| all.segment(spec, customer))));
    answer.sorted(&answer.batch(columns)?, std::iter::once(0))
}

/// The customers of each group, by what `place` says of each: the totals of all `places`, and the number of all.
struct GroupTotals {
    group: u32,
    users: u64,
    totals: Vec<Totals>,
}

fn totals(all: &Customers, places: usize, place: impl Fn(usize) -> usize) -> Vec<GroupTotals> {
    let mut found: Vec<GroupTotals> = Vec::new();
    let mut at: HashMap<u32, usize> = HashMap::new();
    for (number, customer) in all.customers.iter().enumerate() {
        let group = all.groups[number];
        let at = *at.entry(group).or_insert_with(|| {
            found.push(GroupTotals { group, users: 0, totals: vec![Totals::default(); places] });
            found.len() - 1
        });
        found[at].users += 1;
        found[at].totals[place(number)].add(all.days[number], customer);
    }
    let ranks = all.values.ranks();
    found.sort_unstable_by_key(|of_group| ranks[of_group.group as usize]);
    found
}

/// Rows of totals: group, all users of the group, place and total.
fn rows(groups: &[GroupTotals]) -> impl Iterator<Item = (&GroupTotals, usize, &Totals)> {
    groups
        .iter()
        .flat_map(|of_group| of_group.totals.iter().enumerate().map(move |(place, totals)| (of_group, place, totals)))
}

/// The columns `users` and `share`.
fn counts(groups: &[GroupTotals]) -> [ArrayRef; 2] {
    let share =
        |(of_group, _, totals): (&GroupTotals, usize, &Totals)| Some(totals.users as f64 / of_group.users as f64);
    [integers(rows(groups).map(|(.., totals)| totals.users as i64)), doubles(rows(groups).map(share))]
}

/// A row for each segment, ordered by group.
fn segments(spec: &RfmSpec, answer: &Answer<'_>, all: &Customers) -> Result<RecordBatch> {
    let place = |customer| Segment::ALL.iter().position(|&other| other == all.segment(spec, customer)).unwrap_or(0);
    let groups = totals(all, Segment::ALL.len(), place);
    let mut columns = all.values.columns(rows(&groups).map(|(of_group, ..)| of_group.group))?;
    columns.push(words(rows(&groups).map(|(_, place, _)| Segment::ALL[place])));
    columns.extend(counts(&groups));
    columns.push(doubles(rows(&groups).map(|(.., totals)| totals.mean_recency_days())));
    columns.push(doubles(rows(&groups).map(|(.., totals)| totals.mean_frequency())));
    columns.push(doubles(rows(&groups).map(|(.., totals)| Some(totals.monetary()))));
    answer.batch(columns)
}

/// A row for each pair of scores of recency and frequency, ordered by group.
fn cells(spec: &RfmSpec, answer: &Answer<'_>, all: &Customers) -> Result<RecordBatch> {
    let scores = spec.scores as usize;
    let place = |customer: usize| {
        let of_customer = all.scores[customer];
        (of_customer.recency as usize - 1) * scores + of_customer.frequency as usize - 1
    };
    let groups = totals(all, scores * scores, place);
    let recency = |place: usize| (place / scores + 1) as u32;
    let frequency = |place: usize| (place % scores + 1) as u32;
    let mut columns = all.values.columns(rows(&groups).map(|(of_group, ..)| of_group.group))?;
    columns.push(integers(rows(&groups).map(|(_, place, _)| i64::from(recency(place)))));
    columns.push(integers(rows(&groups).map(|(_, place, _)| i64::from(frequency(place)))));
    let segment = |(_, place, _)| Segment::of(recency(place), frequency(place), spec.scores);
    columns.push(words(rows(&groups).map(segment)));
    columns.extend(counts(&groups));
    columns.push(doubles(rows(&groups).map(|(.., totals)| Some(totals.monetary()))));
    answer.batch(columns)
}
