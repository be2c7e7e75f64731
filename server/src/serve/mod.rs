//! The server: opens the database, its doors and ports, and closes them in order.

mod app;
mod clock;
mod health;
mod kept;
mod listener;
mod notify;
mod queries;
mod tls;

pub use app::App;
pub use clock::Clock;
pub use health::Health;
pub use kept::{IDLE_US, KEPT_MAX, Kept, Owner};
pub use queries::{Queries, Running};

use crate::access::Access;
use crate::backend::failed as database_failed;
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::memory;
use crate::report::Report;
use crate::terminal::Terminal;
use crate::watch::{log, metrics};
use crate::{grpc, http};
use listener::{Bound, Port};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use trodden_query::{Database, Options};

/// How long the end of the process waits for threads that still compute.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or Ctrl-C, and then until what is under way has ended.
///
/// # Errors
/// A configuration that cannot be, a database that cannot be opened, an address that is taken.
pub fn serve(config: Config, terminal: &Terminal) -> Outcome {
    config.check()?;
    let config = Arc::new(config);
    let failed = |error: std::io::Error| Failure::io("starting threads", &error);
    let doors = Builder::new_multi_thread().thread_name("trodden-door").enable_all().build().map_err(failed)?;
    let threads = match config.database.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    };
    let computing = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("trodden-query")
        .enable_all()
        .build()
        .map_err(failed)?;
    let outcome = doors.block_on(run(config, threads, &computing, terminal));
    // A statement that was cancelled may still compute; nothing waits for its answer.
    computing.shutdown_timeout(PATIENCE);
    doors.shutdown_timeout(PATIENCE);
    outcome
}

async fn run(config: Arc<Config>, threads: usize, computing: &Runtime, terminal: &Terminal) -> Outcome {
    let watching = log::begin(&config)?;
    let clock = Clock;
    metrics::install(clock.now_us());
    // Bound first: whether the addresses are free is known before a large database is opened.
    let grpc_port = Bound::bind(Port::Grpc, config.grpc.listen, &config).await?;
    let http_port = Bound::bind(Port::Http, config.http.listen, &config).await?;
    let addresses = (grpc_port.address(), http_port.address());
    let database = open(&config, threads)?;
    let access = Access::open(database.clone(), config.access.required).map_err(|error| database_failed(&error))?;
    if config.access.required && access.list().is_empty() {
        tracing::warn!("there is no key yet, so nobody can come in; make one with: trodden keys create");
    }
    let queries = Queries::new(computing, config.limits.queries_max as usize);
    let app = Arc::new(App::new(database, access, queries, Arc::clone(&config), clock));
    let health = health::Health::new();
    let grpc_router = grpc::router(&app, &health).await?;
    let http_router = http::router(Arc::clone(&app)).merge(health::router(&app, &health));
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn({
        let (config, stopping) = (Arc::clone(&config), stopping.clone());
        async move {
            let grpc = grpc_port.serve(grpc_router, Arc::clone(&config), stopping.clone());
            tokio::join!(grpc, http_port.serve(http_router, config, stopping));
        }
    });
    health.ready().await;
    announce(&config, addresses, terminal);
    notify::ready();
    wait_for_signal().await?;
    tracing::info!("stopping: no new connections, waiting for what is under way");
    notify::stopping();
    health.stopping().await;
    let _ = stop.send(true);
    if tokio::time::timeout(config.limits.stop_timeout(), serving).await.is_err() {
        tracing::warn!("some requests did not end in limits.stop_timeout_s, and were broken off");
    }
    close(app).await?;
    tracing::info!("stopped");
    drop(watching);
    Ok(())
}

/// Opens the database, and makes it where there is none.
fn open(config: &Config, threads: usize) -> Outcome<Database> {
    let mut options = Options { threads, ..Options::default() };
    options.engine.create_if_missing = true;
    options.engine.threads = threads;
    let in_memory = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    options.memory_limit_bytes = config.memory_limit_bytes().or_else(memory::default_limit).map(in_memory);
    if let Some(bytes) = config.recommend_memory_bytes() {
        options.live.limit_bytes = in_memory(bytes);
    }
    let path = &config.database.path;
    tokio::task::block_in_place(|| Database::open_with(path, options)).map_err(|error| database_failed(&error))
}

/// Writes what is in memory to segments, so that the next start has little to read again.
async fn close(app: Arc<App>) -> Outcome {
    let database = app.database.clone();
    drop(app);
    let flushed = tokio::task::spawn_blocking(move || database.engine().flush()).await;
    match flushed {
        Ok(Ok(())) => Ok(()),
        // All that was acknowledged is in the log.
        Ok(Err(error)) => {
            tracing::warn!(%error, "what is in memory stays in the log, and the next start reads it from there");
            Ok(())
        }
        Err(error) => Err(Failure::Failed(Report::error(format!("closing the database: {error}")))),
    }
}

async fn wait_for_signal() -> Outcome {
    let failed = |error: std::io::Error| Failure::io("watching for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Tells where the server is, in the log, and to a person who started it at a terminal.
fn announce(config: &Config, (grpc, http): (Option<SocketAddr>, Option<SocketAddr>), terminal: &Terminal) {
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let (grpc, http) = (text(grpc), text(http));
    let database = config.database.path.display();
    tracing::info!(%database, %grpc, %http, tls = config.tls.is_on(), keys = config.access.required, "ready");
    if terminal.stderr {
        let s = if config.tls.is_on() { "s" } else { "" };
        eprintln!(
            "\nEvents:   curl http{s}://{http}/v1/events -d '{{\"user_id\": \"ada\", \"event\": \"hello\"}}'\n\
             Ask:      trodden sql --url http{s}://{grpc} -c \"SELECT * FROM {}\"\nStop:     Ctrl-C\n",
            config.http.table
        );
    }
}
