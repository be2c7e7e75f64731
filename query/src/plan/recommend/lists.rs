//! Lists of items: for a user, beside an item, for a basket, for every user, or for every item.

use super::effort::with_effort;
use super::state::State;
use super::using::{Using, variant_of};
use super::{Arguments, Ask, purpose};
use crate::behavior::recommend::{Chain, Effort, Model, RecommendSpec, Recommended, Target};
use crate::error::Result;
use crate::plan::operator::Answer;
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// A code that no user has: whoever is asked for without a history.
const NOBODY: u32 = u32::MAX;

/// Gives the model for the arguments of one algorithm.
pub(super) type ModelOf<'a> = dyn Fn(&RecommendSpec, &Effort<'_>) -> Result<Arc<Model>> + 'a;

/// The rows of the answer, by user or item and rank; with reasons where somebody looks at them.
pub(super) fn answer(
    (ask, reasons): (Ask, bool),
    arguments: &Arguments,
    answer: &Answer<'_>,
    state: &State,
    models: &ModelOf<'_>,
) -> Result<RecordBatch> {
    let asked = Asked { ask, reasons, arguments, answer, state, models };
    let (first, lists) = match ask {
        Ask::EveryUser => asked.every_user()?,
        Ask::User => asked.user()?,
        Ask::Item => {
            // An item without a history has no neighbours; popular ones take their place.
            let lists = match state.items.code(&arguments.targets[0])? {
                Some(item) => asked.lists(&[Target::Item(item)], None)?,
                None => asked.lists(&[Target::Items(&[])], None)?,
            };
            (Some(repeated(&arguments.targets[0], rows_of(&lists), answer)?), lists)
        }
        Ask::Items => {
            let basket = arguments.targets.iter().map(|value| state.items.code(value)).collect::<Result<Vec<_>>>()?;
            let basket: Vec<u32> = basket.into_iter().flatten().collect();
            (None, asked.lists(&[Target::Items(&basket)], None)?)
        }
        Ask::EveryItem => asked.every_item()?,
    };
    let batch = asked.batch(first, &lists)?;
    match ask {
        Ask::EveryUser => answer.sorted(&batch, [0, 1].into_iter()),
        Ask::User | Ask::Item | Ask::Items | Ask::EveryItem => Ok(batch),
    }
}

/// The arguments for one algorithm, with the codes of items.
pub(super) fn spec_of(arguments: &Arguments, algorithm: usize, state: &State) -> Result<RecommendSpec> {
    let exclude = arguments.exclude.iter().map(|value| state.items.code(value)).collect::<Result<Vec<_>>>()?;
    Ok(RecommendSpec {
        exclude: exclude.into_iter().flatten().collect(),
        candidates: state.candidates(),
        boost: state.facts.boost.clone(),
        diversify: state.facts.diversify.clone(),
        ..arguments.specs[algorithm].clone()
    })
}

/// The variant of each of these users, in their order.
fn variants_of(arguments: &Arguments, ids: &ArrayRef) -> Result<Vec<usize>> {
    let texts = cast(ids, &DataType::Utf8).map_err(DataFusionError::from)?;
    let count = arguments.specs.len();
    let variant = |id: Option<&str>| variant_of(&arguments.experiment, id.unwrap_or_default(), count);
    Ok(texts.as_string::<i32>().iter().map(variant).collect())
}

/// A list, and which of the algorithms, or of the chains of them, made it.
struct List {
    variant: usize,
    rows: Vec<Recommended>,
}

fn rows_of(lists: &[List]) -> usize {
    lists.iter().map(|list| list.rows.len()).sum()
}

/// The column in front, and the lists.
type Lists = (Option<ArrayRef>, Vec<List>);

/// A question and what it is asked of.
struct Asked<'a> {
    ask: Ask,
    reasons: bool,
    arguments: &'a Arguments,
    answer: &'a Answer<'a>,
    state: &'a State,
    models: &'a ModelOf<'a>,
}

