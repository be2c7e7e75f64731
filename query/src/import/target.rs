//! Where events go: a table, one that is made for them, or nowhere for a trial.

use super::plan::{PlannedColumn, TableShape};
use trodden_engine::error::Result;
use trodden_engine::ingest::EventBatch;
use trodden_engine::types::{ColumnDef, Schema, TableOptions};
use trodden_engine::{Engine, Import, Table};

/// What a commit stored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stored {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
}

/// Takes imports.
pub(super) trait Target: Sync {
    fn shape(&self) -> TableShape;
    fn is_imported(&self, fingerprint: u128) -> bool;
    /// Begin an import that becomes visible, with these fingerprints, when it is committed. `columns`: what it brings.
    fn begin<'a>(&'a self, fingerprints: &[u128], columns: &[PlannedColumn]) -> Result<Box<dyn Sink + 'a>>;
}

/// A running import. Dropped without a commit, it leaves nothing.
pub(super) trait Sink: Send + Sync {
    /// Take a batch. Every number from 0 is used once; the order of the numbers is the order of arrival.
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()>;
    fn commit(self: Box<Self>) -> Result<Stored>;
}

impl Target for Table {
    fn shape(&self) -> TableShape {
        TableShape { schema: self.schema(), strict: self.options().strict }
    }

    fn is_imported(&self, fingerprint: u128) -> bool {
        Table::is_imported(self, fingerprint)
    }

    fn begin<'a>(&'a self, fingerprints: &[u128], _columns: &[PlannedColumn]) -> Result<Box<dyn Sink + 'a>> {
        Ok(Box::new(self.begin_import(fingerprints)?))
    }
}

impl Sink for Import {
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()> {
        Import::push(self, sequence, batch.clone())
    }

    fn commit(self: Box<Self>) -> Result<Stored> {
        let imported = Import::commit(*self)?;
        let (accepted, duplicates) = (imported.accepted, imported.duplicates);
        Ok(Stored { accepted, duplicates, segments: imported.segments, bytes: imported.bytes })
    }
}

/// A table that is made for the import, with the columns that it brings: so a strict table can have any. It is not left
/// behind when the import stores nothing.
pub(super) struct NewTable<'a> {
    pub(super) engine: &'a Engine,
    pub(super) name: &'a str,
    pub(super) options: &'a TableOptions,
}

/// An import into a table that was made for it. Dropped without a commit, neither is left.
struct FirstImport<'a> {
    table: &'a NewTable<'a>,
    import: Option<Import>,
    stored: bool,
}

impl Target for NewTable<'_> {
    fn shape(&self) -> TableShape {
        TableShape::default()
    }

    fn is_imported(&self, _fingerprint: u128) -> bool {
        false
    }

    fn begin<'a>(&'a self, fingerprints: &[u128], columns: &[PlannedColumn]) -> Result<Box<dyn Sink + 'a>> {
        let columns = columns.iter();
        let columns = columns.map(|column| ColumnDef { name: column.name.clone(), column_type: column.column_type });
        let made = self.engine.create_table(self.name, Schema { columns: columns.collect() }, self.options.clone())?;
        // From here on the table goes with the import.
        let mut first = FirstImport { table: self, import: None, stored: false };
        first.import = Some(made.begin_import(fingerprints)?);
        Ok(Box::new(first))
    }
}

impl Sink for FirstImport<'_> {
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()> {
        self.import.as_ref().map_or(Ok(()), |import| import.push(sequence, batch.clone()))
    }

    fn commit(mut self: Box<Self>) -> Result<Stored> {
        let Some(import) = self.import.take() else { return Ok(Stored::default()) };
        let stored = Sink::commit(Box::new(import))?;
        self.stored = stored.accepted > 0;
        Ok(stored)
    }
}

impl Drop for FirstImport<'_> {
    fn drop(&mut self) {
        drop(self.import.take());
        if !self.stored
            && let Err(error) = self.table.engine.drop_table(self.table.name)
        {
            tracing::warn!(table = %self.table.name, %error, "an empty table is left behind");
        }
    }
}

/// A trial: counts and keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Nowhere {
    shape: TableShape,
}

impl Nowhere {
    pub(super) fn new(shape: TableShape) -> Self {
        Self { shape }
    }
}

#[derive(Debug, Default)]
struct Counter(std::sync::atomic::AtomicU64);

impl Target for Nowhere {
    fn shape(&self) -> TableShape {
        self.shape.clone()
    }

    fn is_imported(&self, _fingerprint: u128) -> bool {
        false
    }

    fn begin<'a>(&'a self, _fingerprints: &[u128], _columns: &[PlannedColumn]) -> Result<Box<dyn Sink + 'a>> {
        Ok(Box::new(Counter::default()))
    }
}

impl Sink for Counter {
    fn push(&self, _sequence: u64, batch: &EventBatch) -> Result<()> {
        self.0.fetch_add(batch.len() as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<Stored> {
        Ok(Stored { accepted: self.0.into_inner(), ..Stored::default() })
    }
}
