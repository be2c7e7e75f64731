//! `trodden import`: files into a table.

use super::print_line;
use crate::backend::{Backend, BackendOptions, NewTable, import_failed, import_trial};
use crate::cli::ImportArgs;
use crate::failure::{Failure, Outcome};
use crate::interrupt::{Interrupt, Second};
use crate::progress::ImportBar;
use crate::tell;
use crate::terminal::Terminal;
use crate::words::{bytes, parse_duration_us};
use trodden_query::engine::types::{ColumnType, TableOptions};
use trodden_query::import::{self, ColumnOptions, ImportOptions};

pub(super) fn run(arguments: ImportArgs, terminal: &Terminal) -> Outcome {
    let new_table = new_table(&arguments)?;
    let options = import_options(&arguments)?;
    new_table.check(&arguments.table)?;
    let interrupt = Interrupt::watch(Second::Ends)?;
    let running = interrupt.begin();
    let bar = ImportBar::new(terminal, running.token());
    let db = &arguments.db.db;
    // Everything that can be wrong without a database is told before one is made.
    let files = import::prepare(&options, &bar).map_err(|error| import_failed(&error))?;
    if arguments.dry_run {
        let summary = import_trial(db, &arguments.table, &new_table, files, &bar);
        bar.finish();
        return print_line(summary?.to_string());
    }
    let is_new = !db.exists();
    if is_new {
        files.check().map_err(|error| import_failed(&error))?;
    }
    let threads = arguments.threads.map(|threads| threads as usize);
    let backend = Backend::open(db, &BackendOptions { create: true, threads, ..BackendOptions::default() })?;
    let imported = backend.import(&arguments.table, &new_table, files, &bar);
    bar.finish();
    imported.warnings.iter().for_each(|warning| tell(warning, terminal));
    if imported.outcome.is_err() && is_new {
        backend.discard();
    }
    let summary = imported.outcome?;
    print_line(summary.to_string())?;
    if let Some(path) = arguments.rejects.filter(|_| summary.rejected > 0) {
        print_line(format!("rejected rows are in {}", path.display()))?;
    }
    if summary.accepted > 0 {
        let size = backend.size_on_disk(&arguments.table)?;
        print_line(format!("table {} takes {} on disk", arguments.table, bytes(size)))?;
    }
    Ok(())
}

/// What a new table is told.
fn new_table(arguments: &ImportArgs) -> Outcome<NewTable> {
    let time = |flag: &str, text: &Option<String>| {
        let read = |text: &String| parse_duration_us(text).map_err(|error| usage(flag, &error));
        text.as_ref().map(read).transpose()
    };
    if let Some(zone) = &arguments.table_time_zone {
        let options = TableOptions { time_zone: zone.clone(), ..TableOptions::default() };
        options.tz().map_err(|error| usage("--table-time-zone", error.message()))?;
    }
    Ok(NewTable {
        shards: arguments.shards,
        time_zone: arguments.table_time_zone.clone(),
        dedup_window_us: time("--dedup-window", &arguments.dedup_window)?,
        retention_us: time("--retention", &arguments.retention)?,
        strict: arguments.strict,
    })
}

fn import_options(arguments: &ImportArgs) -> Outcome<ImportOptions> {
    let parsed = |flag: &'static str| move |error: String| usage(flag, &error);
    let zone = arguments.time_zone.parse().map_err(|_| {
        let message = format!("--time-zone: '{}' is no time zone", arguments.time_zone);
        Failure::usage(message, "use an IANA name such as 'Europe/Berlin' or 'UTC'")
    })?;
    let delimiter = arguments.delimiter.map(|letter| {
        u8::try_from(letter).ok().filter(u8::is_ascii).ok_or_else(|| {
            Failure::usage(format!("--delimiter: '{letter}' is no single byte"), "use one such as ';' or '|'")
        })
    });
    let types = arguments.types.iter().map(|(name, text)| Ok((name.clone(), column_type(text)?)));
    Ok(ImportOptions {
        files: arguments.files.clone(),
        format: arguments.format.as_deref().map(str::parse).transpose().map_err(parsed("--format"))?,
        compression: arguments.compression.as_deref().map(str::parse).transpose().map_err(parsed("--compression"))?,
        user: arguments.user.clone(),
        time: arguments.time.clone(),
        event: arguments.event.clone(),
        id: arguments.id.clone(),
        event_value: arguments.event_value.clone(),
        time_format: arguments.time_format.parse().map_err(parsed("--time-format"))?,
        time_zone: zone,
        columns: ColumnOptions {
            include: arguments.columns.clone(),
            exclude: arguments.exclude.clone(),
            rename: arguments.rename.clone(),
            types: types.collect::<Outcome<_>>()?,
        },
        delimiter: delimiter.transpose()?,
        header: !arguments.no_header,
        null_values: arguments.null_values.clone(),
        rejects: arguments.rejects.clone(),
        max_rejects: arguments.max_rejects,
        threads: arguments.threads.map(|threads| threads as usize),
        dry_run: arguments.dry_run,
        ..ImportOptions::default()
    })
}

fn column_type(text: &str) -> Outcome<ColumnType> {
    match text.to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => Ok(ColumnType::Boolean),
        "BIGINT" | "INT" | "INTEGER" => Ok(ColumnType::BigInt),
        "DOUBLE" | "FLOAT" => Ok(ColumnType::Double),
        "TEXT" | "VARCHAR" | "STRING" => Ok(ColumnType::Text),
        "TIMESTAMP" => Ok(ColumnType::Timestamp),
        _ => Err(Failure::usage(
            format!("--type: '{text}' is no column type"),
            "the types are BOOLEAN, BIGINT, DOUBLE, TEXT and TIMESTAMP",
        )),
    }
}

/// Wrong usage of `flag`; words after a semicolon are the way out.
fn usage(flag: &str, error: &str) -> Failure {
    let (message, hint) = error.split_once("; ").unwrap_or((error, "trodden import --help shows examples"));
    Failure::usage(format!("{flag}: {message}"), hint)
}
