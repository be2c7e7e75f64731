//! Codes for values of key columns (`by`, `hold`), the same over all segments that one worker reads.

use crate::types::Value;
use std::collections::HashMap;

/// The code of NULL.
pub const KEY_NULL: u32 = 0;

/// A hashable form of a value: doubles by their bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum KeyValue {
    Boolean(bool),
    BigInt(i64),
    Double(u64),
    Text(Box<str>),
    Timestamp(i64),
}

/// The distinct values of one key column and their codes, from 1 in order of first sight; 0 is NULL.
#[derive(Debug, Default)]
pub(crate) struct KeyColumn {
    values: Vec<Value>,
    codes: HashMap<KeyValue, u32>,
}

impl KeyColumn {
    /// The code of `value`. Doubles are kept with -0 made 0 and one NaN, so that which of several equal values was met
    /// first does not show.
    pub(crate) fn code(&mut self, value: Value) -> u32 {
        let value = match value {
            Value::Double(v) if v.is_nan() => Value::Double(f64::NAN),
            Value::Double(v) => Value::Double(v + 0.0),
            other => other,
        };
        let key = match &value {
            Value::Null => return KEY_NULL,
            Value::Boolean(v) => KeyValue::Boolean(*v),
            Value::BigInt(v) => KeyValue::BigInt(*v),
            Value::Double(v) => KeyValue::Double(v.to_bits()),
            Value::Text(v) => KeyValue::Text(v.as_str().into()),
            Value::Timestamp(v) => KeyValue::Timestamp(*v),
        };
        let values = &mut self.values;
        *self.codes.entry(key).or_insert_with(|| {
            values.push(value);
            u32::try_from(values.len()).expect("fewer than 2^32 distinct keys")
        })
    }
}

/// What the key codes of one worker mean.
#[derive(Debug, Default)]
pub struct KeySpace {
    pub(crate) columns: Vec<KeyColumn>,
}

impl KeySpace {
    /// Of this many columns, with no value yet.
    pub fn new(columns: usize) -> Self {
        Self { columns: (0..columns).map(|_| KeyColumn::default()).collect() }
    }

    /// The code of a value in key column `column`, a new one where it has none.
    pub fn code(&mut self, column: usize, value: Value) -> u32 {
        self.columns[column].code(value)
    }

    /// The codes of key column `column` are below this one.
    pub fn codes_end(&self, column: usize) -> u32 {
        self.columns[column].values.len() as u32 + 1
    }

    /// The value behind `code` in key column `column`.
    pub fn value(&self, column: usize, code: u32) -> Value {
        match code {
            KEY_NULL => Value::Null,
            _ => self.columns[column].values[code as usize - 1].clone(),
        }
    }
}

/// Codes of one key column for the users of a selection.
#[derive(Debug)]
pub enum KeyCodes {
    /// One a user: all of a user's events have it.
    PerUser(Vec<u32>),
    /// One an event.
    PerEvent(Vec<u32>),
}

impl Default for KeyCodes {
    fn default() -> Self {
        Self::PerEvent(Vec::new())
    }
}

impl KeyCodes {
    /// Empty it, for codes of users.
    pub(crate) fn per_user(&mut self) -> &mut Vec<u32> {
        *self = Self::PerUser(self.take());
        self.codes()
    }

    /// Empty it, for codes of events.
    pub(crate) fn per_event(&mut self) -> &mut Vec<u32> {
        *self = Self::PerEvent(self.take());
        self.codes()
    }

    fn take(&mut self) -> Vec<u32> {
        let mut codes = std::mem::take(self.codes());
        codes.clear();
        codes
    }

    /// Codes that it has room for.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::PerUser(codes) | Self::PerEvent(codes) => codes.capacity(),
        }
    }

    pub(crate) fn codes(&mut self) -> &mut Vec<u32> {
        match self {
            Self::PerUser(codes) | Self::PerEvent(codes) => codes,
        }
    }
}

/// Key codes of one user's events.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    columns: &'a [KeyCodes],
    /// Position of the user among those of `columns`, and of its first event.
    user: usize,
    first_event: usize,
}

impl<'a> Keys<'a> {
    /// The codes in `columns` of the user at position `user`, whose first event is at position `first_event`.
    pub fn new(columns: &'a [KeyCodes], user: usize, first_event: usize) -> Self {
        Self { columns, user, first_event }
    }

    /// No keys.
    pub fn none() -> Self {
        Self { columns: &[], user: 0, first_event: 0 }
    }

    /// Number of key columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The code of `event` in `column`; 0 is NULL. Panics past the end, as a slice does.
    #[inline]
    pub fn code(&self, column: usize, event: usize) -> u32 {
        match &self.columns[column] {
            KeyCodes::PerUser(codes) => codes[self.user],
            KeyCodes::PerEvent(codes) => codes[self.first_event + event],
        }
    }

    /// The codes of the first `events` events in `column`, where it has one for each event; `None` where all events have the
    /// same one. Panics past the end, as a slice does.
    #[inline]
    pub fn per_event(&self, column: usize, events: usize) -> Option<&'a [u32]> {
        match &self.columns[column] {
            KeyCodes::PerUser(_) => None,
            KeyCodes::PerEvent(codes) => Some(&codes[self.first_event..self.first_event + events]),
        }
    }

    /// Whether every column has one code for all events of the user.
    #[inline]
    pub fn is_per_user(&self) -> bool {
        self.columns.iter().all(|column| matches!(column, KeyCodes::PerUser(_)))
    }

    /// The same of only some columns.
    #[must_use]
    #[inline]
    pub fn of_columns(&self, columns: std::ops::Range<usize>) -> Self {
        Self { columns: &self.columns[columns], ..*self }
    }
}
