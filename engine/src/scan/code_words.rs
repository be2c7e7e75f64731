//! Codes of event names as bits: for each condition a word of 64 rows, bit i for row i.

/// Rows of a word.
pub(crate) const WORD: usize = 64;

/// A comparison of whole vectors with each code is faster than a look into a table up to about this many codes.
pub(crate) const FEW_CODES: usize = 8;

/// The codes that let a condition be true.
#[derive(Debug, Clone)]
pub(crate) enum CodeSet {
    /// All of them.
    All,
    /// A few.
    Few(Vec<u8>),
    /// By code.
    Table(Box<[bool; 256]>),
}

/// The codes that let each condition be true.
#[derive(Debug, Clone)]
pub(crate) struct CodeSets {
    /// A set a condition.
    pub(crate) sets: Vec<CodeSet>,
    /// No code is in two sets.
    pub(crate) disjoint: bool,
}

impl CodeSets {
    /// Of `conditions` conditions, of which code c lets those of the bits of `masks[c]` be true: 256 codes at most.
    pub(crate) fn new(masks: &[u64], conditions: usize) -> Self {
        let set = |bit: usize| CodeSet::new(&masks.iter().map(|mask| mask >> bit & 1 == 1).collect::<Vec<_>>());
        let disjoint = masks.iter().all(|mask| mask.count_ones() <= 1);
        Self { sets: (0..conditions).map(set).collect(), disjoint }
    }
}

impl CodeSet {
    /// The codes for which `passes`, which has an entry for each code that occurs: 256 at most.
    pub(crate) fn new(passes: &[bool]) -> Self {
        let codes: Vec<u8> = (0..=u8::MAX).zip(passes).filter(|(_, passes)| **passes).map(|(code, _)| code).collect();
        if codes.len() == passes.len() {
            return Self::All;
        }
        if codes.len() <= FEW_CODES {
            return Self::Few(codes);
        }
        let mut table = Box::new([false; 256]);
        codes.into_iter().for_each(|code| table[code as usize] = true);
        Self::Table(table)
    }

    /// The code, where it is the only one.
    fn only(&self) -> Option<u8> {
        match self {
            Self::Few(codes) if codes.len() == 1 => Some(codes[0]),
            _ => None,
        }
    }
}

/// Replace `words` by a word for each 64 of `codes` and each of `sets`: those of the first 64 codes, in the order of the
/// sets, then those of the next. The number of codes is a multiple of 64.
pub(crate) fn write_words(codes: &[u8], sets: &[CodeSet], words: &mut Vec<u64>) {
    words.clear();
    words.reserve(codes.len() / WORD * sets.len());
    let (rows, rest) = codes.as_chunks::<WORD>();
    debug_assert!(rest.is_empty(), "whole words");
    // Most conditions ask for one name.
    let single: Option<Vec<u8>> = sets.iter().map(CodeSet::only).collect();
    if let Some(single) = single {
        for rows in rows {
            let lanes = Lanes::new(rows);
            words.extend(single.iter().map(|&code| lanes.equal(code)));
        }
        return;
    }
    for rows in rows {
        let lanes = Lanes::new(rows);
        words.extend(sets.iter().map(|set| match set {
            CodeSet::All => u64::MAX,
            CodeSet::Few(codes) => codes.iter().fold(0, |word, &code| word | lanes.equal(code)),
            CodeSet::Table(table) => {
                (0..).zip(rows).fold(0, |word, (bit, &code)| word | u64::from(table[code as usize]) << bit)
            }
        }));
    }
}

/// Number of rows with a bit of any of `sets` sets, of words as [`write_words`] writes them. The instruction that counts is
/// missing from the oldest processors of the x86-64 family, so the loop is compiled twice.
pub(crate) fn count_ones_of_any(words: &[u64], sets: usize) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "popcnt")]
        fn with_popcnt(words: &[u64], sets: usize) -> u64 {
            count_ones_anywhere(words, sets)
        }
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the instruction.
            return unsafe { with_popcnt(words, sets) };
        }
    }
    count_ones_anywhere(words, sets)
}

#[inline(always)]
fn count_ones_anywhere(words: &[u64], sets: usize) -> u64 {
    // A loop: the closure of an adapter would not have the instruction.
    let mut ones = 0;
    for words in words.chunks_exact(sets) {
        let mut any = 0;
        for word in words {
            any |= word;
        }
        ones += u64::from(any.count_ones());
    }
    ones
}

/// 64 codes in vectors.
#[cfg(target_arch = "x86_64")]
struct Lanes([std::arch::x86_64::__m128i; 4]);

#[cfg(target_arch = "x86_64")]
impl Lanes {
    #[inline(always)]
    fn new(codes: &[u8; WORD]) -> Self {
        // The compiler makes one load of the two halves.
        let half = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&codes[at..at + 8]);
            i64::from_le_bytes(eight)
        };
        // SAFETY: every x86-64 processor has SSE2.
        Self([0, 16, 32, 48].map(|at| unsafe { std::arch::x86_64::_mm_set_epi64x(half(at + 8), half(at)) }))
    }

    /// Bit i: code i equals `code`.
    #[inline(always)]
    fn equal(&self, code: u8) -> u64 {
        use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};
        // SAFETY: every x86-64 processor has SSE2.
        let equal = |lane| unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(lane, _mm_set1_epi8(code as i8))) };
        let bits = |lane: usize| u64::from(equal(self.0[lane]) as u16);
        bits(0) | bits(1) << 16 | bits(2) << 32 | bits(3) << 48
    }
}

/// 64 codes.
#[cfg(not(target_arch = "x86_64"))]
struct Lanes<'a>(&'a [u8; WORD]);

#[cfg(not(target_arch = "x86_64"))]
impl<'a> Lanes<'a> {
    fn new(codes: &'a [u8; WORD]) -> Self {
        Self(codes)
    }

    /// Bit i: code i equals `code`.
    #[inline(always)]
    fn equal(&self, code: u8) -> u64 {
        (0..).zip(self.0).fold(0, |word, (bit, &other)| word | u64::from(other == code) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_bit_is_that_of_its_row(
            codes in prop::collection::vec(0..40_u8, 1..300),
            wanted in prop::collection::vec(prop::collection::vec(0..40_usize, 0..14), 0..5),
            has_all: bool,
        ) {
            let mut codes = codes;
            codes.resize(codes.len().next_multiple_of(WORD), 0);
            let passes: Vec<Vec<bool>> = wanted.iter()
                .map(|wanted| (0..40).map(|code| wanted.contains(&code)).collect())
                .chain([vec![has_all; 40]])
                .collect();
            let sets: Vec<CodeSet> = passes.iter().map(|passes| CodeSet::new(passes)).collect();
            let mut words = vec![7];
            write_words(&codes, &sets, &mut words);
            prop_assert_eq!(words.len(), codes.len() / WORD * sets.len());
            for (row, &code) in codes.iter().enumerate() {
                for (set, passes) in passes.iter().enumerate() {
                    let bit = words[row / WORD * sets.len() + set] >> (row % WORD) & 1;
                    prop_assert_eq!(bit == 1, passes[code as usize]);
                }
            }
            let any = codes.iter().filter(|code| passes.iter().any(|passes| passes[**code as usize])).count();
            prop_assert_eq!(count_ones_of_any(&words, sets.len()), any as u64);
            prop_assert_eq!(count_ones_anywhere(&words, sets.len()), any as u64);
        }
    }
}