impl Asked<'_> {
    fn every_user(&self) -> Result<Lists> {
        let answer = self.answer;
        let codes: Vec<u32> = self.state.active_users().collect();
        let users: Vec<u64> = codes.iter().map(|&user| self.state.users.number(user)).collect();
        let targets: Vec<Target<'_>> = codes.into_iter().map(Target::User).collect();
        let variants = match self.arguments.using {
            Using::Variants(_) => Some(variants_of(self.arguments, &(answer.user_ids)(&users)?)?),
            _ => None,
        };
        let lists = self.lists(&targets, variants.as_deref())?;
        let numbers = users.iter().zip(&lists).flat_map(|(&user, list)| std::iter::repeat_n(user, list.rows.len()));
        Ok((Some(answer.ids(&numbers.collect::<Vec<u64>>(), 0)?), lists))
    }

    /// The list of one user; of [`NOBODY`] where the user has no event.
    fn user(&self) -> Result<Lists> {
        let id = &self.arguments.targets[0];
        let number = (self.answer.user_number)(id)?;
        let code = number.map(|number| self.state.users.code(number)).transpose()?.flatten();
        let target = Target::User(code.unwrap_or(NOBODY));
        let variants = match self.arguments.using {
            Using::Variants(_) => Some(variants_of(self.arguments, &id.to_array()?)?),
            _ => None,
        };
        let lists = self.lists(&[target], variants.as_deref())?;
        Ok((Some(repeated(id, rows_of(&lists), self.answer)?), lists))
    }

    fn every_item(&self) -> Result<Lists> {
        let mut found = None;
        self.with_chain(&self.specs(None)?, |chain, effort| {
            found = Some(chain.lists_of_items(self.reasons, effort)?);
            Ok(())
        })?;
        let (items, lists) = found.unwrap_or_default();
        let counts = lists.iter().map(Vec::len);
        let items = items.iter().zip(counts).flat_map(|(&item, count)| std::iter::repeat_n(item, count));
        let first = self.state.values_of(&items.collect::<Vec<u32>>(), self.answer.schema.field(0).data_type())?;
        Ok((Some(first), lists.into_iter().map(|rows| List { variant: 0, rows }).collect()))
    }

    /// The list for each target, by the variant that it has where there are several.
    fn lists(&self, targets: &[Target<'_>], variants: Option<&[usize]>) -> Result<Vec<List>> {
        let user = match targets {
            [Target::User(user)] => Some(*user),
            _ => None,
        };
        let specs = self.specs(user)?;
        let mut lists: Vec<List> = targets.iter().map(|_| List { variant: 0, rows: Vec::new() }).collect();
        let groups: Vec<&[RecommendSpec]> = if variants.is_some() { specs.chunks(1).collect() } else { vec![&specs] };
        for (variant, specs) in groups.into_iter().enumerate() {
            let has = |&at: &usize| variants.is_none_or(|variants| variants[at] == variant);
            let places: Vec<usize> = (0..targets.len()).filter(has).collect();
            if places.is_empty() {
                continue;
            }
            let own: Vec<Target<'_>> = places.iter().map(|&at| targets[at]).collect();
            self.with_chain(specs, |chain, effort| {
                for (&at, rows) in places.iter().zip(chain.lists(&own, self.reasons, effort)?) {
                    lists[at] = List { variant, rows };
                }
                Ok(())
            })?;
        }
        Ok(lists)
    }

    /// The arguments of each algorithm; where none is named, of the one that the purpose picks.
    fn specs(&self, user: Option<u32>) -> Result<Vec<RecommendSpec>> {
        let mut specs = Vec::with_capacity(self.arguments.specs.len());
        for algorithm in 0..self.arguments.specs.len() {
            specs.push(spec_of(self.arguments, algorithm, self.state)?);
        }
        if self.arguments.using == Using::Purpose {
            for spec in &mut specs {
                spec.using = purpose::algorithm(self.ask, &spec.view(&self.state.interactions), user);
            }
        }
        Ok(specs)
    }

    fn with_chain(
        &self,
        specs: &[RecommendSpec],
        act: impl FnOnce(&Chain<'_>, &Effort<'_>) -> Result<()>,
    ) -> Result<()> {
        let (interactions, ranks) = (&self.state.interactions, self.state.items.ranks());
        with_effort(self.answer, |effort| {
            let models = specs.iter().map(|spec| (self.models)(spec, effort)).collect::<Result<Vec<_>>>()?;
            act(&Chain::new(interactions, ranks, specs.iter().zip(models.iter().map(Arc::as_ref)))?, effort)
        })
    }

    fn batch(&self, first: Option<ArrayRef>, lists: &[List]) -> Result<RecordBatch> {
        let (answer, state, using) = (self.answer, self.state, self.arguments.using);
        let all = || lists.iter().flat_map(|list| &list.rows);
        let rank = lists.iter().flat_map(|list| (1..=list.rows.len() as i64).map(Some));
        let mut columns: Vec<ArrayRef> = first.into_iter().collect();
        let item_type = answer.schema.field(columns.len() + 1).data_type().clone();
        columns.push(Arc::new(rank.collect::<Int64Array>()));
        columns.push(state.values_of(&all().map(|row| row.item).collect::<Vec<u32>>(), &item_type)?);
        columns.push(Arc::new(all().map(|row| Some(row.score)).collect::<Float64Array>()));
        columns.push(because(state, &item_type, all)?);
        let name = |algorithm: usize| self.arguments.specs[algorithm].using.name();
        if using.tells_algorithm() {
            let by = |row: &Recommended, variant: usize| row.by.map_or("popular", |by| name(by + variant));
            let names = lists.iter().flat_map(|list| list.rows.iter().map(move |row| Some(by(row, list.variant))));
            columns.push(Arc::new(names.collect::<StringArray>()));
        }
        if matches!(using, Using::Variants(_)) {
            let names = lists.iter().flat_map(|list| std::iter::repeat_n(Some(name(list.variant)), list.rows.len()));
            columns.push(Arc::new(names.collect::<StringArray>()));
        }
        answer.batch(columns)
    }
}

/// The items that gave most of the score of each row.
fn because<'a, I: Iterator<Item = &'a Recommended>>(
    state: &State,
    item_type: &DataType,
    rows: impl Fn() -> I,
) -> Result<ArrayRef> {
    let reasons = |row: &Recommended| row.because.as_ref().map_or(0, Vec::len);
    let offsets = OffsetBuffer::from_lengths(rows().map(reasons));
    let items: Vec<u32> = rows().filter_map(|row| row.because.as_ref()).flatten().map(|(item, _)| *item).collect();
    let nulls: NullBuffer = rows().map(|row| row.because.is_some()).collect();
    let field = Arc::new(Field::new_list_field(item_type.clone(), true));
    let list = ListArray::try_new(field, offsets, state.values_of(&items, item_type)?, Some(nulls));
    Ok(Arc::new(list.map_err(DataFusionError::from)?))
}

/// What was asked for, in front of each row, of the type of the answer's first column.
fn repeated(value: &ScalarValue, rows: usize, answer: &Answer<'_>) -> Result<ArrayRef> {
    let column = value.to_array_of_size(rows)?;
    Ok(cast(&column, answer.schema.field(0).data_type()).map_err(DataFusionError::from)?)
}
