//! The catalog in RocksDB: one database per table, in its directory `catalog`.

#![expect(clippy::disallowed_methods, reason = "RocksDB has files of its own, which the store does not know")]

use super::key::{META, USER, decode_times, encode_times, event_key, event_prefix, prefix_end, user_key};
use super::{Catalog, CatalogBatch, EventKey, Position};
use crate::error::{Error, Result};
use parking_lot::{RwLock, RwLockReadGuard};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, LogLevel, Options,
    WriteBatch,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const BLOCK_CACHE_BYTES: usize = 32 << 20;
/// Filters and indexes are read in pieces of this size.
const METADATA_BLOCK_BYTES: usize = 4 << 10;
const WRITE_BUFFER_BYTES: usize = 8 << 20;
const STATE_AT: u8 = 0;
const STATE_UNFINISHED: u8 = 1;

/// A catalog in RocksDB.
pub(crate) struct RocksCatalog {
    path: PathBuf,
    table: u64,
    /// `None` only while it is reopened, or after that failed.
    db: RwLock<Option<DB>>,
    /// Something was written past RocksDB's own log, and must be flushed before that log tells of anything later.
    unflushed: AtomicBool,
}

impl std::fmt::Debug for RocksCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RocksCatalog({})", self.path.display())
    }
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    table.set_bloom_filter(10.0, false);
    // In one piece the filter of a file is megabytes, and a look-up would read it from disk whenever another one has taken its
    // place in the cache.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK_BYTES);
    table.set_pin_top_level_index_and_filter(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(16 << 10);
    table.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    // RocksDB's own log would grow for ever, and tells nothing that the table does not know.
    options.set_log_level(LogLevel::Fatal);
    options.set_keep_log_file_num(1);
    options.set_stats_dump_period_sec(0);
    options.set_max_total_wal_size(4 * WRITE_BUFFER_BYTES as u64);
    options
}

/// Whether RocksDB says that its files contradict each other or that one is missing. Only then does a new catalog help.
fn is_damage(error: &rocksdb::Error) -> bool {
    use rocksdb::ErrorKind as Kind;
    match error.kind() {
        Kind::Corruption | Kind::InvalidArgument | Kind::NotSupported | Kind::Incomplete => true,
        Kind::IOError => error.as_ref().contains("No such file"),
        _ => false,
    }
}

impl RocksCatalog {
    /// The catalog of table `table` in the directory `path`; one that is damaged, or is of another table, is made anew
    /// and empty.
    ///
    /// # Errors
    /// What RocksDB says, where the files themselves are not at fault: they are in use, the disk is full, there are too
    /// many open files. A catalog is not thrown away for that.
    pub(crate) fn open(path: &Path, table: u64) -> Result<Self> {
        let open = || DB::open(&options(), path);
        let catalog =
            Self { path: path.to_path_buf(), table, db: RwLock::new(None), unflushed: AtomicBool::new(false) };
        match open() {
            Ok(db) => *catalog.db.write() = Some(db),
            Err(error) if !is_damage(&error) => return Err(catalog.failed(&error)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the catalog cannot be read and is rebuilt");
                Self::remove(path)?;
                *catalog.db.write() = Some(open().map_err(|e| catalog.failed(&e))?);
            }
        }
        if catalog.position().is_err() {
            catalog.clear()?;
        }
        Ok(catalog)
    }

