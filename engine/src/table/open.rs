//! Opening a table: the manifest says what is live, the log what came after it, and the catalog is made to fit.

use super::append::catalog_changes;
use super::commit::CommitQueue;
use super::maintenance::remove_dropped;
use super::snapshot::Lookup;
use super::state::ShardState;
use super::written::open_segment;
use super::{IngestState, Limits, Shared, Table, TableState, new_log};
use crate::catalog::{Catalog, CatalogBatch, EventKey, MemoryCatalog, Position, RocksCatalog};
use crate::error::{Error, Result};
use crate::ingest::{BigIntRange, BigIntRanges};
use crate::log::Record;
use crate::manifest::Manifest;
use crate::parallel;
use crate::storage::{Store, StoreLock};
use crate::types::{ColumnType, Value};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Changes of the catalog that a rebuild makes at once.
const REBUILD_BATCH: usize = 100_000;

impl Table {
    /// Make a table.
    pub(crate) fn create(
        store: Arc<dyn Store>,
        lock: Arc<dyn StoreLock>,
        manifest: Manifest,
        limits: Limits,
    ) -> Result<Self> {
        manifest.options.tz()?;
        if let Some(path) = store.local_path(&format!("{}/catalog", Manifest::directory(manifest.table))) {
            // A dropped table of the same number may have left one.
            RocksCatalog::remove(&path)?;
        }
        manifest.publish(store.as_ref())?;
        Self::with_manifest(store, lock, manifest, limits)
    }

    /// Open table `id`; `None` if it was dropped, or never finished being created.
    pub(crate) fn open(
        store: Arc<dyn Store>,
        lock: Arc<dyn StoreLock>,
        id: u64,
        limits: Limits,
    ) -> Result<Option<Self>> {
        let directory = Manifest::directory(id);
        let Some(manifest) = Manifest::load(store.as_ref(), id)? else {
            let prefix = |kind: &str| store.list(&format!("{directory}/{kind}-"));
            if prefix("segment")?.is_empty() && prefix("log")?.is_empty() {
                return Ok(None);
            }
            return Err(Error::corrupt(format!("{directory}: segments or a log, but no manifest"))
                .with_hint("restore the manifest from a backup"));
        };
        if manifest.dropped {
            remove_dropped(store.as_ref(), &manifest)?;
            return Ok(None);
        }
        Self::with_manifest(store, lock, manifest, limits).map(Some)
    }

