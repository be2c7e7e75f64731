//! One pass over a batch: validate, give equal texts equal codes, and gather the rows of each shard.

use super::schema::{BigIntRange, Incoming};
use super::texts::{Interner, Texts};
use super::{EventBatch, MAX_NAME_BYTES, shard_of_hash};
use crate::error::{Error, Result};
use crate::rows::NULL_CODE;
use crate::types::{ColumnType, TEXT_MAX_BYTES, TS_MAX_US, TS_MIN_US};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type,
};
use arrow_array::{Array, ArrowPrimitiveType, StringArray};
use arrow_schema::{DataType, TimeUnit};
use std::ops::Range;

/// Text as codes into the distinct texts of the batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct EncodedText {
    /// A code a row; [`NULL_CODE`] for NULL.
    pub(crate) codes: Vec<u32>,
    /// What the codes mean.
    pub(crate) values: Texts,
}

/// A property column of a batch. Where `valid` is false, the value is 0.
#[derive(Debug, Clone)]
pub(crate) enum EncodedColumn {
    Boolean { values: Vec<bool>, valid: Vec<bool> },
    BigInt { values: Vec<i64>, valid: Vec<bool> },
    Double { values: Vec<f64>, valid: Vec<bool> },
    Timestamp { values: Vec<i64>, valid: Vec<bool> },
    Text(EncodedText),
}

/// A batch whose rows are ordered by shard, and in a shard by arrival.
#[derive(Debug, Clone)]
pub(crate) struct EncodedBatch {
    /// Rows of shard `s` are `bounds[s]..bounds[s + 1]`.
    bounds: Vec<u32>,
    /// Users as codes into `user_ids`.
    pub(crate) users: EncodedText,
    /// Hashes of the distinct user ids.
    pub(crate) user_hashes: Vec<u64>,
    pub(crate) ts: Vec<i64>,
    pub(crate) event: EncodedText,
    pub(crate) event_id: Option<EncodedText>,
    pub(crate) columns: Vec<(String, EncodedColumn)>,
    ranges: Vec<Option<BigIntRange>>,
}

impl EncodedBatch {
    /// Validate and encode `batch` for a table of `shards` shards.
    ///
    /// # Errors
    /// `InvalidInput` that names the column and the row.
    pub(crate) fn encode(batch: &EventBatch, shards: u16) -> Result<Self> {
        check_lengths(batch)?;
        let users = encode_names(&batch.user_id, "user_id", false)?;
        let (order, bounds) = order_by_shard(&users.0.codes, &users.1, shards);
        let event = encode_names(&batch.event, "event", false)?.0;
        let event_id = match &batch.event_id {
            Some(ids) if ids.null_count() < ids.len() => Some(encode_names(ids, "event_id", true)?.0),
            _ => None,
        };
        let mut columns = Vec::with_capacity(batch.properties.len());
        let mut ranges = Vec::with_capacity(batch.properties.len());
        for (name, array) in &batch.properties {
            if let Some(column) = encode_column(array.as_ref()).map_err(|e| e.at(format!("column '{name}'")))? {
                ranges.push(column.big_int_range());
                columns.push((name.clone(), column.gather(&order)));
            }
        }
        let ts = batch.ts.values();
        if let Some(row) = ts.iter().position(|ts| !(TS_MIN_US..=TS_MAX_US).contains(ts)) {
            return Err(Error::invalid(format!(
                "row {row}: ts is {} µs since 1970, outside of the years 1 to 9999",
                ts[row]
            ))
            .with_hint("is the unit right? ts is in microseconds"));
        }
        Ok(Self {
            bounds,
            ts: gather(ts, &order),
            users: users.0.gather(&order),
            user_hashes: users.1,
            event: event.gather(&order),
            event_id: event_id.map(|text| text.gather(&order)),
            columns,
            ranges,
        })
    }

    /// The rows of `shard`.
    pub(crate) fn shard(&self, shard: u16) -> Range<usize> {
        self.bounds[shard as usize] as usize..self.bounds[shard as usize + 1] as usize
    }

    /// Number of shards.
    pub(crate) fn shards(&self) -> u16 {
        (self.bounds.len() - 1) as u16
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.ts.len()
    }

    /// The columns as the schema sees them.
    pub(crate) fn incoming(&self) -> impl Iterator<Item = Incoming<'_>> + Clone {
        self.columns.iter().zip(&self.ranges).map(|((name, column), range)| Incoming {
            name,
            column_type: column.column_type(),
            has_values: column.has_values(),
            range: *range,
        })
    }

    /// Memory in use, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|(_, column)| column.memory_bytes()).sum();
        let ids = self.event_id.as_ref().map_or(0, EncodedText::memory_bytes);
        columns
            + ids
            + self.users.memory_bytes()
            + self.event.memory_bytes()
            + 8 * (self.ts.len() + self.user_hashes.len())
    }
}

impl EncodedText {
    fn gather(self, order: &[u32]) -> Self {
        Self { codes: gather(&self.codes, order), values: self.values }
    }

