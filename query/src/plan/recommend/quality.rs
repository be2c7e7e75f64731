//! How good the lists of each algorithm would have been.

use super::Arguments;
use super::effort::with_effort;
use super::lists::spec_of;
use super::state::State;
use super::using::{Using, variant_of};
use crate::behavior::recommend::{Effort, Protocol, Quality, RecommendSpec, Wanted, evaluate_chain};
use crate::error::Result;
use crate::plan::operator::Answer;
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A row for each algorithm, in the order in which they were asked for; for a chain one, and for each variant one of the
/// users who have it.
pub(super) fn answer(arguments: &Arguments, answer: &Answer<'_>, state: &State) -> Result<RecordBatch> {
    let ranks = state.items.ranks();
    let specs = (0..arguments.specs.len()).map(|i| spec_of(arguments, i, state)).collect::<Result<Vec<_>>>()?;
    let variants = match arguments.using {
        Using::Variants(_) => Some(of_active(answer, state, &|id| {
            Some(variant_of(&arguments.experiment, id.unwrap_or_default(), arguments.specs.len()))
        })?),
        _ => None,
    };
    let held_out = match arguments.protocol {
        Protocol::Basket => of_active(answer, state, &|id| xxh3_64(id.unwrap_or_default().as_bytes()))?,
        Protocol::Time | Protocol::NextBasket => Vec::new(),
    };
    let held_out = |user: u32| held_out.get(user as usize).copied().unwrap_or_default();
    let chains: Vec<&[RecommendSpec]> = match arguments.using {
        Using::Fallback(_) => vec![&specs],
        Using::Purpose | Using::Each(_) | Using::Variants(_) => specs.chunks(1).collect(),
    };
    let mut found: Vec<(String, Quality)> = Vec::with_capacity(chains.len());
    for (at, chain) in chains.into_iter().enumerate() {
        let is_asked = |user: u32| variants.as_ref().is_none_or(|variants| variants[user as usize] == Some(at));
        let Arguments { split_us, k, protocol, .. } = *arguments;
        let wanted = Wanted { split_us, k, protocol, held_out: &held_out, is_asked: &is_asked };
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

/// By code of user, what `of` says of the id, as a text, of each user with an event; of others the default.
fn of_active<T: Clone + Default>(answer: &Answer<'_>, state: &State, of: &dyn Fn(Option<&str>) -> T) -> Result<Vec<T>> {
    let users: Vec<u32> = state.active_users().collect();
    let numbers: Vec<u64> = users.iter().map(|&user| state.users.number(user)).collect();
    let texts = cast(&(answer.user_ids)(&numbers)?, &DataType::Utf8).map_err(DataFusionError::from)?;
    let mut by_code = vec![T::default(); state.interactions.user_count()];
    for (user, id) in users.into_iter().zip(texts.as_string::<i32>()) {
        by_code[user as usize] = of(id);
    }
    Ok(by_code)
}
