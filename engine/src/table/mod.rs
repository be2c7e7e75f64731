//! A table: the way of its events from a batch to a snapshot.

mod alias;
mod append;
mod pending;
mod commit;
mod follow;
mod handle;
mod import;
mod introduce;
mod join;
mod joined;
mod lookup;
mod maintenance;
mod open;
mod pin;
mod profiles;
mod recover;
mod snapshot;
mod spill;
mod state;
mod tags;
mod times;
mod users;
mod written;

#[cfg(test)]
mod tests;

pub(crate) use commit::MAX_RECORD_BYTES;
pub use follow::{Change, Follower};
pub use handle::{DerivedBytes, TableHandle, check_derived};
pub(crate) use import::fingerprint_text;
pub use import::{Import, Imported};
pub use pending::{Appended, PendingAppend, Produced};
pub(crate) use pin::{Frozen, NoWrites, Still};
pub(crate) use profiles::ProfileLink;
pub use profiles::{Profiles, ProfilesSnapshot};
pub use snapshot::{LiveSegment, ShardSnapshot, Snapshot};
pub(crate) use state::TableState;
pub(crate) use written::open_segment;

use crate::aliases::Aliases;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::BigIntRanges;
use crate::log::{Log, Logs};
use crate::manifest::Manifest;
use crate::outline::TableOutline;
use crate::producers::Producers;
use crate::scan::Spare;
use crate::storage::{Store, StoreLock};
use crate::types::{Schema, TableOptions};
use append::{Overlay, catalog_changes};
use commit::CommitQueue;
use follow::Followers;
use lookup::Lookup;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tags::TagWriter;

/// What tables stand on.
#[derive(Debug, Clone)]
pub(crate) struct Seams {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lock: Arc<dyn StoreLock>,
    pub(crate) logs: Arc<dyn Logs>,
}

/// What tables are told by the engine.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) memtable_rows: u64,
    pub(crate) memtable_bytes: u64,
    pub(crate) import_memory_bytes: usize,
    /// Most bytes of a record of the log.
    pub(crate) record_bytes: usize,
    pub(crate) threads: usize,
}

/// An event table.
///
/// Calls may come from many threads. Events that [`Table::append`] acknowledged are durable and in the next
/// [`Table::snapshot`].
pub struct Table {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.name())
    }
}

/// What the parts of a table work on. Locks are taken in the order `maintenance`, `ingest`, `tag_writer`, `log`, `state`; a
/// backup takes them in another one, and gives up where that takes long (see `pin`).
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) directory: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) tz: chrono_tz::Tz,
    pub(crate) limits: Limits,
    pub(crate) lookup: Arc<Lookup>,
    /// One flush, compaction or change of definition at a time.
    pub(crate) maintenance: Mutex<()>,
    pub(crate) ingest: Mutex<IngestState>,
    pub(crate) queue: CommitQueue,
    /// One change of tags at a time.
    pub(crate) tag_writer: Mutex<TagWriter>,
    /// Held by whoever changes `state`.
    pub(crate) log: Mutex<Box<dyn Log>>,
    pub(crate) state: RwLock<Arc<TableState>>,
    pub(crate) followers: Arc<Followers>,
    pub(crate) spare: Arc<Spare>,
    pub(crate) profiles: ProfileLink,
    /// Number of the next segment file.
    pub(crate) next_file: AtomicU64,
}

/// The table as it will be when all queued records are applied.
#[derive(Debug)]
pub(crate) struct IngestState {
    pub(crate) schema: Schema,
    pub(crate) ranges: BigIntRanges,
    /// Next ordinal and next arrival number of each shard.
    pub(crate) next: Vec<(u32, u64)>,
    /// Position of the next record.
    pub(crate) next_position: u64,
    pub(crate) overlay: Overlay,
    pub(crate) aliases: Arc<Aliases>,
    pub(crate) producers: Producers,
    pub(crate) busy: Busy,
}

/// Whether the table takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// It does.
    No,
    /// An import is under way.
    Import,
    /// It was dropped.
    Dropped,
}

