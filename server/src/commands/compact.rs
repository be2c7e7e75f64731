//! `trodden compact`: merges segments, and removes deleted events for good.

use super::print_line;
use crate::backend::{Backend, BackendOptions};
use crate::cli::CompactArgs;
use crate::failure::Outcome;
use crate::words::{bytes, elapsed};
use std::time::Instant;

pub(super) fn run(arguments: &CompactArgs) -> Outcome {
    let backend = Backend::open(&arguments.db.db, &BackendOptions::default())?;
    let tables = match &arguments.table {
        Some(table) => vec![table.clone()],
        None => backend.table_names(),
    };
    for table in tables {
        let before = backend.size_on_disk(&table)?;
        let started = Instant::now();
        backend.compact(&table)?;
        let after = backend.size_on_disk(&table)?;
        let time = elapsed(started.elapsed());
        print_line(format!("{table}: {} before, {} after, in {time}", bytes(before), bytes(after)))?;
    }
    Ok(())
}
