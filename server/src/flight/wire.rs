//! The form in which rows are sent. One place decides it, so that the schema that is announced is the schema that comes:
//! ADBC refuses any difference. Views and dictionaries become plain texts, which JDBC and ODBC can map; every column may
//! be NULL.

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_flight::{IpcMessage, SchemaAsIpc};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use prost::bytes::Bytes;
use std::sync::Arc;
use tonic::Status;
use trodden_query::arrow::array::AsArray;
use trodden_query::arrow::compute::{CastOptions, cast_with_options};

/// Most bytes that the texts of one column of a batch may have: their offsets are 32 bits on the wire.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// The schema that is announced and sent for rows of `schema`.
pub(super) fn wire_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|field| open(field)).collect::<Vec<_>>()))
}

/// The rows of `batch` in the announced schema: one batch, or several where its texts are too large for one.
///
/// # Errors
/// `aborted` for rows with other columns than were announced, since the table or the view changed meanwhile.
pub(super) fn wire_batches(batch: RecordBatch, announced: &SchemaRef) -> Result<Vec<RecordBatch>, Status> {
    if batch.num_rows() > 1 && batch.columns().iter().any(|column| text_bytes(column) > TEXT_BYTES_MAX) {
        let half = batch.num_rows() / 2;
        let mut parts = wire_batches(batch.slice(0, half), announced)?;
        parts.extend(wire_batches(batch.slice(half, batch.num_rows() - half), announced)?);
        return Ok(parts);
    }
    let columns = announced.fields().iter().enumerate().map(|(place, field)| {
        let column = column_of(&batch, place, field, announced.fields().len())?;
        converted(column, field)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, Status>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(announced), columns, &options);
    batch.map(|batch| vec![batch]).map_err(|error| changed(&error.to_string()))
}

/// A column by its place, and, where there are more or fewer columns than were announced, by its name.
fn column_of<'a>(
    batch: &'a RecordBatch,
    place: usize,
    field: &Field,
    announced: usize,
) -> Result<&'a ArrayRef, Status> {
    if batch.num_columns() == announced {
        return Ok(batch.column(place));
    }
    batch.column_by_name(field.name()).ok_or_else(|| changed(&format!("there is no column '{}'", field.name())))
}

fn changed(what: &str) -> Status {
    Status::aborted(format!("the columns of the answer are not those that were announced: {what} (hint: ask again)"))
}

fn converted(column: &ArrayRef, field: &Field) -> Result<ArrayRef, Status> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &options)
        .map_err(|error| changed(&format!("column '{}': {error}", field.name())))
}

/// Bytes that the texts of a column have once they are plain; an upper bound for those behind codes.
fn text_bytes(column: &ArrayRef) -> usize {
    let lengths = |views: &[u128]| views.iter().map(|&view| (view & u128::from(u32::MAX)) as usize).sum();
    match column.data_type() {
        DataType::Utf8View => lengths(column.as_string_view().views()),
        DataType::BinaryView => lengths(column.as_binary_view().views()),
        DataType::Dictionary(_, values) if values.is_nested() || values.is_primitive() => 0,
        DataType::Dictionary(..) => {
            let values = column.as_any_dictionary().values();
            let longest = (0..values.len()).map(|place| text_bytes(&values.slice(place, 1))).max();
            longest.unwrap_or(0).saturating_mul(column.len())
        }
        DataType::Utf8 => {
            let ends = column.as_string::<i32>().value_offsets();
            usize::try_from(ends[ends.len() - 1] - ends[0]).unwrap_or(0)
        }
        _ => 0,
    }
}

/// The field as it is sent.
fn open(field: &Field) -> Field {
    Field::new(field.name(), wire_type(field.data_type()), true)
}

