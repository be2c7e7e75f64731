//! How many users each two of several sets share.
//!
//! Pair by pair, every set would come through the caches as many times as there are other sets, and a pair of sparse
//! containers would be merged value by value. Here the containers of all sets for the same 65,536 users stand beside each
//! other as bits, and a pair of them is one pass over the bits, or a look at the bits of one for each user of the other.

use super::containers::Containers;
use super::words::{NONE, Words, among, both};
use fearless_simd::Level;
use roaring::RoaringBitmap;
use std::ops::Deref;

/// With fewer users than this in one of two containers they are looked up in the other: as fast as a pass over the bits
/// with registers of 128 bits and of 256, and a little slower with those of 512.
const LOOKED_UP_MAX: usize = 512;
/// So many containers stay in the nearest cache but one while others pass by.
const AT_ONCE: usize = 16;

/// For sets `a` and `b`, `a` not after `b`, the users of both at `a * sets + b`; nothing at the other places.
pub(super) fn shared_users(sets: &[impl Deref<Target = RoaringBitmap>]) -> Vec<u64> {
    let sets: Vec<Containers> = sets.iter().map(|set| Containers::of(set)).collect();
    let mut next = vec![0; sets.len()];
    let mut shared = vec![0; sets.len() * sets.len()];
    let mut beside = Beside { level: Level::new(), there: Vec::new(), words: Vec::new() };
    while let Some(key) = sets.iter().zip(&next).filter_map(|(set, &next)| set.key(next)).min() {
        beside.clear();
        for (number, (set, next)) in sets.iter().zip(&mut next).enumerate() {
            if set.key(*next) == Some(key) {
                beside.push(number, set, *next);
                *next += 1;
            }
        }
        beside.count(|a, b, users| shared[a * sets.len() + b] += users);
    }
    shared
}

/// The containers of several sets for the same users.
struct Beside<'a> {
    level: Level,
    there: Vec<There<'a>>,
    /// The bits of each one, and then those of earlier ones, whose memory is used again.
    words: Vec<Words>,
}

struct There<'a> {
    /// Which set's it is.
    set: usize,
    users: usize,
    /// Its users, where they are few.
    few: Option<&'a [[u8; 2]]>,
}

impl<'a> Beside<'a> {
    fn clear(&mut self) {
        self.there.clear();
    }

    /// Adds a container of a set that comes after those that are there.
    fn push(&mut self, set: usize, containers: &'a Containers, index: usize) {
        let place = self.there.len();
        if place == self.words.len() {
            self.words.push(NONE);
        }
        containers.write(index, self.level, &mut self.words[place]);
        let users = containers.users(index);
        let few = containers.places(index).filter(|_| users < LOOKED_UP_MAX);
        self.there.push(There { set, users, few });
    }

    /// Gives the users that each set shares with itself and with each later one.
    fn count(&self, mut found: impl FnMut(usize, usize, u64)) {
        self.there.iter().for_each(|each| found(each.set, each.set, each.users as u64));
        for first in (0..self.there.len()).step_by(AT_ONCE) {
            for b in first + 1..self.there.len() {
                for a in first..b.min(first + AT_ONCE) {
                    found(self.there[a].set, self.there[b].set, self.both(a, b));
                }
            }
        }
    }

    fn both(&self, a: usize, b: usize) -> u64 {
        let (fewer, more) = if self.there[a].users < self.there[b].users { (a, b) } else { (b, a) };
        match self.there[fewer].few {
            Some(places) => among(self.level, places, &self.words[more]),
            None => both(self.level, &self.words[a], &self.words[b]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sets of which the containers are of all kinds, some alike and some not there.
    fn set() -> impl Strategy<Value = RoaringBitmap> {
        let users = prop_oneof![0_u32..300_000, 60_000_u32..70_000, Just(u32::MAX)];
        let sparse = prop::collection::vec(users, 0..900);
        let dense = (0_u32..200_000, 1_u32..9, 1_u32..70_000);
        let dense = prop::option::of(dense);
        let run = prop::option::of((0_u32..300_000, 1_u32..140_000));
        (sparse, dense, run, any::<bool>()).prop_map(|(sparse, dense, run, is_packed)| {
            let mut set: RoaringBitmap = sparse.into_iter().collect();
            if let Some((first, step, count)) = dense {
                set.extend((0..count).map(|number| first + step * number));
            }
            if let Some((first, length)) = run {
                set.insert_range(first..first + length);
            }
            if is_packed {
                set.optimize();
            }
            set
        })
    }

    /// Asserts that every two share what their intersection has.
    fn check(sets: &[Box<RoaringBitmap>]) {
        let shared = shared_users(sets);
        for (a, of_a) in sets.iter().enumerate() {
            for (b, of_b) in sets.iter().enumerate() {
                let want = if a <= b { (&**of_a & &**of_b).len() } else { 0 };
                assert_eq!(shared[a * sets.len() + b], want, "{a} and {b}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn every_two_share_what_their_intersection_has(sets in prop::collection::vec(set().prop_map(Box::new), 0..24)) {
            check(&sets);
        }
    }

    #[test]
    fn containers_at_the_edge_of_a_kind_are_read_right() {
        let counts = [1, 511, 512, 513, 4_095, 4_096, 4_097, 65_535, 65_536];
        // Another container after it is found only where the length of the first is known.
        let set = |count: u32| (0..count).map(|user| user * (65_536 / count)).chain([65_536 + count]).collect();
        check(&counts.map(|count| Box::new(set(count))));
    }
}
