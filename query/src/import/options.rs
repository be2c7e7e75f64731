//! What an import is told: files, format, mapping of columns, meaning of times, limits.

use std::path::PathBuf;
use std::str::FromStr;
use trodden_engine::types::ColumnType;

/// Rows of a file set from which types are inferred, unless the options say otherwise.
pub const SAMPLE_ROWS: u64 = 100_000;

/// The kind of a file, whatever its compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values. Another delimiter is found from the header or given.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// A JSON object a line.
    JsonLines,
}

impl FileFormat {
    /// The name as the options take it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::JsonLines => "jsonl",
        }
    }
}

impl FromStr for FileFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "tsv" | "tab" => Ok(Self::Tsv),
            "jsonl" | "json" | "ndjson" => Ok(Self::JsonLines),
            _ => Err(format!("'{text}' is no file format; use parquet, csv, tsv or jsonl")),
        }
    }
}

/// How a file is compressed as a whole. Parquet compresses inside and is always [`Compression::Plain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not compressed.
    Plain,
    /// gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
}

impl Compression {
    /// The name as the options take it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" | "plain" | "uncompressed" => Ok(Self::Plain),
            "gzip" | "gz" => Ok(Self::Gzip),
            "zstd" | "zst" => Ok(Self::Zstd),
            _ => Err(format!("'{text}' is no compression; use none, gzip or zstd")),
        }
    }
}

/// How the time column is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// Found from the values of each file; refused where it could be two things.
    #[default]
    Auto,
    /// RFC 3339 and its relatives: date, or date and time, with or without fraction and offset.
    Rfc3339,
    /// Seconds since 1970, with or without a fraction.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970, cut to microseconds.
    Nanos,
    /// A chrono format such as `%d/%m/%Y %H:%M`.
    Pattern(String),
}

impl TimeFormat {
    /// The name as the options take it.
    pub fn name(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::Rfc3339 => "rfc3339",
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Nanos => "ns",
            Self::Pattern(pattern) => pattern,
        }
    }
}

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "rfc3339" | "iso8601" | "iso" => Ok(Self::Rfc3339),
            "s" | "sec" | "seconds" => Ok(Self::Seconds),
            "ms" | "millis" | "milliseconds" => Ok(Self::Millis),
            "us" | "µs" | "micros" | "microseconds" => Ok(Self::Micros),
            "ns" | "nanos" | "nanoseconds" => Ok(Self::Nanos),
            _ if text.contains('%') => Ok(Self::Pattern(text.into())),
            _ => Err(format!(
                "'{text}' is no time format; use auto, rfc3339, s, ms, us, ns or a pattern such as '%d/%m/%Y %H:%M'"
            )),
        }
    }
}

/// The column type that is called `text`.
///
/// # Errors
/// A sentence with the types that there are.
pub fn parse_column_type(text: &str) -> Result<ColumnType, String> {
    match text.to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => Ok(ColumnType::Boolean),
        "BIGINT" | "INT" | "INTEGER" => Ok(ColumnType::BigInt),
        "DOUBLE" | "FLOAT" => Ok(ColumnType::Double),
        "TEXT" | "VARCHAR" | "STRING" => Ok(ColumnType::Text),
        "TIMESTAMP" => Ok(ColumnType::Timestamp),
        _ => Err(format!("'{text}' is no column type; the types are BOOLEAN, BIGINT, DOUBLE, TEXT and TIMESTAMP")),
    }
}

/// What happens to the columns that are neither user, time, event nor event id. Names are those of the file.
#[derive(Debug, Clone, Default)]
pub struct ColumnOptions {
    /// Only these become properties. Empty: all. A name may end in `*`.
    pub include: Vec<String>,
    /// These do not become properties. A name may end in `*`.
    pub exclude: Vec<String>,
    /// (name in the file, name in the table).
    pub rename: Vec<(String, String)>,
    /// (name in the file, type): not inferred, and a value that does not fit rejects its row.
    pub types: Vec<(String, ColumnType)>,
}

/// Everything that an import is told. [`Default`] is right for a file whose columns have the usual names.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Paths, globs, directories, or `-` for standard input.
    pub files: Vec<String>,
    /// Format of all files. `None`: by extension and content.
    pub format: Option<FileFormat>,
    /// Compression of all files. `None`: by extension and content.
    pub compression: Option<Compression>,
    /// The column with the user. `None`: `user_id`, else a well-known name.
    pub user: Option<String>,
    /// The column with the time. `None`: `ts`, else a well-known name.
    pub time: Option<String>,
    /// The column with the event name. `None`: `event`, else a well-known name.
    pub event: Option<String>,
    /// The column with the event id. `None`: `event_id`, else a well-known name, else none.
    pub id: Option<String>,
    /// The name of every event, for files without an event column.
    pub event_value: Option<String>,
    /// How the time column is to be read.
    pub time_format: TimeFormat,
    /// Where times without an offset were taken.
    pub time_zone: chrono_tz::Tz,
    /// What happens to the other columns.
    pub columns: ColumnOptions,
    /// Between the fields of CSV. `None`: found from the header.
    pub delimiter: Option<u8>,
    /// Whether CSV and TSV begin with a line of names. If not, the columns are `column_1`, `column_2`, …
    pub header: bool,
    /// Fields of CSV and TSV that mean NULL. An empty field always does.
    pub null_values: Vec<String>,
    /// Where rejected rows are written, as JSON lines. The file is replaced.
    pub rejects: Option<PathBuf>,
    /// More rejected rows than this stop the import, and nothing is stored.
    pub max_rejects: u64,
    /// Threads that decode and store. `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// Rows of the file set from which types are inferred.
    pub sample_rows: u64,
    /// Read and check everything, store nothing.
    pub dry_run: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            format: None,
            compression: None,
            user: None,
            time: None,
            event: None,
            id: None,
            event_value: None,
            time_format: TimeFormat::Auto,
            time_zone: chrono_tz::Tz::UTC,
            columns: ColumnOptions::default(),
            delimiter: None,
            header: true,
            null_values: Vec::new(),
            rejects: None,
            max_rejects: 0,
            threads: None,
            sample_rows: SAMPLE_ROWS,
            dry_run: false,
        }
    }
}

impl ImportOptions {
    /// The options to import `file` and nothing else.
    pub fn file(file: impl Into<String>) -> Self {
        Self { files: vec![file.into()], ..Self::default() }
    }
}

/// Whether `name` is one of `patterns`, each a name or a beginning followed by `*`.
pub(super) fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    })
}
