//! The catalog: which ordinal a user has, and which event ids a user had when. It is derived: deleted, it is rebuilt
//! from segments and log with the same answers.

mod key;
mod memory;
mod rocks;

pub(crate) use memory::MemoryCatalog;
pub(crate) use rocks::RocksCatalog;

use crate::error::Result;
use std::fmt::Debug;
use xxhash_rust::xxh3::xxh3_128;

/// An event id of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventKey {
    /// The user's shard.
    pub(crate) shard: u16,
    /// The user's ordinal.
    pub(crate) ordinal: u32,
    /// Hash of the event id. Two ids of one user that share 128 bits are not expected before the sun burns out.
    pub(crate) hash: u128,
}

impl EventKey {
    /// The key of `event_id` of the user.
    pub(crate) fn new(shard: u16, ordinal: u32, event_id: &str) -> Self {
        Self { shard, ordinal, hash: xxh3_128(event_id.as_bytes()) }
    }
}

/// Changes that are made at once.
#[derive(Debug, Default)]
pub(crate) struct CatalogBatch {
    /// New users.
    pub(crate) users: Vec<(u16, String, u32)>,
    /// The times at which a user had an event id: all of them.
    pub(crate) events: Vec<(EventKey, Vec<i64>)>,
    /// Deleted users, with all their event ids.
    pub(crate) deleted: Vec<(u16, String, u32)>,
}

impl CatalogBatch {
    /// Number of changes.
    pub(crate) fn len(&self) -> usize {
        self.users.len() + self.events.len() + self.deleted.len()
    }
}

/// Up to where a catalog knows its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Every record of the log up to here, and none after it.
    At(u64),
    /// A bulk change was not finished: the content means nothing.
    Unfinished,
}

/// What is derived of a table, by key.
pub(crate) trait Catalog: Send + Sync + Debug {
    /// Up to where it knows its table.
    fn position(&self) -> Result<Position>;

    /// The ordinals of users of `shard`.
    fn ordinals(&self, shard: u16, ids: &[&str]) -> Result<Vec<Option<u32>>>;

    /// The times at which users had event ids.
    fn event_times(&self, keys: &[EventKey]) -> Result<Vec<Vec<i64>>>;

    /// Make the changes of the records up to `position`, and note the position, all at once.
    fn apply(&self, batch: CatalogBatch, position: u64) -> Result<()>;

    /// Make changes of a bulk change that is under way.
    fn apply_unfinished(&self, batch: CatalogBatch) -> Result<()>;

    /// Make everything durable.
    fn flush(&self) -> Result<()>;

    /// Forget everything; the position is then 0.
    fn clear(&self) -> Result<()>;

    /// Remove deleted keys from disk for good.
    fn scrub(&self) -> Result<()>;

    /// Number of users. Reads everything.
    fn count_users(&self) -> Result<u64>;

    /// Let go of its files; every later call is an error.
    fn close(&self);
}
