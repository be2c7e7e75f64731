//! What can go wrong in an import: the file, the place in it, the cause, and the way out.

use super::summary::{Reject, one_line};
use std::fmt::Write as _;
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
        source: std::io::Error,
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
        /// `include`, `exclude`, `rename` or `types`.
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
        source: std::io::Error,
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
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoFile { .. } => "check the path; quote a glob so that the shell leaves it alone",
            Self::BadGlob { .. } => "in a glob, '[' and '*' have meanings; write '[[]' for a bracket",
            Self::UnknownFormat { .. } => "name the format: parquet, csv, tsv or jsonl",
            Self::WrongFormat { hint, .. }
            | Self::Mapping { hint, .. }
            | Self::UnclearTime { hint, .. }
            | Self::Option { hint, .. } => hint,
            Self::Damaged { .. } => "copy the file again from where it came; nothing was stored",
            Self::Empty { .. } => "check that the file was written to its end",
            Self::EndlessRow { .. } => "look at the quotes in that line",
            Self::UnknownColumn { nearest: Some(nearest), .. } => return Some(format!("did you mean '{nearest}'?")),
            Self::DuplicateColumn { .. } => "give each column a name of its own, or rename one in the options",
            Self::TooManyColumns { .. } => "leave some out, such as exclude 'items.*'",
            Self::UnsupportedType { column, .. } => return Some(format!("leave it out: exclude '{column}'")),
            Self::StrictTable { .. } => "add the columns with ALTER TABLE … ADD COLUMN, or exclude them",
            Self::TooManyRejects { written_to: Some(path), .. } => {
                return Some(format!("all are in {}; correct the rows, or allow more rejects", path.display()));
            }
            Self::TooManyRejects { .. } => "correct the rows, or allow more rejects; a rejects file shows them all",
            Self::Changed { .. } => "import a file that nothing writes to; nothing was stored",
            Self::Engine(error) => return error.hint().map(String::from),
            Self::Read { .. }
            | Self::UnknownColumn { .. }
            | Self::Rejects { .. }
            | Self::Cancelled
            | Self::Reader { .. } => return None,
        };
        Some(text.to_string())
    }

    /// Whether the caller can mend it by other options or another file, as against a failure of the machine.
    pub fn is_invalid_input(&self) -> bool {
        match self {
            Self::Engine(error) => error.kind() == trodden_engine::error::ErrorKind::InvalidInput,
            Self::Read { .. } | Self::Rejects { .. } | Self::Cancelled | Self::Reader { .. } => false,
            _ => true,
        }
    }

    /// The failure of reading `file`: a decoder that met damaged bytes, or the operating system.
    pub(super) fn reading(file: &str, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match source.kind() {
            Io::UnexpectedEof | Io::InvalidData | Io::InvalidInput => {
                Self::Damaged { file: file.into(), cause: source.to_string() }
            }
            // zstd reports damaged frames as "other" errors without an error number of the system.
            Io::Other if source.raw_os_error().is_none() => {
                Self::Damaged { file: file.into(), cause: source.to_string() }
            }
            _ => Self::Read { file: file.into(), source },
        }
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
