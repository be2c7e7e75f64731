//! Bytes that are needed for a while, and by nobody after this process.

use crate::error::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A file without a name: it takes bytes at its end and gives them back. It is gone with its owner, also when the process is
/// killed, and nothing in it is ever durable.
pub trait Scratch: Send + Sync {
    /// Write at the end. Returns where the bytes begin.
    ///
    /// # Errors
    /// Whatever the disk says. What was written before can still be read.
    fn append(&mut self, bytes: &[u8]) -> Result<u64>;

    /// Fill `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever the disk says, also where so many were not written.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()>;
}

/// A file of this machine that has lost its name.
pub(super) struct ScratchFile {
    file: File,
    length: u64,
}

impl ScratchFile {
    pub(super) fn new(file: File) -> Self {
        Self { file, length: 0 }
    }
}

impl Scratch for ScratchFile {
    fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let offset = self.length;
        self.file.write_all_at(bytes, offset).map_err(|e| Error::io("cannot write a temporary file", e))?;
        self.length += bytes.len() as u64;
        Ok(offset)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(into, offset).map_err(|e| Error::io("cannot read a temporary file", e))
    }
}

/// Bytes in memory, which `allow` may refuse to take.
pub(super) struct ScratchMemory<F> {
    pub(super) bytes: Vec<u8>,
    pub(super) allow: F,
}

impl<F: FnMut(u64) -> std::io::Result<()> + Send + Sync> Scratch for ScratchMemory<F> {
    fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let offset = self.bytes.len() as u64;
        (self.allow)(bytes.len() as u64).map_err(|e| Error::io("cannot write a temporary file", e))?;
        self.bytes.extend_from_slice(bytes);
        Ok(offset)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(into.len()).and_then(|end| self.bytes.get(start..end));
        let missing = || Error::io("cannot read a temporary file", std::io::ErrorKind::UnexpectedEof.into());
        into.copy_from_slice(found.ok_or_else(missing)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::storage::{FaultStore, LocalStore, MemoryStore, Store};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it looks at the directory beside the store")]
    fn what_is_written_can_be_read_and_leaves_no_name() {
        let place = tempfile::tempdir().unwrap();
        let local = LocalStore::open(place.path()).unwrap();
        let stores: [&dyn Store; 3] = [&local, &MemoryStore::new(), &FaultStore::new()];
        for store in stores {
            let mut scratch = store.scratch().unwrap();
            assert_eq!((scratch.append(b"one").unwrap(), scratch.append(b"twelve").unwrap()), (0, 3));
            let mut bytes = [0; 6];
            scratch.read(3, &mut bytes).unwrap();
            assert_eq!(&bytes, b"twelve");
            assert!(scratch.read(4, &mut bytes).is_err(), "{store:?}");
            assert!(store.list("").unwrap().is_empty(), "{store:?}");
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_is_told() {
        let store = FaultStore::new();
        let mut scratch = store.scratch().unwrap();
        scratch.append(&[7; 100]).unwrap();
        store.set_capacity(Some(0));
        assert!(scratch.append(&[8; 100]).is_err());
        let mut kept = [0; 100];
        scratch.read(0, &mut kept).unwrap();
        assert_eq!(kept, [7; 100]);
    }
}
