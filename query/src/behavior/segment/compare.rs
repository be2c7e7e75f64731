//! Sizes of sets of users beside each other: how much they overlap, and how much more frequent they are inside another.

use super::shared::shared_users;
use super::significance::{Significance, two_proportions};
use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::parallel::map_all;

/// Two segments, by their places, and how many users they share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// The first one.
    pub a: usize,
    /// The second one.
    pub b: usize,
    /// Users of the first one.
    pub users_a: u64,
    /// Users of the second one.
    pub users_b: u64,
    /// Users of both.
    pub users: u64,
}

impl Overlap {
    /// Users of both by users of the first one; `None` where that is empty.
    pub fn share_of_a(&self) -> Option<f64> {
        ratio(self.users, self.users_a)
    }

    /// Users of both by users of either; `None` where both are empty.
    pub fn jaccard(&self) -> Option<f64> {
        ratio(self.users, self.users_a + self.users_b - self.users)
    }
}

/// Every segment beside every one, itself included, in order. `shards` has for each shard the users of each segment; each is
/// the work of one of so many threads.
pub fn overlaps(shards: &[Vec<Arc<RoaringBitmap>>], segments: usize, threads: usize) -> Vec<Overlap> {
    let mut shared = vec![0; segments * segments];
    for of_shard in map_all(shards, threads, |sets| shared_users(sets)) {
        shared.iter_mut().zip(of_shard).for_each(|(sum, users)| *sum += users);
    }
    let users = |a: usize, b: usize| shared[a.min(b) * segments + a.max(b)];
    let pairs = (0..segments).flat_map(|a| (0..segments).map(move |b| (a, b)));
    pairs.map(|(a, b)| Overlap { a, b, users_a: users(a, a), users_b: users(b, b), users: users(a, b) }).collect()
}

/// How frequent a segment is inside the chosen users and outside of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lift {
    /// Users of the segment inside.
    pub users_inside: u64,
    /// All users inside.
    pub inside: u64,
    /// Users of the segment outside.
    pub users_outside: u64,
    /// All users outside.
    pub outside: u64,
}

impl Lift {
    /// The part of the users inside; `None` where there are none.
    pub fn share_inside(&self) -> Option<f64> {
        ratio(self.users_inside, self.inside)
    }

    /// The part of the users outside; `None` where there are none.
    pub fn share_outside(&self) -> Option<f64> {
        ratio(self.users_outside, self.outside)
    }

    /// How many times more frequent it is inside; `None` where nobody outside is in it.
    pub fn lift(&self) -> Option<f64> {
        Some(self.share_inside()? / self.share_outside().filter(|share| *share > 0.0)?)
    }

    /// Whether the shares differ by more than chance.
    pub fn significance(&self) -> Option<Significance> {
        two_proportions((self.users_inside, self.inside), (self.users_outside, self.outside))
    }
}

/// The lift of each of so many segments in the chosen users against the other known users. `shards` has for each shard the known
/// users, the chosen ones and those of each segment; each is the work of one of so many threads.
pub fn lifts(shards: &[(&RoaringBitmap, &[Arc<RoaringBitmap>])], segments: usize, threads: usize) -> Vec<Lift> {
    let mut sums = vec![Lift { users_inside: 0, inside: 0, users_outside: 0, outside: 0 }; segments];
    for of_shard in map_all(shards, threads, |(known, rules)| shard_lifts(known, rules)) {
        for (sum, of_shard) in sums.iter_mut().zip(of_shard) {
            sum.users_inside += of_shard.users_inside;
            sum.inside += of_shard.inside;
            sum.users_outside += of_shard.users_outside;
            sum.outside += of_shard.outside;
        }
    }
    sums
}

fn shard_lifts(known: &RoaringBitmap, rules: &[Arc<RoaringBitmap>]) -> Vec<Lift> {
    let [chosen, segments @ ..] = rules else { return Vec::new() };
    let (inside, outside) = (chosen.len(), known.len() - chosen.len());
    let lift = |segment: &Arc<RoaringBitmap>| {
        let users_inside = segment.intersection_len(chosen);
        Lift { users_inside, inside, users_outside: segment.len() - users_inside, outside }
    };
    segments.iter().map(lift).collect()
}

/// `part` by `whole`; `None` where that is 0.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
