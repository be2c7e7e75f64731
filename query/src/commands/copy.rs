//! `COPY t FROM 'file' (…)`: an import, told in SQL.

use super::{blocking, counts};
use crate::error::{Error, ErrorKind, Result};
use crate::import::{FileFormat, ImportError, ImportOptions, Progress, TimeFormat, import};
use crate::result::QueryResult;
use crate::run::Runner;
use crate::sql::statement::{NamedOption, option_text, unknown_option};
use crate::warnings::{StatementState, Warning};
use datafusion::sql::sqlparser::ast::ObjectName;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

const OPTIONS: [&str; 17] = [
    "format",
    "compression",
    "user",
    "time",
    "event",
    "id",
    "event_value",
    "time_format",
    "time_zone",
    "delimiter",
    "header",
    "null",
    "include",
    "exclude",
    "rejects",
    "max_rejects",
    "sample_rows",
];

/// Run a `COPY … FROM`.
///
/// # Errors
/// At the option that is wrong, and what the import says; nothing is stored then.
pub(crate) async fn copy_from(
    runner: Runner<'_>,
    table: &ObjectName,
    files: &[String],
    options: &[NamedOption],
) -> Result<QueryResult> {
    let table = runner.shared.catalog.table(table)?;
    let mut import_options = import_options(options)?;
    import_options.files = files.to_vec();
    import_options.threads = Some(runner.shared.options.threads);
    let state = Arc::clone(&runner.statement);
    let summary = blocking(move || {
        let progress = Watched(state);
        import(&table, &import_options, &progress).map_err(from_import)
    })
    .await?;
    for note in &summary.notes {
        runner.statement.warn(Warning { message: note.clone(), hint: None });
    }
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    counts(
        &runner.statement,
        "COPY",
        &[
            ("rows", count(summary.rows)),
            ("accepted", count(summary.accepted)),
            ("duplicates", count(summary.duplicates)),
            ("rejected", count(summary.rejected)),
            ("files_skipped", count(summary.skipped() as u64)),
        ],
    )
}

/// Stops the import when the statement is cancelled.
struct Watched(Arc<StatementState>);

impl Progress for Watched {
    fn begin(&self, _bytes_total: u64) {}

    fn advance(&self, _bytes: u64, _rows: u64) {}

    fn note(&self, message: &str) {
        self.0.warn(Warning { message: message.into(), hint: None });
    }

    fn cancelled(&self) -> bool {
        self.0.check_cancelled().is_err()
    }
}

fn import_options(given: &[NamedOption]) -> Result<ImportOptions> {
    let mut options = ImportOptions::default();
    for option in given {
        let text = option_text(option)?;
        let list = || text.split(',').map(|item| item.trim().to_string()).collect::<Vec<_>>();
        match option.name.as_str() {
            "format" => options.format = Some(read::<FileFormat>(option, &text)?),
            "compression" => options.compression = Some(read(option, &text)?),
            "user" => options.user = Some(text),
            "time" => options.time = Some(text),
            "event" => options.event = Some(text),
            "id" => options.id = Some(text),
            "event_value" => options.event_value = Some(text),
            "time_format" => options.time_format = read::<TimeFormat>(option, &text)?,
            "time_zone" => {
                options.time_zone = text.parse().map_err(|_| {
                    Error::invalid(format!("'{text}' is no time zone"))
                        .with_hint("'Europe/Berlin', 'UTC'")
                        .at(option.span)
                })?;
            }
            "delimiter" => options.delimiter = Some(delimiter(option, &text)?),
            "header" => options.header = read(option, &text.to_lowercase())?,
            "null" => options.null_values = list(),
            "include" => options.columns.include = list(),
            "exclude" => options.columns.exclude = list(),
            "rejects" => options.rejects = Some(PathBuf::from(text)),
            "max_rejects" => options.max_rejects = read(option, &text)?,
            "sample_rows" => options.sample_rows = read(option, &text)?,
            other => return Err(unknown_option(other, &OPTIONS, option.span)),
        }
    }
    Ok(options)
}

fn read<T: FromStr<Err: std::fmt::Display>>(option: &NamedOption, text: &str) -> Result<T> {
    text.parse().map_err(|error| Error::invalid(format!("{}: '{text}': {error}", option.name)).at(option.span))
}

fn delimiter(option: &NamedOption, text: &str) -> Result<u8> {
    match (text, text.as_bytes()) {
        ("\\t", _) => Ok(b'\t'),
        (_, [byte]) => Ok(*byte),
        _ => Err(Error::invalid(format!("the delimiter is one character, not '{text}'")).at(option.span)),
    }
}

fn from_import(error: ImportError) -> Error {
    let hint = error.hint();
    let kind = match &error {
        ImportError::Engine(_) => {
            let ImportError::Engine(engine) = error else { return Error::internal("an error of the engine") };
            return Error::from(engine);
        }
        ImportError::Cancelled => ErrorKind::Cancelled,
        ImportError::NoFile { .. } => ErrorKind::NotFound,
        other if other.is_invalid_input() => ErrorKind::InvalidInput,
        _ => ErrorKind::Io,
    };
    let error = Error::new(kind, error.to_string());
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
