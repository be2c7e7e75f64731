//! The answer of a statement: its rows as they come from the threads of the database, and its errors with their place.

use super::Source;
use super::place::{Place, Trouble};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Running;
use crate::report::Report;
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use trodden_client::Client;
use trodden_query::{CancelToken, Database, QueryOptions, Warning};

/// Batches that wait for being written.
const AHEAD: usize = 2;
/// How long a cancelled statement may take to end before it is left to itself.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// What the task of a statement tells.
enum Message {
    /// It reads. What writes is done by then.
    Started(SchemaRef, Vec<Warning>),
    Batch(RecordBatch),
    Done(Vec<Warning>),
}

/// A statement that runs on the threads of the database.
struct Task {
    messages: mpsc::Receiver<Result<Message, Trouble>>,
    abort: AbortHandle,
    /// Closed when the task is gone.
    gone: std_mpsc::Receiver<()>,
    handle: Handle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Task {
    fn spawn(handle: &Handle, source: Source, statement: String, cancel: CancelToken) -> Self {
        let (sender, messages) = mpsc::channel(AHEAD);
        let (alive, gone) = std_mpsc::channel();
        let task = handle.spawn(async move {
            let _alive: std_mpsc::Sender<()> = alive;
            let outcome = match &source {
                Source::Local(database) => pump(database, &statement, cancel, &sender).await,
                Source::Remote(client) => fetch(client, &statement, &sender).await,
            };
            if let Err(trouble) = outcome {
                // Nobody waits for the answer any more if this fails.
                let _ = sender.send(Err(trouble)).await;
            }
        });
        Self { messages, abort: task.abort_handle(), gone, handle: handle.clone() }
    }

    /// Ends a statement that only reads.
    fn cancel(&mut self) {
        self.messages.close();
        self.abort.abort();
        // What it and its helpers hold (files that they were writing, memory) is given back before the next statement, if
        // that is quick. Removing such a file is the last work that they leave to other threads.
        let began = Instant::now();
        let _ = self.gone.recv_timeout(GRACE);
        let (_silent, pause) = std_mpsc::channel::<()>();
        while self.handle.metrics().num_alive_tasks() > 0 && began.elapsed() < GRACE {
            let _ = pause.recv_timeout(PAUSE);
        }
        let _ = self.handle.block_on(self.handle.spawn_blocking(|| ()));
    }
}

/// Runs the statement and sends what it gives, until the end or until nobody wants more.
async fn pump(
    database: &Database,
    statement: &str,
    cancel: CancelToken,
    sender: &mpsc::Sender<Result<Message, Trouble>>,
) -> Result<(), Trouble> {
    let options = QueryOptions { cancel, ..QueryOptions::default() };
    let told = |error| Trouble::from(&error);
    let mut result = database.sql_with(statement, options).await.map_err(told)?;
    if sender.send(Ok(Message::Started(result.schema(), result.warnings()))).await.is_err() {
        return Ok(());
    }
    while let Some(batch) = result.next().await.map_err(told)? {
        if sender.send(Ok(Message::Batch(batch))).await.is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Ok(Message::Done(result.warnings()))).await;
    Ok(())
}

/// As [`pump`], for a server. When nobody wants more, the server is told so by the end of the call.
async fn fetch(
    client: &Client,
    statement: &str,
    sender: &mpsc::Sender<Result<Message, Trouble>>,
) -> Result<(), Trouble> {
    let told = |error| Trouble::from(&error);
    let mut answer = client.query(statement).await.map_err(told)?;
    if sender.send(Ok(Message::Started(answer.schema(), Vec::new()))).await.is_err() {
        return Ok(());
    }
    while let Some(batch) = answer.next().await.map_err(told)? {
        if sender.send(Ok(Message::Batch(batch))).await.is_err() {
            return Ok(());
        }
    }
    let warnings = answer.warnings().iter();
    let warnings = warnings.map(|one| Warning { message: one.message.clone(), hint: one.hint.clone() });
    let _ = sender.send(Ok(Message::Done(warnings.collect()))).await;
    Ok(())
}

/// The answer of a statement.
pub struct Answer {
    schema: SchemaRef,
    /// `None` at the end.
    task: Option<Task>,
    /// Rows that were waited for already.
    collected: Option<std::vec::IntoIter<RecordBatch>>,
    warnings: Vec<Warning>,
    told: usize,
    place: Place,
    running: Option<Running>,
}

impl Answer {
    /// Starts `statement`; what writes is done on return.
    pub(super) fn start(
        handle: &Handle,
        source: Source,
        statement: &str,
        place: Place,
        running: Option<Running>,
    ) -> Outcome<Self> {
        let cancel = running.as_ref().map(Running::token).unwrap_or_default();
        let task = Task::spawn(handle, source, statement.to_owned(), cancel);
        let schema = Arc::new(Schema::empty());
        let mut answer =
            Self { schema, task: Some(task), collected: None, warnings: Vec::new(), told: 0, place, running };
        // A statement that writes looks at the wish to stop itself, and is never left alone: it either did its work or
        // it did not, and the answer must say which.
        match answer.receive(false)? {
            Some(Message::Started(schema, warnings)) => {
                answer.schema = schema;
                answer.warnings = warnings;
                Ok(answer)
            }
            _ => Err(Failure::Failed(Report::error("the statement broke off"))),
        }
    }

