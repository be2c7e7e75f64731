//! A bit a row, with rank.

use super::wire::Reader;
use crate::error::{Error, Result};

/// Bits of a block, and before each word the number of ones.
#[derive(Debug, Clone)]
pub(crate) struct Bits {
    words: Vec<u64>,
    ranks: Vec<u32>,
    len: usize,
    ones: usize,
}

impl Bits {
    pub(crate) fn new(words: Vec<u64>, len: usize) -> Self {
        let mut ones = 0;
        let ranks = words
            .iter()
            .map(|word| {
                let before = ones;
                ones += word.count_ones();
                before
            })
            .collect();
        Self { words, ranks, len, ones: ones as usize }
    }

    pub(crate) fn write(bits: impl Iterator<Item = bool>, out: &mut Vec<u8>) {
        let (mut word, mut filled) = (0_u64, 0);
        for bit in bits {
            word |= u64::from(bit) << filled;
            filled += 1;
            if filled == 64 {
                out.extend_from_slice(&word.to_le_bytes());
                (word, filled) = (0, 0);
            }
        }
        if filled > 0 {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, len: usize) -> Result<Self> {
        let bytes = reader.bytes(len.div_ceil(64) * 8)?;
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word.copy_from_slice(chunk);
                u64::from_le_bytes(word)
            })
            .collect();
        if !len.is_multiple_of(64) && words.last().is_some_and(|last| last >> (len % 64) != 0) {
            return Err(Error::corrupt("bits behind the last row"));
        }
        Ok(Self::new(words, len))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn ones(&self) -> usize {
        self.ones
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// [`Bits::rank`] and [`Bits::get`] of `index`, which is below the length.
    #[inline(always)]
    pub(crate) fn rank_and_get(&self, index: usize) -> (usize, bool) {
        let (word, bit) = (self.words[index / 64], index % 64);
        let before = self.ranks[index / 64] as usize + (word & !(u64::MAX << bit)).count_ones() as usize;
        (before, word >> bit & 1 == 1)
    }

    /// The 64 bits from `index` on; zeros behind the end.
    #[inline(always)]
    pub(crate) fn word_from(&self, index: usize) -> u64 {
        let (word, shift) = (index / 64, index % 64);
        let low = self.words.get(word).copied().unwrap_or(0) >> shift;
        let high = self.words.get(word + 1).copied().unwrap_or(0);
        // Shifted in two steps, because a shift by 64 is none.
        low | (high << 1) << (63 - shift)
    }

    /// Ones before `index`, which may be the length.
    #[inline(always)]
    pub(crate) fn rank(&self, index: usize) -> usize {
        match self.words.get(index / 64) {
            Some(word) => self.ranks[index / 64] as usize + (word & !(u64::MAX << (index % 64))).count_ones() as usize,
            None => self.ones,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_counts_the_ones_before() {
        for len in [0, 1, 63, 64, 65, 200] {
            let bits: Vec<bool> = (0..len).map(|i| i % 3 == 0 || i % 7 == 1).collect();
            let mut bytes = Vec::new();
            Bits::write(bits.iter().copied(), &mut bytes);
            let mut reader = Reader::new(&bytes);
            let read = Bits::read(&mut reader, len).unwrap();
            reader.end().unwrap();
            for i in 0..=len {
                assert_eq!(read.rank(i), bits[..i].iter().filter(|bit| **bit).count());
                assert!(i == len || read.rank_and_get(i) == (read.rank(i), bits[i]));
            }
            assert!((0..len).all(|i| read.get(i) == bits[i]));
            assert_eq!(read.ones(), read.rank(len));
            for i in 0..=len {
                let word = (i..len.min(i + 64)).fold(0, |word, at| word | u64::from(bits[at]) << (at - i));
                assert_eq!(read.word_from(i), word);
            }
        }
        assert!(Bits::read(&mut Reader::new(&[0xff; 8]), 60).is_err());
    }
}