impl IngestState {
    /// The state that follows `state`.
    pub(crate) fn after(state: &TableState, ranges: BigIntRanges) -> Self {
        Self {
            schema: state.schema.clone(),
            ranges,
            next: state.shards.iter().map(|shard| (shard.next_ordinal, shard.next_seq)).collect(),
            next_position: state.position + 1,
            overlay: Overlay::default(),
            aliases: Arc::clone(&state.aliases),
            producers: state.producers.as_ref().clone(),
            busy: Busy::No,
        }
    }
}

impl Shared {
    pub(crate) fn options(&self) -> TableOptions {
        self.state.read().manifest.options.clone()
    }

    /// Refuse a write while the table does not take any.
    pub(crate) fn check_writable(&self, ingest: &IngestState) -> Result<()> {
        match ingest.busy {
            Busy::No => self.queue.check().map_err(|e| e.at(format!("table '{}'", self.name))),
            Busy::Import => {
                Err(Error::new(ErrorKind::Locked, format!("an import into table '{}' is under way", self.name))
                    .with_hint("write again when it is finished"))
            }
            // Where the drop itself failed, that is what the queue says.
            Busy::Dropped => self.check_present().and_then(|()| self.queue.check()),
        }
    }

    /// Refuse to write files for a table that was dropped: nothing would explain them.
    pub(crate) fn check_present(&self) -> Result<()> {
        match self.state.read().manifest.dropped {
            true => Err(Error::new(ErrorKind::NotFound, format!("table '{}' was dropped", self.name))),
            false => Ok(()),
        }
    }

    /// The name of segment file `file`.
    pub(crate) fn segment_file(&self, file: u64) -> String {
        Manifest::segment_file(self.id, file)
    }
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Number of the event table of whose users this one has the profiles.
    pub(crate) fn profiles_of(&self) -> Option<u64> {
        self.shared.state.read().manifest.profiles_of
    }

    /// Its property columns.
    pub fn schema(&self) -> Schema {
        self.shared.state.read().schema.clone()
    }

    /// Its options.
    pub fn options(&self) -> TableOptions {
        self.shared.options()
    }

    /// The table as it is now: with every event that was acknowledged, and no other.
    pub fn snapshot(&self) -> Snapshot {
        let state = Arc::clone(&self.shared.state.read());
        let shards = state.shards.iter().map(|shard| ShardSnapshot {
            segments: shard.segments().cloned().collect(),
            next_ordinal: shard.next_ordinal,
            next_seq: shard.next_seq,
        });
        Snapshot {
            id: self.shared.id,
            position: state.position,
            table: self.shared.name.clone(),
            schema: state.schema.clone(),
            options: state.manifest.options.clone(),
            hidden_before_us: state.manifest.hidden_before_us,
            aliases: Arc::clone(&state.aliases),
            identity_at: state.identity_at,
            shards: shards.collect(),
            tags: Arc::clone(&state.tags),
            lookup: Arc::clone(&self.shared.lookup),
            followers: Arc::clone(&self.shared.followers),
            spare: Arc::clone(&self.shared.spare),
            origin: Arc::downgrade(&self.shared),
        }
    }

    /// Whether a file with this fingerprint was imported.
    pub fn is_imported(&self, fingerprint: u128) -> bool {
        let fingerprint = fingerprint_text(fingerprint);
        self.shared.state.read().manifest.imported.contains(&fingerprint)
    }

    /// Whether nothing was ever added to it: no column and no event.
    pub fn is_untouched(&self) -> bool {
        let state = self.shared.state.read();
        state.position == 0 && state.schema.columns.is_empty()
    }

    /// What an import has to know of it.
    pub fn outline(&self) -> TableOutline {
        let state = self.shared.state.read();
        TableOutline {
            name: self.shared.name.clone(),
            schema: state.schema.clone(),
            options: state.manifest.options.clone(),
            imported: state.manifest.imported.clone(),
            is_untouched: state.position == 0 && state.schema.columns.is_empty(),
        }
    }

    /// Bytes of all its files.
    ///
    /// # Errors
    /// What the disk says.
    pub fn size_on_disk(&self) -> Result<u64> {
        let names = self.shared.store.list(&format!("{}/", self.shared.directory))?;
        let size = |name: &String| match self.shared.store.size(name) {
            // Compaction may remove a file between the listing and here.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            size => size,
        };
        names.iter().map(size).sum()
    }
}
