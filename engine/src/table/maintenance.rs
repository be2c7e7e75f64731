//! Flush, compaction, retention and changes of definition: everything that replaces the manifest.
//!
//! There is no background thread. A flush runs in the thread whose append filled the memtable, and compaction after it
//! in the same thread; other threads go on reading and appending meanwhile.

use super::written::Written;
use super::{Busy, IngestState, LiveSegment, Shared, Table, TableState};
use crate::compact::{Choice, MergeInput, SegmentSummary, choose, choose_full, merge};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::check_new_column;
use crate::log::Logs;
use crate::manifest::{self, Manifest, SegmentEntry, ShardManifest, Tombstone};
use crate::parallel;
use crate::stop::{self, NEVER, Stop};
use crate::storage::Store;
use crate::types::{ColumnDef, Schema};
use parking_lot::MutexGuard;
use roaring::RoaringBitmap;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Appends wait when as much is in memory as this many memtables may hold.
const MEMTABLES: u64 = 4;

impl Table {
    /// Write what is in memory to segments, so that the log can begin anew, and merge segments where they are many.
    ///
    /// # Errors
    /// What the disk says. Nothing is lost then: the log still has it. That merging failed is no error: it is told to the
    /// log of the process, and tried again at the next occasion.
    pub fn flush(&self) -> Result<()> {
        {
            let _maintenance = self.shared.maintenance.lock();
            self.shared.flush(|_| ())?;
            self.shared.settle(choose, NEVER);
        }
        self.profiles().map_or(Ok(()), |profiles| profiles.table.flush())
    }

    /// Merge segments: neighbours of similar size, or with `full` each shard to one segment, without the rows of deleted
    /// users and rows past retention, and with the histories of aliases joined for good.
    ///
    /// # Errors
    /// What the disk says, `Corrupt` for a damaged segment. Nothing is lost then: the old segments stay.
    pub fn compact(&self, full: bool) -> Result<()> {
        self.compact_unless(full, NEVER)
    }

    /// As [`Table::compact`], for as long as `stop` answers false. Merges that came to their end stay.
    ///
    /// # Errors
    /// Those of [`Table::compact`]; `Cancelled` soon after `stop` says so.
    pub fn compact_unless(&self, full: bool, stop: Stop<'_>) -> Result<()> {
        if let Some(profiles) = self.profiles() {
            profiles.table.compact_unless(full, stop)?;
        }
        let _maintenance = self.shared.maintenance.lock();
        self.shared.flush(|_| ())?;
        if full {
            self.shared.join_histories(stop)?;
        }
        self.shared.compact(if full { choose_full } else { choose }, stop)?;
        if full {
            self.shared.lookup.catalog.scrub()?;
            self.shared.remove_derived()?;
        }
        Ok(())
    }

    /// Hide the rows older than the table's retention, counted back from `now_us`, at once; remove segments that have
    /// no other rows. The rest goes at the next compaction.
    ///
    /// # Errors
    /// What the disk says.
    pub fn enforce_retention(&self, now_us: i64) -> Result<()> {
        let shared = &self.shared;
        let _maintenance = shared.maintenance.lock();
        let manifest = Arc::clone(&shared.state.read().manifest);
        let Some(retention_us) = manifest.options.retention_us else { return Ok(()) };
        let hidden_before_us = now_us.saturating_sub(retention_us);
        if hidden_before_us <= manifest.hidden_before_us {
            return Ok(());
        }
        shared.edit(|manifest| manifest.hidden_before_us = hidden_before_us)?;
        let past = |segments: &[SegmentSummary]| {
            let at = segments.iter().position(SegmentSummary::is_all_expired);
            at.map_or(Choice::Rest, |at| Choice::Merge(at..at + 1))
        };
        shared.compact(past, NEVER)
    }

