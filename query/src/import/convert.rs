//! Arrow arrays of any type as columns of a table.

use super::infer::{Cell, Guess, Parsed};
use super::time::{TimeParser, in_range, local_to_utc};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::util::display::{FormatOptions, array_value_to_string};
use std::fmt::Write as _;
use std::sync::Arc;
use trodden_engine::types::{ColumnType, EXACT_DOUBLE_MAX};

const DAY_US: i64 = 86_400_000_000;

/// What an Arrow type becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    Boolean,
    Integer,
    Float,
    /// 128 bits, with so many digits after the point.
    Decimal(i8),
    Timestamp,
    Date,
    /// Has a text form and no narrower type.
    Text,
    /// UTF-8 that the writer did not mark as text.
    Bytes,
    Uuid,
    Nested,
}

impl Conversion {
    /// `None`: a type without a counterpart.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            data_type if data_type.is_integer() => Self::Integer,
            data_type if data_type.is_floating() => Self::Float,
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
                Self::Decimal(*scale)
            }
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Null | DataType::Time32(_) | DataType::Time64(_) | DataType::Decimal256(..) => Self::Text,
            DataType::Dictionary(_, values) => Self::of(values)?,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Struct(_)
            | DataType::Map(..) => Self::Nested,
            _ => return None,
        })
    }

    pub(super) fn column_type(self) -> ColumnType {
        match self {
            Self::Boolean => ColumnType::Boolean,
            Self::Integer => ColumnType::BigInt,
            Self::Decimal(scale) if scale <= 0 => ColumnType::BigInt,
            Self::Float | Self::Decimal(_) => ColumnType::Double,
            Self::Timestamp | Self::Date => ColumnType::Timestamp,
            Self::Text | Self::Bytes | Self::Uuid | Self::Nested => ColumnType::Text,
        }
    }

    /// Whether values decide if the type of the column holds them.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal(_) | Self::Timestamp | Self::Date)
    }
}

fn cast(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(values, to, &options).map_err(|error| error.to_string())
}

/// NULL in `rows` rows.
pub(super) fn nulls(column_type: ColumnType, rows: usize) -> ArrayRef {
    new_null_array(&arrow_type(column_type), rows)
}

fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// Every value as text. `Err(None)`: the type has no text form; `Err(Some(cause))`: a value has none.
pub(super) fn to_text(values: &ArrayRef) -> Result<StringArray, Option<String>> {
    if let Some(text) = values.as_string_opt::<i32>() {
        return Ok(text.clone());
    }
    match Conversion::of(values.data_type()).ok_or(None)? {
        Conversion::Float => Ok(float_text(&cast(values, &DataType::Float64).map_err(Some)?)),
        Conversion::Nested => Ok(each_row(values, |values, row, out| write_json(values, row, out))),
        Conversion::Uuid => Ok(each_row(values, write_uuid)),
        Conversion::Decimal(scale) if scale < 0 => {
            let whole = cast(values, &DataType::Decimal128(38, 0)).map_err(Some)?;
            to_text(&whole)
        }
        conversion => {
            let told = |cause| match conversion {
                Conversion::Bytes => "bytes that are no text in UTF-8".into(),
                Conversion::Timestamp => "a time beyond what can be written down".into(),
                _ => cause,
            };
            let text = cast(values, &DataType::Utf8).map_err(|cause| Some(told(cause)))?;
            Ok(text.as_string::<i32>().clone())
        }
    }
}

/// Whole numbers without a point: ids become floats in files only because a column has NULLs.
fn float_text(values: &ArrayRef) -> StringArray {
    let text = |value: f64| match value.fract() == 0.0 && value.abs() <= EXACT_DOUBLE_MAX as f64 {
        true => (value as i64).to_string(),
        false => value.to_string(),
    };
    values.as_primitive::<Float64Type>().iter().map(|value| value.map(text)).collect()
}

