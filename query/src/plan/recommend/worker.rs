//! What one thread gathers: who did what with which item.

use super::item_facts::{FactExprs, NewestRows};
use crate::plan::operator::{UserRows, Worker};
use std::collections::HashMap;

/// An event with an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// The user, in the numbering of the source.
    pub(super) user: u64,
    pub(super) ts_us: i64,
    /// Code of the item among those of the thread.
    pub(super) item: u32,
    pub(super) kind: u8,
}

/// The newest event of an item, and whether it makes the item a candidate. Of events of equal time one that does wins, so
/// that it does not matter who met them first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Newest {
    pub(super) ts_us: i64,
    pub(super) is_candidate: bool,
}

/// How far a question reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads {
    /// Later events do not exist.
    pub(super) until_us: i64,
    /// Later events say nothing of what may be recommended: in an evaluation they are what was to be found.
    pub(super) candidates_until_us: i64,
    /// Whether anybody looks at the reasons.
    pub(super) reasons: bool,
}

/// The events of one thread.
#[derive(Debug)]
pub(crate) struct RecommendWorker {
    /// The bits of conditions that are kinds.
    kinds: u64,
    /// The bit of the condition for candidates; 0 without one.
    candidate: u64,
    reads: Reads,
    pub(super) events: Vec<Event>,
    pub(super) newest: HashMap<u32, Newest>,
    /// What more there is to know of the newest event of an item.
    pub(super) newest_rows: Option<NewestRows>,
}

impl RecommendWorker {
    /// Nothing yet. The first `kinds` conditions are kinds of events, the one behind them that of candidates, if there are
    /// `candidates`.
    pub(super) fn new(kinds: usize, candidates: bool, facts: Option<&FactExprs>, reads: Reads) -> Self {
        let candidate = u64::from(candidates) << kinds;
        Self {
            kinds: (1_u64 << kinds) - 1,
            candidate,
            reads,
            events: Vec::new(),
            newest: HashMap::new(),
            newest_rows: facts.map(NewestRows::new),
        }
    }

    /// Whether anybody looks at the reasons.
    pub(super) fn wants_reasons(&self) -> bool {
        self.reads.reasons
    }
}

impl Worker for RecommendWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        for (event, &mask) in rows.masks.iter().enumerate() {
            let item = rows.columns.code(0, event);
            // Code 0 is NULL: an event without an item.
            if item == 0 {
                continue;
            }
            let ts_us = rows.times.at(event);
            if ts_us > self.reads.until_us {
                break;
            }
            if self.candidate != 0 && ts_us <= self.reads.candidates_until_us {
                let newest = Newest { ts_us, is_candidate: mask & self.candidate != 0 };
                let known = self.newest.entry(item).or_insert(newest);
                *known = (*known).max(newest);
            }
            if let Some(newest_rows) = self.newest_rows.as_mut().filter(|_| ts_us <= self.reads.candidates_until_us) {
                newest_rows.note(item, ts_us, rows, event);
            }
            if mask & self.kinds != 0 {
                let kind = (mask & self.kinds).trailing_zeros() as u8;
                self.events.push(Event { user: rows.user, ts_us, item, kind });
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        // Twice: the state that is made of them holds them again.
        let newest_rows = self.newest_rows.as_ref().map_or(0, NewestRows::heap_bytes);
        2 * self.events.capacity() * size_of::<Event>() + self.newest.capacity() * 32 + newest_rows
    }
}
