//! Followers: told what each record changes, for state that is kept beside a table and must not be read anew for every
//! event.

use super::snapshot::LiveSegment;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// What a record changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// Events that arrived, as a segment of their own.
    Events {
        /// The shard.
        shard: u16,
        /// The events.
        segment: LiveSegment,
    },
    /// All events of a user are gone.
    Deleted {
        /// The user's shard.
        shard: u16,
        /// The user's ordinal.
        ordinal: u32,
    },
}

/// The followers of a table, and how far they were told.
#[derive(Debug, Default)]
pub(crate) struct Followers(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    position: u64,
    queues: Vec<Weak<Queue>>,
}

impl Followers {
    /// Tell what the record at `position`, which follows the last one, changed. It comes before anybody can see it in a
    /// snapshot.
    pub(crate) fn tell(&self, position: u64, changes: &[Change]) {
        let mut told = self.0.lock();
        told.position = position;
        told.queues.retain(|queue| queue.strong_count() > 0);
        for queue in told.queues.iter().filter_map(Weak::upgrade) {
            queue.push(position, changes);
        }
    }

    /// Continue at `position` after changes that are not told one by one.
    pub(crate) fn skip_to(&self, position: u64) {
        let mut told = self.0.lock();
        told.position = position;
        for queue in told.queues.iter().filter_map(Weak::upgrade) {
            queue.0.lock().restart_after(position);
        }
    }

    fn follow(&self, most_bytes: usize) -> Follower {
        let mut told = self.0.lock();
        let waiting = Waiting { after: told.position, most_bytes, ..Waiting::default() };
        let queue = Arc::new(Queue(Mutex::new(waiting)));
        told.queues.push(Arc::downgrade(&queue));
        Follower { queue }
    }
}

/// What a follower was told and has not taken yet.
#[derive(Debug)]
struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Every record after this one is in `records`.
    after: u64,
    records: VecDeque<(u64, Vec<Change>)>,
    bytes: usize,
    most_bytes: usize,
}

impl Queue {
    fn push(&self, position: u64, changes: &[Change]) {
        let mut waiting = self.0.lock();
        waiting.bytes += changes.iter().map(bytes_of).sum::<usize>();
        waiting.records.push_back((position, changes.to_vec()));
        if waiting.bytes > waiting.most_bytes {
            waiting.restart_after(position);
        }
    }
}

impl Waiting {
    fn restart_after(&mut self, position: u64) {
        self.after = position;
        self.records = VecDeque::new();
        self.bytes = 0;
    }
}

fn bytes_of(change: &Change) -> usize {
    let heap = match change {
        Change::Events { segment, .. } => segment.segment.meta().bytes as usize,
        Change::Deleted { .. } => 0,
    };
    heap + size_of::<Change>()
}

/// Follows a table: holds the changes of its records until they are taken.
#[derive(Debug)]
pub struct Follower {
    queue: Arc<Queue>,
}

impl Follower {
    /// The records after `from` that were told so far, each with its position and its changes, in order; they are
    /// forgotten here. `None` where not all of them are known: they came before it followed, were too many to hold, or
    /// were an import.
    pub fn take(&self, from: u64) -> Option<Vec<(u64, Vec<Change>)>> {
        let mut waiting = self.queue.0.lock();
        if from < waiting.after {
            return None;
        }
        let records = std::mem::take(&mut waiting.records);
        waiting.after = records.back().map_or(waiting.after, |(position, _)| *position);
        waiting.bytes = 0;
        Some(records.into_iter().filter(|(position, _)| *position > from).collect())
    }

    /// Bytes of the changes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.0.lock().bytes
    }
}

impl super::Snapshot {
    /// Follow the table from here on: hold up to `most_bytes` of changes that nobody took.
    pub fn follow(&self, most_bytes: usize) -> Follower {
        self.followers.follow(most_bytes)
    }

    /// A snapshot that has the events of `changes` alone, to be read like any other. Users keep their ordinals; ids of
    /// users are those of the whole.
    #[must_use]
    pub fn of_changes<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut part = self.clone();
        part.shards.iter_mut().for_each(|shard| shard.segments.clear());
        for change in changes {
            if let Change::Events { shard, segment } = change {
                part.shards[usize::from(*shard)].segments.push(segment.clone());
            }
        }
        part
    }
}
