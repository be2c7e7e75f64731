//! Files into events: Parquet, CSV, TSV and JSON lines, plain, gzip or zstd.
//!
//! An import looks at a sample of the files (`plan` decides which column is what), then reads them on all cores and
//! gives the events to the table, which shows all of them or none. A late row that contradicts the sample ends the
//! pass; the files are then looked at as a whole and read again, so that no value is lost. Nothing is visible before the
//! end, so nothing has to be undone. `docs/IMPORT.md` tells the user's side.

mod batch;
mod budget;
mod chunks;
mod convert;
mod delimited;
mod error;
mod files;
mod infer;
mod json;
mod misfit;
mod notices;
mod options;
mod parquet;
mod pattern;
mod pipeline;
mod plan;
mod rejects;
mod summary;
mod survey;
mod target;
mod time;

#[cfg(test)]
mod tests;

pub use error::{ImportError, Result};
pub use options::{ColumnOptions, Compression, FileFormat, ImportOptions, SAMPLE_ROWS, TimeFormat, parse_column_type};
pub use summary::{ColumnReport, FileOutcome, FileReport, ImportSummary, Progress, Reject, Silent};
pub use target::{Begin, Sink, Stored, Watcher};
pub use time::parse_instant;

use budget::AHEAD_BYTES;
use files::{find_files, fingerprint};
use misfit::Misfit;
use parking_lot::Mutex;
use pipeline::{Outcome, Pass, Source, guarded};
use plan::{Plan, TableShape, make_plan, outcome_options};
use std::collections::HashMap;
use std::time::Instant;
use survey::Survey;
use target::{Elsewhere, First, Nowhere, Target, Watched};
use trodden_engine::{Table, TableOutline};

/// Most times that the files are read again. Every reading knows the types of all values that the one before met, so
/// more than these show that the values are others each time.
const RESTARTS_MAX: u32 = 2;

/// Read the files into `table`: all of them, or nothing. Files imported before are skipped.
///
/// # Errors
/// As [`ImportError`] tells. The table is then as it was.
pub fn import(table: &Table, options: &ImportOptions, progress: &dyn Progress) -> Result<ImportSummary> {
    prepare(options, progress)?.import(table, progress)
}

/// Read and check the files as for the table of `outline`, and store nothing. The summary tells what an import would do;
/// duplicates by event id are not looked for.
///
/// # Errors
/// As [`ImportError`] tells.
pub fn dry_run(outline: &TableOutline, options: &ImportOptions, progress: &dyn Progress) -> Result<ImportSummary> {
    prepare(options, progress)?.dry_run(outline, progress)
}

/// Find the files, and look at their first rows. Nothing of a database is needed for that, so that a program can do it
/// before it opens or makes one.
///
/// # Errors
/// As [`ImportError`] tells.
pub fn prepare(options: &ImportOptions, progress: &dyn Progress) -> Result<Prepared> {
    let started = Instant::now();
    let files = find_files(options, progress)?;
    check_options(options, &files)?;
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        let is_parquet = file.format == FileFormat::Parquet && file.bytes > 0;
        let parquet = is_parquet.then(|| guarded(&file, || parquet::ParquetFile::open(&file))).transpose()?;
        sources.push(Source { file, parquet });
    }
    let mut prepared =
        Prepared { options: options.clone(), ahead_bytes: AHEAD_BYTES, started, sources, surveys: Vec::new() };
    prepared.sample(progress)?;
    Ok(prepared)
}

/// Files that were found and looked at, and what is to be done with them.
pub struct Prepared {
    options: ImportOptions,
    /// Memory for the pieces of work under way.
    ahead_bytes: u64,
    started: Instant,
    sources: Vec<Source>,
    surveys: Vec<Option<Survey>>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({} files)", self.sources.len())
    }
}

impl Prepared {
    /// Whether the options fit the files, as far as that can be told without the table.
    ///
    /// # Errors
    /// As [`ImportError`] tells.
    pub fn check(&self) -> Result<()> {
        self.plan(&TableShape::default()).map(|_| ())
    }

    /// Read the files into `table`.
    ///
    /// # Errors
    /// Those of [`import`].
    pub fn import(self, table: &Table, progress: &dyn Progress) -> Result<ImportSummary> {
        match self.options.dry_run {
            true => self.dry_run(&table.outline(), progress),
            false => self.run(table, progress),
        }
    }

    /// As [`Prepared::import`], into a table to which nothing was ever added. A strict table takes the columns and types
    /// of these files, and holds later ones to them.
    ///
    /// # Errors
    /// Those of [`import`].
    pub fn import_first(self, table: &Table, progress: &dyn Progress) -> Result<ImportSummary> {
        self.run(&First(table), progress)
    }

    /// As [`Prepared::import`], into a table that somebody else has: `outline` tells what it was like, and `begin` begins
    /// an import there. It may be called again, after a value that contradicts the sample; the import before was dropped
    /// then.
    ///
    /// # Errors
    /// Those of [`import`], and what `begin` and its sink say.
    pub fn import_elsewhere(
        self,
        outline: &TableOutline,
        begin: &Begin<'_>,
        progress: &dyn Progress,
    ) -> Result<ImportSummary> {
        self.run(&Elsewhere { outline, begin }, progress)
    }

