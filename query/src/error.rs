//! What went wrong with a statement: kind, message, place in the text, way out.

use datafusion::common::{DataFusionError, Diagnostic, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer as token;
use std::fmt;
use trodden_engine::error::{Error as EngineError, ErrorKind as EngineErrorKind};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no SQL.
    Syntax,
    /// The statement can be read, but says something wrong: an unknown argument, a wrong type, a limit below zero.
    InvalidInput,
    /// No such table, column, function, user or file.
    NotFound,
    /// A table, view or column of that name is there already.
    AlreadyExists,
    /// Right, but not offered.
    Unsupported,
    /// A value of the data could not be computed with: division by zero, a text that is no number.
    Execution,
    /// A limit of memory, size or number was met.
    ResourceLimit,
    /// The caller cancelled the statement.
    Cancelled,
    /// Another process or handle holds the database.
    Locked,
    /// The directory or the file cannot be written.
    ReadOnly,
    /// The disk is full: free space, then open the database again.
    StorageFull,
    /// Bytes on disk contradict their checksum or an invariant. `trodden check` tells more.
    Corrupt,
    /// The directory was written in a format that this version does not read.
    UnsupportedFormat,
    /// An earlier write failed, so writes are refused until the database is opened again.
    Poisoned,
    /// Any other failure of the operating system.
    Io,
    /// A fault of trodden itself. Please report it.
    Internal,
}

/// A place in the text of a statement. Lines and columns start from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Line of the first character.
    pub line: u64,
    /// Column of the first character.
    pub column: u64,
    /// Line of the end.
    pub end_line: u64,
    /// Column just after the last character.
    pub end_column: u64,
}

impl Span {
    /// The place of a token or an expression, if the parser knows it.
    pub(crate) fn from_sql(span: token::Span) -> Option<Self> {
        let known = span.start.line > 0;
        known.then_some(Self {
            line: span.start.line,
            column: span.start.column,
            end_line: span.end.line,
            end_column: span.end.column,
        })
    }

    fn from_diagnostic(span: datafusion::common::Span) -> Self {
        Self { line: span.start.line, column: span.start.column, end_line: span.end.line, end_column: span.end.column }
    }
}

/// An error of a statement or of the database.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    span: Option<Span>,
    hint: Option<String>,
    /// A column that there is none of, and the only one that is spelled so but for capitals.
    spelling: Option<(String, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner { kind, message: message.into(), span: None, hint: None, spelling: None, source: None };
        Self { inner: Box::new(inner) }
    }

    /// The statement says something wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Right, but not offered.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The failure of the operating system on a file that is no part of the database, such as one of `COPY`.
    pub(crate) fn of_io(what: &str, source: std::io::Error) -> Self {
        let (kind, hint) = kind_of_io(&source);
        let mut error = Self::new(kind, format!("{what}: {source}")).with_hint_opt(hint.map(String::from));
        error.inner.source = Some(Box::new(source));
        error
    }

    /// A fault of trodden itself.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error with a way out added.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// The same error with the way out, if there is one.
    #[must_use]
    pub(crate) fn with_hint_opt(mut self, hint: Option<String>) -> Self {
        if hint.is_some() {
            self.inner.hint = hint;
        }
        self
    }

    /// The same error at a place of the statement, where the parser knows it.
    #[must_use]
    pub(crate) fn at(mut self, span: token::Span) -> Self {
        self.inner.span = Span::from_sql(span).or(self.inner.span);
        self
    }

    /// Of an error about a column that there is none of: its name, and that of the only column that differs from it in
    /// nothing but capitals.
    pub(crate) fn spelling(&self) -> Option<(&str, &str)> {
        self.inner.spelling.as_ref().map(|(missing, found)| (missing.as_str(), found.as_str()))
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What happened to which thing.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The place in the text that was given to the database, where it is known.
    pub fn span(&self) -> Option<Span> {
        self.inner.span
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if let Some(span) = self.inner.span {
            write!(f, " at line {}, column {}", span.line, span.column)?;
        }
        match &self.inner.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        // An error of this crate that came back through the engine, from a condition that it evaluated.
        if let Some(own) = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Self>()) {
            return own.copied();
        }
        let kind = match error.kind() {
            EngineErrorKind::InvalidInput => ErrorKind::InvalidInput,
            EngineErrorKind::NotFound => ErrorKind::NotFound,
            EngineErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            EngineErrorKind::Locked => ErrorKind::Locked,
            EngineErrorKind::ReadOnly => ErrorKind::ReadOnly,
            EngineErrorKind::StorageFull => ErrorKind::StorageFull,
            EngineErrorKind::Corrupt => ErrorKind::Corrupt,
            EngineErrorKind::UnsupportedFormat => ErrorKind::UnsupportedFormat,
            EngineErrorKind::Poisoned => ErrorKind::Poisoned,
            EngineErrorKind::ResourceLimit => ErrorKind::ResourceLimit,
            EngineErrorKind::Cancelled => ErrorKind::Cancelled,
            EngineErrorKind::Io => ErrorKind::Io,
            _ => ErrorKind::Internal,
        };
        let hint = error.hint().map(String::from);
        let mut result = Self::new(kind, error.message()).with_hint_opt(hint);
        result.inner.source = Some(Box::new(error));
        result
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<ParserError> for Error {
    fn from(error: ParserError) -> Self {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => {
                return Self::new(ErrorKind::Syntax, "the statement is nested too deeply");
            }
        };
        let (message, place) = split_position(&text);
        let mut result = Self::new(ErrorKind::Syntax, message);
        result.inner.span = place;
        result
    }
}

