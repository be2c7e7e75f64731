//! What sessions add up to, by group and bucket: partials that merge in any order, and the rows made of them.

use super::kernel::Session;
use crate::behavior::quantile::quantiles_seconds;
use hashbrown::HashMap;

/// Marks the first key of another user. There are fewer keys than this.
const NEXT_USER: u32 = 1 << 31;

/// Numbers of events are counted in millionths, as seconds are, so that they have quantiles in the same way.
const MILLION: i64 = 1_000_000;

/// A row of `emit => 'summary'`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryRow {
    /// The group of `by` values.
    pub group: u32,
    /// Start of the bucket; 0 without buckets.
    pub bucket_us: i64,
    /// How many sessions.
    pub sessions: u64,
    /// Different users.
    pub users: u64,
    /// Mean and median of the time from the first to the last event of a session.
    pub seconds: [f64; 2],
    /// Mean and median of the number of events of a session.
    pub events: [f64; 2],
    /// Sessions of one event.
    pub bounces: u64,
}

/// Sessions, by group and bucket.
#[derive(Debug, Clone, Default)]
pub struct SummaryPartial {
    numbers: HashMap<(u32, i64), u32>,
    keys: Vec<(u32, i64)>,
    /// Number of the key of each session, how long it took, and how many events it has.
    key_of: Vec<u32>,
    durations_us: Vec<i64>,
    events: Vec<u32>,
    /// The different keys of each user, that of a user's first one with [`NEXT_USER`].
    user_keys: Vec<u32>,
    /// The last user of each key, as numbered by `user`.
    last_users: Vec<u64>,
    user: u64,
    is_known: bool,
}

impl SummaryPartial {
    /// What is added from here on is of another user than before.
    pub fn begin_user(&mut self) {
        self.user += 1;
        self.is_known = false;
    }

    /// Adds a session of the user at hand.
    pub fn add(&mut self, group: u32, bucket_us: i64, session: &Session<'_>) {
        let number = self.number_of((group, bucket_us));
        self.add_user(number);
        self.key_of.push(number);
        self.durations_us.push(session.duration_us());
        self.events.push(session.events());
    }

    fn number_of(&mut self, key: (u32, i64)) -> u32 {
        let next = self.keys.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.keys.push(key);
            self.last_users.push(0);
        }
        number
    }

    fn add_user(&mut self, number: u32) {
        let last = &mut self.last_users[number as usize];
        if *last != self.user {
            *last = self.user;
            self.user_keys.push(if self.is_known { number } else { number | NEXT_USER });
            self.is_known = true;
        }
    }

    /// Adds everything of `other`, whose groups mean what `group` makes of them. Different ones may mean the same.
    pub fn merge(&mut self, other: &Self, group: impl Fn(u32) -> u32) {
        let numbers: Vec<u32> =
            other.keys.iter().map(|&(theirs, bucket_us)| self.number_of((group(theirs), bucket_us))).collect();
        for &key in &other.user_keys {
            if key & NEXT_USER != 0 {
                self.begin_user();
            }
            self.add_user(numbers[(key & !NEXT_USER) as usize]);
        }
        self.key_of.extend(other.key_of.iter().map(|&key| numbers[key as usize]));
        self.durations_us.extend_from_slice(&other.durations_us);
        self.events.extend_from_slice(&other.events);
    }

    /// The groups that have sessions, each at least once.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        self.keys.iter().map(|(group, _)| *group)
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        let by_key = self.numbers.capacity() * 24 + self.keys.capacity() * 16 + self.last_users.capacity() * 8;
        let by_session = 4 * (self.key_of.capacity() + self.events.capacity()) + 8 * self.durations_us.capacity();
        by_key + by_session + 4 * self.user_keys.capacity()
    }

    /// The rows in the order of groups by `rank`, and of buckets.
    pub fn finish(&self, rank: impl Fn(u32) -> u32) -> Vec<SummaryRow> {
        let mut users = vec![0_u64; self.keys.len()];
        // A user's different keys are written once each.
        self.user_keys.iter().for_each(|key| users[(key & !NEXT_USER) as usize] += 1);
        let mut durations: Vec<Vec<i64>> = vec![Vec::new(); self.keys.len()];
        let mut events: Vec<Vec<i64>> = vec![Vec::new(); self.keys.len()];
        for (place, &key) in self.key_of.iter().enumerate() {
            durations[key as usize].push(self.durations_us[place]);
            events[key as usize].push(i64::from(self.events[place]) * MILLION);
        }
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_unstable_by_key(|&key| (rank(self.keys[key].0), self.keys[key].1));
        let row = |key: usize| {
            let (durations, events) = (&mut durations[key], &mut events[key]);
            SummaryRow {
                group: self.keys[key].0,
                bucket_us: self.keys[key].1,
                sessions: durations.len() as u64,
                users: users[key],
                seconds: mean_and_median(durations),
                bounces: events.iter().filter(|&&events| events == MILLION).count() as u64,
                events: mean_and_median(events),
            }
        };
        order.into_iter().map(row).collect()
    }
}

/// Mean and median of values in millionths; there is at least one.
fn mean_and_median(values: &mut [i64]) -> [f64; 2] {
    let sum: i128 = values.iter().map(|&value| i128::from(value)).sum();
    let [median] = quantiles_seconds(values, [0.5]);
    [sum as f64 / (values.len() as f64 * MILLION as f64), median.unwrap_or(0.0)]
}
