//! Arrow Flight SQL: what ADBC, JDBC, ODBC and the dialects of SQLAlchemy speak.
//!
//! A call passes through these modules from the top to the bottom:
//!
//! - `door` is the service on the wire: who is calling, and the few calls that Flight SQL leaves to Flight.
//! - `login` turns a user name and a password into a token; `session` answers about options of a session.
//! - `sql` is the service of Flight SQL: each command to the module that does it.
//! - `statement` reads a statement and says who may run it; `prepared` keeps those that were prepared, `parameters`
//!   what was bound to them.
//! - `ticket` is what a client brings back for the rows; `running` knows what is computed now, and cancels it.
//! - `answer` runs a statement and sends its rows, `update` runs one and counts, `ingest` stores rows.
//! - `metadata`, `sql_info` and `type_info` tell about tables, about the server and about types.
//! - `wire` gives every row and every schema the form in which it is sent; `status` gives errors theirs.

mod answer;
mod door;
mod ingest;
mod login;
mod metadata;
mod parameters;
mod prepared;
mod running;
mod session;
mod sql;
mod sql_info;
mod statement;
mod status;
mod ticket;
mod type_info;
mod update;
mod wire;

#[cfg(test)]
mod tests;

use crate::serve::App;
use arrow_flight::flight_service_server::FlightServiceServer;
use std::sync::Arc;

pub use door::Door;

/// The service of Flight SQL over a database. Messages may be as large as the configuration says.
pub fn service(app: Arc<App>) -> FlightServiceServer<Door> {
    let bytes_max = app.config.grpc.message_max.bytes();
    FlightServiceServer::new(Door::new(app)).max_decoding_message_size(bytes_max).max_encoding_message_size(usize::MAX)
}
