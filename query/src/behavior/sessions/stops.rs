//! What stops add up to, by group and node: partials that merge in any order, and the rows made of them.

use super::kernel::Session;
use crate::behavior::path::{Tally, Wanted, rank};
use std::cmp::Ordering;
use std::collections::HashMap;

/// A row of `emit => 'stops'`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopRow {
    /// The group of `by` values.
    pub group: u32,
    /// Code of the node.
    pub node: u32,
    /// How many stops.
    pub stops: u64,
    /// Sessions with one.
    pub sessions: u64,
    /// Users with one.
    pub users: u64,
    /// Median of the time to the next stop of the session, where there are any.
    pub median_dwell_seconds: Option<f64>,
    /// Sessions that begin with it.
    pub entries: u64,
    /// Sessions that end with it.
    pub exits: u64,
}

/// Stops by group and node, which are the keys of all counts.
#[derive(Debug, Clone)]
pub struct StopsPartial {
    /// Stops, their users, and how long each took.
    stops: Tally,
    /// Sessions, which take the part of users.
    sessions: Tally,
    entries: Tally,
    exits: Tally,
}

impl Default for StopsPartial {
    fn default() -> Self {
        let counts = || Tally::new(Wanted { users: false, durations: false });
        Self {
            stops: Tally::new(Wanted { users: true, durations: true }),
            sessions: Tally::new(Wanted { users: true, durations: false }),
            entries: counts(),
            exits: counts(),
        }
    }
}

impl StopsPartial {
    /// What is added from here on is of another user than before.
    pub fn begin_user(&mut self) {
        self.stops.begin_user();
    }

    /// Adds a session of the user at hand.
    pub fn add(&mut self, group: u32, session: &Session<'_>, collapse: bool) {
        self.sessions.begin_user();
        session.stops(collapse, |stop| {
            let key = [group, stop.node];
            self.stops.add(&key, stop.dwell_us);
            self.sessions.add(&key, None);
            if stop.is_entry {
                self.entries.add(&key, None);
            }
            if stop.dwell_us.is_none() {
                self.exits.add(&key, None);
            }
        });
    }

    /// Adds everything of `other`, whose groups and nodes mean what `group` and `node` make of them. Different ones may mean
    /// the same.
    pub fn merge(&mut self, other: &Self, group: impl Fn(u32) -> u32, node: impl Fn(u32) -> u32) {
        let translate = |key: &mut [u32]| (key[0], key[1]) = (group(key[0]), node(key[1]));
        self.stops.merge(&other.stops, translate);
        self.sessions.merge(&other.sessions, translate);
        self.entries.merge(&other.entries, translate);
        self.exits.merge(&other.exits, translate);
    }

    /// Groups and nodes, each pair once.
    pub fn keys(&self) -> impl Iterator<Item = (u32, u32)> {
        self.stops.keys().map(|key| (key[0], key[1]))
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        [&self.stops, &self.sessions, &self.entries, &self.exits].into_iter().map(Tally::heap_bytes).sum()
    }

    /// The rows in the order of groups by `group`, from frequent to rare, and of nodes by `node`.
    pub fn finish(&self, threads: usize, group: impl Fn(u32) -> u32, node: impl Fn(u32) -> u32) -> Vec<StopRow> {
        let order = |a: &[u32], b: &[u32]| -> Ordering {
            let nodes = || a.get(1).map(|&a| node(a)).cmp(&b.get(1).map(|&b| node(b)));
            group(a[0]).cmp(&group(b[0])).then_with(nodes)
        };
        let counts = |tally: &Tally| -> HashMap<(u32, u32), u64> {
            tally.counted().map(|(key, count)| ((key[0], key[1]), count)).collect()
        };
        let (entries, exits) = (counts(&self.entries), counts(&self.exits));
        let place = |group: u32, key: Option<&Vec<u32>>| (group, key.map_or(0, |key| key[0]));
        let sessions = rank(&self.sessions, u32::MAX, threads, order);
        let sessions: HashMap<(u32, u32), u64> =
            sessions.iter().map(|row| (place(row.group, row.key.as_ref()), row.users)).collect();
        let row = |row: crate::behavior::path::TallyRow| {
            let key = place(row.group, row.key.as_ref());
            let of = |counts: &HashMap<(u32, u32), u64>| counts.get(&key).copied().unwrap_or(0);
            StopRow {
                group: key.0,
                node: key.1,
                stops: row.count,
                sessions: of(&sessions),
                users: row.users,
                median_dwell_seconds: row.median_seconds,
                entries: of(&entries),
                exits: of(&exits),
            }
        };
        rank(&self.stops, u32::MAX, threads, order).into_iter().map(row).collect()
    }
}
