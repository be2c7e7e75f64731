//! The database as the commands use it: the only folder that knows how statements are run and where errors come from.

mod answer;
mod check;
mod import;
mod place;

pub use answer::Answer;
pub use check::{Checked, check};
pub use import::{Imported, NewTable, import_failed, import_trial};

use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::memory;
use crate::report::Report;
use place::{Place, failed, told};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use trodden_query::engine::Table;
use trodden_query::engine::types::FIXED_COLUMNS;
use trodden_query::{Database, Error, ErrorKind, Options};

/// How long the end of the process waits for a statement that was left to itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a database is opened.
#[derive(Debug, Clone, Default)]
pub struct BackendOptions {
    /// Threads of a query, and of an import. `None`: all cores.
    pub threads: Option<usize>,
    /// Memory that a query may use, in bytes. `None`: 80 % of what the machine has.
    pub memory_limit_bytes: Option<u64>,
    /// Memory for what RECOMMEND keeps between statements, in bytes; with 0 nothing is kept. `None`: the default of the
    /// database.
    pub recommend_memory_bytes: Option<u64>,
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
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        // A statement that was cancelled may still compute; nothing waits for its answer.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
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
            all.engine.threads = threads;
        }
        let limit = options.memory_limit_bytes.or_else(memory::default_limit);
        let in_memory = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        all.memory_limit_bytes = limit.map(in_memory);
        if let Some(bytes) = options.recommend_memory_bytes {
            all.live.limit_bytes = in_memory(bytes);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(all.threads)
            .thread_name("trodden-query")
            .enable_all()
            .build()
            .map_err(|error| Failure::io("starting threads", &error))?;
        let database = Database::open_with(path, all).map_err(|error| not_opened(path, &error))?;
        let backend = Self { database, runtime: Some(runtime) };
        for table in backend.database.tables() {
            enforce_retention(&*backend.table(&table)?).map_err(|error| failed(&error))?;
        }
        Ok(backend)
    }

    /// Starts `statement`, a part of `script`, in which errors are shown. Ctrl-C, where it is watched for, ends it.
    ///
    /// # Errors
    /// What is wrong with the statement, with its place.
    pub fn run(&self, script: &str, statement: &str, interrupt: Option<&Interrupt>) -> Outcome<Answer> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Failure::Failed(Report::error("the database is closed")))?;
        let place = Place::of(script, statement);
        Answer::start(runtime.handle(), self.database.clone(), statement, place, interrupt.map(Interrupt::begin))
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

    /// Merges the segments of a table, and removes what is deleted or too old.
    ///
    /// # Errors
    /// What the table says.
    pub fn compact(&self, name: &str) -> Outcome {
        let table = self.table(name)?;
        enforce_retention(&table).map_err(|error| failed(&error))?;
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
        let found = self.database.find_table(name).map_err(|error| failed(&error))?;
        found.ok_or_else(|| failed(&self.database.no_such_table(name)))
    }

    fn database(&self) -> &Database {
        &self.database
    }
}

/// The failure of opening the database in the directory `path`.
fn not_opened(path: &Path, error: &Error) -> Failure {
    if error.kind() == ErrorKind::NotFound && !path.join("FORMAT").exists() {
        let hint = "check the path; trodden import makes a database, and so does trodden sql --create";
        return Failure::Failed(told(error).with_hint(hint));
    }
    failed(error)
}

/// Drops what is older than the table keeps. This is the place that reads the clock.
#[allow(clippy::disallowed_methods, reason = "only the binary reads the clock")]
fn enforce_retention(table: &Table) -> Result<(), Error> {
    if table.options().retention_us.is_none() {
        return Ok(());
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
    Ok(table.enforce_retention(now_us)?)
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
