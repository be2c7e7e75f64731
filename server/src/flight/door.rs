//! The service on the wire: who is calling, then Flight SQL, and the calls that belong to Flight itself.

use super::answer::DOOR;
use super::login::Caller;
use super::session;
use super::sql::{SchemaOnly, SqlService};
use crate::serve::App;
use crate::watch::metrics::DENIED;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::Stream;
use metrics::counter;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// The service of Flight.
pub struct Door {
    app: Arc<App>,
    sql: SqlService,
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Door {
    /// Over what the server works on.
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { sql: SqlService::new(Arc::clone(&app)), app }
    }

    /// The request with its caller, for everything but a handshake.
    fn known<T>(&self, mut request: Request<T>) -> Result<Request<T>, Status> {
        let found = self.sql.logins.caller(&self.app.access, request.metadata(), self.app.clock.now_us());
        let caller: Caller = found.inspect_err(|_| counter!(DENIED, "door" => DOOR, "reason" => "key").increment(1))?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = Boxed<HandshakeResponse>;
    type ListFlightsStream = Boxed<FlightInfo>;
    type DoGetStream = Boxed<FlightData>;
    type DoPutStream = Boxed<PutResult>;
    type DoActionStream = Boxed<arrow_flight::Result>;
    type ListActionsStream = Boxed<ActionType>;
    type DoExchangeStream = Boxed<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.sql.handshake(request).await
    }

    /// Nothing is offered without a command.
    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.known(request)?;
        Ok(Response::new(Box::pin(futures::stream::empty())))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.sql.get_flight_info(self.known(request)?).await
    }

    /// Rows come as they are computed, so there is nothing to wait for.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let info = self.sql.get_flight_info(self.known(request)?).await?.into_inner();
        Ok(Response::new(PollInfo {
            info: Some(info),
            flight_descriptor: None,
            progress: Some(1.0),
            expiration_time: None,
        }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let mut request = self.known(request)?;
        request.extensions_mut().insert(SchemaOnly);
        let info = self.sql.get_flight_info(request).await?.into_inner();
        Ok(Response::new(SchemaResult { schema: info.schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        self.sql.do_get(self.known(request)?).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        self.sql.do_put(self.known(request)?).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.sql.do_action(self.known(request)?).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.known(request)?;
        let own = [
            ("CreatePreparedStatement", "Request: ActionCreatePreparedStatementRequest"),
            ("ClosePreparedStatement", "Request: ActionClosePreparedStatementRequest"),
            ("CancelQuery", "Request: ActionCancelQueryRequest\nResponse: ActionCancelQueryResult"),
        ];
        let actions = own
            .into_iter()
            .chain(session::ACTIONS)
            .map(|(name, description)| Ok(ActionType { r#type: name.into(), description: description.into() }));
        Ok(Response::new(Box::pin(futures::stream::iter(actions.collect::<Vec<_>>()))))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.known(request)?;
        Err(Status::unimplemented("nothing is exchanged (hint: rows are asked for by DoGet, and sent by DoPut)"))
    }
}
