//! Where bytes are kept: the only part of the engine that reads and writes files.
//!
//! A name is a relative path of plain parts, such as `tables/1/manifest-00000000000000000001`. Everything above this
//! module works on [`Store`] alone, so that a local directory, memory and a store that fails on purpose are
//! exchangeable, and an object store can follow.

mod blob;
mod fault;
mod local;
mod memory;
mod scratch;

pub use blob::Blob;
pub use fault::{FaultStore, Moment};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use scratch::Scratch;

use crate::error::{Error, Result};
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

/// Writes one new object. Nothing is visible before [`BlobWriter::finish`]; dropped without it, nothing is left.
pub trait BlobWriter: io::Write + Send {
    /// Make the bytes durable, then the object visible, then its name durable.
    ///
    /// # Errors
    /// Whatever the disk says. Whether the object is there is then not known: the last step may be the one that failed.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A file that only grows: one file of a log.
pub trait AppendFile: Send {
    /// Write at the end. Not durable before [`AppendFile::sync`].
    ///
    /// # Errors
    /// Whatever the disk says. The file must not be used after that: how much of it arrived is not known.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Make everything appended so far durable.
    ///
    /// # Errors
    /// Whatever the disk says. The file must not be used after that: the system may have dropped the pages.
    fn sync(&mut self) -> Result<()>;
}

/// Keeps the store to one owner for as long as it lives.
pub trait StoreLock: Send + Sync + Debug {}

/// Named objects of bytes.
pub trait Store: Send + Sync + Debug {
    /// Take the store for this handle alone.
    ///
    /// # Errors
    /// `Locked` while another process or handle has it.
    fn lock(&self) -> Result<Box<dyn StoreLock>>;

    /// Remove what an owner that ended early was still writing. Only for who holds the lock.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove_unfinished(&self) -> Result<()>;

    /// Make durable which objects are in `directory`, `""` for the top, and which were removed from it. A process that
    /// was killed leaves objects that can be seen, but of which a power cut may still take the name. A directory that
    /// is not there is no error.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn sync_directory(&self, directory: &str) -> Result<()>;

    /// Remove `directory` and all that is in it; one that is not there is no error.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove_directory(&self, directory: &str) -> Result<()>;

    /// The bytes of an object.
    ///
    /// # Errors
    /// `NotFound`, or what the disk says.
    fn get(&self, name: &str) -> Result<Blob>;

    /// Names of all objects that begin with `prefix`, sorted. Objects of which the writing is under way are not there.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Remove an object; one that is not there is no error. Blobs that are held stay readable.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn delete(&self, name: &str) -> Result<()>;

    /// Begin a new object, which replaces one of that name when it is finished.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>>;

    /// Write an object unless one of that name is there; true if it was written, and then it is durable.
    ///
    /// # Errors
    /// Whatever the disk says. Whether the object is there is then not known.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// Begin a new file that only grows. Its existence is durable on return.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the disk says.
    fn create_append(&self, name: &str) -> Result<Box<dyn AppendFile>>;

    /// A file without a name, for bytes that are needed for a while.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn scratch(&self) -> Result<Box<dyn Scratch>>;

    /// Size of an object in bytes.
    ///
    /// # Errors
    /// `NotFound`, or what the disk says.
    fn size(&self, name: &str) -> Result<u64>;

    /// Remove what a store without objects still is: its lock and its directories. The owner of the lock calls this, and
    /// nothing after it. What another process put there meanwhile stays.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn discard(&self) -> Result<()>;

    /// The path of `name` if the store is a directory of this machine: RocksDB wants one.
    fn local_path(&self, name: &str) -> Option<PathBuf>;
}

/// An error for a name with parts that could lead out of the store.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    if name.split('/').all(plain) { Ok(()) } else { Err(Error::invalid(format!("'{name}' is no name of an object"))) }
}
