//! Imports over gRPC: batches of events as Arrow IPC streams, and tables as `import.proto` has them, both ways.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema, TimeUnit};
use std::sync::Arc;
use trodden_proto::v1 as wire;
use trodden_query::engine::error::{Error, Result};
use trodden_query::engine::ingest::EventBatch;
use trodden_query::engine::types::{ColumnDef, Schema, TableOptions};
use trodden_query::engine::{Table, TableOutline};
use trodden_query::import::parse_column_type;

/// A batch as bytes.
///
/// # Errors
/// None in practice: what Arrow cannot write.
pub(crate) fn encode(batch: &EventBatch) -> Result<Vec<u8>> {
    let ts = TimestampMicrosecondArray::new(batch.ts.values().clone(), batch.ts.nulls().cloned()).with_timezone("UTC");
    let fixed: [(&str, ArrayRef); 3] =
        [("user_id", Arc::new(batch.user_id.clone())), ("ts", Arc::new(ts)), ("event", Arc::new(batch.event.clone()))];
    let id = batch.event_id.iter().map(|ids| ("event_id", Arc::new(ids.clone()) as ArrayRef));
    let properties = batch.properties.iter().map(|(name, values)| (name.as_str(), Arc::clone(values)));
    let columns: Vec<(&str, ArrayRef)> = fixed.into_iter().chain(id).chain(properties).collect();
    let fields = columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
    let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, values)| values).collect();
    let write = || -> std::result::Result<Vec<u8>, ArrowError> {
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&batch)?;
        writer.finish()?;
        writer.into_inner()
    };
    write().map_err(|error| Error::invalid(format!("a batch cannot be written: {error}")))
}

/// The batch of these bytes.
///
/// # Errors
/// `InvalidInput`: they are none.
pub(crate) fn decode(bytes: &[u8]) -> Result<EventBatch> {
    let malformed = |error: ArrowError| Error::invalid(format!("a batch is no Arrow IPC stream: {error}"));
    let mut reader = StreamReader::try_new(bytes, None).map_err(malformed)?;
    let batch = reader.next().transpose().map_err(malformed)?;
    let batch = batch.ok_or_else(|| Error::invalid("a batch is an Arrow IPC stream without a record batch"))?;
    if reader.next().is_some() {
        return Err(Error::invalid("a batch is an Arrow IPC stream of more than one record batch"));
    }
    let user_id = text(&batch, 0, "user_id")?;
    let ts = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let ts = column(&batch, 1, "ts", &ts)?.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>();
    let has_id = batch.schema_ref().fields().get(3).is_some_and(|field| field.name() == "event_id");
    let properties = batch.schema_ref().fields().iter().zip(batch.columns()).skip(3 + usize::from(has_id));
    Ok(EventBatch {
        user_id,
        ts,
        event: text(&batch, 2, "event")?,
        event_id: has_id.then(|| text(&batch, 3, "event_id")).transpose()?,
        properties: properties.map(|(field, values)| (field.name().clone(), Arc::clone(values))).collect(),
    })
}

fn text(batch: &RecordBatch, index: usize, name: &str) -> Result<StringArray> {
    Ok(column(batch, index, name, &DataType::Utf8)?.as_string().clone())
}

fn column<'a>(batch: &'a RecordBatch, index: usize, name: &str, data_type: &DataType) -> Result<&'a ArrayRef> {
    let field = batch.schema_ref().fields().get(index).filter(|field| field.name() == name);
    let field = field.ok_or_else(|| Error::invalid(format!("column {} of a batch is not {name}", index + 1)))?;
    if field.data_type() != data_type {
        return Err(Error::invalid(format!("column {name} of a batch is {}, not {data_type}", field.data_type())));
    }
    Ok(batch.column(index))
}

/// A table, for a client that reads files for it.
pub(crate) fn table_to_wire(table: &Table) -> wire::ImportTable {
    let TableOutline { name, schema, options, imported, is_untouched } = table.outline();
    let property = |column: &ColumnDef| wire::import_table::Property {
        name: column.name.clone(),
        r#type: column.column_type.sql_name().to_owned(),
    };
    wire::ImportTable {
        name,
        properties: schema.columns.iter().map(property).collect(),
        options: Some(options_to_wire(&options)),
        is_untouched,
        imported,
    }
}

