//! `trodden check`: every checksum and every invariant.

use super::print_line;
use crate::backend;
use crate::cli::CheckArgs;
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;
use crate::words::{counted, elapsed};
use indicatif::{ProgressBar, ProgressDrawTarget};
use std::time::{Duration, Instant};

/// How often the sign of life moves.
const TICK: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &CheckArgs, terminal: &Terminal) -> Outcome {
    let started = Instant::now();
    let spinner = ProgressBar::hidden();
    if terminal.stderr {
        spinner.set_draw_target(ProgressDrawTarget::stderr());
        spinner.set_message("reading every byte …");
        spinner.enable_steady_tick(TICK);
    }
    let checked = backend::check(&arguments.db.db);
    spinner.finish_and_clear();
    let checked = checked?;
    for finding in &checked.findings {
        print_line(format!("broken: {finding}"))?;
    }
    let closed = if checked.opens { "" } else { ", which cannot be opened" };
    let what = format!("{} of {}{closed}", counted(checked.tables, "table"), arguments.db.db.display());
    let time = elapsed(started.elapsed());
    if checked.findings.is_empty() {
        return print_line(format!("{what}: every checksum and invariant holds (checked in {time})"));
    }
    let found = counted(checked.findings.len() as u64, "finding");
    print_line(format!("{what}: {found} (checked in {time})"))?;
    Err(Failure::Told)
}