fn each_row(values: &ArrayRef, write: impl Fn(&dyn Array, usize, &mut String)) -> StringArray {
    let mut builder = StringBuilder::with_capacity(values.len(), values.len() * 16);
    let mut text = String::new();
    for row in 0..values.len() {
        if values.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(values, row, &mut text);
        builder.append_value(&text);
    }
    builder.finish()
}

fn write_uuid(values: &dyn Array, row: usize, out: &mut String) {
    for (index, byte) in values.as_fixed_size_binary().value(row).iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
}

/// A value for a person.
pub(super) fn show(values: &dyn Array, row: usize) -> String {
    array_value_to_string(values, row).unwrap_or_default()
}

/// A row of a batch as a JSON object.
pub(super) fn row_as_json(batch: &RecordBatch, row: usize) -> String {
    let mut out = String::from("{");
    for (index, field) in batch.schema().fields().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_json_string(field.name(), &mut out);
        out.push(':');
        write_json(batch.column(index), row, &mut out);
    }
    out.push('}');
    out
}

fn write_json_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn write_json(values: &dyn Array, row: usize, out: &mut String) {
    if values.is_null(row) {
        return out.push_str("null");
    }
    match values.data_type() {
        DataType::List(_) => write_json_list(&values.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => write_json_list(&values.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(..) => write_json_list(&values.as_fixed_size_list().value(row), out),
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns();
            write_json_pairs(
                out,
                fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), column, row)),
            );
        }
        DataType::Map(..) => {
            let entries = values.as_map().value(row);
            let (keys, column) = (entries.column(0), entries.column(1));
            write_json_pairs(out, (0..entries.len()).map(|entry| (show(keys, entry), column, entry)));
        }
        DataType::Boolean | DataType::Null => out.push_str(&show(values, row)),
        data_type if data_type.is_numeric() => match show(values, row) {
            number if number.parse::<f64>().is_ok_and(f64::is_finite) => out.push_str(&number),
            _ => out.push_str("null"),
        },
        DataType::FixedSizeBinary(16) => {
            out.push('"');
            write_uuid(values, row, out);
            out.push('"');
        }
        _ => write_json_string(&show(values, row), out),
    }
}

fn write_json_list(items: &ArrayRef, out: &mut String) {
    out.push('[');
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        write_json(items, item, out);
    }
    out.push(']');
}

fn write_json_pairs<'a>(out: &mut String, pairs: impl Iterator<Item = (String, &'a ArrayRef, usize)>) {
    out.push('{');
    for (index, (key, column, row)) in pairs.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_json_string(&key, out);
        out.push(':');
        write_json(column, row, out);
    }
    out.push('}');
}

/// Microseconds since 1970 of every value; NULL where there is none or it is out of range. `None`: the type holds no
/// times.
pub(super) fn to_stamps(values: &ArrayRef, parser: &TimeParser) -> Option<Int64Array> {
    let collect = |stamps: &mut dyn Iterator<Item = Option<i64>>| Some(stamps.collect::<Int64Array>());
    match Conversion::of(values.data_type())? {
        Conversion::Timestamp | Conversion::Date => declared_times(values, parser.zone),
        Conversion::Integer => {
            let options = CastOptions { safe: true, format_options: FormatOptions::default() };
            let values = cast_with_options(values, &DataType::Int64, &options).ok()?;
            collect(&mut values.as_primitive::<Int64Type>().iter().map(|value| parser.parse_i64(value?)))
        }
        Conversion::Float => {
            let values = cast(values, &DataType::Float64).ok()?;
            collect(&mut values.as_primitive::<Float64Type>().iter().map(|value| parser.parse_f64(value?)))
        }
        Conversion::Text | Conversion::Decimal(_) | Conversion::Bytes => {
            let text = to_text(values).ok()?;
            collect(&mut text.iter().map(|value| parser.parse(value?)))
        }
        Conversion::Boolean | Conversion::Uuid | Conversion::Nested => None,
    }
}

