//! `trodden generate`: made-up events into a table or a file.

use super::print_line;
use crate::backend::{Backend, BackendOptions, NewTable};
use crate::cli::GenerateArgs;
use crate::failure::{Failure, Outcome};
use crate::generator::Generator;
use crate::output::{Format, OutputFile, writer};
use crate::report::Report;
use crate::terminal::Terminal;
use crate::words::{bytes, counted, elapsed, thousands};
use arrow_schema::ArrowError;
use std::fs;
use std::path::Path;
use std::time::Instant;

pub(super) fn run(arguments: &GenerateArgs, terminal: &Terminal) -> Outcome {
    match (&arguments.output, &arguments.db, &arguments.table) {
        (Some(path), _, _) => to_file(path, arguments, terminal),
        (None, Some(db), Some(table)) => to_table(db, table, arguments),
        // The command line asks for these already.
        _ => Err(Failure::usage("nowhere to put the events", "give --db DIR and --table NAME, or --output FILE")),
    }
}

fn to_table(db: &Path, table: &str, arguments: &GenerateArgs) -> Outcome {
    NewTable::default().check(table)?;
    let backend = Backend::open(db, &BackendOptions { create: true, ..BackendOptions::default() })?;
    let started = Instant::now();
    let mut generator = Generator::new(arguments.events, arguments.seed);
    // The same numbers give the same events, so a second run has nothing to add.
    let source = format!("trodden generate: {} events, seed {}", arguments.events, arguments.seed);
    let stored = backend.load(table, &source, &mut || generator.next_batch().map_err(|error| arrow(&error)))?;
    let Some(stored) = stored else {
        return print_line(format!("table {table} has these events already; nothing was added"));
    };
    let rate = stored as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let size = backend.size_on_disk(table)?;
    let events = counted(stored, "event");
    print_line(format!(
        "generated {events} into table {table} in {} ({} events/s); it takes {} on disk",
        elapsed(started.elapsed()),
        thousands(rate as u64),
        bytes(size)
    ))
}

fn to_file(path: &Path, arguments: &GenerateArgs, terminal: &Terminal) -> Outcome {
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => Format::Parquet,
        Some("csv") => Format::Csv,
        Some("jsonl" | "ndjson") => Format::Jsonl,
        _ => {
            let message = format!("the name {} does not tell the format", path.display());
            return Err(Failure::usage(message, "let it end in .parquet, .csv or .jsonl"));
        }
    };
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    let started = Instant::now();
    let mut file = OutputFile::create(path)?;
    let mut generator = Generator::new(arguments.events, arguments.seed);
    let mut writer = writer(format, &Generator::schema(), &mut file, terminal, None).map_err(failed)?;
    while let Some(batch) = generator.next_batch().map_err(|error| arrow(&error))? {
        writer.write(&batch).map_err(failed)?;
    }
    let written = writer.finish().map_err(failed)?;
    file.finish()?;
    let size = fs::metadata(path).map_err(failed)?.len();
    let events = counted(written.rows, "event");
    print_line(format!("wrote {events} to {} in {} ({})", path.display(), elapsed(started.elapsed()), bytes(size)))
}

fn arrow(error: &ArrowError) -> Failure {
    Failure::Failed(Report::error(format!("the generator failed: {error}")))
}
