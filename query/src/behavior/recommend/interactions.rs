//! Who did something with which item, and when: the state that every algorithm reads.
//!
//! ```text
//! user  ->  its interactions in total order        item  ->  its uses by (time, user)
//! ```
//!
//! Both sides hold every interaction, so a user's list and an item's users are each found without a search. Codes of
//! users must stay the same from run to run, since they order uses of equal time: shard and ordinal together do. Codes
//! of items may be given in any order.

use super::item_knn::Similarity;
use super::overlaps::{Least, OverlapRow, Overlaps};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one event said about one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interaction {
    /// Time in microseconds since 1970, UTC.
    pub ts_us: i64,
    /// Code of the item.
    pub item: u32,
    /// Code of the event's name, which decides what the interaction is worth.
    pub kind: u8,
}

/// One use of an item. Two words hold the time, so that a use takes 12 bytes and not 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    ts_high: i32,
    ts_low: u32,
    user: u32,
}

impl Use {
    fn new(ts_us: i64, user: u32) -> Self {
        Self { ts_high: (ts_us >> 32) as i32, ts_low: ts_us as u32, user }
    }

    fn ts_us(self) -> i64 {
        (i64::from(self.ts_high) << 32) | i64::from(self.ts_low)
    }

    fn key(self) -> (i64, u32) {
        (self.ts_us(), self.user)
    }
}

/// Interactions of users with items. It is a function of the events in total order (time, then arrival): added one by
/// one as they come, late ones too, they give the same as all of them at once.
#[derive(Debug, Clone, Default)]
pub struct Interactions {
    users: Vec<Vec<Interaction>>,
    items: Vec<Vec<Use>>,
    /// Distinct users of each item.
    item_users: Vec<u32>,
    /// Users with at least one interaction.
    active_users: u32,
    len: usize,
    newest_us: Option<i64>,
    /// Events of each kind, by item.
    kind_events: Vec<Vec<u32>>,
    overlaps: KeptOverlaps,
    least: KeptLeast,
    /// For each item, the number of the last event that gave one of its users another item, or it another user.
    changed_at: Vec<u64>,
    version: u64,
}

/// Rows that questions find and changes keep right.
#[derive(Debug, Default)]
struct KeptOverlaps(RwLock<Overlaps>);

impl Clone for KeptOverlaps {
    fn clone(&self) -> Self {
        Self(RwLock::new(self.0.read().clone()))
    }
}

/// What questions learned of neighbours, by similarity and number of neighbours.
#[derive(Debug, Default)]
struct KeptLeast(Mutex<Vec<(Similarity, usize, Least)>>);

impl Clone for KeptLeast {
    /// It is learned again.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Interactions {
    /// Whether the same interactions are there; marks of what changed when are no part of it.
    fn eq(&self, other: &Self) -> bool {
        (&self.users, &self.items, &self.item_users) == (&other.users, &other.items, &other.item_users)
    }
}

impl Interactions {
    /// Interactions from events of users. Events of one user come in the order of arrival; users may be mixed.
    pub fn from_events(events: impl IntoIterator<Item = (u32, Interaction)>) -> Self {
        let events: Vec<(u32, Interaction)> = events.into_iter().collect();
        let mut all = Self::default();
        // Lists of the right length from the start: growing them would copy each event several times.
        let (mut of_user, mut of_item) = (Vec::new(), Vec::new());
        for (user, event) in &events {
            count(&mut of_user, *user);
            count(&mut of_item, event.item);
        }
        all.make_room(of_user.len(), of_item.len());
        all.users.iter_mut().zip(of_user).for_each(|(list, length)| list.reserve_exact(length));
        all.items.iter_mut().zip(of_item).for_each(|(uses, length)| uses.reserve_exact(length));
        for (user, event) in events {
            all.users[user as usize].push(event);
            all.items[event.item as usize].push(Use::new(event.ts_us, user));
            all.note(event);
        }
        for list in &mut all.users {
            if !list.is_sorted_by_key(|event| event.ts_us) {
                list.sort_by_key(|event| event.ts_us);
            }
        }
        for uses in &mut all.items {
            if !uses.is_sorted_by_key(|each| each.key()) {
                uses.sort_unstable_by_key(|each| each.key());
            }
        }
        all.count_users();
        all
    }

