//! Which rows of a block have an event name that counts?

use super::code_words::{FEW_CODES, WORD};
use crate::segment::PackedInts;
use std::ops::Range;

/// Codes of event names of a block, and what is made of them. Buffers are kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct EventRows {
    narrow: Codes<u8>,
    wide: Codes<u32>,
}

/// Which codes count, and the condition masks that they give. One a segment.
#[derive(Debug)]
pub(crate) struct WantedCodes {
    /// Per code: the conditions that may be true.
    pub(crate) masks: Vec<u64>,
    /// Per code: whether its rows are kept. As long as `masks`, or 256 if that is longer.
    keep: Vec<bool>,
    /// The codes that are kept, where they are few.
    few: Option<Vec<u32>>,
}

/// With fewer rows than this part of a block to look at, rows are tested one by one.
pub(crate) const DENSE_PART: usize = 4;

impl WantedCodes {
    /// `masks[code]` of the codes for which `keep[code]`.
    pub(crate) fn new(masks: Vec<u64>, mut keep: Vec<bool>) -> Self {
        let codes: Vec<u32> = (0..).zip(&keep).filter(|(_, keep)| **keep).map(|(code, _)| code).collect();
        if keep.len() < 256 {
            keep.resize(256, false);
        }
        Self { masks, keep, few: (codes.len() <= FEW_CODES).then_some(codes) }
    }
}

/// Selected rows.
#[derive(Debug, Default)]
pub(crate) struct Picked {
    /// Rows, ascending.
    pub(crate) rows: Vec<u32>,
    /// Their condition masks, as far as the event's name decides them.
    pub(crate) masks: Vec<u64>,
    /// Codes of their event names, where these are wanted.
    pub(crate) codes: Vec<u32>,
    /// Rows that are picked up to the end of each range that was asked for.
    pub(crate) ends: Vec<u32>,
}

impl Picked {
    /// Forget all rows.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.masks.clear();
        self.codes.clear();
        self.ends.clear();
    }
}

impl EventRows {
    /// Append to `picked` the rows of `ranges` (ascending) whose code is kept; with `with_codes` also the codes.
    pub(crate) fn select(
        &mut self,
        events: &PackedInts<'_>,
        wanted: &WantedCodes,
        ranges: &[(u32, u32)],
        with_codes: bool,
        picked: &mut Picked,
    ) {
        // Codes are below the length of the dictionary: a block is checked when it is first read.
        if wanted.masks.len() <= 256 {
            self.narrow.select(events, wanted, ranges, with_codes, picked);
        } else {
            self.wide.select(events, wanted, ranges, with_codes, picked);
        }
    }
}

#[derive(Debug, Default)]
struct Codes<T> {
    codes: Vec<T>,
    flags: Vec<u8>,
}

impl<T: Code> Codes<T> {
    fn select(
        &mut self,
        events: &PackedInts<'_>,
        wanted: &WantedCodes,
        ranges: &[(u32, u32)],
        with_codes: bool,
        picked: &mut Picked,
    ) {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return };
        let span = first.0 as usize..last.1 as usize;
        let inside: usize = ranges.iter().map(|range| (range.1 - range.0) as usize).sum();
        if inside * DENSE_PART < span.len() {
            ranges.iter().for_each(|&range| self.select_one_by_one(events, wanted, range, with_codes, picked));
            return;
        }
        self.codes.resize(span.len(), T::default());
        T::decode(events, span.clone(), &mut self.codes);
        self.flag(wanted);
        // Rows between the ranges may be flagged too; what is not used is cut off again.
        let flagged = self.flags.iter().map(|&flag| usize::from(flag)).sum::<usize>();
        let before = picked.rows.len();
        picked.rows.resize(before + flagged, 0);
        picked.masks.resize(before + flagged, 0);
        let mut count = before;
        for &(start, end) in ranges {
            let range = start as usize - span.start..end as usize - span.start;
            count = self.take_flagged(range, span.start, wanted, picked, count);
            picked.ends.push(count as u32);
        }
        picked.rows.truncate(count);
        picked.masks.truncate(count);
        if with_codes {
            let code_of = |&row: &u32| self.codes[row as usize - span.start].index() as u32;
            picked.codes.extend(picked.rows[before..].iter().map(code_of));
        }
    }

    fn select_one_by_one(
        &mut self,
        events: &PackedInts<'_>,
        wanted: &WantedCodes,
        (start, end): (u32, u32),
        with_codes: bool,
        picked: &mut Picked,
    ) {
        self.codes.resize((end - start) as usize, T::default());
        T::decode(events, start as usize..end as usize, &mut self.codes);
        for (row, &code) in (start..end).zip(&self.codes) {
            if wanted.keep[code.index()] {
                picked.rows.push(row);
                picked.masks.push(wanted.masks[code.index()]);
                if with_codes {
                    picked.codes.push(code.index() as u32);
                }
            }
        }
        picked.ends.push(picked.rows.len() as u32);
    }

    /// A byte a row: 1 where the code is kept.
    fn flag(&mut self, wanted: &WantedCodes) {
        self.flags.clear();
        self.flags.resize(self.codes.len().next_multiple_of(WORD), 0);
        match &wanted.few {
            Some(few) => {
                for &code in few {
                    let code = T::from_code(code);
                    for (flag, &of_row) in self.flags.iter_mut().zip(&self.codes) {
                        *flag |= u8::from(of_row == code);
                    }
                }
            }
            None => {
                for (flag, code) in self.flags.iter_mut().zip(&self.codes) {
                    *flag = u8::from(wanted.keep[code.index()]);
                }
            }
        }
    }

    /// Write the flagged rows of `run`, counted from `offset`, and their masks to `picked` from `count` on; the new count.
    fn take_flagged(
        &self,
        run: Range<usize>,
        offset: usize,
        wanted: &WantedCodes,
        picked: &mut Picked,
        mut count: usize,
    ) -> usize {
        let (rows, masks) = (&mut picked.rows[..], &mut picked.masks[..]);
        let mut start = run.start - run.start % WORD;
        while start < run.end {
            let mut word = word_of(&self.flags[start..start + WORD]);
            if start < run.start {
                word &= u64::MAX << (run.start - start);
            }
            if run.end - start < WORD {
                word &= !(u64::MAX << (run.end - start));
            }
            while word != 0 {
                let row = start + word.trailing_zeros() as usize;
                word &= word - 1;
                rows[count] = (offset + row) as u32;
                masks[count] = wanted.masks[self.codes[row].index()];
                count += 1;
            }
            start += WORD;
        }
        count
    }
}

