//! `COPY t FROM 'file' (…)`: an import, told in SQL; and what went wrong with a `COPY … TO`.

use super::{blocking, counts};
use crate::error::{Error, ErrorKind, Result};
use crate::import::{
    FileFormat, FileOutcome, ImportError, ImportOptions, ImportSummary, Progress, TimeFormat, import, parse_column_type,
};
use crate::result::QueryResult;
use crate::run::Runner;
use crate::sql::statement::{NamedOption, option_text, unknown_option};
use crate::warnings::{StatementState, Warning};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::ObjectName;
use futures::StreamExt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

const OPTIONS: [&str; 19] = [
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
    "rename",
    "types",
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
    for message in notes(&summary) {
        runner.statement.warn(Warning { message, hint: None });
    }
    let told = [summary.rows, summary.accepted, summary.duplicates, summary.rejected, summary.skipped() as u64];
    let told = told.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    counts(&runner.statement, "COPY", &std::array::from_fn::<_, 5, _>(|place| (COUNTS[place], told[place])))
}

/// What a `COPY … FROM` counts.
pub(super) const COUNTS: [&str; 5] = ["rows", "accepted", "duplicates", "rejected", "files_skipped"];

/// What the import chose and refused, as it has to be said beside the counts.
fn notes(summary: &ImportSummary) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(file) = summary.files.iter().find(|file| file.outcome == FileOutcome::Imported) {
        notes.push(format!("{}: {}", file.path, file.mapping.join(", ")));
    }
    let columns = summary.columns.iter().map(|column| {
        let column_type = column.column_type.map_or("left out", |column_type| column_type.sql_name());
        format!("{} {column_type} ({})", column.name, column.chosen_from)
    });
    let columns: Vec<String> = columns.collect();
    if !columns.is_empty() && summary.rows > 0 {
        notes.push(format!("columns: {}", columns.join(", ")));
    }
    for reject in &summary.first_rejects {
        notes.push(format!("rejected: {}, line {}: {}", reject.file, reject.line, reject.reason));
    }
    notes.extend(summary.notes.iter().cloned());
    notes
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
            "rename" => options.columns.rename = pairs(option, &text)?,
            "types" => {
                let typed = pairs(option, &text)?.into_iter().map(|(name, text)| {
                    let found = parse_column_type(&text).map_err(|error| Error::invalid(error).at(option.span))?;
                    Ok((name, found))
                });
                options.columns.types = typed.collect::<Result<_>>()?;
            }
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

/// `a=b, c=d`.
fn pairs(option: &NamedOption, text: &str) -> Result<Vec<(String, String)>> {
    let pair = |item: &str| match item.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(Error::invalid(format!("{}: '{}' is no pair", option.name, item.trim()))
            .with_hint("write COLUMN=VALUE, with commas between several: 'zip=TEXT, total=DOUBLE'")
            .at(option.span)),
    };
    text.split(',').map(pair).collect()
}

fn delimiter(option: &NamedOption, text: &str) -> Result<u8> {
    match (text, text.as_bytes()) {
        ("\\t", _) => Ok(b'\t'),
        (_, [byte]) => Ok(*byte),
        _ => Err(Error::invalid(format!("the delimiter is one character, not '{text}'")).at(option.span)),
    }
}

/// The rows of a `COPY … TO target`. Of a file that could not be finished DataFusion tells no cause; it is looked for.
pub(crate) fn explained(rows: SendableRecordBatchStream, target: String) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let explain = move |error: DataFusionError| {
        if !error.to_string().contains("Error encountered while finalizing writes") {
            return error;
        }
        let source = try_to_write(&target).err();
        let source = source.unwrap_or_else(|| std::io::Error::other("the file could not be finished"));
        Error::of_io(&format!("writing '{target}'"), source).into()
    };
    Box::pin(RecordBatchStreamAdapter::new(schema, rows.map(move |batch| batch.map_err(&explain))))
}

/// Why a file at `target` cannot be written: an attempt to write another one beside it, which goes again at once.
fn try_to_write(target: &str) -> std::io::Result<()> {
    let path = Path::new(target.strip_prefix("file://").unwrap_or(target));
    let directory = path.ancestors().skip(1).find(|directory| directory.is_dir()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&vec![0; 1 << 20])?;
    file.as_file().sync_all()
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
    let error = Error::new(kind, error.message());
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
