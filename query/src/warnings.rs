//! What one statement carries with it: warnings on its way, and the wish to stop.

use crate::error::{Error, ErrorKind, closest};
use datafusion::execution::config::SessionConfig;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use trodden_engine::table::Snapshot;

/// Something that is most likely a mistake, but no error: an event may come later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What looks wrong.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Stops statements that were started with it. Clones stop the same statements.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    inner: Arc<CancelInner>,
}

#[derive(Debug, Default)]
struct CancelInner {
    flag: AtomicBool,
    /// The flags of the statements that run with this token.
    statements: Mutex<Vec<Weak<AtomicBool>>>,
}

impl CancelToken {
    /// A token that nobody has pulled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stop. Statements that use this token end soon with an error of kind `Cancelled`.
    pub fn cancel(&self) {
        self.inner.flag.store(true, Ordering::Relaxed);
        for statement in self.inner.statements.lock().iter().filter_map(Weak::upgrade) {
            statement.store(true, Ordering::Relaxed);
        }
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.inner.flag.load(Ordering::Relaxed)
    }

    fn watch(&self, statement: &Arc<AtomicBool>) {
        let mut statements = self.inner.statements.lock();
        statements.retain(|other| other.strong_count() > 0);
        statements.push(Arc::downgrade(statement));
        statement.store(self.is_cancelled(), Ordering::Relaxed);
    }
}

/// The state of one running statement. Plans find it in the configuration of their session.
#[derive(Debug, Default)]
pub(crate) struct StatementState {
    warnings: Mutex<Vec<Warning>>,
    /// Set when the statement was cancelled, or nobody reads its answer any more.
    stopped: Arc<AtomicBool>,
}

impl StatementState {
    pub(crate) fn new(cancel: &CancelToken) -> Self {
        let state = Self::default();
        cancel.watch(&state.stopped);
        state
    }

    /// The state of the statement that `config` belongs to.
    pub(crate) fn of(config: &SessionConfig) -> Arc<Self> {
        config.get_extension::<Self>().unwrap_or_default()
    }

    pub(crate) fn warn(&self, warning: Warning) {
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub(crate) fn warnings(&self) -> Vec<Warning> {
        self.warnings.lock().clone()
    }

    /// The flag that scans look at.
    pub(crate) fn cancel_flag(&self) -> &AtomicBool {
        &self.stopped
    }

    /// Nobody reads the answer any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// `Cancelled` once the token was pulled, or nobody reads any more.
    pub(crate) fn check_cancelled(&self) -> Result<(), Error> {
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Cancelled, "the statement was cancelled")),
            false => Ok(()),
        }
    }
}

/// Names of events that occur in a snapshot.
pub(crate) fn known_events(snapshot: &Snapshot) -> BTreeSet<String> {
    let live = snapshot.shards.iter().flat_map(|shard| &shard.segments);
    live.flat_map(|live| live.segment.event_names().iter().map(|name| name.to_string())).collect()
}

/// Warn of each of `names` that no event of the snapshot has.
pub(crate) fn unknown_events(snapshot: &Snapshot, names: &[String], statement: &StatementState) {
    let live = || snapshot.shards.iter().flat_map(|shard| &shard.segments);
    let occurs = |name: &str| live().any(|live| live.segment.event_names().iter().any(|known| **known == *name));
    for name in names.iter().filter(|name| !occurs(name)) {
        let known = known_events(snapshot);
        if known.is_empty() {
            continue;
        }
        let near = closest(name, known.iter().map(String::as_str));
        statement.warn(Warning {
            message: format!("no event is called '{name}' in {}", snapshot.table),
            hint: near.map(|near| format!("did you mean '{near}'?")),
        });
    }
}
