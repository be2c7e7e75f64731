//! Numbers for groups: for combinations of the codes of `by` columns, as one thread meets them.

use std::collections::HashMap;
use trodden_engine::scan::Keys;

/// Combinations of codes and their numbers. The code of a single column is its number, so that nothing is looked up.
#[derive(Debug)]
pub(crate) struct Groups {
    columns: usize,
    /// The combination of each number, one after the other.
    keys: Vec<u32>,
    /// With more than one column.
    numbers: HashMap<Vec<u32>, u32>,
    key: Vec<u32>,
}

impl Groups {
    /// No groups yet, of this many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, keys: Vec::new(), numbers: HashMap::new(), key: Vec::new() }
    }

    /// The group of an event.
    #[inline]
    pub(crate) fn of(&mut self, by: &Keys<'_>, event: usize) -> u32 {
        match self.columns {
            0 => 0,
            1 => self.of_code(by.code(0, event)),
            columns => self.of_codes((0..columns).map(|column| by.code(column, event))),
        }
    }

    /// The group of `codes`, one a column.
    #[inline]
    pub(crate) fn of_codes(&mut self, mut codes: impl Iterator<Item = u32>) -> u32 {
        match self.columns {
            0 => 0,
            1 => self.of_code(codes.next().unwrap_or_default()),
            _ => {
                self.key.clear();
                self.key.extend(codes);
                self.number()
            }
        }
    }

    #[inline]
    fn of_code(&mut self, code: u32) -> u32 {
        if self.keys.len() <= code as usize {
            self.keys.extend(self.keys.len() as u32..=code);
        }
        code
    }

    fn number(&mut self) -> u32 {
        if let Some(&number) = self.numbers.get(&self.key) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.keys.extend_from_slice(&self.key);
        self.numbers.insert(self.key.clone(), number);
        number
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len().checked_div(self.columns).unwrap_or(1)
    }

    /// The codes of a group.
    pub(crate) fn key(&self, group: u32) -> &[u32] {
        let start = group as usize * self.columns;
        &self.keys[start..start + self.columns]
    }

    /// Memory in use, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        4 * self.keys.capacity() + self.numbers.capacity() * (size_of::<(Vec<u32>, u32)>() + 4 * self.columns)
    }
}
