//! Bulk import: batches are gathered in memory, sorted and written as segments, and committed by one manifest: all of
//! it or nothing.
//!
//! While an import is under way the table takes no other writes, because the import gives out ordinals and arrival
//! numbers; reading goes on.

use super::spill::{RunBuilder, ShardImport};
use super::written::Written;
use super::{Busy, IngestState, Limits, LiveSegment, Shared, Table};
use crate::catalog::CatalogBatch;
use crate::compact::{MergeInput, choose};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{BigIntRanges, EncodedBatch, EventBatch, grow};
use crate::manifest::{self, Manifest};
use crate::parallel;
use crate::stop::{self, NEVER, Stop};
use crate::types::Schema;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Events that are now in the table.
    pub accepted: u64,
    /// Events left out, because the user had one with the same `event_id` within the table's dedup window.
    pub duplicates: u64,
    /// Segments written.
    pub segments: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// An import under way. Dropped without [`Import::commit`], it leaves nothing.
pub struct Import {
    shared: Arc<Shared>,
    fingerprints: Vec<String>,
    state: Mutex<ImportState>,
    finished: bool,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Import({})", self.shared.name)
    }
}

struct ImportState {
    /// Batches that came before the one that is next.
    early: BTreeMap<u64, EncodedBatch>,
    next_sequence: u64,
    /// Batches in order, not yet written.
    ready: Vec<EncodedBatch>,
    /// Memory of `early` and `ready` in bytes.
    memory_bytes: usize,
    schema: Schema,
    ranges: BigIntRanges,
    shards: Vec<Mutex<ShardImport>>,
    /// Something was written to the catalog that is not committed.
    catalog_changed: bool,
    failed: bool,
    /// The table takes no columns and types that it does not have.
    strict: bool,
}

/// How the manifest writes a fingerprint.
pub(crate) fn fingerprint_text(fingerprint: u128) -> String {
    format!("{fingerprint:032x}")
}

impl Table {
    /// Begin an import of files with these fingerprints.
    ///
    /// # Errors
    /// `AlreadyExists` if a file with one of them was imported before, `Locked` during another import, what the disk
    /// says.
    pub fn begin_import(&self, fingerprints: &[u128]) -> Result<Import> {
        self.begin(fingerprints, self.shared.options().strict)
    }

    /// As [`Table::begin_import`], into a table to which nothing was ever added: a strict table takes the columns and
    /// types of this import, and holds later ones to them.
    ///
    /// # Errors
    /// Those of [`Table::begin_import`]; `InvalidInput` for a table that has something.
    pub fn begin_first_import(&self, fingerprints: &[u128]) -> Result<Import> {
        if !self.is_untouched() {
            return Err(Error::invalid(format!("table '{}' has columns or events already", self.shared.name))
                .with_hint("only the first import of a table sets its columns"));
        }
        self.begin(fingerprints, false)
    }

    fn begin(&self, fingerprints: &[u128], strict: bool) -> Result<Import> {
        let shared = &self.shared;
        self.check_new(fingerprints)?;
        let _maintenance = shared.maintenance.lock();
        let mut ingest = shared.drained()?;
        // Again, now that no other import can end meanwhile.
        self.check_new(fingerprints)?;
        shared.flush(|_| ())?;
        ingest.busy = Busy::Import;
        let has_users = |next: &(u32, u64)| next.0 > 0;
        let shards = ingest.next.iter().map(|next| Mutex::new(ShardImport::new(*next, has_users(next)))).collect();
        let state = ImportState {
            early: BTreeMap::new(),
            next_sequence: 0,
            ready: Vec::new(),
            memory_bytes: 0,
            schema: ingest.schema.clone(),
            ranges: ingest.ranges.clone(),
            shards,
            catalog_changed: false,
            failed: false,
            strict,
        };
        let mut fingerprints: Vec<String> = fingerprints.iter().map(|&f| fingerprint_text(f)).collect();
        fingerprints.sort();
        fingerprints.dedup();
        Ok(Import { shared: Arc::clone(shared), fingerprints, state: Mutex::new(state), finished: false })
    }