/// sqlparser writes its places into the message: "… at Line: 1, Column: 8".
fn split_position(text: &str) -> (String, Option<Span>) {
    let place = || {
        let start = text.rfind(" at Line: ")?;
        let (line, column) = text[start + " at Line: ".len()..].split_once(", Column: ")?;
        let (line, column) = (line.parse().ok()?, column.trim().parse().ok()?);
        Some((start, Span { line, column, end_line: line, end_column: column + 1 }))
    };
    match place() {
        Some((start, span)) => (text[..start].to_string(), Some(span)),
        None => (text.to_string(), None),
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(source) => from_external(source),
            DataFusionError::Context(_, inner) => Self::from(*inner),
            DataFusionError::Diagnostic(diagnostic, inner) => with_diagnostic(Self::from(*inner), &diagnostic),
            DataFusionError::Shared(inner) => from_shared(&inner),
            DataFusionError::Collection(mut errors) if !errors.is_empty() => Self::from(errors.swap_remove(0)),
            DataFusionError::SQL(inner, _) => Self::from(*inner),
            DataFusionError::SchemaError(inner, _) => from_schema_error(&inner),
            DataFusionError::ArrowError(inner, _) => match *inner {
                datafusion::arrow::error::ArrowError::ExternalError(source) => from_external(source),
                datafusion::arrow::error::ArrowError::IoError(_, source) => {
                    Self::of_io("reading or writing a file", source)
                }
                other => Self::new(ErrorKind::Execution, plain(&other.to_string())),
            },
            DataFusionError::ResourcesExhausted(message) => Self::new(ErrorKind::ResourceLimit, message)
                .with_hint("raise the memory limit of the query, or let it read or return less"),
            DataFusionError::Plan(message) => from_plan_message(message),
            DataFusionError::NotImplemented(message) => Self::unsupported(message),
            DataFusionError::Execution(message) => match io_in_text(&message) {
                Some(source) => {
                    let (kind, hint) = kind_of_io(&source);
                    Self::new(kind, message).with_hint_opt(hint.map(String::from))
                }
                None => Self::new(ErrorKind::Execution, message),
            },
            DataFusionError::Configuration(message) => Self::invalid(message),
            DataFusionError::IoError(inner) => Self::of_io("reading or writing a file", inner),
            DataFusionError::ObjectStore(inner) => from_object_store(&inner),
            other => {
                let (kind, hint) = match (other.find_root(), io_behind(&other)) {
                    (DataFusionError::Internal(_), _) => (ErrorKind::Internal, None),
                    (_, Some(source)) => kind_of_io(source),
                    _ => (ErrorKind::Execution, None),
                };
                Self::new(kind, plain(&other.strip_backtrace())).with_hint_opt(hint.map(String::from))
            }
        }
    }
}

