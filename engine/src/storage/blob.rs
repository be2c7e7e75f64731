//! Immutable bytes of one stored object: a mapped file or a buffer in memory.

use crate::error::{Error, Result};
use memmap2::Mmap;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Immutable bytes that many readers share. Cloning copies a pointer.
#[derive(Clone)]
pub struct Blob {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Mapped(Arc<Mmap>),
    Memory(Arc<[u8]>),
}

impl Blob {
    /// The bytes of the file at `path`, mapped into memory. An empty file is an empty blob.
    ///
    /// # Errors
    /// What the operating system says about opening or mapping the file.
    #[expect(clippy::disallowed_methods, reason = "this is the seam to the files of this machine")]
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path.display(), error))?;
        Self::map_file(&file).map_err(|error| error.at(path.display()))
    }

    /// The bytes of an open file, mapped into memory.
    ///
    /// # Errors
    /// What the operating system says about mapping the file.
    pub fn map_file(file: &File) -> Result<Self> {
        let length = file.metadata().map_err(|error| Error::io("size of the file", error))?.len();
        if length == 0 {
            return Ok(Self::from(Vec::new()));
        }
        // SAFETY: a mapping is sound as long as nobody changes or truncates the file below it. Stored objects are
        // written once under a temporary name, renamed when complete, and never opened for writing again. Log files
        // grow at their end and are neither shortened nor changed before it, and the mapping ends where the file ended
        // when it was made. The directory lock keeps other processes of this program out. Deleting leaves the mapped
        // bytes in place.
        let mapped = unsafe { Mmap::map(file) }.map_err(|error| Error::io("mapping the file", error))?;
        Ok(Self { inner: Inner::Mapped(Arc::new(mapped)) })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.inner {
            Inner::Mapped(map) => map,
            Inner::Memory(bytes) => bytes,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self { inner: Inner::Memory(bytes.into()) }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.inner {
            Inner::Mapped(_) => "mapped",
            Inner::Memory(_) => "memory",
        };
        write!(f, "Blob({} bytes, {place})", self.len())
    }
}