    fn check_new(&self, fingerprints: &[u128]) -> Result<()> {
        let Some(known) = fingerprints.iter().find(|fingerprint| self.is_imported(**fingerprint)) else {
            return Ok(());
        };
        let message = format!("table '{}' has the file with fingerprint {known:032x} already", self.shared.name);
        Err(Error::new(ErrorKind::AlreadyExists, message).with_hint("nothing was imported again"))
    }
}

impl Import {
    /// Add a batch. Batches are numbered 0, 1, 2, … in the order in which their events arrived, and may come in any
    /// order from any number of threads: the result is the same. A batch that is refused may be corrected and pushed
    /// again under its number.
    ///
    /// # Errors
    /// `InvalidInput` for a batch that the table cannot take or a number that was used; what the disk says.
    pub fn push(&self, sequence: u64, batch: EventBatch) -> Result<()> {
        let options = self.shared.options();
        // The larger part of the work, done by all threads at once.
        // Where new events go does not change during an import.
        let aliases = Arc::clone(&self.shared.state.read().aliases);
        let encoded = EncodedBatch::encode_routed(&batch, options.shards, &aliases)?;
        drop(batch);
        let mut state = self.state.lock();
        if state.failed {
            return Err(Error::new(ErrorKind::Poisoned, "the import failed before").with_hint("begin it again"));
        }
        if sequence < state.next_sequence || state.early.contains_key(&sequence) {
            return Err(Error::invalid(format!("batch {sequence} was pushed twice")));
        }
        let pushed = state.take(sequence, encoded).and_then(|()| {
            // Batches that are early cannot be written yet, so they count from the beginning.
            match state.memory_bytes >= self.shared.gathered_bytes() && !state.ready.is_empty() {
                true => state.spill(&self.shared, NEVER),
                false => Ok(()),
            }
        });
        state.failed = pushed.is_err();
        pushed.map_err(|e| e.at(format!("import into table '{}'", self.shared.name)))
    }

    /// Write the rest, and make all of it durable and visible at once.
    ///
    /// # Errors
    /// `InvalidInput` where a batch is missing; what the disk says. Nothing is imported then.
    pub fn commit(self) -> Result<Imported> {
        self.commit_unless(NEVER)
    }

    /// As [`Import::commit`], for as long as `stop` answers false. It is asked last before anything becomes visible.
    ///
    /// # Errors
    /// Those of [`Import::commit`]; `Cancelled` soon after `stop` says so.
    pub fn commit_unless(mut self, stop: Stop<'_>) -> Result<Imported> {
        let mut state = self.state.lock();
        if state.failed {
            return Err(Error::new(ErrorKind::Poisoned, "the import failed before").with_hint("begin it again"));
        }
        if !state.early.is_empty() {
            return Err(Error::invalid(format!("batch {} was never pushed", state.next_sequence)));
        }
        state.spill(&self.shared, stop)?;
        let mut imported = Imported::default();
        let mut runs = Vec::with_capacity(state.shards.len());
        for shard in &mut state.shards {
            let shard = shard.get_mut();
            imported.accepted += shard.accepted;
            imported.duplicates += shard.duplicates;
            runs.push(std::mem::take(&mut shard.runs));
        }
        let written = self.merge_runs(runs, &state.schema, stop)?;
        for written in written.iter().flatten() {
            imported.segments += 1;
            imported.bytes += written.entry.meta.bytes;
        }
        stop::check(stop)?;
        self.publish(&mut state, written)?;
        drop(state);
        self.finished = true;
        // What was imported is durable, so a failure here is no failure of the import.
        let _maintenance = self.shared.maintenance.lock();
        if let Err(error) = self.shared.join_if_many() {
            tracing::warn!(table = %self.shared.name, %error, "joined histories stay in memory");
        }
        self.shared.settle(choose, stop);
        Ok(imported)
    }

