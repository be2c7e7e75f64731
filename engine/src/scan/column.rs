//! Values of one stored column at given rows of a block, in the type that the table's schema has today.

use crate::error::Result;
use crate::rows::Column;
use crate::segment::{Block, TextBlock, widen};
use crate::types::{ColumnType, Value};

/// Decoded values of the rows `first..`, to be indexed by row minus `first`.
pub(crate) struct Fetched {
    pub(crate) column: Column,
    first: u32,
}

impl Fetched {
    /// Decode `name` from the first to the last of `rows` (ascending, not empty), widened to `wanted`.
    pub(crate) fn new(block: &Block<'_>, name: &str, wanted: ColumnType, rows: &[u32]) -> Result<Self> {
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let column = block.column(name)?.decode(first as usize..last as usize + 1);
        let column = if column.column_type() == wanted { column } else { widen(column, wanted)? };
        Ok(Self { column, first })
    }

    /// Position of `row` in the decoded values.
    pub(crate) fn index(&self, row: u32) -> usize {
        (row - self.first) as usize
    }
}

/// The type of a value, if it is not NULL.
pub(crate) fn type_of(value: &Value) -> Option<ColumnType> {
    match value {
        Value::Null => None,
        Value::Boolean(_) => Some(ColumnType::Boolean),
        Value::BigInt(_) => Some(ColumnType::BigInt),
        Value::Double(_) => Some(ColumnType::Double),
        Value::Text(_) => Some(ColumnType::Text),
        Value::Timestamp(_) => Some(ColumnType::Timestamp),
    }
}

/// Texts of given rows of a block.
pub(crate) enum Texts {
    /// A code a row into the segment's dictionary; `NULL_CODE` for NULL.
    Codes(Vec<u32>),
    /// The block is stored plain.
    Plain(Vec<Option<String>>),
}

impl Texts {
    /// Read the text column `name` (or `event_id`) at `rows` (ascending, not empty).
    pub(crate) fn new(block: &Block<'_>, name: &str, rows: &[u32]) -> Result<Self> {
        let codes = match block.text(name)? {
            TextBlock::Dict(codes) => codes,
            TextBlock::Plain(texts) => {
                let value = |&row: &u32| texts.get(row as usize).map(str::to_string);
                return Ok(Self::Plain(rows.iter().map(value).collect()));
            }
        };
        if let Some(code) = codes.constant() {
            return Ok(Self::Codes(vec![code; rows.len()]));
        }
        let (first, last) = (rows[0] as usize, rows[rows.len() - 1] as usize);
        if last - first < rows.len() * 8 {
            let mut all = Vec::new();
            codes.decode_codes(first..last + 1, &mut all);
            if all.len() == rows.len() {
                return Ok(Self::Codes(all));
            }
            return Ok(Self::Codes(rows.iter().map(|&row| all[row as usize - first]).collect()));
        }
        Ok(Self::Codes(rows.iter().map(|&row| codes.code(row as usize)).collect()))
    }
}
