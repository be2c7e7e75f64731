//! Conditions as bits of rows: what a kernel reads that jumps from event to event in place of looking at each.

use super::code_words::{CodeSets, WORD, count_ones_of_any, write_words};
use super::keys::Keys;
use crate::segment::{PackedInts, RowTest};
use std::cell::{OnceCell, RefCell};
use std::ops::Range;

/// Per condition a bit for each row of a part of a block. Where a condition has a test, its bits are those of the rows
/// that may satisfy it, and the test is made when a row is asked for: a kernel asks for few.
#[derive(Debug, Default)]
pub(crate) struct ConditionBits<'a> {
    /// Words of the first 64 rows, one a condition, then those of the next 64.
    words: Vec<u64>,
    conditions: usize,
    first_word: usize,
    disjoint: bool,
    tests: Vec<Option<RowTest<'a>>>,
    /// The conditions that have a test.
    tested: u64,
    codes: Vec<u8>,
    /// The rows that were asked for, of which the times are.
    span: Range<usize>,
    /// Rows that satisfy no condition count, too.
    every_event: bool,
    /// Where names are keys, the key code of each code.
    names: Vec<u32>,
    /// Times of the span, from when they are first asked for. Most kernels want few times, one by one.
    times: OnceCell<Vec<i64>>,
    times_buffer: RefCell<Vec<i64>>,
}

impl<'a> ConditionBits<'a> {
    /// The bits of the rows `span` by the codes of their event names. Whole words: rows around the span may be among them,
    /// with whatever bits.
    pub(crate) fn fill(&mut self, events: &PackedInts<'_>, span: Range<usize>, CodeSets { sets, disjoint }: &CodeSets) {
        self.disjoint = *disjoint;
        self.conditions = sets.len();
        self.first_word = span.start / WORD;
        let first_row = self.first_word * WORD;
        self.codes.resize((span.end - first_row).next_multiple_of(WORD), 0);
        events.decode_into(first_row..span.end, &mut self.codes[..span.end - first_row]);
        write_words(&self.codes, sets, &mut self.words);
        self.tested = 0;
        self.tests.clear();
        self.tests.resize_with(sets.len(), || None);
        self.span = span;
        self.every_event = false;
        self.names.clear();
        if let Some(times) = self.times.take() {
            self.times_buffer.replace(times);
        }
    }

    /// Say that every row counts, and what the codes of names are as keys, where they are keys.
    pub(crate) fn keep_every_event(&mut self, names: impl Iterator<Item = u32>) {
        self.every_event = true;
        self.names.extend(names);
    }

    /// The key codes of the names of `rows`.
    pub(crate) fn names_of(&self, rows: &[u32]) -> impl Iterator<Item = u32> {
        let first = self.first_word * WORD;
        rows.iter().map(move |&row| self.names[self.codes[row as usize - first] as usize])
    }

    /// Make `test` part of `condition`.
    pub(crate) fn add_test(&mut self, condition: usize, test: RowTest<'a>) {
        self.tests[condition] = Some(test);
        self.tested |= 1 << condition;
    }

