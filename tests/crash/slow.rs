//! A store whose syncs of log files wait until they are told to go on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use trodden_engine::error::Result;
use trodden_engine::storage::{AppendFile, Blob, BlobWriter, FaultStore, Scratch, Store, StoreLock};

/// When a sync of a log file may go on, given the number of records that were written so far.
type MayGo = dyn Fn(u64) -> bool + Send + Sync;

/// How long a sync takes at least.
const LEAST: Duration = Duration::from_millis(15);

/// A store in memory whose log syncs wait.
#[derive(Clone)]
pub(crate) struct SlowStore {
    pub(crate) inner: FaultStore,
    gate: Arc<Gate>,
}

struct Gate {
    changed: Condvar,
    moments: Mutex<u64>,
    records: AtomicU64,
    may_go: Box<MayGo>,
    patience: Duration,
}

impl std::fmt::Debug for SlowStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlowStore")
    }
}

impl SlowStore {
    /// A store whose syncs of log files wait for `may_go`, which is asked at every [`SlowStore::tick`], but no longer than
    /// `patience`.
    pub(crate) fn new(patience: Duration, may_go: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        let (changed, moments, records) = (Condvar::new(), Mutex::new(0), AtomicU64::new(0));
        let gate = Gate { changed, moments, records, may_go: Box::new(may_go), patience };
        Self { inner: FaultStore::new(), gate: Arc::new(gate) }
    }

    /// Something changed that a sync may wait for.
    pub(crate) fn tick(&self) {
        *self.gate.moments.lock().unwrap() += 1;
        self.gate.changed.notify_all();
    }
}

struct SlowFile {
    inner: Box<dyn AppendFile>,
    gate: Arc<Gate>,
}

impl AppendFile for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        // The number of records of a frame stands behind the magic and the first position.
        let records = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
        self.gate.records.fetch_add(records.into(), Ordering::SeqCst);
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> Result<()> {
        // Even a disk in a hurry takes a moment, in which those that have come get to the queue.
        let (now, records) = (Instant::now(), self.gate.records.load(Ordering::SeqCst));
        let (soonest, latest) = (now + LEAST, now + self.gate.patience);
        let mut moments = self.gate.moments.lock().unwrap();
        loop {
            let until = if (self.gate.may_go)(records) { soonest } else { latest };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            moments = self.gate.changed.wait_timeout(moments, left).unwrap().0;
        }
        drop(moments);
        self.inner.sync()
    }
}

impl Store for SlowStore {
    fn lock(&self) -> Result<Box<dyn StoreLock>> {
        self.inner.lock()
    }

    fn remove_unfinished(&self) -> Result<()> {
        self.inner.remove_unfinished()
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        self.inner.sync_directory(directory)
    }

    fn remove_directory(&self, directory: &str) -> Result<()> {
        self.inner.remove_directory(directory)
    }

    fn get(&self, name: &str) -> Result<Blob> {
        self.inner.get(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }

    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>> {
        self.inner.create(name)
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.inner.put_if_absent(name, bytes)
    }

    fn create_append(&self, name: &str) -> Result<Box<dyn AppendFile>> {
        let inner = self.inner.create_append(name)?;
        Ok(Box::new(SlowFile { inner, gate: self.gate.clone() }))
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        self.inner.scratch()
    }

    fn size(&self, name: &str) -> Result<u64> {
        self.inner.size(name)
    }

    fn discard(&self) -> Result<()> {
        self.inner.discard()
    }

    fn local_path(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}
