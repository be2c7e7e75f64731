//! Distinct texts in one buffer, found by their hash: little memory beside the bytes themselves.

use xxhash_rust::xxh3::xxh3_64;

/// A slot of the hash table without a text.
const EMPTY: u32 = u32::MAX;

/// Distinct texts, each with a code: 0, 1, 2, … in order of first arrival.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<u64>,
    slots: Vec<u32>,
}

impl Texts {
    /// The text of `code`.
    pub(super) fn get(&self, code: u32) -> &str {
        let at = code as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    /// The code of `text`, if it has one.
    pub(super) fn code(&self, text: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let code = self.slots[self.slot_of(text)];
        (code != EMPTY).then_some(code)
    }

    /// The code of `text`, given now if it is new.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        if 2 * (self.ends.len() + 1) > self.slots.len() {
            self.grow();
        }
        let slot = self.slot_of(text);
        if self.slots[slot] == EMPTY {
            self.slots[slot] = self.ends.len() as u32;
            self.bytes.push_str(text);
            self.ends.push(self.bytes.len() as u64);
        }
        self.slots[slot]
    }

    /// The slot that has `text`, or the empty one where it belongs.
    fn slot_of(&self, text: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = xxh3_64(text.as_bytes()) as usize & mask;
        while self.slots[slot] != EMPTY && self.get(self.slots[slot]) != text {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; (2 * self.slots.len()).max(64)];
        for code in 0..self.ends.len() as u32 {
            let slot = self.slot_of(self.get(code));
            self.slots[slot] = code;
        }
    }

    /// Memory in use, about, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + 8 * self.ends.capacity() + 4 * self.slots.capacity()
    }
}
