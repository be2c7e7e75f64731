//! The service of Flight SQL: each command goes to the module that does it.

use super::answer::{self, DataStream, Runs};
use super::login::{Caller, Logins};
use super::parameters::{Rows, batches, parameter_schema};
use super::prepared::Prepared;
use super::running::{Guard, Running};
use super::statement::{self, Read};
use super::ticket::{StatementTicket, flight_info};
use super::wire::schema_bytes;
use super::{ingest, metadata, session, sql_info, status, type_info, update};
use crate::access::{Principal, Role};
use crate::serve::{App, Kept, Owner};
use arrow_array::RecordBatch;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command, CommandGetCatalogs, CommandGetCrossReference,
    CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket};
use arrow_schema::{Schema, SchemaRef};
use futures::{Stream, StreamExt, TryStreamExt};
use prost::bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// The service, and what it knows from one call to the next.
pub(super) struct SqlService {
    app: Arc<App>,
    pub(super) logins: Logins,
    prepared: Kept<Prepared>,
    running: Arc<Running>,
}

/// With a request that wants to know a schema, and nothing to be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct SchemaOnly;

type Info = Result<Response<FlightInfo>, Status>;
type Sent = Result<Response<DataStream>, Status>;

impl SqlService {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, logins: Logins::default(), prepared: Kept::new("prepared statement"), running: Arc::default() }
    }

    fn now_us(&self) -> i64 {
        self.app.clock.now_us()
    }

    fn find(&self, handle: &Bytes, caller: &Caller) -> Result<Arc<Prepared>, Status> {
        self.prepared.find(handle, &owner(caller), self.now_us()).map_err(status::from)
    }

    /// Where the rows of a command about the server or its tables are.
    fn metadata_info(
        &self,
        request: Request<FlightDescriptor>,
        command: &impl ProstMessageExt,
        schema: &Schema,
    ) -> Info {
        reader(&request)?;
        Ok(Response::new(flight_info(request.into_inner(), schema, &command.as_any())?))
    }

    /// Where the rows of a statement are. One that changes something is run now, once, and its answer is in the ticket: many a
    /// client asks for no rows of it, or goes on before they are there.
    async fn statement_info(
        &self,
        request: Request<FlightDescriptor>,
        (read, prepared): (Read, &Bytes),
        values: &Rows,
    ) -> Info {
        let caller = caller(&request)?;
        let wants_schema = request.extensions().get::<SchemaOnly>().is_some();
        let described = statement::describe(&self.app, &caller.principal, &read, values.first()).await?;
        let schema = &described.schema;
        if !wants_schema {
            statement::require_values(&read, values.first())?;
        }
        let ticket = if described.is_query || wants_schema {
            let text = if prepared.is_empty() { &read.text[..] } else { "" };
            StatementTicket::new(text, prepared, schema)?
        } else {
            let rows = self.runs(read, values, Guard::unnamed()).rows(Arc::clone(schema)).await?;
            StatementTicket::done(schema, &rows.try_collect::<Vec<_>>().await?)?
        };
        Ok(Response::new(flight_info(request.into_inner(), schema, &ticket.command())?))
    }

    fn runs(&self, read: Read, values: &Rows, guard: Guard) -> Runs {
        Runs { app: Arc::clone(&self.app), read, values: values.runs().into(), guard }
    }

    /// Run a statement for its rows.
    async fn answer(&self, caller: &Caller, read: Read, values: &Rows, announced: SchemaRef, guard: Guard) -> Sent {
        statement::check(&self.app, &caller.principal, &read).await?;
        let rows = self.runs(read, values, guard).rows(Arc::clone(&announced)).await?;
        Ok(Response::new(answer::encode(announced, rows)))
    }

    /// What stops a statement that is run for its effect.
    ///
    /// # Errors
    /// For one that `caller` may not run, or that has no effect.
    async fn begin_update(&self, caller: &Caller, read: &Read) -> Result<Guard, Status> {
        statement::check(&self.app, &caller.principal, read).await?;
        if read.statement.is_query() {
            return Err(Status::invalid_argument(
                "this statement changes nothing (hint: it is a query, so ask for its rows)",
            ));
        }
        Ok(Guard::unnamed())
    }
}

/// Who is calling: the door has put it there.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let found = request.extensions().get::<Caller>().cloned();
    found.ok_or_else(|| Status::unauthenticated("nobody knows who is calling"))
}

/// Somebody who may read.
fn reader<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = caller(request)?;
    statement::require(&caller.principal, Role::Read, "this key may not ask (hint: use a key that may read)")?;
    Ok(caller)
}