    fn with_manifest(
        store: Arc<dyn Store>,
        lock: Arc<dyn StoreLock>,
        manifest: Manifest,
        limits: Limits,
    ) -> Result<Self> {
        let directory = Manifest::directory(manifest.table);
        let state = load_segments(store.as_ref(), &manifest, limits.threads)?;
        remove_orphans(store.as_ref(), &manifest)?;
        let catalog: Box<dyn Catalog> = match store.local_path(&format!("{directory}/catalog")) {
            Some(path) => Box::new(RocksCatalog::open(&path, manifest.table)?),
            None => Box::new(MemoryCatalog::new()),
        };
        let position = state.position;
        let shared = Shared {
            id: manifest.table,
            name: manifest.name.clone(),
            tz: manifest.options.tz()?,
            limits,
            lookup: Arc::new(Lookup { catalog, deleted: Mutex::new(HashMap::new()) }),
            maintenance: Mutex::new(()),
            ingest: Mutex::new(IngestState::after(&state, BigIntRanges::new())),
            queue: CommitQueue::new(position),
            log: Mutex::new(new_log(&store, &directory, position)),
            next_file: AtomicU64::new(manifest.segments().map(|segment| segment.file + 1).max().unwrap_or(1)),
            state: RwLock::new(Arc::new(state)),
            directory,
            store,
            _lock: lock,
        };
        shared.recover()?;
        let ranges = big_int_ranges(&shared.state.read());
        *shared.ingest.lock() = IngestState::after(&shared.state.read(), ranges);
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// The state that `manifest` describes.
fn load_segments(store: &dyn Store, manifest: &Manifest, threads: usize) -> Result<TableState> {
    let entries: Vec<_> = manifest.segments().collect();
    let segments = parallel::map(&entries, threads, |entry| {
        open_segment(store, &Manifest::segment_file(manifest.table, entry.file), entry)
    })?;
    let mut segments = segments.into_iter();
    let mut shards = Vec::with_capacity(manifest.shards.len());
    for (number, shard) in manifest.shards.iter().enumerate() {
        let tombstones = manifest.tombstones.iter().filter(|tombstone| tombstone.shard as usize == number);
        let mut state = ShardState {
            next_ordinal: shard.next_ordinal,
            next_seq: shard.next_seq,
            tombstones: tombstones.cloned().collect(),
            ..ShardState::default()
        };
        let own = segments.by_ref().take(shard.segments.len()).map(|live| state.hide_deleted(live));
        state.flushed = own.collect::<Result<_>>()?;
        shards.push(state);
    }
    let manifest = Arc::new(manifest.clone());
    Ok(TableState { schema: manifest.schema.clone(), position: manifest.log_position, manifest, shards })
}

/// Remove what an import, a flush or a compaction left behind that did not come to its end.
fn remove_orphans(store: &dyn Store, manifest: &Manifest) -> Result<()> {
    let live: HashSet<String> =
        manifest.segments().map(|entry| Manifest::segment_file(manifest.table, entry.file)).collect();
    for name in store.list(&format!("{}/segment-", Manifest::directory(manifest.table)))? {
        if !live.contains(&name) {
            store.delete(&name)?;
        }
    }
    manifest.remove_older(store)
}

/// The ranges of the BIGINT columns.
fn big_int_ranges(state: &TableState) -> BigIntRanges {
    let mut ranges = BigIntRanges::new();
    let columns = state.schema.columns.iter().filter(|column| column.column_type == ColumnType::BigInt);
    for column in columns {
        for live in state.shards.iter().flat_map(ShardState::segments) {
            let stats = live.segment.column_stats(&column.name).and_then(|stats| stats.range);
            if let Some((Value::BigInt(min), Value::BigInt(max))) = stats {
                let range = BigIntRange { min, max };
                let known = ranges.entry(column.name.clone()).or_insert(range);
                *known = known.and(range);
            }
        }
    }
    ranges
}

impl Shared {
    /// Apply the log, and begin a new one: what it held goes to segments first, so that nothing has to be written to a
    /// file that a crash may have left in an unknown state.
    fn recover(&self) -> Result<()> {
        let catalog = &self.lookup.catalog;
        let start = self.state.read().position;
        let known = match catalog.position()? {
            Position::At(known) if known >= start => known,
            _ => {
                self.rebuild_catalog()?;
                start
            }
        };
        {
            let mut log = self.log.lock();
            let mut state = self.state.write();
            let state = Arc::make_mut(&mut state);
            log.replay(start, &mut |position, bytes| {
                let record = Record::decode(bytes)?;
                state.apply(&record, position, self.tz)?;
                if position > known {
                    catalog.apply(catalog_changes(&record, self)?, position)?;
                }
                Ok(())
            })?;
            log.restart_after(state.position);
            self.queue.restart_after(state.position);
        }
        let end = self.state.read().position;
        if known > end {
            return Err(Error::corrupt(format!(
                "table '{}': the log ends at record {end}, but record {known} was acknowledged",
                self.name
            ))
            .with_hint(format!(
                "restore {0} from a backup, or delete {0}/catalog to go on without the lost events",
                self.directory
            )));
        }
        if end > start {
            self.flush(|_| ())?;
        }
        self.log.lock().truncate_through(end)
    }

    /// Fill the catalog from the segments.
    pub(crate) fn rebuild_catalog(&self) -> Result<()> {
        let catalog = &self.lookup.catalog;
        let state = Arc::clone(&self.state.read());
        catalog.clear()?;
        let mut changes = CatalogBatch::default();
        for (number, shard) in (0_u16..).zip(&state.shards) {
            for live in &shard.flushed {
                let ids = live.segment.user_ids()?.into_iter().zip(live.segment.meta().introduced_start..);
                for (id, ordinal) in ids {
                    if let Some(id) = id.filter(|_| !live.hidden.contains(ordinal)) {
                        changes.users.push((number, id, ordinal));
                    }
                    if changes.len() >= REBUILD_BATCH {
                        catalog.apply_unfinished(std::mem::take(&mut changes))?;
                    }
                }
                self.rebuild_events(number, live, &mut changes)?;
            }
        }
        catalog.apply(changes, state.position)
    }

    fn rebuild_events(&self, shard: u16, live: &super::LiveSegment, changes: &mut CatalogBatch) -> Result<()> {
        let catalog = &self.lookup.catalog;
        for index in 0..live.segment.blocks().len() {
            let block = live.segment.block(index);
            let (users, ids, times) = (block.users()?, block.text("event_id")?, block.times()?);
            let mut found: HashMap<EventKey, Vec<i64>> = HashMap::new();
            for (at, &ordinal) in users.ordinals.iter().enumerate() {
                if live.hidden.contains(ordinal) {
                    continue;
                }
                for row in users.starts[at] as usize..users.starts[at + 1] as usize {
                    if let Some(id) = ids.get(row) {
                        found.entry(EventKey::new(shard, ordinal, id)).or_default().push(times.get(row));
                    }
                }
            }
            let keys: Vec<EventKey> = found.keys().copied().collect();
            for (key, mut times) in keys.iter().zip(catalog.event_times(&keys)?) {
                times.append(found.get_mut(key).unwrap_or(&mut Vec::new()));
                changes.events.push((*key, times));
            }
            if !changes.events.is_empty() {
                // The next block may have the same ids of the same user.
                catalog.apply_unfinished(std::mem::take(changes))?;
            }
        }
        Ok(())
    }
}