/// The lowest bits of 64 bytes.
fn word_of(flags: &[u8]) -> u64 {
    // Bit 0 of byte i comes to bit 56 + i: no two products meet in one bit.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let bytes = flags.chunks_exact(8).enumerate();
    bytes.fold(0, |word, (index, bytes)| {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        word | (u64::from_le_bytes(eight).wrapping_mul(GATHER) >> 56) << (8 * index)
    })
}

/// An integer that holds a code.
trait Code: Copy + Default + PartialEq {
    fn decode(events: &PackedInts<'_>, range: Range<usize>, out: &mut [Self]);
    fn from_code(code: u32) -> Self;
    fn index(self) -> usize;
}

impl Code for u8 {
    fn decode(events: &PackedInts<'_>, range: Range<usize>, out: &mut [Self]) {
        events.decode_into(range, out);
    }

    fn from_code(code: u32) -> Self {
        code as Self
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Code for u32 {
    fn decode(events: &PackedInts<'_>, range: Range<usize>, out: &mut [Self]) {
        events.decode_into(range, out);
    }

    fn from_code(code: u32) -> Self {
        code
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::PackedInts;
    use proptest::prelude::*;

    #[test]
    fn every_flag_has_its_bit() {
        for row in 0..WORD {
            let mut flags = [0; WORD];
            flags[row] = 1;
            assert_eq!(word_of(&flags), 1 << row);
        }
        assert_eq!(word_of(&[1; WORD]), u64::MAX);
    }

    proptest! {
        #[test]
        fn rows_are_those_of_a_plain_filter(
            codes in prop::collection::vec(0..300_i64, 1..400),
            texts in prop_oneof![Just(20_usize), Just(200), Just(300)],
            kept in prop::collection::vec(0..300_usize, 0..12),
            cuts in prop::collection::vec((0..400_u32, 0..40_u32), 0..20),
        ) {
            let codes: Vec<i64> = codes.into_iter().map(|code| code % texts as i64).collect();
            let mut bytes = Vec::new();
            let events = PackedInts::for_tests(&codes, &mut bytes);
            let keep: Vec<bool> = (0..texts).map(|code| kept.contains(&code)).collect();
            let wanted = WantedCodes::new((0..texts as u64).collect(), keep.clone());
            let (mut runs, mut at) = (Vec::new(), 0);
            for (gap, length) in cuts {
                let start = at + gap;
                let end = (start + length + 1).min(codes.len() as u32);
                if start < end {
                    runs.push((start, end));
                    at = end;
                }
            }
            let mut picked = Picked::default();
            EventRows::default().select(&events, &wanted, &runs, true, &mut picked);
            let Picked { rows, masks, codes: found, ends } = picked;
            let counts: Vec<u32> = runs.iter().map(|run| rows.iter().filter(|row| **row < run.1).count() as u32).collect();
            prop_assert_eq!(ends, counts);
            let expected: Vec<u32> = runs.iter().flat_map(|run| run.0..run.1)
                .filter(|row| keep[codes[*row as usize] as usize]).collect();
            prop_assert_eq!(&rows, &expected);
            prop_assert!(rows.iter().zip(&found).all(|(row, code)| codes[*row as usize] == i64::from(*code)));
            prop_assert!(found.iter().zip(&masks).all(|(code, mask)| u64::from(*code) == *mask));
            prop_assert_eq!(rows.len(), masks.len());
        }
    }
}
