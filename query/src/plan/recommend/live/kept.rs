//! One kept state: brought to the moment of a snapshot by what arrived since, or by reading those users again who may
//! have changed.

use super::file;
use super::models::Models;
use super::source::{ItemDecoder, Source};
use crate::behavior::recommend::Interaction;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::operator::Decoder;
use crate::plan::recommend::state::{Coded, State};
use crate::plan::recommend::worker::{Newest, RecommendWorker};
use roaring::RoaringBitmap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use trodden_engine::table::{Change, Follower, Snapshot};

/// Changes of a table that wait to be taken in, in bytes: more of them are not held, and their users are read again.
const WAITING_BYTES: usize = 64 << 20;
/// What an event that is added takes, in the lists of its user and of its item with their room to grow, in bytes.
const EVENT_BYTES: usize = 40;
/// So many steps can be taken back, for a statement that is older than the one before it.
const STEPS_MAX: usize = 256;

/// What of a table is in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) position: u64,
    pub(super) hidden_before_us: i64,
    /// By shard: every event with a lower arrival number is in it.
    pub(super) next_seq: Vec<u64>,
}

impl Moment {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            position: snapshot.position,
            hidden_before_us: snapshot.hidden_before_us,
            next_seq: snapshot.shards.iter().map(|shard| shard.next_seq).collect(),
        }
    }
}

/// How a state came to the moment of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// It was there.
    Already,
    /// So many events that arrived were taken in.
    Forward(usize),
    /// Steps were taken back.
    Back,
    /// The users of segments that it did not know were read again, so many.
    Reread(u64),
    /// All was read.
    Rebuilt,
}

impl fmt::Display for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Already => write!(f, "it was there"),
            Self::Forward(events) => write!(f, "{events} events were added"),
            Self::Back => write!(f, "events were taken back"),
            Self::Reread(users) => write!(f, "{users} users were read again"),
            Self::Rebuilt => write!(f, "all events were read"),
        }
    }
}

/// A state and its moment.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) state: State,
    moment: Moment,
    follower: Follower,
    /// Records that were told and are not in the state.
    waiting: VecDeque<(u64, Vec<Change>)>,
    /// The last steps, the newest at the end.
    steps: VecDeque<Step>,
    /// Its memory when all of it was looked at last, and what came since, in bytes.
    bytes: usize,
    pub(super) models: Arc<Models>,
}

/// What a step forward did.
#[derive(Debug)]
struct Step {
    before: Moment,
    records: Vec<(u64, Vec<Change>)>,
    edits: Vec<Edit>,
}

/// What is needed to take back a part of a step.
#[derive(Debug)]
enum Edit {
    Added(u32, Interaction),
    /// A user, and what was known of the user before.
    Replaced(u32, Vec<Interaction>),
    /// An item, and its newest event before.
    Newest(u32, Option<Newest>),
}

impl Kept {
    fn new(source: &Source, mut state: State, moment: Moment, follower: Follower) -> Self {
        let bytes = state.heap_bytes();
        // The other half of what is left is for what comes.
        state.interactions.keep_overlaps_within(source.most_bytes.saturating_sub(bytes) / 2);
        let (waiting, steps, models) = Default::default();
        Self { state, moment, follower, waiting, steps, bytes, models }
    }

    /// The state of a snapshot, read from its events.
    ///
    /// # Errors
    /// Those of reading; `ResourceLimit` where the events are too many to be kept.
    pub(super) fn read(source: &Source, snapshot: &Snapshot, cancel: &AtomicBool) -> Result<Self> {
        // Before the events are read, so that none is missed.
        let follower = snapshot.follow(WAITING_BYTES);
        let mut state = State::of_table(&source.item_type, source.shards, source.candidates)?;
        let coded = code(&mut state, source.read(snapshot, None, cancel)?)?;
        state.fill(coded)?;
        Ok(Self::new(source, state, Moment::of(snapshot), follower))
    }

    /// The state that a file has, to be brought to the moment of a snapshot. `None` where it is of something else, or past
    /// that moment.
    ///
    /// # Errors
    /// Where items cannot be read.
    pub(super) fn load(source: &Source, snapshot: &Snapshot, bytes: &[u8]) -> Result<Option<Self>> {
        let follower = snapshot.follow(WAITING_BYTES);
        let Some((state, moment)) = file::decode(source, bytes)? else { return Ok(None) };
        let now = Moment::of(snapshot);
        let is_past = moment.position > now.position || moment.next_seq.len() != now.next_seq.len();
        Ok((!is_past).then(|| Self::new(source, state, moment, follower)))
    }

    /// The bytes of a file for [`Self::load`]. `None` with candidates, whose newest events no file has.
    ///
    /// # Errors
    /// Where items cannot be written.
    pub(super) fn save(&self, source: &Source) -> Result<Option<Vec<u8>>> {
        (!source.candidates).then(|| file::encode(source, &self.state, &self.moment)).transpose()
    }

    /// The last record that it has.
    pub(super) fn position(&self) -> u64 {
        self.moment.position
    }

