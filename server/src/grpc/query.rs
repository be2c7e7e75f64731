//! Statements, and their answers as pieces of an Arrow IPC stream.

use super::caller::caller;
use super::columns::scalar;
use super::status::to_status;
use crate::access::{Principal, Role};
use crate::serve::{App, Kept, Running};
use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use trodden_proto::v1 as wire;
use trodden_proto::v1::query_request::Statement as Asked;
use trodden_proto::v1::query_response::Piece;
use trodden_proto::v1::query_service_server::QueryService;
use trodden_query::{CancelToken, Description, Error, QueryOptions, Statement};

/// Time between two messages about the progress of a statement.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Pieces that wait for a client that reads slowly.
const AHEAD: usize = 4;
/// Rows of one piece: a message stays well below what clients take in.
const PIECE_ROWS: usize = 8192;

/// The service.
pub(super) struct Service {
    app: Arc<App>,
    prepared: Kept<Prepared>,
}

/// A statement that was prepared, with its text.
#[derive(Debug, Clone)]
struct Prepared {
    statement: Statement,
    sql: String,
}

impl Service {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, prepared: Kept::new("prepared statement") }
    }

    /// The statement of a text, which is not run yet.
    async fn read(&self, sql: String) -> Result<Prepared, Status> {
        let (database, text) = (self.app.database.clone(), sql.clone());
        let statement = self.app.queries.compute(move || single(database.parse(&text)?)).await;
        let statement = statement.map_err(|error| to_status(&error, &sql))?;
        Ok(Prepared { statement, sql })
    }

    /// What a statement answers, for somebody who may run it.
    async fn describe(&self, principal: &Principal, prepared: &Prepared) -> Result<Description, Status> {
        let (database, statement) = (self.app.database.clone(), prepared.statement.clone());
        let described = self.app.queries.compute(move || database.describe(&statement, &[])).await;
        let described = described.map_err(|error| to_status(&error, &prepared.sql))?;
        match described.is_query || principal.may(Role::Admin) {
            true => Ok(described),
            false => Err(Status::permission_denied("a read key asks, and this statement changes something")),
        }
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<wire::QueryResponse, Status>> + Send>>;

#[tonic::async_trait]
impl QueryService for Service {
    type QueryStream = Pieces;

    async fn query(&self, request: Request<wire::QueryRequest>) -> Result<Response<Pieces>, Status> {
        let principal = caller(&self.app, request.metadata(), Role::Read)?;
        let wire::QueryRequest { statement, parameters, memory_limit_bytes } = request.into_inner();
        let prepared = match statement {
            None => return Err(Status::invalid_argument("the request has neither a statement nor a handle of one")),
            Some(Asked::Sql(sql)) => self.read(sql).await?,
            Some(Asked::Prepared(handle)) => {
                let found = self.prepared.find(&handle, &principal.key, self.app.clock.now_us());
                found.map_err(|error| to_status(&error, ""))?.as_ref().clone()
            }
        };
        // The text tells of most that they only read.
        if !prepared.statement.is_query() && !principal.may(Role::Admin) {
            self.describe(&principal, &prepared).await?;
        }
        let Prepared { statement, sql } = prepared;
        let limits = [
            usize::try_from(memory_limit_bytes).ok().filter(|bytes| *bytes > 0),
            self.app.database.memory_limit_bytes(),
        ];
        let options = QueryOptions {
            parameters: parameters.iter().map(scalar).collect(),
            cancel: CancelToken::new(),
            memory_limit_bytes: limits.into_iter().flatten().min(),
        };
        let running = self.app.queries.start(&self.app.database, statement, options, "grpc").await;
        let running = running.map_err(|error| to_status(&error, &sql))?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            if let Err(error) = send(running, &sender).await {
                let _ = sender.send(Err(to_status(&error, &sql))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn prepare(&self, request: Request<wire::PrepareRequest>) -> Result<Response<wire::PrepareResponse>, Status> {
        let principal = caller(&self.app, request.metadata(), Role::Read)?;
        let prepared = self.read(request.into_inner().sql).await?;
        let Description { schema, parameters, is_query } = self.describe(&principal, &prepared).await?;
        let schema = Ipc::begin(&schema).and_then(Ipc::end);
        let schema = schema.map_err(|error| to_status(&unwritten(error), &prepared.sql))?;
        let kept = self.prepared.keep(prepared, &principal.key, self.app.clock.now_us());
        let prepared = kept.map_err(|error| to_status(&error, ""))?;
        let parameter_types =
            parameters.iter().map(|known| known.as_ref().map(ToString::to_string).unwrap_or_default());
        let parameter_types = parameter_types.collect();
        Ok(Response::new(wire::PrepareResponse { prepared, schema, parameter_types, is_query }))
    }

    async fn close_prepared(
        &self,
        request: Request<wire::ClosePreparedRequest>,
    ) -> Result<Response<wire::ClosePreparedResponse>, Status> {
        let principal = caller(&self.app, request.metadata(), Role::Read)?;
        self.prepared.close(&request.into_inner().prepared, &principal.key);
        Ok(Response::new(wire::ClosePreparedResponse {}))
    }
}

/// The only statement of a script.
fn single(mut statements: Vec<Statement>) -> Result<Statement, Error> {
    let kind = trodden_query::ErrorKind::Syntax;
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (None, _) => Err(Error::new(kind, "there is no statement").with_hint("for example SHOW TABLES")),
        (Some(_), more) => {
            Err(Error::new(kind, format!("{} statements were sent, and one is run at a time", more + 1))
                .with_hint("send each by itself"))
        }
    }
}

type Sender = mpsc::Sender<Result<wire::QueryResponse, Status>>;

/// Sends the pieces of an answer. A client that is gone ends it, and with it the statement.
async fn send(mut running: Running, sender: &Sender) -> Result<(), Error> {
    let began = Instant::now();
    let piece = |piece| Ok(wire::QueryResponse { piece: Some(piece) });
    let started = Piece::Started(wire::query_response::Started { tag: running.tag.to_owned() });
    if sender.send(piece(started)).await.is_err() {
        return Ok(());
    }
    let mut ipc = Ipc::begin(&running.schema).map_err(unwritten)?;
    let (mut rows, mut told) = (0_u64, Instant::now());
    let mut first = Some(ipc.take());
    loop {
        if let Some(bytes) = first.take()
            && sender.send(piece(Piece::Arrow(bytes))).await.is_err()
        {
            return Ok(());
        }
        let next = tokio::select! {
            next = running.next() => next?,
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep_until((told + TELL_EVERY).into()) => {
                told = Instant::now();
                let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let progress = Piece::Progress(wire::query_response::Progress { elapsed_ms, rows });
                if sender.send(piece(progress)).await.is_err() {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(batch) = next else { break };
        rows += batch.num_rows() as u64;
        for start in (0..batch.num_rows()).step_by(PIECE_ROWS) {
            let part = batch.slice(start, PIECE_ROWS.min(batch.num_rows() - start));
            ipc.write(&part).map_err(unwritten)?;
            if sender.send(piece(Piece::Arrow(ipc.take()))).await.is_err() {
                return Ok(());
            }
        }
    }
    if sender.send(piece(Piece::Arrow(ipc.end().map_err(unwritten)?))).await.is_err() {
        return Ok(());
    }
    let warnings = running.warnings().iter();
    let warnings = warnings.map(|one| wire::Warning { message: one.message.clone(), hint: one.hint.clone() });
    let done = Piece::Done(wire::query_response::Done { rows, warnings: warnings.collect() });
    let _ = sender.send(piece(done)).await;
    Ok(())
}

fn unwritten(error: ArrowError) -> Error {
    Error::new(trodden_query::ErrorKind::Internal, format!("the answer cannot be sent: {error}"))
}

/// An Arrow IPC stream that is taken piece by piece.
struct Ipc(StreamWriter<Vec<u8>>);

impl Ipc {
    fn begin(schema: &Schema) -> Result<Self, ArrowError> {
        Ok(Self(StreamWriter::try_new(Vec::new(), schema)?))
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.0.write(batch)
    }

    /// The end mark.
    fn end(mut self) -> Result<Vec<u8>, ArrowError> {
        self.0.finish()?;
        Ok(self.take())
    }

    /// What was written since the last time.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }
}
