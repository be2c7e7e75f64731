//! Why a call of the server failed.

use prost::Message;
use std::fmt;
use tonic::{Code, Status};
use trodden_proto::v1::{Problem, StatusDetails, problem};

/// What the caller can do about a [`CallError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The address, the key or the certificate is no use.
    Setup,
    /// The server cannot be reached, or the connection broke off. Trying again may help.
    Unreachable,
    /// The server has too much to do, or no room. Trying again later may help.
    Busy,
    /// No key, or one that is not known.
    Unauthenticated,
    /// The key is for something else.
    Denied,
    /// The statement or the request says something wrong.
    Invalid,
    /// No such table, column or key.
    NotFound,
    /// Something of that name is there already.
    AlreadyExists,
    /// The server does not offer this.
    Unsupported,
    /// A limit of memory or size was met.
    ResourceLimit,
    /// It was cancelled.
    Cancelled,
    /// A fault of the server; its log tells more.
    Server,
}

/// Why a call of the server failed.
#[derive(Debug, Clone)]
pub struct CallError {
    kind: CallErrorKind,
    message: String,
    /// In a box: it is large, and errors are handed on.
    problem: Option<Box<Problem>>,
}

impl CallError {
    pub(crate) fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), problem: None }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> CallErrorKind {
        self.kind
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        self.problem.as_ref().map_or(&self.message, |problem| &problem.message)
    }

    /// The way out, if one is known.
    pub fn hint(&self) -> Option<&str> {
        self.problem.as_ref()?.hint.as_deref()
    }

    /// The place in the text of the statement, if there is one.
    pub fn span(&self) -> Option<&problem::Span> {
        self.problem.as_ref()?.span.as_ref()
    }

    /// Whether the same call may succeed another time.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, CallErrorKind::Unreachable | CallErrorKind::Busy | CallErrorKind::Server)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match self.hint() {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let problem = problem_of(&status);
        // The server says more by the kind of the problem than by the code.
        let kind = match (status.code(), problem.as_ref().map(|problem| problem.kind.as_str())) {
            (_, Some("ResourceLimit")) => CallErrorKind::ResourceLimit,
            (Code::Unauthenticated, _) => CallErrorKind::Unauthenticated,
            (Code::PermissionDenied, _) => CallErrorKind::Denied,
            (Code::InvalidArgument | Code::OutOfRange, _) => CallErrorKind::Invalid,
            (Code::NotFound, _) => CallErrorKind::NotFound,
            (Code::AlreadyExists, _) => CallErrorKind::AlreadyExists,
            (Code::Unimplemented, _) => CallErrorKind::Unsupported,
            (Code::Cancelled, Some(_)) => CallErrorKind::Cancelled,
            (Code::ResourceExhausted | Code::FailedPrecondition | Code::Aborted, _) => CallErrorKind::Busy,
            (Code::Unavailable | Code::DeadlineExceeded, _) => CallErrorKind::Unreachable,
            // What tonic says of a connection that ended, or that was none of gRPC.
            (Code::Unknown | Code::Cancelled | Code::Internal, None) => CallErrorKind::Unreachable,
            _ => CallErrorKind::Server,
        };
        Self { kind, message: status.message().to_owned(), problem: problem.map(Box::new) }
    }
}

/// The problem among the details of a status.
fn problem_of(status: &Status) -> Option<Problem> {
    let details = StatusDetails::decode(status.details()).ok()?;
    let detail = details.details.iter().find(|detail| detail.type_url.ends_with("/trodden.v1.Problem"))?;
    Problem::decode(detail.value.as_slice()).ok()
}
