//! Imports: into a table that is there, into a new one, or as a trial.

use super::place::{failed, told};
use super::{Backend, Source};
use crate::failure::{Failure, Outcome};
use crate::report::Report;
use crate::words::duration;
use arrow_array::RecordBatch;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use trodden_query::engine::engine::check_table;
use trodden_query::engine::types::{Schema, TableOptions};
use trodden_query::engine::{Table, TableOutline};
use trodden_query::import::{ImportError, ImportSummary, Prepared, Progress};
use trodden_query::{Database, Error};

/// What the command line says of a new table. What it does not say is `None`.
#[derive(Debug, Clone, Default)]
pub struct NewTable {
    /// `--shards`.
    pub shards: Option<u16>,
    /// `--table-time-zone`.
    pub time_zone: Option<String>,
    /// `--dedup-window`, in microseconds.
    pub dedup_window_us: Option<i64>,
    /// `--retention`, in microseconds.
    pub retention_us: Option<i64>,
    /// `--strict`.
    pub strict: bool,
}

impl NewTable {
    /// The options of the table, if it has to be made.
    pub fn options(&self) -> TableOptions {
        let usual = TableOptions::default();
        TableOptions {
            shards: self.shards.unwrap_or(usual.shards),
            time_zone: self.time_zone.clone().unwrap_or(usual.time_zone),
            dedup_window_us: self.dedup_window_us.unwrap_or(usual.dedup_window_us),
            retention_us: self.retention_us.or(usual.retention_us),
            strict: self.strict,
            ..usual
        }
    }

    /// Whether a table called `name` can be made of this.
    ///
    /// # Errors
    /// Wrong usage: what cannot be.
    pub fn check(&self, name: &str) -> Outcome {
        check_table(name, &Schema::default(), &self.options())
            .map_err(|error| Failure::Usage(told(&Error::from(error))))
    }

    /// The table as an import of files finds it: the one that was found, or a new one.
    pub(super) fn outline(&self, found: Option<TableOutline>) -> Outcome<TableOutline> {
        let mut outline = match found {
            Some(outline) => {
                self.check_against(&outline.name, &outline.options)?;
                outline
            }
            None => TableOutline { is_untouched: true, ..TableOutline::default() },
        };
        // The first import sets the columns of a strict table, so it is not held to any.
        outline.options.strict &= !(outline.is_untouched && self.strict);
        Ok(outline)
    }

    /// Whether the table `name`, which is there with the options `there`, is as the command line says: what is said of a
    /// new table would else be passed over in silence.
    fn check_against(&self, name: &str, there: &TableOptions) -> Outcome {
        let differs = |flag: &str, asked: &dyn Display, has: &dyn Display| {
            let way = match flag {
                "--retention" => format!("ALTER TABLE {name} SET (retention = '{asked}') changes it"),
                _ => format!("leave {flag} away; it is for a new table, and cannot change"),
            };
            Err(Failure::usage(format!("{flag} {asked}: table {name} is there already, with {has}"), way))
        };
        if let Some(shards) = self.shards.filter(|shards| *shards != there.shards) {
            return differs("--shards", &shards, &format!("{} shards", there.shards));
        }
        if let Some(zone) = self.time_zone.as_ref().filter(|zone| **zone != there.time_zone) {
            return differs("--table-time-zone", zone, &format!("the time zone {}", there.time_zone));
        }
        if let Some(window) = self.dedup_window_us.filter(|window| *window != there.dedup_window_us) {
            let has = format!("a dedup window of {}", duration(there.dedup_window_us));
            return differs("--dedup-window", &duration(window), &has);
        }
        if let Some(retention) = self.retention_us.filter(|retention| Some(*retention) != there.retention_us) {
            let has = there.retention_us.map_or("no retention".into(), |us| format!("a retention of {}", duration(us)));
            return differs("--retention", &duration(retention), &has);
        }
        if self.strict && !there.strict {
            let way = "leave --strict away, or import into a new table";
            return Err(Failure::usage(format!("--strict: table {name} is there already, and is not strict"), way));
        }
        Ok(())
    }
}

/// How an import ended, and what else went wrong: an import that is stored is no failure because of what comes after it,
/// and one that failed did so for its own reason.
pub struct Imported {
    /// What the import says.
    pub outcome: Outcome<ImportSummary>,
    /// What could not be done around it.
    pub warnings: Vec<Report>,
}