    /// Adds an event that arrived after all that are there. Its time may be earlier.
    pub fn add(&mut self, user: u32, event: Interaction) {
        self.make_room(user as usize + 1, event.item as usize + 1);
        self.note(event);
        let list = &mut self.users[user as usize];
        self.active_users += u32::from(list.is_empty());
        if !list.iter().any(|other| other.item == event.item) {
            self.item_users[event.item as usize] += 1;
            self.pair(user, event.item, true);
        }
        let list = &mut self.users[user as usize];
        let at = list.partition_point(|other| other.ts_us <= event.ts_us);
        reserve_tight(list);
        list.insert(at, event);
        let uses = &mut self.items[event.item as usize];
        let new = Use::new(event.ts_us, user);
        let at = uses.partition_point(|each| each.key() <= new.key());
        reserve_tight(uses);
        uses.insert(at, new);
    }

    /// Takes an event away that is there, such as the last one that [`Self::add`] added.
    pub fn remove(&mut self, user: u32, event: Interaction) {
        let Some(list) = self.users.get_mut(user as usize) else { return };
        // The last one of several that are the same, since later ones stand behind earlier ones.
        let Some(at) = list.iter().rposition(|other| *other == event) else { return };
        list.remove(at);
        self.active_users -= u32::from(list.is_empty());
        self.version += 1;
        self.len -= 1;
        if !list.iter().any(|other| other.item == event.item) {
            self.item_users[event.item as usize] -= 1;
            self.pair(user, event.item, false);
        }
        self.kind_events[usize::from(event.kind)][event.item as usize] -= 1;
        let uses = &mut self.items[event.item as usize];
        let old = Use::new(event.ts_us, user);
        let at = uses.partition_point(|each| each.key() < old.key());
        debug_assert_eq!(uses.get(at), Some(&old));
        uses.remove(at);
        if self.newest_us == Some(event.ts_us) {
            self.newest_us = self.items.iter().filter_map(|uses| uses.last()).map(|each| each.ts_us()).max();
        }
    }

    /// Makes a user's interactions those of `events`, which are in total order. What both begin with stays untouched, so
    /// that a user with a few more events costs what these cost.
    pub fn replace(&mut self, user: u32, events: &[Interaction]) {
        let known = self.of_user(user);
        let same = known.iter().zip(events).take_while(|(a, b)| a == b).count();
        let gone = known[same..].to_vec();
        gone.into_iter().rev().for_each(|event| self.remove(user, event));
        events[same..].iter().for_each(|&event| self.add(user, event));
    }

    /// Forgets all interactions before a time.
    pub fn forget_before(&mut self, since_us: i64) {
        for list in &mut self.users {
            list.drain(..list.partition_point(|event| event.ts_us < since_us));
        }
        for uses in &mut self.items {
            uses.drain(..uses.partition_point(|each| each.ts_us() < since_us));
        }
        self.version += 1;
        self.overlaps = self.overlaps.clone();
        self.newest_us = self.newest_us.filter(|&newest_us| newest_us >= since_us);
        self.len = self.users.iter().map(Vec::len).sum();
        self.kind_events.iter_mut().for_each(|events| events.fill(0));
        for event in self.users.iter().flatten() {
            self.kind_events[usize::from(event.kind)][event.item as usize] += 1;
        }
        self.item_users.fill(0);
        self.active_users = 0;
        self.count_users();
    }

    /// Number of users that codes are made for, those without interactions too.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Number of items that codes are made for.
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// Number of interactions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no interaction.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Time of the newest interaction.
    pub fn newest_us(&self) -> Option<i64> {
        self.newest_us
    }