    fn memory_bytes(&self) -> usize {
        4 * self.codes.len() + self.values.memory_bytes()
    }
}

impl EncodedColumn {
    /// Its type.
    pub(crate) fn column_type(&self) -> ColumnType {
        match self {
            Self::Boolean { .. } => ColumnType::Boolean,
            Self::BigInt { .. } => ColumnType::BigInt,
            Self::Double { .. } => ColumnType::Double,
            Self::Timestamp { .. } => ColumnType::Timestamp,
            Self::Text(_) => ColumnType::Text,
        }
    }

    fn has_values(&self) -> bool {
        match self {
            Self::Boolean { valid, .. }
            | Self::BigInt { valid, .. }
            | Self::Double { valid, .. }
            | Self::Timestamp { valid, .. } => valid.contains(&true),
            Self::Text(text) => text.codes.iter().any(|&code| code != NULL_CODE),
        }
    }

    fn big_int_range(&self) -> Option<BigIntRange> {
        let Self::BigInt { values, valid } = self else { return None };
        let mut present = values.iter().zip(valid).filter(|(_, valid)| **valid).map(|(value, _)| *value);
        let first = present.next()?;
        let start = BigIntRange { min: first, max: first };
        Some(present.fold(start, |range, value| range.and(BigIntRange { min: value, max: value })))
    }

    fn gather(self, order: &[u32]) -> Self {
        match self {
            Self::Boolean { values, valid } => {
                Self::Boolean { values: gather(&values, order), valid: gather(&valid, order) }
            }
            Self::BigInt { values, valid } => {
                Self::BigInt { values: gather(&values, order), valid: gather(&valid, order) }
            }
            Self::Double { values, valid } => {
                Self::Double { values: gather(&values, order), valid: gather(&valid, order) }
            }
            Self::Timestamp { values, valid } => {
                Self::Timestamp { values: gather(&values, order), valid: gather(&valid, order) }
            }
            Self::Text(text) => Self::Text(text.gather(order)),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Boolean { valid, .. } => 2 * valid.len(),
            Self::BigInt { valid, .. } | Self::Double { valid, .. } | Self::Timestamp { valid, .. } => 9 * valid.len(),
            Self::Text(text) => text.memory_bytes(),
        }
    }
}

fn gather<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|&row| values[row as usize]).collect()
}

fn check_lengths(batch: &EventBatch) -> Result<()> {
    let rows = batch.len();
    let fixed = [("ts", batch.ts.len()), ("event", batch.event.len())];
    let id = batch.event_id.iter().map(|ids| ("event_id", ids.len()));
    let properties = batch.properties.iter().map(|(name, array)| (name.as_str(), array.len()));
    if let Some((name, length)) = fixed.into_iter().chain(id).chain(properties).find(|(_, length)| *length != rows) {
        return Err(Error::invalid(format!("column '{name}' has {length} rows, user_id has {rows}")));
    }
    if batch.ts.null_count() > 0 {
        let row = (0..rows).find(|&row| batch.ts.is_null(row)).unwrap_or(0);
        return Err(Error::invalid(format!("row {row}: ts is NULL")).with_hint("every event needs a time"));
    }
    for (at, (name, _)) in batch.properties.iter().enumerate() {
        if batch.properties[..at].iter().any(|(other, _)| other == name) {
            return Err(Error::invalid(format!("column '{name}' is in the batch twice")));
        }
    }
    Ok(())
}

/// Codes of a fixed text column, and the hashes of its distinct texts.
fn encode_names(array: &StringArray, name: &str, nullable: bool) -> Result<(EncodedText, Vec<u64>)> {
    let mut interner = Interner::new();
    let mut codes = Vec::with_capacity(array.len());
    for (row, value) in array.iter().enumerate() {
        match value {
            Some("") if !nullable => {
                return Err(Error::invalid(format!("row {row}: {name} is empty")).with_hint("leave the event out"));
            }
            None if !nullable => {
                return Err(Error::invalid(format!("row {row}: {name} is NULL")).with_hint("leave the event out"));
            }
            // An empty event id is none.
            Some("") | None => codes.push(NULL_CODE),
            Some(value) if value.len() > MAX_NAME_BYTES => {
                return Err(Error::invalid(format!(
                    "row {row}: {name} has {} bytes; at most {MAX_NAME_BYTES} are allowed",
                    value.len()
                )));
            }
            Some(value) => codes.push(interner.intern(value).map_err(|e| e.at(name))?),
        }
    }
    let (values, hashes) = interner.finish();
    Ok((EncodedText { codes, values }, hashes))
}

/// The rows ordered by shard, and where each shard begins.
fn order_by_shard(users: &[u32], hashes: &[u64], shards: u16) -> (Vec<u32>, Vec<u32>) {
    let shard_of_user: Vec<u16> = hashes.iter().map(|&hash| shard_of_hash(hash, shards)).collect();
    let mut bounds = vec![0_u32; shards as usize + 1];
    users.iter().for_each(|&user| bounds[shard_of_user[user as usize] as usize + 1] += 1);
    for shard in 0..shards as usize {
        bounds[shard + 1] += bounds[shard];
    }
    let (mut next, mut order) = (bounds.clone(), vec![0; users.len()]);
    for (row, &user) in users.iter().enumerate() {
        let at = &mut next[shard_of_user[user as usize] as usize];
        order[*at as usize] = row as u32;
        *at += 1;
    }
    (order, bounds)
}