/// A table as a server told it.
///
/// # Errors
/// `InvalidInput`: a server of a later version, with types that this one does not know.
pub(crate) fn table_from_wire(table: wire::ImportTable) -> Result<TableOutline> {
    let column = |property: wire::import_table::Property| {
        let column_type = parse_column_type(&property.r#type).map_err(Error::invalid)?;
        Ok(ColumnDef { name: property.name, column_type })
    };
    Ok(TableOutline {
        name: table.name,
        schema: Schema { columns: table.properties.into_iter().map(column).collect::<Result<_>>()? },
        options: options_from_wire(table.options.as_ref())?,
        imported: table.imported,
        is_untouched: table.is_untouched,
    })
}

/// How a table is made.
pub(crate) fn options_to_wire(options: &TableOptions) -> wire::TableOptions {
    wire::TableOptions {
        shards: options.shards.into(),
        time_zone: options.time_zone.clone(),
        dedup_window_us: options.dedup_window_us,
        retention_us: options.retention_us,
        strict: options.strict,
    }
}

/// How a table is made; the usual way where nothing is said.
///
/// # Errors
/// `InvalidInput` for more shards than there can be.
pub(crate) fn options_from_wire(options: Option<&wire::TableOptions>) -> Result<TableOptions> {
    let usual = TableOptions::default();
    let Some(options) = options else { return Ok(usual) };
    let no_shards = |_| Error::invalid(format!("a table cannot have {} shards", options.shards));
    Ok(TableOptions {
        shards: u16::try_from(options.shards).map_err(no_shards)?,
        time_zone: options.time_zone.clone(),
        dedup_window_us: options.dedup_window_us,
        retention_us: options.retention_us,
        strict: options.strict,
        ..usual
    })
}

/// The fingerprints of files as bytes.
pub(crate) fn fingerprints_to_wire(fingerprints: &[u128]) -> Vec<Vec<u8>> {
    fingerprints.iter().map(|fingerprint| fingerprint.to_be_bytes().to_vec()).collect()
}

/// The fingerprints of files.
///
/// # Errors
/// `InvalidInput` for one that has not 16 bytes.
pub(crate) fn fingerprints_from_wire(fingerprints: &[Vec<u8>]) -> Result<Vec<u128>> {
    let read = |bytes: &Vec<u8>| {
        let bytes = bytes.as_slice().try_into();
        bytes.map(u128::from_be_bytes).map_err(|_| Error::invalid("a fingerprint has not 16 bytes"))
    };
    fingerprints.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, DictionaryArray, Float64Array, Int64Array, types::Int32Type};

    fn batch(has_ids: bool) -> EventBatch {
        let kinds: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
        EventBatch {
            user_id: vec!["ü", "v", "w"].into(),
            ts: vec![-1, 0, 1_767_268_800_000_000].into(),
            event: vec!["view", "cart", "view"].into(),
            event_id: has_ids.then(|| vec![Some("1"), None, Some("3")].into()),
            properties: vec![
                ("price".into(), Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::MAX)]))),
                ("n".into(), Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX]))),
                ("ok".into(), Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
                ("kind".into(), Arc::new(kinds)),
                ("none".into(), Arc::new(arrow_array::NullArray::new(3))),
            ],
        }
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        for has_ids in [false, true] {
            let before = batch(has_ids);
            let after = decode(&encode(&before).unwrap()).unwrap();
            assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
    }

    #[test]
    fn bytes_that_are_no_batch_are_refused() {
        let bytes = encode(&batch(true)).unwrap();
        for end in 0..bytes.len().min(600) {
            assert!(decode(&bytes[..end]).is_err(), "{end} bytes");
        }
        let wrong = |fields: Vec<(&str, ArrayRef)>| {
            let batch = RecordBatch::try_from_iter(fields).unwrap();
            let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            decode(&writer.into_inner().unwrap()).unwrap_err().message().to_owned()
        };
        let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        assert!(wrong(vec![("user", text("u"))]).contains("user_id"));
        assert!(wrong(vec![("user_id", text("u")), ("ts", text("1")), ("event", text("e"))]).contains("ts"));
        assert!(wrong(vec![("user_id", text("u"))]).contains("ts"));
    }

    #[test]
    fn options_come_back_as_they_were() {
        let options = TableOptions { shards: 3, retention_us: Some(5), strict: true, ..TableOptions::default() };
        assert_eq!(options_from_wire(Some(&options_to_wire(&options))).unwrap(), options);
        let many = wire::TableOptions { shards: 70_000, ..options_to_wire(&options) };
        assert!(options_from_wire(Some(&many)).is_err());
        let fingerprints = [0, 1, u128::MAX];
        assert_eq!(fingerprints_from_wire(&fingerprints_to_wire(&fingerprints)).unwrap(), fingerprints);
        assert!(fingerprints_from_wire(&[vec![1]]).is_err());
    }
}
