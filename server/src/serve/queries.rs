//! Statements run on threads of their own, so that computing never keeps connections waiting.

use crate::watch::metrics;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;
use trodden_query::{CancelToken, Database, Error, ErrorKind, QueryOptions, QueryResult, Statement, Warning};

/// Batches that wait for a client that reads slowly; a statement goes no further ahead.
const AHEAD: usize = 4;

/// Threads for statements.
#[derive(Debug)]
pub struct Queries {
    handle: Handle,
    permits: Arc<Semaphore>,
}

/// A statement that runs. Dropped, it ends.
#[derive(Debug)]
pub struct Running {
    /// Its columns.
    pub schema: SchemaRef,
    /// The kind of statement.
    pub tag: &'static str,
    messages: mpsc::Receiver<Result<Message, Error>>,
    warnings: Vec<Warning>,
    _cancel: CancelOnDrop,
}

#[derive(Debug)]
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[derive(Debug)]
enum Message {
    Started(SchemaRef, &'static str, Vec<Warning>),
    Batch(RecordBatch),
    Done(Vec<Warning>),
}

impl Running {
    /// The next rows, or `None` at the end.
    ///
    /// # Errors
    /// What went wrong while computing them.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        match self.messages.recv().await {
            Some(Ok(Message::Batch(batch))) => Ok(Some(batch)),
            Some(Ok(Message::Done(warnings))) => {
                self.warnings = warnings;
                Ok(None)
            }
            Some(Ok(Message::Started(..))) | None => Err(broken_off()),
            Some(Err(error)) => Err(error),
        }
    }

    /// What looks like a mistake. Complete once all rows are read.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl Queries {
    /// Run statements on `runtime`, `most` at one time.
    pub fn new(runtime: &Runtime, most: usize) -> Self {
        Self { handle: runtime.handle().clone(), permits: Arc::new(Semaphore::new(most)) }
    }

    /// Start a statement that was read already; what it writes is durable on return. `door`: where it came in.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub async fn start(
        &self,
        database: &Database,
        statement: Statement,
        options: QueryOptions,
        door: &'static str,
    ) -> Result<Running, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| broken_off())?;
        let cancel = CancelOnDrop(options.cancel.clone());
        let (sender, mut messages) = mpsc::channel(AHEAD);
        let database = database.clone();
        let span = tracing::info_span!("query", door, sql = statement.text());
        let run = async move {
            let _permit = permit;
            let watched = metrics::QueryWatch::begin(door, Instant::now());
            let outcome = pump(&database, &statement, options, &sender).await;
            watched.end(outcome.as_ref().err().map(Error::kind));
            if let Err(error) = outcome {
                // Nobody waits for the answer any more if this fails.
                let _ = sender.send(Err(error)).await;
            }
        };
        self.handle.spawn(run.instrument(span));
        match messages.recv().await {
            Some(Ok(Message::Started(schema, tag, warnings))) => {
                Ok(Running { schema, tag, messages, warnings, _cancel: cancel })
            }
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Err(broken_off()),
        }
    }

    /// Do `work` on a thread for statements: planning takes time, too.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.handle.spawn_blocking(work).await.map_err(|_| broken_off())?
    }
}

async fn pump(
    database: &Database,
    statement: &Statement,
    options: QueryOptions,
    sender: &mpsc::Sender<Result<Message, Error>>,
) -> Result<(), Error> {
    let mut result: QueryResult = database.run(statement, options).await?;
    let started = Message::Started(result.schema(), result.tag(), result.warnings());
    if sender.send(Ok(started)).await.is_err() {
        return Ok(());
    }
    while let Some(batch) = result.next().await? {
        if sender.send(Ok(Message::Batch(batch))).await.is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Ok(Message::Done(result.warnings()))).await;
    Ok(())
}

fn broken_off() -> Error {
    Error::new(ErrorKind::Internal, "the statement broke off").with_hint("the log of the server may say why")
}