fn from_external(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let source = match source.downcast::<Error>() {
        Ok(error) => return *error,
        Err(source) => source,
    };
    let source = match source.downcast::<EngineError>() {
        Ok(error) => return Error::from(*error),
        Err(source) => source,
    };
    let source = match source.downcast::<DataFusionError>() {
        Ok(error) => return Error::from(*error),
        Err(source) => source,
    };
    let (kind, hint) = io_behind(source.as_ref()).map_or((ErrorKind::Execution, None), kind_of_io);
    Error::new(kind, source.to_string()).with_hint_opt(hint.map(String::from))
}

/// An error that several consumers share: it cannot be moved out, so its parts are copied.
fn from_shared(error: &DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::External(source) = root {
        if let Some(error) = source.downcast_ref::<Error>() {
            return error.copied();
        }
        if let Some(error) = source.downcast_ref::<EngineError>() {
            let copy = EngineError::new(error.kind(), error.message());
            return Error::from(copy).with_hint_opt(error.hint().map(String::from));
        }
    }
    match root {
        DataFusionError::ResourcesExhausted(message) => DataFusionError::ResourcesExhausted(message.clone()).into(),
        DataFusionError::Plan(message) => from_plan_message(message.clone()),
        DataFusionError::Internal(message) => Error::internal(message.clone()),
        other => Error::new(ErrorKind::Execution, plain(&other.strip_backtrace())),
    }
}

impl Error {
    /// The same error for another reader. What caused it stays with the first.
    pub(crate) fn copied(&self) -> Self {
        let inner = &self.inner;
        let (message, hint, spelling) = (inner.message.clone(), inner.hint.clone(), inner.spelling.clone());
        Self { inner: Box::new(Inner { kind: inner.kind, message, span: inner.span, hint, spelling, source: None }) }
    }
}

fn from_object_store(error: &datafusion::object_store::Error) -> Error {
    use datafusion::object_store::Error as Stored;
    let (kind, hint) = match (error, io_behind(error)) {
        (Stored::NotFound { .. }, _) => (ErrorKind::NotFound, None),
        (_, Some(source)) => kind_of_io(source),
        (Stored::PermissionDenied { .. }, None) => (ErrorKind::ReadOnly, Some(PERMISSIONS)),
        _ => (ErrorKind::Io, None),
    };
    Error::new(kind, plain(&error.to_string())).with_hint_opt(hint.map(String::from))
}

const PERMISSIONS: &str = "check the owner and the permissions of the file and its directory, or name another place";

fn kind_of_io(source: &std::io::Error) -> (ErrorKind, Option<&'static str>) {
    use std::io::ErrorKind as Io;
    match source.kind() {
        Io::NotFound => (ErrorKind::NotFound, None),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (ErrorKind::ReadOnly, Some(PERMISSIONS)),
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            (ErrorKind::StorageFull, Some("free space on the disk, or write to another one"))
        }
        _ => (ErrorKind::Io, None),
    }
}

/// What the operating system said, where DataFusion kept its words only: "… (os error 28)".
fn io_in_text(message: &str) -> Option<std::io::Error> {
    let (_, number) = message.rsplit_once("(os error ")?;
    Some(std::io::Error::from_raw_os_error(number.split_once(')')?.0.parse().ok()?))
}

/// What the operating system said, if that is behind an error.
fn io_behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a std::io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<std::io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn with_diagnostic(mut error: Error, diagnostic: &Diagnostic) -> Error {
    if error.inner.span.is_none() {
        error.inner.span = diagnostic.span.map(Span::from_diagnostic);
    }
    if error.inner.hint.is_none() {
        let help = diagnostic.helps.first().map(|help| help.message.clone());
        error.inner.hint = help.or_else(|| diagnostic.notes.first().map(|note| note.message.clone()));
    }
    error
}

fn from_schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            no_such_column(&field.name, &names)
        }
        SchemaError::AmbiguousReference { field } => {
            Error::invalid(format!("column '{}' is in more than one table here", field.name))
                .with_hint("put the name of the table before it, as in t.column")
        }
        other => Error::invalid(plain(&other.to_string())),
    }
}

/// DataFusion reports some unknown names as plain messages.
fn from_plan_message(message: String) -> Error {
    let message = plain(&message);
    match message.split_once('\n') {
        Some((first, rest)) if rest.trim_start().starts_with("Did you mean") => {
            Error::new(ErrorKind::NotFound, first).with_hint(rest.trim())
        }
        _ if message.starts_with("Invalid function") => Error::new(ErrorKind::NotFound, message),
        _ => Error::invalid(message),
    }
}

