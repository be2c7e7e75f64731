//! Taking the moment. All tables are held at once for as long as it takes to see what each has; that is made durable after
//! writers go on, and what they write meanwhile is not part of it.
//!
//! Profiles and events of a deletion or of an update that is under way may be on two sides of the moment. A reader may see
//! the same, and so may who opens the database after a crash: see `table/profiles`.

use super::{Backup, BackupFile};
use crate::engine::{Engine, FORMAT_FILE};
use crate::error::Result;
use crate::stop::{self, Stop};
use crate::storage::Blob;
use crate::table::{Frozen, NoWrites, Still, Table};
use std::sync::Arc;
use std::time::Duration;

/// How long one table is waited for while others are held. A flush is over by then, and a compaction may not be.
const PATIENCE: Duration = Duration::from_secs(1);

/// What all tables, the definitions and the format were at one moment.
struct Moment<'a> {
    tables: Vec<Frozen<'a>>,
    /// Names and bytes of the files that are of no table.
    others: Vec<(String, Blob)>,
}

/// What came of holding all tables.
enum Held<'a> {
    All(Moment<'a>),
    /// This one was busy for too long.
    Busy(&'a Table),
}

/// The files of a moment between the call and its return.
pub(super) fn take(engine: &Engine, stop: Stop<'_>) -> Result<Backup> {
    // So that little is left to write while the tables are held.
    engine.all_tables().iter().try_for_each(|table| table.empty_memory(stop))?;
    loop {
        stop::check(stop)?;
        // What is made or dropped meanwhile is there or not as a whole.
        let creation = engine.hold_creation();
        let tables = engine.all_tables();
        let held = hold(engine, &tables)?;
        drop(creation);
        match held {
            Held::All(moment) => {
                let events = tables.iter().filter(|table| table.profiles_of().is_none());
                return Ok(Backup { tables: events.count() as u64, files: pin(moment)? });
            }
            Held::Busy(table) => table.wait_until_free(stop)?,
        }
    }
}

/// Hold every table, see what it has, and let writers go on.
fn hold<'a>(engine: &Engine, tables: &'a [Arc<Table>]) -> Result<Held<'a>> {
    let format = (FORMAT_FILE.to_string(), engine.store().get(FORMAT_FILE)?);
    let mut still: Vec<Still<'a>> = Vec::with_capacity(tables.len());
    for table in tables {
        match table.hold_still(PATIENCE) {
            Some(held) => still.push(held),
            None => return Ok(Held::Busy(table)),
        }
    }
    let mut no_writes: Vec<NoWrites<'a>> = Vec::with_capacity(tables.len());
    for (table, still) in tables.iter().zip(&still) {
        match still.hold_writes(PATIENCE) {
            Some(held) => no_writes.push(held),
            None => return Ok(Held::Busy(table)),
        }
    }
    no_writes.iter().try_for_each(NoWrites::drain)?;
    let tables = still.into_iter().map(Still::freeze).collect::<Result<_>>()?;
    let definitions = engine.stored_definitions().map(|(name, bytes)| (name, Blob::from(bytes)));
    Ok(Held::All(Moment { tables, others: definitions.into_iter().chain([format]).collect() }))
}

/// Make the moment durable, one table after the other, and hold its files.
fn pin(moment: Moment<'_>) -> Result<Vec<BackupFile>> {
    let mut files = Vec::new();
    for table in moment.tables {
        files.extend(table.pin()?);
    }
    files.extend(moment.others);
    Ok(files.into_iter().map(|(name, blob)| BackupFile { name, blob }).collect())
}
