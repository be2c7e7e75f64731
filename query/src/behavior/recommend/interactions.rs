//! Who did something with which item, and when: the state that every algorithm reads.
//!
//! ```text
//! user  ->  its interactions in total order        item  ->  its uses by (time, user)
//! ```
//!
//! Both sides hold every interaction, so a user's list and an item's users are each found without a search. Codes of
//! users must stay the same from run to run, since they order uses of equal time: shard and ordinal together do. Codes
//! of items may be given in any order.

use std::mem::size_of;

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
    /// A bit for each kind that occurs.
    kinds: [u64; 4],
    /// For each item, the number of the last event that gave one of its users another item, or it another user.
    changed_at: Vec<u64>,
    version: u64,
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
        let mut all = Self::default();
        for (user, event) in events {
            all.make_room(user, event.item);
            push_tight(&mut all.users[user as usize], event);
            push_tight(&mut all.items[event.item as usize], Use::new(event.ts_us, user));
            all.note(event);
        }
        for list in &mut all.users {
            if !list.is_sorted_by_key(|event| event.ts_us) {
                list.sort_by_key(|event| event.ts_us);
            }
            list.shrink_to_fit();
        }
        for uses in &mut all.items {
            if !uses.is_sorted_by_key(|each| each.key()) {
                uses.sort_unstable_by_key(|each| each.key());
            }
            uses.shrink_to_fit();
        }
        all.count_users();
        all
    }

    /// Adds an event that arrived after all that are there. Its time may be earlier.
    pub fn add(&mut self, user: u32, event: Interaction) {
        self.make_room(user, event.item);
        self.note(event);
        let list = &mut self.users[user as usize];
        self.active_users += u32::from(list.is_empty());
        if !list.iter().any(|other| other.item == event.item) {
            self.item_users[event.item as usize] += 1;
            self.changed_at[event.item as usize] = self.version;
            for other in list.iter() {
                self.changed_at[other.item as usize] = self.version;
            }
        }
        let at = list.partition_point(|other| other.ts_us <= event.ts_us);
        reserve_tight(list);
        list.insert(at, event);
        let uses = &mut self.items[event.item as usize];
        let new = Use::new(event.ts_us, user);
        let at = uses.partition_point(|each| each.key() <= new.key());
        reserve_tight(uses);
        uses.insert(at, new);
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

    /// The kinds that occur, ascending.
    pub fn kinds(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|kind| self.kinds[usize::from(kind >> 6)] >> (kind & 63) & 1 != 0)
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

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        let lists: usize = self.users.iter().map(|list| list.capacity() * size_of::<Interaction>()).sum();
        let uses: usize = self.items.iter().map(|uses| uses.capacity() * size_of::<Use>()).sum();
        let heads =
            self.users.capacity() * size_of::<Vec<Interaction>>() + self.items.capacity() * size_of::<Vec<Use>>();
        lists + uses + heads + self.item_users.capacity() * 4 + self.changed_at.capacity() * 8
    }

    fn make_room(&mut self, user: u32, item: u32) {
        if self.users.len() <= user as usize {
            self.users.resize_with(user as usize + 1, Vec::new);
        }
        if self.items.len() <= item as usize {
            self.items.resize_with(item as usize + 1, Vec::new);
            self.item_users.resize(item as usize + 1, 0);
            self.changed_at.resize(item as usize + 1, 0);
        }
    }

    fn note(&mut self, event: Interaction) {
        self.len += 1;
        self.version += 1;
        self.kinds[usize::from(event.kind >> 6)] |= 1 << (event.kind & 63);
        self.newest_us = self.newest_us.max(Some(event.ts_us));
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

fn push_tight<T>(list: &mut Vec<T>, value: T) {
    reserve_tight(list);
    list.push(value);
}
