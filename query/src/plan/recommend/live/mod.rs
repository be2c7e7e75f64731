//! State that is kept from one statement to the next: [`source`] says which events it is about and reads them, [`kept`]
//! brings it to the moment of a statement, [`models`] are what algorithms learned from it.
//!
//! It is derived: dropped, it is read again with the same answers. A question for one user, item or basket is answered
//! from it.

mod kept;
mod models;
mod source;

pub(crate) use kept::Brought;

use super::state::State;
use crate::behavior::recommend::{Model, RecommendSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::operator::Ask;
use datafusion::execution::config::SessionConfig;
use kept::Kept;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use source::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The kept states of a database.
#[derive(Debug)]
pub(crate) struct LiveStates {
    /// Most memory of all of them, in bytes.
    limit_bytes: usize,
    /// The last one that was asked at the end.
    states: Mutex<Vec<Arc<Live>>>,
}

/// A kept state that questions share.
#[derive(Debug)]
struct Live {
    source: Source,
    /// `None` before it was read, and after an error.
    kept: RwLock<Option<Kept>>,
    /// Its memory when that was looked at last, in bytes.
    bytes: AtomicUsize,
    /// Rows of the table at which it was too large; 0: it was not.
    too_large_at: AtomicUsize,
}

/// What a question is answered from.
pub(super) struct Question<'a> {
    pub(super) state: &'a State,
    kept: &'a Kept,
    threads: usize,
}

impl Question<'_> {
    /// The model for the question.
    ///
    /// # Errors
    /// Those of [`Model::fit`].
    pub(super) fn model(&self, spec: &RecommendSpec) -> Result<Arc<Model>> {
        self.kept.models.get(&self.state.interactions, self.state.items.ranks(), spec, self.threads)
    }
}

impl LiveStates {
    /// No states; `limit_bytes` is the most memory that they may take together.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, states: Mutex::default() }
    }

    /// Those of the database that a session belongs to.
    pub(crate) fn of(config: &SessionConfig) -> Arc<Self> {
        config.get_extension::<Self>().unwrap_or_else(|| Arc::new(Self::new(0)))
    }

    /// Answers a question from the state of its events, at the moment of its snapshot. `None` where there is no such state,
    /// and the events have to be read for this question alone.
    ///
    /// # Errors
    /// Those of reading and of `answer`; `Cancelled`.
    pub(super) fn ask<T>(
        &self,
        ask: &Ask<'_>,
        kinds: usize,
        candidates: bool,
        answer: impl FnOnce(&Question<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(live) = self.live(ask, kinds, candidates) else { return Ok(None) };
        let rows = ask.snapshot.rows() as usize;
        let too_large_at = live.too_large_at.load(Ordering::Relaxed);
        if too_large_at != 0 && rows >= too_large_at {
            return Ok(None);
        }
        let snapshot = ask.snapshot;
        let read = live.kept.read();
        let read = match read.as_ref().is_some_and(|kept| kept.is_at(snapshot)) {
            true => read,
            false => {
                drop(read);
                let mut kept = live.kept.write();
                match self.bring(&live, &mut kept, ask) {
                    Ok(true) => RwLockWriteGuard::downgrade(kept),
                    Ok(false) => return Ok(None),
                    Err(error) if error.kind() == ErrorKind::ResourceLimit => {
                        live.too_large_at.store(rows.max(1), Ordering::Relaxed);
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let Some(kept) = read.as_ref() else { return Ok(None) };
        answer(&Question { state: &kept.state, kept, threads: ask.threads }).map(Some)
    }

    /// The state of the events of a question, read or not.
    fn live(&self, ask: &Ask<'_>, kinds: usize, candidates: bool) -> Option<Arc<Live>> {
        let source = Source::new(ask, kinds, candidates, self.limit_bytes)?;
        let mut states = self.states.lock();
        let known = states.iter().position(|live| live.source.table == source.table && live.source.key == source.key);
        let live = match known {
            Some(place) => states.remove(place),
            None => Arc::new(Live {
                source,
                kept: RwLock::default(),
                bytes: AtomicUsize::new(0),
                too_large_at: AtomicUsize::new(0),
            }),
        };
        states.push(Arc::clone(&live));
        Some(live)
    }

    /// Brings a state to the moment of a question; false where that is not possible.
    fn bring(&self, live: &Live, kept: &mut Option<Kept>, ask: &Ask<'_>) -> Result<bool> {
        let cancel = ask.statement.cancel_flag();
        // What an error leaves behind is of no use.
        let (brought, now) = match kept.take() {
            None => (Brought::Rebuilt, Kept::read(&live.source, ask.snapshot, cancel)?),
            Some(mut now) => match now.bring_to(&live.source, ask.snapshot, cancel)? {
                Some(brought) => (brought, now),
                None => {
                    *kept = Some(now);
                    return Ok(false);
                }
            },
        };
        tracing::debug!(
            table = live.source.table_name,
            ?brought,
            "the kept state of recommendations was brought forward"
        );
        if matches!(brought, Brought::Rebuilt | Brought::Reread(_)) {
            live.bytes.store(now.heap_bytes(), Ordering::Relaxed);
        }
        *kept = Some(now);
        self.make_room(live, kept)?;
        Ok(true)
    }

    /// Drops the states that were asked longest ago until the rest fits; `live` itself with an error if it alone does not.
    fn make_room(&self, live: &Live, kept: &mut Option<Kept>) -> Result<()> {
        let mut states = self.states.lock();
        let mut total: usize = states.iter().map(|live| live.bytes.load(Ordering::Relaxed)).sum();
        states.retain(|other| {
            let bytes = other.bytes.load(Ordering::Relaxed);
            let goes = total > self.limit_bytes && bytes > 0 && !std::ptr::eq(other.as_ref(), live);
            total -= if goes { bytes } else { 0 };
            !goes
        });
        if total > self.limit_bytes {
            live.bytes.store(0, Ordering::Relaxed);
            *kept = None;
            return Err(Error::new(ErrorKind::ResourceLimit, "too many events to be kept"));
        }
        Ok(())
    }
}