    /// Whether it is at the moment of a snapshot.
    pub(super) fn is_at(&self, snapshot: &Snapshot) -> bool {
        self.moment.position == snapshot.position && self.moment.hidden_before_us == snapshot.hidden_before_us
    }

    /// Brings it to the moment of a snapshot. `None`: it is past it, and does not know the way back.
    ///
    /// # Errors
    /// Those of [`Self::read`]. It is of no use after that.
    pub(super) fn bring_to(
        &mut self,
        source: &Source,
        snapshot: &Snapshot,
        cancel: &AtomicBool,
    ) -> Result<Option<Brought>> {
        if self.is_at(snapshot) {
            return Ok(Some(Brought::Already));
        }
        if self.moment.hidden_before_us > snapshot.hidden_before_us {
            return Ok(None);
        }
        if self.moment.position < snapshot.identity_at {
            // Events that it has may be those of another user by now.
            return self.rebuild(source, snapshot, cancel).map(Some);
        }
        self.hide_before(snapshot.hidden_before_us);
        let mut brought = Brought::Forward(0);
        while self.moment.position > snapshot.position {
            if !self.step_back() {
                return Ok(None);
            }
            brought = Brought::Back;
        }
        if self.is_at(snapshot) {
            return Ok(Some(brought));
        }
        let newest = self.waiting.back().map_or(self.moment.position, |(position, _)| *position);
        match self.follower.take(newest) {
            Some(told) => self.waiting.extend(told),
            None => self.waiting.clear(),
        }
        let count = self.waiting.partition_point(|(position, _)| *position <= snapshot.position);
        let is_gapless = count as u64 == snapshot.position - self.moment.position;
        let records: Vec<(u64, Vec<Change>)> = self.waiting.drain(..count).collect();
        let deletes = records.iter().flat_map(|(_, changes)| changes).any(|c| matches!(c, Change::Deleted { .. }));
        let brought = match is_gapless {
            // Of the events of a deleted user one may have been the newest of its item.
            true if deletes && source.candidates => self.rebuild(source, snapshot, cancel)?,
            true => self.step(source, snapshot, records, cancel)?,
            false => self.reread(source, snapshot, cancel)?,
        };
        Ok(Some(brought))
    }

    /// Takes away what is before the line of retention, which only moves on.
    fn hide_before(&mut self, hidden_before_us: i64) {
        if self.moment.hidden_before_us != hidden_before_us {
            self.state.interactions.forget_before(hidden_before_us);
            self.state.newest.retain(|_, newest| newest.ts_us >= hidden_before_us);
            self.moment.hidden_before_us = hidden_before_us;
            self.steps.clear();
        }
    }

    /// Takes in the records that lead to the moment of `snapshot`.
    fn step(
        &mut self,
        source: &Source,
        snapshot: &Snapshot,
        records: Vec<(u64, Vec<Change>)>,
        cancel: &AtomicBool,
    ) -> Result<Brought> {
        let changes = || records.iter().flat_map(|(_, changes)| changes);
        let found = source.read(&snapshot.of_changes(changes()), None, cancel)?;
        let Coded { events, newest, .. } = code(&mut self.state, found)?;
        let mut edits = Vec::with_capacity(events.len());
        let count = events.len();
        let joined = joined_users(changes(), snapshot.shards.len())?;
        self.replace_joined(source, snapshot, &joined, &mut edits, cancel)?;
        let is_joined = |number: u64| joined[(number >> 32) as usize].contains(number as u32);
        for (number, event) in events.into_iter().filter(|(number, _)| !is_joined(*number)) {
            let user = self.user(number)?;
            self.state.interactions.add(user, event);
            edits.push(Edit::Added(user, event));
        }
        for (item, newer) in newest {
            let before = self.state.newest.get(&item).copied();
            edits.push(Edit::Newest(item, before));
            self.state.newest.insert(item, before.map_or(newer, |before| before.max(newer)));
        }
        for change in changes() {
            if let Change::Deleted { shard, ordinal } = change {
                let user = self.user(crate::plan::table_scan::user_number(usize::from(*shard), *ordinal))?;
                edits.push(Edit::Replaced(user, self.state.interactions.of_user(user).to_vec()));
                self.state.interactions.replace(user, &[]);
            }
        }
        let before = std::mem::replace(&mut self.moment, Moment::of(snapshot));
        self.steps.push_back(Step { before, records, edits });
        if self.steps.len() > STEPS_MAX {
            self.steps.pop_front();
        }
        self.bytes += count * EVENT_BYTES;
        Ok(Brought::Forward(count))
    }

    /// Reads users again of whom a history was joined that came under another id: at equal times it is before what came under
    /// the user's own.
    fn replace_joined(
        &mut self,
        source: &Source,
        snapshot: &Snapshot,
        joined: &[RoaringBitmap],
        edits: &mut Vec<Edit>,
        cancel: &AtomicBool,
    ) -> Result<()> {
        if joined.iter().all(RoaringBitmap::is_empty) {
            return Ok(());
        }
        let found = source.read(snapshot, Some(joined.to_vec()), cancel)?;
        for of_user in code(&mut self.state, found)?.events.chunk_by(|a, b| a.0 == b.0) {
            let user = self.user(of_user[0].0)?;
            let events: Vec<Interaction> = of_user.iter().map(|(_, event)| *event).collect();
            edits.push(Edit::Replaced(user, self.state.interactions.of_user(user).to_vec()));
            self.state.interactions.replace(user, &events);
        }
        Ok(())
    }