/// Timestamps and dates in microseconds. Those that are no instants are taken in `zone`.
fn declared_times(values: &ArrayRef, zone: Tz) -> Option<Int64Array> {
    let raw = |values: &ArrayRef| -> Option<Int64Array> {
        Some(cast(values, &DataType::Int64).ok()?.as_primitive::<Int64Type>().clone())
    };
    let (raw, numerator, denominator, is_local) = match values.data_type() {
        DataType::Dictionary(_, inner) => return declared_times(&cast(values, inner).ok()?, zone),
        DataType::Timestamp(unit, tz) => {
            let (numerator, denominator) = match unit {
                TimeUnit::Second => (1_000_000, 1),
                TimeUnit::Millisecond => (1_000, 1),
                TimeUnit::Microsecond => (1, 1),
                TimeUnit::Nanosecond => (1, 1_000),
            };
            (raw(values)?, numerator, denominator, tz.is_none())
        }
        DataType::Date32 => (raw(&cast(values, &DataType::Int32).ok()?)?, DAY_US, 1, true),
        _ => (raw(values)?, 1_000, 1, true),
    };
    let is_plain = numerator == 1 && denominator == 1 && (!is_local || zone == Tz::UTC);
    if is_plain && raw.values().iter().all(|&us| in_range(us).is_some()) {
        return Some(raw);
    }
    let to_us = |value: i64| {
        let us = value.checked_mul(numerator)?.div_euclid(denominator);
        in_range(if is_local { local_to_utc(in_range(us)?, zone) } else { us })
    };
    Some(raw.iter().map(|value| to_us(value?)).collect())
}

/// Values and the rows whose value does not fit, which are NULL there.
type Converted = (ArrayRef, Vec<(usize, String)>);

/// The values as a property of `column_type`. A told type takes what fits and names the rest; `Err(Some(reason))`: the
/// column must be widened; `Err(None)`: the type has no counterpart.
pub(super) fn to_property(
    values: &ArrayRef,
    column_type: ColumnType,
    told: bool,
    zone: Tz,
) -> Result<Converted, Option<String>> {
    let conversion = Conversion::of(values.data_type()).ok_or(None)?;
    match by_type(values, conversion, column_type, zone) {
        Some(Ok(values)) => Ok((values, Vec::new())),
        Some(Err(reason)) if !told => Err(Some(reason)),
        _ => by_value(values, column_type, told, zone),
    }
}

/// The conversion of a whole array. `None`: only its values can tell whether it is possible.
fn by_type(
    values: &ArrayRef,
    conversion: Conversion,
    column_type: ColumnType,
    zone: Tz,
) -> Option<Result<ArrayRef, String>> {
    Some(match (conversion, column_type) {
        (_, ColumnType::Text) => match to_text(values) {
            Ok(text) => Ok(Arc::new(text)),
            Err(cause) => Err(cause?),
        },
        (Conversion::Boolean, ColumnType::Boolean)
        | (Conversion::Integer, ColumnType::BigInt)
        | (Conversion::Float, ColumnType::Double) => cast(values, &arrow_type(column_type)),
        (Conversion::Decimal(scale), ColumnType::BigInt) if scale <= 0 => cast(values, &DataType::Int64),
        (Conversion::Integer, ColumnType::Double) => integers_to_double(values),
        (Conversion::Decimal(scale), ColumnType::Double) if scale >= 0 => decimals_to_double(values, scale),
        (Conversion::Timestamp | Conversion::Date, ColumnType::Timestamp) => {
            let stamps = declared_times(values, zone)?;
            match stamps.null_count() == values.null_count() {
                true => Ok(Arc::new(TimestampMicrosecondArray::new(stamps.values().clone(), stamps.nulls().cloned()))),
                false => Err("a time lies outside the years 1 to 9999".into()),
            }
        }
        _ => return None,
    })
}

