//! What of a table readers see, and how a record changes it.

use super::follow::Change;
use super::snapshot::LiveSegment;
use crate::aliases::Aliases;
use crate::error::{Error, Result};
use crate::log::{BatchRecord, DeleteRecord, Record};
use crate::manifest::{Manifest, Tombstone};
use crate::memtable;
use crate::producers::Producers;
use crate::tags::TagSet;
use crate::types::Schema;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// A shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShardState {
    /// Histories of other ids that aliases join to those of this shard's users: made of the rows of those ids, which are
    /// hidden where they are.
    pub(crate) joined: Vec<LiveSegment>,
    /// Segments on disk.
    pub(crate) flushed: Vec<LiveSegment>,
    /// Segments in memory that a flush is writing, or failed to write.
    pub(crate) frozen: Vec<LiveSegment>,
    /// Segments in memory that still grow.
    pub(crate) active: Vec<LiveSegment>,
    /// Deleted users of whom something is left.
    pub(crate) tombstones: Vec<Tombstone>,
    /// Users whose history is shown as that of another id.
    pub(crate) away: Arc<RoaringBitmap>,
    pub(crate) next_ordinal: u32,
    pub(crate) next_seq: u64,
}

impl ShardState {
    /// All segments in order of arrival.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &LiveSegment> {
        self.joined.iter().chain(self.arrived())
    }

    /// The segments of what arrived in this shard, in order of arrival.
    pub(crate) fn arrived(&self) -> impl Iterator<Item = &LiveSegment> {
        self.flushed.iter().chain(&self.frozen).chain(&self.active)
    }

    /// The same, to change what is hidden.
    pub(crate) fn arrived_mut(&mut self) -> impl Iterator<Item = &mut LiveSegment> {
        self.flushed.iter_mut().chain(&mut self.frozen).chain(&mut self.active)
    }

    /// The segment with everything hidden that was deleted or is shown elsewhere.
    pub(crate) fn hide_deleted(&self, mut live: LiveSegment) -> Result<LiveSegment> {
        for tombstone in &self.tombstones {
            live.hide(tombstone.ordinal)?;
        }
        live.set_aside(&self.away)?;
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
    pub(crate) aliases: Arc<Aliases>,
    /// The last record that changed whose history an event is part of.
    pub(crate) identity_at: u64,
    pub(crate) producers: Arc<Producers>,
    pub(crate) shards: Vec<ShardState>,
    /// The live tags.
    pub(crate) tags: Arc<TagSet>,
}

impl TableState {
    /// Do what a record says; returns what that changed. After an error it is of no use: a change is made to a copy.
    pub(crate) fn apply(&mut self, record: &Record, position: u64, tz: chrono_tz::Tz) -> Result<Vec<Change>> {
        if position != self.position + 1 {
            return Err(Error::corrupt(format!("record {position} after record {}", self.position)));
        }
        let changes = match record {
            Record::Batch(batch) => {
                let mut changes = self.apply_batch(batch, tz)?;
                changes.extend(self.join_batch(batch, position, tz)?);
                if let Some((producer, sequence)) = &batch.mark {
                    Arc::make_mut(&mut self.producers).note(producer, *sequence, position);
                }
                changes
            }
            Record::Delete(delete) => vec![self.apply_delete(delete)?],
            Record::Alias(alias) => self.apply_alias(alias, position, tz)?,
            Record::Unalias(source) => self.apply_unalias(source, position, tz)?,
            Record::DeletePerson(members) => self.apply_delete_person(members)?,
        };
        self.position = position;
        Ok(changes)
    }

    pub(super) fn apply_batch(&mut self, batch: &BatchRecord, tz: chrono_tz::Tz) -> Result<Vec<Change>> {
        let schema = batch.schema.as_ref().unwrap_or(&self.schema);
        let mut changed = Vec::with_capacity(batch.shards.len());
        let mut changes = Vec::with_capacity(batch.shards.len());
        for part in &batch.shards {
            let shard = self.shards.get(part.shard as usize);
            let fits = shard
                .filter(|shard| shard.next_seq == part.seq_start && shard.next_ordinal == part.first_ordinal)
                .ok_or_else(|| Error::corrupt(format!("a batch does not follow what shard {} has", part.shard)))?;
            let mut active = fits.active.clone();
            let mut segment = memtable::build(part, schema, tz)?;
            segment.set_aside(&fits.away)?;
            changes.push(Change::Events { shard: part.shard, segment: segment.clone() });
            active.push(segment);
            memtable::settle(&mut active, schema)?;
            // What was merged has lost what hides those who are shown elsewhere.
            active.iter_mut().try_for_each(|live| live.set_aside(&fits.away))?;
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

    pub(super) fn apply_delete(&mut self, delete: &DeleteRecord) -> Result<Change> {
        let shard = self.shards.get(delete.shard as usize).filter(|shard| delete.ordinal < shard.next_ordinal);
        let mut shard =
            shard.ok_or_else(|| Error::corrupt(format!("a deletion in shard {} of no user", delete.shard)))?.clone();
        let DeleteRecord { shard: number, ordinal, seq, .. } = *delete;
        shard.tombstones.push(Tombstone { shard: number, ordinal, seq });
        for live in &mut shard.joined {
            live.hide(ordinal)?;
        }
        for live in shard.arrived_mut() {
            live.hide(ordinal)?;
        }
        self.shards[number as usize] = shard;
        Ok(Change::Deleted { shard: number, ordinal })
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
