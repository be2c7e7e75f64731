//! Imports: pieces of batches wait in a temporary file until the commit, which stores all of them or nothing.

use super::caller::caller;
use super::spool::Spool;
use super::status::to_status;
use crate::access::Role;
use crate::backend::{after_import, open_for_import};
use crate::import_wire::{fingerprints_from_wire, options_from_wire, table_to_wire};
use crate::serve::App;
use crate::watch::metrics;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status, Streaming};
use trodden_proto::v1 as wire;
use trodden_proto::v1::import_request::Step;
use trodden_proto::v1::import_service_server::ImportService;
use trodden_query::engine::error::Result as EngineResult;
use trodden_query::engine::stop::{self, Stop};
use trodden_query::engine::table::Appended;
use trodden_query::engine::types::TableOptions;
use trodden_query::engine::{Import, Imported};
use trodden_query::{Database, Error, ErrorKind, Result};

/// How often who waits for another import looks whether its caller is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The service.
pub(super) struct Imports {
    app: Arc<App>,
    /// Held by the one that is stored: a table takes one import at a time, and each uses all threads.
    turn: Arc<Mutex<()>>,
}

impl Imports {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, turn: Arc::default() }
    }
}

#[tonic::async_trait]
impl ImportService for Imports {
    async fn describe_import(
        &self,
        request: Request<wire::DescribeImportRequest>,
    ) -> std::result::Result<Response<wire::DescribeImportResponse>, Status> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        let found = self.app.database.find_table(&request.into_inner().table);
        let found = found.map_err(|error| to_status(&error, ""))?;
        Ok(Response::new(wire::DescribeImportResponse { table: found.map(|table| table_to_wire(&table)) }))
    }

    async fn import(
        &self,
        request: Request<Streaming<wire::ImportRequest>>,
    ) -> std::result::Result<Response<wire::ImportResponse>, Status> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        let began = Instant::now();
        let mut steps = request.into_inner();
        let first = steps.message().await?.and_then(|request| request.step);
        let Some(Step::Begin(begin)) = first else {
            return Err(Status::invalid_argument("an import starts with its beginning"));
        };
        let begun = Begun::of(begin).map_err(|error| to_status(&error, ""))?;
        begun.check(&self.app.database).map_err(|error| to_status(&error, ""))?;
        let app = Arc::clone(&self.app);
        let spool = blocking(move || Ok(Spool::new(app.database.engine().scratch()?))).await?;
        let spool = receive(&mut steps, spool).await?;
        // Set when the caller is gone: this future is dropped then.
        let gone = Gone::default();
        let (app, turn, stopped) = (Arc::clone(&self.app), Arc::clone(&self.turn), Arc::clone(&gone.0));
        let committed = blocking(move || {
            let stop: Stop<'_> = &|| stopped.load(Ordering::Relaxed);
            let _turn = take_turn(&turn, stop)?;
            begun.commit(&app, &spool, stop, began)
        });
        committed.await.map(Response::new)
    }
}

/// Keep the pieces that come before the commit.
async fn receive(steps: &mut Streaming<wire::ImportRequest>, mut spool: Spool) -> std::result::Result<Spool, Status> {
    loop {
        match steps.message().await?.map(|request| request.step) {
            Some(Some(Step::Piece(piece))) => {
                spool = blocking(move || {
                    spool.take(&piece)?;
                    Ok(spool)
                })
                .await?;
            }
            Some(Some(Step::Commit(commit))) => {
                spool.check(commit.batches).map_err(|error| to_status(&error.into(), ""))?;
                return Ok(spool);
            }
            Some(_) => return Err(Status::invalid_argument("this step cannot follow the beginning of an import")),
            None => return Err(Status::invalid_argument("the import ended without a commit; nothing is stored")),
        }
    }
}

/// Wait until no other import is being stored.
fn take_turn<'a>(turn: &'a Mutex<()>, stop: Stop<'_>) -> Result<MutexGuard<'a, ()>> {
    loop {
        if let Some(turn) = turn.try_lock_for(LOOK_EVERY) {
            return Ok(turn);
        }
        stop::check(stop)?;
    }
}

/// Do what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> std::result::Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| Status::internal("the work broke off"))?;
    done.map_err(|error| to_status(&error, ""))
}

/// Tells work that its caller is gone.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The beginning of an import.
struct Begun {
    table: String,
    options: TableOptions,
    fingerprints: Vec<u128>,
}

impl Begun {
    fn of(begin: wire::BeginImport) -> Result<Self> {
        Ok(Self {
            options: options_from_wire(begin.new_table.as_ref())?,
            fingerprints: fingerprints_from_wire(&begin.fingerprints)?,
            table: begin.table,
        })
    }

    /// Tells early what the commit would tell.
    fn check(&self, database: &Database) -> Result<()> {
        let Some(table) = database.find_table(&self.table)? else {
            return Ok(trodden_query::engine::engine::check_table(&self.table, &Default::default(), &self.options)?);
        };
        match self.fingerprints.iter().any(|fingerprint| table.is_imported(*fingerprint)) {
            true => {
                let message = format!("table '{}' has one of these files already", table.name());
                Err(Error::new(ErrorKind::AlreadyExists, message).with_hint("nothing was imported again"))
            }
            false => Ok(()),
        }
    }

    /// Stores all that was sent, or nothing.
    fn commit(&self, app: &App, spool: &Spool, stop: Stop<'_>, began: Instant) -> Result<wire::ImportResponse> {
        let database = &app.database;
        let (table, is_new) = open_for_import(database, &self.table, &self.options)?;
        let is_first = is_new || (self.options.strict && table.is_untouched());
        let name = table.name().to_owned();
        let store = || -> EngineResult<Imported> {
            let import = match is_first {
                true => table.begin_first_import(&self.fingerprints)?,
                false => table.begin_import(&self.fingerprints)?,
            };
            push(&import, spool, stop)?;
            import.commit_unless(stop)
        };
        let stored = store();
        let accepted = stored.as_ref().map_or(0, |stored| stored.accepted);
        let after =
            after_import(database, &table, is_new, accepted, |table| Ok(table.enforce_retention(app.clock.now_us())?));
        let Imported { accepted, duplicates, segments, bytes, .. } = stored?;
        metrics::ingested("import", &name, Appended { accepted, duplicates }, began);
        tracing::info!(table = name, events = accepted, duplicates, "files were imported");
        Ok(wire::ImportResponse {
            accepted,
            duplicates,
            segments,
            segment_bytes: bytes,
            warnings: after.err().into_iter().collect(),
        })
    }
}

/// Give the batches to the import, on all threads.
fn push(import: &Import, spool: &Spool, stop: Stop<'_>) -> EngineResult<()> {
    let next = AtomicU64::new(0);
    let work = || -> EngineResult<()> {
        loop {
            let sequence = next.fetch_add(1, Ordering::Relaxed);
            if sequence >= spool.len() {
                return Ok(());
            }
            stop::check(stop)?;
            import.push(sequence, spool.batch(sequence)?)?;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let broke_off = |_| Err(trodden_query::engine::error::Error::invalid("a batch could not be read"));
        // All of them, so that a panic of one is told like an error.
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(broke_off)).fold(Ok(()), Result::and)
    })
}
