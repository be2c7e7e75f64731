//! Counts of all threads in, the rows of the answer out.

use super::user_ways::{list, name_of};
use super::worker::PathWorker;
use crate::behavior::path::{Counted, LEAVING, PathSpec, Tally, TallyRow, rank};
use crate::error::Result;
use crate::plan::intern::Interner;
use crate::plan::operator::{Answer, Decoder, Found};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// What each code of a node is called, by code: those of one thread, up to the largest of `stops`.
///
/// # Errors
/// Where values cannot be put together to a column of texts.
pub(super) fn names(decoder: &dyn Decoder, stops: impl Iterator<Item = u32>) -> Result<StringArray> {
    let largest = stops.filter(|&stop| stop != crate::behavior::path::CUT).max().unwrap_or(0);
    let codes: Vec<u32> = (0..=largest).collect();
    let values = cast(&decoder.column_values(0, &codes)?, &DataType::Utf8).map_err(DataFusionError::from)?;
    Ok(values.as_string::<i32>().clone())
}

/// The rows of the answer, ordered by group and from frequent to rare; the rest of a group comes last.
///
/// # Errors
/// What the evaluation of a `by` expression raises.
pub(super) fn finish(spec: &PathSpec, answer: &Answer<'_>, found: Vec<Found<'_, PathWorker>>) -> Result<RecordBatch> {
    let counted = found.first().map_or(Counted::Paths, |(worker, _)| worker.counted());
    let Merged { tally, nodes, groups } = merged(answer, counted, found)?;
    let (node_ranks, group_ranks) = (nodes.ranks(), groups.ranks());
    let order = |a: &[u32], b: &[u32]| compare(counted, &node_ranks, &group_ranks, a, b);
    let rows = rank(&tally, spec.top, answer.threads, order);
    let mut columns = groups.decode(rows.iter().map(|row| row.group))?;
    let named = nodes.decode(0..node_ranks.len() as u32)?;
    let Some(names) = named.first().and_then(|names| names.as_string_opt::<i32>()) else {
        return Err(crate::error::Error::internal("the names of the stops are no texts"));
    };
    let rows = Rows { rows: &rows, names };
    columns.extend(match counted {
        Counted::Paths => rows.of_paths()?,
        Counted::Edges => rows.of_edges(),
        Counted::Transitions => rows.of_transitions(&tally),
    });
    answer.batch(columns)
}

/// The counts of all threads, in common codes.
struct Merged {
    tally: Tally,
    nodes: Interner,
    groups: Interner,
}

fn merged(answer: &Answer<'_>, counted: Counted, found: Vec<Found<'_, PathWorker>>) -> Result<Merged> {
    let by_types: Vec<DataType> =
        answer.schema.fields()[..answer.by].iter().map(|field| field.data_type().clone()).collect();
    let (mut nodes, mut groups) = (Interner::new(&[DataType::Utf8])?, Interner::new(&by_types)?);
    let mut all: Option<Tally> = None;
    for (worker, decoder) in found {
        let (tally, own_groups) = worker.into_tally();
        let stops = tally.keys().flat_map(|key| key[counted.first_node()..].iter().copied());
        let names: ArrayRef = Arc::new(names(decoder, stops)?);
        let (mut node_codes, mut group_codes) = (Vec::new(), Vec::new());
        nodes.add(&[Arc::clone(&names)], names.len(), &mut node_codes)?;
        let last_group = tally.keys().map(|key| key[0]).max();
        let keys: Vec<Option<&[u32]>> =
            last_group.map_or_else(Vec::new, |last| (0..=last).map(|group| Some(own_groups.key(group))).collect());
        groups.add(&answer.by_values(decoder, &keys, 0)?, keys.len(), &mut group_codes)?;
        let is_same = |codes: &[u32]| (0..).zip(codes).all(|(own, code)| own == *code);
        // The codes of the first thread are mostly the common ones: then its counts stay where they are.
        if all.is_none() && is_same(&node_codes) && is_same(&group_codes) {
            all = Some(tally);
            continue;
        }
        let translate = |key: &mut [u32]| {
            key[0] = group_codes[key[0] as usize];
            for code in &mut key[counted.first_node()..] {
                // The stop for those that are hidden is in no thread's names.
                *code = node_codes.get(*code as usize).copied().unwrap_or(*code);
            }
        };
        all.get_or_insert_with(|| Tally::new(tally.wanted())).merge(&tally, translate);
    }
    let tally = all.unwrap_or_else(|| Tally::new(crate::behavior::path::Wanted { users: true, durations: true }));
    Ok(Merged { tally, nodes, groups })
}

