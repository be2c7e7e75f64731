//! Aliases: from a call to a record.

use super::introduce::next_ordinal;
use super::{IngestState, Shared, Table};
use crate::aliases::{Alias, Aliases, Member};
use crate::error::{Error, Result};
use crate::ingest::{EncodedBatch, EventBatch, shard_of};
use crate::log::{AliasRecord, DeleteRecord, Record, ShardBatch};
use crate::rows::Rows;
use arrow_array::StringArray;
use std::borrow::Cow;
use std::sync::Arc;

impl Table {
    /// Make `source` another name for `target`: its history, and what comes under it later, is that of `target` from now
    /// on. Either may be unknown yet. Whether that is new: false where it is an alias of `target` already.
    ///
    /// # Errors
    /// `InvalidInput` for an alias to itself and for a circle; `AlreadyExists` where `source` is an alias of another id;
    /// `Locked` during an import; what the disk says.
    pub fn alias(&self, source: &str, target: &str) -> Result<bool> {
        let shared = &self.shared;
        let position = {
            let mut ingest = shared.ingest.lock();
            shared.check_writable(&ingest)?;
            let planned = ingest.aliases.plan(source, target).map_err(|error| error.at(place(shared)))?;
            match planned.map(String::from) {
                Some(target) => shared.queue_alias(&mut ingest, source, &target)?,
                None => {
                    // That it is there may be due to a record that is not durable yet.
                    let last = ingest.next_position - 1;
                    drop(ingest);
                    shared.queue.wait(last, shared)?;
                    return Ok(false);
                }
            }
        };
        shared.queue.wait(position, shared)?;
        shared.flush_if_large();
        Ok(true)
    }

    /// Take an alias back: what came under `source`, before and after it became one, is its own history again.
    ///
    /// # Errors
    /// `NotFound` where it is no alias; `InvalidInput` once a compaction has joined the histories; `Locked` during an
    /// import; what the disk says.
    pub fn unalias(&self, source: &str) -> Result<()> {
        let shared = &self.shared;
        let position = {
            let mut ingest = shared.ingest.lock();
            shared.check_writable(&ingest)?;
            let alias = ingest.aliases.revocable(source).map_err(|error| error.at(place(shared)))?;
            let record = Record::Unalias(alias.source.clone());
            Arc::make_mut(&mut ingest.aliases).remove(source);
            shared.queue_record(&mut ingest, record)
        };
        shared.queue.wait(position, shared)
    }

    /// The aliases of the table, in the order in which they were made.
    pub fn aliases(&self) -> Arc<Aliases> {
        Arc::clone(&self.shared.state.read().aliases)
    }
}

fn place(shared: &Shared) -> String {
    format!("table '{}'", shared.name)
}

impl Shared {
    fn queue_alias(&self, ingest: &mut IngestState, source: &str, target: &str) -> Result<u64> {
        let mut introduced: Vec<ShardBatch> = Vec::new();
        let mut member = |id: &str| -> Result<Member> {
            let shard = shard_of(id, self.options().shards);
            if let Some(ordinal) = self.ordinal_in(ingest, shard, id)? {
                return Ok(Member { shard, ordinal, id: id.to_string() });
            }
            let (first_ordinal, seq_start) = ingest.next[shard as usize];
            let part = match introduced.iter().position(|part| part.shard == shard) {
                Some(at) => &mut introduced[at],
                None => {
                    let (new_users, rows) = (Vec::new(), Rows::default());
                    introduced.push(ShardBatch { shard, seq_start, first_ordinal, new_users, rows });
                    introduced.last_mut().ok_or_else(|| Error::invalid("no part"))?
                }
            };
            let ordinal = next_ordinal(shard, first_ordinal, part.new_users.len())?;
            part.new_users.push(id.to_string());
            Ok(Member { shard, ordinal, id: id.to_string() })
        };
        let (source, target) = (member(source)?, member(target)?);
        for part in &introduced {
            ingest.note_users(part);
        }
        let alias = Alias { source: source.clone(), target: target.clone(), joined: false };
        Arc::make_mut(&mut ingest.aliases).insert(alias);
        Ok(self.queue_record(ingest, Record::Alias(AliasRecord { source, target, introduced })))
    }

    /// The ordinal of a user, as it will be when all queued records are applied.
    pub(super) fn ordinal_in(&self, ingest: &IngestState, shard: u16, id: &str) -> Result<Option<u32>> {
        match ingest.overlay.user(shard, id) {
            Some(ordinal) => Ok(ordinal),
            None => Ok(self.lookup.catalog.ordinals(shard, &[id])?[0]),
        }
    }

    /// Queue a record; its position.
    pub(super) fn queue_record(&self, ingest: &mut IngestState, record: Record) -> u64 {
        let position = ingest.next_position;
        ingest.next_position += 1;
        self.queue.push(record.encode(), record);
        position
    }

    /// The record that deletes `user`, whose events and ordinal are given, with all that aliases join to it.
    ///
    /// # Errors
    /// `InvalidInput` where it is an alias itself: which of the two is meant cannot be guessed, and there is no way back.
    pub(super) fn deletion(&self, ingest: &mut IngestState, user: DeleteRecord) -> Record {
        let members = ingest.aliases.of_person(&user.user_id);
        if members.is_empty() {
            return Record::Delete(user);
        }
        let pending = members.into_iter().filter(|alias| !alias.joined).map(|alias| {
            let Member { shard, ordinal, id } = alias.source.clone();
            DeleteRecord { shard, ordinal, seq: ingest.next[shard as usize].1, user_id: id }
        });
        let deleted: Vec<DeleteRecord> = std::iter::once(user).chain(pending).collect();
        Arc::make_mut(&mut ingest.aliases).forget_person(&deleted[0].user_id);
        Record::DeletePerson(deleted)
    }
}

/// The error for a deletion of an alias.
pub(super) fn alias_is_kept(alias: &Alias, person: &str) -> Error {
    let (source, target) = (&alias.source.id, &alias.target.id);
    let way = match alias.joined {
        true => String::new(),
        false => format!(", or take the alias back first: UNALIAS '{source}'"),
    };
    Error::invalid(format!("'{source}' is an alias of '{target}', and what came under it is part of that history"))
        .with_hint(format!("delete '{person}' to remove the person with all ids{way}"))
}

/// `batch` with the ids under which its events are stored.
fn routed<'a>(batch: &'a EventBatch, aliases: &Aliases) -> Cow<'a, EventBatch> {
    let is_routed = |id: &str| aliases.get(id).is_some_and(|alias| alias.joined);
    if !aliases.has_routes() || !batch.user_id.iter().flatten().any(is_routed) {
        return Cow::Borrowed(batch);
    }
    let ids = batch.user_id.iter().map(|id| id.map(|id| aliases.route(id)));
    Cow::Owned(EventBatch { user_id: StringArray::from_iter(ids), ..batch.clone() })
}

impl EncodedBatch {
    /// As [`Self::encode`], with events of joined aliases under the ids of their persons.
    pub(super) fn encode_routed(batch: &EventBatch, shards: u16, aliases: &Aliases) -> Result<Self> {
        Self::encode(&routed(batch, aliases), shards)
    }
}
