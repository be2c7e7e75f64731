//! The thread that refreshes tags with `REFRESH EVERY` when they are due. It is started by the first such tag, and ends
//! with the database.

use super::refresh::refresh;
use crate::database::{QueryOptions, Shared};
use crate::run::Runner;
use crate::warnings::CancelToken;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use trodden_engine::table::Table;

/// Between two looks: tags are due by the second.
const TICK: Duration = Duration::from_secs(1);

/// The thread, once it is started, and whether it has to end.
#[derive(Debug, Default)]
pub(crate) struct TagKeeper {
    database: OnceLock<Weak<Shared>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_closed: AtomicBool,
    /// Stops a refresh that is under way.
    cancel: CancelToken,
}

impl TagKeeper {
    /// Say which database it keeps the tags of, and start if any of them is to be refreshed.
    pub(crate) fn open(self: &Arc<Self>, database: &Arc<Shared>) {
        let is_first = self.database.set(Arc::downgrade(database)).is_ok();
        let engine = &database.catalog.engine;
        let tables: Vec<Arc<Table>> = engine.tables().iter().filter_map(|name| engine.table(name).ok()).collect();
        if is_first && tables.iter().any(|table| has_any(table)) {
            self.start();
        }
    }

    /// Start the thread, if it does not run.
    pub(crate) fn start(self: &Arc<Self>) {
        let mut thread = self.thread.lock();
        if thread.is_some() || self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        let keeper = Arc::clone(self);
        match std::thread::Builder::new().name("trodden-tags".into()).spawn(move || keeper.keep()) {
            Ok(started) => *thread = Some(started),
            Err(error) => tracing::warn!(%error, "no thread for tags: they are refreshed by REFRESH TAG only"),
        }
    }

    /// End the thread, and wait for it.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.cancel.cancel();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            thread.thread().unpark();
            // A panic there was told to the log of the process.
            drop(thread.join());
        }
    }

    fn keep(&self) {
        let mut runtime = None;
        loop {
            std::thread::park_timeout(TICK);
            if self.is_closed.load(Ordering::Relaxed) {
                return;
            }
            let Some(database) = self.database.get().and_then(Weak::upgrade) else { return };
            let engine = &database.catalog.engine;
            for name in engine.tables() {
                // A table may be dropped meanwhile.
                let Ok(table) = engine.table(&name) else { continue };
                if has_any(&table) {
                    self.refresh_due(&database, &table, &mut runtime);
                }
            }
        }
    }

    /// Refresh what is due.
    fn refresh_due(&self, database: &Shared, table: &Arc<Table>, runtime: &mut Option<Runtime>) {
        let runner = Runner::new(database, QueryOptions { cancel: self.cancel.clone(), ..QueryOptions::default() });
        let due = due_tags(database, table, runner.clock_us());
        if due.is_empty() {
            return;
        }
        if runtime.is_none() {
            *runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        }
        let Some(runtime) = runtime else { return };
        match runtime.block_on(refresh(&runner, table, &due)) {
            Ok(rows) => {
                for row in rows.iter().filter(|row| row.error.is_some()) {
                    let error = row.error.as_deref().unwrap_or_default();
                    tracing::warn!(table = row.table, tag = row.tag, error, "a tag could not be refreshed, and stays");
                }
            }
            Err(_) if self.is_closed.load(Ordering::Relaxed) => {}
            Err(error) => tracing::warn!(table = table.name(), %error, "tags could not be refreshed, and stay"),
        }
    }
}

fn has_any(table: &Table) -> bool {
    table.snapshot().tags().iter().any(|tag| tag.info().every_us.is_some())
}

/// The tags of a table that are due at `now_us`. After a failure as much time passes as after a success.
fn due_tags(database: &Shared, table: &Table, now_us: i64) -> Vec<String> {
    let snapshot = table.snapshot();
    let is_due = |tag: &trodden_engine::tags::Tag| {
        let Some(every_us) = tag.info().every_us else { return false };
        let failed_at = database.refreshing.failure(snapshot.id, tag).map_or(i64::MIN, |failure| failure.at_us);
        now_us.saturating_sub(tag.info().refreshed_at_us.max(failed_at)) >= every_us
    };
    snapshot.tags().iter().filter(is_due).map(|tag| tag.info().name.clone()).collect()
}

/// Held by the handles of a database: the last one that goes ends the thread, before the database is closed.
#[derive(Debug)]
pub(crate) struct KeptTags(pub(crate) Arc<TagKeeper>);

impl Drop for KeptTags {
    fn drop(&mut self) {
        self.0.close();
    }
}
