//! Sizes of sets of users beside each other: how much they overlap, and how much more frequent they are inside another.

use super::significance::{Significance, two_proportions};
use roaring::RoaringBitmap;
use std::sync::Arc;

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

/// Every segment beside every one, itself included, in order. `shards` has for each shard the users of each segment.
pub fn overlaps(shards: &[Vec<Arc<RoaringBitmap>>], segments: usize) -> Vec<Overlap> {
    let mut shared = vec![0; segments * segments];
    for sets in shards {
        for (a, of_a) in sets.iter().enumerate() {
            shared[a * segments + a] += of_a.len();
            for (b, of_b) in sets.iter().enumerate().skip(a + 1) {
                let users = if Arc::ptr_eq(of_a, of_b) { of_a.len() } else { of_a.intersection_len(of_b) };
                shared[a * segments + b] += users;
                shared[b * segments + a] += users;
            }
        }
    }
    let size = |of: usize| shared[of * segments + of];
    let pairs = (0..segments).flat_map(|a| (0..segments).map(move |b| (a, b)));
    let overlap = |(a, b)| Overlap { a, b, users_a: size(a), users_b: size(b), users: shared[a * segments + b] };
    pairs.map(overlap).collect()
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

/// The lift of a segment in each shard's chosen users against the other known users.
pub fn lift<'a>(shards: impl Iterator<Item = [&'a RoaringBitmap; 3]>) -> Lift {
    let mut sum = Lift { users_inside: 0, inside: 0, users_outside: 0, outside: 0 };
    for [segment, chosen, known] in shards {
        let inside = segment.intersection_len(chosen);
        sum.users_inside += inside;
        sum.inside += chosen.len();
        sum.users_outside += segment.len() - inside;
        sum.outside += known.len() - chosen.len();
    }
    sum
}

/// `part` by `whole`; `None` where that is 0.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
