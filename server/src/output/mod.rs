//! Answers in the formats that people and programs read.

mod cells;
mod csv;
mod file;
mod json;
mod markdown;
mod parquet;
mod table;

pub use file::OutputFile;

use crate::terminal::Terminal;
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use clap::ValueEnum;
use std::io::{self, Write};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// Comma-separated values with a header line; NULL is empty, an empty text is "".
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line: timestamps in RFC 3339, lists as arrays.
    Jsonl,
    /// An Apache Parquet file, compressed with zstd.
    Parquet,
    /// A Markdown table.
    Markdown,
}

impl Format {
    /// The name as the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
            Self::Markdown => "markdown",
        }
    }
}

/// What was written of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows that the answer has.
    pub rows: u64,
    /// Rows that were written: fewer when a table for people was cut.
    pub shown: u64,
}

/// Writes one answer, batch by batch.
pub trait AnswerWriter {
    /// Writes the rows of `batch`, all of the same schema.
    ///
    /// # Errors
    /// Failures of the output.
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes what is left.
    ///
    /// # Errors
    /// Failures of the output.
    fn finish(self: Box<Self>) -> io::Result<Written>;
}

/// A writer of one answer with columns `schema` to `out`. `max_rows` bounds what a table shows.
///
/// # Errors
/// Failures of the output, and types that the format does not have.
pub fn writer<'a>(
    format: Format,
    schema: &SchemaRef,
    out: &'a mut (dyn Write + Send),
    terminal: &Terminal,
    max_rows: Option<usize>,
) -> io::Result<Box<dyn AnswerWriter + 'a>> {
    Ok(match format {
        Format::Table => Box::new(table::TableWriter::new(schema, out, *terminal, max_rows)),
        Format::Csv => Box::new(csv::CsvWriter::new(schema, out)?),
        Format::Json => Box::new(json::JsonWriter::array(schema, out)),
        Format::Jsonl => Box::new(json::JsonWriter::lines(schema, out)),
        Format::Markdown => Box::new(markdown::MarkdownWriter::new(schema, out)?),
        Format::Parquet => Box::new(parquet::ParquetWriter::new(schema, out)?),
    })
}

/// An Arrow failure as a failure of the output.
fn invalid(error: ArrowError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Buffered text goes out in pieces of about this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
