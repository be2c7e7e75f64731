//! The database as the commands use it: the only folder that knows how statements are run and where errors come from.

mod answer;
mod backup;
mod check;
mod describe;
mod import;
mod remote_import;
mod place;

pub use answer::Answer;
pub use check::{Checked, check};
pub use import::{Imported, NewTable, import_failed, import_trial};
pub(crate) use import::{after_import, open_for_import};

use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::memory;
use crate::report::Report;
pub(crate) use place::failed;
use place::{Place, told};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use trodden_client::{CallError, Client, ConnectOptions, wire};
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

/// Where statements are run.
#[derive(Clone)]
enum Source {
    /// A database that this process has open.
    Local(Database),
    /// A server.
    Remote(Client),
}

/// A database, open here or at a server, and the threads on which its queries run or are waited for.
pub struct Backend {
    source: Source,
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
        let backend = Self { source: Source::Local(database), runtime: Some(runtime) };
        for table in backend.table_names()? {
            enforce_retention(&*backend.table(&table)?).map_err(|error| failed(&error))?;
        }
        Ok(backend)
    }

    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// It cannot be reached, or does not let us in.
    pub fn connect(url: &str, options: ConnectOptions) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("trodden-client")
            .enable_all()
            .build()
            .map_err(|error| Failure::io("starting threads", &error))?;
        let client = runtime.block_on(Client::connect(url, options)).map_err(|error| failed(&error))?;
        Ok(Self { source: Source::Remote(client), runtime: Some(runtime) })
    }

    /// Starts `statement`, a part of `script`, in which errors are shown. Ctrl-C, where it is watched for, ends it.
    ///
    /// # Errors
    /// What is wrong with the statement, with its place.
    pub fn run(&self, script: &str, statement: &str, interrupt: Option<&Interrupt>) -> Outcome<Answer> {
        let runtime = self.runtime.as_ref().ok_or_else(closed)?;
        let place = Place::of(script, statement);
        Answer::start(runtime.handle(), self.source.clone(), statement, place, interrupt.map(Interrupt::begin))
    }

    /// Names of the tables, sorted.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn table_names(&self) -> Outcome<Vec<String>> {
        match &self.source {
            Source::Local(database) => Ok(database.tables()),
            Source::Remote(client) => Ok(self.ask(client.tables())?.into_iter().map(|table| table.name).collect()),
        }
    }

    /// Names of the tables and views as lines of text.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn tables(&self) -> Outcome<String> {
        let views = match &self.source {
            Source::Local(database) => database.views(),
            // A server lists its tables alone; SHOW TABLES has the views, too.
            Source::Remote(_) => Vec::new(),
        };
        let views = views.into_iter().map(|view| format!("{view} (view)"));
        Ok(self.table_names()?.into_iter().chain(views).collect::<Vec<_>>().join("\n"))
    }

    /// Columns, types and options of `table`, or of all tables, as lines of text.
    ///
    /// # Errors
    /// There is no such table, or the server does not answer.
    pub fn schema(&self, table: Option<&str>) -> Outcome<String> {
        let described = match &self.source {
            Source::Local(database) => describe::local(database, table)?,
            Source::Remote(client) => {
                let tables = self.ask(client.tables())?;
                describe::remote(tables, table)?
            }
        };
        Ok(described)
    }

    /// Names for completion.
    pub fn names(&self) -> Arc<dyn Names> {
        match &self.source {
            Source::Local(database) => Arc::new(LiveNames(database.clone())),
            // As they are now: a Tab must not wait for a network.
            Source::Remote(client) => Arc::new(FetchedNames(self.ask(client.tables()).unwrap_or_default())),
        }
    }

    /// Waits for what a server says.
    fn ask<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Outcome<T> {
        let runtime = self.runtime.as_ref().ok_or_else(closed)?;
        runtime.block_on(call).map_err(|error| failed(&error))
    }

    /// Merges the segments of a table, and removes what is deleted or too old. Its size before and after, in bytes.
    ///
    /// # Errors
    /// What the table or the server says.
    pub fn compact(&self, name: &str) -> Outcome<(u64, u64)> {
        if let Source::Remote(client) = &self.source {
            let wire::CompactResponse { disk_bytes_before, disk_bytes_after } = self.ask(client.compact(Some(name)))?;
            return Ok((disk_bytes_before, disk_bytes_after));
        }
        let before = self.size_on_disk(name)?;
        let table = self.table(name)?;
        enforce_retention(&table).map_err(|error| failed(&error))?;
        table.compact(true).map_err(|error| failed(&Error::from(error)))?;
        Ok((before, self.size_on_disk(name)?))
    }

    /// Bytes that a table takes on disk.
    ///
    /// # Errors
    /// What the table says.
    pub fn size_on_disk(&self, name: &str) -> Outcome<u64> {
        if let Source::Remote(client) = &self.source {
            let tables = self.ask(client.tables())?;
            let table = tables.into_iter().find(|table| table.name.eq_ignore_ascii_case(name));
            return Ok(table.map_or(0, |table| table.disk_bytes));
        }
        self.table(name)?.size_on_disk().map_err(|error| failed(&Error::from(error)))
    }

    fn table(&self, name: &str) -> Outcome<Arc<Table>> {
        let database = self.database()?;
        let found = database.find_table(name).map_err(|error| failed(&error))?;
        found.ok_or_else(|| failed(&database.no_such_table(name)))
    }

    /// The database, where it is open here.
    fn database(&self) -> Outcome<&Database> {
        match &self.source {
            Source::Local(database) => Ok(database),
            Source::Remote(_) => {
                Err(Failure::usage("a server does not do this for its clients", "stop it, and use --db"))
            }
        }
    }
}

fn closed() -> Failure {
    Failure::Failed(Report::error("the database is closed"))
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

/// The names that a server had when it was asked.
struct FetchedNames(Vec<wire::Table>);

impl Names for FetchedNames {
    fn tables(&self) -> Vec<String> {
        self.0.iter().map(|table| table.name.clone()).collect()
    }

    fn columns(&self) -> Vec<String> {
        let columns = self.0.iter().flat_map(|table| &table.columns).map(|column| column.name.clone());
        columns.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn events(&self) -> Vec<String> {
        Vec::new()
    }
}
