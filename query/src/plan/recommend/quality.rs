//! How good the lists of each algorithm would have been.

use super::Arguments;
use super::lists::spec_of;
use super::state::State;
use crate::behavior::recommend::{Quality, evaluate};
use crate::error::Result;
use crate::plan::operator::Answer;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;

/// A row for each algorithm, in the order in which they were asked for.
pub(super) fn answer(arguments: &Arguments, answer: &Answer<'_>, state: &State) -> Result<RecordBatch> {
    let ranks = state.items.ranks();
    let mut found: Vec<(&str, Quality)> = Vec::with_capacity(arguments.specs.len());
    for (i, spec) in arguments.specs.iter().enumerate() {
        let of_items = spec_of(arguments, i, state)?;
        let threads = answer.threads;
        let quality = evaluate(&state.interactions, ranks, &of_items, arguments.split_us, arguments.k, threads)?;
        found.push((spec.using.name(), quality));
    }
    let measure = |value: fn(&Quality) -> f64| -> ArrayRef {
        Arc::new(found.iter().map(|(_, quality)| Some(value(quality))).collect::<Float64Array>())
    };
    let users = found.iter().map(|(_, quality)| i64::try_from(quality.users).ok());
    answer.batch(vec![
        Arc::new(found.iter().map(|(name, _)| Some(*name)).collect::<StringArray>()),
        Arc::new(users.collect::<Int64Array>()),
        measure(|quality| quality.recall),
        measure(|quality| quality.ndcg),
        measure(|quality| quality.hit_rate),
        measure(|quality| quality.mrr),
        measure(|quality| quality.coverage),
    ])
}
