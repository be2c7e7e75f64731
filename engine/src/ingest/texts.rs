//! Distinct texts of a batch, without an allocation for each.

use crate::error::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// A slot of the hash table without a text.
const EMPTY: u32 = u32::MAX;

/// Texts one after the other in one buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    bytes: String,
    ends: Vec<u32>,
}

impl Texts {
    /// Number of texts.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Text `index`.
    pub(crate) fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    /// Append a text.
    ///
    /// # Errors
    /// `InvalidInput` where the texts would take more than 4 GiB, which Arrow's views and large texts can.
    pub(crate) fn push(&mut self, text: &str) -> Result<()> {
        let end = end_of(self.bytes.len(), text.len())?;
        self.bytes.push_str(text);
        self.ends.push(end);
        Ok(())
    }

    /// Memory in use, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }
}

/// Where a text of `more` bytes ends behind `bytes` others.
fn end_of(bytes: usize, more: usize) -> Result<u32> {
    bytes.checked_add(more).and_then(|end| u32::try_from(end).ok()).ok_or_else(|| {
        Error::invalid("a column of one batch has more than 4 GiB of text").with_hint("send smaller batches")
    })
}

/// Gives equal texts equal codes: 0, 1, 2, … in order of first arrival.
#[derive(Debug)]
pub(crate) struct Interner {
    texts: Texts,
    hashes: Vec<u64>,
    slots: Vec<u32>,
}

impl Interner {
    /// Nothing interned yet.
    pub(crate) fn new() -> Self {
        Self { texts: Texts::default(), hashes: Vec::new(), slots: vec![EMPTY; 64] }
    }

    /// The code of `text`.
    ///
    /// # Errors
    /// Those of [`Texts::push`].
    pub(crate) fn intern(&mut self, text: &str) -> Result<u32> {
        let hash = xxh3_64(text.as_bytes());
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let code = self.slots[slot];
            if code == EMPTY {
                break;
            }
            if self.hashes[code as usize] == hash && self.texts.get(code) == text {
                return Ok(code);
            }
            slot = (slot + 1) & mask;
        }
        let code = self.texts.len() as u32;
        self.texts.push(text)?;
        self.slots[slot] = code;
        self.hashes.push(hash);
        if 2 * self.hashes.len() > self.slots.len() {
            self.grow();
        }
        Ok(code)
    }

    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        self.slots = vec![EMPTY; mask + 1];
        for (code, &hash) in self.hashes.iter().enumerate() {
            let mut slot = hash as usize & mask;
            while self.slots[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = code as u32;
        }
    }

    /// The texts by code, and their hashes.
    pub(crate) fn finish(self) -> (Texts, Vec<u64>) {
        (self.texts, self.hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_equal_codes() {
        let mut interner = Interner::new();
        let words: Vec<String> = (0..1000).map(|n| format!("word {}", n % 300)).collect();
        let codes: Vec<u32> = words.iter().map(|word| interner.intern(word).unwrap()).collect();
        let (texts, hashes) = interner.finish();
        assert_eq!((texts.len(), hashes.len()), (300, 300));
        assert!(codes.iter().zip(&words).all(|(&code, word)| texts.get(code) == word));
        assert!(codes[..300].iter().copied().eq(0..300));
    }

    #[test]
    fn more_text_than_offsets_can_say_is_refused() {
        let limit = u32::MAX as usize;
        assert_eq!(end_of(3, 4).unwrap(), 7);
        assert_eq!(end_of(limit - 5, 5).unwrap(), u32::MAX);
        for (bytes, more) in [(limit - 5, 6), (limit, 1), (usize::MAX, 1)] {
            assert_eq!(end_of(bytes, more).unwrap_err().kind(), crate::error::ErrorKind::InvalidInput);
        }
    }
}
