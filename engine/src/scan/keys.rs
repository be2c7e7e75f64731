//! Codes for values of key columns (`by`, `hold`), the same over all segments that one worker reads.

use crate::types::Value;
use std::collections::HashMap;

/// The code of NULL.
pub const KEY_NULL: u32 = 0;

/// A hashable form of a value: doubles by their bits with -0 made 0 and one NaN.
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
    /// The code of `value`.
    pub(crate) fn code(&mut self, value: Value) -> u32 {
        let key = match &value {
            Value::Null => return KEY_NULL,
            Value::Boolean(v) => KeyValue::Boolean(*v),
            Value::BigInt(v) => KeyValue::BigInt(*v),
            Value::Double(v) => KeyValue::Double(if v.is_nan() { f64::NAN.to_bits() } else { (*v + 0.0).to_bits() }),
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
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns: (0..columns).map(|_| KeyColumn::default()).collect() }
    }

    /// The value behind `code` in key column `column`.
    pub fn value(&self, column: usize, code: u32) -> Value {
        match code {
            KEY_NULL => Value::Null,
            _ => self.columns[column].values[code as usize - 1].clone(),
        }
    }
}
