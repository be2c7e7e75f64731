//! The embedded database: open it, put events in, ask.

use crate::error::{Error, ErrorKind, Result};
use crate::plan::cache::PlanCache;
use crate::plan::catalog::{Catalog, resolve};
use crate::plan::recommend::{LiveOptions, LiveState, LiveStates};
use crate::result::QueryResult;
use crate::retention::RetentionClock;
use crate::rules::{RuleBook, RuleSet};
use crate::run::Runner;
use crate::session::base_state;
use crate::sql::cache::ReadStatements;
use crate::sql::script::{self, RawStatement};
use crate::sql::statement::{self, Command};
use crate::tags::keeper::{KeptTags, TagKeeper};
use crate::tags::refresh::Refreshing;
use crate::warnings::{CancelToken, Warning};
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;
use trodden_engine::ingest::EventBatch;
use trodden_engine::profiles::ProfileBatch;
use trodden_engine::storage::MemoryStore;
use trodden_engine::table::Appended;
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{DatabaseOutline, Engine, EngineOptions, Table, TableOutline};

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads of a query. Default: one a core.
    pub threads: usize,
    /// Most memory that one query may use for its results on the way, in bytes. Above it the query fails with an error
    /// of kind `ResourceLimit`. Default: none.
    pub memory_limit_bytes: Option<usize>,
    /// What is kept between statements for RECOMMEND.
    pub live: LiveOptions,
    /// Settings of the storage engine.
    pub engine: EngineOptions,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, memory_limit_bytes: None, live: LiveOptions::default(), engine: EngineOptions::default() }
    }
}

/// How one statement is run.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    /// The values of `$1`, `$2`, ….
    pub parameters: Vec<ScalarValue>,
    /// Stops the statement from elsewhere.
    pub cancel: CancelToken,
    /// In place of [`Options::memory_limit_bytes`].
    pub memory_limit_bytes: Option<usize>,
}

/// A statement that was read, and can be run any number of times.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) command: Command,
    pub(crate) raw: RawStatement,
}

impl Statement {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.raw.text
    }
}

