//! Record batches as events: what a program sends that has rows in Arrow's format, and no statement.

use crate::commands::insert::stored_type;
use crate::database::Database;
use crate::error::{Error, Result, closest};
use crate::table::pieces::Pieces;
use crate::table::schema::{arrow_type, column_type_of, timestamp_type};
use crate::table::sink::event_batch;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::common::DataFusionError;
use datafusion::common::format::DEFAULT_FORMAT_OPTIONS;
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_engine::table::{Appended, Table};
use trodden_engine::types::{ColumnDef, FIXED_COLUMNS, Schema};

impl Database {
    /// Append rows to a table, whose columns they name: `user_id`, `ts` and `event`, and any others. Values are stored as
    /// `INSERT` stores them. Durable on return. Waits for the disk: in async code call it from a thread that may block.
    ///
    /// # Errors
    /// `NotFound` for the table; `InvalidInput` for rows that are no events, of which nothing is stored then, unless there
    /// are so many that they are appended in several pieces; what the disk says.
    pub fn append_rows(&self, table: &str, rows: &RecordBatch) -> Result<Appended> {
        let batches = self.event_batches(table, rows)?;
        let table = self.engine().table(table)?;
        let mut total = Appended { accepted: 0, duplicates: 0 };
        for batch in batches {
            let appended = table.append(batch)?;
            total.accepted += appended.accepted;
            total.duplicates += appended.duplicates;
        }
        Ok(total)
    }

    /// Rows as batches of events, in as many pieces as a table takes them in, and their values as `INSERT` stores them.
    ///
    /// # Errors
    /// `NotFound` for the table; `InvalidInput` for rows that are no events.
    pub fn event_batches(&self, table: &str, rows: &RecordBatch) -> Result<Vec<EventBatch>> {
        let events = as_events(&*self.engine().table(table)?, rows)?;
        let (mut pieces, mut full) = (Pieces::default(), Vec::new());
        pieces.add(events, &mut full)?;
        full.extend(pieces.finish()?);
        full.iter().map(|piece| Ok(event_batch(piece)?)).collect()
    }

    /// The property columns of a table that is to hold rows of `schema`.
    ///
    /// # Errors
    /// `InvalidInput` for rows that are no events, or a column whose values cannot be stored.
    pub fn columns_for_rows(schema: &ArrowSchema) -> Result<Schema> {
        check_columns("the new table", schema)?;
        let own = schema.fields().iter().filter(|field| !is_fixed(field.name()));
        let columns = own.map(|field| {
            let stored = stored_type(&plain_type(field.data_type()), &wanted(None, field.data_type()));
            let column_type = column_type_of(&stored.unwrap_or_else(|| plain_type(field.data_type())));
            let column_type = column_type.ok_or_else(|| no_such_values(field))?;
            Ok(ColumnDef { name: field.name().clone(), column_type })
        });
        Ok(Schema { columns: columns.collect::<Result<_>>()? })
    }

    /// Whether rows of `schema` can be events of `table`, as far as columns tell.
    ///
    /// # Errors
    /// `InvalidInput` for a column that is missing or there twice.
    pub fn check_rows(table: &str, schema: &ArrowSchema) -> Result<()> {
        check_columns(&format!("table '{table}'"), schema)
    }
}

fn is_fixed(name: &str) -> bool {
    FIXED_COLUMNS.contains(&name)
}

fn check_columns(table: &str, schema: &ArrowSchema) -> Result<()> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    for needed in ["user_id", "ts", "event"] {
        if names.contains(&needed) {
            continue;
        }
        let near = closest(needed, names.iter().copied());
        let near = near.map(|near| format!("rename the column '{near}', or ")).unwrap_or_default();
        return Err(Error::invalid(format!("rows for {table} have no column '{needed}'"))
            .with_hint(format!("{near}give each row user_id, ts and event; event_id and all others are free")));
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::invalid(format!("rows for {table} have two columns '{}'", pair[0]))),
        None => Ok(()),
    }
}

/// The rows with the names and the types that are stored.
fn as_events(table: &Table, rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    check_columns(&format!("table '{}'", table.name()), &schema)?;
    let known = table.schema();
    let (mut fields, mut columns) = (Vec::with_capacity(rows.num_columns()), Vec::with_capacity(rows.num_columns()));
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let known = known.column(field.name()).map(|known| arrow_type(known.column_type));
        let column = stored(field, column, known)?;
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let schema = Arc::new(ArrowSchema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options).map_err(DataFusionError::from)?)
}

/// A column in the type that is stored. `known`: that of the table's column of this name.
fn stored(field: &Field, column: &ArrayRef, known: Option<DataType>) -> Result<ArrayRef> {
    let plain = plain_type(field.data_type());
    let column = converted(field, column, &plain)?;
    match stored_type(&plain, &wanted(fixed_type(field.name()).or(known), &plain)) {
        Some(data_type) => converted(field, &column, &data_type),
        None if column_type_of(&plain).is_none() => Err(no_such_values(field)),
        None => Ok(column),
    }
}

fn fixed_type(name: &str) -> Option<DataType> {
    is_fixed(name).then(|| if name == "ts" { timestamp_type() } else { DataType::Utf8View })
}

