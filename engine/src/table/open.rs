//! Opening a table: the manifest says what is live, the log what came after it, and the catalog is made to fit.

use super::commit::CommitQueue;
use super::lookup::Lookup;
use super::maintenance::remove_dropped;
use super::state::ShardState;
use super::tags::TagWriter;
use super::written::open_segment;
use super::{IngestState, Limits, ProfileLink, Seams, Shared, Table, TableState};
use crate::aliases::Aliases;
use crate::catalog::{Catalog, MemoryCatalog, RocksCatalog};
use crate::error::{Error, Result};
use crate::ingest::{BigIntRange, BigIntRanges};
use crate::manifest::{self, Manifest};
use crate::parallel;
use crate::storage::Store;
use crate::tags::TagSet;
use crate::types::{ColumnType, Value};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl Table {
    /// Make a table. After an error its manifest may be there.
    pub(crate) fn create(seams: Seams, manifest: &Manifest, limits: Limits) -> Result<Self> {
        let store = seams.store.as_ref();
        manifest.options.tz()?;
        manifest::check(manifest)?;
        // A dropped table of the same number may have left one.
        store.remove_directory(&catalog_directory(manifest.table))?;
        // Before the manifest: without a catalog there is no table.
        let catalog = open_catalog(store, manifest.table)?;
        manifest.publish(store)?;
        Self::with_catalog(seams, manifest, catalog, limits)
    }

    /// Open table `id`; `None` if it was dropped, or never finished being created.
    pub(crate) fn open(seams: Seams, id: u64, limits: Limits) -> Result<Option<Self>> {
        let store = seams.store.as_ref();
        let directory = Manifest::directory(id);
        let Some(manifest) = Manifest::load(store, id)? else {
            let prefix = |kind: &str| store.list(&format!("{directory}/{kind}-"));
            if prefix("segment")?.is_empty() && prefix("log")?.is_empty() {
                store.remove_directory(&directory)?;
                return Ok(None);
            }
            return Err(Error::corrupt(format!("{directory}: segments or a log, but no manifest"))
                .with_hint("restore the manifest from a backup"));
        };
        if manifest.dropped {
            remove_dropped(&seams.store, seams.logs.as_ref(), &manifest)?;
            store.remove_directory(&directory)?;
            return Ok(None);
        }
        let catalog = open_catalog(store, id)?;
        Self::with_catalog(seams, &manifest, catalog, limits).map(Some)
    }

    fn with_catalog(seams: Seams, manifest: &Manifest, catalog: Box<dyn Catalog>, limits: Limits) -> Result<Self> {
        let Seams { store, lock, logs } = seams;
        let directory = Manifest::directory(manifest.table);
        let state = load_segments(store.as_ref(), manifest, limits.threads)?;
        remove_orphans(store.as_ref(), manifest)?;
        let (tags, next_tag_file) = TagSet::open(store.as_ref(), manifest.table, manifest.shards.len())?;
        let state = TableState { tags: Arc::new(tags), ..state };
        let position = state.position;
        let shared = Shared {
            id: manifest.table,
            name: manifest.name.clone(),
            tz: manifest.options.tz()?,
            limits,
            lookup: Arc::new(Lookup::new(catalog, Arc::clone(&store), directory.clone(), lock)),
            maintenance: Mutex::new(()),
            ingest: Mutex::new(IngestState::after(&state, BigIntRanges::new())),
            queue: CommitQueue::new(position),
            tag_writer: Mutex::new(TagWriter::new(next_tag_file, manifest.shards.len())),
            log: Mutex::new(logs.open(&store, &directory, position)),
            next_file: AtomicU64::new(manifest.segments().map(|segment| segment.file + 1).max().unwrap_or(1)),
            followers: Arc::default(),
            spare: Arc::default(),
            profiles: ProfileLink::default(),
            state: RwLock::new(Arc::new(state)),
            directory,
            store,
            logs,
        };
        shared.recover()?;
        let ranges = big_int_ranges(&shared.state.read());
        shared.followers.skip_to(shared.state.read().position);
        *shared.ingest.lock() = IngestState::after(&shared.state.read(), ranges);
        Ok(Self { shared: Arc::new(shared) })
    }
}

fn catalog_directory(table: u64) -> String {
    format!("{}/catalog", Manifest::directory(table))
}

fn open_catalog(store: &dyn Store, table: u64) -> Result<Box<dyn Catalog>> {
    Ok(match store.local_path(&catalog_directory(table)) {
        Some(path) => Box::new(RocksCatalog::open(&path, table)?),
        None => Box::new(MemoryCatalog::new()),
    })
}

/// The state that `manifest` describes.
fn load_segments(store: &dyn Store, manifest: &Manifest, threads: usize) -> Result<TableState> {
    let entries: Vec<_> = manifest.segments().collect();
    let segments = parallel::map(&entries, threads, |entry| {
        open_segment(store, &Manifest::segment_file(manifest.table, entry.file), entry)
    })?;
    let mut segments = segments.into_iter();
    let aliases = Arc::new(Aliases::of_list(&manifest.aliases));
    let mut shards = Vec::with_capacity(manifest.shards.len());
    for (number, shard) in manifest.shards.iter().enumerate() {
        let away = aliases.pending().map(|alias| &alias.source).filter(|source| source.shard as usize == number);
        let tombstones = manifest.tombstones.iter().filter(|tombstone| tombstone.shard as usize == number);
        let mut state = ShardState {
            next_ordinal: shard.next_ordinal,
            next_seq: shard.next_seq,
            tombstones: tombstones.cloned().collect(),
            away: Arc::new(away.map(|source| source.ordinal).collect()),
            ..ShardState::default()
        };
        let own = segments.by_ref().take(shard.segments.len()).map(|live| state.hide_deleted(live));
        state.flushed = own.collect::<Result<_>>()?;
        shards.push(state);
    }
    let tz = manifest.options.tz()?;
    let (manifest, identity_at) = (Arc::new(manifest.clone()), manifest.identity_at);
    let (schema, position) = (manifest.schema.clone(), manifest.log_position);
    let producers = Arc::new(manifest.producers.clone());
    let tags = Arc::default();
    let mut state = TableState { schema, position, aliases, identity_at, producers, manifest, shards, tags };
    state.show_all(tz)?;
    Ok(state)
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
