//! A table for those who keep state beside it for longer than a statement: newer snapshots, and files of derived state.

use super::lookup::Lookup;
use super::{Shared, Snapshot, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Blob;
use std::io::Write;
use std::sync::{Arc, Weak};

/// Bytes of the checksum at the end of a derived file.
const CRC_BYTES: usize = 4;

/// A table that may be closed or dropped meanwhile.
#[derive(Debug, Clone)]
pub struct TableHandle {
    pub(crate) shared: Weak<Shared>,
    pub(crate) lookup: Arc<Lookup>,
}

impl TableHandle {
    /// The table as it is now; `None` once it is closed or dropped.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let shared = self.shared.upgrade()?;
        let is_there = !shared.state.read().manifest.dropped;
        is_there.then(|| Table { shared }.snapshot())
    }

    /// Bytes that [`Self::write_derived`] wrote. `None` if there are none, or they are damaged: what is derived can be made
    /// again.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read_derived(&self, name: &str) -> Result<Option<DerivedBytes>> {
        let blob = match self.lookup.store().get(&self.file(name)) {
            Ok(blob) => blob,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Err(error) = check_derived(blob.as_slice()) {
            tracing::warn!(file = self.file(name), %error, "derived state is made again");
            return Ok(None);
        }
        Ok(Some(DerivedBytes(blob)))
    }

    /// Keep bytes that are derived from the table under a name, in place of those before. Durable on return.
    ///
    /// # Errors
    /// What the disk says; those before are still there then.
    pub fn write_derived(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.file(name);
        let failed = |error| Error::io(&file, error);
        let mut writer = self.lookup.store().create(&file)?;
        writer.write_all(bytes).map_err(failed)?;
        writer.write_all(&crc32c::crc32c(bytes).to_le_bytes()).map_err(failed)?;
        writer.finish()
    }

    /// Remove what [`Self::write_derived`] wrote, if it is there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove_derived(&self, name: &str) -> Result<()> {
        self.lookup.store().delete(&self.file(name))
    }

    /// Names of what [`Self::write_derived`] wrote, sorted.
    ///
    /// # Errors
    /// What the disk says.
    pub fn derived(&self) -> Result<Vec<String>> {
        let prefix = self.file("");
        let names = self.lookup.store().list(&prefix)?;
        Ok(names.into_iter().map(|name| name[prefix.len()..].to_string()).collect())
    }

    fn file(&self, name: &str) -> String {
        format!("{}/derived-{name}", self.lookup.directory())
    }
}

impl Shared {
    /// Remove all derived files: they may hold what was deleted.
    pub(crate) fn remove_derived(&self) -> Result<()> {
        let names = self.store.list(&format!("{}/derived-", self.directory))?;
        names.iter().try_for_each(|name| self.store.delete(name))
    }
}

/// How many bytes were written to a derived file, of which these are all.
///
/// # Errors
/// `Corrupt` where the checksum is not that of the bytes.
pub fn check_derived(file: &[u8]) -> Result<usize> {
    let (bytes, crc) = file.split_at(file.len().saturating_sub(CRC_BYTES));
    match crc == crc32c::crc32c(bytes).to_le_bytes() {
        true => Ok(bytes.len()),
        false => Err(Error::corrupt("the checksum of this derived file is not that of its bytes")
            .with_hint("delete it: it is made again when it is needed")),
    }
}

/// Bytes of a derived file, whose checksum is right.
#[derive(Debug)]
pub struct DerivedBytes(Blob);

impl DerivedBytes {
    /// The bytes that were written.
    pub fn as_slice(&self) -> &[u8] {
        &self.0.as_slice()[..self.0.len() - CRC_BYTES]
    }
}

impl Snapshot {
    /// The table, for as long as it is open.
    pub fn handle(&self) -> TableHandle {
        TableHandle { shared: self.origin.clone(), lookup: Arc::clone(&self.lookup) }
    }
}