    /// One segment a shard: merging costs once what every query over many runs would cost again.
    fn merge_runs(&self, runs: Vec<Vec<Written>>, schema: &Schema, stop: Stop<'_>) -> Result<Vec<Option<Written>>> {
        let runs: Vec<Mutex<Vec<Written>>> = runs.into_iter().map(Mutex::new).collect();
        parallel::map(&runs, self.shared.limits.threads, |runs| {
            let mut runs = std::mem::take(&mut *runs.lock());
            if runs.len() <= 1 {
                return Ok(runs.pop());
            }
            let inputs: Vec<MergeInput> = runs.iter().map(|run| MergeInput::from(&run.live)).collect();
            self.shared.write_merged(&inputs, schema, i64::MIN, stop).map(Some)
        })
    }

    fn publish(&self, state: &mut ImportState, written: Vec<Option<Written>>) -> Result<()> {
        let shared = &self.shared;
        let _maintenance = shared.maintenance.lock();
        let before = Arc::clone(&shared.state.read());
        let mut manifest = Manifest {
            number: before.manifest.number + 1,
            // An import is a record of its own, which the catalog must have before any later one.
            log_position: before.manifest.log_position + 1,
            schema: state.schema.clone(),
            ..before.manifest.as_ref().clone()
        };
        manifest.imported.extend(self.fingerprints.iter().cloned());
        for ((shard, import), written) in manifest.shards.iter_mut().zip(&mut state.shards).zip(&written) {
            (shard.next_ordinal, shard.next_seq) = import.get_mut().next;
            shard.segments.extend(written.iter().map(|written| written.entry.clone()));
        }
        let position = manifest.log_position;
        manifest::check(&manifest)?;
        // Before anybody can see the events: a catalog may know more than a reader's snapshot, but never less. Until the
        // end it counts as unfinished.
        state.save_users(shared)?;
        let written: Vec<Option<LiveSegment>> = written.into_iter().map(|one| one.map(Written::keep)).collect();
        shared.publish(&manifest)?;
        {
            let mut log = shared.log.lock();
            shared.followers.skip_to(position);
            shared.swap(manifest, |next| {
                next.schema = state.schema.clone();
                next.position = position;
                for ((shard, import), written) in next.shards.iter_mut().zip(&mut state.shards).zip(written) {
                    (shard.next_ordinal, shard.next_seq) = import.get_mut().next;
                    let written = written.map(|live| shard.hide_deleted(live)).transpose()?;
                    shard.flushed.extend(written);
                }
                next.show_imported(before.shards.iter().map(|shard| shard.flushed.len()), shared.tz)
            })?;
            log.restart_after(position);
            shared.queue.restart_after(position);
        }
        let catalog = &shared.lookup.catalog;
        let finished = catalog.apply(CatalogBatch::default(), position).and_then(|()| catalog.flush());
        finished.inspect_err(|error| shared.queue.poison(error))?;
        // From here on nothing is left to undo, and the catalog is whole.
        state.catalog_changed = false;
        let mut ingest = shared.ingest.lock();
        *ingest = IngestState::after(&shared.state.read(), std::mem::take(&mut state.ranges));
        Ok(())
    }
}

impl Shared {
    fn gathered_bytes(&self) -> usize {
        let Limits { import_memory_bytes, threads, .. } = self.limits;
        gathered_bytes(import_memory_bytes, threads, self.options().shards.into())
    }
}

/// Bytes to gather before they are written: `limit`, or less where a thread has a larger part of all to write.
///
/// What is in the shards that are written at once is there about three times more meanwhile, as rows, in their order,
/// and encoded. So this part is at most a quarter of `limit`, as with two threads for eight shards.
fn gathered_bytes(limit: usize, threads: usize, shards: usize) -> usize {
    let at_once = threads.clamp(1, shards.max(1));
    limit.min(limit / 4 * shards.max(1) / at_once)
}

