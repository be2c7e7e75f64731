//! Where events go: a table, or nowhere for a trial.

use super::plan::TableShape;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use trodden_engine::error::Result;
use trodden_engine::ingest::EventBatch;
use trodden_engine::stop::Stop;
use trodden_engine::{Import, Table, TableOutline};

/// What a commit stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    /// Events that are now in the table.
    pub accepted: u64,
    /// Events left out by their `event_id`.
    pub duplicates: u64,
    /// Segments that were written.
    pub segments: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// Takes imports.
pub(super) trait Target: Sync {
    fn shape(&self) -> TableShape;
    fn is_imported(&self, fingerprint: u128) -> bool;
    /// Begin an import that becomes visible, with these fingerprints, when it is committed.
    fn begin<'a>(&'a self, fingerprints: &[u128]) -> Result<Box<dyn Sink + 'a>>;
}

/// A running import. Dropped without a commit, it leaves nothing.
pub trait Sink: Send + Sync {
    /// Take a batch. Every number from 0 is used once; the order of the numbers is the order of arrival.
    /// Called from several threads at a time.
    ///
    /// # Errors
    /// Why the import cannot go on.
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()>;
    /// Make it durable and visible, unless `stop` says so before.
    ///
    /// # Errors
    /// Why nothing is stored.
    fn commit(self: Box<Self>, stop: Stop<'_>) -> Result<Stored>;
}

impl Target for Table {
    fn shape(&self) -> TableShape {
        TableShape { schema: self.schema(), strict: self.options().strict }
    }

    fn is_imported(&self, fingerprint: u128) -> bool {
        Table::is_imported(self, fingerprint)
    }

    fn begin<'a>(&'a self, fingerprints: &[u128]) -> Result<Box<dyn Sink + 'a>> {
        Ok(Box::new(self.begin_import(fingerprints)?))
    }
}

/// A table to which nothing was ever added, and which takes whatever comes.
pub(super) struct First<'a>(pub(super) &'a Table);

impl Target for First<'_> {
    fn shape(&self) -> TableShape {
        TableShape { schema: self.0.schema(), strict: false }
    }

    fn is_imported(&self, _fingerprint: u128) -> bool {
        false
    }

    fn begin<'a>(&'a self, fingerprints: &[u128]) -> Result<Box<dyn Sink + 'a>> {
        Ok(Box::new(self.0.begin_first_import(fingerprints)?))
    }
}

impl Sink for Import {
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()> {
        Import::push(self, sequence, batch.clone())
    }

    fn commit(self: Box<Self>, stop: Stop<'_>) -> Result<Stored> {
        let imported = self.commit_unless(stop)?;
        let (accepted, duplicates) = (imported.accepted, imported.duplicates);
        Ok(Stored { accepted, duplicates, segments: imported.segments, bytes: imported.bytes })
    }
}

/// Begins an import with the fingerprints of its files.
pub type Begin<'a> = dyn Fn(&[u128]) -> Result<Box<dyn Sink + 'a>> + Sync + 'a;

/// A table that somebody else has, such as a server, as it was when it was asked.
pub(super) struct Elsewhere<'a, 'b> {
    pub(super) outline: &'a TableOutline,
    pub(super) begin: &'a Begin<'b>,
}

impl Target for Elsewhere<'_, '_> {
    fn shape(&self) -> TableShape {
        TableShape { schema: self.outline.schema.clone(), strict: self.outline.options.strict }
    }

    fn is_imported(&self, fingerprint: u128) -> bool {
        self.outline.is_imported(fingerprint)
    }

    fn begin<'a>(&'a self, fingerprints: &[u128]) -> Result<Box<dyn Sink + 'a>> {
        (self.begin)(fingerprints)
    }
}

/// A trial: counts and keeps nothing.
#[derive(Debug)]
pub(super) struct Nowhere {
    outline: TableOutline,
}

impl Nowhere {
    pub(super) fn new(outline: TableOutline) -> Self {
        Self { outline }
    }
}

#[derive(Debug, Default)]
struct Counter(std::sync::atomic::AtomicU64);

impl Target for Nowhere {
    fn shape(&self) -> TableShape {
        TableShape { schema: self.outline.schema.clone(), strict: self.outline.options.strict }
    }

    fn is_imported(&self, fingerprint: u128) -> bool {
        self.outline.is_imported(fingerprint)
    }

    fn begin<'a>(&'a self, _fingerprints: &[u128]) -> Result<Box<dyn Sink + 'a>> {
        Ok(Box::new(Counter::default()))
    }
}

impl Sink for Counter {
    fn push(&self, _sequence: u64, batch: &EventBatch) -> Result<()> {
        self.0.fetch_add(batch.len() as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn commit(self: Box<Self>, _stop: Stop<'_>) -> Result<Stored> {
        Ok(Stored { accepted: self.0.into_inner(), ..Stored::default() })
    }
}

/// Looks at what an import would store, in the order of the files.
pub trait Watcher: Sync {
    /// The files are read from their beginning, for the first time or again.
    fn begin(&self);

    /// The next events.
    ///
    /// # Errors
    /// Why to read no further.
    fn take(&self, batch: &EventBatch) -> Result<()>;
}

/// A trial that somebody looks at.
pub(super) struct Watched<'a> {
    pub(super) nowhere: Nowhere,
    pub(super) watcher: &'a dyn Watcher,
}

/// Gives batches to a watcher in their order.
struct InOrder<'a> {
    watcher: &'a dyn Watcher,
    /// The next one, and those that came before their turn.
    waiting: Mutex<(u64, BTreeMap<u64, EventBatch>)>,
    counter: Counter,
}

impl Target for Watched<'_> {
    fn shape(&self) -> TableShape {
        self.nowhere.shape()
    }

    fn is_imported(&self, _fingerprint: u128) -> bool {
        false
    }

    fn begin<'a>(&'a self, _fingerprints: &[u128]) -> Result<Box<dyn Sink + 'a>> {
        self.watcher.begin();
        Ok(Box::new(InOrder { watcher: self.watcher, waiting: Mutex::default(), counter: Counter::default() }))
    }
}

impl Sink for InOrder<'_> {
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()> {
        let mut waiting = self.waiting.lock();
        waiting.1.insert(sequence, batch.clone());
        loop {
            let next = waiting.0;
            let Some(batch) = waiting.1.remove(&next) else { return Ok(()) };
            self.watcher.take(&batch)?;
            self.counter.push(next, &batch)?;
            waiting.0 += 1;
        }
    }

    fn commit(self: Box<Self>, stop: Stop<'_>) -> Result<Stored> {
        Box::new(self.counter).commit(stop)
    }
}
