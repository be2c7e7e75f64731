//! Imports into a table of a server: files are read here, and stored there.

use super::import::NewTable;
use super::place::failed;
use super::{Backend, closed, import_failed};
use crate::failure::Outcome;
use crate::import_wire::{encode, fingerprints_to_wire, options_to_wire, table_from_wire};
use crate::report::Report;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use trodden_client::{CallError, CallErrorKind, Client, Import, wire};
use trodden_query::Error;
use trodden_query::engine::TableOutline;
use trodden_query::engine::error::{Error as EngineError, ErrorKind, Result};
use trodden_query::engine::ingest::EventBatch;
use trodden_query::engine::stop::Stop;
use trodden_query::import::{ImportSummary, Prepared, Progress, Sink, Stored};

/// How often who waits for the server looks whether somebody pressed Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Backend {
    /// The table `name` of a server, as an import finds it.
    pub(super) fn describe_import(&self, client: &Client, name: &str) -> Outcome<Option<TableOutline>> {
        let found = self.ask(client.describe_import(name))?;
        found.map(table_from_wire).transpose().map_err(|error| failed(&Error::from(error)))
    }

    pub(super) fn import_remote(
        &self,
        client: &Client,
        name: &str,
        new_table: &NewTable,
        files: Prepared,
        progress: &dyn Progress,
        warnings: &mut Vec<Report>,
    ) -> Outcome<ImportSummary> {
        let outline = new_table.outline(self.describe_import(client, name)?)?;
        let runtime = self.runtime.as_ref().ok_or_else(closed)?.handle();
        // A table has one spelling; a new one has that of the command line.
        let table = if outline.name.is_empty() { name } else { &outline.name };
        let told = Mutex::new(Vec::new());
        let begin = |fingerprints: &[u128]| -> Result<Box<dyn Sink + '_>> {
            let _context = runtime.enter();
            let import = client.import(wire::BeginImport {
                table: table.to_owned(),
                new_table: Some(options_to_wire(&new_table.options())),
                fingerprints: fingerprints_to_wire(fingerprints),
            });
            Ok(Box::new(RemoteSink { runtime, import, batches: AtomicU64::new(0), warnings: &told }))
        };
        let summary = files.import_elsewhere(&outline, &begin, progress);
        warnings.extend(told.lock().drain(..).map(Report::warning));
        summary.map_err(|error| import_failed(&error))
    }
}

/// An import that a server keeps.
struct RemoteSink<'a> {
    runtime: &'a Handle,
    import: Import,
    batches: AtomicU64,
    /// What the server could not do after the import.
    warnings: &'a Mutex<Vec<String>>,
}

impl Sink for RemoteSink<'_> {
    fn push(&self, sequence: u64, batch: &EventBatch) -> Result<()> {
        let bytes = encode(batch)?;
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.runtime.block_on(self.import.push(sequence, &bytes)).map_err(|error| engine_error(&error))
    }

    fn commit(self: Box<Self>, stop: Stop<'_>) -> Result<Stored> {
        let Self { runtime, import, batches, warnings } = *self;
        let answer = runtime.block_on(async {
            let committed = import.commit(batches.into_inner());
            tokio::pin!(committed);
            loop {
                tokio::select! {
                    answer = &mut committed => return answer.map_err(|error| engine_error(&error)),
                    () = tokio::time::sleep(LOOK_EVERY) => trodden_query::engine::stop::check(stop)?,
                }
            }
        })?;
        warnings.lock().extend(answer.warnings);
        let wire::ImportResponse { accepted, duplicates, segments, segment_bytes: bytes, .. } = answer;
        Ok(Stored { accepted, duplicates, segments, bytes })
    }
}

/// What a server says, as an import takes it.
fn engine_error(error: &CallError) -> EngineError {
    let kind = match error.kind() {
        CallErrorKind::NotFound => ErrorKind::NotFound,
        CallErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        CallErrorKind::ResourceLimit => ErrorKind::ResourceLimit,
        CallErrorKind::Cancelled => ErrorKind::Cancelled,
        CallErrorKind::Unreachable | CallErrorKind::Busy | CallErrorKind::Server => ErrorKind::Io,
        _ => ErrorKind::InvalidInput,
    };
    let told = EngineError::new(kind, error.message());
    match (error.hint(), error.kind()) {
        (Some(hint), _) => told.with_hint(hint),
        (None, CallErrorKind::Unreachable) => {
            told.with_hint("import the same files again: what is stored is known by then, and not stored twice")
        }
        (None, _) => told,
    }
}
