//! `trodden backup`: a copy as of one moment.

use super::print_line;
use crate::backend::BackendOptions;
use crate::cli::BackupArgs;
use crate::failure::Outcome;
use crate::interrupt::{Interrupt, Second};
use crate::progress::CopyBar;
use crate::report::Report;
use crate::tell;
use crate::terminal::Terminal;
use crate::words::{bytes, counted, elapsed};
use std::time::Instant;
use trodden_query::BackedUp;

pub(super) fn run(arguments: &BackupArgs, terminal: &Terminal) -> Outcome {
    let interrupt = Interrupt::watch(Second::Ends)?;
    let backend = arguments.place.backend(&BackendOptions::default())?;
    let started = Instant::now();
    let (bar, target) = (CopyBar::new(terminal), &arguments.target);
    let was_empty = is_empty(target);
    let copied = backend.backup(target, &bar, &interrupt.begin());
    bar.finish();
    if copied.is_err() && was_empty && !is_empty(target) {
        let half = Report::warning(format!("{} has a part of a copy, which is no database", target.display()));
        tell(&half.with_hint("remove it before the next attempt"), terminal);
    }
    let BackedUp { tables, files, bytes: size } = copied?;
    let (target, time) = (target.display(), elapsed(started.elapsed()));
    let (tables, files) = (counted(tables, "table"), counted(files, "file"));
    print_line(format!("{tables} copied to {target}: {files}, {}, in {time}", bytes(size)))?;
    print_line(format!("trodden check --db {target} verifies it, and trodden serve --db {target} serves it"))
}

/// Whether there is nothing but the lock of who copies.
fn is_empty(target: &std::path::Path) -> bool {
    let Ok(entries) = std::fs::read_dir(target) else { return true };
    entries.flatten().all(|entry| entry.file_name() == "LOCK")
}
