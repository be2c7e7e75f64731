//! One column of an answer as text: the same value reads the same in every format.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StructArray};
use arrow_schema::{ArrowError, DataType};
use datafusion::arrow::compute::cast;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt::Write;
use std::ops::Range;

/// A column whose values can be written one by one.
pub(super) struct Cells<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Text(TextArray<'a>),
    /// Digits as JSON allows them.
    Number(ArrayFormatter<'a>),
    /// Floats, which may be no JSON number: NaN and the infinities.
    Float(ArrayFormatter<'a>),
    /// UTC without a zone in the type: shown with a `Z`, so that every timestamp is RFC 3339.
    NaiveTimestamp(ArrayFormatter<'a>),
    List(Box<Cells<'a>>, Box<dyn Fn(usize) -> Range<usize> + 'a>),
    Struct(Vec<(&'a str, Cells<'a>)>),
    Other(ArrayFormatter<'a>),
}

enum TextArray<'a> {
    Small(&'a arrow_array::StringArray),
    Large(&'a arrow_array::LargeStringArray),
    View(&'a arrow_array::StringViewArray),
}

impl<'a> TextArray<'a> {
    fn value(&self, row: usize) -> &'a str {
        match self {
            Self::Small(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
        }
    }
}

/// The batch with dictionary-coded and run-coded columns decoded, as [`Cells`] wants them.
///
/// # Errors
/// When Arrow cannot decode a column.
pub(super) fn decoded(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let decode = |array: &ArrayRef| match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value),
        DataType::RunEndEncoded(_, value) => cast(array, value.data_type()),
        _ => Ok(array.clone()),
    };
    batch.columns().iter().map(decode).collect()
}

/// Whether values of this type are numbers, which people align to the right.
pub(super) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number(value),
        DataType::RunEndEncoded(_, value) => is_number(value.data_type()),
        other => other.is_numeric(),
    }
}

impl<'a> Cells<'a> {
    /// The values of `array`.
    ///
    /// # Errors
    /// When the type cannot be shown.
    pub(super) fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let formatter = || ArrayFormatter::try_new(array, &FORMAT);
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean()),
            DataType::Utf8 => Kind::Text(TextArray::Small(array.as_string())),
            DataType::LargeUtf8 => Kind::Text(TextArray::Large(array.as_string())),
            DataType::Utf8View => Kind::Text(TextArray::View(array.as_string_view())),
            DataType::Timestamp(_, None) => Kind::NaiveTimestamp(formatter()?),
            other if other.is_floating() => Kind::Float(formatter()?),
            other if other.is_numeric() => Kind::Number(formatter()?),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets();
                let range = move |row: usize| offsets[row] as usize..offsets[row + 1] as usize;
                Kind::List(Box::new(Self::new(list.values())?), Box::new(range))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let offsets = list.value_offsets();
                let range = move |row: usize| offsets[row] as usize..offsets[row + 1] as usize;
                Kind::List(Box::new(Self::new(list.values())?), Box::new(range))
            }
            DataType::FixedSizeList(_, _) => {
                let list = array.as_fixed_size_list();
                let size = list.value_length() as usize;
                Kind::List(Box::new(Self::new(list.values())?), Box::new(move |row| row * size..(row + 1) * size))
            }
            DataType::Struct(_) => Kind::Struct(struct_fields(array.as_struct())?),
            _ => Kind::Other(formatter()?),
        };
        Ok(Self { array, kind })
    }

    /// Whether the value of `row` is NULL.
    pub(super) fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    /// Appends the value of `row` as plain text: text as it is, lists and structs as JSON. NULL appends nothing.
    pub(super) fn text(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            return;
        }
        match &self.kind {
            Kind::Null => {}
            Kind::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            Kind::Text(array) => out.push_str(array.value(row)),
            Kind::Number(values) | Kind::Float(values) | Kind::Other(values) => append(out, values, row),
            Kind::NaiveTimestamp(values) => {
                append(out, values, row);
                out.push('Z');
            }
            Kind::List(..) | Kind::Struct(_) => self.json(row, out),
        }
    }

    /// Appends the value of `row` as JSON. NaN and the infinities, which JSON has not, become null.
    pub(super) fn json(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            out.push_str("null");
            return;
        }
        match &self.kind {
            Kind::Null => {}
            Kind::Boolean(_) | Kind::Number(_) => self.text(row, out),
            Kind::Float(values) => {
                let start = out.len();
                append(out, values, row);
                if !out[start..].parse::<f64>().is_ok_and(f64::is_finite) {
                    out.truncate(start);
                    out.push_str("null");
                }
            }
            Kind::Text(array) => json_string(array.value(row), out),
            Kind::NaiveTimestamp(_) | Kind::Other(_) => {
                let mut text = String::new();
                self.text(row, &mut text);
                json_string(&text, out);
            }
            Kind::List(values, range) => {
                out.push('[');
                for (at, element) in range(row).enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    values.json(element, out);
                }
                out.push(']');
            }
            Kind::Struct(fields) => {
                json_object(fields.iter().map(|(name, cells)| (*name, cells)), row, out);
            }
        }
    }
}

/// Appends `{"name":value,…}` for `row` of the columns.
pub(super) fn json_object<'a, 'b: 'a>(
    columns: impl Iterator<Item = (&'a str, &'a Cells<'b>)>,
    row: usize,
    out: &mut String,
) {
    out.push('{');
    for (at, (name, cells)) in columns.enumerate() {
        if at > 0 {
            out.push(',');
        }
        json_string(name, out);
        out.push(':');
        cells.json(row, out);
    }
    out.push('}');
}

/// Appends `text` as a JSON string.
fn json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        if escape.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        copied = at + 1;
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

/// Arrow's own words for values, which are RFC 3339 for dates and times.
const FORMAT: FormatOptions<'static> = FormatOptions::new();

fn struct_fields(array: &StructArray) -> Result<Vec<(&str, Cells<'_>)>, ArrowError> {
    let fields = array.fields().iter().zip(array.columns());
    fields.map(|(field, column)| Ok((field.name().as_str(), Cells::new(column)?))).collect()
}

fn append(out: &mut String, values: &ArrayFormatter<'_>, row: usize) {
    // Writing to a String cannot fail; a value that Arrow cannot express shows Arrow's words about it.
    let _ = write!(out, "{}", values.value(row));
}