    /// Append the rows of `range` whose bit of `condition` is set to `rows`.
    pub(crate) fn rows_of(&self, condition: usize, range: Range<usize>, rows: &mut Vec<u32>) {
        for (word, mask) in words_of(range) {
            let mut bits = self.word(word, condition) & mask;
            while bits != 0 {
                rows.push((word * WORD) as u32 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }

    /// Say that `row` does not satisfy `condition`.
    pub(crate) fn clear(&mut self, condition: usize, row: usize) {
        self.words[(row / WORD - self.first_word) * self.conditions + condition] &= !(1 << (row % WORD));
    }

    /// Number of rows of `range` with a bit of any condition.
    pub(crate) fn count_any(&self, range: Range<usize>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let (first, last) = (range.start / WORD, (range.end - 1) / WORD);
        let places = (first - self.first_word) * self.conditions..(last + 1 - self.first_word) * self.conditions;
        let outside = self.any(first) & !(u64::MAX << (range.start % WORD));
        let behind = self.any(last) & (u64::MAX << ((range.end - 1) % WORD) << 1);
        count_ones_of_any(&self.words[places], self.conditions) - u64::from(outside.count_ones() + behind.count_ones())
    }

    /// The same for few rows.
    pub(crate) fn count_few(&self, range: Range<usize>) -> u64 {
        words_of(range).map(|(word, mask)| u64::from((self.any(word) & mask).count_ones())).sum()
    }

    #[inline(always)]
    fn word(&self, word: usize, condition: usize) -> u64 {
        self.words[(word - self.first_word) * self.conditions + condition]
    }

    /// The words of all conditions.
    #[inline(always)]
    fn words(&self, word: usize) -> &[u64] {
        let first = (word - self.first_word) * self.conditions;
        &self.words[first..first + self.conditions]
    }

    #[inline(always)]
    fn any(&self, word: usize) -> u64 {
        self.words(word).iter().fold(0, |any, word| any | word)
    }

    /// The conditions that `row` may satisfy.
    #[inline(always)]
    fn possible(&self, row: usize) -> u64 {
        let words = (0..).zip(self.words(row / WORD));
        words.fold(0, |mask, (condition, word)| mask | (word >> (row % WORD) & 1) << condition)
    }

    /// The conditions among `possible` that `row` satisfies.
    #[inline(always)]
    fn satisfied(&self, possible: u64, row: usize) -> u64 {
        let (mut mask, mut tested) = (possible, possible & self.tested);
        while tested != 0 {
            let condition = tested.trailing_zeros();
            tested &= tested - 1;
            mask &= !(u64::from(!self.passes(condition as usize, row)) << condition);
        }
        mask
    }

    #[inline(always)]
    fn passes(&self, condition: usize, row: usize) -> bool {
        self.tests[condition].as_ref().is_none_or(|test| test.passes(row))
    }
}

/// The words of `range`, and for each the bits that lie in the range.
fn words_of(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let words = range.start / WORD..range.end.div_ceil(WORD).max(range.start / WORD);
    words.map(move |word| {
        let first = word * WORD;
        let from = u64::MAX << range.start.saturating_sub(first);
        let to = u64::MAX >> (first + WORD).saturating_sub(range.end).min(WORD - 1);
        (word, if range.is_empty() { 0 } else { from & to })
    })
}

/// One user's events in one block: the conditions as bits of rows.
#[derive(Debug, Clone, Copy)]
pub struct UserBits<'a> {
    /// The user's shard.
    pub shard: usize,
    /// The user's ordinal in the shard.
    pub ordinal: u32,
    /// Codes of the values of the key columns, each one for all events here. Where the scan delivers every event, names may
    /// be keys, too: they are told by [`Self::name`].
    pub keys: Keys<'a>,
    /// All of the user's events are here. If not, these are the first ones in total order.
    pub is_whole: bool,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) bits: &'a ConditionBits<'a>,
    pub(crate) times: &'a PackedInts<'a>,
}

impl<'a> UserBits<'a> {
    /// The key code of the name of `row`. Names are among the keys of the scan.
    #[inline(always)]
    pub fn name(&self, row: usize) -> u32 {
        self.bits.names[self.bits.codes[row - self.bits.first_word * WORD] as usize]
    }

    /// The codes of the names of all of the user's events, as the segment has them: for a pass over all events.
    #[inline]
    pub fn name_codes(&self) -> &'a [u8] {
        let first = self.bits.first_word * WORD;
        &self.bits.codes[self.start - first..self.end - first]
    }