    /// As [`dry_run`].
    ///
    /// # Errors
    /// Those of [`dry_run`].
    pub fn dry_run(mut self, outline: &TableOutline, progress: &dyn Progress) -> Result<ImportSummary> {
        self.options.dry_run = true;
        self.run(&Nowhere::new(outline.clone()), progress)
    }

    /// As [`Prepared::dry_run`], and show `watcher` every event.
    ///
    /// # Errors
    /// Those of [`dry_run`], and what the watcher says.
    pub fn watch(
        mut self,
        outline: &TableOutline,
        watcher: &dyn Watcher,
        progress: &dyn Progress,
    ) -> Result<ImportSummary> {
        self.options.dry_run = true;
        self.run(&Watched { nowhere: Nowhere::new(outline.clone()), watcher }, progress)
    }

    fn run(self, target: &dyn Target, progress: &dyn Progress) -> Result<ImportSummary> {
        progress.preparing(self.sources.iter().map(|source| source.file.bytes).sum());
        let hashes = self.hashes(progress)?;
        Run { target, prepared: self, progress, hashes, restarts: 0, notes: Vec::new() }.import()
    }

    /// The hashes of all files, by which those that were imported before are known.
    fn hashes(&self, progress: &dyn Progress) -> Result<Vec<u128>> {
        let on_read = |bytes| {
            progress.advance(bytes, 0);
            if progress.cancelled() { Err(ImportError::Cancelled) } else { Ok(()) }
        };
        self.sources.iter().map(|source| source.file.content_hash(on_read)).collect()
    }

    fn plan(&self, shape: &TableShape) -> Result<Plan> {
        let files: Vec<&files::InputFile> = self.sources.iter().map(|source| &source.file).collect();
        make_plan(&files, &self.surveys, shape, &self.options)
    }
}

/// An import between its beginning and its end.
struct Run<'a> {
    target: &'a dyn Target,
    prepared: Prepared,
    progress: &'a dyn Progress,
    hashes: Vec<u128>,
    restarts: u32,
    notes: Vec<String>,
}

#[cfg(test)]
fn run(
    target: &dyn Target,
    options: &ImportOptions,
    progress: &dyn Progress,
    ahead_bytes: u64,
) -> Result<ImportSummary> {
    Prepared { ahead_bytes, ..prepare(options, progress)? }.run(target, progress)
}

fn check_options(options: &ImportOptions, files: &[files::InputFile]) -> Result<()> {
    let refused = |cause: String, hint: &str| Err(ImportError::Option { cause, hint: hint.into() });
    if let Some(path) = &options.rejects
        && let Ok(path) = std::fs::canonicalize(path)
        && files.iter().any(|file| std::fs::canonicalize(&file.path).is_ok_and(|input| input == path))
    {
        let cause = format!("the rejects file {} is also to be imported", path.display());
        return refused(cause, "name another file for the rejects");
    }
    if options.delimiter.is_some_and(|delimiter| matches!(delimiter, b'"' | b'\n' | b'\r' | 0x80..)) {
        return refused("the delimiter must be one ASCII character, no quote and no line end".into(), "such as ';'");
    }
    if options.event_value.as_ref().is_some_and(String::is_empty) {
        return refused("the event value is empty".into(), "give the events a name");
    }
    if options.event_value.is_some() && options.event.is_some() {
        return refused("both an event column and an event value are given".into(), "give one of them");
    }
    Ok(())
}

impl Prepared {
    /// Look at the first rows of each file.
    fn sample(&mut self, progress: &dyn Progress) -> Result<()> {
        let limit = (self.options.sample_rows / self.sources.len().max(1) as u64).max(1_000);
        let mut empty = None;
        for source in &self.sources {
            if progress.cancelled() {
                return Err(ImportError::Cancelled);
            }
            let (survey, cause) = guarded(&source.file, || self.sample_file(source, limit))?;
            if survey.is_none() {
                empty.get_or_insert((source.file.path.clone(), cause));
            }
            self.surveys.push(survey);
        }
        match empty {
            Some((file, cause)) if self.surveys.iter().all(Option::is_none) => Err(ImportError::Empty { file, cause }),
            _ => Ok(()),
        }
    }

    /// What the first rows tell, or why there is none.
    fn sample_file(&self, source: &Source, limit: u64) -> Result<(Option<Survey>, &'static str)> {
        let empty = "the file is empty";
        if source.file.bytes == 0 {
            return Ok((None, empty));
        }
        if let Some(parquet) = &source.parquet {
            return Ok((parquet.survey(&source.file, &self.options)?, "the file has no row"));
        }
        if source.file.format == FileFormat::JsonLines {
            return Ok((json::sample(&source.file, &self.options, limit)?, "the file has no row"));
        }
        let (survey, header_only) = delimited::sample(&source.file, &self.options, limit)?;
        Ok((survey, if header_only { "there is a header and no row" } else { empty }))
    }
}

