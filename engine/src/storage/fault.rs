//! A store in memory that keeps apart what is written and what a power cut would leave, and that fails on demand.

use super::scratch::ScratchMemory;
use super::{AppendFile, Blob, BlobWriter, Scratch, Store, StoreLock, check_name};
use crate::error::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Names and bytes.
type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// What a power cut can leave at one moment.
#[derive(Debug, Clone)]
pub struct Moment {
    /// What was made durable.
    pub durable: BTreeMap<String, Arc<Vec<u8>>>,
    /// What was written, durable or not.
    pub written: BTreeMap<String, Arc<Vec<u8>>>,
    /// The files that only grow: their bytes become durable by a sync of their own, not with their names.
    growing: BTreeSet<String>,
}

/// A store in memory with two images: what is written, and what is durable. Its clones are the same store.
///
/// Deletions become durable at the next sync, as a directory's do.
#[derive(Debug, Clone, Default)]
pub struct FaultStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    written: Image,
    durable: Image,
    growing: BTreeSet<String>,
    locked: bool,
    writes: u64,
    syncs: u64,
    fail_write_at: Option<u64>,
    fail_sync_at: Option<u64>,
    capacity: Option<u64>,
    read_only: bool,
    frozen_after: Option<u64>,
    history: Option<Vec<Moment>>,
}

impl State {
    /// Count a write of `bytes`, or refuse it.
    fn write(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.writes += 1;
        if self.read_only {
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the store is read-only"));
        }
        if self.fail_write_at == Some(self.writes) {
            return Err(io::Error::other(format!("injected failure of a write to {name}")));
        }
        let used: u64 = self.written.values().map(|bytes| bytes.len() as u64).sum();
        if self.capacity.is_some_and(|capacity| used + bytes > capacity) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
        }
        Ok(())
    }

    /// Make the written state of `name`, and of all deletions, durable.
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.record();
        self.syncs += 1;
        if self.fail_sync_at == Some(self.syncs) {
            return Err(io::Error::other(format!("injected failure of a sync of {name}")));
        }
        if self.frozen_after.is_none_or(|frozen| self.syncs <= frozen) {
            if let Some(bytes) = self.written.get(name) {
                self.durable.insert(name.to_string(), bytes.clone());
            }
            let State { written, durable, .. } = self;
            durable.retain(|name, _| written.contains_key(name));
        }
        Ok(())
    }

    /// Make the names of the objects of `directory` durable, and that removed ones are gone.
    fn sync_names(&mut self, directory: &str) -> io::Result<()> {
        self.record();
        self.syncs += 1;
        if self.fail_sync_at == Some(self.syncs) {
            return Err(io::Error::other(format!("injected failure of a sync of directory '{directory}'")));
        }
        if self.frozen_after.is_some_and(|frozen| self.syncs > frozen) {
            return Ok(());
        }
        let is_in = |name: &str| match directory {
            "" => !name.contains('/'),
            _ => name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/') && !rest[1..].contains('/')),
        };
        let State { written, durable, growing, .. } = self;
        durable.retain(|name, _| written.contains_key(name) || !is_in(name));
        for (name, bytes) in written.iter().filter(|(name, _)| is_in(name)) {
            let bytes = if growing.contains(name) { Arc::default() } else { bytes.clone() };
            durable.entry(name.clone()).or_insert(bytes);
        }
        Ok(())
    }

    fn moment(&self) -> Moment {
        Moment { durable: self.durable.clone(), written: self.written.clone(), growing: self.growing.clone() }
    }

    fn record(&mut self) {
        if self.history.is_some() {
            let moment = self.moment();
            self.history.get_or_insert_default().push(moment);
        }
    }
}

impl FaultStore {
    /// An empty store that does not fail.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds `image`, all of it durable.
    pub fn from_image(image: BTreeMap<String, Arc<Vec<u8>>>) -> Self {
        let state = State { written: image.clone(), durable: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The store as a process that was killed at `moment` leaves it: everything written can be seen, and what was not
    /// durable still is not.
    pub fn after_kill(moment: &Moment) -> Self {
        let Moment { durable, written, growing } = moment.clone();
        Self { state: Arc::new(Mutex::new(State { written, durable, growing, ..State::default() })) }
    }

    /// The store as it is now.
    pub fn moment(&self) -> Moment {
        self.state.lock().moment()
    }

    /// What a power cut would leave now.
    pub fn durable_image(&self) -> BTreeMap<String, Arc<Vec<u8>>> {
        self.state.lock().durable.clone()
    }

    /// What is written now.
    pub fn written_image(&self) -> BTreeMap<String, Arc<Vec<u8>>> {
        self.state.lock().written.clone()
    }

    /// Syncs counted so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Writes counted so far.
    pub fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    /// Keep the state just before every sync from now on.
    pub fn record_history(&self) {
        self.state.lock().history = Some(Vec::new());
    }

    /// The states kept since [`FaultStore::record_history`]; the `n`-th is what a power cut during sync `n` can leave.
    pub fn take_history(&self) -> Vec<Moment> {
        self.state.lock().history.take().unwrap_or_default()
    }

    /// Syncs after the `n`-th report success but make nothing durable.
    pub fn freeze_after_sync(&self, n: u64) {
        self.state.lock().frozen_after = Some(n);
    }

    /// The `n`-th write fails.
    pub fn fail_write(&self, n: u64) {
        self.state.lock().fail_write_at = Some(n);
    }

    /// The `n`-th sync fails.
    pub fn fail_sync(&self, n: u64) {
        self.state.lock().fail_sync_at = Some(n);
    }

    /// The store is full at `bytes`; `None`: never.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Refuse writes from now on, or not any more.
    pub fn set_read_only(&self, read_only: bool) {
        self.state.lock().read_only = read_only;
    }
}

#[derive(Debug)]
struct FaultLock {
    state: Arc<Mutex<State>>,
}

impl StoreLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.state.lock().locked = false;
    }
}