/// The order of two keys, or of two groups, by the values behind their codes.
fn compare(counted: Counted, nodes: &[u32], groups: &[u32], a: &[u32], b: &[u32]) -> Ordering {
    let rank = |code: &u32| nodes.get(*code as usize).copied().unwrap_or(u32::MAX);
    let first = counted.first_node();
    let by_group = groups[a[0] as usize].cmp(&groups[b[0] as usize]);
    // A group alone has nothing behind it.
    let (Some(stops_a), Some(stops_b)) = (a.get(first..), b.get(first..)) else { return by_group };
    by_group
        .then_with(|| a[1..first].cmp(&b[1..first]))
        .then_with(|| stops_a.iter().map(rank).cmp(stops_b.iter().map(rank)))
}

/// Rows, and what the codes of nodes are called.
struct Rows<'a> {
    rows: &'a [TallyRow],
    names: &'a StringArray,
}

impl Rows<'_> {
    fn of_paths(&self) -> Result<Vec<ArrayRef>> {
        let keys = || self.rows.iter().map(|row| row.key.as_deref().unwrap_or(&[]));
        let lengths: Vec<u32> = keys().map(|key| key.len() as u32).collect();
        let stops: StringArray = keys().flatten().map(|&stop| Some(name_of(self.names, stop))).collect();
        let paths = list(&lengths, Arc::new(stops), DataType::Utf8)?;
        let share = self.rows.iter().map(|row| Some(row.count as f64 / row.group_count as f64));
        Ok(vec![
            self.null_for_rest(&paths)?,
            self.counts(|row| row.count),
            self.counts(|row| row.users),
            Arc::new(share.collect::<Float64Array>()),
            self.medians(),
        ])
    }

    fn of_edges(&self) -> Vec<ArrayRef> {
        let step = |row: &TallyRow| Some(i64::from(row.key.as_ref()?[0] as i32));
        vec![
            Arc::new(self.rows.iter().map(step).collect::<Int64Array>()),
            self.stops(1),
            self.stops(2),
            self.counts(|row| row.count),
            self.counts(|row| row.users),
            self.medians(),
        ]
    }

    fn of_transitions(&self, tally: &Tally) -> Vec<ArrayRef> {
        let mut left: HashMap<(u32, u32), u64> = HashMap::new();
        tally.counted().for_each(|(key, count)| *left.entry((key[0], key[1])).or_default() += count);
        let probability = |row: &TallyRow| {
            let source = row.key.as_ref()?[0];
            Some(row.count as f64 / *left.get(&(row.group, source))? as f64)
        };
        vec![
            self.stops(0),
            self.stops(1),
            self.counts(|row| row.count),
            self.counts(|row| row.users),
            Arc::new(self.rows.iter().map(probability).collect::<Float64Array>()),
            self.medians(),
        ]
    }

    /// NULL in place of the empty list that the row of the rest has.
    fn null_for_rest(&self, paths: &ArrayRef) -> Result<ArrayRef> {
        let paths = paths.as_list::<i32>().clone();
        let (field, offsets, values, _) = paths.into_parts();
        let known: NullBuffer = self.rows.iter().map(|row| row.key.is_some()).collect::<Vec<bool>>().into();
        let paths = ListArray::try_new(field, offsets, values, Some(known)).map_err(DataFusionError::from)?;
        Ok(Arc::new(paths))
    }

    /// The stop at a place of the keys: NULL for leaving, and in the row of the rest.
    fn stops(&self, place: usize) -> ArrayRef {
        let stop = |row: &TallyRow| Some(row.key.as_ref()?[place]).filter(|&stop| stop != LEAVING);
        let names = self.rows.iter().map(|row| stop(row).map(|stop| name_of(self.names, stop)));
        Arc::new(names.collect::<StringArray>())
    }

    fn counts(&self, count: impl Fn(&TallyRow) -> u64) -> ArrayRef {
        Arc::new(self.rows.iter().map(|row| i64::try_from(count(row)).ok()).collect::<Int64Array>())
    }

    fn medians(&self) -> ArrayRef {
        Arc::new(self.rows.iter().map(|row| row.median_seconds).collect::<Float64Array>())
    }
}
