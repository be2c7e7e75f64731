//! Statements that change something, and how much they changed.

use super::answer::DOOR;
use super::parameters::{Rows, rows_of};
use super::running::Guard;
use super::statement::Read;
use super::status;
use crate::serve::App;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use futures::{Stream, StreamExt};
use tonic::Status;
use trodden_query::arrow::compute::cast;
use trodden_query::{QueryOptions, ScalarValue};

/// The columns that tell how much a statement changed.
const COUNTS: [&str; 4] = ["count", "accepted", "users_deleted", "aliases_made"];
/// What the protocol says where nobody knows.
const UNKNOWN: i64 = -1;

/// Run a statement once, for its effect. The answer is how many rows it changed: 0 for one that has no answer.
///
/// # Errors
/// What is wrong with it; `cancelled` once `guard` is dropped.
pub(super) async fn run(app: &App, read: &Read, parameters: Vec<ScalarValue>, guard: &Guard) -> Result<i64, Status> {
    let wrong = |error| status::of(&error, &read.text);
    let options = QueryOptions { parameters, cancel: guard.token(), memory_limit_bytes: None };
    let mut running = app.queries.start(&app.database, read.statement.clone(), options, DOOR).await.map_err(wrong)?;
    let (mut changed, mut has_rows) = (None, false);
    while let Some(batch) = running.next().await.map_err(wrong)? {
        has_rows |= batch.num_rows() > 0;
        changed = changed.or_else(|| count_in(&batch));
    }
    Ok(changed.unwrap_or(if has_rows { UNKNOWN } else { 0 }))
}

fn count_in(batch: &RecordBatch) -> Option<i64> {
    let column = COUNTS.iter().find_map(|name| batch.column_by_name(name)).filter(|column| column.len() == 1)?;
    let counts = cast(column, &DataType::Int64).ok()?;
    let counts = counts.as_primitive_opt::<Int64Type>()?;
    counts.is_valid(0).then(|| counts.value(0))
}

/// Run a statement for each row of parameters as it comes, or, where none comes with the call, for each that was bound before. Each
/// run is durable by itself, whatever becomes of later ones.
///
/// # Errors
/// Those of the first run that fails, which name how many were done before it.
pub(super) async fn run_for_each(
    app: &App,
    read: &Read,
    batches: impl Stream<Item = Result<RecordBatch, Status>>,
    bound: &Rows,
    guard: &Guard,
) -> Result<i64, Status> {
    let mut batches = std::pin::pin!(batches);
    let (mut changed, mut runs) = (0_i64, 0_u64);
    let sum = |changed: i64, count: i64| if count == UNKNOWN { UNKNOWN } else { changed.saturating_add(count) };
    while let Some(batch) = batches.next().await.transpose().map_err(|error| told(error, runs))? {
        for values in rows_of(&batch, read.statement.parameters()).map_err(|error| told(error, runs))? {
            let count = run(app, read, values, guard).await.map_err(|error| told(error, runs))?;
            changed = sum(changed, count);
            runs += 1;
        }
    }
    if runs == 0 {
        for values in bound.runs() {
            let count = run(app, read, values, guard).await.map_err(|error| told(error, runs))?;
            changed = sum(changed, count);
            runs += 1;
        }
    }
    Ok(changed)
}

/// An error after which some of the work is done has to say so.
fn told(error: Status, runs: u64) -> Status {
    if runs == 0 {
        return error;
    }
    let message = format!("{} (the {runs} rows of parameters before it are done)", error.message());
    status::retold(&error, message)
}
