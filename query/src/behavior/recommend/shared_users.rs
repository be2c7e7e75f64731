//! How many users each item shares with one item, counted from the pairs of users and items.

use super::pairs::Pairs;
use std::ops::AddAssign;

/// From so many counted pairs a column on, most columns share users, and all are looked at.
const DENSE_PART: usize = 4;

/// Counts that are looked at together.
const LOOKED_AT: usize = 64;

/// Buffers for counts, one a column, which are 0 between questions.
pub(super) struct SharedUsers<'a> {
    pairs: &'a Pairs,
    /// Where the users of an item are few enough: they stay nearer at hand.
    narrow: Vec<u16>,
    wide: Vec<u32>,
    touched: Vec<u32>,
}

impl<'a> SharedUsers<'a> {
    pub(super) fn new(pairs: &'a Pairs) -> Self {
        let columns = pairs.items.len();
        Self { pairs, narrow: vec![0; columns], wide: vec![0; columns], touched: Vec::new() }
    }

    /// Calls `found` for each column that shares users with `column`, itself too, with how many. It says how many the next
    /// ones need to have at least, so that others are passed over.
    pub(super) fn each(&mut self, column: usize, found: impl FnMut(u32, u32) -> u32) {
        let users = self.pairs.column(column).0;
        let counted: usize = users.iter().map(|&user| self.pairs.row(user as usize).0.len()).sum();
        if counted < self.wide.len() / DENSE_PART {
            self.each_touched(users, found);
        } else if users.len() <= usize::from(u16::MAX) {
            each_of_all(self.pairs, users, &mut self.narrow, found);
        } else {
            each_of_all(self.pairs, users, &mut self.wide, found);
        }
    }

    fn each_touched(&mut self, users: &[u32], mut found: impl FnMut(u32, u32) -> u32) {
        let Self { pairs, wide: counts, touched, .. } = self;
        touched.clear();
        for &user in users {
            for &other in pairs.row(user as usize).0 {
                let count = &mut counts[other as usize];
                if *count == 0 {
                    touched.push(other);
                }
                *count += 1;
            }
        }
        let mut least = 1;
        for &other in touched.iter() {
            let count = std::mem::take(&mut counts[other as usize]);
            if count >= least {
                least = found(other, count);
            }
        }
    }
}

/// A number of users.
trait Count: Copy + Default + Ord + From<u8> + Into<u32> + TryFrom<u32> + AddAssign {}

impl Count for u16 {}
impl Count for u32 {}

fn each_of_all<C: Count>(pairs: &Pairs, users: &[u32], counts: &mut [C], mut found: impl FnMut(u32, u32) -> u32) {
    for &user in users {
        for &other in pairs.row(user as usize).0 {
            counts[other as usize] += C::from(1);
        }
    }
    let mut least = Ok(C::from(1));
    for (part, counts) in (0..).step_by(LOOKED_AT).zip(counts.chunks_mut(LOOKED_AT)) {
        // What no count can be is looked for no more.
        let Ok(of_part) = least else {
            counts.fill(C::default());
            continue;
        };
        // Few parts have a count that is high enough, so that mostly one look at all of them is enough.
        if counts.iter().fold(false, |any, &count| any | (count >= of_part)) {
            for (other, &count) in (part..).zip(counts.iter()) {
                if least.as_ref().is_ok_and(|least| count >= *least) {
                    least = C::try_from(found(other, count.into()));
                }
            }
        }
        counts.fill(C::default());
    }
}
