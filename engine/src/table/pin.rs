//! A table held still for a moment, and its files as of that moment: what a copy of the database is made of.
//!
//! A backup holds several tables at once, in the order of their names: first `maintenance` and `tag_writer` of all, then
//! `ingest` of all. It waits for a lock only so long while it holds others, and gives all back after that, so that it neither
//! stops the writers of other tables nor waits in a circle.

use super::tags::TagWriter;
use super::{Busy, IngestState, Shared, Table, TableState};
use crate::error::{Error, Result};
use crate::stop::{self, Stop};
use crate::storage::Blob;
use crate::tags::index_name;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Duration;

/// How often who waits asks whether the work is still wanted.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A table of which no manifest and no tag changes. Records may still come.
pub(crate) struct Still<'a> {
    shared: &'a Shared,
    maintenance: MutexGuard<'a, ()>,
    tags: MutexGuard<'a, TagWriter>,
}

/// Held, nothing is appended to a table.
pub(crate) struct NoWrites<'a> {
    shared: &'a Shared,
    ingest: MutexGuard<'a, IngestState>,
}

/// A table as of one moment. Records come again, and are not part of it.
pub(crate) struct Frozen<'a> {
    still: Still<'a>,
    state: Arc<TableState>,
}

impl Table {
    /// Write what is in memory to segments, so that little is left for the moment in which several tables are held.
    ///
    /// # Errors
    /// What the disk says; `Cancelled` soon after `stop` says so.
    pub(crate) fn empty_memory(&self, stop: Stop<'_>) -> Result<()> {
        let shared = &self.shared;
        let _maintenance = wait(&shared.maintenance, stop)?;
        // It may have been dropped meanwhile.
        if shared.check_present().is_ok() { shared.flush(|_| ()) } else { Ok(()) }
    }

    /// Hold the table still; `None` where that would take longer than `patience`.
    pub(crate) fn hold_still(&self, patience: Duration) -> Option<Still<'_>> {
        let shared = &*self.shared;
        let maintenance = shared.maintenance.try_lock_for(patience)?;
        let tags = shared.tag_writer.try_lock_for(patience)?;
        Some(Still { shared, maintenance, tags })
    }

    /// Return once [`Self::hold_still`] and [`Still::hold_writes`] may succeed.
    ///
    /// # Errors
    /// `Cancelled` soon after `stop` says so.
    pub(crate) fn wait_until_free(&self, stop: Stop<'_>) -> Result<()> {
        drop(wait(&self.shared.maintenance, stop)?);
        drop(wait(&self.shared.tag_writer, stop)?);
        wait(&self.shared.ingest, stop).map(drop)
    }
}

fn wait<'a, T>(lock: &'a Mutex<T>, stop: Stop<'_>) -> Result<MutexGuard<'a, T>> {
    loop {
        stop::check(stop)?;
        if let Some(held) = lock.try_lock_for(ASK_EVERY) {
            return Ok(held);
        }
    }
}

impl<'a> Still<'a> {
    /// Keep writers out; `None` where that would take longer than `patience`.
    pub(crate) fn hold_writes(&self, patience: Duration) -> Option<NoWrites<'a>> {
        let shared = self.shared;
        Some(NoWrites { shared, ingest: shared.ingest.try_lock_for(patience)? })
    }

    /// The table as it is now.
    ///
    /// # Errors
    /// `Poisoned` after a failed write.
    pub(crate) fn freeze(self) -> Result<Frozen<'a>> {
        let state = self.shared.freeze()?;
        Ok(Frozen { still: self, state })
    }
}

impl NoWrites<'_> {
    /// Return once everything that was written is durable and visible. An import that is under way does not matter: what it
    /// has so far is in no manifest, and nothing was in memory when it began.
    ///
    /// # Errors
    /// `Poisoned` after a failed write, `NotFound` where a drop of the table failed half-way.
    pub(crate) fn drain(&self) -> Result<()> {
        if self.ingest.busy != Busy::Import {
            self.shared.check_writable(&self.ingest)?;
        }
        self.shared.queue.wait(self.ingest.next_position - 1, self.shared)
    }
}

impl Frozen<'_> {
    /// Make the moment durable, and hold all files of it: name and bytes, the manifest last. They stay readable whatever
    /// becomes of the table.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn pin(self) -> Result<Vec<(String, Blob)>> {
        let Still { shared, maintenance, mut tags } = self.still;
        let frozen = &self.state;
        shared.write_frozen(frozen, |_| (), |needed| shared.erase_while_held(frozen, needed, &mut tags))?;
        let files = shared.pin()?;
        drop((tags, maintenance));
        Ok(files)
    }
}

impl Shared {
    /// The files that the live manifest and the live index of tags refer to, and these. The caller holds `maintenance` and
    /// `tag_writer`.
    fn pin(&self) -> Result<Vec<(String, Blob)>> {
        let state = Arc::clone(&self.state.read());
        let mut files = Vec::new();
        for (manifest, shard) in state.manifest.shards.iter().zip(&state.shards) {
            for (entry, live) in manifest.segments.iter().zip(&shard.flushed) {
                let name = self.segment_file(entry.file);
                if *live.segment.meta() != entry.meta {
                    return Err(Error::corrupt(format!("{name}: the manifest describes another segment")));
                }
                files.push((name, live.segment.blob().clone()));
            }
        }
        files.extend(state.tags.blobs().map(|(name, blob)| (name.to_string(), blob.clone())));
        let index = (state.tags.number > 0).then(|| index_name(self.id, state.tags.number));
        for name in index.into_iter().chain([state.manifest.own_file()]) {
            let blob = self.store.get(&name)?;
            files.push((name, blob));
        }
        Ok(files)
    }
}