    fn failed(&self, error: &rocksdb::Error) -> Error {
        let message = format!("catalog {}: {error}", self.path.display());
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Error::corrupt(message)
                .with_hint("close the database and delete this directory: it is rebuilt at the next opening"),
            _ if error.as_ref().contains("No space left") => Error::io(message, std::io::ErrorKind::StorageFull.into()),
            _ => Error::io(message, std::io::Error::other(error.to_string())),
        }
    }

    /// Remove the catalog in the directory `path`, if there is one.
    fn remove(path: &Path) -> Result<()> {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    fn reopen(&self, remove: bool) -> Result<()> {
        let mut db = self.db.write();
        *db = None;
        if remove {
            Self::remove(&self.path)?;
        }
        *db = Some(DB::open(&options(), &self.path).map_err(|e| self.failed(&e))?);
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&DB) -> std::result::Result<T, rocksdb::Error>) -> Result<T> {
        let db: RwLockReadGuard<'_, Option<DB>> = self.db.read();
        let db = db.as_ref().ok_or_else(|| {
            Error::new(
                crate::error::ErrorKind::Poisoned,
                format!("catalog {} could not be reopened", self.path.display()),
            )
        })?;
        act(db).map_err(|e| self.failed(&e))
    }

    fn broken(&self, what: &str) -> Error {
        Error::corrupt(format!("catalog {}: {what}", self.path.display()))
            .with_hint("close the database and delete this directory: it is rebuilt at the next opening")
    }

    /// The values of keys. They are looked up in their order, so that neighbours find the blocks of each other in the cache.
    fn values<K: AsRef<[u8]> + Ord>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut places: Vec<usize> = (0..keys.len()).collect();
        places.sort_unstable_by(|&a, &b| keys[a].cmp(&keys[b]));
        let found: Vec<Option<Vec<u8>>> =
            self.with(|db| db.multi_get(places.iter().map(|&place| &keys[place])).into_iter().collect())?;
        let mut values = vec![None; keys.len()];
        places.into_iter().zip(found).for_each(|(place, value)| values[place] = value);
        Ok(values)
    }

    fn write(&self, batch: CatalogBatch, state: u8, position: u64) -> Result<()> {
        let mut changes = WriteBatch::default();
        for (shard, id, ordinal) in &batch.users {
            changes.put(user_key(*shard, id), ordinal.to_le_bytes());
        }
        for (key, times) in &batch.events {
            changes.put(event_key(key), encode_times(times));
        }
        for (shard, id, ordinal) in &batch.deleted {
            if self.ordinals(*shard, &[id])?[0] == Some(*ordinal) {
                changes.delete(user_key(*shard, id));
            }
            let prefix = event_prefix(*shard, *ordinal);
            changes.delete_range(prefix.as_slice(), prefix_end(&prefix).as_slice());
        }
        let mut meta = self.table.to_le_bytes().to_vec();
        meta.push(state);
        meta.extend_from_slice(&position.to_le_bytes());
        changes.put(META, meta);
        match state {
            // Its own log is not needed for a bulk change: one that was not finished is worth nothing.
            STATE_UNFINISHED => {
                self.unflushed.store(true, Ordering::Relaxed);
                self.with(|db| db.write_without_wal(changes))
            }
            _ => {
                if self.unflushed.swap(false, Ordering::Relaxed) {
                    self.flush()?;
                }
                self.with(|db| db.write(changes))
            }
        }
    }
}

impl Catalog for RocksCatalog {
    fn position(&self) -> Result<Position> {
        let Some(meta) = self.with(|db| db.get(META))? else { return Ok(Position::At(0)) };
        let (Some(table), Some(state), Some(position)) = (meta.first_chunk::<8>(), meta.get(8), meta.last_chunk::<8>())
        else {
            return Err(self.broken("its position cannot be read"));
        };
        if meta.len() != 17 || u64::from_le_bytes(*table) != self.table {
            return Err(self.broken("it belongs to another table"));
        }
        match *state {
            STATE_AT => Ok(Position::At(u64::from_le_bytes(*position))),
            STATE_UNFINISHED => Ok(Position::Unfinished),
            _ => Err(self.broken("its position cannot be read")),
        }
    }

