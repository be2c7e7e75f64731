//! What became of a batch: queued first, then durable.

use super::Shared;
use crate::error::Result;
use std::fmt;
use std::sync::Arc;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Events that are now in the table.
    pub accepted: u64,
    /// Events left out, because the user had one with the same `event_id` within the table's dedup window.
    pub duplicates: u64,
}

/// What became of a numbered batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Produced {
    /// It is stored.
    Stored(Appended),
    /// It was stored before, and nothing is changed.
    Repeated,
    /// Nothing is stored, since a batch before it is missing.
    Gap {
        /// Number of the producer's last batch that is stored.
        last: u64,
    },
}

/// What of a batch was queued.
#[derive(Debug)]
pub(super) enum Queued {
    /// So many events of it.
    Stored(u64),
    /// Nothing: it was there.
    Repeated,
    /// Nothing: one before it is missing, and this is the last that is there.
    Gap(u64),
}

/// A batch that is queued, and not durable yet.
#[must_use = "it is durable after the wait"]
pub struct PendingAppend {
    pub(super) shared: Arc<Shared>,
    pub(super) queued: Queued,
    /// The record to wait for.
    pub(super) position: u64,
    /// Events of the batch, duplicates among them.
    pub(super) rows: u64,
}

impl PendingAppend {
    /// Wait until it is durable and visible.
    ///
    /// # Errors
    /// What the disk says, and `Poisoned` after that.
    pub fn wait(self) -> Result<Produced> {
        let Self { shared, queued, position, rows } = self;
        // What was there before may not be durable yet, and must not be acknowledged before it is.
        shared.queue.wait(position, &shared)?;
        shared.flush_if_large();
        Ok(match queued {
            Queued::Stored(accepted) => Produced::Stored(Appended { accepted, duplicates: rows - accepted }),
            Queued::Repeated => Produced::Repeated,
            Queued::Gap(last) => Produced::Gap { last },
        })
    }
}

impl fmt::Debug for PendingAppend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAppend").field("queued", &self.queued).field("position", &self.position).finish()
    }
}