    /// The key code of each code of [`Self::name_codes`]: the same slice for all users of a block.
    #[inline]
    pub fn name_keys(&self) -> &'a [u32] {
        &self.bits.names
    }

    /// The times of all of the user's events, in microseconds. The whole block is decoded when the first user asks.
    #[inline]
    pub fn times(&self) -> &'a [i64] {
        let decode = || {
            let mut times = self.bits.times_buffer.take();
            self.times.decode(self.bits.span.clone(), &mut times);
            times
        };
        let times = self.bits.times.get_or_init(decode);
        &times[self.start - self.bits.span.start..self.end - self.bits.span.start]
    }

    /// The user's rows, in total order.
    #[inline(always)]
    pub fn rows(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The time of `row` in microseconds.
    #[inline(always)]
    pub fn time(&self, row: usize) -> i64 {
        match self.times.as_frame() {
            Some(frame) => frame.get(row),
            None => self.times.get(row),
        }
    }

    /// Whether the time of `late` is at most `limit_us` after that of `early`, a row before it.
    #[inline(always)]
    pub fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool {
        self.times.is_within(early, late, limit_us)
    }

    /// Whether the events of `rows`, of which there is one, all have the same time.
    #[inline]
    pub fn is_same_time(&self, rows: Range<usize>) -> bool {
        self.times.is_same(rows)
    }

    /// Whether no event can satisfy two conditions.
    #[inline]
    pub fn is_disjoint(&self) -> bool {
        self.bits.disjoint
    }

    /// The first row of `range`, which is part of the user's rows, that satisfies `condition`.
    #[inline]
    pub fn first_in(&self, condition: usize, range: Range<usize>) -> Option<usize> {
        self.find_first(condition, range, |row| self.bits.passes(condition, row))
    }

    /// The first row of `range`, which is part of the user's rows, that may satisfy `condition`: as far as the name of the
    /// event tells.
    #[inline]
    pub fn first_possible_in(&self, condition: usize, range: Range<usize>) -> Option<usize> {
        self.find_first(condition, range, |_| true)
    }

    #[inline(always)]
    fn find_first(&self, condition: usize, range: Range<usize>, passes: impl Fn(usize) -> bool) -> Option<usize> {
        if range.is_empty() {
            return None;
        }
        let mut word = range.start / WORD;
        let mut bits = self.bits.word(word, condition) & u64::MAX << (range.start % WORD);
        loop {
            while bits != 0 {
                let row = word * WORD + bits.trailing_zeros() as usize;
                if row >= range.end {
                    return None;
                }
                if passes(row) {
                    return Some(row);
                }
                bits &= bits - 1;
            }
            word += 1;
            if word * WORD >= range.end {
                return None;
            }
            bits = self.bits.word(word, condition);
        }
    }

    /// The last row of `range`, which is part of the user's rows, that satisfies `condition`.
    #[inline]
    pub fn last_in(&self, condition: usize, range: Range<usize>) -> Option<usize> {
        self.find_last(condition, range, |row| self.bits.passes(condition, row))
    }

    /// The last row of `range`, which is part of the user's rows, that may satisfy `condition`: as far as the name of the
    /// event tells.
    #[inline]
    pub fn last_possible_in(&self, condition: usize, range: Range<usize>) -> Option<usize> {
        self.find_last(condition, range, |_| true)
    }

    #[inline(always)]
    fn find_last(&self, condition: usize, range: Range<usize>, passes: impl Fn(usize) -> bool) -> Option<usize> {
        if range.is_empty() {
            return None;
        }
        let last = range.end - 1;
        let mut word = last / WORD;
        let mut bits = self.bits.word(word, condition) & u64::MAX >> (WORD - 1 - last % WORD);
        loop {
            while bits != 0 {
                let bit = WORD - 1 - bits.leading_zeros() as usize;
                let row = word * WORD + bit;
                if row < range.start {
                    return None;
                }
                if passes(row) {
                    return Some(row);
                }
                bits ^= 1 << bit;
            }
            if word * WORD <= range.start {
                return None;
            }
            word -= 1;
            bits = self.bits.word(word, condition);
        }
    }

    /// Whether `row` may satisfy any condition: true in doubt.
    #[inline]
    pub fn may_satisfy_any(&self, row: usize) -> bool {
        self.bits.any(row / WORD) >> (row % WORD) & 1 == 1
    }

    /// Set the bit of `condition` in the masks of the rows that may satisfy it: `masks` has one for each of the user's rows.
    fn add_possible(self, condition: usize, masks: &mut [u64]) {
        for (word, _) in words_of(self.rows()) {
            let (first, bits) = (word * WORD, self.bits.word(word, condition));
            let (from, to) = (first.max(self.start), (first + WORD).min(self.end));
            let masks = &mut masks[from - self.start..to - self.start];
            (from - first..).zip(masks).for_each(|(bit, mask)| *mask |= (bits >> bit & 1) << condition);
        }
    }

    /// Replace `rows` by the rows that satisfy any condition, or all where every event counts, and `masks` by which.
    pub(crate) fn to_masks(self, rows: &mut Vec<u32>, masks: &mut Vec<u64>) {
        rows.clear();
        masks.clear();
        let every_event = self.bits.every_event;
        if every_event && self.bits.tested == 0 {
            rows.extend(self.start as u32..self.end as u32);
            masks.resize(self.rows().len(), 0);
            (0..self.bits.conditions).for_each(|condition| self.add_possible(condition, masks));
            return;
        }
        for (word, in_range) in words_of(self.rows()) {
            let mut any = if every_event { in_range } else { self.bits.any(word) & in_range };
            while any != 0 {
                let row = word * WORD + any.trailing_zeros() as usize;
                any &= any - 1;
                let mask = self.bits.satisfied(self.bits.possible(row), row);
                if mask != 0 || every_event {
                    rows.push(row as u32);
                    masks.push(mask);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::code_words::CodeSets;
    use super::*;
    use crate::segment::{IntColumn, Validity};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_search_finds_what_a_walk_finds(
            codes in prop::collection::vec(0..6_i64, 1..300),
            masks in prop::collection::vec(0..8_u64, 6),
            values in prop::collection::vec(0..4_i64, 300),
            (first, count) in (0..300_usize, 1..300_usize),
            pairs in prop::collection::vec((0..300_usize, 0..300_usize), 20),
        ) {
            let rows = codes.len();
            let (first, end) = (first % rows, (first % rows + count).min(rows));
            let (mut event_bytes, mut time_bytes, mut value_bytes) = (Vec::new(), Vec::new(), Vec::new());
            let events = PackedInts::for_tests(&codes, &mut event_bytes);
            let times_of_rows: Vec<i64> = (0..rows as i64).collect();
            let times = PackedInts::for_tests(&times_of_rows, &mut time_bytes);
            let values = &values[..rows];
            let column = IntColumn {
                validity: Validity::All { rows },
                values: PackedInts::for_tests(values, &mut value_bytes),
            };
            let mut bits = ConditionBits::default();
            bits.fill(&events, first..end, &CodeSets::new(&masks, 3));
            bits.add_test(1, column.into_test(&(1..=2)));
            let user = UserBits { shard: 0, ordinal: 0, keys: Keys::none(), is_whole: true, start: first, end, bits: &bits, times: &times };
            let possible = |condition: usize, row: usize| masks[codes[row] as usize] >> condition & 1 == 1;
            let satisfied = |condition: usize, row: usize| {
                possible(condition, row) && (condition != 1 || (1..=2).contains(&values[row]))
            };
            for (a, b) in pairs {
                let (a, b) = (first + a % (end - first), first + b % (end - first));
                let range = a..b.max(a) + 1;
                for condition in 0..3 {
                    prop_assert_eq!(user.first_in(condition, range.clone()), range.clone().find(|row| satisfied(condition, *row)));
                    prop_assert_eq!(user.last_in(condition, range.clone()), range.clone().rfind(|row| satisfied(condition, *row)));
                    prop_assert_eq!(user.first_possible_in(condition, range.clone()), range.clone().find(|row| possible(condition, *row)));
                    prop_assert_eq!(user.last_possible_in(condition, range.clone()), range.clone().rfind(|row| possible(condition, *row)));
                    prop_assert_eq!(user.last_in(condition, a..a), None);
                }
                let any = range.clone().filter(|row| (0..3).any(|condition| possible(condition, *row))).count();
                prop_assert_eq!(bits.count_any(range.clone()), any as u64);
                prop_assert_eq!(bits.count_few(range.clone()), any as u64);
                prop_assert_eq!(user.may_satisfy_any(a), (0..3).any(|condition| possible(condition, a)));
            }
            prop_assert_eq!(user.is_disjoint(), masks.iter().all(|mask| mask.count_ones() < 2));
            let mask_of = |row: usize| (0..3).filter(|condition| satisfied(*condition, row)).map(|condition| 1 << condition).sum::<u64>();
            let expected: Vec<(u32, u64)> =
                (first..end).map(|row| (row as u32, mask_of(row))).filter(|(_, mask)| *mask != 0).collect();
            let (mut picked, mut found) = (vec![7], vec![7]);
            user.to_masks(&mut picked, &mut found);
            prop_assert_eq!(picked.iter().copied().zip(found.iter().copied()).collect::<Vec<_>>(), expected);
            prop_assert_eq!(user.times(), &times_of_rows[first..end]);
            prop_assert_eq!(user.name_codes().iter().map(|code| i64::from(*code)).collect::<Vec<_>>(), &codes[first..end]);
            bits.keep_every_event(10..16);
            let user = UserBits { shard: 0, ordinal: 0, keys: Keys::none(), is_whole: true, start: first, end, bits: &bits, times: &times };
            user.to_masks(&mut picked, &mut found);
            let every: Vec<(u32, u64)> = (first..end).map(|row| (row as u32, mask_of(row))).collect();
            prop_assert_eq!(bits.names_of(&picked).collect::<Vec<_>>(), user.rows().map(|row| user.name(row)).collect::<Vec<_>>());
            prop_assert!(user.rows().all(|row| i64::from(user.name(row)) == codes[row] + 10));
            prop_assert_eq!(picked.into_iter().zip(found).collect::<Vec<_>>(), every);
            let mut listed = Vec::new();
            bits.rows_of(0, first..end, &mut listed);
            prop_assert_eq!(listed, (first..end).filter(|row| possible(0, *row)).map(|row| row as u32).collect::<Vec<_>>());
        }
    }
}
