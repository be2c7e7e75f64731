//! `INSERT`: batches of rows become events.

use crate::error::{Error, ErrorKind};
use crate::table::pieces::{Pieces, values_bytes};
use crate::table::schema::timestamp_type;
use crate::warnings::StatementState;
use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::datasource::sink::DataSink;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_engine::table::{Import, Table};

/// Adds rows to a table: all of them or none. What fits into one piece is appended; more goes through a bulk import, of
/// which nothing is visible before its end.
#[derive(Debug)]
pub(crate) struct EventSink {
    table: Arc<Table>,
    schema: SchemaRef,
}

impl EventSink {
    pub(crate) fn new(table: Arc<Table>, schema: SchemaRef) -> Self {
        Self { table, schema }
    }

    /// Take the rows of `data`. An import that began is left in `load`, whatever happens.
    async fn take(
        &self,
        data: &mut SendableRecordBatchStream,
        load: &mut Option<Load>,
        statement: &StatementState,
    ) -> Result<Option<RecordBatch>> {
        let (mut pieces, mut full) = (Pieces::default(), Vec::new());
        while let Some(batch) = data.next().await.transpose()? {
            statement.check_cancelled()?;
            pieces.add(batch, &mut full)?;
            for piece in full.drain(..) {
                let events = event_batch(&piece)?;
                let load = match load {
                    Some(load) => load,
                    None => load.insert(Load::begin(&self.table).await?),
                };
                load.push(events).await?;
            }
        }
        statement.check_cancelled()?;
        pieces.finish()
    }

    async fn append(&self, rows: &RecordBatch) -> Result<u64> {
        let events = event_batch(rows)?;
        let table = Arc::clone(&self.table);
        Ok(waiting(move || table.append(events)).await?.accepted)
    }
}

/// A bulk import of the rows of a statement.
pub(crate) struct Load {
    import: Arc<Import>,
    pushed: u64,
}

impl Load {
    pub(crate) async fn begin(table: &Arc<Table>) -> Result<Self> {
        let table = Arc::clone(table);
        // No fingerprint: the same statement may be run again.
        let import = waiting(move || table.begin_import(&[])).await?;
        Ok(Self { import: Arc::new(import), pushed: 0 })
    }

    pub(crate) async fn push(&mut self, events: EventBatch) -> Result<()> {
        let (import, number) = (Arc::clone(&self.import), self.pushed);
        self.pushed += 1;
        waiting(move || import.push(number, events)).await
    }

    pub(crate) async fn commit(self, statement: Arc<StatementState>) -> Result<u64> {
        // Every push was waited for, so this is the last handle.
        let import = Arc::into_inner(self.import).ok_or_else(|| Error::internal("an import is still written to"))?;
        Ok(waiting(move || import.commit_unless(&|| statement.check_cancelled().is_err())).await?.accepted)
    }

    /// Leave nothing, and let others write again: both done on return.
    pub(crate) async fn abandon(self) {
        let dropped = tokio::task::spawn_blocking(move || drop(self)).await;
        debug_assert!(dropped.is_ok());
    }
}

/// Run what waits for the disk on a thread that other tasks do not need.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> trodden_engine::error::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Error::internal(format!("a write broke off: {error}")))?;
    Ok(done.map_err(Error::from)?)
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
        let mut load = None;
        let rest = self.take(&mut data, &mut load, &statement).await;
        // The scans behind the rows end before anything is written for good.
        drop(data);
        let Some(mut load) = load else {
            return match rest? {
                Some(rows) => self.append(&rows).await,
                None => Ok(0),
            };
        };
        let pushed = match rest.and_then(|rest| rest.as_ref().map(event_batch).transpose()) {
            Ok(Some(events)) => load.push(events).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match pushed {
            Ok(()) => load.commit(statement).await,
            Err(error) => {
                load.abandon().await;
                Err(error)
            }
        }
    }
}

/// The columns of a batch, by name, as events. A property that is NULL throughout is left out, so that a narrow column
/// stays narrow.
pub(crate) fn event_batch(batch: &RecordBatch) -> Result<EventBatch> {
    let text = |name: &str| -> Result<StringArray> {
        let column = required(batch, name)?;
        check_size(name, column)?;
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
            check_size(field.name(), column)?;
            properties.push((field.name().clone(), plain(column)?));
        }
    }
    Ok(EventBatch { user_id, ts, event, event_id, properties })
}

fn required<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let missing = || Error::invalid(format!("the events have no column '{name}'"));
    Ok(batch.column_by_name(name).ok_or_else(missing)?)
}

/// A column of texts ends at 2 GiB, where the conversion would panic. The rows are cut far below, so that only a single
/// text reaches it.
pub(crate) fn check_size(name: &str, column: &ArrayRef) -> Result<()> {
    if values_bytes(column) < i32::MAX as usize {
        return Ok(());
    }
    let error = Error::new(ErrorKind::ResourceLimit, format!("a value of column '{name}' has 2 GiB or more"));
    Err(error.with_hint("store what is so large elsewhere, and its place here").into())
}

fn null_in(name: &str) -> Error {
    Error::invalid(format!("an event has no {name}"))
        .with_hint("user_id, ts and event must not be NULL: leave such rows out with WHERE")
}

/// A column in one of the types that the engine takes.
pub(crate) fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let data_type = match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Timestamp(..) => DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, None),
        _ => return Ok(Arc::clone(column)),
    };
    Ok(cast(column, &data_type)?)
}
