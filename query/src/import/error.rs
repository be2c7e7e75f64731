//! What can go wrong in an import: the file, the place in it, the cause, and the way out.

use super::rejects::NOT_UTF8;
use super::summary::{Reject, one_line};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// The result of an import.
pub type Result<T> = std::result::Result<T, ImportError>;

/// Why an import stored nothing. [`std::fmt::Display`] tells what happened; [`ImportError::hint`] tells the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A path or glob matches no file.
    #[error("no file matches '{pattern}'")]
    NoFile {
        /// As given.
        pattern: String,
    },
    /// A glob that cannot be parsed.
    #[error("'{pattern}' is no valid glob: {cause}")]
    BadGlob {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A file cannot be opened or read.
    #[error("{file}: {source}")]
    Read {
        /// Path of the file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// What can be read only once cannot be kept for the time of the import.
    #[error("{file}: no copy can be kept in {directory} for the time of the import: {source}")]
    Spool {
        /// What was to be kept.
        file: String,
        /// The directory for temporary files.
        directory: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The format of a file cannot be told from its name and its first bytes.
    #[error("{file}: neither its name nor its content tells the format")]
    UnknownFormat {
        /// Path of the file.
        file: String,
    },
    /// A file is not what its name or the options say.
    #[error("{file}: {cause}")]
    WrongFormat {
        /// Path of the file.
        file: String,
        /// What it was taken for, and what is wrong.
        cause: String,
        /// The way out.
        hint: String,
    },
    /// A file ends too early, or its bytes are damaged.
    #[error("{file}: cut off or damaged: {cause}")]
    Damaged {
        /// Path of the file.
        file: String,
        /// What the decoder said.
        cause: String,
    },
    /// No file of the set has a row.
    #[error("{file}: {cause}")]
    Empty {
        /// Path of the first file.
        file: String,
        /// "the file is empty", "there is a header and no row" or the like.
        cause: &'static str,
    },
    /// A quoted field that is never closed, or a row longer than the limit.
    #[error("{file}, line {line}: {cause}")]
    EndlessRow {
        /// Path of the file.
        file: String,
        /// Line at which the row begins, from 1.
        line: u64,
        /// Which of the two it is.
        cause: String,
    },
    /// A column that the mapping needs is not in the file, or several could be meant.
    #[error("{file}: {cause}; its columns are {}", list(.columns))]
    Mapping {
        /// Path of the file.
        file: String,
        /// Which part is missing or ambiguous.
        cause: String,
        /// The columns that the file has.
        columns: Vec<String>,
        /// The way out.
        hint: String,
    },
    /// A column named in the options is in no file.
    #[error("no file has the column '{column}' that {option} names; there are {}", list(.columns))]
    UnknownColumn {
        /// As given.
        column: String,
        /// Its names on the command line and in SQL.
        option: &'static str,
        /// The columns of all files.
        columns: Vec<String>,
        /// The nearest of them.
        nearest: Option<String>,
    },
    /// Two columns have one name.
    #[error("{file}: two columns are called '{column}'")]
    DuplicateColumn {
        /// Path of the file.
        file: String,
        /// The name.
        column: String,
    },
    /// More columns than an import takes.
    #[error("{file}: more than {limit} columns")]
    TooManyColumns {
        /// Path of the file.
        file: String,
        /// The limit.
        limit: usize,
    },
    /// A Parquet type that has no counterpart.
    #[error("{file}: column '{column}' has the type {found}, which cannot be imported")]
    UnsupportedType {
        /// Path of the file.
        file: String,
        /// The column.
        column: String,
        /// Its Arrow type.
        found: String,
    },
    /// A Parquet column is compressed in a way that nothing here unpacks.
    #[error("{file}: column '{column}' is compressed with {codec}, which cannot be read")]
    UnsupportedCodec {
        /// Path of the file.
        file: String,
        /// The column.
        column: String,
        /// The codec as Parquet calls it.
        codec: String,
    },
    /// A value that no type of a table holds, such as bytes that are no text.
    #[error("{file}: column '{column}' has a value that cannot be imported: {cause}")]
    BadValue {
        /// Path of the file.
        file: String,
        /// The column.
        column: String,
        /// What is wrong with the value.
        cause: String,
        /// The way out.
        hint: String,
    },
    /// The table is locked to its schema and the file has other columns.
    #[error("the table is strict and has no column {}", list(.columns))]
    StrictTable {
        /// The columns that it lacks.
        columns: Vec<String>,
    },
    /// The times of a file could mean two things, or nothing.
    #[error("{file}: time column '{column}': {cause}")]
    UnclearTime {
        /// Path of the file.
        file: String,
        /// The time column.
        column: String,
        /// What is unclear, with a value as an example.
        cause: String,
        /// The way out.
        hint: String,
    },
    /// An option that cannot be obeyed.
    #[error("{cause}")]
    Option {
        /// Which option, and why.
        cause: String,
        /// The way out.
        hint: String,
    },
    /// More rows were rejected than allowed.
    #[error("more than {max_rejects} rejected rows; nothing was stored.{}", first_rejects(.first))]
    TooManyRejects {
        /// The limit.
        max_rejects: u64,
        /// How many there are, if they are written to a file; else how many were met before the import stopped.
        rejected: u64,
        /// The first of them in order of file and line.
        first: Vec<Reject>,
        /// The file that holds them all, if one was asked for.
        written_to: Option<PathBuf>,
    },
    /// The file of rejected rows cannot be written.
    #[error("{}: cannot write rejected rows: {source}", .path.display())]
    Rejects {
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file was written to while it was imported.
    #[error("{file}: the file changed while it was read")]
    Changed {
        /// Path of the file.
        file: String,
    },
    /// The caller cancelled.
    #[error("the import was cancelled; nothing was stored")]
    Cancelled,
    /// A reader thread stopped for a reason that is a fault of this program.
    #[error("{file}: the reader failed: {cause}")]
    Reader {
        /// Path of the file.
        file: String,
        /// What it said.
        cause: String,
    },
    /// The engine refused the events.
    #[error(transparent)]
    Engine(trodden_engine::error::Error),
}

impl From<trodden_engine::error::Error> for ImportError {
    fn from(error: trodden_engine::error::Error) -> Self {
        match error.kind() {
            trodden_engine::error::ErrorKind::Cancelled => Self::Cancelled,
            _ => Self::Engine(error),
        }
    }
}

impl ImportError {
    /// What happened, without the way out.
    pub fn message(&self) -> String {
        match self {
            // Its text has the way out behind it.
            Self::Engine(error) => error.message().into(),
            other => other.to_string(),
        }
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoFile { .. } => "check the path; quote a glob so that the shell leaves it alone",
            Self::BadGlob { .. } => "in a glob, '[' and '*' have meanings; write '[[]' for a bracket",
            Self::Read { source, .. } => reading_hint(source),
            Self::Spool { .. } => "free space there, or name another directory in the variable TMPDIR",
            Self::UnknownFormat { .. } => "name the format: parquet, csv, tsv or jsonl",
            Self::WrongFormat { hint, .. }
            | Self::Mapping { hint, .. }
            | Self::UnclearTime { hint, .. }
            | Self::BadValue { hint, .. }
            | Self::Option { hint, .. } => hint,
            Self::Damaged { .. } => "copy the file again from where it came; nothing was stored",
            Self::Empty { .. } => "check that the file was written to its end",
            Self::EndlessRow { .. } => "look at the quotes in that line",
            Self::UnknownColumn { nearest: Some(nearest), .. } => return Some(format!("did you mean '{nearest}'?")),
            Self::DuplicateColumn { .. } => "rename one of them in the options, or exclude it",
            Self::TooManyColumns { .. } => "leave some out, such as exclude 'items.*'",
            Self::UnsupportedType { column, .. } => return Some(format!("leave it out: exclude '{column}'")),
            Self::UnsupportedCodec { column, .. } => {
                return Some(format!("write the file again with zstd or snappy, or leave it out: exclude '{column}'"));
            }
            Self::StrictTable { .. } => "add the columns with ALTER TABLE … ADD COLUMN, or exclude them",
            Self::TooManyRejects { .. } => return Some(self.rejects_hint()),
            Self::Changed { .. } => "import a file that nothing writes to; nothing was stored",
            Self::Rejects { source, .. } => writing_hint(source),
            Self::Engine(error) => return error.hint().map(String::from),
            Self::UnknownColumn { .. } | Self::Cancelled | Self::Reader { .. } => return None,
        };
        Some(text.to_string())
    }

    fn rejects_hint(&self) -> String {
        let Self::TooManyRejects { rejected, first, written_to, .. } = self else { return String::new() };
        let mut hint = match written_to {
            Some(path) => format!("all {rejected} are in {}; correct the rows, or allow more rejects", path.display()),
            None => "correct the rows, or allow more rejects; a rejects file shows them all".into(),
        };
        if first.iter().any(|reject| reject.reason == NOT_UTF8) {
            hint += "; a text in another encoding is converted with iconv, such as iconv -f WINDOWS-1252 -t UTF-8";
        }
        hint
    }

    /// Whether the caller can mend it by other options or another file, as against a failure of the machine.
    pub fn is_invalid_input(&self) -> bool {
        match self {
            Self::Engine(error) => error.kind() == trodden_engine::error::ErrorKind::InvalidInput,
            Self::Read { .. } | Self::Spool { .. } | Self::Rejects { .. } | Self::Cancelled | Self::Reader { .. } => {
                false
            }
            _ => true,
        }
    }

    /// The failure of reading `file`: a decoder that met damaged bytes, or the operating system.
    pub(super) fn reading(file: &str, source: io::Error) -> Self {
        use io::ErrorKind as Io;
        // zstd reports its errors as "other" ones without an error number of the system.
        let is_decoder = matches!(source.kind(), Io::UnexpectedEof | Io::InvalidData | Io::InvalidInput)
            || (source.kind() == Io::Other && source.raw_os_error().is_none());
        let (file, cause) = (file.to_string(), source.to_string());
        if !is_decoder {
            return Self::Read { file, source };
        }
        // The frame is right, and asks for more than what is given here.
        if cause.contains("requires too much memory") || cause.contains("Dictionary mismatch") {
            let hint = "unpack it first, with zstd -d --long=31 or the dictionary that it was packed with";
            return Self::WrongFormat { file, cause: format!("zstd cannot unpack it: {cause}"), hint: hint.into() };
        }
        Self::Damaged { file, cause }
    }
}

/// What to do about a file that cannot be read.
fn reading_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "check the path; it was there a moment ago, or is a link to nothing",
        io::ErrorKind::PermissionDenied => "check the owner and the permissions of the file",
        _ => "check the disk or the share that holds it, and import again; nothing was stored",
    }
}

/// What to do about a rejects file that cannot be written.
fn writing_hint(source: &io::Error) -> &'static str {
    use io::ErrorKind as Io;
    match source.kind() {
        Io::NotFound | Io::NotADirectory => "make its directory first, or name another file for the rejects",
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::IsADirectory => "name a rejects file that you may write",
        Io::StorageFull | Io::QuotaExceeded => "free space, or name a rejects file on another disk; nothing was stored",
        _ => "name a rejects file on another disk; nothing was stored",
    }
}

/// Names in quotes with commas, cut after twenty.
fn list(names: &[String]) -> String {
    let mut text = names.iter().take(20).map(|name| format!("'{}'", one_line(name))).collect::<Vec<_>>().join(", ");
    if names.len() > 20 {
        let _ = write!(text, " and {} more", names.len() - 20);
    }
    if text.is_empty() { "none".into() } else { text }
}

fn first_rejects(first: &[Reject]) -> String {
    let mut text = String::from(" The first:");
    for reject in first {
        let _ = write!(text, "\n  {}, line {}: {}", reject.file, reject.line, one_line(&reject.reason));
    }
    text
}
