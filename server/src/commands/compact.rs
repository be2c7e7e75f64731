//! `trodden compact`: merges segments, and removes deleted events for good.

use super::print_line;
use crate::backend::BackendOptions;
use crate::cli::CompactArgs;
use crate::failure::Outcome;
use crate::words::{bytes, elapsed};
use std::time::Instant;

pub(super) fn run(arguments: &CompactArgs) -> Outcome {
    let backend = arguments.place.backend(&BackendOptions::default())?;
    let tables = match &arguments.table {
        Some(table) => vec![table.clone()],
        None => backend.table_names()?,
    };
    for table in tables {
        let started = Instant::now();
        let (before, after) = backend.compact(&table)?;
        let time = elapsed(started.elapsed());
        print_line(format!("{table}: {} before, {} after, in {time}", bytes(before), bytes(after)))?;
    }
    Ok(())
}
