//! Which interactions count for a question, and how much: kinds, window, the moment of the question.

use super::interactions::{Interaction, Interactions};

/// The highest weight of an event.
pub const WEIGHT_MAX: f64 = 1_000_000.0;

/// A weight of 1 in units of [`Fixed`].
const FIXED_ONE: f64 = (1_u64 << 40) as f64;

/// A sum of weights that does not depend on the order of addition, as a sum of floats would: multiples of 2⁻⁴⁰.
///
/// An event that has lost more than that of a weight of 1, after forty half-lives, counts as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fixed(i128);

impl Fixed {
    /// Adds a weight from 0 to [`WEIGHT_MAX`].
    pub fn add(&mut self, weight: f64) {
        // It fits 64 bits, and rounding by a half is one instruction where `round` is a call.
        self.0 += i128::from((weight * FIXED_ONE + 0.5) as i64);
    }

    /// Adds a weight so many times.
    pub fn add_times(&mut self, weight: f64, count: u32) {
        self.0 += i128::from((weight * FIXED_ONE + 0.5) as i64) * i128::from(count);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }

    /// The sum as a float.
    pub fn value(self) -> f64 {
        self.0 as f64 / FIXED_ONE
    }
}

/// What an event of each kind is worth; a kind that is not listed does not count.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(Vec<f64>);

impl Weights {
    /// Weights by code of kind. A kind of weight 0 does not count.
    pub fn new(by_kind: Vec<f64>) -> Self {
        Self(by_kind)
    }

    /// The weight of a kind.
    pub fn of(&self, kind: u8) -> f64 {
        self.0.get(usize::from(kind)).copied().unwrap_or(0.0)
    }

    /// The weights by code of kind.
    pub fn by_kind(&self) -> &[f64] {
        &self.0
    }
}

/// The interactions that count: of kinds with a weight, in the window, not after the moment of the question.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// All interactions.
    pub interactions: &'a Interactions,
    /// What an event is worth.
    pub weights: Weights,
    /// Nothing earlier counts.
    pub since_us: i64,
    /// Nothing later is read.
    pub until_us: i64,
    /// The moment from which the age of an event is counted.
    pub now_us: i64,
    /// An event's weight halves in this time.
    pub half_life_us: Option<i64>,
}

impl<'a> View<'a> {
    /// Everything, each event with its kind's weight.
    pub fn whole(interactions: &'a Interactions, weights: Weights) -> Self {
        let now_us = interactions.newest_us().unwrap_or(0);
        Self { interactions, weights, since_us: i64::MIN, until_us: i64::MAX, now_us, half_life_us: None }
    }

    /// Whether the event counts.
    pub fn holds(&self, event: &Interaction) -> bool {
        (self.since_us..=self.until_us).contains(&event.ts_us) && self.weights.of(event.kind) != 0.0
    }

    /// A user's events that count, in total order.
    pub fn events(&self, user: u32) -> impl DoubleEndedIterator<Item = &'a Interaction> + '_ {
        let list = self.interactions.of_user(user);
        self.in_time(list).iter().filter(|event| self.weights.of(event.kind) != 0.0)
    }

    /// The weight of an event at the moment of the question.
    pub fn weight(&self, event: &Interaction) -> f64 {
        self.weights.of(event.kind) * self.decay(event.ts_us)
    }

    /// What is left at the moment of the question of a weight of 1 at `ts_us`.
    pub fn decay(&self, ts_us: i64) -> f64 {
        let Some(half_life_us) = self.half_life_us else { return 1.0 };
        let age_us = self.now_us.saturating_sub(ts_us).max(0);
        (-(age_us as f64) / half_life_us as f64).exp2()
    }

    /// Whether every interaction counts, so that counts that are kept up to date can be used.
    pub fn is_whole(&self) -> bool {
        let newest = self.interactions.newest_us().unwrap_or(i64::MIN);
        let counts = |kind| self.weights.of(kind) != 0.0;
        self.since_us == i64::MIN && self.until_us >= newest && self.interactions.kinds().all(counts)
    }

    /// Calls `found` for each distinct user of an item, by code, who used it in a way that counts. `users` is a buffer.
    pub fn each_user_of(&self, item: u32, users: &mut Vec<u32>, mut found: impl FnMut(u32)) {
        users.clear();
        users.extend(self.interactions.uses_between(item, self.since_us, self.until_us).map(|(_, user)| user));
        users.sort_unstable();
        users.dedup();
        let whole = self.is_whole();
        for &user in users.iter() {
            if whole || self.events(user).any(|event| event.item == item) {
                found(user);
            }
        }
    }

    /// The events of a user's list from the first to the last moment of the view, of every kind.
    pub(super) fn in_time<'l>(&self, list: &'l [Interaction]) -> &'l [Interaction] {
        let from =
            if self.since_us == i64::MIN { 0 } else { list.partition_point(|event| event.ts_us < self.since_us) };
        // Asked first, since it does not read the list, which lies anywhere in memory.
        let is_all = self.interactions.newest_us().is_none_or(|newest_us| newest_us <= self.until_us);
        let to = if is_all || list.last().is_none_or(|event| event.ts_us <= self.until_us) {
            list.len()
        } else {
            list.partition_point(|event| event.ts_us <= self.until_us)
        };
        &list[from..to.max(from)]
    }
}
