//! Rows of one shard in memory, column by column: what ingest hands to the memtable, and what becomes a segment.

use crate::types::{ColumnDef, ColumnType, Schema, Value};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use xxhash_rust::xxh3::Xxh3Default;

/// The code of NULL in a [`TextColumn`].
pub const NULL_CODE: u32 = u32::MAX;

/// Distinct texts and their codes: 0, 1, 2, … in order of first arrival.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    values: Vec<Box<str>>,
    codes: HashMap<Box<str>, u32, BuildHasherDefault<Xxh3Default>>,
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

    /// The value of row `row`.
    pub fn get(&self, row: usize) -> Option<&str> {
        match self.codes[row] {
            NULL_CODE => None,
            code => Some(self.dictionary.value(code)),
        }
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

    /// The property column called `name`.
    pub fn property(&self, name: &str) -> Option<&Column> {
        self.properties.iter().find(|(column, _)| column == name).map(|(_, column)| column)
    }

    /// The permutation that sorts the rows by (ordinal, ts, arrival).
    pub fn sort_permutation(&self) -> Vec<u32> {
        let count = u32::try_from(self.len()).expect("fewer than 2^32 rows in one buffer");
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|&row| (self.ordinals[row as usize], self.ts[row as usize], row));
        order
    }
}
