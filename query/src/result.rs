//! The answer of a statement.

use crate::error::{Error, Result};
use crate::warnings::{StatementState, Warning};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The rows of a statement as they come, and what was noticed on the way. Dropping it stops the statement.
pub struct QueryResult {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    state: Arc<StatementState>,
    tag: &'static str,
}

impl fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryResult").field("schema", &self.schema).field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl QueryResult {
    pub(crate) fn stream(stream: SendableRecordBatchStream, state: Arc<StatementState>, tag: &'static str) -> Self {
        Self { schema: stream.schema(), stream, state, tag }
    }

    pub(crate) fn batch(batch: RecordBatch, state: Arc<StatementState>, tag: &'static str) -> Self {
        let schema = batch.schema();
        let stream = futures::stream::iter([Ok(batch)]);
        Self::stream(Box::pin(RecordBatchStreamAdapter::new(schema, stream)), state, tag)
    }

    /// A statement without rows.
    pub(crate) fn done(state: Arc<StatementState>, tag: &'static str) -> Self {
        let schema = Arc::new(Schema::empty());
        Self::stream(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::empty())), state, tag)
    }

    /// The columns. None for statements that have no rows, such as `CREATE TABLE`.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The kind of statement: `SELECT`, `INSERT`, `CREATE TABLE`, ….
    pub fn tag(&self) -> &'static str {
        self.tag
    }

    /// What looks like a mistake. Complete once all rows are read; what planning noticed is here at once.
    pub fn warnings(&self) -> Vec<Warning> {
        self.state.warnings()
    }

    /// The next rows, or `None` at the end.
    ///
    /// # Errors
    /// What went wrong while computing them.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        StreamExt::next(self).await.transpose()
    }

    /// All rows.
    ///
    /// # Errors
    /// What went wrong while computing them.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

impl Stream for QueryResult {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.state.check_cancelled() {
            return Poll::Ready(Some(Err(error)));
        }
        self.stream.poll_next_unpin(context).map(|next| next.map(|batch| batch.map_err(Error::from)))
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // Threads that still read for this statement stop at their next look.
        self.state.stop();
    }
}
