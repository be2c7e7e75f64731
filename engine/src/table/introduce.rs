//! Users who have an ordinal before they have an event: those of a list, of a profile.

use super::append::check_record;
use super::{Shared, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{MAX_NAME_BYTES, shard_of};
use crate::log::{BatchRecord, Record, ShardBatch};
use crate::rows::Rows;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Table {
    /// Shard and ordinal of each user of `ids`, in their order; of an alias those of the person. Those who are new get an ordinal
    /// here, and no event: that
    /// is durable on return, all of them or none.
    ///
    /// # Errors
    /// `InvalidInput` for an id that is empty or too long, what the disk says, and `Poisoned` after that; `Locked` during an import;
    /// `ResourceLimit` where the new ids take more than 1 GiB.
    pub fn introduce(&self, ids: &[&str]) -> Result<Vec<(u16, u32)>> {
        check_ids(ids)?;
        let shared = &self.shared;
        let aliases = Arc::clone(&shared.state.read().aliases);
        let ids: Vec<&str> = ids.iter().map(|id| aliases.resolve(id)).collect();
        shared.make_room()?;
        let (places, position) = shared.queue_users(&ids)?;
        shared.queue.wait(position, shared)?;
        shared.flush_if_large();
        Ok(places)
    }
}

impl Shared {
    /// Queue those of `ids` who are new. Returns where each one is, and the position to wait for.
    fn queue_users(&self, ids: &[&str]) -> Result<(Vec<(u16, u32)>, u64)> {
        let shards = self.options().shards;
        let mut by_shard: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (at, id) in ids.iter().enumerate() {
            by_shard.entry(shard_of(id, shards)).or_default().push(at);
        }
        let mut ingest = self.ingest.lock();
        self.check_writable(&ingest)?;
        let applied = self.state.read().position;
        let next = ingest.next_position;
        ingest.overlay.settle(applied, next);
        let mut places = vec![(0, 0); ids.len()];
        let mut parts = Vec::new();
        for (shard, asked) in by_shard {
            let (first_ordinal, seq_start) = ingest.next[usize::from(shard)];
            let names: Vec<&str> = asked.iter().map(|&at| ids[at]).collect();
            let stored = self.lookup.catalog.ordinals(shard, &names)?;
            let mut new: HashMap<&str, u32> = HashMap::new();
            let mut new_users = Vec::new();
            for ((at, id), stored) in asked.into_iter().zip(names).zip(stored) {
                let known = ingest.overlay.user(shard, id).unwrap_or(stored).or_else(|| new.get(id).copied());
                let ordinal = match known {
                    Some(ordinal) => ordinal,
                    None => next_ordinal(shard, first_ordinal, new_users.len())?,
                };
                if known.is_none() {
                    new.insert(id, ordinal);
                    new_users.push(id.to_string());
                }
                places[at] = (shard, ordinal);
            }
            if !new_users.is_empty() {
                parts.push(ShardBatch { shard, seq_start, first_ordinal, new_users, rows: Rows::default() });
            }
        }
        let position = ingest.next_position;
        if parts.is_empty() {
            // A user who is known may be so by a record that is not durable yet.
            return Ok((places, position - 1));
        }
        let events = parts.iter().map(|_| HashMap::new()).collect();
        let record = Record::Batch(BatchRecord { mark: None, schema: None, shards: parts });
        let bytes = record.encode();
        check_record(bytes.len(), self.limits.record_bytes)?;
        ingest.note(&record, events);
        self.queue.push(bytes, record);
        Ok((places, position))
    }
}

fn check_ids(ids: &[&str]) -> Result<()> {
    for id in ids {
        if id.is_empty() {
            return Err(Error::invalid("the id of a user is empty").with_hint("leave it out"));
        }
        if id.len() > MAX_NAME_BYTES {
            let message = format!("the id of a user has {} bytes; at most {MAX_NAME_BYTES} are allowed", id.len());
            return Err(Error::invalid(message));
        }
    }
    Ok(())
}

/// The ordinal of the next new user of a batch that has `count` new ones already.
pub(super) fn next_ordinal(shard: u16, first: u32, count: usize) -> Result<u32> {
    let full = || Error::new(ErrorKind::ResourceLimit, format!("shard {shard} has 2^32 users"));
    let count = u32::try_from(count).map_err(|_| full())?;
    first.checked_add(count).filter(|&ordinal| ordinal < u32::MAX).ok_or_else(full)
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use crate::storage::FaultStore;
    use crate::types::{Schema, TableOptions};
    use crate::{Engine, EngineOptions, EventBatch};
    use arrow_array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn event_of(user: &str) -> EventBatch {
        EventBatch {
            user_id: StringArray::from(vec![user]),
            ts: Int64Array::from(vec![0]),
            event: StringArray::from(vec!["e"]),
            event_id: None,
            properties: Vec::new(),
        }
    }

    #[test]
    fn a_user_without_events_has_an_ordinal_that_lasts() {
        let store = FaultStore::new();
        let open = || Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).unwrap();
        let engine = open();
        let table = engine.create_table("t", Schema::default(), TableOptions::default()).unwrap();
        table.append(event_of("b")).unwrap();
        let b = table.snapshot().ordinal_of("b").unwrap().unwrap();
        let places = table.introduce(&["a", "b", "c", "a"]).unwrap();
        assert_eq!((places[0], places[1]), (places[3], b));
        assert_eq!(table.introduce(&["c", "a"]).unwrap(), [places[2], places[0]]);
        assert_eq!(table.append(event_of("a")).unwrap().accepted, 1);
        for full in [None, Some(false), Some(true)] {
            match full {
                None => table.flush().unwrap(),
                Some(full) => table.compact(full).unwrap(),
            }
            assert_eq!(engine.check(), []);
        }
        drop((table, engine));
        let engine = open();
        let table = engine.table("t").unwrap();
        let snapshot = table.snapshot();
        for (id, place) in ["a", "b", "c"].into_iter().zip(&places) {
            assert_eq!(snapshot.ordinal_of(id).unwrap(), Some(*place), "{id}");
        }
        assert_eq!(snapshot.rows(), 2);
        assert!(table.delete_user("c").unwrap() && table.snapshot().ordinal_of("c").unwrap().is_none());
        assert_ne!(table.introduce(&["c"]).unwrap()[0], places[2], "an ordinal is never given again");
        assert_eq!(engine.check(), []);
    }

    #[test]
    fn who_was_introduced_survives_a_power_cut_or_never_was() {
        let store = FaultStore::new();
        let engine = Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).unwrap();
        let table = engine.create_table("t", Schema::default(), TableOptions::default()).unwrap();
        store.record_history();
        let places = table.introduce(&["x", "y"]).unwrap();
        let acknowledged = store.durable_image();
        table.flush().unwrap();
        let found = |image| {
            let engine = Engine::open_store(Arc::new(FaultStore::from_image(image)), EngineOptions::default()).unwrap();
            assert_eq!(engine.check(), []);
            let snapshot = engine.table("t").unwrap().snapshot();
            ["x", "y"].map(|id| snapshot.ordinal_of(id).unwrap())
        };
        let all = [places[0], places[1]].map(Some);
        for moment in store.take_history() {
            for image in [moment.durable, moment.written] {
                let found = found(image);
                assert!(found == all || found == [None, None], "{found:?}");
            }
        }
        assert_eq!(found(acknowledged), all);
    }

    #[test]
    fn an_id_that_cannot_be_is_refused() {
        let engine = Engine::open_store(Arc::new(FaultStore::new()), EngineOptions::default()).unwrap();
        let table = engine.create_table("t", Schema::default(), TableOptions::default()).unwrap();
        for id in [String::new(), "x".repeat(1 << 20)] {
            assert_eq!(table.introduce(&["fine", &id]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(table.snapshot().ordinal_of("fine").unwrap(), None);
    }
}