/// Without the names of classes that DataFusion and Arrow put before their messages.
fn plain(message: &str) -> String {
    let mut rest = message;
    const PREFIXES: [&str; 8] = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "External error: ",
        "Invalid argument error: ",
        "Compute error: ",
        "Cast error: ",
        "Object Store error: ",
    ];
    while let Some(stripped) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = stripped;
    }
    rest.to_string()
}

/// The error for a column that is in none of `valid`.
pub(crate) fn no_such_column(name: &str, valid: &[&str]) -> Error {
    let hint = match closest(name, valid.iter().copied()) {
        Some(near) if near.eq_ignore_ascii_case(name) => {
            format!("names are case-sensitive once quoted, and lower case if not: write \"{near}\"")
        }
        Some(near) => format!("did you mean '{near}'?"),
        None if valid.is_empty() => "no column can be named here".to_string(),
        None => format!("the columns are {}", listed(valid.iter().copied())),
    };
    let mut error = Error::new(ErrorKind::NotFound, format!("no column is called '{name}'")).with_hint(hint);
    let mut alike: Vec<&str> = valid.iter().copied().filter(|v| v.to_lowercase() == name.to_lowercase()).collect();
    alike.sort_unstable();
    alike.dedup();
    if let [only] = alike[..]
        && only != name
    {
        error.inner.spelling = Some((name.to_string(), only.to_string()));
    }
    error
}

/// The name among `candidates` that `name` most likely meant.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    let tolerated = 1 + name.chars().count() / 4;
    best.filter(|(distance, _)| *distance <= tolerated.min(4)).map(|(_, candidate)| candidate)
}

/// Names for a hint: at most twelve.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.len().min(12);
    let mut text = names[..shown].join(", ");
    if shown < names.len() {
        text.push_str(&format!(" and {} more", names.len() - shown));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_of_the_parser_becomes_a_span() {
        let error = Error::from(ParserError::ParserError("Expected: x, found: y at Line: 3, Column: 14".into()));
        assert_eq!(error.message(), "Expected: x, found: y");
        assert_eq!(error.span().map(|span| (span.line, span.column)), Some((3, 14)));
        assert_eq!(error.kind(), ErrorKind::Syntax);
    }

    #[test]
    fn suggestions_are_near_and_only_near() {
        assert_eq!(closest("purchse", ["purchase", "search"]), Some("purchase"));
        assert_eq!(closest("CustomerID", ["customerid"]), Some("customerid"));
        assert_eq!(closest("abc", ["wholly_other"]), None);
    }

    /// The number of Linux for a kind of error.
    fn source_number(kind: std::io::ErrorKind) -> i32 {
        (1..200).find(|&number| std::io::Error::from_raw_os_error(number).kind() == kind).expect("a number")
    }

    #[test]
    fn a_failed_write_of_a_file_tells_what_to_do() {
        use std::io::ErrorKind as Io;
        for (io, kind, hint) in [
            (Io::StorageFull, ErrorKind::StorageFull, "free space"),
            (Io::QuotaExceeded, ErrorKind::StorageFull, "free space"),
            (Io::PermissionDenied, ErrorKind::ReadOnly, "permissions"),
            (Io::ReadOnlyFilesystem, ErrorKind::ReadOnly, "permissions"),
        ] {
            let source = || std::io::Error::from(io);
            let stored = datafusion::object_store::Error::Generic { store: "local", source: Box::new(source()) };
            let parquet = datafusion::arrow::error::ArrowError::IoError("x".into(), source());
            let number = source_number(io);
            let told = format!("Error writing to object store: no (os error {number})");
            for error in [
                DataFusionError::Execution(told),
                DataFusionError::ObjectStore(Box::new(stored)),
                DataFusionError::IoError(source()),
                DataFusionError::ArrowError(Box::new(parquet), None),
                DataFusionError::External(Box::new(source())).context("writing"),
            ] {
                let error = Error::from(error);
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.hint().is_some_and(|found| found.contains(hint)), "{error}");
            }
        }
    }

    #[test]
    fn our_error_survives_datafusion() {
        let ours = Error::invalid("no").with_hint("yes");
        let back = Error::from(DataFusionError::from(ours).context("somewhere"));
        assert_eq!((back.kind(), back.message(), back.hint()), (ErrorKind::InvalidInput, "no", Some("yes")));
    }
}