    /// Users with at least one interaction.
    pub fn active_users(&self) -> u32 {
        self.active_users
    }

    /// The kinds that occur, ascending, or did.
    pub fn kinds(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).zip(&self.kind_events).filter(|(_, events)| !events.is_empty()).map(|(kind, _)| kind)
    }

    /// Events of a kind with an item.
    pub fn kind_events(&self, kind: u8, item: u32) -> u32 {
        self.kind_events.get(usize::from(kind)).and_then(|events| events.get(item as usize)).copied().unwrap_or(0)
    }

    /// Gives the numbers of users that an item shares with others to `read`.
    pub(super) fn overlaps<R>(&self, item: u32, read: impl FnOnce(OverlapRow<'_>) -> R) -> R {
        {
            let overlaps = self.overlaps.0.read();
            if let Some(row) = overlaps.row(item) {
                return read(row);
            }
        }
        let counts = self.count_overlaps(item);
        if self.overlaps.0.read().has_room_for(self.users_of_item(item)) {
            let mut overlaps = self.overlaps.0.write();
            overlaps.keep(item, &counts, &self.item_users);
            let overlaps = RwLockWriteGuard::downgrade(overlaps);
            if let Some(row) = overlaps.row(item) {
                return read(row);
            }
        }
        read(OverlapRow::Counted(&counts))
    }

    /// What questions for `count` neighbours by a similarity learned: all of them share it.
    pub(super) fn least(&self, similarity: Similarity, count: usize) -> Least {
        /// So many kinds of questions are remembered.
        const KINDS_MAX: usize = 16;
        let mut all = self.least.0.lock();
        let known = all.iter().position(|(of, neighbours, _)| (*of, *neighbours) == (similarity, count));
        let mut least = known.map_or_else(|| Least::from([]), |place| all.remove(place).2);
        if least.len() < self.item_count() {
            let known = |item: usize| least.get(item).map_or(0, |known: &AtomicU64| known.load(Ordering::Relaxed));
            least = (0..self.item_count()).map(|item| AtomicU64::new(known(item))).collect();
        }
        all.truncate(KINDS_MAX - 1);
        all.insert(0, (similarity, count, Arc::clone(&least)));
        least
    }

    /// Keeps what is counted for questions about neighbours within a limit, in bytes.
    pub fn keep_overlaps_within(&mut self, bytes_max: usize) {
        self.overlaps.0.get_mut().keep_within(bytes_max);
    }

    /// Bytes of what is kept for questions about neighbours.
    pub fn overlap_bytes(&self) -> usize {
        self.overlaps.0.read().heap_bytes()
    }

    /// A user's interactions in total order; none for a user who is not known.
    pub fn of_user(&self, user: u32) -> &[Interaction] {
        self.users.get(user as usize).map_or(&[], Vec::as_slice)
    }

    /// Distinct users of an item.
    pub fn users_of_item(&self, item: u32) -> u32 {
        self.item_users.get(item as usize).copied().unwrap_or(0)
    }

    /// Times and users of an item's uses from `since_us` to `until_us`, both inclusive, by (time, user).
    pub fn uses_between(
        &self,
        item: u32,
        since_us: i64,
        until_us: i64,
    ) -> impl DoubleEndedIterator<Item = (i64, u32)> + ExactSizeIterator + '_ {
        let uses = self.items.get(item as usize).map_or(&[][..], Vec::as_slice);
        let from = if since_us == i64::MIN { 0 } else { uses.partition_point(|each| each.ts_us() < since_us) };
        let to = if until_us == i64::MAX { uses.len() } else { uses.partition_point(|each| each.ts_us() <= until_us) };
        uses[from..to.max(from)].iter().map(|each| each.key())
    }

    /// The number of events that were added: what was computed at a version stays right for an item that did not change
    /// since.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version at which the set of (user, item) pairs around an item last changed: one of its users got another
    /// item, or it got another user.
    pub fn changed_at(&self, item: u32) -> u64 {
        self.changed_at.get(item as usize).copied().unwrap_or(0)
    }

    /// Bytes held on the heap, without [`Self::overlap_bytes`].
    pub fn heap_bytes(&self) -> usize {
        let lists: usize = self.users.iter().map(|list| list.capacity() * size_of::<Interaction>()).sum();
        let uses: usize = self.items.iter().map(|uses| uses.capacity() * size_of::<Use>()).sum();
        let kinds: usize = self.kind_events.iter().map(|events| events.capacity() * 4).sum();
        let heads =
            self.users.capacity() * size_of::<Vec<Interaction>>() + self.items.capacity() * size_of::<Vec<Use>>();
        lists + uses + heads + self.item_users.capacity() * 4 + self.changed_at.capacity() * 8 + kinds
    }

    fn make_room(&mut self, users: usize, items: usize) {
        if self.users.len() < users {
            self.users.resize_with(users, Vec::new);
        }
        if self.items.len() < items {
            self.items.resize_with(items, Vec::new);
            self.item_users.resize(items, 0);
            self.changed_at.resize(items, 0);
        }
    }

    fn note(&mut self, event: Interaction) {
        self.len += 1;
        self.version += 1;
        let kind = usize::from(event.kind);
        if self.kind_events.len() <= kind {
            self.kind_events.resize_with(kind + 1, Vec::new);
        }
        let events = &mut self.kind_events[kind];
        if events.len() <= event.item as usize {
            events.resize(self.items.len(), 0);
        }
        events[event.item as usize] += 1;
        self.newest_us = self.newest_us.max(Some(event.ts_us));
    }

    /// A user got an item, or lost it, beside those of the user's list.
    fn pair(&mut self, user: u32, item: u32, is_new: bool) {
        let list = &self.users[user as usize];
        self.changed_at[item as usize] = self.version;
        for other in list {
            self.changed_at[other.item as usize] = self.version;
        }
        let overlaps = self.overlaps.0.get_mut();
        if !overlaps.is_empty() {
            let mut others: Vec<u32> = list.iter().map(|other| other.item).collect();
            others.sort_unstable();
            others.dedup();
            overlaps.pair(item, &others, is_new);
        }
    }

    /// With how many users of `item` each item is used, too; 0 for itself.
    fn count_overlaps(&self, item: u32) -> Vec<u32> {
        let mut counts = vec![0_u32; self.items.len()];
        let mut counted_for = vec![u32::MAX; self.items.len()];
        for user in self.distinct_users(item) {
            for event in &self.users[user as usize] {
                if counted_for[event.item as usize] != user {
                    counted_for[event.item as usize] = user;
                    counts[event.item as usize] += 1;
                }
            }
        }
        if let Some(own) = counts.get_mut(item as usize) {
            *own = 0;
        }
        counts
    }

    fn distinct_users(&self, item: u32) -> Vec<u32> {
        let uses = self.items.get(item as usize).map_or(&[][..], Vec::as_slice);
        let mut users: Vec<u32> = uses.iter().map(|each| each.user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Counts users once all lists are there: the mark of an item is the user who was counted last.
    fn count_users(&mut self) {
        let mut counted_for = vec![u32::MAX; self.items.len()];
        for (user, list) in self.users.iter().enumerate() {
            self.active_users += u32::from(!list.is_empty());
            for event in list {
                if counted_for[event.item as usize] != user as u32 {
                    counted_for[event.item as usize] = user as u32;
                    self.item_users[event.item as usize] += 1;
                }
            }
        }
        self.changed_at.fill(self.version);
    }
}

/// Room for one more, growing by a quarter: most lists are short and there are as many as users.
fn reserve_tight<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 4 + 2);
    }
}

fn count(lengths: &mut Vec<usize>, list: u32) {
    if lengths.len() <= list as usize {
        lengths.resize(list as usize + 1, 0);
    }
    lengths[list as usize] += 1;
}