    /// Add a property column.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidInput` for a name that cannot be used, what the disk says.
    pub fn add_column(&self, column: &ColumnDef) -> Result<()> {
        let shared = &self.shared;
        let _maintenance = shared.maintenance.lock();
        let mut ingest = shared.drained()?;
        check_new_column(&ingest.schema, &column.name).map_err(|e| e.at(format!("table '{}'", shared.name)))?;
        shared.flush(|manifest| manifest.schema.columns.push(column.clone()))?;
        ingest.schema.columns.push(column.clone());
        Ok(())
    }

    /// Set how long events are kept, in microseconds; `None`: for ever. Nothing goes before
    /// [`Table::enforce_retention`], and what that has hidden does not come back.
    ///
    /// # Errors
    /// `InvalidInput` for less than a microsecond, what the disk says.
    pub fn set_retention(&self, retention_us: Option<i64>) -> Result<()> {
        if retention_us.is_some_and(|retention| retention <= 0) {
            return Err(Error::invalid("retention must be longer than 0").with_hint("use NULL to keep events for ever"));
        }
        let _maintenance = self.shared.maintenance.lock();
        let _ingest = self.shared.drained()?;
        self.shared.edit(|manifest| manifest.options.retention_us = retention_us)
    }

    /// Drop the table: first in its manifest, which is what makes it gone, then its files. Its directory with the catalog
    /// goes when no snapshot is left.
    pub(crate) fn drop_files(&self) -> Result<()> {
        let shared = &self.shared;
        let _maintenance = shared.maintenance.lock();
        shared.drained()?.busy = Busy::Dropped;
        // Whoever computes a tag meanwhile must not write it any more.
        let _tags = shared.tag_writer.lock();
        shared.edit(|manifest| manifest.dropped = true)?;
        shared.lookup.drop_directory();
        let manifest = Arc::clone(&shared.state.read().manifest);
        if let Err(error) = remove_dropped(&shared.store, shared.logs.as_ref(), &manifest) {
            tracing::warn!(table = %shared.name, %error, "the next opening removes the rest of the dropped table");
        }
        Ok(())
    }
}

/// Remove the log and the files of a dropped table but for the catalog, which may be in use; its last manifest at the end.
pub(crate) fn remove_dropped(store: &Arc<dyn Store>, logs: &dyn Logs, manifest: &Manifest) -> Result<()> {
    let directory = Manifest::directory(manifest.table);
    logs.remove(store, &directory)?;
    let store = store.as_ref();
    for name in store.list(&format!("{directory}/"))? {
        if !["manifest-", "catalog/"].iter().any(|kept| name[directory.len() + 1..].starts_with(kept)) {
            store.delete(&name)?;
        }
    }
    manifest.remove_older(store)?;
    manifest.remove(store)
}

