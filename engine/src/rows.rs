//! Rows of one shard in memory, column by column: what ingest hands to the memtable, and what becomes a segment.

use crate::error::{Error, Result};
use crate::types::{ColumnDef, ColumnType, Schema, Value};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The code of NULL in a [`TextColumn`].
pub const NULL_CODE: u32 = u32::MAX;

/// XXH3 in one call for each piece of a key: for short texts many times as fast as its streaming form.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextHasher(u64);

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The end mark of a text: nothing follows it in the keys used here.
    fn write_u8(&mut self, _end: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Distinct texts and their codes: 0, 1, 2, … in order of first arrival.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    values: Vec<Box<str>>,
    codes: HashMap<Box<str>, u32, BuildHasherDefault<TextHasher>>,
    bytes: usize,
}

impl Dictionary {
    /// The code of `value`, given now if it is new.
    pub fn intern(&mut self, value: &str) -> u32 {
        if let Some(&code) = self.codes.get(value) {
            return code;
        }
        let code = u32::try_from(self.values.len()).expect("fewer than 2^32 distinct texts in one buffer");
        self.values.push(value.into());
        self.codes.insert(value.into(), code);
        self.bytes += 2 * value.len() + 64;
        code
    }

    /// The code of `value`, if it has one.
    pub fn code(&self, value: &str) -> Option<u32> {
        self.codes.get(value).copied()
    }

    /// The text of `code`.
    pub fn value(&self, code: u32) -> &str {
        &self.values[code as usize]
    }

    /// All texts in order of their codes.
    pub fn values(&self) -> &[Box<str>] {
        &self.values
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Memory in use, about, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

/// A column of text: a code a row, [`NULL_CODE`] for NULL, into its dictionary.
#[derive(Debug, Clone, Default)]
pub struct TextColumn {
    /// A code a row.
    pub codes: Vec<u32>,
    /// What the codes mean.
    pub dictionary: Dictionary,
}

impl TextColumn {
    /// Append a value.
    pub fn push(&mut self, value: Option<&str>) {
        let code = value.map_or(NULL_CODE, |value| self.dictionary.intern(value));
        self.codes.push(code);
    }

    /// Memory in use, about, in bytes.
    pub fn memory_bytes(&self) -> usize {
        4 * self.codes.len() + self.dictionary.memory_bytes()
    }

    /// The value of row `row`.
    pub fn get(&self, row: usize) -> Option<&str> {
        match self.codes[row] {
            NULL_CODE => None,
            code => Some(self.dictionary.value(code)),
        }
    }

    /// Append the given rows of `other`.
    fn append(&mut self, other: &Self, rows: impl Iterator<Item = usize>) {
        let mut mapped = vec![NULL_CODE; other.dictionary.len()];
        self.codes.extend(rows.map(|row| {
            let code = other.codes[row];
            if code == NULL_CODE {
                return NULL_CODE;
            }
            let mapped = &mut mapped[code as usize];
            if *mapped == NULL_CODE {
                *mapped = self.dictionary.intern(other.dictionary.value(code));
            }
            *mapped
        }));
    }
}

/// A property column. Where `valid[row]` is false the row is NULL and the value beside it is 0.
#[derive(Debug, Clone)]
pub enum Column {
    /// BOOLEAN.
    Boolean {
        /// A value a row.
        values: Vec<bool>,
        /// Whether the row has one.
        valid: Vec<bool>,
    },
    /// BIGINT.
    BigInt {
        /// A value a row.
        values: Vec<i64>,
        /// Whether the row has one.
        valid: Vec<bool>,
    },
    /// DOUBLE.
    Double {
        /// A value a row.
        values: Vec<f64>,
        /// Whether the row has one.
        valid: Vec<bool>,
    },
    /// TIMESTAMP in microseconds.
    Timestamp {
        /// A value a row.
        values: Vec<i64>,
        /// Whether the row has one.
        valid: Vec<bool>,
    },
    /// TEXT.
    Text(TextColumn),
}

impl Column {
    /// An empty column of `column_type`.
    pub fn new(column_type: ColumnType) -> Self {
        let valid = Vec::new();
        match column_type {
            ColumnType::Boolean => Self::Boolean { values: Vec::new(), valid },
            ColumnType::BigInt => Self::BigInt { values: Vec::new(), valid },
            ColumnType::Double => Self::Double { values: Vec::new(), valid },
            ColumnType::Timestamp => Self::Timestamp { values: Vec::new(), valid },
            ColumnType::Text => Self::Text(TextColumn::default()),
        }
    }

    /// Its type.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Boolean { .. } => ColumnType::Boolean,
            Self::BigInt { .. } => ColumnType::BigInt,
            Self::Double { .. } => ColumnType::Double,
            Self::Timestamp { .. } => ColumnType::Timestamp,
            Self::Text(_) => ColumnType::Text,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Boolean { valid, .. }
            | Self::BigInt { valid, .. }
            | Self::Double { valid, .. }
            | Self::Timestamp { valid, .. } => valid.len(),
            Self::Text(text) => text.codes.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any row has a value.
    pub fn has_values(&self) -> bool {
        match self {
            Self::Boolean { valid, .. }
            | Self::BigInt { valid, .. }
            | Self::Double { valid, .. }
            | Self::Timestamp { valid, .. } => valid.contains(&true),
            Self::Text(text) => text.codes.iter().any(|&code| code != NULL_CODE),
        }
    }

    /// Memory in use, about, in bytes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Boolean { valid, .. } => 2 * valid.len(),
            Self::BigInt { valid, .. } | Self::Timestamp { valid, .. } | Self::Double { valid, .. } => 9 * valid.len(),
            Self::Text(text) => text.memory_bytes(),
        }
    }

