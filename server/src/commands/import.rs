//! `trodden import`: files into a table.

use super::print_line;
use super::reading::usage;
use crate::backend::{BackendOptions, NewTable, import_failed, import_trial};
use crate::cli::ImportArgs;
use crate::failure::Outcome;
use crate::interrupt::{Interrupt, Second};
use crate::progress::ImportBar;
use crate::tell;
use crate::terminal::Terminal;
use crate::words::{bytes, parse_duration_us};
use trodden_query::engine::types::TableOptions;
use trodden_query::import::{self, ImportOptions};

pub(super) fn run(arguments: ImportArgs, terminal: &Terminal) -> Outcome {
    let new_table = new_table(&arguments)?;
    let options = ImportOptions {
        rejects: arguments.rejects.clone(),
        threads: arguments.threads.map(|threads| threads as usize),
        dry_run: arguments.dry_run,
        ..arguments.reading.options()?
    };
    new_table.check(&arguments.table)?;
    let interrupt = Interrupt::watch(Second::Ends)?;
    let running = interrupt.begin();
    let bar = ImportBar::new(terminal, running.token());
    // Everything that can be wrong without a database is told before one is made.
    let files = import::prepare(&options, &bar).map_err(|error| import_failed(&error))?;
    // A trial does not open a database of this machine: nothing is written.
    let trial_db = arguments.place.db.as_ref().filter(|_| arguments.dry_run);
    if let Some(db) = trial_db {
        let summary = import_trial(db, &arguments.table, &new_table, files, &bar);
        bar.finish();
        return print_line(summary?.to_string());
    }
    let is_new = arguments.place.db.as_ref().is_some_and(|db| !db.exists());
    if is_new {
        files.check().map_err(|error| import_failed(&error))?;
    }
    let threads = arguments.threads.map(|threads| threads as usize);
    let backend = arguments.place.backend(&BackendOptions { create: true, threads, ..BackendOptions::default() })?;
    if arguments.dry_run {
        let summary = backend.import_trial(&arguments.table, &new_table, files, &bar);
        bar.finish();
        return print_line(summary?.to_string());
    }
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
