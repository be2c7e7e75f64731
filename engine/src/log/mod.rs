//! The log: what makes an event durable before it is acknowledged.
//!
//! A record has a position, counted from 1 without gaps for the life of a table. Records that wait together are written
//! as one frame with one checksum and synced once, so a power cut leaves all of a frame or none of it.
//!
//! [`Log`] is a seam: everything above it works with any [`Logs`].

mod describe;
mod fault;
mod file;
mod frame;
mod memory;
mod record;

pub use describe::describe_log;
pub use fault::FaultyLogs;
pub use file::{FileLog, FileLogs};
pub use memory::MemoryLogs;
pub(crate) use record::{AliasRecord, BatchRecord, DeleteRecord, Record, ShardBatch};

use crate::error::Result;
use crate::storage::Store;
use std::fmt::Debug;
use std::sync::Arc;

/// Where the logs of a database are: opening an engine takes one of these, as it takes a [`Store`]. A log elsewhere than in
/// files of the store keeps what it acknowledged whatever becomes of this machine, and then fences the owner of a table, too.
pub trait Logs: Send + Sync + Debug {
    /// The log of the table in `directory` of `store`, which continues after `position`. Nothing is written before the
    /// first record is.
    fn open(&self, store: &Arc<dyn Store>, directory: &str, position: u64) -> Box<dyn Log>;

    /// Remove the log of a table that was dropped: the next one in `directory` must not find its records. One that is not
    /// there is no error.
    ///
    /// # Errors
    /// What the disk says. The next opening of the database tries again.
    fn remove(&self, store: &Arc<dyn Store>, directory: &str) -> Result<()>;
}

/// A durable sequence of records.
pub trait Log: Send {
    /// Append `records` as one, durable on return; the position of the last one is returned.
    ///
    /// # Errors
    /// What the disk says. After that every call of `append` is `Poisoned`: a failed write is never tried again.
    fn append(&mut self, records: &[Vec<u8>]) -> Result<u64>;

    /// Give `each` every record after position `after`, in order.
    ///
    /// # Errors
    /// `Corrupt` for damage that a power cut does not explain, and what `each` returns.
    fn replay(&self, after: u64, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()>;

    /// Begin a new piece with the next record, so that the pieces before it can go.
    fn rotate(&mut self);

    /// Continue after position `position`, in a new piece.
    fn restart_after(&mut self, position: u64);

    /// Remove the pieces whose records are all at or before `position`. The piece in use stays.
    ///
    /// # Errors
    /// What the disk says.
    fn truncate_through(&mut self, position: u64) -> Result<()>;
}
