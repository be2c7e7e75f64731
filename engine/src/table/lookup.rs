//! The way from user ids to ordinals, which snapshots share with their table.

use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Store, StoreLock};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The catalog of a table, and what readers of it must know.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) catalog: Box<dyn Catalog>,
    /// Users deleted since the opening: an older snapshot still has them.
    pub(crate) deleted: Mutex<HashMap<String, Vec<u32>>>,
    /// Held for writing while the catalog is rebuilt, when it knows only some users; with a text, why that failed.
    broken: RwLock<Option<String>>,
    /// The table was dropped: its directory goes when the last snapshot does.
    dropped: AtomicBool,
    store: Arc<dyn Store>,
    directory: String,
    /// Keeps the database to this process for as long as a table or a snapshot is held, because the catalog is open.
    /// The last field: the catalog is closed first.
    _lock: Arc<dyn StoreLock>,
}

impl Lookup {
    /// The lookup over `catalog` of the table in `directory`.
    pub(crate) fn new(
        catalog: Box<dyn Catalog>,
        store: Arc<dyn Store>,
        directory: String,
        lock: Arc<dyn StoreLock>,
    ) -> Self {
        Self {
            catalog,
            deleted: Mutex::default(),
            broken: RwLock::new(None),
            dropped: AtomicBool::new(false),
            store,
            directory,
            _lock: lock,
        }
    }

    /// Where the table's files are.
    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The directory of the table there.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// The ordinals of users of `shard`, for readers: never those of a catalog that is being rebuilt.
    pub(crate) fn ordinals(&self, shard: u16, ids: &[&str]) -> Result<Vec<Option<u32>>> {
        match &*self.broken.read() {
            None => self.catalog.ordinals(shard, ids),
            Some(why) => {
                Err(Error::new(ErrorKind::Poisoned, format!("the catalog could not be rebuilt, because: {why}"))
                    .with_hint("remove the cause, then open the database again"))
            }
        }
    }

    /// Let `rebuild` fill the catalog anew, while readers wait. If it fails, they get its error from then on.
    pub(crate) fn rebuild(&self, rebuild: impl FnOnce(&dyn Catalog) -> Result<()>) -> Result<()> {
        let mut broken = self.broken.write();
        let rebuilt = rebuild(self.catalog.as_ref());
        *broken = rebuilt.as_ref().err().map(|error| error.message().to_string());
        rebuilt
    }

    /// The table was dropped: remove its directory when nothing reads it any more.
    pub(crate) fn drop_directory(&self) {
        self.dropped.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if self.dropped.load(Ordering::Relaxed) {
            self.catalog.close();
            // What stays is in no manifest, and the next opening removes it.
            let _ = self.store.remove_directory(&self.directory);
        }
    }
}