    fn ordinals(&self, shard: u16, ids: &[&str]) -> Result<Vec<Option<u32>>> {
        let values = self.values(&ids.iter().map(|id| user_key(shard, id)).collect::<Vec<_>>())?;
        let ordinal = |value: Option<Vec<u8>>| match value.as_deref().map(<[u8; 4]>::try_from) {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(u32::from_le_bytes(bytes))),
            Some(Err(_)) => Err(self.broken("the ordinal of a user cannot be read")),
        };
        values.into_iter().map(ordinal).collect()
    }

    fn event_times(&self, keys: &[EventKey]) -> Result<Vec<Vec<i64>>> {
        let values = self.values(&keys.iter().map(event_key).collect::<Vec<_>>())?;
        let times = |value: Option<Vec<u8>>| match value {
            None => Ok(Vec::new()),
            Some(bytes) => decode_times(&bytes).ok_or_else(|| self.broken("the times of an event id cannot be read")),
        };
        values.into_iter().map(times).collect()
    }

    fn apply(&self, batch: CatalogBatch, position: u64) -> Result<()> {
        self.write(batch, STATE_AT, position)
    }

    fn apply_unfinished(&self, batch: CatalogBatch) -> Result<()> {
        self.write(batch, STATE_UNFINISHED, 0)
    }

    fn flush(&self) -> Result<()> {
        self.with(DB::flush)
    }

    fn clear(&self) -> Result<()> {
        self.reopen(true)
    }

    fn scrub(&self) -> Result<()> {
        self.with(|db| {
            db.flush()?;
            let mut how = rocksdb::CompactOptions::default();
            how.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
            db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &how);
            Ok(())
        })?;
        // A fresh opening writes a new manifest of RocksDB, without the boundary keys of files that are gone.
        self.reopen(false)
    }

    fn close(&self) {
        *self.db.write() = None;
    }

    fn count_users(&self) -> Result<u64> {
        self.with(|db| {
            let mut count = 0;
            for entry in db.iterator(IteratorMode::From(&[USER], Direction::Forward)) {
                let (key, _) = entry?;
                if key.first() != Some(&USER) {
                    break;
                }
                count += 1;
            }
            Ok(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> EventKey {
        EventKey::new(1, 7, id)
    }

    fn filled(path: &Path) -> RocksCatalog {
        let catalog = RocksCatalog::open(path, 5).unwrap();
        assert_eq!(catalog.position().unwrap(), Position::At(0));
        let users = vec![(1, "anna".to_string(), 7), (2, "ben".to_string(), 0)];
        let events = vec![(key("x"), vec![3, 4]), (EventKey::new(1, 8, "x"), vec![5])];
        catalog.apply(CatalogBatch { users, events, deleted: Vec::new() }, 9).unwrap();
        catalog
    }

    #[test]
    fn it_answers_what_was_applied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        drop(filled(&path));
        let catalog = RocksCatalog::open(&path, 5).unwrap();
        assert_eq!(catalog.position().unwrap(), Position::At(9));
        assert_eq!(catalog.ordinals(1, &["ben", "anna"]).unwrap(), [None, Some(7)]);
        assert_eq!(catalog.event_times(&[key("x"), key("y")]).unwrap(), [vec![3, 4], vec![]]);
        assert_eq!(catalog.count_users().unwrap(), 2);
    }

    #[test]
    fn a_deleted_user_is_gone_with_all_event_ids() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = filled(&dir.path().join("catalog"));
        let batch = CatalogBatch { deleted: vec![(1, "anna".into(), 7)], ..CatalogBatch::default() };
        catalog.apply(batch, 10).unwrap();
        catalog.scrub().unwrap();
        assert_eq!(catalog.ordinals(1, &["anna"]).unwrap(), [None]);
        assert_eq!(catalog.event_times(&[key("x"), EventKey::new(1, 8, "x")]).unwrap(), [vec![], vec![5]]);
        assert_eq!(catalog.position().unwrap(), Position::At(10));
        for entry in fs::read_dir(dir.path().join("catalog")).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(4).any(|window| window == b"anna"));
        }
    }

    #[test]
    fn the_catalog_of_another_table_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        drop(filled(&path));
        let catalog = RocksCatalog::open(&path, 6).unwrap();
        assert_eq!(catalog.position().unwrap(), Position::At(0));
        assert_eq!(catalog.ordinals(1, &["anna"]).unwrap(), [None]);
    }

    #[test]
    fn a_catalog_in_use_is_not_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        let held = filled(&path);
        let error = RocksCatalog::open(&path, 5).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Io, "{error}");
        assert_eq!(held.ordinals(1, &["anna"]).unwrap(), [Some(7)]);
        held.close();
        assert!(held.ordinals(1, &["anna"]).is_err());
        let again = RocksCatalog::open(&path, 5).unwrap();
        assert_eq!(again.ordinals(1, &["anna"]).unwrap(), [Some(7)]);
    }

    #[test]
    fn a_catalog_with_a_missing_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        drop(filled(&path));
        for entry in fs::read_dir(&path).unwrap() {
            let file = entry.unwrap().path();
            if file.to_string_lossy().contains("MANIFEST-") {
                fs::remove_file(file).unwrap();
            }
        }
        assert_eq!(RocksCatalog::open(&path, 5).unwrap().position().unwrap(), Position::At(0));
    }

    #[test]
    fn an_unfinished_bulk_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        let catalog = filled(&path);
        catalog.apply_unfinished(CatalogBatch::default()).unwrap();
        assert_eq!(catalog.position().unwrap(), Position::Unfinished);
        catalog.clear().unwrap();
        assert_eq!(catalog.position().unwrap(), Position::At(0));
    }
}
