//! A snapshot: the state of a table at one moment, which no writer changes.

use super::Shared;
use super::follow::Followers;
use super::lookup::Lookup;
use crate::aliases::Aliases;
use crate::error::Result;
use crate::ingest::shard_of;
use crate::scan::Spare;
use crate::segment::Segment;
use crate::tags::TagSet;
use crate::types::{Schema, TableOptions};
use roaring::RoaringBitmap;
use std::sync::{Arc, Weak};

/// A segment with the users whose rows in it do not count any more.
#[derive(Debug, Clone)]
pub struct LiveSegment {
    /// The segment.
    pub segment: Arc<Segment>,
    /// Users of whom the segment has rows or the id that do not count under it: deleted ones, and those whose history is
    /// shown as that of another id.
    pub hidden: Arc<RoaringBitmap>,
    /// Those of them who were deleted: a rewriting leaves them out.
    pub(crate) erased: Arc<RoaringBitmap>,
}

impl LiveSegment {
    /// A segment of which nothing is hidden.
    pub(crate) fn new(segment: Segment) -> Result<Self> {
        Ok(Self { segment: Arc::new(segment), hidden: Arc::default(), erased: Arc::default() })
    }

    /// Whether it holds histories that aliases joined to those of its users: they come before everything that arrived in
    /// the shard, and have no arrival numbers.
    pub fn is_joined(&self) -> bool {
        let meta = self.segment.meta();
        meta.seq_start == meta.seq_end && meta.rows > 0
    }

    /// Whether rows or the id of `ordinal` are in it.
    pub(crate) fn holds(&self, ordinal: u32) -> Result<bool> {
        let meta = self.segment.meta();
        let introduced = (meta.introduced_start..meta.introduced_end).contains(&ordinal);
        Ok(introduced && self.segment.user_id(ordinal)?.is_some() || self.segment.users()?.contains(ordinal))
    }

    /// Hide `ordinal` for ever, if anything of it is here.
    pub(crate) fn hide(&mut self, ordinal: u32) -> Result<()> {
        if self.holds(ordinal)? {
            Arc::make_mut(&mut self.hidden).insert(ordinal);
            Arc::make_mut(&mut self.erased).insert(ordinal);
        }
        Ok(())
    }

    /// The same for all of `ordinals`.
    pub(crate) fn hide_all(&mut self, ordinals: &RoaringBitmap) -> Result<()> {
        let held = self.held(ordinals)?;
        if !held.is_empty() {
            *Arc::make_mut(&mut self.hidden) |= &held;
            *Arc::make_mut(&mut self.erased) |= &held;
        }
        Ok(())
    }

    /// Hide the users of `away`, and of the others only those who were deleted.
    pub(crate) fn set_aside(&mut self, away: &RoaringBitmap) -> Result<()> {
        let mut hidden = self.held(away)?;
        hidden |= self.erased.as_ref();
        if hidden != *self.hidden {
            self.hidden = Arc::new(hidden);
        }
        Ok(())
    }

    /// Those of `ordinals` of whom the segment has rows, or the place of the id.
    fn held(&self, ordinals: &RoaringBitmap) -> Result<RoaringBitmap> {
        if ordinals.is_empty() {
            return Ok(RoaringBitmap::new());
        }
        let mut held = ordinals & self.segment.users()?.as_ref();
        let meta = self.segment.meta();
        let mut introduced = RoaringBitmap::new();
        introduced.insert_range(meta.introduced_start..meta.introduced_end);
        held |= introduced & ordinals;
        Ok(held)
    }
}

/// A shard at one moment.
#[derive(Debug, Clone)]
pub struct ShardSnapshot {
    /// Its segments in order of arrival: histories that aliases join to those of its users, then what is on disk, then
    /// what is in memory.
    pub segments: Vec<LiveSegment>,
    /// Ordinals are `0..next_ordinal`.
    pub next_ordinal: u32,
    /// Arrival numbers of its events are below this one.
    pub next_seq: u64,
}

