//! Counts by key: partials that merge in any order.
//!
//! A key is a sequence of codes, see [`super::path_key`]. Keys lie one after the other in one vector and are found by their
//! hash, so that millions of different paths cost little more than their codes. Who had which key, and how long it took,
//! lie in vectors of their own, one entry after the other: medians and the users of the rest are exact, and which keys will
//! be in the rest is known at the end only.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// What is asked for besides counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Different users.
    pub users: bool,
    /// Medians of durations.
    pub durations: bool,
}

/// Marks the first of the keys of a user.
const NEXT_USER: u32 = 1 << 31;

/// Counts, users and durations by key. Users come one after the other, each in one tally only.
#[derive(Debug, Clone)]
pub struct Tally {
    wanted: Wanted,
    hasher: DefaultHashBuilder,
    /// Numbers of keys that [`packed`] makes one number of, as most are: no code of them is looked at. Of many keys one is
    /// seldom at hand, and each place that is looked at costs more than all else.
    short: HashTable<(u64, u32)>,
    /// Numbers of the other keys, by the hash of the key.
    numbers: HashTable<u32>,
    codes: Vec<u32>,
    /// Where in `codes` each key ends.
    ends: Vec<usize>,
    pub(super) counts: Vec<u64>,
    pub(super) users: Vec<u64>,
    /// The last user of each key, as numbered by `user`.
    last_users: Vec<u64>,
    user: u64,
    /// Whether the user at hand has a key already.
    is_known: bool,
    /// The different keys of each user: numbers of keys, that of a user's first one with [`NEXT_USER`].
    pub(super) user_keys: Vec<u32>,
    /// Of each duration the number of its key, and microseconds.
    pub(super) duration_keys: Vec<u32>,
    pub(super) durations_us: Vec<i64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            hasher: DefaultHashBuilder::default(),
            short: HashTable::new(),
            numbers: HashTable::new(),
            codes: Vec::new(),
            ends: Vec::new(),
            counts: Vec::new(),
            users: Vec::new(),
            last_users: Vec::new(),
            user: 0,
            is_known: false,
            user_keys: Vec::new(),
            duration_keys: Vec::new(),
            durations_us: Vec::new(),
        }
    }

    /// What is counted besides.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// What is added from here on is of another user than before.
    pub fn begin_user(&mut self) {
        self.user += 1;
        self.is_known = false;
    }

    /// Counts `key` once more, for the user at hand. `duration_us` is how long it took, where that has a meaning.
    pub fn add(&mut self, key: &[u32], duration_us: Option<i64>) {
        let number = self.number_of(key);
        self.add_number(number, duration_us);
    }

    /// Counts the key of `number`, as [`Self::number_of`] gave it, once more.
    #[inline]
    pub fn add_number(&mut self, number: u32, duration_us: Option<i64>) {
        self.counts[number as usize] += 1;
        if self.wanted.users {
            self.add_user(number);
        }
        if let Some(duration_us) = duration_us.filter(|_| self.wanted.durations) {
            self.duration_keys.push(number);
            self.durations_us.push(duration_us);
        }
    }

    /// Counts the user at hand for the key of `number`, once.
    #[inline]
    fn add_user(&mut self, number: u32) {
        let place = number as usize;
        if self.last_users[place] != self.user {
            self.last_users[place] = self.user;
            self.users[place] += 1;
            self.user_keys.push(if self.is_known { number } else { number | NEXT_USER });
            self.is_known = true;
        }
    }

    /// Counts `key` `count` times more, where neither users nor durations are wanted.
    pub fn add_count(&mut self, key: &[u32], count: u64) {
        debug_assert!(!self.wanted.users && !self.wanted.durations, "counts alone");
        let number = self.number_of(key);
        self.counts[number as usize] += count;
    }

    /// Adds everything of `other`, whose keys mean what `translate` makes of them. Different keys may mean the same.
    pub fn merge(&mut self, other: &Self, mut translate: impl FnMut(&mut [u32])) {
        let mut key = Vec::new();
        let mut numbers = Vec::with_capacity(other.counts.len());
        for (number, codes) in other.keys().enumerate() {
            key.clear();
            key.extend_from_slice(codes);
            translate(&mut key);
            let mine = self.number_of(&key);
            self.counts[mine as usize] += other.counts[number];
            numbers.push(mine);
        }
        other.each_user_key(|is_next, key| {
            if is_next {
                self.begin_user();
            }
            self.add_user(numbers[key as usize]);
        });
        self.duration_keys.extend(other.duration_keys.iter().map(|&key| numbers[key as usize]));
        self.durations_us.extend_from_slice(&other.durations_us);
    }

    /// The keys, in the order of their numbers.
    pub fn keys(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.ends.len()).map(|number| key_of(&self.codes, &self.ends, number))
    }

    /// The keys and their counts.
    pub fn counted(&self) -> impl Iterator<Item = (&[u32], u64)> {
        self.keys().zip(self.counts.iter().copied())
    }

    /// Number of different keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let by_key = self.ends.capacity() + self.counts.capacity() + self.users.capacity() + self.last_users.capacity();
        let codes = self.codes.capacity() + self.user_keys.capacity() + self.duration_keys.capacity();
        // A place of the table is the number and a byte of its hash.
        8 * (by_key + self.durations_us.capacity())
            + 4 * codes
            + 5 * self.numbers.capacity()
            + 17 * self.short.capacity()
    }

    /// Calls `found` for the different keys of each user, user after user, and says which is the first of another user.
    pub(super) fn each_user_key(&self, mut found: impl FnMut(bool, u32)) {
        self.user_keys.iter().for_each(|&key| found(key & NEXT_USER != 0, key & !NEXT_USER));
    }

    /// The number of `key`, which it keeps in this tally.
    pub fn number_of(&mut self, key: &[u32]) -> u32 {
        let Some(packed) = packed(key) else { return self.number_of_long(key) };
        let hash = self.hasher.hash_one(packed);
        if let Some(&(_, number)) = self.short.find(hash, |known| known.0 == packed) {
            return number;
        }
        let number = self.append(key);
        self.short.insert_unique(hash, (packed, number), |other| self.hasher.hash_one(other.0));
        number
    }

    fn number_of_long(&mut self, key: &[u32]) -> u32 {
        let (codes, ends) = (&self.codes, &self.ends);
        let hash = self.hasher.hash_one(key);
        if let Some(&number) = self.numbers.find(hash, |&number| key_of(codes, ends, number as usize) == key) {
            return number;
        }
        let number = self.append(key);
        let (codes, ends, hasher) = (&self.codes, &self.ends, &self.hasher);
        self.numbers.insert_unique(hash, number, |&other| hasher.hash_one(key_of(codes, ends, other as usize)));
        number
    }

    /// Keep a new key.
    fn append(&mut self, key: &[u32]) -> u32 {
        // The memory of a query is used up long before half of all u32 are.
        let number = self.ends.len() as u32;
        self.codes.extend_from_slice(key);
        self.ends.push(self.codes.len());
        self.counts.push(0);
        self.users.push(0);
        self.last_users.push(0);
        number
    }
}

/// Few small codes as one number, a byte each: another one for each other key, since no byte is 0.
#[inline]
fn packed(key: &[u32]) -> Option<u64> {
    let is_small = key.len() <= 8 && key.iter().fold(0, |any, code| any | code) < 255;
    is_small.then(|| key.iter().fold(0, |packed, &code| packed << 8 | u64::from(code + 1)))
}

fn key_of<'a>(codes: &'a [u32], ends: &[usize], number: usize) -> &'a [u32] {
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &codes[start..ends[number]]
}
