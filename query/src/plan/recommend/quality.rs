//! How good the lists of each algorithm would have been.

use super::Arguments;
use super::effort::with_effort;
use super::lists::{spec_of, variants_of};
use super::state::State;
use super::using::Using;
use crate::behavior::recommend::{Effort, Quality, RecommendSpec, Wanted, evaluate_chain};
use crate::error::Result;
use crate::plan::operator::Answer;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;

/// A row for each algorithm, in the order in which they were asked for; for a chain one, and for each variant one of the
/// users who have it.
pub(super) fn answer(arguments: &Arguments, answer: &Answer<'_>, state: &State) -> Result<RecordBatch> {
    let ranks = state.items.ranks();
    let specs = (0..arguments.specs.len()).map(|i| spec_of(arguments, i, state)).collect::<Result<Vec<_>>>()?;
    let variants = match arguments.using {
        Using::Variants(_) => Some(variants_by_code(arguments, answer, state)?),
        _ => None,
    };
    let chains: Vec<&[RecommendSpec]> = match arguments.using {
        Using::Fallback(_) => vec![&specs],
        Using::Purpose | Using::Each(_) | Using::Variants(_) => specs.chunks(1).collect(),
    };
    let mut found: Vec<(String, Quality)> = Vec::with_capacity(chains.len());
    for (at, chain) in chains.into_iter().enumerate() {
        let is_asked = |user: u32| variants.as_ref().is_none_or(|variants| variants[user as usize] == at);
        let wanted = Wanted { split_us: arguments.split_us, k: arguments.k, is_asked: &is_asked };
        let judge = |effort: &Effort<'_>| Ok(evaluate_chain(&state.interactions, ranks, chain, wanted, effort)?);
        let quality = with_effort(answer, judge)?;
        found.push((name(chain), quality));
    }
    let measure = |value: fn(&Quality) -> f64| -> ArrayRef {
        Arc::new(found.iter().map(|(_, quality)| Some(value(quality))).collect::<Float64Array>())
    };
    let users = found.iter().map(|(_, quality)| i64::try_from(quality.users).ok());
    answer.batch(vec![
        Arc::new(found.iter().map(|(name, _)| Some(name.as_str())).collect::<StringArray>()),
        Arc::new(users.collect::<Int64Array>()),
        measure(|quality| quality.recall),
        measure(|quality| quality.ndcg),
        measure(|quality| quality.hit_rate),
        measure(|quality| quality.mrr),
        measure(|quality| quality.coverage),
    ])
}

/// `item_knn`, or `fallback(session_knn, popular)`.
fn name(chain: &[RecommendSpec]) -> String {
    match chain {
        [one] => one.using.name().into(),
        several => {
            let names: Vec<&str> = several.iter().map(|spec| spec.using.name()).collect();
            format!("fallback({})", names.join(", "))
        }
    }
}

/// The variant of each user, by code.
fn variants_by_code(arguments: &Arguments, answer: &Answer<'_>, state: &State) -> Result<Vec<usize>> {
    let users: Vec<u32> = state.active_users().collect();
    let numbers: Vec<u64> = users.iter().map(|&user| state.users.number(user)).collect();
    let mut by_code = vec![usize::MAX; state.interactions.user_count()];
    for (user, variant) in users.into_iter().zip(variants_of(arguments, &(answer.user_ids)(&numbers)?)?) {
        by_code[user as usize] = variant;
    }
    Ok(by_code)
}