fn wire_type(data_type: &DataType) -> DataType {
    let item = |field: &FieldRef| Arc::new(open(field));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type()),
        DataType::List(field) | DataType::ListView(field) => DataType::List(item(field)),
        DataType::LargeList(field) | DataType::LargeListView(field) => DataType::LargeList(item(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(item(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect()),
        DataType::Map(entries, sorted) => DataType::Map(map_entries(entries), *sorted),
        other => other.clone(),
    }
}

/// Entries and keys of a map are never NULL: the format says so.
fn map_entries(entries: &FieldRef) -> FieldRef {
    let DataType::Struct(fields) = entries.data_type() else { return Arc::clone(entries) };
    let fields: Fields = fields
        .iter()
        .map(|field| Arc::new(Field::new(field.name(), wire_type(field.data_type()), field.is_nullable())))
        .collect();
    Arc::new(Field::new(entries.name(), DataType::Struct(fields), false))
}

/// A schema as the bytes of a message.
///
/// # Errors
/// None in practice: those of encoding it.
pub(super) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    message.map(|message| message.0).map_err(|error| super::status::fault("encoding a schema", error))
}

/// The schema in the bytes of a message.
pub(super) fn schema_of_bytes(bytes: Bytes) -> Option<Schema> {
    // The reader of messages wants at least the prefix of one.
    if bytes.len() < 8 { None } else { Schema::try_from(IpcMessage(bytes)).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{DictionaryArray, Int64Array, StringArray, StringViewArray};

    fn batch() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("text", Arc::new(StringViewArray::from(vec!["a", "a text that is longer than a view"])), false),
            ("code", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("x"), None])), true),
            ("n", Arc::new(Int64Array::from(vec![1, 2])), false),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn views_and_codes_become_texts_and_everything_may_be_null() {
        let announced = wire_schema(&batch().schema());
        let types: Vec<&DataType> = announced.fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(types, [&DataType::Utf8, &DataType::Utf8, &DataType::Int64]);
        assert!(announced.fields().iter().all(|field| field.is_nullable()));
        let sent = wire_batches(batch(), &announced).unwrap().remove(0);
        assert_eq!(sent.schema(), announced);
        assert_eq!(sent.column(0).as_string::<i32>().value(1), "a text that is longer than a view");
        assert!(sent.column(1).is_null(1));
    }

    #[test]
    fn nested_types_change_inside() {
        let text = |name: &str| Field::new(name, DataType::Utf8View, false);
        let list = DataType::List(Arc::new(text("item")));
        let plain = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(wire_type(&list), plain);
        assert_eq!(
            wire_type(&DataType::Struct(vec![text("a")].into())),
            DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into())
        );
        let entries = |text: DataType| {
            let fields = vec![Field::new("keys", text.clone(), false), Field::new("values", text, true)];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
        };
        assert_eq!(wire_type(&entries(DataType::Utf8View)), entries(DataType::Utf8));
    }

    #[test]
    fn other_columns_than_announced_are_taken_by_name_or_refused() {
        let announced = wire_schema(&batch().schema());
        let wider = RecordBatch::try_from_iter(vec![
            ("new", Arc::new(Int64Array::from(vec![9])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![7]))),
            ("code", Arc::new(StringArray::from(vec!["y"]))),
            ("text", Arc::new(StringArray::from(vec!["t"]))),
        ]);
        let sent = wire_batches(wider.unwrap(), &announced).unwrap().remove(0);
        assert_eq!(sent.column(2).as_primitive::<arrow_array::types::Int64Type>().value(0), 7);
        let narrower = RecordBatch::try_from_iter(vec![("n", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]);
        let refused = wire_batches(narrower.unwrap(), &announced).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Aborted);
    }

    #[test]
    fn a_schema_survives_its_bytes() {
        let announced = wire_schema(&batch().schema());
        let bytes = schema_bytes(&announced).unwrap();
        assert_eq!(schema_of_bytes(bytes), Some(announced.as_ref().clone()));
        assert_eq!(schema_of_bytes(Bytes::from_static(b"abc")), None);
    }
}