impl Store for FaultStore {
    fn lock(&self) -> Result<Box<dyn StoreLock>> {
        let mut state = self.state.lock();
        if state.read_only {
            let error = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the store is read-only");
            return Err(Error::io("cannot lock the store", error));
        }
        if state.locked {
            return Err(Error::new(ErrorKind::Locked, "the store is in use by another handle")
                .with_hint("close the other one, or work through it"));
        }
        state.locked = true;
        Ok(Box::new(FaultLock { state: self.state.clone() }))
    }

    fn remove_unfinished(&self) -> Result<()> {
        // What is not finished was never seen.
        Ok(())
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        let synced = self.state.lock().sync_names(directory);
        synced.map_err(|e| Error::io(format!("cannot sync directory '{directory}'"), e))
    }

    fn remove_directory(&self, directory: &str) -> Result<()> {
        check_name(directory)?;
        let mut state = self.state.lock();
        let below = format!("{directory}/");
        if state.written.keys().any(|name| name.starts_with(&below)) {
            state.write(directory, 0).map_err(|e| Error::io(format!("cannot remove {directory}"), e))?;
            state.written.retain(|name, _| !name.starts_with(&below));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Blob> {
        check_name(name)?;
        let state = self.state.lock();
        let bytes = state.written.get(name).ok_or_else(|| not_found(name))?;
        Ok(Blob::from(bytes.as_ref().clone()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let state = self.state.lock();
        Ok(state.written.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut state = self.state.lock();
        state.write(name, 0).map_err(|e| Error::io(format!("cannot remove {name}"), e))?;
        state.written.remove(name);
        Ok(())
    }

    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>> {
        check_name(name)?;
        Ok(Box::new(FaultWriter { state: self.state.clone(), name: name.to_string(), bytes: Vec::new() }))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        check_name(name)?;
        let mut state = self.state.lock();
        if state.written.contains_key(name) {
            return Ok(false);
        }
        let put = state.write(name, bytes.len() as u64).and_then(|()| {
            state.written.insert(name.to_string(), Arc::new(bytes.to_vec()));
            state.sync(name)
        });
        put.map(|()| true).map_err(|e| Error::io(format!("cannot write {name}"), e))
    }

    fn create_append(&self, name: &str) -> Result<Box<dyn AppendFile>> {
        check_name(name)?;
        let mut state = self.state.lock();
        if state.written.contains_key(name) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("{name} is there already")));
        }
        let created = state.write(name, 0).and_then(|()| {
            state.growing.insert(name.to_string());
            state.written.insert(name.to_string(), Arc::default());
            state.sync(name)
        });
        created.map_err(|e| Error::io(format!("cannot create {name}"), e))?;
        Ok(Box::new(FaultAppend { state: self.state.clone(), name: name.to_string() }))
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        let state = Arc::clone(&self.state);
        let allow = move |bytes| state.lock().write("a temporary file", bytes);
        Ok(Box::new(ScratchMemory { bytes: Vec::new(), allow }))
    }

    fn size(&self, name: &str) -> Result<u64> {
        let state = self.state.lock();
        state.written.get(name).map(|bytes| bytes.len() as u64).ok_or_else(|| not_found(name))
    }

    fn discard(&self) -> Result<()> {
        Ok(())
    }

    fn local_path(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}

fn not_found(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{name} is not there"))
}

struct FaultWriter {
    state: Arc<Mutex<State>>,
    name: String,
    bytes: Vec<u8>,
}

impl Write for FaultWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state.lock().write(&self.name, (self.bytes.len() + bytes.len()) as u64)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for FaultWriter {
    fn finish(self: Box<Self>) -> Result<()> {
        let mut state = self.state.lock();
        let before = state.written.insert(self.name.clone(), Arc::new(self.bytes));
        state.sync(&self.name).map_err(|e| {
            match before {
                Some(before) => state.written.insert(self.name.clone(), before),
                None => state.written.remove(&self.name),
            };
            Error::io(format!("cannot write {}", self.name), e)
        })
    }
}

struct FaultAppend {
    state: Arc<Mutex<State>>,
    name: String,
}

impl AppendFile for FaultAppend {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let written = state.write(&self.name, bytes.len() as u64);
        let file = state.written.entry(self.name.clone()).or_default();
        if let Err(e) = written {
            // A write that fails may have arrived in part.
            Arc::make_mut(file).extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(Error::io(format!("cannot write {}", self.name), e));
        }
        Arc::make_mut(file).extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.state.lock().sync(&self.name).map_err(|e| Error::io(format!("cannot sync {}", self.name), e))
    }
}
