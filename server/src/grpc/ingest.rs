//! Batches of events, in order, each acknowledged when it is durable.

use super::caller::caller;
use super::status::{to_problem, to_status};
use super::wire_batch::{Outline, decode, outline};
use crate::access::{Principal, Role};
use crate::door::Held;
use crate::rules;
use crate::serve::App;
use crate::watch::metrics;
use crate::watch::metrics::{INGEST_REJECTED, INGEST_THROTTLED};
use ::metrics::counter;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;
use trodden_proto::v1::event_service_server::EventService;
use trodden_proto::v1::ingest_response::{Gap, Outcome, Rejected, Repeated};
use trodden_proto::v1::{IngestRequest, IngestResponse, ingest_response};
use trodden_query::engine::producers::Mark;
use trodden_query::engine::table::{Appended, PendingAppend, Produced};
use trodden_query::rules::{Cleaned, Outcome as Cleaning};
use trodden_query::{Error, ErrorKind};

/// Batches of one stream that are being made ready or stored at one time. Storing is in their order.
const AHEAD: usize = 4;

/// The service.
pub(super) struct Events {
    app: Arc<App>,
}

impl Events {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<IngestResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EventService for Events {
    type IngestStream = Answers;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Answers>, Status> {
        let principal = caller(&self.app, request.metadata(), Role::Write)?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (app, requests) = (Arc::clone(&self.app), request.into_inner());
        tokio::spawn(async move {
            if let Err(status) = serve(&app, &principal, requests, &sender).await {
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

type Sender = mpsc::Sender<Result<IngestResponse, Status>>;

/// Takes batches in and answers them, until the client has sent its last one or is gone.
async fn serve(
    app: &Arc<App>,
    principal: &Principal,
    mut requests: Streaming<IngestRequest>,
    sender: &Sender,
) -> Result<(), Status> {
    let mut ready: VecDeque<JoinHandle<Result<Ready, Status>>> = VecDeque::new();
    let mut queued: VecDeque<JoinHandle<Stored>> = VecDeque::new();
    let mut ended = false;
    loop {
        // Decoding one batch goes on while others are being written.
        while !ended && ready.len() + queued.len() < AHEAD {
            let is_idle = ready.is_empty() && queued.is_empty();
            let next = if is_idle { Some(requests.message().await?) } else { at_once(&mut requests).await? };
            match next {
                None => break,
                Some(None) => ended = true,
                Some(Some(request)) => {
                    let Outline { table, events } = outline(&request.batch).map_err(|error| no_batch(&error))?;
                    let table = allowed(principal, table)?;
                    let held = admit(app, principal, &request, events).await?;
                    ready.push_back(tokio::task::spawn_blocking(move || Ready::of(request, table, held)));
                }
            }
        }
        if let Some(first) = ready.pop_front() {
            let batch = first.await.map_err(|_| Status::internal("a batch could not be read"))??;
            // One after the other, so that they are stored in their order; several then wait for one sync.
            queued.push_back(queue(app, batch).await?);
            continue;
        }
        let Some(first) = queued.pop_front() else { return Ok(()) };
        let stored = first.await.map_err(|_| broke_off())?;
        if sender.send(Ok(stored.answer()?)).await.is_err() {
            return Ok(());
        }
    }
}

fn no_batch(error: &prost::DecodeError) -> Status {
    Status::invalid_argument(format!("a request has no batch of events: {error}"))
}

fn broke_off() -> Status {
    Status::internal("the write broke off")
}

/// The next request, if it is here already. `Some(None)`: there is none any more.
async fn at_once(requests: &mut Streaming<IngestRequest>) -> Result<Option<Option<IngestRequest>>, Status> {
    tokio::select! {
        biased;
        next = requests.message() => next.map(Some),
        () = std::future::ready(()) => Ok(None),
    }
}

/// Lets a batch in: it counts against the bytes under way, and waits where its key sends too fast.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` where too much is under way: the client sends it again later.
async fn admit(app: &App, principal: &Principal, request: &IngestRequest, events: usize) -> Result<Held, Status> {
    let mut held = app.budget.hold();
    if !held.grow(prost::Message::encoded_len(request)) {
        counter!(INGEST_THROTTLED, "door" => "grpc").increment(1);
        return Err(Status::resource_exhausted(
            "too many events are under way (limits.ingest_bytes); send this again later",
        ));
    }
    let key = principal.key.as_deref().unwrap_or_default();
    while let Err(seconds) = app.rates.charge(key, events, app.clock.now_us()) {
        // The client is kept waiting by its stream.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    Ok(held)
}

/// The table that a batch is for, where the caller may write to it.
fn allowed(principal: &Principal, named: String) -> Result<String, Status> {
    match (&principal.table, named.as_str()) {
        (Some(table), "") => Ok(table.clone()),
        (Some(table), named) if table != named => {
            Err(Status::permission_denied(format!("this key writes to table '{table}' alone, not to '{named}'")))
        }
        (None, "") => Err(Status::invalid_argument("the batch names no table")),
        _ => Ok(named),
    }
}

/// A batch as the engine takes it.
struct Ready {
    batch: trodden_query::engine::EventBatch,
    table: String,
    mark: Option<Mark>,
    sequence: u64,
    began: Instant,
    /// Until it is stored.
    held: Held,
}

impl Ready {
    fn of(request: IngestRequest, table: String, held: Held) -> Result<Self, Status> {
        let began = Instant::now();
        let IngestRequest { producer, sequence, previous, batch } = request;
        let batch = decode(&batch).map_err(|error| no_batch(&error))?;
        let mark = (!producer.is_empty()).then_some(Mark { producer, sequence, previous });
        Ok(Self { batch, table, mark, sequence, began, held })
    }
}

/// Queues a batch. What is returned waits until it is durable.
async fn queue(app: &Arc<App>, ready: Ready) -> Result<JoinHandle<Stored>, Status> {
    let (app, rows) = (Arc::clone(app), ready.batch.len() as u64);
    let span = tracing::info_span!("ingest", door = "grpc", table = ready.table, rows);
    let Ready { batch, table: name, mark, sequence, began, held } = ready;
    let work = move || {
        let queue = || {
            let table = app.event_table(&name)?;
            let Cleaned { batch, outcome } = rules::clean(&app.database, &table, batch, None)?;
            // Also a batch of which nothing is left: that it came is stored, so that it is not asked for again.
            Ok((table.queue(&batch, mark.as_ref())?, outcome))
        };
        (queue(), name)
    };
    let (queued, name) = tokio::task::spawn_blocking(work).instrument(span.clone()).await.map_err(|_| broke_off())?;
    Ok(tokio::task::spawn_blocking(move || {
        let _span = span.entered();
        let outcome = queued.and_then(|(pending, cleaned): (PendingAppend, Cleaning)| Ok((pending.wait()?, cleaned)));
        drop(held);
        Stored { outcome, name, sequence, rows, began }
    }))
}

/// What became of a batch.
struct Stored {
    outcome: Result<(Produced, Cleaning), Error>,
    name: String,
    sequence: u64,
    rows: u64,
    began: Instant,
}

impl Stored {
    /// What its client is told.
    ///
    /// # Errors
    /// What makes a batch fail that could be stored another time, so that the client sends it again.
    fn answer(self) -> Result<IngestResponse, Status> {
        let Self { outcome, name, sequence, rows, began } = self;
        let outcome = match outcome {
            Ok((Produced::Stored(appended), cleaned)) => {
                metrics::ingested("grpc", &name, appended, began);
                let Appended { accepted, duplicates } = appended;
                let dropped = cleaned.dropped;
                let rejected = rules::stored("grpc", &name, cleaned).into_iter();
                let rejected = rejected.map(|event| Rejected { row: event.row as u64, reason: event.reason });
                Outcome::Stored(ingest_response::Stored { accepted, duplicates, dropped, rejected: rejected.collect() })
            }
            Ok((Produced::Repeated, _)) => Outcome::Repeated(Repeated {}),
            Ok((Produced::Gap { last }, _)) => Outcome::Gap(Gap { last }),
            Err(error) if is_final(&error) => {
                counter!(INGEST_REJECTED, "door" => "grpc", "reason" => format!("{:?}", error.kind())).increment(rows);
                Outcome::Refused(to_problem(&error, ""))
            }
            Err(error) => return Err(to_status(&error, "")),
        };
        Ok(IngestResponse { sequence, outcome: Some(outcome) })
    }
}

/// Whether sending the batch again can never help.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Unsupported)
}