fn valid_of(array: &dyn Array) -> Vec<bool> {
    match array.nulls() {
        Some(nulls) => nulls.iter().collect(),
        None => vec![true; array.len()],
    }
}

fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> EncodedColumn
where
    T::Native: Into<i64> + Copy,
{
    EncodedColumn::BigInt { values: values_of::<T, i64>(array), valid: valid_of(array) }
}

/// The values, 0 where NULL.
fn values_of<T: ArrowPrimitiveType, V: Default + Clone>(array: &dyn Array) -> Vec<V>
where
    T::Native: Into<V> + Copy,
{
    let array = array.as_primitive::<T>();
    match array.nulls() {
        None => array.values().iter().map(|&value| value.into()).collect(),
        Some(_) => array.iter().map(|value| value.map_or_else(V::default, Into::into)).collect(),
    }
}

/// The column of `array`, or `None` for one of type `Null`.
fn encode_column(array: &dyn Array) -> Result<Option<EncodedColumn>> {
    Ok(Some(match array.data_type() {
        DataType::Null => return Ok(None),
        DataType::Boolean => {
            let booleans = array.as_boolean();
            let values = booleans.iter().map(|value| value.unwrap_or(false)).collect();
            EncodedColumn::Boolean { values, valid: valid_of(array) }
        }
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::Float32 => {
            EncodedColumn::Double { values: values_of::<Float32Type, f64>(array), valid: valid_of(array) }
        }
        DataType::Float64 => {
            EncodedColumn::Double { values: values_of::<Float64Type, f64>(array), valid: valid_of(array) }
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => timestamps(array)?,
        DataType::Utf8 => encode_text(array.as_string::<i32>().iter())?,
        DataType::LargeUtf8 => encode_text(array.as_string::<i64>().iter())?,
        DataType::Utf8View => encode_text(array.as_string_view().iter())?,
        DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
            encode_dictionary(array)?
        }
        other => {
            return Err(Error::invalid(format!("Arrow type {other} cannot be stored"))
                .with_hint("convert it to BOOLEAN, BIGINT, DOUBLE, TEXT or TIMESTAMP (microseconds)"));
        }
    }))
}

fn timestamps(array: &dyn Array) -> Result<EncodedColumn> {
    let (values, valid) = (values_of::<TimestampMicrosecondType, i64>(array), valid_of(array));
    let outside = |(row, value): (usize, &i64)| valid[row] && !(TS_MIN_US..=TS_MAX_US).contains(value);
    match values.iter().enumerate().position(outside) {
        Some(row) => {
            Err(Error::invalid(format!("row {row}: {} µs since 1970 is outside of the years 1 to 9999", values[row])))
        }
        None => Ok(EncodedColumn::Timestamp { values, valid }),
    }
}

fn encode_text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Result<EncodedColumn> {
    let mut interner = Interner::new();
    let codes = values.enumerate().map(|(row, value)| code_of(&mut interner, row, value)).collect::<Result<_>>()?;
    Ok(EncodedColumn::Text(EncodedText { codes, values: interner.finish().0 }))
}

fn code_of(interner: &mut Interner, row: usize, value: Option<&str>) -> Result<u32> {
    let Some(value) = value else { return Ok(NULL_CODE) };
    check_text(row, value.len())?;
    interner.intern(value)
}

fn check_text(row: usize, bytes: usize) -> Result<()> {
    match bytes <= TEXT_MAX_BYTES {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("row {row}: a text of {bytes} bytes; at most {TEXT_MAX_BYTES} are allowed"))
                .with_hint("shorten the text, or keep it elsewhere and store where"))
        }
    }
}

/// A dictionary's texts are hashed once each, whatever the number of rows.
fn encode_dictionary(array: &dyn Array) -> Result<EncodedColumn> {
    let dictionary = array.as_dictionary::<Int32Type>();
    let texts = dictionary.values().as_string::<i32>();
    let mut interner = Interner::new();
    let of_key = texts.iter().enumerate().map(|(row, text)| code_of(&mut interner, row, text));
    let of_key = of_key.collect::<Result<Vec<u32>>>()?;
    let code = |key: Option<i32>| key.map_or(NULL_CODE, |key| of_key[key as usize]);
    let codes = dictionary.keys().iter().map(code).collect();
    Ok(EncodedColumn::Text(EncodedText { codes, values: interner.finish().0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_at_most_one_gibibyte() {
        assert!(check_text(0, 1 << 30).is_ok());
        let error = check_text(7, (1 << 30) + 1).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
        assert!(error.message().contains("row 7") && error.hint().is_some(), "{error}");
    }
}
