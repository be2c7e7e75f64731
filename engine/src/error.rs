//! What can go wrong, told by what the caller can do about it.

use std::fmt;

/// The result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The argument or the data is wrong: correct it and call again.
    InvalidInput,
    /// No such table, column, user or file.
    NotFound,
    /// A table or column of that name is there already.
    AlreadyExists,
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
    /// A limit of memory, size or number was met.
    ResourceLimit,
    /// The caller cancelled the call.
    Cancelled,
    /// Any other failure of the operating system.
    Io,
}

/// An error of the engine: its kind, what happened to which thing, and, where one is known, the way out.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The argument or the data is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Bytes on disk contradict their checksum or an invariant.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// The failure of the operating system on `what` (a file or an action), with the kind that fits it.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, hint) = match source.kind() {
            Io::NotFound => (ErrorKind::NotFound, None),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                (ErrorKind::ReadOnly, Some("check the owner and the permissions of the directory"))
            }
            Io::StorageFull | Io::QuotaExceeded => {
                (ErrorKind::StorageFull, Some("free space on the disk, then open the database again"))
            }
            Io::FileTooLarge => (ErrorKind::StorageFull, Some("raise the limit of the size of files (ulimit -f)")),
            _ => (ErrorKind::Io, None),
        };
        let mut error = Self::new(kind, format!("{what}: {source}"));
        error.hint = hint.map(String::from);
        error.source = Some(Box::new(source));
        error
    }

    /// The same error with a way out added.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same error with the place put before the message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened to which thing.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
