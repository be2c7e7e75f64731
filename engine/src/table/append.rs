//! From a batch to a record: users get their ordinals, duplicates are dropped, the schema grows.

use super::alias::alias_is_kept;
use super::introduce::next_ordinal;
use super::pending::{Appended, PendingAppend, Produced, Queued};
use super::times::{accept, sorted_times, with_stored};
use super::{IngestState, Shared, Table};
use crate::catalog::{CatalogBatch, EventKey};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{EncodedBatch, EncodedColumn, EncodedText, EventBatch, grow, shard_of};
use crate::log::{BatchRecord, DeleteRecord, Record, ShardBatch};
use crate::producers::{Mark, PRODUCER_BYTES_MAX, Place};
use crate::rows::{Column, NULL_CODE, Rows, TextColumn};
use std::collections::HashMap;
use std::sync::Arc;

/// Refuse a mark that no producer has.
fn check_mark(mark: &Mark) -> Result<()> {
    if mark.producer.is_empty() || mark.producer.len() > PRODUCER_BYTES_MAX {
        let message = format!("the name of a producer has 1 to {PRODUCER_BYTES_MAX} bytes");
        return Err(Error::invalid(message));
    }
    if mark.sequence == 0 || mark.previous >= mark.sequence {
        let (sequence, previous) = (mark.sequence, mark.previous);
        return Err(Error::invalid(format!("batch {sequence} cannot follow batch {previous}"))
            .with_hint("batches are counted from 1"));
    }
    Ok(())
}

/// What queued records will change in the catalog. An entry stays right when the catalog has caught up.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Ordinal, or `None` for a deleted user, and the record that says so.
    users: HashMap<(u16, String), (Option<u32>, u64)>,
    events: HashMap<EventKey, (Vec<i64>, u64)>,
}

impl Overlay {
    /// Forget what the catalog has.
    fn forget_through(&mut self, position: u64) {
        self.users.retain(|_, (_, at)| *at > position);
        self.events.retain(|_, (_, at)| *at > position);
    }

    fn len(&self) -> usize {
        self.users.len() + self.events.len()
    }

    /// Forget what the catalog has, where that is worth it: records up to `applied` are in it, and `next` is the next one.
    pub(super) fn settle(&mut self, applied: u64, next: u64) {
        if self.len() > OVERLAY_ENTRIES || next == applied + 1 {
            self.forget_through(applied);
        }
    }

    /// What is queued about a user: an ordinal, or that the user was deleted.
    pub(super) fn user(&self, shard: u16, id: &str) -> Option<Option<u32>> {
        self.users.get(&(shard, id.to_string())).map(|(ordinal, _)| *ordinal)
    }
}

/// More entries of the overlay than this are checked for whether they can go.
const OVERLAY_ENTRIES: usize = 10_000;

impl Table {
    /// Add events. On return they are durable and visible, all of them or, on an error, normally none: after a failure
    /// of the disk the whole batch may be there when the database is opened again, but never a part of it.
    ///
    /// # Errors
    /// `InvalidInput` for a batch that the table cannot take, with nothing changed; what the disk says, and `Poisoned`
    /// after that; `Locked` during an import; `ResourceLimit` for a batch above 1 GiB, and where very much is in memory
    /// that cannot be written to segments.
    pub fn append(&self, batch: EventBatch) -> Result<Appended> {
        match self.queue(&batch, None)?.wait()? {
            Produced::Stored(appended) => Ok(appended),
            Produced::Repeated | Produced::Gap { .. } => Ok(Appended::default()),
        }
    }

    /// Add the events of a numbered batch, once however often it is sent. Otherwise as [`Table::append`].
    ///
    /// # Errors
    /// Those of [`Table::append`]; `InvalidInput` for a producer without a name, or with one that is too long, and for
    /// number 0.
    pub fn append_from(&self, batch: &EventBatch, mark: &Mark) -> Result<Produced> {
        self.queue(batch, Some(mark))?.wait()
    }

    /// Queue the events of a batch, to wait for it later: whoever queues the next one meanwhile lets both be made durable by
    /// one sync. Batches are stored in the order in which they are queued. Dropped without the wait, a batch is stored some time
    /// later, unless the process ends before.
    ///
    /// # Errors
    /// Those of [`Table::append_from`], but for what the disk says, which [`PendingAppend::wait`] tells.
    pub fn queue(&self, batch: &EventBatch, mark: Option<&Mark>) -> Result<PendingAppend> {
        if let Some(mark) = mark {
            check_mark(mark)?;
        }
        let shared = &self.shared;
        // The larger part of the work, done before it is this thread's turn.
        let aliases = Arc::clone(&shared.state.read().aliases);
        let encoded = EncodedBatch::encode_routed(batch, shared.options().shards, &aliases)?;
        let rows = encoded.len() as u64;
        shared.make_room()?;
        let (queued, position) = shared.queue_batch(batch, encoded, aliases.routes(), mark)?;
        Ok(PendingAppend { shared: Arc::clone(shared), queued, position, rows })
    }

