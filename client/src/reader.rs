//! Answers, as they come.

use crate::call_error::{CallError, CallErrorKind};
use crate::connect::Client;
use crate::event::Value;
use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::{StreamDecoder, StreamReader};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use std::sync::Arc;
use std::time::Duration;
use tonic::Streaming;
use trodden_proto::v1 as wire;
use trodden_proto::v1::query_response::Piece;

/// How a statement is run.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    /// The values of `$1`, `$2`, ….
    pub parameters: Vec<Value>,
    /// Memory that it may use, in bytes; `None`: what the server allows.
    pub memory_limit_bytes: Option<u64>,
}

/// How far a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since it started.
    pub elapsed: Duration,
    /// Rows of the answer that were sent.
    pub rows: u64,
}

/// What comes next of an answer.
#[derive(Debug)]
pub enum Next {
    /// Rows.
    Batch(RecordBatch),
    /// It goes on.
    Progress(Progress),
}

/// The rows of a statement as they come. Dropping it cancels the statement.
#[derive(Debug)]
pub struct Answer {
    tag: String,
    schema: SchemaRef,
    pieces: Streaming<wire::QueryResponse>,
    decoder: StreamDecoder,
    /// What of the last piece is not decoded yet.
    buffer: Buffer,
    warnings: Vec<wire::Warning>,
    done: bool,
}

impl Client {
    /// Runs a statement. What it writes is durable on return.
    ///
    /// # Errors
    /// What is wrong with it, with its place, and those of any call.
    pub async fn query(&self, sql: &str) -> Result<Answer, CallError> {
        self.query_with(sql, QueryOptions::default()).await
    }

    /// As [`Client::query`], with parameters and a limit.
    ///
    /// # Errors
    /// Those of [`Client::query`].
    pub async fn query_with(&self, sql: &str, options: QueryOptions) -> Result<Answer, CallError> {
        self.ask(wire::query_request::Statement::Sql(sql.to_owned()), options).await
    }

    /// Reads and checks a statement, to run it later with other parameters each time. The server forgets it when nobody
    /// has used it for an hour.
    ///
    /// # Errors
    /// What is wrong with it, with its place, and those of any call.
    pub async fn prepare(&self, sql: &str) -> Result<Prepared, CallError> {
        let request = wire::PrepareRequest { sql: sql.to_owned() };
        let answer = self.queries().prepare(request).await?.into_inner();
        let schema = StreamReader::try_new(answer.schema.as_slice(), None).map_err(malformed)?.schema();
        let (handle, parameter_types) = (answer.prepared, answer.parameter_types);
        Ok(Prepared { client: self.clone(), handle, schema, parameter_types, is_query: answer.is_query })
    }

    async fn ask(&self, statement: wire::query_request::Statement, options: QueryOptions) -> Result<Answer, CallError> {
        let request = wire::QueryRequest {
            statement: Some(statement),
            parameters: options.parameters.into_iter().map(Into::into).collect(),
            memory_limit_bytes: options.memory_limit_bytes.unwrap_or(0),
        };
        let pieces = self.queries().query(request).await?.into_inner();
        let mut answer = Answer {
            tag: String::new(),
            schema: Arc::new(Schema::empty()),
            pieces,
            decoder: StreamDecoder::new(),
            buffer: Buffer::default(),
            warnings: Vec::new(),
            done: false,
        };
        answer.begin().await?;
        Ok(answer)
    }
}

/// A statement that the server has read.
#[derive(Debug)]
pub struct Prepared {
    client: Client,
    handle: Vec<u8>,
    /// Its columns.
    pub schema: SchemaRef,
    /// For each of `$1`, `$2`, … the Arrow type that is expected, such as `Int64`; empty where any will do.
    pub parameter_types: Vec<String>,
    /// Whether it changes nothing.
    pub is_query: bool,
}

impl Prepared {
    /// Runs it with these values of `$1`, `$2`, ….
    ///
    /// # Errors
    /// `NotFound` once the server has forgotten it, and those of [`Client::query`].
    pub async fn query(&self, parameters: Vec<Value>) -> Result<Answer, CallError> {
        let options = QueryOptions { parameters, ..QueryOptions::default() };
        self.client.ask(wire::query_request::Statement::Prepared(self.handle.clone()), options).await
    }

    /// Lets the server forget it.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn close(self) -> Result<(), CallError> {
        let request = wire::ClosePreparedRequest { prepared: self.handle };
        self.client.queries().close_prepared(request).await?;
        Ok(())
    }
}

impl Answer {
    /// Reads up to the schema.
    async fn begin(&mut self) -> Result<(), CallError> {
        while let Some(piece) = self.piece().await? {
            match piece {
                Piece::Started(started) => self.tag = started.tag,
                Piece::Arrow(bytes) => {
                    // The first piece has the schema and no rows. The decoder itself knows it only once more bytes come.
                    self.schema = StreamReader::try_new(bytes.as_slice(), None).map_err(malformed)?.schema();
                    self.buffer = Buffer::from_vec(bytes);
                    return Ok(());
                }
                Piece::Progress(_) | Piece::Done(_) => {}
            }
        }
        Err(unexpected("an answer that ended before it began"))
    }

    async fn piece(&mut self) -> Result<Option<Piece>, CallError> {
        Ok(self.pieces.message().await?.and_then(|response| response.piece))
    }

    /// The kind of statement: `SELECT`, `INSERT`, `CREATE TABLE`, ….
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The columns. None for statements that have no rows, such as `CREATE TABLE`.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What looks like a mistake. Complete once all rows are read.
    pub fn warnings(&self) -> &[wire::Warning] {
        &self.warnings
    }

    /// The next rows or the next word about progress; `None` at the end.
    ///
    /// # Errors
    /// What went wrong while computing or sending them. An answer that breaks off is an error, never a shorter answer.
    pub async fn next_or_progress(&mut self) -> Result<Option<Next>, CallError> {
        loop {
            if !self.buffer.is_empty()
                && let Some(batch) = self.decoder.decode(&mut self.buffer).map_err(malformed)?
            {
                return Ok(Some(Next::Batch(batch)));
            }
            if self.done {
                // A stream that lacks its end mark would be a shorter answer.
                self.decoder.finish().map_err(malformed)?;
                return Ok(None);
            }
            match self.piece().await? {
                Some(Piece::Arrow(bytes)) => self.buffer = Buffer::from_vec(bytes),
                Some(Piece::Progress(wire::query_response::Progress { elapsed_ms, rows })) => {
                    return Ok(Some(Next::Progress(Progress { elapsed: Duration::from_millis(elapsed_ms), rows })));
                }
                Some(Piece::Done(done)) => {
                    self.warnings = done.warnings;
                    self.done = true;
                }
                Some(Piece::Started(_)) => {}
                None => return Err(unexpected("an answer that broke off")),
            }
        }
    }

    /// The next rows, or `None` at the end.
    ///
    /// # Errors
    /// Those of [`Answer::next_or_progress`].
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, CallError> {
        loop {
            match self.next_or_progress().await? {
                Some(Next::Batch(batch)) => return Ok(Some(batch)),
                Some(Next::Progress(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// Those of [`Answer::next_or_progress`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, CallError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

fn malformed(error: ArrowError) -> CallError {
    CallError::new(CallErrorKind::Server, format!("the server sent what is no Arrow stream: {error}"))
}

fn unexpected(what: &str) -> CallError {
    CallError::new(CallErrorKind::Unreachable, format!("the server sent {what}"))
}
