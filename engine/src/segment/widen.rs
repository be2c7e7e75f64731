//! Values of a column in a wider type, without loss.

use crate::error::{Error, Result};
use crate::rows::{Column, TextColumn};
use crate::types::{ColumnType, EXACT_DOUBLE_MAX, Value};
use chrono::{DateTime, SecondsFormat};

/// From this magnitude on, and below its counterpart, a double as text has an exponent.
const DOUBLE_EXPONENT_FROM: f64 = 1e17;
const DOUBLE_EXPONENT_BELOW: f64 = 1e-5;

/// The same values as `to`, where a column was stored or arrived in a narrower type.
///
/// BIGINT becomes DOUBLE; everything becomes TEXT: numbers with the fewest digits that give the same number back,
/// timestamps as `2026-01-31T00:00:00.000000Z`, booleans as `true` and `false`. A value becomes the same text whether
/// it went by way of DOUBLE or not.
///
/// # Errors
/// `InvalidInput` if `to` does not hold every value of the column.
pub fn widen(column: Column, to: ColumnType) -> Result<Column> {
    let from = column.column_type();
    match (column, to) {
        (column, to) if column.column_type() == to => Ok(column),
        (Column::BigInt { values, valid }, ColumnType::Double) => {
            if let Some(value) = values.iter().find(|value| value.unsigned_abs() > EXACT_DOUBLE_MAX as u64) {
                return Err(Error::invalid(format!("{value} is not exact as DOUBLE")).with_hint("make the column TEXT"));
            }
            Ok(Column::Double { values: values.into_iter().map(|value| value as f64).collect(), valid })
        }
        (Column::Boolean { values, valid }, ColumnType::Text) => {
            Ok(to_text(&values, &valid, |value| value.to_string()))
        }
        (Column::BigInt { values, valid }, ColumnType::Text) => Ok(to_text(&values, &valid, |value| value.to_string())),
        (Column::Double { values, valid }, ColumnType::Text) => Ok(to_text(&values, &valid, double_text)),
        (Column::Timestamp { values, valid }, ColumnType::Text) => Ok(to_text(&values, &valid, timestamp_text)),
        // Nothing is lost where nothing is there.
        (column, to) if !column.has_values() => {
            let mut nulls = Column::new(to);
            nulls.pad(column.len());
            Ok(nulls)
        }
        _ => Err(Error::invalid(format!("{} values do not all fit {}", from.sql_name(), to.sql_name()))),
    }
}

fn to_text<T: Copy>(values: &[T], valid: &[bool], text: impl Fn(T) -> String) -> Column {
    let mut column = TextColumn::default();
    for (&value, &valid) in values.iter().zip(valid) {
        column.push(valid.then(|| text(value)).as_deref());
    }
    Column::Text(column)
}

/// A double with the fewest digits that give it back: what a column that becomes TEXT has.
pub fn double_text(value: f64) -> String {
    let magnitude = value.abs();
    let plain = magnitude == 0.0 || !magnitude.is_finite();
    match plain || (DOUBLE_EXPONENT_BELOW..DOUBLE_EXPONENT_FROM).contains(&magnitude) {
        true => value.to_string(),
        false => format!("{value:e}"),
    }
}

/// A timestamp in RFC 3339 with microseconds: what a column that becomes TEXT has. `ts_us`: microseconds since 1970.
pub fn timestamp_text(ts_us: i64) -> String {
    match DateTime::from_timestamp_micros(ts_us) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Micros, true),
        // Beyond what a calendar holds: the number itself, so that nothing is lost.
        None => ts_us.to_string(),
    }
}

/// A value as the text that a column of its type widens to.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Boolean(value) => value.to_string(),
        Value::BigInt(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Text(value) => value.clone(),
        Value::Timestamp(ts_us) => timestamp_text(*ts_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(column: Column) -> Vec<Option<String>> {
        let Column::Text(text) = widen(column, ColumnType::Text).unwrap() else { unreachable!("asked for text") };
        (0..text.codes.len()).map(|row| text.get(row).map(String::from)).collect()
    }

    #[test]
    fn everything_becomes_text_without_loss() {
        let valid = vec![true, false, true];
        let some = |text: &str| Some(text.to_string());
        let values = vec![true, false, false];
        assert_eq!(texts(Column::Boolean { values, valid: valid.clone() }), [some("true"), None, some("false")]);
        let values = vec![i64::MIN, 0, 5];
        let ints = [some("-9223372036854775808"), None, some("5")];
        assert_eq!(texts(Column::BigInt { values, valid: valid.clone() }), ints);
        let values = vec![0, 0, -1];
        let times = [some("1970-01-01T00:00:00.000000Z"), None, some("1969-12-31T23:59:59.999999Z")];
        assert_eq!(texts(Column::Timestamp { values, valid }), times);
    }

    #[test]
    fn a_double_as_text_reads_back_as_itself() {
        for value in
            [0.0, -0.0, 5.0, 0.1, 1.0 / 3.0, 9e15, 1e17, 1e300, -2.5e-300, 1e-5, f64::MIN_POSITIVE, f64::INFINITY]
        {
            let text = double_text(value);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert!(text.len() < 30);
        }
        assert_eq!(double_text(5.0), "5");
        assert_eq!(double_text(f64::NAN), "NaN");
    }

    #[test]
    fn a_bigint_becomes_a_double_where_it_is_exact() {
        let exact = Column::BigInt { values: vec![EXACT_DOUBLE_MAX, 0], valid: vec![true, false] };
        let Column::Double { values, valid } = widen(exact, ColumnType::Double).unwrap() else { unreachable!() };
        assert_eq!((values, valid), (vec![EXACT_DOUBLE_MAX as f64, 0.0], vec![true, false]));
        let inexact = Column::BigInt { values: vec![EXACT_DOUBLE_MAX + 1], valid: vec![true] };
        assert!(widen(inexact, ColumnType::Double).is_err());
        let text = |value: Option<&str>| {
            let mut text = TextColumn::default();
            text.push(value);
            Column::Text(text)
        };
        assert!(widen(text(Some("5")), ColumnType::Double).is_err());
        assert_eq!(widen(text(None), ColumnType::Double).unwrap().get(0), Value::Null);
    }
}