fn integers_to_double(values: &ArrayRef) -> Result<ArrayRef, String> {
    let values = cast(values, &DataType::Int64)?;
    let values = values.as_primitive::<Int64Type>();
    match values.iter().flatten().find(|value| value.unsigned_abs() > EXACT_DOUBLE_MAX.unsigned_abs()) {
        Some(value) => Err(format!("{value} is no exact DOUBLE")),
        None => Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64))),
    }
}

/// The nearest DOUBLE of every decimal; both the digits and the power of ten are exact, so the quotient is rounded once.
fn decimals_to_double(values: &ArrayRef, scale: i8) -> Result<ArrayRef, String> {
    let values = cast(values, &DataType::Decimal128(38, scale))?;
    let values = values.as_primitive::<Decimal128Type>();
    let too_long = |value: &i128| value.unsigned_abs() > EXACT_DOUBLE_MAX.unsigned_abs().into();
    if scale > 22 || values.iter().flatten().any(|value| too_long(&value)) {
        return Err("a decimal has more digits than DOUBLE holds".into());
    }
    let unit = 10f64.powi(scale.into());
    let doubles: Float64Array = values.unary(|value| value as f64 / unit);
    Ok(Arc::new(doubles))
}

fn by_value(values: &ArrayRef, column_type: ColumnType, told: bool, zone: Tz) -> Result<Converted, Option<String>> {
    let text = to_text(values)?;
    let mut parsed = Vec::with_capacity(text.len());
    let mut misfits = Vec::new();
    for (row, value) in text.iter().enumerate() {
        let Some(text) = value.filter(|text| !text.is_empty()) else {
            parsed.push(None);
            continue;
        };
        let cell = Cell { text, quoted: false };
        let value = if told { cell.parse_as_told(column_type, zone) } else { cell.parse_as(column_type, zone) };
        if value.is_none() {
            if !told {
                return Err(Some(format!("'{text}' is no {}", column_type.sql_name())));
            }
            misfits.push((row, text.to_string()));
        }
        parsed.push(value);
    }
    Ok((build(column_type, &parsed), misfits))
}