impl Backend {
    /// Imports files into the table that `name` means, which is made when it is absent, and not left behind when nothing
    /// was imported.
    pub fn import(&self, name: &str, new_table: &NewTable, files: Prepared, progress: &dyn Progress) -> Imported {
        let mut warnings = Vec::new();
        let outcome = self.import_into(name, new_table, files, progress, &mut warnings);
        Imported { outcome, warnings }
    }

    fn import_into(
        &self,
        name: &str,
        new_table: &NewTable,
        files: Prepared,
        progress: &dyn Progress,
        warnings: &mut Vec<Report>,
    ) -> Outcome<ImportSummary> {
        if let Source::Remote(client) = &self.source {
            return self.import_remote(client, name, new_table, files, progress, warnings);
        }
        let database = self.database()?;
        if let Some(table) = database.find_table(name).map_err(|error| failed(&error))? {
            new_table.check_against(table.name(), &table.options())?;
        }
        let opened = open_for_import(database, name, &new_table.options());
        let (table, is_new) = opened.map_err(|error| failed(&error))?;
        // An import that a crash ended may have left the table without anything in it.
        let is_first = is_new || (new_table.strict && table.is_untouched());
        let summary = match is_first {
            true => files.import_first(&table, progress),
            false => files.import(&table, progress),
        };
        let accepted = summary.as_ref().map_or(0, |summary| summary.accepted);
        let after = after_import(database, &table, is_new, accepted, super::enforce_retention);
        warnings.extend(after.err().map(Report::warning));
        summary.map_err(|error| import_failed(&error))
    }

    /// Removes a database that was made for an import which then failed.
    pub fn discard(&self) {
        // A database that stays is empty and does no harm; the failure of the import is what counts.
        let _ = self.database().map(|database| database.engine().discard());
    }

    /// Stores made-up events from `next` in a table, which is made when it is absent, all or none. `source` names them;
    /// events of the same source are stored once: `None` when they are there already.
    ///
    /// # Errors
    /// What `next` and the table say.
    pub fn load(
        &self,
        name: &str,
        source: &str,
        next: &mut dyn FnMut() -> Outcome<Option<RecordBatch>>,
    ) -> Outcome<Option<u64>> {
        let told = |error: trodden_query::engine::error::Error| failed(&Error::from(error));
        let (table, _) =
            open_for_import(self.database()?, name, &TableOptions::default()).map_err(|error| failed(&error))?;
        let fingerprint = xxhash_rust::xxh3::xxh3_128(source.as_bytes());
        if table.is_imported(fingerprint) {
            return Ok(None);
        }
        let import = table.begin_import(&[fingerprint]).map_err(told)?;
        let mut sequence = 0;
        while let Some(batch) = next()? {
            import.push(sequence, crate::generator::event_batch(&batch)).map_err(told)?;
            sequence += 1;
        }
        import.commit().map(|stored| Some(stored.accepted)).map_err(told)
    }
}

/// The table that `name` means, and whether it was made now, with `options`, since there was none.
///
/// # Errors
/// `InvalidInput` for a name or options that cannot be, and for the name of a view; what the disk says.
pub(crate) fn open_for_import(
    database: &Database,
    name: &str,
    options: &TableOptions,
) -> Result<(Arc<Table>, bool), Error> {
    match database.find_table(name)? {
        Some(table) => Ok((table, false)),
        None => Ok((database.create_table(name, Schema::default(), options.clone())?, true)),
    }
}

/// What is left to do when an import into `table` is over, whether it stored something or nothing: a table that was made
/// for it and has nothing is dropped, one that has new events drops old ones.
///
/// # Errors
/// What could not be done, in words. The import is as it is.
pub(crate) fn after_import(
    database: &Database,
    table: &Table,
    is_new: bool,
    accepted: u64,
    enforce_retention: impl FnOnce(&Table) -> Result<(), Error>,
) -> Result<(), String> {
    let name = table.name();
    let (done, what) = if is_new && accepted == 0 {
        let dropped = database.engine().drop_table(name).map_err(Error::from);
        (dropped, format!("the empty table {name} could not be removed again"))
    } else if accepted > 0 {
        (enforce_retention(table), format!("old events of table {name} could not be dropped"))
    } else {
        return Ok(());
    };
    done.map_err(|error| match error.hint() {
        Some(hint) => format!("{what}: {} ({hint})", error.message()),
        None => format!("{what}: {}", error.message()),
    })
}

