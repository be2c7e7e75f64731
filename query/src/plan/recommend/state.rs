//! The events that threads found as one state that algorithms read. Users and items have codes that do not depend on
//! which thread found them.

use super::Recommend;
use super::item_facts::{FactExprs, Gathering, ItemFacts, NewestRows};
use super::items::Items;
use super::worker::{Event, Newest, RecommendWorker};
use crate::behavior::recommend::{Interaction, Interactions};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::operator::{Answer, Decoder, Found};
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::{cast, sort_to_indices};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use std::collections::HashMap;

/// Who did what with which item.
#[derive(Debug)]
pub(super) struct State {
    pub(super) interactions: Interactions,
    pub(super) items: Items,
    pub(super) users: Users,
    /// The newest event of each item that has any, where candidates are asked for.
    pub(super) newest: HashMap<u32, Newest>,
    candidates: bool,
    pub(super) facts: ItemFacts,
}

/// What the codes of users mean. Their order decides between uses of equal time, so it is the same for all states of a
/// table: by ordinal, then by shard.
#[derive(Debug)]
pub(super) enum Users {
    /// Every user of a table of so many shards has a code; in others there is no event.
    Table { shards: u32 },
    /// The numbers of the users with an event, in the numbering of the source, by code; and by number.
    Listed { by_code: Vec<u64>, codes: HashMap<u64, u32> },
}

impl Users {
    /// The code of a user, if one is made.
    pub(super) fn code(&self, number: u64) -> Result<Option<u32>> {
        match self {
            Self::Table { shards } => {
                let (shard, ordinal) = ((number >> 32) as u32, number as u32);
                if shard >= *shards {
                    return Ok(None);
                }
                let code = ordinal.checked_mul(*shards).and_then(|first| first.checked_add(shard));
                let code = code.filter(|&code| code < u32::MAX);
                code.map(Some).ok_or_else(|| Error::new(ErrorKind::ResourceLimit, "the table has 2^32 users"))
            }
            Self::Listed { codes, .. } => Ok(codes.get(&number).copied()),
        }
    }

    /// The number of the user with a code.
    pub(super) fn number(&self, code: u32) -> u64 {
        match self {
            Self::Table { shards } => u64::from(code % shards) << 32 | u64::from(code / shards),
            Self::Listed { by_code, .. } => by_code[code as usize],
        }
    }

