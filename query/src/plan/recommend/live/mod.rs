//! State that is kept from one statement to the next: [`source`] says which events it is about and reads them, [`kept`]
//! brings it to the moment of a statement, [`models`] are what algorithms learned from it, [`file`] is how it survives the
//! end of the process, and [`keeper`] does what need not wait for a statement: among it, finding neighbours that are [`cold`].
//!
//! It is derived: dropped, it is read again with the same answers. A question for one user, item or basket is answered
//! from it.

mod cold;
mod file;
mod keeper;
mod kept;
mod models;
mod source;

use super::state::State;
use crate::behavior::recommend::{Effort, Model, RecommendSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::operator::Ask;
use cold::Cold;
use datafusion::execution::config::SessionConfig;
use keeper::{Keeper, Saved};
use kept::{Brought, Kept};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use source::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use trodden_engine::table::{Snapshot, TableHandle};

/// A question about everything at once is answered from a state of so many interactions at most: while it looks at the
/// state nothing can be added to that, for a few tenths of a second then.
pub(super) const OF_EVERYTHING_MAX: usize = 2_000_000;

/// How much is kept between statements for RECOMMEND.
#[derive(Debug, Clone, Copy)]
pub struct LiveOptions {
    /// Most memory of all kept states, in bytes; with 0 nothing is kept. A question whose state does not fit reads all
    /// events. Default: 2 GiB.
    pub limit_bytes: usize,
    /// A model that takes long to learn (`ease`, `als`) answers for this long after events came that it has not seen; then
    /// it is learned again beside the questions. With zero it is learned again before the question is answered. Default: a
    /// minute.
    pub refresh_after: Duration,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { limit_bytes: 2 << 30, refresh_after: Duration::from_secs(60) }
    }
}

/// A kept state, as `SHOW RECOMMENDERS` tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveState {
    /// The table.
    pub table: String,
    /// The conditions of the events and the column of the item, written out.
    pub source: String,
    /// Events with an item that count.
    pub interactions: usize,
    /// Items with a code.
    pub items: usize,
    /// Its memory, in bytes, with its models.
    pub memory_bytes: usize,
    /// The last record of the table's log that it has.
    pub position: u64,
    /// How it came to the last question.
    pub brought: String,
    /// What was learned from it.
    pub models: Vec<LiveModel>,
}

/// A model that was learned from a kept state.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveModel {
    /// The algorithm, as `using` names it.
    pub using: &'static str,
    /// How long ago it was learned.
    pub age: Duration,
    /// Its memory, in bytes.
    pub memory_bytes: usize,
}

/// The kept states of a database.
#[derive(Debug)]
pub(crate) struct LiveStates {
    options: LiveOptions,
    /// The last one that was asked at the end.
    states: Mutex<Vec<Arc<Live>>>,
    keeper: Keeper,
}

/// A kept state that questions share.
#[derive(Debug)]
struct Live {
    source: Source,
    table: TableHandle,
    /// Name of its file.
    file: String,
    /// `None` before it was read, and after an error.
    kept: RwLock<Option<Kept>>,
    saved: Mutex<Option<Saved>>,
    /// When it was asked last.
    asked: Mutex<Instant>,
    cold: Mutex<Cold>,
    /// Its memory when that was looked at last, in bytes.
    bytes: AtomicUsize,
    /// The number of its interactions then.
    interactions: AtomicUsize,
    /// The same of its models, in bytes.
    model_bytes: AtomicUsize,
    brought: Mutex<Option<Brought>>,
    /// Rows of the table at which it was too large; 0: it was not.
    too_large_at: AtomicUsize,
}

/// What a question is answered from.
pub(super) struct Question<'a> {
    pub(super) state: &'a State,
    kept: &'a Kept,
    refresh_after: Duration,
}