impl ShardSnapshot {
    /// The id of the user with `ordinal`; `None` if there is none or the user was deleted.
    ///
    /// # Errors
    /// `Corrupt` where the ids of a segment cannot be read.
    pub fn user_id(&self, ordinal: u32) -> Result<Option<String>> {
        let at = self.segments.partition_point(|live| live.segment.meta().introduced_end <= ordinal);
        match self.segments.get(at) {
            Some(live) if ordinal < self.next_ordinal && !live.hidden.contains(ordinal) => {
                live.segment.user_id(ordinal)
            }
            _ => Ok(None),
        }
    }
}

/// The state of a table at one moment. Cloning is cheap; holding it keeps its segments readable.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Number of the table, which no other one ever has.
    pub id: u64,
    /// The last record that it has: two snapshots with the same position and the same `hidden_before_us` have the same
    /// events.
    pub position: u64,
    /// Name of the table.
    pub table: String,
    /// Its property columns.
    pub schema: Schema,
    /// Its options.
    pub options: TableOptions,
    /// Rows before this time are hidden, in microseconds since 1970.
    pub hidden_before_us: i64,
    /// Which ids mean the same person.
    pub aliases: Arc<Aliases>,
    /// The last record that changed whose history an event is part of: what was derived from events before that has to be
    /// derived anew.
    pub identity_at: u64,
    /// Its shards.
    pub shards: Vec<ShardSnapshot>,
    pub(crate) tags: Arc<TagSet>,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) followers: Arc<Followers>,
    pub(crate) spare: Arc<Spare>,
    /// The table it is of.
    pub(crate) origin: Weak<Shared>,
}

impl Snapshot {
    /// Whether histories are shown that aliases joined, which stand in no order of arrival with the others.
    pub fn has_joined(&self) -> bool {
        self.shards.iter().flat_map(|shard| &shard.segments).any(LiveSegment::is_joined)
    }

    /// The shard that has the user, whether or not the user exists.
    pub fn shard_of(&self, user_id: &str) -> u16 {
        shard_of(user_id, self.options.shards)
    }

    /// Shard and ordinal of a user of this snapshot.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn ordinal_of(&self, user_id: &str) -> Result<Option<(u16, u32)>> {
        let shard = self.shard_of(user_id);
        let now = self.lookup.ordinals(shard, &[user_id])?[0];
        let deleted = self.lookup.deleted.lock().get(user_id).cloned().unwrap_or_default();
        for ordinal in now.into_iter().chain(deleted) {
            // The catalog is never older than a snapshot, and may be newer: only what the snapshot has itself counts.
            if self.shards[shard as usize].user_id(ordinal)?.as_deref() == Some(user_id) {
                return Ok(Some((shard, ordinal)));
            }
        }
        Ok(None)
    }

    /// Shard and ordinal of each of `ids` that is a user of this snapshot.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn ordinals_of(&self, ids: &[&str]) -> Result<Vec<Option<(u16, u32)>>> {
        let mut by_shard: Vec<Vec<usize>> = vec![Vec::new(); self.shards.len()];
        for (at, id) in ids.iter().enumerate() {
            by_shard[usize::from(self.shard_of(id))].push(at);
        }
        let mut places = vec![None; ids.len()];
        for ((shard, asked), of_shard) in (0_u16..).zip(by_shard).zip(&self.shards) {
            let names: Vec<&str> = asked.iter().map(|&at| ids[at]).collect();
            for (at, known) in asked.into_iter().zip(self.lookup.ordinals(shard, &names)?) {
                places[at] = match known {
                    // An ordinal that was given before the snapshot and is in use now is the user's in between, too.
                    Some(ordinal) if ordinal < of_shard.next_ordinal => Some((shard, ordinal)),
                    _ => self.ordinal_of(ids[at])?,
                };
            }
        }
        Ok(places)
    }

    /// Number of rows, those of deleted users included.
    pub fn rows(&self) -> u64 {
        self.shards.iter().flat_map(|shard| &shard.segments).map(|live| live.segment.meta().rows).sum()
    }
}
