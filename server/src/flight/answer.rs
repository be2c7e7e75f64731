//! The rows of a statement, sent as they come. A statement ends when its reader goes away: with the stream goes all that
//! computes for it.

use super::running::Guard;
use super::statement::Read;
use super::status;
use super::wire::wire_batches;
use crate::serve::{App, Running};
use arrow_array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_schema::SchemaRef;
use futures::{Stream, TryStreamExt};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tonic::Status;
use trodden_query::{QueryOptions, ScalarValue};

/// Where statements come in, as metrics have it.
pub(super) const DOOR: &str = "flight";

/// What DoGet answers.
pub(super) type DataStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// A statement that is to be run, once for each row of values.
pub(super) struct Runs {
    pub(super) app: Arc<App>,
    pub(super) read: Read,
    pub(super) values: VecDeque<Vec<ScalarValue>>,
    pub(super) guard: Guard,
}

impl Runs {
    /// Start the next run; `None` after the last.
    async fn next(&mut self) -> Result<Option<Running>, Status> {
        let Some(parameters) = self.values.pop_front() else { return Ok(None) };
        let options = QueryOptions { parameters, cancel: self.guard.token(), memory_limit_bytes: None };
        let statement = self.read.statement.clone();
        let started = self.app.queries.start(&self.app.database, statement, options, DOOR).await;
        started.map(Some).map_err(|error| status::of(&error, &self.read.text))
    }

    /// The rows of all runs in the announced schema, one run after the other. The first one has begun when this returns, so
    /// that what is wrong with it is the answer to the call.
    ///
    /// # Errors
    /// What is wrong with the statement.
    pub(super) async fn rows(
        mut self,
        announced: SchemaRef,
    ) -> Result<impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static, Status> {
        let first = self.next().await?;
        let batches = futures::stream::try_unfold((self, first), move |(mut runs, mut current)| {
            let announced = Arc::clone(&announced);
            async move {
                while let Some(running) = &mut current {
                    match running.next().await.map_err(|error| status::of(&error, &runs.read.text))? {
                        Some(batch) => {
                            let parts = wire_batches(batch, &announced)?.into_iter().map(Ok);
                            return Ok::<_, Status>(Some((futures::stream::iter(parts), (runs, current))));
                        }
                        None => current = runs.next().await?,
                    }
                }
                Ok(None)
            }
        });
        Ok(batches.try_flatten())
    }
}

/// Batches of `schema` as messages, the schema first, also where there is no batch.
pub(super) fn encode(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> DataStream {
    let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(batches.map_err(FlightError::from));
    Box::pin(encoded.map_err(Status::from))
}

/// One batch that is there already.
pub(super) fn encode_one(batch: RecordBatch) -> DataStream {
    encode(batch.schema(), futures::stream::iter([Ok(batch)]))
}