    /// Number of the last batch of `producer` that is stored; `None` where the table has none, or none any more.
    pub fn last_batch_of(&self, producer: &str) -> Option<u64> {
        self.shared.state.read().producers.last(producer)
    }

    /// Delete a user of this table alone: what [`Table::delete_user`] does for events and profile.
    pub(super) fn delete_own(&self, user_id: &str) -> Result<bool> {
        let shared = &self.shared;
        let shard = shard_of(user_id, shared.options().shards);
        let position = {
            let mut ingest = shared.ingest.lock();
            shared.check_writable(&ingest)?;
            if let Some(alias) = ingest.aliases.get(user_id) {
                return Err(alias_is_kept(alias, ingest.aliases.resolve(user_id)));
            }
            let Some(ordinal) = shared.ordinal_in(&ingest, shard, user_id)? else {
                // That the user is gone may be due to a deletion that is not durable yet.
                let last = ingest.next_position - 1;
                drop(ingest);
                shared.queue.wait(last, shared)?;
                return Ok(false);
            };
            let seq = ingest.next[shard as usize].1;
            let user = DeleteRecord { shard, ordinal, seq, user_id: user_id.to_string() };
            let record = shared.deletion(&mut ingest, user);
            ingest.note_deleted(&record);
            shared.queue_record(&mut ingest, record)
        };
        shared.queue.wait(position, shared)?;
        Ok(true)
    }
}

impl Shared {
    /// Queue what of `batch` is new. Returns what that is, and the position to wait for.
    fn queue_batch(
        &self,
        batch: &EventBatch,
        encoded: EncodedBatch,
        routes: u64,
        mark: Option<&Mark>,
    ) -> Result<(Queued, u64)> {
        let options = self.options();
        let mut ingest = self.ingest.lock();
        self.check_writable(&ingest)?;
        match mark.map(|mark| ingest.producers.place(mark)) {
            Some(Place::Repeated) => return Ok((Queued::Repeated, ingest.next_position - 1)),
            Some(Place::Gap(last)) => return Ok((Queued::Gap(last), ingest.next_position - 1)),
            Some(Place::Next) | None => {}
        }
        let encoded = match routes == ingest.aliases.routes() {
            true => encoded,
            // A compaction joined histories meanwhile.
            false => EncodedBatch::encode_routed(batch, options.shards, &ingest.aliases)?,
        };
        let batch = &encoded;
        let applied = self.state.read().position;
        let next = ingest.next_position;
        ingest.overlay.settle(applied, next);
        let mut ranges = ingest.ranges.clone();
        let schema = grow(&ingest.schema, &mut ranges, batch.incoming(), options.strict)
            .map_err(|e| e.at(format!("table '{}'", self.name)))?;
        let position = ingest.next_position;
        let mut plan = Plan { shared: self, overlay: &ingest.overlay, dedup_window_us: options.dedup_window_us };
        let mut parts = Vec::new();
        for shard in 0..batch.shards() {
            if !batch.shard(shard).is_empty() {
                parts.extend(plan.shard(batch, shard, ingest.next[shard as usize])?);
            }
        }
        let accepted = parts.iter().map(|part| part.batch.rows.len() as u64).sum();
        if accepted == 0 && mark.is_none() {
            return Ok((Queued::Stored(0), position - 1));
        }
        let grown = (schema != ingest.schema).then(|| schema.clone());
        let (shards, events): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.batch, part.events)).unzip();
        let record = Record::Batch(BatchRecord {
            mark: mark.map(|mark| (mark.producer.clone(), mark.sequence)),
            schema: grown,
            shards,
        });
        let bytes = record.encode();
        check_record(bytes.len(), self.limits.record_bytes)?;
        ingest.note(&record, events);
        ingest.schema = schema;
        ingest.ranges = ranges;
        self.queue.push(bytes, record);
        Ok((Queued::Stored(accepted), position))
    }
}

impl IngestState {
    /// Count on the new users of a part of the record that is queued next.
    pub(super) fn note_users(&mut self, part: &ShardBatch) {
        let ShardBatch { shard, new_users, first_ordinal, rows, .. } = part;
        for (id, ordinal) in new_users.iter().zip(*first_ordinal..) {
            self.overlay.users.insert((*shard, id.clone()), (Some(ordinal), self.next_position));
        }
        let next = &mut self.next[*shard as usize];
        *next = (next.0 + new_users.len() as u32, next.1 + rows.len() as u64);
    }