    /// Append NULL until there are `rows` rows.
    pub fn pad(&mut self, rows: usize) {
        match self {
            Self::Boolean { values, valid } => {
                values.resize(rows, false);
                valid.resize(rows, false);
            }
            Self::BigInt { values, valid } | Self::Timestamp { values, valid } => {
                values.resize(rows, 0);
                valid.resize(rows, false);
            }
            Self::Double { values, valid } => {
                values.resize(rows, 0.0);
                valid.resize(rows, false);
            }
            Self::Text(text) => text.codes.resize(rows, NULL_CODE),
        }
    }

    /// Append rows `rows` of `other`.
    ///
    /// # Errors
    /// `InvalidInput` where it has another type; widen it first.
    pub fn append(&mut self, other: &Self, rows: impl Iterator<Item = usize> + Clone) -> Result<()> {
        fn copy<T: Copy>(to: &mut Vec<T>, from: &[T], rows: impl Iterator<Item = usize>) {
            to.extend(rows.map(|row| from[row]));
        }
        match (self, other) {
            (Self::Boolean { values, valid }, Self::Boolean { values: from, valid: from_valid }) => {
                copy(values, from, rows.clone());
                copy(valid, from_valid, rows);
            }
            (Self::BigInt { values, valid }, Self::BigInt { values: from, valid: from_valid })
            | (Self::Timestamp { values, valid }, Self::Timestamp { values: from, valid: from_valid }) => {
                copy(values, from, rows.clone());
                copy(valid, from_valid, rows);
            }
            (Self::Double { values, valid }, Self::Double { values: from, valid: from_valid }) => {
                copy(values, from, rows.clone());
                copy(valid, from_valid, rows);
            }
            (Self::Text(text), Self::Text(from)) => text.append(from, rows),
            (to, from) => {
                let (to, from) = (to.column_type().sql_name(), from.column_type().sql_name());
                return Err(Error::invalid(format!("rows of a {from} column do not fit into a {to} column")));
            }
        }
        Ok(())
    }

    /// The value of row `row`.
    pub fn get(&self, row: usize) -> Value {
        match self {
            Self::Boolean { values, valid } if valid[row] => Value::Boolean(values[row]),
            Self::BigInt { values, valid } if valid[row] => Value::BigInt(values[row]),
            Self::Double { values, valid } if valid[row] => Value::Double(values[row]),
            Self::Timestamp { values, valid } if valid[row] => Value::Timestamp(values[row]),
            Self::Text(text) => text.get(row).map_or(Value::Null, |text| Value::Text(text.into())),
            _ => Value::Null,
        }
    }
}

/// Rows of one shard in order of arrival (or, where a function says so, sorted). All columns have the same length.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The user's ordinal.
    pub ordinals: Vec<u32>,
    /// Time in microseconds.
    pub ts: Vec<i64>,
    /// Event name, never NULL.
    pub event: TextColumn,
    /// Event id; NULL where the sender gave none.
    pub event_id: TextColumn,
    /// Properties by name. A column of the table that no row has may be absent.
    pub properties: Vec<(String, Column)>,
}

