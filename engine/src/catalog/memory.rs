//! A catalog in maps, for stores that are not directories.

use super::{Catalog, CatalogBatch, EventKey, Position};
use crate::error::Result;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// A catalog in maps.
#[derive(Debug)]
pub(crate) struct MemoryCatalog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    position: Position,
    users: HashMap<u16, HashMap<String, u32>>,
    events: BTreeMap<EventKey, Vec<i64>>,
}

impl MemoryCatalog {
    /// An empty catalog.
    pub(crate) fn new() -> Self {
        let state = State { position: Position::At(0), users: HashMap::new(), events: BTreeMap::new() };
        Self { state: Mutex::new(state) }
    }
}

impl State {
    fn apply(&mut self, batch: CatalogBatch) {
        for (shard, id, ordinal) in batch.users {
            self.users.entry(shard).or_default().insert(id, ordinal);
        }
        self.events.extend(batch.events);
        for (shard, id, ordinal) in batch.deleted {
            let users = self.users.entry(shard).or_default();
            // The id may have come again with a newer ordinal.
            if users.get(&id) == Some(&ordinal) {
                users.remove(&id);
            }
            let key = |hash| EventKey { shard, ordinal, hash };
            let gone: Vec<_> = self.events.range(key(0)..=key(u128::MAX)).map(|(key, _)| *key).collect();
            gone.iter().for_each(|key| drop(self.events.remove(key)));
        }
    }
}

impl Catalog for MemoryCatalog {
    fn position(&self) -> Result<Position> {
        Ok(self.state.lock().position)
    }

    fn ordinals(&self, shard: u16, ids: &[&str]) -> Result<Vec<Option<u32>>> {
        let state = self.state.lock();
        let users = state.users.get(&shard);
        Ok(ids.iter().map(|id| users.and_then(|users| users.get(*id)).copied()).collect())
    }

    fn event_times(&self, keys: &[EventKey]) -> Result<Vec<Vec<i64>>> {
        let state = self.state.lock();
        Ok(keys.iter().map(|key| state.events.get(key).cloned().unwrap_or_default()).collect())
    }

    fn apply(&self, batch: CatalogBatch, position: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.apply(batch);
        state.position = Position::At(position);
        Ok(())
    }

    fn apply_unfinished(&self, batch: CatalogBatch) -> Result<()> {
        let mut state = self.state.lock();
        state.apply(batch);
        state.position = Position::Unfinished;
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        *self.state.lock() = Self::new().state.into_inner();
        Ok(())
    }

    fn scrub(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) {}

    fn count_users(&self) -> Result<u64> {
        Ok(self.state.lock().users.values().map(|users| users.len() as u64).sum())
    }
}
