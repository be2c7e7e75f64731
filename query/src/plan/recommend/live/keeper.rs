//! What is done for kept states beside statements: they follow the table, so that a statement finds little to take in;
//! models that take long are learned again; files are written for the next opening.

use super::models::warm;
use super::{Live, LiveStates};
use crate::behavior::recommend::Effort;
use crate::error::Result;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trodden_engine::table::Snapshot;

/// Between two looks. A state stays this much behind the table, so that a statement that was planned a moment ago does not
/// find it ahead.
const TICK: Duration = Duration::from_millis(100);
/// Of each look.
const WARM_FOR: Duration = Duration::from_millis(50);
/// Of that, without a pause in which the state can be brought forward.
const WARM_AT_ONCE: Duration = Duration::from_millis(2);
/// Between two files of a state that changes. Nothing can be added to it while one is made, a tenth of a second for a few
/// million events, so that waits as long as questions come, but not for ever.
const SAVE_EVERY: Duration = Duration::from_secs(60);
const SAVE_AT_LAST: Duration = Duration::from_secs(600);
/// Nobody asked for so long: nobody will wait.
const QUIET: Duration = Duration::from_secs(1);
/// No statement can be cancelled here.
static NEVER: AtomicBool = AtomicBool::new(false);

/// The thread, once it is started, and whether it has to end.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    thread: Mutex<Option<JoinHandle<()>>>,
    is_closed: AtomicBool,
}

impl Keeper {
    /// Whether nothing is kept any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Starts the thread, if it does not run.
    pub(super) fn start(&self, states: &Arc<LiveStates>) {
        let mut thread = self.thread.lock();
        if thread.is_some() || self.is_closed() {
            return;
        }
        let weak = Arc::downgrade(states);
        match std::thread::Builder::new().name("trodden-live".into()).spawn(move || keep(&weak)) {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                tracing::warn!(%error, "no thread for kept states: each statement brings them forward itself")
            }
        }
    }

    /// Ends the thread, and waits for it.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            thread.thread().unpark();
            // A panic there was told to the log of the process.
            drop(thread.join());
        }
    }
}

fn keep(states: &Weak<LiveStates>) {
    let mut seen: HashMap<usize, Snapshot> = HashMap::new();
    loop {
        std::thread::park_timeout(TICK);
        let Some(states) = states.upgrade().filter(|states| !states.keeper.is_closed()) else { return };
        let all: Vec<Arc<Live>> = states.states.lock().clone();
        let mut next = HashMap::with_capacity(all.len());
        for live in &all {
            let id = Arc::as_ptr(live) as usize;
            let Some(now) = live.table.snapshot() else {
                states.forget(live);
                continue;
            };
            if let Some(before) = seen.remove(&id) {
                live.follow(&before);
            }
            next.insert(id, now);
            live.learn_again(&states);
            live.warm();
            let save_after = if live.asked.lock().elapsed() >= QUIET { SAVE_EVERY } else { SAVE_AT_LAST };
            if live.saved.lock().is_none_or(|saved| saved.at.elapsed() >= save_after) {
                live.save();
            }
        }
        seen = next;
    }
}

impl LiveStates {
    /// Keeps nothing any more: writes what is kept for the next opening, and lets go of the tables.
    pub(crate) fn close(&self) {
        self.keeper.close();
        let states = std::mem::take(&mut *self.states.lock());
        states.iter().for_each(|live| live.save());
    }
}

/// When a state was written, and the record up to which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    pub(super) at: Instant,
    pub(super) position: u64,
}

impl Live {
    /// Takes in what came up to `snapshot`.
    fn follow(&self, snapshot: &Snapshot) {
        let is_behind =
            self.kept.try_read().is_some_and(|kept| kept.as_ref().is_some_and(|k| k.position() < snapshot.position));
        if !is_behind {
            return;
        }
        let mut kept = self.kept.write();
        let Some(mut now) = kept.take() else { return };
        // A statement may have come first.
        if now.position() >= snapshot.position {
            *kept = Some(now);
            return;
        }
        match now.bring_to(&self.source, snapshot, &NEVER) {
            Ok(_) => *kept = Some(now),
            Err(error) => {
                tracing::warn!(%error, "a kept state could not follow its table, and is read anew when it is asked")
            }
        }
    }

    /// Finds what neighbours are made of before it is asked for, a little at each look: of items with most users first, which
    /// are asked for most and take longest.
    fn warm(&self) {
        let begun = Instant::now();
        while begun.elapsed() < WARM_FOR {
            // Anew each time: whoever brings the state forward waits for it.
            let kept = self.kept.read();
            let Some(kept) = kept.as_ref() else { return };
            let (interactions, ranks) = (&kept.state.interactions, kept.state.items.ranks());
            let Some((spec, neighbourhood)) = kept.models.last_neighbourhood() else { return };
            let mut cold = self.cold.lock();
            let cold = cold.of(neighbourhood, || {
                let mut items: Vec<u32> = (0..interactions.item_count() as u32).collect();
                items.sort_by_key(|&item| interactions.users_of_item(item));
                items
            });
            if cold.is_empty() {
                return;
            }
            warm((interactions, ranks), (&spec, neighbourhood), cold, Instant::now() + WARM_AT_ONCE);
        }
    }

    fn learn_again(&self, states: &LiveStates) {
        let learn = || -> Result<()> {
            let copy = {
                let kept = self.kept.read();
                let Some(kept) = kept.as_ref() else { return Ok(()) };
                let old = kept.models.old(states.options.refresh_after);
                if old.is_empty() {
                    return Ok(());
                }
                // Learning takes seconds, for which no statement shall wait.
                (old, kept.state.interactions.clone(), kept.state.items.ranks().to_vec())
            };
            let (old, interactions, ranks) = copy;
            let go_on = || !states.keeper.is_closed();
            let effort = Effort { go_on: &go_on, ..Effort::of_threads(1) };
            for from in old {
                let models = self.kept.read().as_ref().map(|kept| Arc::clone(&kept.models));
                let Some(models) = models else { return Ok(()) };
                models.learn(from, &interactions, &ranks, &effort)?;
            }
            Ok(())
        };
        if let Err(error) = learn() {
            tracing::warn!(%error, "a model of recommendations could not be learned again, and stays as it is");
        }
    }

    /// Writes the state for the next opening, if it changed since that was done last.
    pub(super) fn save(&self) {
        let saved = *self.saved.lock();
        let (position, bytes) = {
            let kept = self.kept.read();
            let Some(kept) = kept.as_ref() else { return };
            let position = kept.position();
            if saved.is_some_and(|saved| saved.position == position) {
                return;
            }
            (position, kept.save(&self.source))
        };
        let written = bytes.and_then(|bytes| match bytes {
            Some(bytes) => Ok(self.table.write_derived(&self.file, &bytes)?),
            None => Ok(()),
        });
        // After a failure too: the next attempt waits as long as after a success.
        *self.saved.lock() = Some(Saved { at: Instant::now(), position });
        match written {
            Ok(()) => self.remove_others(),
            Err(error) => {
                tracing::warn!(%error, "a kept state could not be written: the next opening reads all events")
            }
        }
    }

    /// Removes files of states that nobody asks for any more, where they are many.
    fn remove_others(&self) {
        const FILES_MAX: usize = 16;
        let Ok(names) = self.table.derived() else { return };
        let surplus = names.len().saturating_sub(FILES_MAX);
        let others = names.iter().filter(|name| **name != self.file);
        // A file that is in use is written again.
        others.take(surplus).for_each(|name| drop(self.table.remove_derived(name)));
    }
}
