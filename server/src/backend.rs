//! The database as the commands use it: the only file that knows how statements are run and where errors come from.

use crate::failure::{Failure, Outcome};
use crate::report::Report;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::{Handle, Runtime};
use tokio::task::AbortHandle;
use trodden_query::engine::types::{FIXED_COLUMNS, Schema, TableOptions};
use trodden_query::engine::{self, Engine, EngineOptions, Table};
use trodden_query::import::{self, ImportError, ImportOptions, ImportSummary, Progress};
use trodden_query::{CancelToken, Database, Error, Options, QueryOptions, QueryResult, Warning};

/// How a database is opened.
#[derive(Debug, Clone, Default)]
pub struct BackendOptions {
    /// Threads of a query. `None`: all cores.
    pub threads: Option<usize>,
    /// Memory that a query may use, in bytes. `None`: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Make the directory when it is absent.
    pub create: bool,
}

/// Names that exist now. Asked at every Tab, so it has to be quick.
pub trait Names {
    /// Names of the tables and views.
    fn tables(&self) -> Vec<String>;
    /// Names of the columns of all tables.
    fn columns(&self) -> Vec<String>;
    /// Names of the events in all tables.
    fn events(&self) -> Vec<String>;
}

/// An open database, and the threads on which its queries run.
pub struct Backend {
    database: Database,
    runtime: Runtime,
}

impl Backend {
    /// Opens the database in the directory `path`.
    ///
    /// # Errors
    /// What the database says.
    pub fn open(path: &Path, options: &BackendOptions) -> Outcome<Self> {
        let mut all = Options::default();
        all.engine.create_if_missing = options.create;
        if let Some(threads) = options.threads {
            all.threads = threads;
        }
        all.memory_limit_bytes = options.memory_limit_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(all.threads)
            .thread_name("trodden-query")
            .enable_all()
            .build()
            .map_err(|error| Failure::io("starting threads", &error))?;
        let database = Database::open_with(path, all).map_err(|error| failed(&error))?;
        let backend = Self { database, runtime };
        for table in backend.database.tables() {
            backend.enforce_retention(&*backend.table(&table)?)?;
        }
        Ok(backend)
    }

    /// Starts `statement`, a part of `script`, in which errors are shown. With `cancellable`, Ctrl-C ends the statement
    /// and not the process.
    ///
    /// # Errors
    /// What is wrong with the statement, with its place.
    pub fn run(&self, script: &str, statement: &str, cancellable: bool) -> Outcome<Answer> {
        let cancel = CancelToken::new();
        let handle = self.runtime.handle().clone();
        let watch = cancellable.then(|| watch_interrupt(&handle, cancel.clone()));
        let place = Place { script: script.into(), start: offset_in(script, statement), length: statement.len() };
        let options = QueryOptions { cancel, ..QueryOptions::default() };
        let result = handle.block_on(self.database.sql_with(statement, options));
        let result = result.map_err(|error| Failure::Failed(report(&error, Some(&place))))?;
        Ok(Answer {
            schema: result.schema(),
            rows: Rows::Coming(Box::new(result)),
            place,
            handle,
            _watch: watch,
            told: 0,
        })
    }

