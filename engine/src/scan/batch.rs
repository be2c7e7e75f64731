//! Rows of a block as an Arrow batch, in the types of the table's schema.

use super::column::{Fetched, Texts};
use super::evaluate::BlockContext;
use crate::error::{Error, Result};
use crate::predicate::ColumnRef;
use crate::rows::{Column, NULL_CODE};
use crate::types::{ColumnType, Schema};
use arrow_array::builder::StringViewBuilder;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The Arrow type of a property column.
pub fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Text => DataType::Utf8View,
        ColumnType::Timestamp => timestamp_type(),
    }
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow field of a column of a table; `None` if the table has no such column.
pub fn arrow_field(schema: &Schema, column: &ColumnRef) -> Option<Field> {
    Some(match column {
        ColumnRef::User => Field::new("user_id", DataType::Utf8View, false),
        ColumnRef::Time => Field::new("ts", timestamp_type(), false),
        ColumnRef::Event => Field::new("event", DataType::Utf8View, false),
        ColumnRef::EventId => Field::new("event_id", DataType::Utf8View, true),
        ColumnRef::Property(name) => Field::new(name, arrow_type(schema.column(name)?.column_type), true),
    })
}

/// The Arrow schema of `columns`.
///
/// # Errors
/// `InvalidInput` if the table has no such column.
pub fn arrow_schema(schema: &Schema, columns: &[ColumnRef]) -> Result<SchemaRef> {
    let field = |column: &ColumnRef| {
        arrow_field(schema, column).ok_or_else(|| Error::invalid(format!("no column is called '{}'", column.name())))
    };
    Ok(Arc::new(ArrowSchema::new(columns.iter().map(field).collect::<Result<Vec<_>>>()?)))
}

/// `columns` of `rows` (ascending) of a block.
pub(crate) fn batch_of(context: &BlockContext<'_>, columns: &[ColumnRef], rows: &[u32]) -> Result<RecordBatch> {
    let schema = arrow_schema(&context.snapshot.schema, columns)?;
    let arrays = columns.iter().map(|column| array_of(context, column, rows)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| Error::corrupt(format!("a block does not fit its schema: {error}")))
}

fn array_of(context: &BlockContext<'_>, column: &ColumnRef, rows: &[u32]) -> Result<ArrayRef> {
    if rows.is_empty() {
        let field = arrow_field(&context.snapshot.schema, column);
        let data_type = field.map_or(DataType::Null, |field| field.data_type().clone());
        return Ok(arrow_array::new_empty_array(&data_type));
    }
    match column {
        ColumnRef::User => users(context, rows),
        ColumnRef::Time => {
            let times = context.block.times()?;
            let values: Vec<i64> = rows.iter().map(|&row| times.get(row as usize)).collect();
            Ok(Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")))
        }
        ColumnRef::Event => {
            let events = context.block.events()?;
            let codes: Vec<u32> = rows.iter().map(|&row| events.get(row as usize) as u32).collect();
            take_texts(context.segment.event_names(), &codes)
        }
        ColumnRef::EventId => text_array(context, "event_id", rows),
        ColumnRef::Property(name) => property(context, name, rows),
    }
}

fn users(context: &BlockContext<'_>, rows: &[u32]) -> Result<ArrayRef> {
    let shard = &context.snapshot.shards[context.shard];
    let mut builder = StringViewBuilder::new();
    let mut distinct: Vec<u32> = Vec::new();
    let indexes = context.user_indexes(rows);
    let mut codes = Vec::with_capacity(rows.len());
    for user in indexes {
        if distinct.last() != Some(&user) {
            distinct.push(user);
            let ordinal = context.users.ordinals[user as usize];
            let user_id = shard.user_id(ordinal)?;
            let user_id = user_id.ok_or_else(|| Error::corrupt(format!("user {ordinal} has events but no id")))?;
            builder.append_value(user_id);
        }
        codes.push(distinct.len() as u32 - 1);
    }
    gather(&builder.finish(), UInt32Array::from(codes))
}

fn text_array(context: &BlockContext<'_>, name: &str, rows: &[u32]) -> Result<ArrayRef> {
    match Texts::new(&context.block, name, rows)? {
        Texts::Codes(codes) => match context.segment.dictionary(name)? {
            Some(dictionary) => take_texts(&dictionary, &codes),
            None => Ok(arrow_array::new_null_array(&DataType::Utf8View, rows.len())),
        },
        Texts::Plain(texts) => Ok(Arc::new(StringViewArray::from_iter(texts))),
    }
}

/// The texts behind `codes`. Only the texts that occur are put into the array.
fn take_texts(dictionary: &[Box<str>], codes: &[u32]) -> Result<ArrayRef> {
    const ABSENT: u32 = u32::MAX;
    let mut places = vec![ABSENT; dictionary.len()];
    let mut builder = StringViewBuilder::new();
    let mut count = 0;
    let mut place_of = |code: u32| {
        let place = &mut places[code as usize];
        if *place == ABSENT {
            *place = count;
            count += 1;
            builder.append_value(&dictionary[code as usize]);
        }
        *place
    };
    let places: UInt32Array =
        codes.iter().map(|&code| if code == NULL_CODE { None } else { Some(place_of(code)) }).collect();
    gather(&builder.finish(), places)
}

fn gather(values: &StringViewArray, indexes: UInt32Array) -> Result<ArrayRef> {
    arrow_select::take::take(values, &indexes, None)
        .map_err(|error| Error::corrupt(format!("texts of a block: {error}")))
}

fn property(context: &BlockContext<'_>, name: &str, rows: &[u32]) -> Result<ArrayRef> {
    let wanted = context.snapshot.schema.column(name).map(|column| column.column_type);
    let wanted = wanted.ok_or_else(|| Error::invalid(format!("no column is called '{name}'")))?;
    match context.segment.schema().column(name).map(|column| column.column_type) {
        None => Ok(arrow_array::new_null_array(&arrow_type(wanted), rows.len())),
        Some(ColumnType::Text) => text_array(context, name, rows),
        Some(_) => Ok(scalar_array(&Fetched::new(&context.block, name, wanted, rows)?, rows)),
    }
}

fn scalar_array(fetched: &Fetched, rows: &[u32]) -> ArrayRef {
    let nulls = |valid: &[bool]| {
        let nulls: NullBuffer = rows.iter().map(|&row| valid[fetched.index(row)]).collect::<Vec<bool>>().into();
        (nulls.null_count() > 0).then_some(nulls)
    };
    let integers = |values: &[i64]| rows.iter().map(|&row| values[fetched.index(row)]).collect::<Vec<i64>>();
    match &fetched.column {
        Column::Boolean { values, valid } => {
            let bits = rows.iter().map(|&row| values[fetched.index(row)]).collect::<Vec<bool>>();
            Arc::new(BooleanArray::new(bits.into(), nulls(valid)))
        }
        Column::BigInt { values, valid } => Arc::new(Int64Array::new(integers(values).into(), nulls(valid))),
        Column::Timestamp { values, valid } => {
            Arc::new(TimestampMicrosecondArray::new(integers(values).into(), nulls(valid)).with_timezone("UTC"))
        }
        Column::Double { values, valid } => {
            let values = rows.iter().map(|&row| values[fetched.index(row)]).collect::<Vec<f64>>();
            Arc::new(Float64Array::new(values.into(), nulls(valid)))
        }
        Column::Text(texts) => {
            Arc::new(StringViewArray::from_iter(rows.iter().map(|&row| texts.get(fetched.index(row)))))
        }
    }
}
