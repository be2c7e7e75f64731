//! A copy of a whole database as of one moment, while the database goes on taking and answering.
//!
//! - [`Engine::backup`] takes the moment, and holds every file of it: what is compacted, deleted or dropped after that stays
//!   readable for as long as the [`Backup`] is kept.
//! - [`Backup::copy_to`] writes the files to a store.
//! - [`Receiver`] writes files that come in pieces, from here or over a wire, and lets nothing be a database before all of it
//!   is there.
//!
//! Catalogs and logs are not part of a copy: a catalog is derived, and the moment is one at which nothing is in a log alone.

mod moment;
mod receiver;

#[cfg(test)]
mod tests;

pub use receiver::{Copied, Receiver};

use crate::engine::Engine;
use crate::error::Result;
use crate::stop::{self, Stop};
use crate::storage::{Blob, Store};

/// Most bytes that are written, and sent over a wire, at once.
pub const PIECE_BYTES: usize = 1 << 20;

/// A file of a [`Backup`].
#[derive(Debug, Clone)]
pub struct BackupFile {
    name: String,
    blob: Blob,
}

impl BackupFile {
    /// Its name in the store.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.blob.len() as u64
    }

    /// Its bytes in pieces of at most [`PIECE_BYTES`].
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.blob.as_slice().chunks(PIECE_BYTES)
    }
}

/// All files of a database as of one moment.
#[derive(Debug)]
pub struct Backup {
    tables: u64,
    files: Vec<BackupFile>,
}

impl Engine {
    /// All tables, definitions and settings as of one moment: with everything that was acknowledged before the call, of every
    /// table up to the same point, and nothing of an import that is not finished. Writers go on meanwhile; they wait for as
    /// long as what was written last takes to be durable. A compaction or a flush that is under way is waited for.
    ///
    /// # Errors
    /// What the disk says; `Poisoned` where a table refuses writes; `Cancelled` soon after `stop` says so.
    pub fn backup(&self, stop: Stop<'_>) -> Result<Backup> {
        moment::take(self, stop)
    }
}

impl Backup {
    /// The files, in the order in which they are to be written: what makes a directory a database comes last.
    pub fn files(&self) -> &[BackupFile] {
        &self.files
    }

    /// Number of event tables.
    pub fn tables(&self) -> u64 {
        self.tables
    }

    /// Size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(BackupFile::size).sum()
    }

    /// Write all files to `target`, which must be empty; durable on return. `on_progress` is told the bytes of each piece that
    /// was written. Where it fails or is stopped, `target` has files, and is no database.
    ///
    /// # Errors
    /// Those of [`Receiver`]; `Cancelled` soon after `stop` says so.
    pub fn copy_to(&self, target: &dyn Store, stop: Stop<'_>, on_progress: &mut dyn FnMut(u64)) -> Result<Copied> {
        let mut receiver = Receiver::begin(target)?;
        for file in &self.files {
            receiver.begin_file(file.name(), file.size())?;
            for piece in file.pieces() {
                stop::check(stop)?;
                receiver.write(piece)?;
                on_progress(piece.len() as u64);
            }
        }
        stop::check(stop)?;
        receiver.finish()
    }
}
