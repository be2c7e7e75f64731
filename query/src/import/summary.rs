//! What an import reports: while it runs, and at its end.

use super::options::{Compression, FileFormat};
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use trodden_engine::types::ColumnType;

/// Told how far an import is. Called from several threads.
pub trait Progress: Sync {
    /// The files are looked at before the first row is taken: names, types, whether they were imported before. So
    /// `bytes_total` will be read from disk, and told to [`Progress::advance`] with 0 rows.
    fn preparing(&self, bytes_total: u64) {
        self.begin(bytes_total);
    }
    /// A pass over the files begins; `bytes_total` is what it will read from disk. Called again when the files have to
    /// be read again.
    fn begin(&self, bytes_total: u64);
    /// `bytes` more were read from disk, and `rows` more were taken.
    fn advance(&self, bytes: u64, rows: u64);
    /// Something that a person at the terminal wants to know now, such as why the files are read again.
    fn note(&self, message: &str);
    /// The last pass is over; the engine now makes the events durable and visible.
    fn committing(&self) {}
    /// Whether the import should stop. Asked every few thousand rows, and while it sorts and writes at its end.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A [`Progress`] that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _bytes_total: u64) {}
    fn advance(&self, _bytes: u64, _rows: u64) {}
    fn note(&self, _message: &str) {}
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// Path of the file.
    pub file: String,
    /// Line at which the row begins, from 1; in Parquet the number of the row, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The row as the file has it (Parquet: as JSON), cut after 1 MiB.
    pub row: String,
}

/// A file of the import.
#[derive(Debug, Clone)]
pub struct FileReport {
    /// Its path.
    pub path: String,
    /// Its format.
    pub format: FileFormat,
    /// Its compression.
    pub compression: Compression,
    /// Its size on disk.
    pub bytes: u64,
    /// What happened to it.
    pub outcome: FileOutcome,
    /// Which columns play the fixed parts, with the reason where it was not told: "user = 'case' (told)".
    pub mapping: Vec<String>,
}

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOutcome {
    /// Its rows were taken.
    Imported,
    /// The same content was imported before with the same mapping, so nothing was taken.
    AlreadyImported,
    /// The same content as an earlier file of this import.
    SameAs(String),
    /// It has no row.
    NoRows,
}

/// A property column and how its type was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnReport {
    /// Name in the table.
    pub name: String,
    /// Type of its values in this import. `None`: no row has a value, so the column was left out.
    pub column_type: Option<ColumnType>,
    /// What the type was chosen from: "100000 rows: BIGINT 99998, empty 2".
    pub chosen_from: String,
}

/// What an import did.
#[derive(Debug, Clone)]
pub struct ImportSummary {
    /// All files in the order in which they were taken.
    pub files: Vec<FileReport>,
    /// Property columns in the order of the files.
    pub columns: Vec<ColumnReport>,
    /// Rows of the files that were not skipped.
    pub rows: u64,
    /// Events stored.
    pub accepted: u64,
    /// Events that the table had already, by their event id.
    pub duplicates: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// The first rejected rows, at most five.
    pub first_rejects: Vec<Reject>,
    /// Segments written.
    pub segments: u64,
    /// Bytes of these segments.
    pub segment_bytes: u64,
    /// Bytes of the imported files on disk.
    pub bytes: u64,
    /// Times that the files were read again because a late row contradicted the types of the sample.
    pub restarts: u32,
    /// What a reader should know: aliases taken, columns renamed, types widened.
    pub notes: Vec<String>,
    /// Time from call to return.
    pub elapsed: Duration,
    /// Whether nothing was stored because only a trial was asked for.
    pub dry_run: bool,
}

impl ImportSummary {
    /// Events stored a second.
    pub fn events_per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Number of files that were imported before.
    pub fn skipped(&self) -> usize {
        let skipped =
            |file: &&FileReport| matches!(file.outcome, FileOutcome::AlreadyImported | FileOutcome::SameAs(_));
        self.files.iter().filter(skipped).count()
    }
}

/// The summary as a person reads it, several lines, without a line end at the end.
impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run { "would import" } else { "imported" };
        write!(f, "{verb} {} events from {}", thousands(self.accepted), files(self.files.len() - self.skipped()))?;
        write!(f, " in {:.2} s", self.elapsed.as_secs_f64())?;
        if !self.dry_run && self.accepted > 0 {
            write!(f, " ({} events/s, {})", thousands(self.events_per_second() as u64), self.size())?;
        }
        for (count, what) in [(self.duplicates, "duplicates dropped"), (self.rejected, "rows rejected")] {
            if count > 0 {
                write!(f, "\n{} {what}", thousands(count))?;
            }
        }
        for reject in &self.first_rejects {
            write!(f, "\n  {}, line {}: {}", reject.file, reject.line, one_line(&reject.reason))?;
        }
        for file in &self.files {
            match &file.outcome {
                FileOutcome::Imported => {}
                FileOutcome::AlreadyImported => write!(f, "\n{}: already imported, skipped", file.path)?,
                FileOutcome::SameAs(other) => write!(f, "\n{}: same content as {other}, skipped", file.path)?,
                FileOutcome::NoRows => write!(f, "\n{}: no rows", file.path)?,
            }
        }
        if let Some(file) = self.files.iter().find(|file| file.outcome == FileOutcome::Imported) {
            write!(f, "\nmapping: {}", one_line(&file.mapping.join(", ")))?;
        }
        for column in &self.columns {
            let column_type = column.column_type.map_or("left out", ColumnType::sql_name);
            write!(f, "\n  {} {column_type} ({})", one_line(&column.name), one_line(&column.chosen_from))?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {}", one_line(note)))
    }
}

impl ImportSummary {
    fn size(&self) -> String {
        format!("{} segments, {:.1} bytes/event", self.segments, self.segment_bytes as f64 / self.accepted as f64)
    }
}

/// `text` with its control characters written out: what stands in a file must neither break a line nor steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter.is_control() {
            true => out.extend(letter.escape_default()),
            false => out.push(letter),
        }
    }
    out
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".into() } else { format!("{} files", thousands(count as u64)) }
}

/// `1234567` as `1,234,567`.
fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
