//! Errors as gRPC has them.

use crate::grpc::status::to_status;
use arrow_flight::error::FlightError;
use tonic::Status;
use trodden_query::Error;

/// The status of an error of the database; `sql` is the text in which its place is. The same as that of the own API, but for
/// its text: drivers show that alone, so it has the place and the way out.
pub(super) fn of(error: &Error, sql: &str) -> Status {
    let status = to_status(error, sql);
    Status::with_details(status.code(), error.to_string(), status.details().to_vec().into())
}

/// The status of an error that is of no statement.
pub(super) fn from(error: Error) -> Status {
    of(&error, "")
}

/// The status of what could not be read from a client: its fault, unless it is one of the connection.
pub(super) fn unreadable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::invalid_argument(format!("the rows cannot be read: {other}")),
    }
}

/// The status of a fault of this server.
pub(super) fn fault(what: &str, error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "{what}");
    Status::internal(format!("{what}: {error}"))
}