impl Shared {
    /// Ingest with nothing queued, and nothing that can be queued while the guard is held.
    pub(crate) fn drained(&self) -> Result<MutexGuard<'_, IngestState>> {
        let ingest = self.ingest.lock();
        self.check_writable(&ingest)?;
        self.queue.wait(ingest.next_position - 1, self)?;
        Ok(ingest)
    }

    /// Flush and compact if the memtable is large. A failure is told to the log of the process only: the events that
    /// filled the memtable are durable, and the next append tries again.
    pub(crate) fn flush_if_large(&self) {
        // Where another thread is at it already, it is enough.
        let is_large = self.holds_in_memory(1) || self.holds_many_joined();
        if let (true, Some(_maintenance)) = (is_large, self.maintenance.try_lock()) {
            match self.flush(|_| ()).and_then(|()| self.join_if_many()) {
                Ok(()) => self.settle(choose, NEVER),
                Err(error) => tracing::warn!(table = %self.name, %error, "the memtable stays in memory"),
            }
        }
    }

    /// Wait while very much is in memory, and write it: threads that append while another one compacts, or while the
    /// disk refuses segments, would fill the memory otherwise.
    ///
    /// # Errors
    /// `ResourceLimit` where what is in memory cannot be written, `Poisoned` after an earlier failure.
    pub(crate) fn make_room(&self) -> Result<()> {
        if !self.holds_in_memory(MEMTABLES) {
            return Ok(());
        }
        let _maintenance = self.maintenance.lock();
        if !self.holds_in_memory(MEMTABLES) {
            return Ok(());
        }
        self.flush(|_| ()).map_err(|error| match error.kind() {
            ErrorKind::Poisoned => error,
            _ => {
                let message = format!("table '{}' has too much in memory, which cannot be written: {error}", self.name);
                Error::new(ErrorKind::ResourceLimit, message).with_hint("remove the cause, then append again")
            }
        })
    }

    /// Whether as much is in memory as `times` memtables may hold.
    fn holds_in_memory(&self, times: u64) -> bool {
        let state = self.state.read();
        state.memory_rows() >= self.limits.memtable_rows.saturating_mul(times)
            || state.memory_bytes() >= self.limits.memtable_bytes.saturating_mul(times)
    }

    /// Compact after something was made durable, for as long as `stop` answers false: a failure is no failure of that. The
    /// caller holds `maintenance`.
    pub(crate) fn settle(&self, choose: impl Fn(&[SegmentSummary]) -> Choice, stop: Stop<'_>) {
        if let Err(error) = self.compact(choose, stop) {
            tracing::warn!(table = %self.name, %error, "compaction failed, and is tried again later");
        }
    }

    /// Write what is in memory to segments, and publish a manifest with them and with `edit`. The caller holds
    /// `maintenance`.
    pub(crate) fn flush(&self, edit: impl FnOnce(&mut Manifest)) -> Result<()> {
        let frozen = self.freeze()?;
        self.write_frozen(&frozen, edit, |needed| self.erase_from_tags(&frozen, needed))
    }

    /// The table as it is, with nothing in memory that still grows: what is appended from now on is not part of it. The
    /// caller holds `maintenance`.
    pub(super) fn freeze(&self) -> Result<Arc<TableState>> {
        self.check_present()?;
        self.queue.check()?;
        let mut log = self.log.lock();
        let mut state = self.state.write();
        log.rotate();
        let next = Arc::make_mut(&mut state);
        for shard in &mut next.shards {
            shard.frozen.append(&mut shard.active);
        }
        Ok(Arc::clone(&state))
    }

    /// Write what `frozen` has in memory to segments, and publish a manifest with them and with `edit`, after `erase` took
    /// the deletions that are not needed any more out of the tags. The caller has held `maintenance` since it was frozen.
    pub(super) fn write_frozen(
        &self,
        frozen: &TableState,
        edit: impl FnOnce(&mut Manifest),
        erase: impl FnOnce(&[Tombstone]) -> Result<()>,
    ) -> Result<()> {
        let numbers: Vec<usize> = (0..frozen.shards.len()).filter(|&at| !frozen.shards[at].frozen.is_empty()).collect();
        let written = parallel::map(&numbers, self.limits.threads, |&shard| {
            let inputs: Vec<MergeInput> = frozen.shards[shard].frozen.iter().map(MergeInput::from).collect();
            self.write_merged(&inputs, &frozen.schema, frozen.manifest.hidden_before_us, NEVER)
        })?;
        let mut manifest = Manifest {
            number: frozen.manifest.number + 1,
            log_position: frozen.position,
            schema: frozen.schema.clone(),
            ..frozen.manifest.as_ref().clone()
        };
        for (shard, now) in manifest.shards.iter_mut().zip(&frozen.shards) {
            (shard.next_ordinal, shard.next_seq) = (now.next_ordinal, now.next_seq);
        }
        for (&shard, written) in numbers.iter().zip(&written) {
            manifest.shards[shard].segments.push(written.entry.clone());
        }
        let needed = needed_tombstones(frozen, |shard| &frozen.shards[shard].flushed)?;
        manifest.tombstones.clone_from(&needed);
        manifest.set_aliases(&frozen.aliases, frozen.identity_at);
        manifest.set_producers(&frozen.producers);
        edit(&mut manifest);
        let unchanged = Manifest { number: frozen.manifest.number, ..manifest.clone() };
        if unchanged == *frozen.manifest {
            return Ok(());
        }
        // The catalog may lose what it has not flushed, and the log will not have it any more.
        self.lookup.catalog.flush()?;
        erase(&needed)?;
        let written: Vec<LiveSegment> = written.into_iter().map(Written::keep).collect();
        self.publish(&manifest)?;
        let mut log = self.log.lock();
        self.swap(manifest, |state| {
            if state.manifest.schema != frozen.schema {
                // An edit of the schema, while nothing could be queued.
                state.schema = state.manifest.schema.clone();
            }
            forget_erased(state, frozen, &needed);
            for (shard, live) in numbers.iter().zip(written) {
                let shard = &mut state.shards[*shard];
                shard.frozen.clear();
                shard.flushed.push(shard.hide_deleted(live)?);
            }
            Ok(())
        })?;
        log.truncate_through(frozen.position)
    }

    /// Publish a manifest that differs from the live one by `edit`. The caller holds `maintenance`.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Manifest)) -> Result<()> {
        self.check_present()?;
        self.queue.check()?;
        let mut manifest = self.state.read().manifest.as_ref().clone();
        manifest.number += 1;
        edit(&mut manifest);
        self.publish(&manifest)?;
        let _log = self.log.lock();
        self.swap(manifest, |_| Ok(()))
    }

    /// Make `manifest` the live one on disk. After a failure the live one is not known, so writes are refused.
    pub(crate) fn publish(&self, manifest: &Manifest) -> Result<()> {
        // What breaks an invariant was not written, so that all is as it was.
        manifest::check(manifest)?;
        manifest.publish(self.store.as_ref()).inspect_err(|error| self.queue.poison(error))
    }

    /// Let readers see `manifest` and what `change` does. The caller holds `log`.
    pub(crate) fn swap(&self, manifest: Manifest, change: impl FnOnce(&mut TableState) -> Result<()>) -> Result<()> {
        let mut next = self.state.read().as_ref().clone();
        next.manifest = Arc::new(manifest);
        change(&mut next).inspect_err(|error| self.queue.poison(error))?;
        *self.state.write() = Arc::new(next);
        Ok(())
    }

    /// Merge segments to a new file.
    pub(crate) fn write_merged(
        &self,
        inputs: &[MergeInput],
        schema: &Schema,
        hidden_before_us: i64,
        stop: Stop<'_>,
    ) -> Result<Written> {
        let keep = self.keep();
        self.write_segment(stop, |sink| merge(inputs, schema, hidden_before_us, keep, sink))
    }

    /// Merge the segments that `choose` chooses in each shard, until it chooses none, or `stop` says so. The caller holds
    /// `maintenance`.
    pub(crate) fn compact(&self, choose: impl Fn(&[SegmentSummary]) -> Choice, stop: Stop<'_>) -> Result<()> {
        self.check_present()?;
        loop {
            stop::check(stop)?;
            let state = Arc::clone(&self.state.read());
            let hidden_before_us = state.manifest.hidden_before_us;
            let choices = state.shards.iter().enumerate().filter_map(|(number, shard)| {
                let deleted = deleted_users(&state.manifest, number);
                let summary = |live| summary(live, &deleted, hidden_before_us);
                let summaries: Vec<_> = shard.flushed.iter().map(summary).collect();
                match choose(&summaries) {
                    Choice::Rest => None,
                    Choice::Merge(range) => Some((number, range)),
                }
            });
            let choices: Vec<(usize, Range<usize>)> = choices.collect();
            if choices.is_empty() {
                return Ok(());
            }
            let written = parallel::map(&choices, self.limits.threads, |(number, range)| {
                let flushed = &state.shards[*number].flushed[range.clone()];
                let inputs: Vec<MergeInput> = flushed.iter().map(MergeInput::from).collect();
                self.write_merged(&inputs, &state.manifest.schema, hidden_before_us, stop)
            })?;
            self.replace(&state, &choices, written)?;
        }
    }

    /// Put each of `written` in the place of the segments that it was merged from, and remove those.
    fn replace(&self, before: &TableState, choices: &[(usize, Range<usize>)], written: Vec<Written>) -> Result<()> {
        let mut manifest = before.manifest.as_ref().clone();
        manifest.number += 1;
        let mut replaced: Vec<SegmentEntry> = Vec::new();
        let mut flushed: Vec<Vec<LiveSegment>> = before.shards.iter().map(|shard| shard.flushed.clone()).collect();
        let written = written.into_iter().map(|written| (written.entry.clone(), written.keep()));
        let written: Vec<(SegmentEntry, LiveSegment)> = written.collect();
        for ((shard, range), (entry, live)) in choices.iter().zip(&written) {
            let ShardManifest { segments, .. } = &mut manifest.shards[*shard];
            replaced.extend(segments.splice(range.clone(), [entry.clone()]));
            flushed[*shard].splice(range.clone(), [live.clone()]);
        }
        let needed = needed_tombstones(before, |shard| &flushed[shard])?;
        // A deletion that only the log has stays there.
        manifest.tombstones.retain(|tombstone| needed.contains(tombstone));
        self.erase_from_tags(before, &needed)?;
        self.publish(&manifest)?;
        {
            let _log = self.log.lock();
            self.swap(manifest, |state| {
                forget_erased(state, before, &needed);
                for ((number, range), (_, live)) in choices.iter().zip(written) {
                    let shard = &mut state.shards[*number];
                    let live = shard.hide_deleted(live)?;
                    shard.flushed.splice(range.clone(), [live]);
                }
                Ok(())
            })?;
        }
        for entry in replaced {
            // Snapshots that still read it keep it until they go. What stays is removed at the next opening.
            let _ = self.store.delete(&self.segment_file(entry.file));
        }
        Ok(())
    }
}