fn owner(caller: &Caller) -> Owner {
    let Principal { key, .. } = &caller.principal;
    key.clone()
}

fn refuse_transaction(id: Option<&Bytes>) -> Result<(), Status> {
    match id {
        Some(id) if !id.is_empty() => Err(session::no_transactions()),
        _ => Ok(()),
    }
}

/// A batch of metadata as an answer.
fn told(batch: Result<RecordBatch, Status>) -> Sent {
    Ok(Response::new(answer::encode_one(batch?)))
}

#[tonic::async_trait]
impl FlightSqlService for SqlService {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        let (headers, _, mut messages) = request.into_parts();
        // A client that says all in its headers may send nothing, and wait.
        let message = match headers.contains_key("authorization") {
            true => None,
            false => messages.next().await.transpose()?.map(|message| message.payload),
        };
        let token = self.logins.log_in(&self.app.access, &headers, message, self.now_us())?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into_bytes().into() };
        let stream: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(futures::stream::iter([Ok(answer)]));
        let mut response = Response::new(stream);
        let header = format!("Bearer {token}").parse();
        let header = header.map_err(|error| status::fault("a token", error))?;
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    // Queries.

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        refuse_transaction(query.transaction_id.as_ref())?;
        let read = statement::read(&self.app, &query.query).await?;
        self.statement_info(request, (read, &Bytes::new()), &Rows::default()).await
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Sent {
        let caller = caller(&request)?;
        let ticket = StatementTicket::of(&ticket)?;
        if !ticket.answer.is_empty() {
            let (schema, batches) = ticket.batches()?;
            return Ok(Response::new(answer::encode(schema, futures::stream::iter(batches.into_iter().map(Ok)))));
        }
        let announced = ticket.announced()?;
        let guard = self.running.begin(&ticket.id, &owner(&caller))?;
        if ticket.prepared.is_empty() {
            let read = statement::read(&self.app, &ticket.query).await?;
            return self.answer(&caller, read, &Rows::default(), announced, guard).await;
        }
        let prepared = self.find(&ticket.prepared, &caller)?;
        self.answer(&caller, prepared.read.clone(), &prepared.bound(), announced, guard).await
    }

    // Prepared statements.

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let caller = caller(&request)?;
        refuse_transaction(query.transaction_id.as_ref())?;
        let read = statement::read(&self.app, &query.query).await?;
        let described = statement::describe(&self.app, &caller.principal, &read, &[]).await?;
        // JDBC takes a statement without columns for one that changes something, and runs it as such.
        let schema =
            if described.is_query { schema_bytes(&described.schema)? } else { schema_bytes(&Schema::empty())? };
        let handle = self.prepared.keep(Prepared::new(read), &owner(&caller), self.now_us());
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.map_err(status::from)?.into(),
            dataset_schema: schema,
            parameter_schema: schema_bytes(&parameter_schema(&described.parameters))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.prepared.close(&query.prepared_statement_handle, &owner(&caller(&request)?));
        Ok(())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let handle = &query.prepared_statement_handle;
        let prepared = self.find(handle, &caller(&request)?)?;
        self.statement_info(request, (prepared.read.clone(), handle), &prepared.bound()).await
    }

    /// For clients that make the ticket themselves.
    async fn do_get_prepared_statement(&self, query: CommandPreparedStatementQuery, request: Request<Ticket>) -> Sent {
        let caller = caller(&request)?;
        let prepared = self.find(&query.prepared_statement_handle, &caller)?;
        let (read, bound) = (&prepared.read, prepared.bound());
        let described = statement::describe(&self.app, &caller.principal, read, bound.first()).await?;
        if !described.is_query {
            // It was run when this client asked where the answer is.
            return Err(Status::invalid_argument("bring back the ticket that you were given for this statement"));
        }
        self.answer(&caller, read.clone(), &bound, described.schema, Guard::unnamed()).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let prepared = self.find(&query.prepared_statement_handle, &caller(&request)?)?;
        let wanted = prepared.read.statement.parameters();
        prepared.bind(Rows::read(batches(request.into_inner()), wanted).await?);
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = caller(&request)?;
        let prepared = self.find(&query.prepared_statement_handle, &caller)?;
        let guard = self.begin_update(&caller, &prepared.read).await?;
        let batches = batches(request.into_inner());
        update::run_for_each(&self.app, &prepared.read, batches, &prepared.bound(), &guard).await
    }

    // What changes something.

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = caller(&request)?;
        refuse_transaction(command.transaction_id.as_ref())?;
        let read = statement::read(&self.app, &command.query).await?;
        let guard = self.begin_update(&caller, &read).await?;
        // The rest of the stream is not waited for: some clients end it after they have the answer.
        update::run(&self.app, &read, Vec::new(), &guard).await
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = caller(&request)?;
        ingest::run(&self.app, &caller.principal, &command, request.into_inner()).await
    }

    async fn do_put_error_callback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(Status::invalid_argument(error.to_string()))
    }

    async fn do_put_fallback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        message: Any,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(unknown(&message.type_url))
    }

    // Metadata.

    async fn get_flight_info_catalogs(&self, query: CommandGetCatalogs, request: Request<FlightDescriptor>) -> Info {
        self.metadata_info(request, &query, &metadata::catalogs()?.schema())
    }

    async fn do_get_catalogs(&self, _query: CommandGetCatalogs, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(metadata::catalogs())
    }

    async fn get_flight_info_schemas(&self, query: CommandGetDbSchemas, request: Request<FlightDescriptor>) -> Info {
        self.metadata_info(request, &query, &metadata::schemas(query.clone())?.schema())
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(metadata::schemas(query))
    }

    async fn get_flight_info_tables(&self, query: CommandGetTables, request: Request<FlightDescriptor>) -> Info {
        let schema = query.clone().into_builder().schema();
        self.metadata_info(request, &query, &schema)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        let database = self.app.database.clone();
        let found = self.app.queries.compute(move || Ok(metadata::tables(&database, query))).await;
        told(found.map_err(status::from)?)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.metadata_info(request, &query, &metadata::table_types()?.schema())
    }

    async fn do_get_table_types(&self, _query: CommandGetTableTypes, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(metadata::table_types())
    }

    async fn get_flight_info_sql_info(&self, query: CommandGetSqlInfo, request: Request<FlightDescriptor>) -> Info {
        self.metadata_info(request, &query, &sql_info::answer(&[])?.schema())
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(sql_info::answer(&query.info))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.metadata_info(request, &query, &type_info::answer(None)?.schema())
    }

    async fn do_get_xdbc_type_info(&self, query: CommandGetXdbcTypeInfo, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(type_info::answer(query.data_type))
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.metadata_info(request, &query, &metadata::primary_keys().schema())
    }

    async fn do_get_primary_keys(&self, _query: CommandGetPrimaryKeys, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(Ok(metadata::primary_keys()))
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.metadata_info(request, &query, &metadata::foreign_keys().schema())
    }

    async fn do_get_exported_keys(&self, _query: CommandGetExportedKeys, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(Ok(metadata::foreign_keys()))
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.metadata_info(request, &query, &metadata::foreign_keys().schema())
    }

    async fn do_get_imported_keys(&self, _query: CommandGetImportedKeys, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(Ok(metadata::foreign_keys()))
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.metadata_info(request, &query, &metadata::foreign_keys().schema())
    }

    async fn do_get_cross_reference(&self, _query: CommandGetCrossReference, request: Request<Ticket>) -> Sent {
        reader(&request)?;
        told(Ok(metadata::foreign_keys()))
    }

    async fn get_flight_info_fallback(&self, command: Command, _request: Request<FlightDescriptor>) -> Info {
        Err(unknown(command.type_url()))
    }

    async fn do_get_fallback(&self, _request: Request<Ticket>, message: Any) -> Sent {
        Err(unknown(&message.type_url))
    }

    // Actions.

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        session::cancel_query(&query.info, &self.running, &owner(&caller(&request)?))
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(session::no_transactions())
    }

    async fn do_action_end_transaction(
        &self,
        _query: ActionEndTransactionRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(session::no_transactions())
    }

    async fn do_action_begin_savepoint(
        &self,
        _query: ActionBeginSavepointRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(session::no_transactions())
    }

    async fn do_action_end_savepoint(
        &self,
        _query: ActionEndSavepointRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(session::no_transactions())
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let caller = caller(&request)?;
        let action = request.get_ref();
        let body = match action.r#type.as_str() {
            "CancelFlightInfo" => session::cancel_flight_info(action, &self.running, &owner(&caller))?,
            "SetSessionOptions" => session::set_options(action)?,
            "GetSessionOptions" => session::options(),
            "CloseSession" => {
                self.logins.log_out(&caller);
                session::closed()
            }
            other => return Err(Status::unimplemented(format!("the action '{other}' is not offered"))),
        };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(arrow_flight::Result { body })]))))
    }

    /// What the server tells of itself does not change while it runs.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}

fn unknown(command: &str) -> Status {
    let name = command.rsplit('.').next().unwrap_or(command);
    Status::unimplemented(format!("the command '{name}' is not offered (hint: statements are sent as SQL)"))
}