/// An open database. Clones are handles to the same one; the last one that goes closes it.
#[derive(Clone)]
pub struct Database {
    /// Before what it works on.
    _kept_tags: Arc<KeptTags>,
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) state: SessionState,
    pub(crate) live: Arc<LiveStates>,
    pub(crate) options: Options,
    /// Statements of `PREPARE`, by name.
    pub(crate) prepared: Mutex<HashMap<String, Statement>>,
    pub(crate) read: ReadStatements,
    pub(crate) plans: PlanCache,
    pub(crate) retention: RetentionClock,
    pub(crate) refreshing: Refreshing,
    pub(crate) rules: Arc<RuleBook>,
    pub(crate) tag_keeper: Arc<TagKeeper>,
    runtime: OnceLock<Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.live.close();
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Database {
    /// Open the database in the directory `path`, or make an empty one there.
    ///
    /// # Errors
    /// `Locked` while another process or handle has it; `UnsupportedFormat`, `ReadOnly`, `StorageFull`, `Corrupt`, `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// As [`Database::open`], with options.
    ///
    /// # Errors
    /// Those of [`Database::open`]; `NotFound` if there is none and it may not be made.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let engine = Engine::open(path.as_ref(), options.engine.clone())?;
        Ok(Self::of_engine(engine, options))
    }

    /// An empty database in memory. It is gone with its last handle.
    ///
    /// # Errors
    /// None in practice.
    pub fn in_memory(options: Options) -> Result<Self> {
        let engine = Engine::open_store(Arc::new(MemoryStore::default()), options.engine.clone())?;
        Ok(Self::of_engine(engine, options))
    }

    /// What an import has to know of the table that `name` means in the database in the directory `path`, which is not
    /// opened: nothing is written. `None` where there is no such table.
    ///
    /// # Errors
    /// `NotFound` where there is no database, `InvalidInput` for the name of a view, `UnsupportedFormat`, `Corrupt`, `Io`.
    pub fn outline(path: impl AsRef<Path>, name: &str) -> Result<Option<TableOutline>> {
        let DatabaseOutline { tables, definitions } = DatabaseOutline::read(path.as_ref())?;
        let names = tables.iter().map(|table| table.name.clone()).chain(definitions.iter().cloned());
        match resolve(name, names.collect()) {
            Some(found) if definitions.contains(&found) => Err(is_view(&found)),
            Some(found) => Ok(tables.into_iter().find(|table| table.name == found)),
            None => Ok(None),
        }
    }

    /// SQL over an engine that is open already.
    pub fn of_engine(engine: Engine, options: Options) -> Self {
        let options = Options { threads: options.threads.max(1), ..options };
        let catalog = Arc::new(Catalog::open(engine));
        let rules = Arc::new(RuleBook::open(&catalog.engine));
        let live = Arc::new(LiveStates::new(options.live));
        let state = base_state(&catalog, options.threads, Arc::clone(&live));
        let (prepared, read, plans, retention, refreshing, runtime) = Default::default();
        let tag_keeper: Arc<TagKeeper> = Arc::default();
        let _kept_tags = Arc::new(KeptTags(Arc::clone(&tag_keeper)));
        let shared = Shared {
            catalog,
            state,
            live,
            options,
            prepared,
            read,
            plans,
            retention,
            refreshing,
            rules,
            tag_keeper: Arc::clone(&tag_keeper),
            runtime,
        };
        let shared = Arc::new(shared);
        tag_keeper.open(&shared);
        Self { _kept_tags, shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The storage engine below.
    pub fn engine(&self) -> &Engine {
        &self.shared.catalog.engine
    }

    /// Most memory that one query may use, in bytes.
    pub fn memory_limit_bytes(&self) -> Option<usize> {
        self.shared.options.memory_limit_bytes
    }

    /// What is kept in memory for RECOMMEND, in use longest ago first.
    pub fn live_states(&self) -> Vec<LiveState> {
        self.shared.live.list()
    }

    /// Names of the event tables, sorted.
    pub fn tables(&self) -> Vec<String> {
        self.engine().tables()
    }

    /// Names of the views, sorted.
    pub fn views(&self) -> Vec<String> {
        self.shared.catalog.views.read().keys().cloned().collect()
    }

    /// Names of the events that occur in a table, sorted.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn event_names(&self, table: &str) -> Result<Vec<String>> {
        let snapshot = self.engine().table(table)?.snapshot();
        Ok(crate::warnings::known_events(&snapshot).into_iter().collect())
    }

    /// The table that `name` means: that of this name, or the only one that differs by case, as an unquoted name of SQL
    /// finds it. `None` where there is none.
    ///
    /// # Errors
    /// `InvalidInput` for the name of a view.
    pub fn find_table(&self, name: &str) -> Result<Option<Arc<Table>>> {
        let catalog = &self.shared.catalog;
        match catalog.resolve(name) {
            Some(found) if catalog.views.read().contains_key(&found) => Err(is_view(&found)),
            Some(found) => Ok(Some(self.engine().table(&found)?)),
            None => Ok(None),
        }
    }

    /// Make a table.
    ///
    /// # Errors
    /// `AlreadyExists` where a table or a view has the name, or one that differs only by case; `InvalidInput` for a name,
    /// a column or an option that cannot be; what the disk says.
    pub fn create_table(&self, name: &str, schema: Schema, options: TableOptions) -> Result<Arc<Table>> {
        self.shared.catalog.create_table(name, schema, options)
    }

    /// The error for a table that is not there, with the name that was probably meant.
    pub fn no_such_table(&self, name: &str) -> Error {
        self.shared.catalog.no_such_table(name)
    }

    /// Append events to a table; they are durable on return. Waits for the disk: in async code call it from a thread
    /// that may block.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`, and what the disk says.
    pub fn ingest(&self, table: &str, events: EventBatch) -> Result<Appended> {
        Ok(self.engine().table(table)?.append(events)?)
    }

    /// Update profiles of users of a table; durable on return, all or none. Waits for the disk: in async code call it from
    /// a thread that may block.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`, and what the disk says.
    pub fn upsert(&self, table: &str, updates: ProfileBatch) -> Result<Appended> {
        let table = self.engine().table(table)?;
        self.engine().profiles(&table)?;
        Ok(table.upsert(updates)?)
    }

    /// The rules by which events of a table are cleaned at the door, as they are now. None of this handle's own ways to put
    /// events in applies them.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn rules(&self, table: &str) -> Result<Arc<RuleSet>> {
        Ok(self.shared.rules.of(&*self.engine().table(table)?))
    }

    /// The rules of a table, and others on top, each a `CREATE RULE` statement, that nobody keeps.
    ///
    /// # Errors
    /// `NotFound`, and what is wrong with a statement, with its place.
    pub fn rules_with(&self, table: &str, statements: &[String]) -> Result<RuleSet> {
        self.shared.rules.trial(&*self.engine().table(table)?, statements)
    }

    /// Read a script: statements with semicolons between them. Nothing is run.
    ///
    /// # Errors
    /// `Syntax` with its place in `script`.
    pub fn parse(&self, script: &str) -> Result<Vec<Statement>> {
        let read = |mut raw: RawStatement| {
            let command = statement::parse(&mut raw)?;
            Ok(Statement { command, raw })
        };
        script::split(script)?.into_iter().map(read).collect()
    }

    /// As [`Database::parse`]; what was read of the last questions is kept.
    fn read(&self, script: &str) -> Result<Arc<[Statement]>> {
        if let Some(known) = self.shared.read.get(script) {
            return Ok(known);
        }
        let statements = self.parse(script)?.into();
        self.shared.read.put(script, &statements);
        Ok(statements)
    }

    /// Read one statement and check it against the tables as they are now. Run it with [`Database::run`].
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn prepare(&self, text: &str) -> Result<Statement> {
        let mut statements = self.parse(text)?;
        let Some(statement) = statements.pop().filter(|_| statements.is_empty()) else {
            return Err(Error::new(ErrorKind::Syntax, "one statement can be prepared at a time"));
        };
        Runner::new(&self.shared, QueryOptions::default()).check(&statement)?;
        Ok(statement)
    }

    /// Run a statement. All that it reads is as of now, however often a table is named and however long it takes.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub async fn run(&self, statement: &Statement, options: QueryOptions) -> Result<QueryResult> {
        Runner::new(&self.shared, options).run(statement).await
    }

    /// Run the statements of a script, one after the other, up to the first that fails. The answer is that of the last.
    ///
    /// # Errors
    /// The first error, with its place in the script. The statements before it have been run.
    pub async fn sql(&self, script: &str) -> Result<QueryResult> {
        self.sql_with(script, QueryOptions::default()).await
    }

    /// As [`Database::sql`], with parameters, a token to cancel, and a limit of memory.
    ///
    /// # Errors
    /// Those of [`Database::sql`], and `Cancelled`.
    pub async fn sql_with(&self, script: &str, options: QueryOptions) -> Result<QueryResult> {
        let statements = self.read(script)?;
        let Some((last, before)) = statements.split_last() else {
            return Err(Error::new(ErrorKind::Syntax, "there is no statement").with_hint("for example SHOW TABLES"));
        };
        for statement in before {
            self.run(statement, options.clone()).await?.collect().await?;
        }
        self.run(last, options).await
    }

    /// As [`Database::sql`], for programs without async: waits for all rows.
    ///
    /// # Errors
    /// Those of [`Database::sql`].
    ///
    /// # Panics
    /// When called from async code: use [`Database::sql`] there.
    pub fn query_blocking(&self, script: &str) -> Result<Answer> {
        self.query_blocking_with(script, QueryOptions::default())
    }

    /// As [`Database::query_blocking`], with options.
    ///
    /// # Errors
    /// Those of [`Database::sql_with`].
    ///
    /// # Panics
    /// When called from async code: use [`Database::sql_with`] there.
    pub fn query_blocking_with(&self, script: &str, options: QueryOptions) -> Result<Answer> {
        let state = &self.shared;
        let runtime = match state.runtime.get() {
            Some(runtime) => runtime,
            None => {
                let made = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(state.options.threads)
                    .thread_name("trodden-query")
                    .enable_all()
                    .build()
                    .map_err(|error| Error::new(ErrorKind::Io, format!("starting threads: {error}")))?;
                state.runtime.get_or_init(|| made)
            }
        };
        runtime.block_on(async {
            let mut result = self.sql_with(script, options).await?;
            let schema = result.schema();
            let mut batches = Vec::new();
            while let Some(batch) = result.next().await? {
                batches.push(batch);
            }
            Ok(Answer { schema, batches, warnings: result.warnings() })
        })
    }
}

fn is_view(name: &str) -> Error {
    Error::invalid(format!("'{name}' is a view, not a table")).with_hint("give the name of a table, or another one")
}

/// All rows of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The columns.
    pub schema: datafusion::arrow::datatypes::SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// What looks like a mistake.
    pub warnings: Vec<Warning>,
}

impl Answer {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// As a table of text.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table =
            datafusion::arrow::util::pretty::pretty_format_batches_with_schema(Arc::clone(&self.schema), &self.batches);
        match table {
            Ok(table) => write!(f, "{table}"),
            Err(_) => Err(fmt::Error),
        }
    }
}