    /// Names of the tables, sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.database.tables()
    }

    /// Names of the tables and views as lines of text.
    pub fn tables(&self) -> String {
        let views = self.database.views().into_iter().map(|view| format!("{view} (view)"));
        self.database.tables().into_iter().chain(views).collect::<Vec<_>>().join("\n")
    }

    /// Columns, types and options of `table`, or of all tables, as lines of text.
    ///
    /// # Errors
    /// There is no such table.
    pub fn schema(&self, table: Option<&str>) -> Outcome<String> {
        let tables = table.map_or_else(|| self.database.tables(), |table| vec![table.to_owned()]);
        let mut text = String::new();
        for name in &tables {
            let table = self.table(name)?;
            let schema = table.schema();
            let fixed = FIXED_COLUMNS.iter().map(|&name| (name, if name == "ts" { "TIMESTAMP" } else { "TEXT" }));
            let own = schema.columns.iter().map(|column| (column.name.as_str(), column.column_type.sql_name()));
            let columns: Vec<_> = fixed.chain(own).collect();
            let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            let options = table.options();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} ({} shards, time zone {})", options.shards, options.time_zone);
            for (column, column_type) in columns {
                let _ = writeln!(text, "  {column:width$}  {column_type}");
            }
        }
        Ok(text.trim_end().to_owned())
    }

    /// Names for completion.
    pub fn names(&self) -> Arc<dyn Names> {
        Arc::new(LiveNames(self.database.clone()))
    }

    /// Imports files into a table, which is made when it is absent, and not left behind when nothing was imported.
    ///
    /// # Errors
    /// What the import says.
    pub fn import(
        &self,
        name: &str,
        new_table: &TableOptions,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Outcome<ImportSummary> {
        let (table, is_new) = match self.database.engine().table(name) {
            Ok(table) => (table, false),
            Err(_) if options.dry_run => return trial(options, progress),
            // Its columns are those of this import, and must be there before the first row.
            Err(_) if new_table.strict => {
                let summary = import::import_new(self.database.engine(), name, new_table, options, progress);
                let summary = summary.map_err(|error| import_failed(&error))?;
                if let Ok(table) = self.database.engine().table(name) {
                    self.enforce_retention(&table)?;
                }
                return Ok(summary);
            }
            Err(_) => (self.create(name, new_table)?, true),
        };
        let summary = import::import(&table, options, progress).map_err(|error| import_failed(&error));
        let stored = summary.as_ref().is_ok_and(|summary| summary.accepted > 0);
        if is_new && !stored {
            drop(table);
            self.database.engine().drop_table(name).map_err(|error| failed(&error.into()))?;
        } else if stored {
            self.enforce_retention(&table)?;
        }
        summary
    }

    /// Stores made-up events from `next` in a table, which is made when it is absent, all or none. `source` names them;
    /// events of the same source are stored once: `None` when they are there already.
    ///
    /// # Errors
    /// What `next` and the table say.
    pub fn load(
        &self,
        name: &str,
        source: &str,
        next: &mut dyn FnMut() -> Outcome<Option<RecordBatch>>,
    ) -> Outcome<Option<u64>> {
        let told = |error: engine::error::Error| failed(&error.into());
        let table = match self.database.engine().table(name) {
            Ok(table) => table,
            Err(_) => self.create(name, &TableOptions::default())?,
        };
        let fingerprint = xxhash_rust::xxh3::xxh3_128(source.as_bytes());
        if table.is_imported(fingerprint) {
            return Ok(None);
        }
        let import = table.begin_import(&[fingerprint]).map_err(told)?;
        let mut sequence = 0;
        while let Some(batch) = next()? {
            import.push(sequence, crate::generator::event_batch(&batch)).map_err(told)?;
            sequence += 1;
        }
        import.commit().map(|stored| Some(stored.accepted)).map_err(told)
    }

    /// Merges the segments of a table, and removes what is deleted or too old.
    ///
    /// # Errors
    /// What the table says.
    pub fn compact(&self, name: &str) -> Outcome {
        let table = self.table(name)?;
        self.enforce_retention(&table)?;
        table.compact(true).map_err(|error| failed(&error.into()))
    }

    /// Bytes that a table takes on disk.
    ///
    /// # Errors
    /// What the table says.
    pub fn size_on_disk(&self, name: &str) -> Outcome<u64> {
        self.table(name)?.size_on_disk().map_err(|error| failed(&error.into()))
    }

    fn table(&self, name: &str) -> Outcome<Arc<Table>> {
        self.database.engine().table(name).map_err(|error| failed(&error.into()))
    }

    fn create(&self, name: &str, options: &TableOptions) -> Outcome<Arc<Table>> {
        let created = self.database.engine().create_table(name, Schema::default(), options.clone());
        created.map_err(|error| failed(&error.into()))
    }

    /// Drops what is older than the table keeps. This is the place that reads the clock.
    #[allow(clippy::disallowed_methods, reason = "only the binary reads the clock")]
    fn enforce_retention(&self, table: &Table) -> Outcome {
        if table.options().retention_us.is_none() {
            return Ok(());
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
        table.enforce_retention(now_us).map_err(|error| failed(&error.into()))
    }
}

/// The import of a trial into a table that is not there, which takes all columns even if it will be strict.
fn trial(options: &ImportOptions, progress: &dyn Progress) -> Outcome<ImportSummary> {
    import::dry_run(&Schema::default(), false, options, progress).map_err(|error| import_failed(&error))
}

/// As [`Backend::import`] for a trial where there is no database.
///
/// # Errors
/// What the import says.
pub fn import_trial(
    _new_table: &TableOptions,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Outcome<ImportSummary> {
    trial(options, progress)
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Tables looked at.
    pub tables: u64,
    /// What is broken, a line each.
    pub findings: Vec<String>,
}

/// Verifies every checksum and every invariant of the database in the directory `path`.
///
/// # Errors
/// The database cannot be opened at all: nothing is there, another process has it, or what is broken is so central
/// that the rest cannot be read.
pub fn check(path: &Path) -> Outcome<Checked> {
    let options = EngineOptions { create_if_missing: false, ..EngineOptions::default() };
    let engine = Engine::open(path, options).map_err(|error| failed(&error.into()))?;
    let findings = engine.check().iter().map(ToString::to_string).collect();
    Ok(Checked { tables: engine.tables().len() as u64, findings })
}

/// A statement in its script.
struct Place {
    script: Box<str>,
    start: usize,
    length: usize,
}

/// The rows of a statement, as they come or collected.
enum Rows {
    Coming(Box<QueryResult>),
    Collected(std::vec::IntoIter<RecordBatch>, Vec<Warning>),
}

/// The answer of a statement.
pub struct Answer {
    schema: SchemaRef,
    rows: Rows,
    place: Place,
    handle: Handle,
    _watch: Option<AbortOnDrop>,
    told: usize,
}

impl Answer {
    /// The columns; none for statements without rows.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Warnings since the last call. All are known when the last row was read.
    pub fn warnings(&mut self) -> Vec<Report> {
        let all = match &self.rows {
            Rows::Coming(result) => result.warnings(),
            Rows::Collected(_, warnings) => warnings.clone(),
        };
        let new = all.get(self.told..).unwrap_or_default().iter().map(|warning| {
            let report = Report::warning(&warning.message);
            warning.hint.iter().fold(report, |report, hint| report.with_hint(hint))
        });
        let new = new.collect();
        self.told = all.len();
        new
    }

    /// The next rows, or `None` at the end.
    ///
    /// # Errors
    /// What went wrong while computing them.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, which an iterator of results would not show")]
    pub fn next(&mut self) -> Outcome<Option<RecordBatch>> {
        match &mut self.rows {
            Rows::Coming(result) => {
                self.handle.block_on(result.next()).map_err(|error| Failure::Failed(report(&error, Some(&self.place))))
            }
            Rows::Collected(batches, _) => Ok(batches.next()),
        }
    }

    /// Waits for all rows, which [`Answer::next`] then gives without waiting.
    ///
    /// # Errors
    /// What went wrong while computing them.
    pub fn collect(&mut self) -> Outcome {
        let mut batches = Vec::new();
        while let Some(batch) = self.next()? {
            batches.push(batch);
        }
        if let Rows::Coming(result) = &self.rows {
            self.rows = Rows::Collected(batches.into_iter(), result.warnings());
        }
        Ok(())
    }
}

/// Ends a task when it is dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pulls `cancel` at the next Ctrl-C.
fn watch_interrupt(handle: &Handle, cancel: CancelToken) -> AbortOnDrop {
    let task = handle.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
    AbortOnDrop(task.abort_handle())
}

struct LiveNames(Database);

impl Names for LiveNames {
    fn tables(&self) -> Vec<String> {
        let mut names = self.0.tables();
        names.extend(self.0.views());
        names
    }

    fn columns(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = FIXED_COLUMNS.iter().map(|&name| name.to_owned()).collect();
        for table in self.0.tables().iter().filter_map(|name| self.0.engine().table(name).ok()) {
            names.extend(table.schema().columns.into_iter().map(|column| column.name));
        }
        names.into_iter().collect()
    }

    fn events(&self) -> Vec<String> {
        let tables = self.0.tables();
        let names = tables.iter().filter_map(|table| self.0.event_names(table).ok()).flatten();
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The failure that an error without a statement means.
fn failed(error: &Error) -> Failure {
    Failure::Failed(report(error, None))
}

/// An error as people read it, with its place where it is known.
fn report(error: &Error, place: Option<&Place>) -> Report {
    let mut report = Report::error(error.message());
    if let Some(hint) = error.hint() {
        report = report.with_hint(hint);
    }
    if let (Some(span), Some(place)) = (error.span(), place) {
        let statement = &place.script[place.start..place.start + place.length];
        let start = byte_at(statement, span.line, span.column);
        let end = byte_at(statement, span.end_line, span.end_column);
        let range = place.start + start..place.start + end;
        report = report.with_place(&place.script, single_line(&place.script, range), None);
    }
    report
}

/// A place that spans lines is marked up to the end of its first one: a caret says where to look, not how far.
fn single_line(script: &str, range: Range<usize>) -> Range<usize> {
    let end = script.get(range.clone()).and_then(|text| text.find('\n')).map_or(range.end, |at| range.start + at);
    range.start..end
}

/// The byte of a line and a column, both from 1, columns counted in characters.
fn byte_at(text: &str, line: u64, column: u64) -> usize {
    let to_index = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0;
    for _ in 0..to_index(line) {
        match text[start..].find('\n') {
            Some(length) => start += length + 1,
            None => return text.len(),
        }
    }
    text[start..].char_indices().nth(to_index(column)).map_or(text.len(), |(at, _)| start + at)
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if whole.get(offset..).is_some_and(|rest| rest.starts_with(part)) { offset } else { 0 }
}

fn import_failed(error: &ImportError) -> Failure {
    let report = Report::error(error.message());
    Failure::Failed(match error.hint() {
        Some(hint) => report.with_hint(hint),
        None => report,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Terminal;

    #[test]
    fn the_way_out_of_a_failed_import_is_told_once() {
        let error = engine::error::Error::invalid("no").with_hint("the way out");
        let Failure::Failed(report) = import_failed(&ImportError::Engine(error)) else { panic!("no failure") };
        let plain = Terminal { stdout: false, stderr: false, unicode: false, color: false, width: 80 };
        assert_eq!(report.render(&plain).matches("the way out").count(), 1, "{}", report.render(&plain));
    }

    #[test]
    fn places_are_bytes_of_the_script() {
        let script = "SELECT 1;\nSELECT ä,\n  prise FROM t";
        let statement = &script[10..];
        assert_eq!(offset_in(script, statement), 10);
        let at = byte_at(statement, 2, 3);
        assert_eq!(&statement[at..at + 5], "prise");
        assert_eq!(&statement[byte_at(statement, 1, 8)..][.."ä".len()], "ä");
        assert_eq!(byte_at(statement, 9, 1), statement.len());
        assert_eq!(byte_at(statement, 2, 99), statement.len());
    }
}