/// Forget those deletions of `before` of which nothing is left on disk.
fn forget_erased(state: &mut TableState, before: &TableState, needed: &[Tombstone]) {
    let needed: HashSet<&Tombstone> = needed.iter().collect();
    for (shard, before) in state.shards.iter_mut().zip(&before.shards) {
        let known: HashSet<&Tombstone> = before.tombstones.iter().collect();
        shard.tombstones.retain(|tombstone| needed.contains(tombstone) || !known.contains(tombstone));
    }
}

/// The deleted users of a shard that the manifest has. Those that only the log has wait for the next flush, so that a
/// compaction ends however many users are deleted meanwhile.
fn deleted_users(manifest: &Manifest, shard: usize) -> RoaringBitmap {
    let own = manifest.tombstones.iter().filter(|tombstone| tombstone.shard as usize == shard);
    own.map(|tombstone| tombstone.ordinal).collect()
}

fn summary(live: &LiveSegment, deleted: &RoaringBitmap, hidden_before_us: i64) -> SegmentSummary {
    let meta = live.segment.meta();
    SegmentSummary {
        rows: meta.rows,
        has_deleted: !live.hidden.is_disjoint(deleted),
        ts_min: meta.ts_min,
        ts_max: meta.ts_max,
        hidden_before_us,
    }
}

/// The deletions of `state` of which segments of a shard on disk still have something.
fn needed_tombstones<'a>(
    state: &TableState,
    segments: impl Fn(usize) -> &'a Vec<LiveSegment>,
) -> Result<Vec<Tombstone>> {
    let mut needed = Vec::new();
    for (number, shard) in state.shards.iter().enumerate() {
        for tombstone in &shard.tombstones {
            for live in segments(number) {
                if live.holds(tombstone.ordinal)? {
                    needed.push(tombstone.clone());
                    break;
                }
            }
        }
    }
    Ok(needed)
}