/// What a value of a new column is converted to, in the words of [`stored_type`].
fn wanted(known: Option<DataType>, own: &DataType) -> DataType {
    let is_text = matches!(own, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    known.unwrap_or(if is_text { DataType::Utf8View } else { DataType::Null })
}

/// The type of the values that codes stand for.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other.clone(),
    }
}

fn converted(field: &Field, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    // A value that does not fit is an error, not NULL.
    let options = CastOptions { safe: false, format_options: DEFAULT_FORMAT_OPTIONS };
    cast_with_options(column, data_type, &options).map_err(|error| {
        let error = Error::from(DataFusionError::from(error));
        let message = format!("column '{}' ({}): {}", field.name(), field.data_type(), error.message());
        Error::invalid(message).with_hint("convert the column before it is sent")
    })
}

fn no_such_values(field: &Field) -> Error {
    Error::unsupported(format!(
        "column '{}' has values of type {}, which no table keeps",
        field.name(),
        field.data_type()
    ))
    .with_hint("send BOOLEAN, whole numbers, floating point, text or timestamps, or leave the column away")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Options};
    use datafusion::arrow::array::{
        Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int16Array, Int32Array, StringArray,
        TimestampMillisecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::Int8Type;

    fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn fixed(users: [&str; 2]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("user_id", Arc::new(StringArray::from_iter_values(users)) as ArrayRef),
            ("ts", Arc::new(TimestampMillisecondArray::from(vec![1_000, 2_000]))),
            ("event", Arc::new(DictionaryArray::<Int8Type>::from_iter(["view", "view"]))),
        ]
    }

    fn database() -> Database {
        let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
        database.query_blocking("CREATE TABLE events (n BIGINT) WITH (shards = 2)").unwrap();
        database
    }

    #[test]
    fn values_are_stored_as_insert_stores_them() {
        let database = database();
        let mut columns = fixed(["a", "b"]);
        columns.extend([
            ("n", Arc::new(StringArray::from(vec![Some("7"), None])) as ArrayRef),
            ("small", Arc::new(Int16Array::from(vec![-3, 4])) as ArrayRef),
            ("big", Arc::new(UInt64Array::from(vec![Some(1), None]))),
            ("price", Arc::new(Decimal128Array::from(vec![150, 225]).with_precision_and_scale(9, 2).unwrap())),
            ("half", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
            ("day", Arc::new(Date32Array::from(vec![1, 2]))),
            ("kind", Arc::new(DictionaryArray::<Int8Type>::from_iter([Some("x"), None]))),
        ]);
        let appended = database.append_rows("events", &rows(columns)).unwrap();
        assert_eq!((appended.accepted, appended.duplicates), (2, 0));
        let answer = database
            .query_blocking(
                "SELECT user_id, ts, event, n, small, big, price, half, day, kind FROM events ORDER BY user_id",
            )
            .unwrap()
            .to_string();
        let rows: Vec<&str> = answer.lines().skip(3).take(2).collect();
        let words = |row: &str| row.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>()[1..11].join(",");
        assert_eq!(words(rows[0]), "a,1970-01-01T00:00:01Z,view,7,-3,1,1.5,0.5,1970-01-02T00:00:00Z,x");
        assert_eq!(words(rows[1]), "b,1970-01-01T00:00:02Z,view,,4,,2.25,1.5,1970-01-03T00:00:00Z,");
    }

    #[test]
    fn rows_that_are_no_events_are_refused_whole() {
        let database = database();
        let missing = rows(vec![("user", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]);
        let error = database.append_rows("events", &missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("'user_id'"), "{error}");
        let mut wrong = fixed(["a", "b"]);
        wrong.push(("n", Arc::new(StringArray::from(vec!["1", "two"])) as ArrayRef));
        let error = database.append_rows("events", &rows(wrong)).unwrap_err();
        assert!(error.message().contains("column 'n'") && error.message().contains("two"), "{error}");
        let mut twice = fixed(["a", "b"]);
        twice.push(("event", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef));
        assert!(database.append_rows("events", &rows(twice)).unwrap_err().message().contains("two columns 'event'"));
        assert_eq!(database.append_rows("nothing", &rows(fixed(["a", "b"]))).unwrap_err().kind(), ErrorKind::NotFound);
        let count = database.query_blocking("SELECT count(*) FROM events").unwrap();
        assert!(count.to_string().contains("| 0 "), "{count}");
    }

    #[test]
    fn a_table_is_made_for_rows() {
        let mut columns = fixed(["a", "b"]);
        columns.push(("price", Arc::new(Decimal128Array::from(vec![1, 2])) as ArrayRef));
        columns.push(("Kind", Arc::new(DictionaryArray::<Int8Type>::from_iter(["x", "y"]))));
        let schema = Database::columns_for_rows(&rows(columns).schema()).unwrap();
        let columns: Vec<_> =
            schema.columns.iter().map(|column| (&*column.name, column.column_type.sql_name())).collect();
        assert_eq!(columns, [("price", "DOUBLE"), ("Kind", "TEXT")]);
    }
}
