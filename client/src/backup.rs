//! A backup as it comes: files of one moment, in pieces.

use crate::call_error::{CallError, CallErrorKind};
use crate::connect::Client;
use tonic::Streaming;
use trodden_proto::v1 as wire;
use trodden_proto::v1::backup_response::{File, Piece, Started};

/// What comes next of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupPiece {
    /// A file begins; its bytes follow. Whoever writes files by these names checks them first: a server may send any.
    File {
        /// Its path below the directory of the database, with slashes.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The next bytes of the file.
    Content(Vec<u8>),
}

/// The files of a database as of one moment, as they come. Dropping it ends the copying.
#[derive(Debug)]
pub struct BackupStream {
    started: Started,
    pieces: Streaming<wire::BackupResponse>,
    done: bool,
}

impl Client {
    /// Begins a backup of the whole database. The server goes on taking events and answering.
    ///
    /// # Errors
    /// `Denied` without an admin key; what the disk of the server says; those of any call.
    pub async fn backup(&self) -> Result<BackupStream, CallError> {
        let mut pieces = self.admin().backup(wire::BackupRequest {}).await?.into_inner();
        match pieces.message().await?.and_then(|response| response.piece) {
            Some(Piece::Started(started)) => Ok(BackupStream { started, pieces, done: false }),
            _ => Err(broken_off("before it began")),
        }
    }
}

impl BackupStream {
    /// Everything that was acknowledged before this is in the backup, in microseconds since 1970 by the server's clock.
    pub fn moment_us(&self) -> i64 {
        self.started.moment_us
    }

    /// Number of event tables.
    pub fn tables(&self) -> u64 {
        self.started.tables
    }

    /// Number of files.
    pub fn files(&self) -> u64 {
        self.started.files
    }

    /// Size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.started.bytes
    }

    /// The next piece; `None` once all came.
    ///
    /// # Errors
    /// What went wrong at the server or on the way. A backup that breaks off is an error, never a smaller backup.
    pub async fn next(&mut self) -> Result<Option<BackupPiece>, CallError> {
        if self.done {
            return Ok(None);
        }
        match self.pieces.message().await?.and_then(|response| response.piece) {
            Some(Piece::File(File { name, size })) => Ok(Some(BackupPiece::File { name, size })),
            Some(Piece::Content(bytes)) => Ok(Some(BackupPiece::Content(bytes))),
            Some(Piece::Done(_)) => {
                self.done = true;
                Ok(None)
            }
            Some(Piece::Started(_)) | None => Err(broken_off("before its end")),
        }
    }
}

fn broken_off(when: &str) -> CallError {
    CallError::new(CallErrorKind::Unreachable, format!("the backup broke off {when}"))
}