impl Backend {
    /// What an import of `files` into the table that `name` means, here or at a server, would do.
    ///
    /// # Errors
    /// What the import or the server says.
    pub fn import_trial(
        &self,
        name: &str,
        new_table: &NewTable,
        files: Prepared,
        progress: &dyn Progress,
    ) -> Outcome<ImportSummary> {
        let found = match &self.source {
            Source::Remote(client) => self.describe_import(client, name)?,
            Source::Local(database) => {
                let table = database.find_table(name).map_err(|error| failed(&error))?;
                table.map(|table| table.outline())
            }
        };
        trial(found, new_table, files, progress)
    }
}

/// What an import of `files` into the table that `name` means would do. The database, which need not be there, is not
/// opened: nothing is written.
///
/// # Errors
/// What the import says.
pub fn import_trial(
    db: &Path,
    name: &str,
    new_table: &NewTable,
    files: Prepared,
    progress: &dyn Progress,
) -> Outcome<ImportSummary> {
    let is_empty = std::fs::read_dir(db).map_or(!db.exists(), |mut entries| entries.next().is_none());
    let found = match is_empty {
        true => None,
        false => Database::outline(db, name).map_err(|error| failed(&error))?,
    };
    trial(found, new_table, files, progress)
}

/// What an import into the table of `found` would do, or into a new one.
fn trial(
    found: Option<TableOutline>,
    new_table: &NewTable,
    files: Prepared,
    progress: &dyn Progress,
) -> Outcome<ImportSummary> {
    let outline = new_table.outline(found)?;
    files.dry_run(&outline, progress).map_err(|error| import_failed(&error))
}

/// The failure that an error of an import means.
pub fn import_failed(error: &ImportError) -> Failure {
    let report = Report::error(error.message());
    let report = error.hint().into_iter().fold(report, |report, hint| report.with_hint(hint));
    match error {
        ImportError::Option { .. } => Failure::Usage(report),
        ImportError::Cancelled => Failure::Interrupted(report),
        _ => Failure::Failed(report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Terminal;
    use trodden_query::Options;
    use trodden_query::engine::storage::FaultStore;
    use trodden_query::engine::{Engine, EngineOptions};
    use trodden_query::import::{ImportOptions, Silent, prepare};

    /// Makes the store read-only when the reading begins.
    struct Sabotage(FaultStore);

    impl Progress for Sabotage {
        fn begin(&self, _bytes_total: u64) {
            self.0.set_read_only(true);
        }
        fn advance(&self, _bytes: u64, _rows: u64) {}
        fn note(&self, _message: &str) {}
    }

    #[test]
    fn the_way_out_of_a_failed_import_is_told_once() {
        let error = trodden_query::engine::error::Error::invalid("no").with_hint("the way out");
        let Failure::Failed(report) = import_failed(&ImportError::Engine(error)) else { panic!("no failure") };
        let plain = Terminal { stdout: false, stderr: false, unicode: false, color: false, width: 80 };
        assert_eq!(report.render(&plain).matches("the way out").count(), 1, "{}", report.render(&plain));
    }

    #[test]
    fn an_import_that_fails_does_so_for_its_own_reason() {
        let store = FaultStore::new();
        let engine = Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).expect("an engine");
        let backend = Backend { source: Source::Local(Database::of_engine(engine, Options::default())), runtime: None };
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("e.csv");
        std::fs::write(&file, "user_id,ts,event\na,2026-01-01,view\nb,,view\n").expect("a file");
        let files = prepare(&ImportOptions::file(file.display().to_string()), &Silent).expect("a file with rows");
        let imported = backend.import("t", &NewTable::default(), files, &Sabotage(store));
        match imported.outcome {
            Err(Failure::Failed(report)) => assert!(report.message().contains("rejected rows"), "{report:?}"),
            other => panic!("{other:?}"),
        }
        let warnings: Vec<&str> = imported.warnings.iter().map(Report::message).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("the empty table t could not be removed"), "{warnings:?}");
    }
}
