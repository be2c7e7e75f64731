//! Errors as gRPC has them.

use crate::grpc::status::to_status;
use arrow_flight::error::FlightError;
use prost::Message;
use tonic::Status;
use trodden_proto::v1::StatusDetails;
use trodden_query::Error;

/// The status of an error of the database; `sql` is the text in which its place is. The same as that of the own API, but for
/// its text: drivers show that alone, so it has the place and the way out.
pub(super) fn of(error: &Error, sql: &str) -> Status {
    retold(&to_status(error, sql), error.to_string())
}

/// The same status with another text. It stands in the details once more, where clients in Go look for it.
pub(super) fn retold(status: &Status, text: String) -> Status {
    if status.details().is_empty() {
        return Status::new(status.code(), text);
    }
    let details = StatusDetails::decode(status.details()).unwrap_or_default();
    let details = StatusDetails { code: status.code() as i32, message: text.clone(), ..details };
    Status::with_details(status.code(), text, details.encode_to_vec().into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_same_in_the_details() {
        let database = trodden_query::Database::in_memory(trodden_query::Options::default()).unwrap();
        let sql = "SELECT * FROM nothing";
        let status = of(&database.query_blocking(sql).unwrap_err(), sql);
        assert!(status.message().contains("at line 1, column 15 (hint: "), "{}", status.message());
        let details = StatusDetails::decode(status.details()).unwrap();
        assert_eq!((details.message.as_str(), details.details.len()), (status.message(), 1));
    }
}