    /// Count on the deletions of the record that is queued next.
    fn note_deleted(&mut self, record: &Record) {
        let deleted = match record {
            Record::Delete(delete) => std::slice::from_ref(delete),
            Record::DeletePerson(members) => members,
            _ => &[],
        };
        for DeleteRecord { shard, user_id, .. } in deleted {
            self.overlay.users.insert((*shard, user_id.clone()), (None, self.next_position));
        }
    }

    /// Count on what `record`, which is queued next, will change. `events` has the times of the event ids of its shards.
    pub(super) fn note(&mut self, record: &Record, events: Vec<HashMap<EventKey, Vec<i64>>>) {
        let position = self.next_position;
        if let Record::Batch(batch) = record {
            if let Some((producer, sequence)) = &batch.mark {
                self.producers.note(producer, *sequence, position);
            }
            for (part, events) in batch.shards.iter().zip(events) {
                self.note_users(part);
                let events = events.into_iter().map(|(key, times)| (key, (times, position)));
                self.overlay.events.extend(events);
            }
        }
        self.next_position += 1;
    }
}

/// Refuse what no frame of the log could hold, before anything is changed.
pub(super) fn check_record(bytes: usize, limit: usize) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("the batch takes {bytes} bytes; {limit} are the most");
    Err(Error::new(ErrorKind::ResourceLimit, message).with_hint("append smaller batches, or import a file"))
}

/// A shard's part of a batch, and the times of the event ids in it.
struct Part {
    batch: ShardBatch,
    events: HashMap<EventKey, Vec<i64>>,
}

struct Plan<'a> {
    shared: &'a Shared,
    overlay: &'a Overlay,
    dedup_window_us: i64,
}