    /// Takes the last step back; false if there is none.
    fn step_back(&mut self) -> bool {
        let Some(Step { before, records, edits }) = self.steps.pop_back() else { return false };
        for edit in edits.into_iter().rev() {
            match edit {
                Edit::Added(user, event) => self.state.interactions.remove(user, event),
                Edit::Replaced(user, events) => self.state.interactions.replace(user, &events),
                Edit::Newest(item, Some(newest)) => drop(self.state.newest.insert(item, newest)),
                Edit::Newest(item, None) => drop(self.state.newest.remove(&item)),
            }
        }
        for record in records.into_iter().rev() {
            self.waiting.push_front(record);
        }
        self.moment = before;
        true
    }

    /// Reads those users again who may have changed: they have rows in segments with arrival numbers that the state does
    /// not know, or are gone. A segment may hold old and new rows, so that a user's events are compared as a whole.
    fn reread(&mut self, source: &Source, snapshot: &Snapshot, cancel: &AtomicBool) -> Result<Brought> {
        self.steps.clear();
        let mut changed = Vec::with_capacity(snapshot.shards.len());
        let mut there = Vec::with_capacity(snapshot.shards.len());
        let mut rows = 0;
        for (shard, known) in snapshot.shards.iter().zip(&self.moment.next_seq) {
            let (mut of_new, mut of_all) = (RoaringBitmap::new(), RoaringBitmap::new());
            for live in &shard.segments {
                let users = live.segment.users()?.as_ref() - live.hidden.as_ref();
                of_all |= &users;
                // Joined histories have no arrival numbers.
                if live.segment.meta().seq_end > *known || live.is_joined() {
                    of_new |= &users;
                    rows += live.segment.meta().rows;
                }
            }
            changed.push(of_new);
            there.push(of_all);
        }
        let is_gone = |number: u64| !there[(number >> 32) as usize].contains(number as u32);
        let gone: Vec<u32> = self.state.active_users().filter(|&user| is_gone(self.state.users.number(user))).collect();
        if rows > snapshot.rows() / 2 || !gone.is_empty() && source.candidates {
            return self.rebuild(source, snapshot, cancel);
        }
        gone.into_iter().for_each(|user| self.state.interactions.replace(user, &[]));
        let count = changed.iter().map(RoaringBitmap::len).sum();
        let Coded { events, newest, .. } =
            code(&mut self.state, source.read(snapshot, Some(changed.clone()), cancel)?)?;
        for of_user in events.chunk_by(|a, b| a.0 == b.0) {
            let number = of_user[0].0;
            changed[(number >> 32) as usize].remove(number as u32);
            let user = self.user(number)?;
            let events: Vec<Interaction> = of_user.iter().map(|(_, event)| *event).collect();
            self.state.interactions.replace(user, &events);
        }
        for (item, newer) in newest {
            let known = self.state.newest.entry(item).or_insert(newer);
            *known = (*known).max(newer);
        }
        self.moment = Moment::of(snapshot);
        self.bytes = self.state.heap_bytes();
        Ok(Brought::Reread(count))
    }

    fn rebuild(&mut self, source: &Source, snapshot: &Snapshot, cancel: &AtomicBool) -> Result<Brought> {
        *self = Self::read(source, snapshot, cancel)?;
        Ok(Brought::Rebuilt)
    }

    fn user(&self, number: u64) -> Result<u32> {
        let missing = || Error::new(ErrorKind::ResourceLimit, "the table has too many users for a kept state");
        self.state.users.code(number)?.ok_or_else(missing)
    }

    /// Bytes held on the heap, about, without those of models.
    pub(super) fn state_bytes(&self) -> usize {
        let edits: usize = self.steps.iter().map(|step| step.edits.len() * size_of::<Edit>()).sum();
        self.bytes + self.state.interactions.overlap_bytes() + self.follower.waiting_bytes() + edits
    }
}

/// By shard, users of whom events came that were joined from under another id.
fn joined_users<'a>(changes: impl Iterator<Item = &'a Change>, shards: usize) -> Result<Vec<RoaringBitmap>> {
    let mut users = vec![RoaringBitmap::new(); shards];
    for change in changes {
        if let Change::Events { shard, segment } = change
            && segment.is_joined()
        {
            users[usize::from(*shard)] |= segment.segment.users()?.as_ref() - segment.hidden.as_ref();
        }
    }
    Ok(users)
}

fn code(state: &mut State, found: Vec<(RecommendWorker, ItemDecoder)>) -> Result<Coded> {
    let (workers, decoders): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    state.code(workers.into_iter().zip(&decoders).map(|(worker, decoder)| (worker, decoder as &dyn Decoder)).collect())
}