impl Question<'_> {
    /// The model for the question.
    ///
    /// # Errors
    /// Those of [`Model::fit`].
    pub(super) fn model(&self, spec: &RecommendSpec, effort: &Effort<'_>) -> Result<Arc<Model>> {
        let (interactions, ranks) = (&self.state.interactions, self.state.items.ranks());
        self.kept.models.get(interactions, ranks, spec, effort, self.refresh_after)
    }
}

impl LiveStates {
    /// No states.
    pub(crate) fn new(options: LiveOptions) -> Self {
        Self { options, states: Mutex::default(), keeper: Keeper::default() }
    }

    /// Those of the database that a session belongs to.
    pub(crate) fn of(config: &SessionConfig) -> Arc<Self> {
        let none = LiveOptions { limit_bytes: 0, ..LiveOptions::default() };
        config.get_extension::<Self>().unwrap_or_else(|| Arc::new(Self::new(none)))
    }

    /// The states that are there now, those in use longest ago first.
    pub(crate) fn list(&self) -> Vec<LiveState> {
        let states = self.states.lock().clone();
        states.iter().filter_map(|live| live.describe()).collect()
    }

    /// Answers a question from the state of its events, at the moment of its snapshot. `None` where there is no such state, or
    /// one of more than `most` interactions, and the events have to be read for this question alone.
    ///
    /// # Errors
    /// Those of reading and of `answer`; `Cancelled`.
    pub(super) fn ask<T>(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        (kinds, candidates, most): (usize, bool, usize),
        answer: impl FnOnce(&Question<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(live) = self.live(ask, kinds, candidates) else { return Ok(None) };
        let rows = ask.snapshot.rows() as usize;
        let too_large_at = live.too_large_at.load(Ordering::Relaxed);
        if too_large_at != 0 && rows >= too_large_at || live.interactions.load(Ordering::Relaxed) > most {
            return Ok(None);
        }
        let read = live.kept.read();
        let read = match read.as_ref().is_some_and(|kept| kept.is_at(ask.snapshot)) {
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
        let Some(kept) = read.as_ref().filter(|kept| kept.state.interactions.len() <= most) else { return Ok(None) };
        let refresh_after = self.options.refresh_after;
        let answer = answer(&Question { state: &kept.state, kept, refresh_after })?;
        live.bytes.store(kept.state_bytes(), Ordering::Relaxed);
        live.model_bytes.store(kept.models.heap_bytes(), Ordering::Relaxed);
        // What the question found is kept, too.
        self.drop_others(&live);
        Ok(Some(answer))
    }

    /// The state of the events of a question, read or not.
    fn live(self: &Arc<Self>, ask: &Ask<'_>, kinds: usize, candidates: bool) -> Option<Arc<Live>> {
        if self.options.limit_bytes == 0 || self.keeper.is_closed() {
            return None;
        }
        let source = Source::new(ask, kinds, candidates, self.options.limit_bytes)?;
        let mut states = self.states.lock();
        let known = states.iter().position(|live| live.source.table == source.table && live.source.key == source.key);
        let live = match known {
            Some(place) => states.remove(place),
            None => Arc::new(Live::new(source, ask.snapshot.handle())),
        };
        states.push(Arc::clone(&live));
        drop(states);
        *live.asked.lock() = Instant::now();
        self.keeper.start(self);
        Some(live)
    }

    /// Brings a state to the moment of a question; false where that is not possible.
    fn bring(&self, live: &Live, kept: &mut Option<Kept>, ask: &Ask<'_>) -> Result<bool> {
        let (snapshot, cancel) = (ask.snapshot, ask.statement.cancel_flag());
        // What an error leaves behind is of no use.
        let found = match kept.take() {
            Some(now) => Some(now),
            None => live.load(snapshot),
        };
        let (brought, now) = match found {
            None => (Brought::Rebuilt, Kept::read(&live.source, snapshot, cancel)?),
            Some(mut now) => match now.bring_to(&live.source, snapshot, cancel)? {
                Some(brought) => (brought, now),
                None => {
                    *kept = Some(now);
                    return Ok(false);
                }
            },
        };
        *live.brought.lock() = Some(brought);
        tracing::debug!(
            table = live.source.table_name,
            ?brought,
            "a kept state was brought to the moment of a question"
        );
        let is_new = live.bytes.load(Ordering::Relaxed) == 0;
        if is_new || matches!(brought, Brought::Rebuilt | Brought::Reread(_)) {
            live.cold.lock().clear();
        }
        live.bytes.store(now.state_bytes(), Ordering::Relaxed);
        live.interactions.store(now.state.interactions.len(), Ordering::Relaxed);
        *kept = Some(now);
        self.make_room(live, kept)?;
        Ok(true)
    }

    /// Drops the states that were asked longest ago until the rest fits; `live` itself with an error if it alone does not.
    fn make_room(&self, live: &Live, kept: &mut Option<Kept>) -> Result<()> {
        if self.drop_others(live) > self.options.limit_bytes {
            live.bytes.store(0, Ordering::Relaxed);
            live.model_bytes.store(0, Ordering::Relaxed);
            *kept = None;
            return Err(Error::new(ErrorKind::ResourceLimit, "too many events to be kept"));
        }
        Ok(())
    }

    /// Drops the states that were asked longest ago, without `live`, until the rest fits. The memory of what is left, in bytes.
    fn drop_others(&self, live: &Live) -> usize {
        let limit_bytes = self.options.limit_bytes;
        let mut states = self.states.lock();
        let mut total: usize = states.iter().map(|live| live.heap_bytes()).sum();
        states.retain(|other| {
            let bytes = other.heap_bytes();
            let goes = total > limit_bytes && bytes > 0 && !std::ptr::eq(other.as_ref(), live);
            total -= if goes { bytes } else { 0 };
            !goes
        });
        total
    }

    fn forget(&self, live: &Arc<Live>) {
        self.states.lock().retain(|other| !Arc::ptr_eq(other, live));
    }
}

impl Live {
    fn new(source: Source, table: TableHandle) -> Self {
        Self {
            file: file::name(&source),
            source,
            table,
            kept: RwLock::default(),
            saved: Mutex::default(),
            asked: Mutex::new(Instant::now()),
            cold: Mutex::default(),
            bytes: AtomicUsize::new(0),
            interactions: AtomicUsize::new(0),
            model_bytes: AtomicUsize::new(0),
            brought: Mutex::default(),
            too_large_at: AtomicUsize::new(0),
        }
    }

    /// Its memory when that was looked at last, in bytes.
    fn heap_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.model_bytes.load(Ordering::Relaxed)
    }

    /// The state of its file, if there is one of use.
    fn load(&self, snapshot: &Snapshot) -> Option<Kept> {
        let loaded = self.table.read_derived(&self.file).map_err(Error::from).and_then(|bytes| match bytes {
            Some(bytes) => Kept::load(&self.source, snapshot, bytes.as_slice()),
            None => Ok(None),
        });
        match loaded {
            Ok(kept) => {
                let position = kept.as_ref()?.position();
                *self.saved.lock() = Some(Saved { at: Instant::now(), position });
                kept
            }
            Err(error) => {
                tracing::warn!(%error, "the file of a kept state cannot be read, and all events are read again");
                None
            }
        }
    }

    fn describe(&self) -> Option<LiveState> {
        let kept = self.kept.read();
        let kept = kept.as_ref()?;
        Some(LiveState {
            table: self.source.table_name.clone(),
            source: self.source.described(),
            interactions: kept.state.interactions.len(),
            items: kept.state.items.ranks().len() - 1,
            memory_bytes: kept.state_bytes() + kept.models.heap_bytes(),
            position: kept.position(),
            brought: self.brought.lock().map(|brought| brought.to_string()).unwrap_or_default(),
            models: kept.models.describe(),
        })
    }
}