impl Drop for Import {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let mut ingest = self.shared.ingest.lock();
        if ingest.busy == Busy::Import {
            ingest.busy = Busy::No;
        }
        if self.state.get_mut().catalog_changed
            && let Err(error) = self.shared.rebuild_catalog()
        {
            self.shared.queue.poison(&error);
        }
    }
}

impl ImportState {
    /// Take a batch, and move those that are next in order to `ready`.
    fn take(&mut self, sequence: u64, batch: EncodedBatch) -> Result<()> {
        self.memory_bytes += batch.memory_bytes();
        self.early.insert(sequence, batch);
        while let Some(batch) = self.early.remove(&self.next_sequence) {
            self.schema = grow(&self.schema, &mut self.ranges, batch.incoming(), self.strict)?;
            self.ready.push(batch);
            self.next_sequence += 1;
        }
        Ok(())
    }

    /// Write what is ready as a run, shards in parallel.
    fn spill(&mut self, shared: &Shared, stop: Stop<'_>) -> Result<()> {
        let ready = std::mem::take(&mut self.ready);
        self.memory_bytes = self.early.values().map(EncodedBatch::memory_bytes).sum();
        if ready.is_empty() {
            return Ok(());
        }
        let has_ids = ready.iter().any(|batch| batch.event_id.is_some());
        if has_ids && !self.catalog_changed {
            // Says that the catalog is not to be trusted, before the first event id of this import is in it.
            shared.lookup.catalog.apply_unfinished(CatalogBatch::default())?;
            self.catalog_changed = true;
        }
        let builder = RunBuilder { shared, schema: &self.schema, batches: &ready, stop };
        let numbers: Vec<u16> = (0..self.shards.len() as u16).collect();
        let runs = parallel::map(&numbers, shared.limits.threads, |&number| {
            builder.run(number, &mut self.shards[number as usize].lock())
        })?;
        for (shard, run) in self.shards.iter_mut().zip(runs) {
            shard.get_mut().runs.extend(run);
        }
        let users_bytes: usize = self.shards.iter_mut().map(|shard| shard.get_mut().users.memory_bytes()).sum();
        if users_bytes > shared.limits.import_memory_bytes / 2 {
            self.save_users(shared)?;
        }
        Ok(())
    }

    /// Move the known users to the catalog.
    fn save_users(&mut self, shared: &Shared) -> Result<()> {
        const USERS: usize = 50_000;
        let catalog = &shared.lookup.catalog;
        let mut changes = CatalogBatch::default();
        self.catalog_changed = true;
        for (number, shard) in (0_u16..).zip(&mut self.shards) {
            let shard = shard.get_mut();
            for (id, ordinal) in shard.users.take_new() {
                changes.users.push((number, id, ordinal));
                if changes.users.len() == USERS {
                    catalog.apply_unfinished(std::mem::take(&mut changes))?;
                }
            }
            shard.in_catalog = true;
        }
        catalog.apply_unfinished(changes)?;
        catalog.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_needs_no_more_memory_with_more_threads() {
        let limit = 800 << 20;
        for shards in [1, 2, 3, 8, 64, 1024] {
            for threads in [0, 1, 2, 8, 64, 4096] {
                let gathered = gathered_bytes(limit, threads, shards);
                let copies = 3.0 * threads.clamp(1, shards) as f64 / shards as f64;
                let needed = gathered as f64 * (1.0 + copies);
                assert!(needed <= 1.75 * limit as f64, "{needed} bytes for {shards} shards and {threads} threads");
                assert!((limit / 4..=limit).contains(&gathered), "{gathered} bytes are gathered");
            }
        }
        assert_eq!(gathered_bytes(limit, 2, 8), limit);
    }
}
