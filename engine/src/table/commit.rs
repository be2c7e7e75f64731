//! Group commit: threads queue their records; one of them writes all that wait, syncs once, and applies them.

use super::state::TableState;
use super::{Shared, catalog_changes};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Record;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most bytes of one record of the log: a frame has room for four times as many.
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 30;
/// Records that wait are written together up to this many bytes.
const GROUP_BYTES: usize = MAX_RECORD_BYTES;

/// The records that wait, and how far the durable ones go.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Queued>,
    leading: bool,
    /// Every record up to here is durable and visible.
    done: u64,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    record: Record,
}

#[derive(Debug)]
struct Failure {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    /// The records that were being written.
    positions: RangeInclusive<u64>,
}

impl Failure {
    fn error(&self, position: u64) -> Error {
        if self.positions.contains(&position) {
            let error = Error::new(self.kind, &self.message);
            return match &self.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            };
        }
        Error::new(ErrorKind::Poisoned, format!("the table refuses writes, because one failed: {}", self.message))
            .with_hint("remove the cause, then open the database again")
    }
}

impl CommitQueue {
    /// A queue of which the records up to `done` are durable.
    pub(crate) fn new(done: u64) -> Self {
        let state = QueueState { done, ..QueueState::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Continue after `done`. Nothing may wait.
    pub(crate) fn restart_after(&self, done: u64) {
        self.state.lock().done = done;
    }

    /// Refuse writes from now on, because `error` leaves the durable state unknown.
    pub(crate) fn poison(&self, error: &Error) {
        let mut state = self.state.lock();
        if state.failure.is_none() {
            // No record was being written.
            let positions = u64::MAX..=u64::MAX;
            let (message, hint) = (error.message().to_string(), error.hint().map(String::from));
            state.failure = Some(Failure { kind: error.kind(), message, hint, positions });
        }
        self.changed.notify_all();
    }

    /// `Poisoned` after a failed write.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.state.lock().failure {
            Some(failure) => Err(failure.error(0)),
            None => Ok(()),
        }
    }

    /// Queue a record and its bytes. Records are queued in order of position.
    pub(crate) fn push(&self, bytes: Vec<u8>, record: Record) {
        self.state.lock().waiting.push_back(Queued { bytes, record });
    }

    /// Return once every record up to `position` is durable and visible.
    ///
    /// # Errors
    /// What the disk says to the write that `position` was in, `Poisoned` after that.
    pub(crate) fn wait(&self, position: u64, shared: &Shared) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.done >= position {
                return Ok(());
            }
            if let Some(failure) = &state.failure {
                return Err(failure.error(position));
            }
            if state.leading {
                self.changed.wait(&mut state);
                continue;
            }
            state.leading = true;
            let group = take_group(&mut state.waiting, GROUP_BYTES);
            let first = state.done + 1;
            let mut lead = Lead { queue: self, first, last: state.done + group.len() as u64, result: None };
            drop(state);
            lead.result = Some(commit(shared, group, first));
            drop(lead);
            state = self.state.lock();
        }
    }
}

/// The oldest of the records that wait, about `bytes` of them and at least one.
fn take_group(waiting: &mut VecDeque<Queued>, bytes: usize) -> Vec<Queued> {
    let mut total = 0_usize;
    let fits = |queued: &&Queued| {
        let first = total == 0;
        total = total.saturating_add(queued.bytes.len());
        first || total <= bytes
    };
    let count = waiting.iter().take_while(fits).count();
    waiting.drain(..count).collect()
}

/// The thread that writes for those that wait. When it ends they are told, however it ends.
struct Lead<'a> {
    queue: &'a CommitQueue,
    first: u64,
    last: u64,
    /// `None` where the writing ended in a panic.
    result: Option<Result<()>>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.leading = false;
        let error = match self.result.take() {
            Some(Ok(())) => {
                state.done = self.last;
                None
            }
            Some(Err(error)) => Some(error),
            None => Some(Error::new(ErrorKind::Io, "the thread that wrote the log ended in a panic")),
        };
        if let Some(error) = error {
            let (message, hint) = (error.message().to_string(), error.hint().map(String::from));
            state.failure = Some(Failure { kind: error.kind(), message, hint, positions: self.first..=self.last });
        }
        self.queue.changed.notify_all();
    }
}

/// Make a group durable, then visible.
fn commit(shared: &Shared, group: Vec<Queued>, first: u64) -> Result<()> {
    let (bytes, records): (Vec<_>, Vec<_>) = group.into_iter().map(|queued| (queued.bytes, queued.record)).unzip();
    // Held until the records are visible. Maintenance takes it too before it changes the state.
    let mut log = shared.log.lock();
    let last = log.append(&bytes)?;
    if last + 1 != first + bytes.len() as u64 {
        return Err(Error::corrupt(format!("record {first} was written as record {}", last + 1 - bytes.len() as u64)));
    }
    let mut next: TableState = shared.state.read().as_ref().clone();
    let mut changes = Vec::with_capacity(records.len());
    for (record, position) in records.iter().zip(first..) {
        changes.push(next.apply(record, position, shared.tz)?);
        shared.lookup.catalog.apply(catalog_changes(record, shared)?, position)?;
    }
    // First, so that who has a snapshot can be told what is in it.
    for (changes, position) in changes.iter().zip(first..) {
        shared.followers.tell(position, changes);
    }
    *shared.state.write() = Arc::new(next);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::DeleteRecord;

    #[test]
    fn groups_are_cut_by_bytes_and_never_empty() {
        let queued = |length: usize| {
            let record = Record::Delete(DeleteRecord { shard: 0, ordinal: 0, seq: 0, user_id: String::new() });
            Queued { bytes: vec![0; length], record }
        };
        let mut waiting: VecDeque<Queued> = [3, 4, 3, 50, 1, 9, 1].map(queued).into();
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            let group = take_group(&mut waiting, 10);
            groups.push(group.iter().map(|queued| queued.bytes.len()).collect::<Vec<_>>());
        }
        assert_eq!(groups, [vec![3, 4, 3], vec![50], vec![1, 9], vec![1]]);
        assert!(take_group(&mut waiting, 10).is_empty());
    }
}