impl Rows {
    /// No rows, with the columns of `schema`.
    pub fn new(schema: &Schema) -> Self {
        let column = |def: &ColumnDef| (def.name.clone(), Column::new(def.column_type));
        Self { properties: schema.columns.iter().map(column).collect(), ..Self::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// Memory in use, about, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let properties: usize = self.properties.iter().map(|(_, column)| column.memory_bytes()).sum();
        12 * self.len() + self.event.memory_bytes() + self.event_id.memory_bytes() + properties
    }

    /// The property column called `name`.
    pub fn property(&self, name: &str) -> Option<&Column> {
        self.properties.iter().find(|(column, _)| column == name).map(|(_, column)| column)
    }

    /// Append rows `range` of `other`. A column that one side lacks is NULL there.
    ///
    /// # Errors
    /// `InvalidInput` where a column has another type in `other`; widen it first.
    pub fn append(&mut self, other: &Self, range: Range<usize>) -> Result<()> {
        self.append_rows(other, range)
    }

    /// Append the rows `picked` of `other`, like [`Rows::append`].
    ///
    /// # Errors
    /// `InvalidInput` where a column has another type in `other`; widen it first.
    pub fn append_picked(&mut self, other: &Self, picked: &[u32]) -> Result<()> {
        self.append_rows(other, picked.iter().map(|&row| row as usize))
    }

    fn append_rows(&mut self, other: &Self, rows: impl Iterator<Item = usize> + Clone) -> Result<()> {
        let before = self.len();
        self.ordinals.extend(rows.clone().map(|row| other.ordinals[row]));
        self.ts.extend(rows.clone().map(|row| other.ts[row]));
        self.event.append(&other.event, rows.clone());
        self.event_id.append(&other.event_id, rows.clone());
        for (name, from) in &other.properties {
            let at = self.properties.iter().position(|(column, _)| column == name).unwrap_or_else(|| {
                let mut column = Column::new(from.column_type());
                column.pad(before);
                self.properties.push((name.clone(), column));
                self.properties.len() - 1
            });
            self.properties[at].1.append(from, rows.clone()).map_err(|e| e.at(format!("column '{name}'")))?;
        }
        let count = self.len();
        self.properties.iter_mut().for_each(|(_, column)| column.pad(count));
        Ok(())
    }

    /// The permutation that sorts the rows by (ordinal, ts, arrival).
    pub fn sort_permutation(&self) -> Vec<u32> {
        let count = u32::try_from(self.len()).expect("fewer than 2^32 rows in one buffer");
        let (Some(&first), Some(&last)) = (self.ordinals.iter().min(), self.ordinals.iter().max()) else {
            return Vec::new();
        };
        let users = (last - first) as usize + 1;
        if users > 8 * self.len() + 1024 {
            let mut order: Vec<u32> = (0..count).collect();
            order.sort_unstable_by_key(|&row| (self.ordinals[row as usize], self.ts[row as usize], row));
            return order;
        }
        // Counting by ordinal keeps the order of arrival, in which most users' times ascend already.
        let mut ends = vec![0_u32; users + 1];
        self.ordinals.iter().for_each(|&ordinal| ends[(ordinal - first) as usize + 1] += 1);
        for user in 0..users {
            ends[user + 1] += ends[user];
        }
        let mut order = vec![0; self.len()];
        for (row, &ordinal) in (0..count).zip(&self.ordinals) {
            let end = &mut ends[(ordinal - first) as usize];
            order[*end as usize] = row;
            *end += 1;
        }
        // `ends[user]` has moved from where the user's rows begin to where they end.
        let mut start = 0;
        for &end in &ends[..users] {
            let own = &mut order[start..end as usize];
            if !own.is_sorted_by_key(|&row| self.ts[row as usize]) {
                own.sort_by_key(|&row| self.ts[row as usize]);
            }
            start = end as usize;
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_sorting_agree() {
        let mut seed = 1_u64;
        let mut below = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % end
        };
        for spread in [1, 5, 100, 1_000_000] {
            let ordinals: Vec<u32> = (0..500).map(|_| 7 + below(spread) as u32).collect();
            let ts: Vec<i64> = (0..500).map(|_| below(9) as i64 - 4).collect();
            let rows = Rows { ordinals, ts, ..Rows::default() };
            let mut expected: Vec<u32> = (0..500).collect();
            expected.sort_by_key(|&row| (rows.ordinals[row as usize], rows.ts[row as usize]));
            assert_eq!(rows.sort_permutation(), expected, "{spread} users");
        }
        assert!(Rows::default().sort_permutation().is_empty());
    }

    #[test]
    fn appended_rows_keep_their_values_and_lack_what_they_lack() {
        let mut first = Rows { ordinals: vec![1], ts: vec![5], ..Rows::default() };
        first.event.push(Some("a"));
        first.event_id.push(None);
        first.properties.push(("n".into(), Column::BigInt { values: vec![3], valid: vec![true] }));
        let mut second = Rows { ordinals: vec![2, 3], ts: vec![6, 7], ..Rows::default() };
        for (event, id) in [("b", Some("x")), ("a", None)] {
            second.event.push(Some(event));
            second.event_id.push(id);
        }
        let mut text = TextColumn::default();
        text.push(None);
        text.push(Some("t"));
        second.properties.push(("t".into(), Column::Text(text)));
        first.append(&second, 0..2).unwrap();
        first.append_picked(&second.clone(), &[1]).unwrap();
        assert_eq!((first.ordinals.clone(), first.ts.clone()), (vec![1, 2, 3, 3], vec![5, 6, 7, 7]));
        let values = |name: &str| (0..4).map(|row| first.property(name).unwrap().get(row)).collect::<Vec<_>>();
        assert_eq!(values("n"), [Value::BigInt(3), Value::Null, Value::Null, Value::Null]);
        assert_eq!(values("t"), [Value::Null, Value::Null, Value::Text("t".into()), Value::Text("t".into())]);
        assert_eq!((first.event.get(2), first.event_id.get(1)), (Some("a"), Some("x")));
        let wrong = Rows { properties: vec![("n".into(), Column::new(ColumnType::Text))], ..Rows::default() };
        assert!(first.append(&wrong, 0..0).is_err());
    }
}
