//! Lists of items: for a user, beside an item, for a basket, for every user, or for every item.

use super::state::State;
use super::{Arguments, Ask};
use crate::behavior::recommend::{Model, RecommendSpec, Recommended, Recommender, Target};
use crate::error::Result;
use crate::plan::operator::Answer;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;
use trodden_engine::parallel;

/// A code that no user has: whoever is asked for without a history.
const NOBODY: u32 = u32::MAX;
/// Questions that a thread takes at once.
const QUESTIONS: usize = 64;

/// The rows of the answer, by user or item and rank; with reasons where somebody looks at them.
pub(super) fn answer(
    (ask, reasons): (Ask, bool),
    arguments: &Arguments,
    answer: &Answer<'_>,
    state: State,
) -> Result<RecordBatch> {
    let spec = spec_of(arguments, 0, &state)?;
    let ranks = state.ranks();
    let model = Model::fit(&spec.view(&state.interactions), &ranks, &spec.using, answer.threads)?;
    let recommender = Recommender::new(&state.interactions, &ranks, &spec, &model)?;
    let list = |target: Target<'_>| if reasons { recommender.list(target) } else { recommender.rows(target) };
    let (first, lists): (Option<ArrayRef>, Vec<Vec<Recommended>>) = match ask {
        Ask::EveryUser => {
            let users: Vec<u32> = (0..state.users.len() as u32).collect();
            let lists = for_all(&list, &users, answer)?;
            let counts = lists.iter().map(Vec::len);
            let numbers: Vec<u64> =
                state.users.iter().zip(counts).flat_map(|(&user, count)| std::iter::repeat_n(user, count)).collect();
            (Some(answer.ids(&numbers, 0)?), lists)
        }
        Ask::User => {
            let user = user_code(arguments, answer, &state)?;
            let list = list(Target::User(user));
            (Some(repeated(&arguments.targets[0], list.len(), answer)?), vec![list])
        }
        Ask::Item => {
            // An item without a history has no neighbours; popular ones take their place.
            let list = match state.item(&arguments.targets[0])? {
                Some(item) => list(Target::Item(item)),
                None => list(Target::Items(&[])),
            };
            (Some(repeated(&arguments.targets[0], list.len(), answer)?), vec![list])
        }
        Ask::Items => {
            let basket = arguments.targets.iter().map(|value| state.item(value)).collect::<Result<Vec<_>>>()?;
            let basket: Vec<u32> = basket.into_iter().flatten().collect();
            (None, vec![list(Target::Items(&basket))])
        }
        Ask::EveryItem => {
            let go_on = || answer.statement.check_cancelled().is_ok();
            let (items, lists) = recommender.lists_of_items(reasons, answer.threads, &go_on);
            answer.statement.check_cancelled()?;
            let counts = lists.iter().map(Vec::len);
            let items = items.iter().zip(counts).flat_map(|(&item, count)| std::iter::repeat_n(item, count));
            (Some(state.values_of(items.collect(), answer.schema.field(0).data_type())?), lists)
        }
    };
    let batch = rows(answer, &state, first, &lists)?;
    match ask {
        Ask::EveryUser => answer.sorted(&batch, [0, 1].into_iter()),
        Ask::User | Ask::Item | Ask::Items | Ask::EveryItem => Ok(batch),
    }
}

/// The arguments for one algorithm, with the codes of items.
pub(super) fn spec_of(arguments: &Arguments, algorithm: usize, state: &State) -> Result<RecommendSpec> {
    let exclude = arguments.exclude.iter().map(|value| state.item(value)).collect::<Result<Vec<_>>>()?;
    Ok(RecommendSpec {
        exclude: exclude.into_iter().flatten().collect(),
        candidates: state.candidates.clone(),
        boost: state.facts.boost.clone(),
        diversify: state.facts.diversify.clone(),
        ..arguments.specs[algorithm].clone()
    })
}

/// The lists of users, on all threads.
fn for_all(
    list: &(impl Fn(Target<'_>) -> Vec<Recommended> + Sync),
    users: &[u32],
    answer: &Answer<'_>,
) -> Result<Vec<Vec<Recommended>>> {
    let statement = answer.statement;
    let pieces: Vec<&[u32]> = users.chunks(QUESTIONS).collect();
    let lists = parallel::map_all(&pieces, answer.threads, |users| match statement.check_cancelled() {
        Ok(()) => users.iter().map(|&user| list(Target::User(user))).collect::<Vec<_>>(),
        // What is missing is told below.
        Err(_) => Vec::new(),
    });
    statement.check_cancelled()?;
    Ok(lists.into_iter().flatten().collect())
}

/// The code of the user who is asked for; [`NOBODY`] where the user has no event.
fn user_code(arguments: &Arguments, answer: &Answer<'_>, state: &State) -> Result<u32> {
    let number = (answer.user_number)(&arguments.targets[0])?;
    let code = number.and_then(|number| state.users.iter().position(|&user| user == number));
    Ok(code.map_or(NOBODY, |code| code as u32))
}

/// What was asked for, in front of each row, of the type of the answer's first column.
fn repeated(value: &ScalarValue, rows: usize, answer: &Answer<'_>) -> Result<ArrayRef> {
    let column = value.to_array_of_size(rows)?;
    Ok(cast(&column, answer.schema.field(0).data_type()).map_err(DataFusionError::from)?)
}

fn rows(
    answer: &Answer<'_>,
    state: &State,
    first: Option<ArrayRef>,
    lists: &[Vec<Recommended>],
) -> Result<RecordBatch> {
    let all = || lists.iter().flatten();
    let rank = lists.iter().flat_map(|list| (1..=list.len() as i64).map(Some));
    let mut columns: Vec<ArrayRef> = first.into_iter().collect();
    let item_type = answer.schema.field(columns.len() + 1).data_type().clone();
    columns.push(Arc::new(rank.collect::<Int64Array>()));
    columns.push(state.values_of(all().map(|row| row.item).collect(), &item_type)?);
    columns.push(Arc::new(all().map(|row| Some(row.score)).collect::<Float64Array>()));
    let reasons = |row: &Recommended| row.because.as_ref().map_or(0, Vec::len);
    let offsets = OffsetBuffer::from_lengths(all().map(reasons));
    let because: Vec<u32> = all().filter_map(|row| row.because.as_ref()).flatten().map(|(item, _)| *item).collect();
    let nulls: NullBuffer = all().map(|row| row.because.is_some()).collect();
    let field = Arc::new(Field::new_list_field(item_type.clone(), true));
    debug_assert!(matches!(answer.schema.field(columns.len()).data_type(), DataType::List(_)));
    let list = ListArray::try_new(field, offsets, state.values_of(because, &item_type)?, Some(nulls));
    columns.push(Arc::new(list.map_err(DataFusionError::from)?));
    answer.batch(columns)
}
