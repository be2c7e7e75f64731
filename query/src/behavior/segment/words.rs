//! Counting over sets of places below 65,536, in loops that are compiled for several processors: which one runs is found at
//! run time, so that a program for every machine uses the wide registers of this one.

use fearless_simd::{Level, Simd, dispatch};

/// Words of a set.
const COUNT: usize = 1 << 10;

/// A set of places: place `p` is bit `p % 64` of word `p / 64`.
pub(super) type Words = [u64; COUNT];

/// The empty set.
pub(super) const NONE: Words = [0; COUNT];

/// Places in both sets.
pub(super) fn both(level: Level, a: &Words, b: &Words) -> u64 {
    dispatch!(level, simd => simd.vectorize(
        #[inline(always)]
        || a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    ))
}

/// How many of `places`, two bytes each, are in a set.
pub(super) fn among(level: Level, places: &[[u8; 2]], words: &Words) -> u64 {
    dispatch!(level, simd => simd.vectorize(
        #[inline(always)]
        || places.iter().map(|&place| is_in(u16::from_le_bytes(place), words)).sum()
    ))
}

/// Adds places to a set.
pub(super) fn add(level: Level, places: &[[u8; 2]], words: &mut Words) {
    dispatch!(level, simd => simd.vectorize(
        #[inline(always)]
        || places.iter().for_each(|&place| {
            let place = u16::from_le_bytes(place);
            words[usize::from(place >> 6)] |= 1 << (place & 63);
        })
    ));
}

/// Adds the places from `first` to `last`, both inclusive.
pub(super) fn add_run(first: u16, last: u16, words: &mut Words) {
    let (from, to) = (usize::from(first >> 6), usize::from(last >> 6));
    let (above, below) = (u64::MAX << (first & 63), u64::MAX >> (63 - (last & 63)));
    if from == to {
        words[from] |= above & below;
    } else {
        words[from] |= above;
        words[from + 1..to].fill(u64::MAX);
        words[to] |= below;
    }
}

/// 1 where the place is in the set, and 0 where it is not.
#[inline(always)]
fn is_in(place: u16, words: &Words) -> u64 {
    words[usize::from(place >> 6)] >> (place & 63) & 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn words(places: &BTreeSet<u16>, level: Level) -> Words {
        let mut words = NONE;
        add(level, &bytes(places), &mut words);
        words
    }

    fn bytes(places: &BTreeSet<u16>) -> Vec<[u8; 2]> {
        places.iter().map(|place| place.to_le_bytes()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// The best that this processor has, and what every one has, count as sets do.
        #[test]
        fn counts_are_those_of_sets(
            a in prop::collection::btree_set(0_u16..=u16::MAX, 0..600),
            b in prop::collection::btree_set(prop_oneof![0_u16..500, 65_000..=u16::MAX, any::<u16>()], 0..600),
        ) {
            let want = a.intersection(&b).count() as u64;
            for level in [Level::new(), Level::baseline()] {
                let (of_a, of_b) = (words(&a, level), words(&b, level));
                prop_assert_eq!(both(level, &of_a, &of_b), want);
                prop_assert_eq!(among(level, &bytes(&a), &of_b), want);
                prop_assert_eq!(among(level, &bytes(&b), &of_a), want);
                prop_assert_eq!(both(level, &of_a, &of_a), a.len() as u64);
            }
        }

        #[test]
        fn a_run_is_all_its_places(first in any::<u16>(), length in prop_oneof![0_u16..130, any::<u16>()]) {
            let last = first.saturating_add(length);
            let mut run = NONE;
            add_run(first, last, &mut run);
            prop_assert!(run == words(&(first..=last).collect(), Level::new()));
        }
    }
}
