//! Cleaning at the door, the same for every door: rules before a batch is stored, and what is counted once it is.

use crate::watch::metrics::{INGEST_REJECTED, RULES};
use metrics::counter;
use trodden_query::engine::EventBatch;
use trodden_query::engine::Table;
use trodden_query::engine::table::Appended;
use trodden_query::rules::{Cleaned, Counted, Outcome, Rejected};
use trodden_query::{Database, Result};

/// Applies the rules of a table to a batch that is to be stored. `agent`: the user agent of the request, where it is that of
/// the user.
///
/// # Errors
/// `UnsupportedFormat` where a rule cannot be read, so that nothing may be stored; `InvalidInput` and `Unsupported` for a batch
/// that no table takes.
pub fn clean(database: &Database, table: &Table, batch: EventBatch, agent: Option<&str>) -> Result<Cleaned> {
    database.rules(table.name())?.apply(batch, agent)
}

/// Counts what rules did to a batch that is stored now. The answer is what the sender is to be told.
pub fn stored(door: &'static str, table: &str, outcome: Outcome) -> Vec<Rejected> {
    let Outcome { rejected, counts, taken, .. } = outcome;
    taken.keep();
    count(table, counts);
    if !rejected.is_empty() {
        counter!(INGEST_REJECTED, "door" => door, "reason" => "rule").increment(rejected.len() as u64);
    }
    rejected
}

/// Counts what rules did.
pub fn count(table: &str, counts: Vec<Counted>) {
    for Counted { rule, action, events } in counts {
        counter!(RULES, "table" => table.to_owned(), "rule" => rule, "action" => action).increment(events);
    }
}

/// Appends batches that belong together, each after the rules. The answer is what was stored, and what was not.
///
/// # Errors
/// What the rules and the table say. The batches before that are stored.
pub fn append(
    door: &'static str,
    database: &Database,
    table: &Table,
    batches: Vec<EventBatch>,
) -> Result<(Appended, Vec<Rejected>)> {
    let (mut total, mut all_rejected) = (Appended::default(), Vec::new());
    for batch in batches {
        let Cleaned { batch, outcome } = clean(database, table, batch, None)?;
        if !batch.is_empty() {
            let appended = table.append(batch)?;
            total.accepted += appended.accepted;
            total.duplicates += appended.duplicates;
        }
        all_rejected.extend(stored(door, table.name(), outcome));
    }
    Ok((total, all_rejected))
}