fn build(column_type: ColumnType, parsed: &[Option<Parsed>]) -> ArrayRef {
    macro_rules! collect {
        ($builder:ty, $variant:path) => {{
            let mut builder = <$builder>::with_capacity(parsed.len());
            for value in parsed {
                builder.append_option(match value {
                    Some($variant(value)) => Some(*value),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }};
    }
    match column_type {
        ColumnType::Boolean => collect!(BooleanBuilder, Parsed::Boolean),
        ColumnType::BigInt => collect!(Int64Builder, Parsed::BigInt),
        ColumnType::Double => collect!(Float64Builder, Parsed::Double),
        ColumnType::Timestamp => collect!(TimestampMicrosecondBuilder, Parsed::Timestamp),
        // TEXT holds every value, so `by_type` has done it.
        ColumnType::Text => nulls(ColumnType::Text, parsed.len()),
    }
}

/// Take in what the values of an open type say about the type of their column.
pub(super) fn observe(values: &ArrayRef, guess: &mut Guess) {
    let Some(conversion) = Conversion::of(values.data_type()) else { return };
    let fits = match conversion {
        Conversion::Integer => cast(values, &DataType::Int64).is_ok(),
        Conversion::Decimal(scale) if scale <= 0 => cast(values, &DataType::Int64).is_ok(),
        Conversion::Decimal(scale) => decimals_to_double(values, scale).is_ok(),
        Conversion::Timestamp | Conversion::Date => {
            declared_times(values, Tz::UTC).is_some_and(|stamps| stamps.null_count() == values.null_count())
        }
        _ => true,
    };
    if !fits {
        return guess.observe_beyond();
    }
    if conversion == Conversion::Integer
        && let Ok(integers) = cast(values, &DataType::Int64)
    {
        for value in integers.as_primitive::<Int64Type>().iter().flatten() {
            guess.observe_i64(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::{EpochUnit, StampKind};
    use super::*;
    use arrow_array::{Decimal128Array, DictionaryArray, Int32Array, LargeStringArray, UInt64Array};

    fn property(values: ArrayRef, column_type: ColumnType) -> Result<ArrayRef, Option<String>> {
        to_property(&values, column_type, false, Tz::UTC).map(|(values, _)| values)
    }

    #[test]
    fn texts_of_all_kinds() {
        let dictionary: DictionaryArray<arrow_array::types::Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let floats = Float64Array::from(vec![Some(17850.0), None, Some(0.5)]);
        for (values, want) in [
            (Arc::new(dictionary) as ArrayRef, vec![Some("a"), Some("b"), Some("a")]),
            (Arc::new(LargeStringArray::from(vec!["x"])), vec![Some("x")]),
            (Arc::new(Int32Array::from(vec![-7])), vec![Some("-7")]),
            (Arc::new(floats), vec![Some("17850"), None, Some("0.5")]),
        ] {
            assert_eq!(to_text(&values).unwrap(), StringArray::from(want));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_ask_for_a_wider_type() {
        let long: ArrayRef = Arc::new(UInt64Array::from(vec![1, u64::MAX]));
        assert!(property(long.clone(), ColumnType::BigInt).unwrap_err().is_some());
        assert_eq!(to_text(&long).unwrap().value(1), "18446744073709551615");
        let inexact: ArrayRef = Arc::new(Int64Array::from(vec![EXACT_DOUBLE_MAX + 1]));
        assert!(property(inexact, ColumnType::Double).unwrap_err().is_some());
        let decimals = Decimal128Array::from(vec![1234, -5]).with_precision_and_scale(38, 2).unwrap();
        let doubles = property(Arc::new(decimals), ColumnType::Double).unwrap();
        assert_eq!(doubles.as_primitive::<Float64Type>().values(), &[12.34, -0.05]);
        let decimals = Decimal128Array::from(vec![i128::MAX / 10]).with_precision_and_scale(38, 2).unwrap();
        assert!(property(Arc::new(decimals), ColumnType::Double).unwrap_err().is_some());
    }

    #[test]
    fn times_of_all_units() {
        let parser = TimeParser { kind: StampKind::Epoch(EpochUnit::Seconds), zone: Tz::Europe__Berlin };
        let want = 1_714_557_600_000_000; // 2024-05-01T10:00:00Z
        let nanos = arrow_array::TimestampNanosecondArray::from(vec![want * 1_000 + 999]).with_timezone("UTC");
        let local = arrow_array::TimestampMillisecondArray::from(vec![want / 1_000 + 7_200_000]);
        let seconds = Int64Array::from(vec![want / 1_000_000]);
        for values in [Arc::new(nanos) as ArrayRef, Arc::new(local), Arc::new(seconds)] {
            assert_eq!(to_stamps(&values, &parser).unwrap().values(), &[want], "{}", values.data_type());
        }
        let date: ArrayRef = Arc::new(arrow_array::Date32Array::from(vec![19_844]));
        let utc = TimeParser { zone: Tz::UTC, ..parser };
        assert_eq!(to_stamps(&date, &utc).unwrap().values(), &[19_844 * DAY_US]);
        let far: ArrayRef = Arc::new(arrow_array::TimestampSecondArray::from(vec![i64::MAX]));
        assert!(to_stamps(&far, &utc).unwrap().is_null(0));
    }

    #[test]
    fn nested_values_become_json() {
        use arrow_array::builder::ListBuilder;
        let mut list = ListBuilder::new(StringBuilder::new());
        list.append_value([Some("a\"b"), None]);
        let list: ArrayRef = Arc::new(list.finish());
        let field =
            |name: &str, values: &ArrayRef| Arc::new(arrow_schema::Field::new(name, values.data_type().clone(), true));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let nested = arrow_array::StructArray::from(vec![(field("n", &number), number), (field("l", &list), list)]);
        assert_eq!(to_text(&(Arc::new(nested) as ArrayRef)).unwrap().value(0), r#"{"n":7,"l":["a\"b",null]}"#);
    }
}