    /// Users with an event, in the numbering of a source.
    fn list(mut numbers: Vec<u64>, answer: &Answer<'_>) -> Result<Self> {
        if answer.numbers_in_order {
            // Shard and ordinal are the high and the low half.
            let largest = |half: fn(u64) -> u64| numbers.iter().map(|&number| half(number)).max().unwrap_or(0) as u32;
            let (shards, ordinals) = (largest(|number| number >> 32) + 1, largest(|number| number & 0xffff_ffff));
            // Where most users of the table are there, no list of them is needed.
            if u64::from(shards) * (u64::from(ordinals) + 1) <= 8 * numbers.len() as u64 {
                return Ok(Self::Table { shards });
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        if answer.numbers_in_order {
            numbers.sort_unstable_by_key(|number| number.rotate_left(32));
        } else if !numbers.is_empty() {
            let order = sort_to_indices(&(answer.user_ids)(&numbers)?, None, None).map_err(DataFusionError::from)?;
            numbers = order.values().iter().map(|&place| numbers[place as usize]).collect();
        }
        let codes = numbers.iter().zip(0..).map(|(&number, code)| (number, code)).collect();
        Ok(Self::Listed { by_code: numbers, codes })
    }
}

/// What threads found, with the codes of items of the state.
#[derive(Debug, Default)]
pub(super) struct Coded {
    /// By number of user, the events of each in order.
    pub(super) events: Vec<(u64, Interaction)>,
    pub(super) newest: Vec<(u32, Newest)>,
    /// For each thread the items behind its codes.
    items: Vec<Vec<u32>>,
}

impl Coded {
    fn take(&mut self, worker: RecommendWorker, decoder: &dyn Decoder, items: &mut Items) -> Result<()> {
        let RecommendWorker { events, newest, newest_rows, .. } = worker;
        // An item that others use may have its newest event here.
        let of_rows = || newest_rows.iter().flat_map(NewestRows::items);
        let met = || events.iter().map(|event| event.item).chain(newest.keys().copied()).chain(of_rows());
        // Codes of a thread are small and dense, so a list says faster than a map what each is.
        let mut codes = vec![0_u32; met().max().map_or(0, |code| code as usize + 1)];
        met().for_each(|code| codes[code as usize] = 1);
        let used: Vec<u32> = (0..codes.len() as u32).filter(|&code| codes[code as usize] != 0).collect();
        let interned = items.add(decoder.column_values(0, &used)?)?;
        used.iter().zip(interned).for_each(|(&code, item)| codes[code as usize] = item);
        self.newest.extend(newest.into_iter().map(|(code, newest)| (codes[code as usize], newest)));
        self.events.extend(
            events.into_iter().map(|Event { user, ts_us, item, kind }| {
                (user, Interaction { ts_us, item: codes[item as usize], kind })
            }),
        );
        self.items.push(codes);
        Ok(())
    }
}

impl State {
    /// A state without events, for all users of a table.
    pub(super) fn of_table(item_type: &DataType, shards: u32, candidates: bool) -> Result<Self> {
        Ok(Self {
            interactions: Interactions::default(),
            items: Items::new(item_type)?,
            users: Users::Table { shards },
            newest: HashMap::new(),
            candidates,
            facts: ItemFacts::default(),
        })
    }

    /// The state of what the threads found.
    pub(super) fn new(
        recommend: &Recommend,
        facts: Option<&FactExprs>,
        answer: &Answer<'_>,
        found: Vec<Found<'_, RecommendWorker>>,
    ) -> Result<Self> {
        let item_type = match found.first() {
            Some((_, decoder)) => decoder.column_values(0, &[])?.data_type().clone(),
            None => DataType::Null,
        };
        let mut state = Self::of_table(&item_type, 1, recommend.candidates)?;
        let mut gathering = facts.map(Gathering::new);
        if let Some(gathering) = &mut gathering {
            for (worker, decoder) in &found {
                worker.newest_rows.iter().try_for_each(|rows| gathering.add(rows, *decoder))?;
            }
        }
        let coded = state.code(found)?;
        if let Some(gathering) = gathering {
            state.facts = gathering.finish(state.items.ranks().len(), |part, item| coded.items[part][item as usize]);
        }
        let mut numbers: Vec<u64> = Vec::new();
        for (number, _) in &coded.events {
            if numbers.last() != Some(number) {
                numbers.push(*number);
            }
        }
        state.users = Users::list(numbers, answer)?;
        state.fill(coded)?;
        Ok(state)
    }

    /// Gives items of what threads found their codes.
    pub(super) fn code(&mut self, found: Vec<Found<'_, RecommendWorker>>) -> Result<Coded> {
        let mut coded = Coded::default();
        for (worker, decoder) in found {
            coded.take(worker, decoder, &mut self.items)?;
        }
        self.items.put_in_order();
        Ok(coded)
    }

    /// Puts all there is into an empty state.
    pub(super) fn fill(&mut self, coded: Coded) -> Result<()> {
        let Coded { events, newest, .. } = coded;
        let mut known: Option<(u64, u32)> = None;
        let mut of_users = Vec::with_capacity(events.len());
        for (number, event) in events {
            let code = match known {
                Some((same, code)) if same == number => code,
                // Every user of an event has one.
                _ => self.users.code(number)?.unwrap_or(u32::MAX),
            };
            known = Some((number, code));
            of_users.push((code, event));
        }
        self.interactions = Interactions::from_events(of_users);
        for (item, of_item) in newest {
            let known = self.newest.entry(item).or_insert(of_item);
            *known = (*known).max(of_item);
        }
        Ok(())
    }

    /// By code of item, whether it may be recommended; `None`: all may.
    pub(super) fn candidates(&self) -> Option<Vec<bool>> {
        let is_candidate = |item: u32| self.newest.get(&item).is_some_and(|newest| newest.is_candidate);
        self.candidates.then(|| (0..self.items.ranks().len() as u32).map(is_candidate).collect())
    }

    /// Users with an event, in the order of their codes.
    pub(super) fn active_users(&self) -> impl Iterator<Item = u32> + '_ {
        let users = 0..self.interactions.user_count() as u32;
        users.filter(|&user| !self.interactions.of_user(user).is_empty())
    }

    /// The items behind codes, as a column of this type.
    pub(super) fn values_of(&self, codes: &[u32], data_type: &DataType) -> Result<ArrayRef> {
        Ok(cast(&self.items.values(codes)?, data_type).map_err(DataFusionError::from)?)
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let listed = match &self.users {
            Users::Table { .. } => 0,
            Users::Listed { by_code, codes } => 8 * by_code.capacity() + 24 * codes.capacity(),
        };
        let newest = self.newest.capacity() * (size_of::<(u32, Newest)>() + 8);
        self.interactions.heap_bytes() + self.items.heap_bytes() + listed + newest
    }
}
