//! `INSERT`: batches of rows become events.

use crate::error::Error;
use crate::table::schema::timestamp_type;
use crate::warnings::StatementState;
use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::datasource::sink::DataSink;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_engine::table::Table;

/// Rows that are written as one batch: all of them or none.
const BATCH_ROWS: usize = 262_144;

/// Appends rows to a table. Batches of up to [`BATCH_ROWS`] rows are durable one after the other.
#[derive(Debug)]
pub(crate) struct EventSink {
    table: Arc<Table>,
    schema: SchemaRef,
}

impl EventSink {
    pub(crate) fn new(table: Arc<Table>, schema: SchemaRef) -> Self {
        Self { table, schema }
    }

    async fn append(&self, batches: &mut Vec<RecordBatch>) -> Result<u64> {
        if batches.is_empty() {
            return Ok(0);
        }
        let batch = concat_batches(&batches[0].schema(), batches.iter())?;
        batches.clear();
        let events = event_batch(&batch)?;
        let table = Arc::clone(&self.table);
        // A write waits for the disk: not on a thread that other tasks need.
        let appended = tokio::task::spawn_blocking(move || table.append(events)).await;
        let appended = appended.map_err(|error| Error::internal(format!("a write broke off: {error}")))?;
        Ok(appended.map_err(Error::from)?.accepted)
    }
}

impl DisplayAs for EventSink {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventSink(table={})", self.table.name())
    }
}

#[async_trait]
impl DataSink for EventSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(&self, mut data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        let statement = StatementState::of(context.session_config());
        let (mut batches, mut rows, mut accepted) = (Vec::new(), 0, 0);
        while let Some(batch) = data.next().await.transpose()? {
            statement.check_cancelled()?;
            if rows + batch.num_rows() > BATCH_ROWS {
                accepted += self.append(&mut batches).await?;
                rows = 0;
            }
            rows += batch.num_rows();
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        statement.check_cancelled()?;
        accepted += self.append(&mut batches).await?;
        Ok(accepted)
    }
}

/// The columns of a batch, by name, as events. A property that is NULL throughout is left out, so that a narrow column
/// stays narrow.
pub(crate) fn event_batch(batch: &RecordBatch) -> Result<EventBatch> {
    let text = |name: &str| -> Result<StringArray> {
        let column = required(batch, name)?;
        Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
    };
    let ts = cast(required(batch, "ts")?, &timestamp_type())?;
    if ts.null_count() > 0 {
        return Err(null_in("ts").into());
    }
    let ts: Int64Array = ts.as_primitive::<TimestampMicrosecondType>().reinterpret_cast();
    let (user_id, event) = (text("user_id")?, text("event")?);
    for (name, column) in [("user_id", &user_id), ("event", &event)] {
        if column.null_count() > 0 {
            return Err(null_in(name).into());
        }
    }
    let event_id = match batch.column_by_name("event_id") {
        Some(column) if column.null_count() < column.len() => Some(text("event_id")?),
        _ => None,
    };
    let mut properties: Vec<(String, ArrayRef)> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let fixed = matches!(field.name().as_str(), "user_id" | "ts" | "event" | "event_id");
        if !fixed && column.null_count() < column.len() {
            properties.push((field.name().clone(), plain(column)?));
        }
    }
    Ok(EventBatch { user_id, ts, event, event_id, properties })
}

fn required<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let missing = || Error::invalid(format!("the events have no column '{name}'"));
    Ok(batch.column_by_name(name).ok_or_else(missing)?)
}

fn null_in(name: &str) -> Error {
    Error::invalid(format!("an event has no {name}"))
        .with_hint("user_id, ts and event must not be NULL: leave such rows out with WHERE")
}

/// A column in one of the types that the engine takes.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let data_type = match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Timestamp(..) => DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, None),
        _ => return Ok(Arc::clone(column)),
    };
    Ok(cast(column, &data_type)?)
}
