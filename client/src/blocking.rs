//! The client for programs without async: the same calls, on a runtime of its own.

use crate::call_error::{CallError, CallErrorKind};
use crate::event::Event;
use crate::reader::QueryOptions;
use crate::writer::{PushError, Refused, Rejected, WriterOptions, Written};
use crate::{Answer as AsyncAnswer, Client as AsyncClient, ConnectOptions, Writer as AsyncWriter};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use trodden_proto::v1 as wire;

/// A server. Not to be used in async code, where its calls panic.
#[derive(Debug, Clone)]
pub struct Client {
    client: AsyncClient,
    runtime: Arc<Runtime>,
}

impl Client {
    /// As [`AsyncClient::connect`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::connect`].
    pub fn connect(url: &str, options: ConnectOptions) -> Result<Self, CallError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("trodden-client").enable_all().build();
        let runtime =
            runtime.map_err(|error| CallError::new(CallErrorKind::Setup, format!("starting a thread: {error}")))?;
        let client = runtime.block_on(AsyncClient::connect(url, options))?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// As [`AsyncClient::query`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::query`].
    pub fn query(&self, sql: &str) -> Result<Answer, CallError> {
        self.query_with(sql, QueryOptions::default())
    }

    /// As [`AsyncClient::query_with`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::query_with`].
    pub fn query_with(&self, sql: &str, options: QueryOptions) -> Result<Answer, CallError> {
        let answer = self.runtime.block_on(self.client.query_with(sql, options))?;
        Ok(Answer { answer, runtime: Arc::clone(&self.runtime) })
    }

    /// As [`AsyncClient::writer`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::writer`].
    pub fn writer(&self, table: &str, options: WriterOptions) -> Result<Writer, CallError> {
        let _context = self.runtime.enter();
        let writer = self.client.writer(table, options)?;
        Ok(Writer { writer, runtime: Arc::clone(&self.runtime) })
    }

    /// As [`AsyncClient::status`].
    ///
    /// # Errors
    /// Those of any call.
    pub fn status(&self) -> Result<wire::StatusResponse, CallError> {
        self.runtime.block_on(self.client.status())
    }

    /// As [`AsyncClient::tables`].
    ///
    /// # Errors
    /// Those of any call.
    pub fn tables(&self) -> Result<Vec<wire::Table>, CallError> {
        self.runtime.block_on(self.client.tables())
    }

    /// As [`AsyncClient::create_key`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::create_key`].
    pub fn create_key(
        &self,
        role: &str,
        table: Option<&str>,
        name: &str,
    ) -> Result<wire::CreateKeyResponse, CallError> {
        self.runtime.block_on(self.client.create_key(role, table, name))
    }

    /// As [`AsyncClient::keys`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::keys`].
    pub fn keys(&self) -> Result<Vec<wire::Key>, CallError> {
        self.runtime.block_on(self.client.keys())
    }

    /// As [`AsyncClient::revoke_key`].
    ///
    /// # Errors
    /// Those of [`AsyncClient::revoke_key`].
    pub fn revoke_key(&self, id: &str) -> Result<Option<wire::Key>, CallError> {
        self.runtime.block_on(self.client.revoke_key(id))
    }
}

/// As [`AsyncAnswer`]: an iterator of its rows.
#[derive(Debug)]
pub struct Answer {
    answer: AsyncAnswer,
    runtime: Arc<Runtime>,
}

impl Answer {
    /// As [`AsyncAnswer::schema`].
    pub fn schema(&self) -> SchemaRef {
        self.answer.schema()
    }

    /// As [`AsyncAnswer::tag`].
    pub fn tag(&self) -> &str {
        self.answer.tag()
    }

    /// As [`AsyncAnswer::warnings`].
    pub fn warnings(&self) -> &[wire::Warning] {
        self.answer.warnings()
    }
}

impl Iterator for Answer {
    type Item = Result<RecordBatch, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.block_on(self.answer.next()).transpose()
    }
}

/// As [`AsyncWriter`].
#[derive(Debug)]
pub struct Writer {
    writer: AsyncWriter,
    runtime: Arc<Runtime>,
}

impl Writer {
    /// As [`AsyncWriter::try_push`].
    ///
    /// # Errors
    /// [`PushError`].
    pub fn try_push(&self, event: Event) -> Result<(), PushError> {
        self.writer.try_push(event)
    }

    /// As [`AsyncWriter::push`]: waits while the buffer is full.
    ///
    /// # Errors
    /// [`PushError`], but not `Full`.
    pub fn push(&self, event: Event) -> Result<(), PushError> {
        match self.writer.try_push(event) {
            Err(PushError::Full(event)) => self.runtime.block_on(self.writer.push(*event)),
            done => done,
        }
    }

    /// As [`AsyncWriter::flush`].
    ///
    /// # Errors
    /// Those of [`AsyncWriter::flush`].
    pub fn flush(&self) -> Result<Written, CallError> {
        self.runtime.block_on(self.writer.flush())
    }

    /// As [`AsyncWriter::close`].
    ///
    /// # Errors
    /// Those of [`AsyncWriter::close`].
    pub fn close(self) -> Result<Written, CallError> {
        self.runtime.block_on(self.writer.close())
    }

    /// As [`AsyncWriter::written`].
    pub fn written(&self) -> Written {
        self.writer.written()
    }

    /// As [`AsyncWriter::take_refused`].
    pub fn take_refused(&self) -> Vec<Refused> {
        self.writer.take_refused()
    }

    /// As [`AsyncWriter::take_rejected`].
    pub fn take_rejected(&self) -> Vec<Rejected> {
        self.writer.take_rejected()
    }
}
