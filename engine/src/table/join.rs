//! The physical join: joined histories become segments of their persons' shards, and what is left of them under the ids
//! of the aliases goes like what was deleted. From then on an alias says only where new events go.

use super::append::Overlay;
use super::recover::rebuild_events;
use super::written::Written;
use super::{IngestState, LiveSegment, Shared, TableState};
use crate::aliases::{Aliases, Member};
use crate::catalog::CatalogBatch;
use crate::compact::MergeInput;
use crate::error::{ErrorKind, Result};
use crate::manifest::{self, Manifest, Tombstone};
use crate::parallel;
use crate::stop::{NEVER, Stop};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a join is about to change.
struct Join {
    /// The aliases after it.
    aliases: Arc<Aliases>,
    /// The aliases that were pending.
    sources: Vec<Member>,
    /// Their ordinals, which are nobody's any more.
    tombstones: Vec<Tombstone>,
}

impl Join {
    fn of(state: &TableState) -> Self {
        let mut aliases = state.aliases.as_ref().clone();
        let sources: Vec<Member> = aliases.pending().map(|alias| alias.source.clone()).collect();
        aliases.all_joined();
        let tombstone = |source: &Member| {
            let Member { shard, ordinal, .. } = *source;
            Tombstone { shard, ordinal, seq: state.shards[shard as usize].next_seq }
        };
        Self { aliases: Arc::new(aliases), tombstones: sources.iter().map(tombstone).collect(), sources }
    }

    fn manifest(&self, state: &TableState, written: &[(usize, Written)]) -> Manifest {
        let mut manifest = Manifest { number: state.manifest.number + 1, ..state.manifest.as_ref().clone() };
        manifest.set_aliases(&self.aliases, state.position);
        manifest.tombstones.extend(self.tombstones.iter().cloned());
        for (shard, written) in written {
            manifest.shards[*shard].segments.insert(0, written.entry.clone());
        }
        manifest
    }

    fn apply(&self, state: &mut TableState, written: Vec<(usize, LiveSegment)>) -> Result<()> {
        let mut erased: BTreeMap<u16, RoaringBitmap> = BTreeMap::new();
        for tombstone in &self.tombstones {
            erased.entry(tombstone.shard).or_default().insert(tombstone.ordinal);
            state.shards[tombstone.shard as usize].tombstones.push(tombstone.clone());
        }
        for shard in &mut state.shards {
            shard.joined.clear();
            shard.away = Arc::default();
        }
        for (shard, ordinals) in &erased {
            state.shards[*shard as usize].arrived_mut().try_for_each(|live| live.hide_all(ordinals))?;
        }
        for (shard, live) in written {
            let shard = &mut state.shards[shard];
            let live = shard.hide_deleted(live)?;
            shard.flushed.insert(0, live);
        }
        state.aliases = Arc::clone(&self.aliases);
        state.identity_at = state.position;
        Ok(())
    }
}

impl Shared {
    /// Join the histories of all pending aliases on disk. During an import it waits for another occasion. The caller holds
    /// `maintenance`.
    pub(super) fn join_histories(&self, stop: Stop<'_>) -> Result<()> {
        if self.state.read().aliases.pending().next().is_none() {
            return Ok(());
        }
        // The sources get no event meanwhile.
        let mut ingest = match self.drained() {
            Err(error) if error.kind() == ErrorKind::Locked => return Ok(()),
            ingest => ingest?,
        };
        // A record of the log must not bring back what is moved.
        self.flush(|_| ())?;
        let state = Arc::clone(&self.state.read());
        let written = self.write_joined(&state, stop)?;
        self.publish_join(&mut ingest, &state, written)
    }

    /// The joined histories of each shard as a segment on disk.
    fn write_joined(&self, state: &TableState, stop: Stop<'_>) -> Result<Vec<(usize, Written)>> {
        let shards: Vec<usize> = (0..state.shards.len()).filter(|&at| !state.shards[at].joined.is_empty()).collect();
        let written = parallel::map(&shards, self.limits.threads, |&shard| {
            let inputs: Vec<MergeInput> = state.shards[shard].joined.iter().map(MergeInput::from).collect();
            self.write_merged(&inputs, &state.schema, state.manifest.hidden_before_us, stop)
        })?;
        // All of it may be past the retention.
        Ok(shards.into_iter().zip(written).filter(|(_, written)| written.entry.meta.rows > 0).collect())
    }

    fn publish_join(&self, ingest: &mut IngestState, state: &TableState, written: Vec<(usize, Written)>) -> Result<()> {
        let join = Join::of(state);
        let manifest = join.manifest(state, &written);
        manifest::check(&manifest)?;
        // As in an import: until the end the catalog counts as unfinished.
        self.move_event_ids(&join.sources, &written).inspect_err(|error| self.queue.poison(error))?;
        let written = written.into_iter().map(|(shard, written)| (shard, written.keep())).collect();
        self.publish(&manifest)?;
        {
            let _log = self.log.lock();
            self.swap(manifest, |state| join.apply(state, written))?;
        }
        let catalog = &self.lookup.catalog;
        let finished = catalog.apply(CatalogBatch::default(), state.position).and_then(|()| catalog.flush());
        finished.inspect_err(|error| self.queue.poison(error))?;
        ingest.aliases = join.aliases;
        // It may name the sources, whom the catalog does not know any more.
        ingest.overlay = Overlay::default();
        Ok(())
    }

    /// In the catalog, give the event ids of the sources to their persons, and forget the sources.
    fn move_event_ids(&self, sources: &[Member], written: &[(usize, Written)]) -> Result<()> {
        let catalog = self.lookup.catalog.as_ref();
        let mut changes = CatalogBatch::default();
        for (shard, written) in written {
            rebuild_events(catalog, *shard as u16, &written.live, &mut changes)?;
        }
        for Member { shard, ordinal, id } in sources {
            // Snapshots from before the alias still have the source.
            self.lookup.deleted.lock().entry(id.clone()).or_default().push(*ordinal);
            changes.deleted.push((*shard, id.clone(), *ordinal));
        }
        catalog.apply_unfinished(changes)?;
        catalog.flush()
    }

    /// Join what takes as much memory as a memtable may: without a compaction it would stay there for ever. The caller holds
    /// `maintenance`.
    pub(super) fn join_if_many(&self) -> Result<()> {
        if self.holds_many_joined() { self.join_histories(NEVER) } else { Ok(()) }
    }

    /// Whether joined histories take as much memory as a memtable may.
    pub(super) fn holds_many_joined(&self) -> bool {
        let (rows, bytes) = self.state.read().joined_size();
        rows >= self.limits.memtable_rows || bytes >= self.limits.memtable_bytes
    }
}