impl Run<'_> {
    fn plan(&self) -> Result<Plan> {
        self.prepared.plan(&self.target.shape())
    }

    fn pass<'b>(&'b self, todo: &'b [usize], plan: &'b Plan) -> Pass<'b> {
        Pass {
            sources: &self.prepared.sources,
            todo,
            plan,
            options: &self.prepared.options,
            progress: self.progress,
            ahead_bytes: self.prepared.ahead_bytes,
            notices: Mutex::default(),
        }
    }

    fn import(mut self) -> Result<ImportSummary> {
        let mut plan = self.plan()?;
        loop {
            let (outcomes, todo, fingerprints) = self.select(&plan);
            if todo.is_empty() {
                return Ok(self.summary(plan, outcomes, (0, 0, Vec::new()), Stored::default()));
            }
            let sink = self.target.begin(&fingerprints)?;
            let outcome = self.pass(&todo, &plan).load(&*sink)?;
            match outcome {
                Outcome::Done { rows, rejected, first_rejects, notes } => {
                    todo.iter().try_for_each(|&file| self.prepared.sources[file].file.check_unchanged())?;
                    self.progress.committing();
                    let stored = sink.commit(&|| self.progress.cancelled())?;
                    plan.notes.extend(notes);
                    return Ok(self.summary(plan, outcomes, (rows, rejected, first_rejects), stored));
                }
                Outcome::Widen(file, misfit) => {
                    drop(sink);
                    plan = self.look_again(&plan, &todo, file, misfit)?;
                }
            }
        }
    }

    /// The plan with the types of all values, since one contradicts `plan`.
    fn look_again(&mut self, plan: &Plan, todo: &[usize], file: usize, misfit: Misfit) -> Result<Plan> {
        self.restarts += 1;
        let note = format!("after the sample, {misfit}; all rows were looked at and read again");
        self.progress.note(&note);
        self.notes.push(note);
        let mut surveys = self.prepared.surveys.clone();
        self.pass(todo, plan).survey(&mut surveys)?;
        self.prepared.surveys = surveys;
        let next = self.plan()?;
        let path = &self.prepared.sources[file].file.path;
        if next.is_like(plan) {
            // No type holds the value, unless it is another one by now.
            self.prepared.sources[file].file.check_unchanged()?;
            let hint = format!("leave the column out: exclude '{}'", misfit.column);
            return Err(ImportError::BadValue {
                file: path.clone(),
                column: misfit.column,
                cause: misfit.reason,
                hint,
            });
        }
        match self.restarts > RESTARTS_MAX {
            true => Err(ImportError::Changed { file: path.clone() }),
            false => Ok(next),
        }
    }

    /// Which files are to be read: what happens to each, the places of those to read, and their fingerprints.
    fn select(&self, plan: &Plan) -> (Vec<FileOutcome>, Vec<usize>, Vec<u128>) {
        let (mut outcomes, mut todo, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_with: HashMap<u128, usize> = HashMap::new();
        for (file, source) in self.prepared.sources.iter().enumerate() {
            let Some(parts) = &plan.files[file] else {
                outcomes.push(FileOutcome::NoRows);
                continue;
            };
            let fingerprint =
                fingerprint(self.hashes[file], &outcome_options(&source.file, parts, &self.prepared.options));
            let first = *first_with.entry(fingerprint).or_insert(file);
            outcomes.push(if first != file {
                FileOutcome::SameAs(self.prepared.sources[first].file.path.clone())
            } else if self.target.is_imported(fingerprint) {
                FileOutcome::AlreadyImported
            } else {
                todo.push(file);
                fingerprints.push(fingerprint);
                FileOutcome::Imported
            });
        }
        (outcomes, todo, fingerprints)
    }

    fn summary(
        mut self,
        plan: Plan,
        outcomes: Vec<FileOutcome>,
        (rows, rejected, first_rejects): (u64, u64, Vec<Reject>),
        stored: Stored,
    ) -> ImportSummary {
        self.notes.extend(plan.notes);
        let Prepared { options, started, sources, .. } = self.prepared;
        if options.dry_run && plan.has_id {
            self.notes.push("a trial does not look for events that are there already by their event id".into());
        }
        let imported = outcomes.iter().zip(&sources).filter(|(outcome, _)| **outcome == FileOutcome::Imported);
        let bytes = imported.map(|(_, source)| source.file.bytes).sum();
        let reports = sources.iter().zip(outcomes).zip(plan.mappings);
        let files = reports.map(|((source, outcome), mapping)| FileReport {
            path: source.file.path.clone(),
            format: source.file.format,
            compression: source.file.compression,
            bytes: source.file.bytes,
            outcome,
            mapping,
        });
        ImportSummary {
            files: files.collect(),
            columns: plan.reports,
            rows,
            accepted: stored.accepted,
            duplicates: stored.duplicates,
            rejected,
            first_rejects,
            segments: stored.segments,
            segment_bytes: stored.bytes,
            bytes,
            restarts: self.restarts,
            notes: self.notes,
            elapsed: started.elapsed(),
            dry_run: options.dry_run,
        }
    }
}
