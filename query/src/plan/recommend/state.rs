//! The events of all threads as one state that algorithms read: items and users by codes that do not depend on threads.

use super::Recommend;
use super::item_facts::{FactExprs, Gathering, ItemFacts, NewestRows};
use super::worker::{Event, Newest, RecommendWorker};
use crate::behavior::recommend::{Interaction, Interactions};
use crate::error::Result;
use crate::plan::intern::Interner;
use crate::plan::operator::{Answer, Found};
use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::{cast, sort_to_indices, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;

/// Who did what with which item.
pub(super) struct State {
    pub(super) interactions: Interactions,
    /// The items, and for each its place in order of values, behind NULL: the code of an item is that less 1.
    items: Interner,
    ranks: Vec<u32>,
    /// The number of each user in the numbering of the source: the code of a user is its place here.
    pub(super) users: Vec<u64>,
    /// By code of item, whether it may be recommended; `None`: all may.
    pub(super) candidates: Option<Vec<bool>>,
    pub(super) facts: ItemFacts,
}

impl State {
    /// The state of what the threads found.
    pub(super) fn new(
        recommend: &Recommend,
        facts: Option<&FactExprs>,
        answer: &Answer<'_>,
        found: Vec<Found<'_, RecommendWorker>>,
    ) -> Result<Self> {
        let mut items: Option<Interner> = None;
        let mut gathering = facts.map(Gathering::new);
        let mut parts = Vec::with_capacity(found.len());
        for (worker, decoder) in found {
            let mut codes: Vec<u32> = worker.events.iter().map(|event| event.item).collect();
            codes.extend(worker.newest.keys());
            // An item that others use may have its newest event here.
            codes.extend(worker.newest_rows.iter().flat_map(NewestRows::items));
            codes.sort_unstable();
            codes.dedup();
            let values = decoder.column_values(0, &codes)?;
            let known = match &mut items {
                Some(known) => known,
                None => items.insert(Interner::new(std::slice::from_ref(values.data_type()))?),
            };
            let mut interned = Vec::with_capacity(codes.len());
            known.add(&[values], codes.len(), &mut interned)?;
            if let (Some(gathering), Some(rows)) = (&mut gathering, &worker.newest_rows) {
                gathering.add(rows, decoder)?;
            }
            parts.push((worker, codes, interned));
        }
        let items = match items {
            Some(items) => items,
            None => Interner::new(&[DataType::Null])?,
        };
        // NULL is the first of all values, and no item.
        let ranks = items.ranks();
        let code_of = |codes: &[u32], interned: &[u32], item: u32| -> u32 {
            ranks[interned[codes.partition_point(|&code| code < item)] as usize] - 1
        };
        let facts = gathering.map_or_else(ItemFacts::default, |gathering| {
            gathering.finish(ranks.len() - 1, |part, item| {
                let (_, codes, interned) = &parts[part];
                ranks[interned[codes.partition_point(|&code| code < item)] as usize] - 1
            })
        });
        let mut numbers: Vec<u64> =
            parts.iter().flat_map(|(worker, ..)| &worker.events).map(|event| event.user).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let codes_of_users = codes_of_users(&numbers, answer)?;
        let mut newest: HashMap<u32, Newest> = HashMap::new();
        let mut events: Vec<(u32, Interaction)> = Vec::new();
        for (worker, codes, interned) in parts {
            for (item, of_item) in worker.newest {
                let known = newest.entry(code_of(&codes, &interned, item)).or_insert(of_item);
                *known = (*known).max(of_item);
            }
            // All events of a user are in one part, in order.
            events.extend(worker.events.into_iter().map(|Event { user, ts_us, item, kind }| {
                let user = codes_of_users[numbers.partition_point(|&other| other < user)];
                (user, Interaction { ts_us, item: code_of(&codes, &interned, item), kind })
            }));
        }
        let candidates = recommend.candidates.then(|| {
            let is_candidate = |item: u32| newest.get(&item).is_some_and(|newest| newest.is_candidate);
            (0..ranks.len() as u32 - 1).map(is_candidate).collect()
        });
        let mut users = vec![0; numbers.len()];
        numbers.iter().zip(&codes_of_users).for_each(|(&number, &code)| users[code as usize] = number);
        Ok(Self { interactions: Interactions::from_events(events), items, ranks, users, candidates, facts })
    }

    /// The order of items by value, by code: codes are in that order.
    pub(super) fn ranks(&self) -> Vec<u32> {
        (0..self.ranks.len() as u32 - 1).collect()
    }

    /// The code of an item, if there is one of this value.
    pub(super) fn item(&self, value: &ScalarValue) -> Result<Option<u32>> {
        Ok(self.items.code(value)?.map(|interned| self.ranks[interned as usize] - 1))
    }

    /// The items behind codes, as a column of this type.
    pub(super) fn values_of(&self, codes: Vec<u32>, data_type: &DataType) -> Result<ArrayRef> {
        let mut interned = vec![0; self.ranks.len()];
        (0..).zip(&self.ranks).for_each(|(code, &rank)| interned[rank as usize] = code);
        let items = self.items.decode(interned.into_iter().skip(1))?.swap_remove(0);
        let values = take(&items, &UInt32Array::from(codes), None).and_then(|values| cast(&values, data_type));
        Ok(values.map_err(DataFusionError::from)?)
    }
}

/// The code of each user, which orders uses of equal time: by number where that order is always the same, else by id.
fn codes_of_users(numbers: &[u64], answer: &Answer<'_>) -> Result<Vec<u32>> {
    if answer.numbers_in_order || numbers.is_empty() {
        return Ok((0..numbers.len() as u32).collect());
    }
    let order = sort_to_indices(&(answer.user_ids)(numbers)?, None, None).map_err(DataFusionError::from)?;
    let mut codes = vec![0; numbers.len()];
    (0..).zip(order.values()).for_each(|(code, &place)| codes[place as usize] = code);
    Ok(codes)
}
