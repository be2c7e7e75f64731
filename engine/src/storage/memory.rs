//! A store in memory, for tests and for databases that need not last.

use super::{AppendFile, Blob, BlobWriter, FaultStore, Scratch, Store, StoreLock};
use crate::error::Result;
use std::path::PathBuf;

/// A store in memory. Its clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    /// The store that can fail, told never to.
    inner: FaultStore,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
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
        self.inner.create_append(name)
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        self.inner.scratch()
    }

    fn size(&self, name: &str) -> Result<u64> {
        self.inner.size(name)
    }

    fn discard(&self) -> Result<()> {
        Ok(())
    }

    fn local_path(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}