    /// The next message; with `leave`, Ctrl-C does not wait for it.
    fn receive(&mut self, leave: bool) -> Outcome<Option<Message>> {
        let Some(task) = &mut self.task else { return Ok(None) };
        let Task { messages, handle, .. } = task;
        let running = self.running.as_ref().filter(|_| leave);
        let message = handle.clone().block_on(async {
            match running {
                Some(running) => tokio::select! {
                    biased;
                    () = running.interrupted() => Err(()),
                    message = messages.recv() => Ok(message),
                },
                None => Ok(messages.recv().await),
            }
        });
        match message {
            Ok(Some(Ok(message))) => Ok(Some(message)),
            Ok(Some(Err(trouble))) => {
                self.task = None;
                Err(self.place.failure(&trouble))
            }
            Ok(None) => {
                self.task = None;
                Err(Failure::Failed(Report::error("the statement broke off")))
            }
            Err(()) => {
                task.cancel();
                self.task = None;
                let message = "the statement was cancelled".to_owned();
                Err(self.place.failure(&Trouble { is_cancelled: true, message, hint: None, span: None }))
            }
        }
    }

    /// The columns; none for statements without rows.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Warnings since the last call. All are known when the last row was read.
    pub fn warnings(&mut self) -> Vec<Report> {
        let new = self.warnings.get(self.told..).unwrap_or_default().iter().map(|warning| {
            let report = Report::warning(&warning.message);
            warning.hint.iter().fold(report, |report, hint| report.with_hint(hint))
        });
        let new = new.collect();
        self.told = self.warnings.len();
        new
    }

    /// The next rows, or `None` at the end.
    ///
    /// # Errors
    /// What went wrong while computing them.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, which an iterator of results would not show")]
    pub fn next(&mut self) -> Outcome<Option<RecordBatch>> {
        if let Some(collected) = &mut self.collected {
            return Ok(collected.next());
        }
        match self.receive(true)? {
            Some(Message::Batch(batch)) => Ok(Some(batch)),
            Some(Message::Done(warnings)) => {
                self.warnings = warnings;
                self.task = None;
                Ok(None)
            }
            Some(Message::Started(..)) | None => Ok(None),
        }
    }

    /// Waits for all rows, which [`Answer::next`] then gives without waiting.
    ///
    /// # Errors
    /// What went wrong while computing them.
    pub fn collect(&mut self) -> Outcome {
        let mut batches = Vec::new();
        while let Some(batch) = self.next()? {
            batches.push(batch);
        }
        self.collected = Some(batches.into_iter());
        Ok(())
    }
}
