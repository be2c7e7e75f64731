//! Errors on the wire: a gRPC status with a `Problem` among its details.

use crate::text_place::byte_at;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use trodden_proto::v1::{Problem, StatusDetails, problem, status_details};
use trodden_query::{Error, ErrorKind, Span};

/// Name of the message in the details of a status.
const PROBLEM_URL: &str = "type.googleapis.com/trodden.v1.Problem";

/// The status that `error` means; `sql` is the text in which its place is.
pub fn to_status(error: &Error, sql: &str) -> Status {
    let (code, problem) = (code_of(error.kind()), to_problem(error, sql));
    let message = match &problem.hint {
        // Clients that know nothing of details still get the way out.
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    };
    let detail =
        status_details::Detail { type_url: PROBLEM_URL.to_owned(), value: prost::Message::encode_to_vec(&problem) };
    let details = StatusDetails { code: code as i32, message: message.clone(), details: vec![detail] };
    let details = prost::Message::encode_to_vec(&details);
    Status::with_details_and_metadata(code, message, details.into(), MetadataMap::new())
}

/// The error as a message.
pub fn to_problem(error: &Error, sql: &str) -> Problem {
    Problem {
        kind: format!("{:?}", error.kind()),
        message: error.message().to_owned(),
        hint: error.hint().map(str::to_owned),
        span: error.span().map(|span| to_span(span, sql)),
    }
}

/// What a caller is told by the code alone.
fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Syntax | ErrorKind::InvalidInput | ErrorKind::Execution => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::ResourceLimit => Code::ResourceExhausted,
        ErrorKind::Cancelled => Code::Cancelled,
        // Another writer, such as an import: it ends.
        ErrorKind::Locked => Code::Unavailable,
        ErrorKind::ReadOnly | ErrorKind::StorageFull | ErrorKind::Poisoned => Code::FailedPrecondition,
        ErrorKind::Corrupt | ErrorKind::UnsupportedFormat => Code::DataLoss,
        _ => Code::Internal,
    }
}

fn to_span(span: Span, sql: &str) -> problem::Span {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let byte = |line, column| u32::try_from(byte_at(sql, line, column)).unwrap_or(u32::MAX);
    problem::Span {
        start: byte(span.line, span.column),
        end: byte(span.end_line, span.end_column),
        line: number(span.line),
        column: number(span.column),
        end_line: number(span.end_line),
        end_column: number(span.end_column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn a_status_has_kind_hint_and_the_bytes_of_the_place() {
        let database = trodden_query::Database::in_memory(trodden_query::Options::default()).unwrap();
        let sql = "SELECT 'ä',\n  prise FROM events";
        let error = database.query_blocking(sql).unwrap_err();
        let status = to_status(&error, sql);
        assert_eq!(status.code(), Code::NotFound);
        let details = StatusDetails::decode(status.details()).unwrap();
        assert_eq!(details.code, Code::NotFound as i32);
        let problem = Problem::decode(details.details[0].value.as_slice()).unwrap();
        assert_eq!(problem.kind, "NotFound");
        let span = problem.span.unwrap();
        assert_eq!(&sql[span.start as usize..span.end as usize], "events");
        assert_eq!((span.line, span.column), (2, 14));
    }
}