impl Plan<'_> {
    fn shard(&mut self, batch: &EncodedBatch, shard: u16, next: (u32, u64)) -> Result<Option<Part>> {
        let rows = batch.shard(shard);
        let mut new_users = Vec::new();
        let ordinals = self.ordinals(batch, shard, next.0, &mut new_users)?;
        let (mut kept, mut events) = (Vec::with_capacity(rows.len()), HashMap::new());
        match &batch.event_id {
            None => kept.extend(rows.map(|row| row as u32)),
            Some(ids) => {
                let keys: Vec<Option<EventKey>> =
                    rows.clone().map(|row| key_of(ids, row, shard, &ordinals, batch)).collect();
                self.load_times(&keys, &mut events)?;
                for (row, key) in rows.zip(keys) {
                    if key.is_none_or(|key| accept(events.entry(key).or_default(), batch.ts[row], self.dedup_window_us))
                    {
                        kept.push(row as u32);
                    }
                }
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let rows = rows_of(batch, &kept, &ordinals);
        let batch = ShardBatch { shard, seq_start: next.1, first_ordinal: next.0, new_users, rows };
        Ok(Some(Part { batch, events }))
    }

    /// The ordinals of the users of the batch that have rows in `shard`, by code; new ones in order of arrival.
    fn ordinals(
        &self,
        batch: &EncodedBatch,
        shard: u16,
        first: u32,
        new_users: &mut Vec<String>,
    ) -> Result<HashMap<u32, u32>> {
        let mut ordinals = HashMap::new();
        let mut asked = Vec::new();
        for &code in &batch.users.codes[batch.shard(shard)] {
            if ordinals.insert(code, u32::MAX).is_none() {
                asked.push(code);
            }
        }
        let ids: Vec<&str> = asked.iter().map(|&code| batch.users.values.get(code)).collect();
        let known = self.shared.lookup.catalog.ordinals(shard, &ids)?;
        for ((code, id), stored) in asked.into_iter().zip(ids).zip(known) {
            let ordinal = match self.overlay.user(shard, id).unwrap_or(stored) {
                Some(ordinal) => ordinal,
                None => {
                    new_users.push(id.to_string());
                    next_ordinal(shard, first, new_users.len() - 1)?
                }
            };
            ordinals.insert(code, ordinal);
        }
        Ok(ordinals)
    }

    /// The known times of every event id among `keys`.
    fn load_times(&self, keys: &[Option<EventKey>], events: &mut HashMap<EventKey, Vec<i64>>) -> Result<()> {
        let distinct: Vec<EventKey> =
            keys.iter().flatten().filter(|key| events.insert(**key, Vec::new()).is_none()).copied().collect();
        let stored = sorted_times(self.shared.lookup.catalog.as_ref(), &distinct)?;
        for (key, stored) in distinct.into_iter().zip(stored) {
            let times = self.overlay.events.get(&key).map_or(stored, |(times, _)| times.clone());
            events.insert(key, times);
        }
        Ok(())
    }
}

fn key_of(
    ids: &EncodedText,
    row: usize,
    shard: u16,
    ordinals: &HashMap<u32, u32>,
    batch: &EncodedBatch,
) -> Option<EventKey> {
    let code = ids.codes[row];
    (code != NULL_CODE).then(|| EventKey::new(shard, ordinals[&batch.users.codes[row]], ids.values.get(code)))
}

/// The rows `kept` of `batch`, all of one shard.
fn rows_of(batch: &EncodedBatch, kept: &[u32], ordinals: &HashMap<u32, u32>) -> Rows {
    let pick = |row: &u32| *row as usize;
    let columns = batch.columns.iter().map(|(name, column)| (name.clone(), column_of(column, kept)));
    Rows {
        ordinals: kept.iter().map(|row| ordinals[&batch.users.codes[pick(row)]]).collect(),
        ts: kept.iter().map(|row| batch.ts[pick(row)]).collect(),
        event: text_of(&batch.event, kept),
        event_id: match &batch.event_id {
            Some(ids) => text_of(ids, kept),
            None => TextColumn { codes: vec![NULL_CODE; kept.len()], ..TextColumn::default() },
        },
        properties: columns.collect(),
    }
}

fn text_of(text: &EncodedText, kept: &[u32]) -> TextColumn {
    let mut mapped: HashMap<u32, u32> = HashMap::new();
    let mut column = TextColumn::default();
    for &row in kept {
        let code = text.codes[row as usize];
        let code = match code {
            NULL_CODE => NULL_CODE,
            code => *mapped.entry(code).or_insert_with(|| column.dictionary.intern(text.values.get(code))),
        };
        column.codes.push(code);
    }
    column
}

fn column_of(column: &EncodedColumn, kept: &[u32]) -> Column {
    fn pick<T: Copy>(values: &[T], kept: &[u32]) -> Vec<T> {
        kept.iter().map(|&row| values[row as usize]).collect()
    }
    match column {
        EncodedColumn::Boolean { values, valid } => {
            Column::Boolean { values: pick(values, kept), valid: pick(valid, kept) }
        }
        EncodedColumn::BigInt { values, valid } => {
            Column::BigInt { values: pick(values, kept), valid: pick(valid, kept) }
        }
        EncodedColumn::Double { values, valid } => {
            Column::Double { values: pick(values, kept), valid: pick(valid, kept) }
        }
        EncodedColumn::Timestamp { values, valid } => {
            Column::Timestamp { values: pick(values, kept), valid: pick(valid, kept) }
        }
        EncodedColumn::Text(text) => Column::Text(text_of(text, kept)),
    }
}

/// What a record changes in the catalog. A deleted user is also remembered for the snapshots that still have it.
pub(crate) fn catalog_changes(record: &Record, shared: &Shared) -> Result<CatalogBatch> {
    let mut changes = CatalogBatch::default();
    match record {
        Record::Delete(delete) => forget_user(delete, shared, &mut changes),
        Record::DeletePerson(members) => members.iter().for_each(|user| forget_user(user, shared, &mut changes)),
        Record::Alias(alias) => alias.introduced.iter().for_each(|part| changes.users.extend(new_users(part))),
        Record::Unalias(_) => {}
        Record::Batch(batch) => {
            let mut events: HashMap<EventKey, Vec<i64>> = HashMap::new();
            for part in &batch.shards {
                changes.users.extend(new_users(part));
                for row in 0..part.rows.len() {
                    if let Some(id) = part.rows.event_id.get(row) {
                        let key = EventKey::new(part.shard, part.rows.ordinals[row], id);
                        events.entry(key).or_default().push(part.rows.ts[row]);
                    }
                }
            }
            changes.events = with_stored(shared.lookup.catalog.as_ref(), events)?;
        }
    }
    Ok(changes)
}

fn forget_user(delete: &DeleteRecord, shared: &Shared, changes: &mut CatalogBatch) {
    let DeleteRecord { shard, ordinal, user_id, .. } = delete;
    shared.lookup.deleted.lock().entry(user_id.clone()).or_default().push(*ordinal);
    changes.deleted.push((*shard, user_id.clone(), *ordinal));
}

fn new_users(part: &ShardBatch) -> impl Iterator<Item = (u16, String, u32)> {
    part.new_users.iter().zip(part.first_ordinal..).map(|(id, ordinal)| (part.shard, id.clone(), ordinal))
}
