//! What of a table readers see, and how a record changes it.

use super::follow::Change;
use super::snapshot::LiveSegment;
use crate::error::{Error, Result};
use crate::log::{BatchRecord, DeleteRecord, Record};
use crate::manifest::{Manifest, Tombstone};
use crate::memtable;
use crate::tags::TagSet;
use crate::types::Schema;
use std::sync::Arc;

/// A shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShardState {
    /// Segments on disk.
    pub(crate) flushed: Vec<LiveSegment>,
    /// Segments in memory that a flush is writing, or failed to write.
    pub(crate) frozen: Vec<LiveSegment>,
    /// Segments in memory that still grow.
    pub(crate) active: Vec<LiveSegment>,
    /// Deleted users of whom something is left.
    pub(crate) tombstones: Vec<Tombstone>,
    pub(crate) next_ordinal: u32,
    pub(crate) next_seq: u64,
}

impl ShardState {
    /// All segments in order of arrival.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &LiveSegment> {
        self.flushed.iter().chain(&self.frozen).chain(&self.active)
    }

    /// The segment with everything hidden that was deleted.
    pub(crate) fn hide_deleted(&self, mut live: LiveSegment) -> Result<LiveSegment> {
        for tombstone in &self.tombstones {
            live.hide(tombstone.ordinal)?;
        }
        Ok(live)
    }
}

/// A table. Readers hold it by `Arc`; a change makes a new one.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) manifest: Arc<Manifest>,
    /// With the changes of records that the manifest does not cover.
    pub(crate) schema: Schema,
    /// The last record that was applied.
    pub(crate) position: u64,
    pub(crate) shards: Vec<ShardState>,
    /// The live tags.
    pub(crate) tags: Arc<TagSet>,
}

impl TableState {
    /// Do what a record says; returns what that changed. On an error nothing is changed.
    pub(crate) fn apply(&mut self, record: &Record, position: u64, tz: chrono_tz::Tz) -> Result<Vec<Change>> {
        if position != self.position + 1 {
            return Err(Error::corrupt(format!("record {position} after record {}", self.position)));
        }
        let changes = match record {
            Record::Batch(batch) => self.apply_batch(batch, tz)?,
            Record::Delete(delete) => {
                self.apply_delete(delete)?;
                vec![Change::Deleted { shard: delete.shard, ordinal: delete.ordinal }]
            }
        };
        self.position = position;
        Ok(changes)
    }

    fn apply_batch(&mut self, batch: &BatchRecord, tz: chrono_tz::Tz) -> Result<Vec<Change>> {
        let schema = batch.schema.as_ref().unwrap_or(&self.schema);
        let mut changed = Vec::with_capacity(batch.shards.len());
        let mut changes = Vec::with_capacity(batch.shards.len());
        for part in &batch.shards {
            let shard = self.shards.get(part.shard as usize);
            let fits = shard
                .filter(|shard| shard.next_seq == part.seq_start && shard.next_ordinal == part.first_ordinal)
                .ok_or_else(|| Error::corrupt(format!("a batch does not follow what shard {} has", part.shard)))?;
            let mut active = fits.active.clone();
            let segment = memtable::build(part, schema, tz)?;
            changes.push(Change::Events { shard: part.shard, segment: segment.clone() });
            active.push(segment);
            memtable::settle(&mut active, schema)?;
            changed.push(active);
        }
        for (part, active) in batch.shards.iter().zip(changed) {
            let shard = &mut self.shards[part.shard as usize];
            shard.active = active;
            shard.next_seq += part.rows.len() as u64;
            shard.next_ordinal += part.new_users.len() as u32;
        }
        if let Some(schema) = &batch.schema {
            self.schema = schema.clone();
        }
        Ok(changes)
    }

    fn apply_delete(&mut self, delete: &DeleteRecord) -> Result<()> {
        let shard = self.shards.get(delete.shard as usize).filter(|shard| delete.ordinal < shard.next_ordinal);
        let mut shard =
            shard.ok_or_else(|| Error::corrupt(format!("a deletion in shard {} of no user", delete.shard)))?.clone();
        let DeleteRecord { shard: number, ordinal, seq, .. } = *delete;
        shard.tombstones.push(Tombstone { shard: number, ordinal, seq });
        for live in shard.flushed.iter_mut().chain(&mut shard.frozen).chain(&mut shard.active) {
            live.hide(ordinal)?;
        }
        self.shards[number as usize] = shard;
        Ok(())
    }

    /// Rows in memory.
    pub(crate) fn memory_rows(&self) -> u64 {
        self.memory_segments().map(|live| live.segment.meta().rows).sum()
    }

    /// Bytes in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_segments().map(|live| live.segment.meta().bytes).sum()
    }

    fn memory_segments(&self) -> impl Iterator<Item = &LiveSegment> {
        self.shards.iter().flat_map(|shard| shard.frozen.iter().chain(&shard.active))
    }
}
