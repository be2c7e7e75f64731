//! Batches of events, in order, each acknowledged when it is durable.

use super::caller::caller;
use super::columns::columns;
use super::status::{to_problem, to_status};
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
use trodden_proto::v1::ingest_response::{Gap, Outcome, Rejected, Repeated, Stored};
use trodden_proto::v1::{EventBatch as WireBatch, IngestRequest, IngestResponse};
use trodden_query::engine::producers::Mark;
use trodden_query::engine::table::{Appended, Produced};
use trodden_query::rules::Cleaned;
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
    let mut ended = false;
    loop {
        // Decoding one batch goes on while another is being written.
        while !ended && ready.len() < AHEAD {
            let next = if ready.is_empty() { Some(requests.message().await?) } else { at_once(&mut requests).await? };
            match next {
                None => break,
                Some(None) => ended = true,
                Some(Some(request)) => {
                    let table = allowed(principal, &request)?;
                    let held = admit(app, principal, &request).await?;
                    ready.push_back(tokio::task::spawn_blocking(move || Ok(Ready::of(request, table, held))));
                }
            }
        }
        let Some(first) = ready.pop_front() else { return Ok(()) };
        let batch = first.await.map_err(|_| Status::internal("a batch could not be read"))??;
        let answer = store(app, batch).await?;
        if sender.send(Ok(answer)).await.is_err() {
            return Ok(());
        }
    }
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
async fn admit(app: &App, principal: &Principal, request: &IngestRequest) -> Result<Held, Status> {
    let mut held = app.budget.hold();
    if !held.grow(prost::Message::encoded_len(request)) {
        counter!(INGEST_THROTTLED, "door" => "grpc").increment(1);
        return Err(Status::resource_exhausted(
            "too many events are under way (limits.ingest_bytes); send this again later",
        ));
    }
    let events = request.batch.as_ref().map_or(0, |batch| batch.events.len());
    let key = principal.key.as_deref().unwrap_or_default();
    while let Err(seconds) = app.rates.charge(key, events, app.clock.now_us()) {
        // The client is kept waiting by its stream.
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    Ok(held)
}

/// The table that a batch is for, where the caller may write to it.
fn allowed(principal: &Principal, request: &IngestRequest) -> Result<String, Status> {
    let named = request.batch.as_ref().map_or("", |batch| batch.table.as_str());
    match (&principal.table, named) {
        (Some(table), "") => Ok(table.clone()),
        (Some(table), named) if table != named => {
            Err(Status::permission_denied(format!("this key writes to table '{table}' alone, not to '{named}'")))
        }
        (None, "") => Err(Status::invalid_argument("the batch names no table")),
        (_, named) => Ok(named.to_owned()),
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
    _held: Held,
}

impl Ready {
    fn of(request: IngestRequest, table: String, held: Held) -> Self {
        let began = Instant::now();
        let IngestRequest { producer, sequence, previous, batch } = request;
        let batch = columns(&batch.unwrap_or_else(|| WireBatch { table: String::new(), events: Vec::new() }));
        let mark = (!producer.is_empty()).then_some(Mark { producer, sequence, previous });
        Self { batch, table, mark, sequence, began, _held: held }
    }
}

/// Stores a batch and tells what became of it.
///
/// # Errors
/// What makes a batch fail that could be stored another time, so that the client sends it again.
async fn store(app: &Arc<App>, ready: Ready) -> Result<IngestResponse, Status> {
    let (sequence, began, name) = (ready.sequence, ready.began, ready.table.clone());
    let (app, rows) = (Arc::clone(app), ready.batch.len() as u64);
    let stored = tokio::task::spawn_blocking(move || {
        let table = app.event_table(&ready.table)?;
        let Cleaned { batch, outcome } = rules::clean(&app.database, &table, ready.batch, None)?;
        // Also a batch of which nothing is left: that it came is stored, so that it is not asked for again.
        let produced = match ready.mark {
            None => Produced::Stored(table.append(batch)?),
            Some(mark) => table.append_from(&batch, &mark)?,
        };
        Ok((produced, outcome))
    });
    let span = tracing::info_span!("ingest", door = "grpc", table = name, rows);
    let outcome = match stored.instrument(span).await.map_err(|_| Status::internal("the write broke off"))? {
        Ok((Produced::Stored(appended), cleaned)) => {
            metrics::ingested("grpc", &name, appended, began);
            let Appended { accepted, duplicates } = appended;
            let dropped = cleaned.dropped;
            let rejected = rules::stored("grpc", &name, cleaned);
            let rejected = rejected.into_iter().map(|event| Rejected { row: event.row as u64, reason: event.reason });
            Outcome::Stored(Stored { accepted, duplicates, dropped, rejected: rejected.collect() })
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

/// Whether sending the batch again can never help.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Unsupported)
}
