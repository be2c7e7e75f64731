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

use budget::AHEAD_BYTES;
use files::{find_files, fingerprint};
use misfit::Misfit;
use parking_lot::Mutex;
use pipeline::{Outcome, Pass, Source, guarded};
use plan::{Plan, TableShape, make_plan, outcome_options};
use std::collections::HashMap;
use std::time::Instant;
use survey::Survey;
use target::{NewTable, Nowhere, Stored, Target};
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, Table};

/// Most times that the files are read again. Every reading knows the types of all values that the one before met, so
/// more than these show that the values are others each time.
const RESTARTS_MAX: u32 = 2;

/// Read the files into `table`: all of them, or nothing. Files imported before are skipped.
///
/// # Errors
/// As [`ImportError`] tells. The table is then as it was.
pub fn import(table: &Table, options: &ImportOptions, progress: &dyn Progress) -> Result<ImportSummary> {
    if options.dry_run {
        return dry_run(&table.schema(), table.options().strict, options, progress);
    }
    run(table, options, progress, AHEAD_BYTES)
}

/// As [`import`], into a table that is made with `table` and the columns of the files. It is there afterwards if an event
/// was stored.
///
/// # Errors
/// As [`ImportError`] tells. There is then no such table.
pub fn import_new(
    engine: &Engine,
    name: &str,
    table: &TableOptions,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportSummary> {
    match options.dry_run {
        true => dry_run(&Schema::default(), false, options, progress),
        false => run(&NewTable { engine, name, options: table }, options, progress, AHEAD_BYTES),
    }
}

/// Read and check the files as for a table that has `schema` already (`strict`: and takes nothing else), and store
/// nothing. The summary tells what an import would do; duplicates and files imported before are not looked for.
///
/// # Errors
/// As [`ImportError`] tells.
pub fn dry_run(
    schema: &Schema,
    strict: bool,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportSummary> {
    run(
        &Nowhere::new(TableShape { schema: schema.clone(), strict }),
        &ImportOptions { dry_run: true, ..options.clone() },
        progress,
        AHEAD_BYTES,
    )
}

/// An import between its beginning and its end.
struct Run<'a> {
    target: &'a dyn Target,
    options: &'a ImportOptions,
    progress: &'a dyn Progress,
    ahead_bytes: u64,
    started: Instant,
    sources: Vec<Source>,
    surveys: Vec<Option<Survey>>,
    hashes: Vec<u128>,
    restarts: u32,
    notes: Vec<String>,
}

/// `ahead_bytes`: memory for the pieces of work under way.
fn run(
    target: &dyn Target,
    options: &ImportOptions,
    progress: &dyn Progress,
    ahead_bytes: u64,
) -> Result<ImportSummary> {
    let started = Instant::now();
    let files = find_files(options)?;
    check_options(options, &files)?;
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        let is_parquet = file.format == FileFormat::Parquet && file.bytes > 0;
        let parquet = is_parquet.then(|| guarded(&file, || parquet::ParquetFile::open(&file))).transpose()?;
        sources.push(Source { file, parquet });
    }
    let mut run = Run {
        target,
        options,
        progress,
        ahead_bytes,
        started,
        surveys: Vec::new(),
        hashes: Vec::new(),
        restarts: 0,
        notes: Vec::new(),
        sources,
    };
    progress.preparing(run.sources.iter().map(|source| source.file.bytes).sum());
    run.sample()?;
    run.hash()?;
    run.import()
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

impl Run<'_> {
    /// Look at the first rows of each file.
    fn sample(&mut self) -> Result<()> {
        let limit = (self.options.sample_rows / self.sources.len().max(1) as u64).max(1_000);
        let mut empty = None;
        for source in &self.sources {
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
            return Ok((parquet.survey(&source.file, self.options)?, "the file has no row"));
        }
        if source.file.format == FileFormat::JsonLines {
            return Ok((json::sample(&source.file, self.options, limit)?, "the file has no row"));
        }
        let (survey, header_only) = delimited::sample(&source.file, self.options, limit)?;
        Ok((survey, if header_only { "there is a header and no row" } else { empty }))
    }

    /// The hashes of all files, by which those that were imported before are known.
    fn hash(&mut self) -> Result<()> {
        for source in &self.sources {
            let hash = source.file.content_hash(|bytes| {
                self.progress.advance(bytes, 0);
                if self.progress.cancelled() { Err(ImportError::Cancelled) } else { Ok(()) }
            })?;
            self.hashes.push(hash);
        }
        Ok(())
    }

    fn plan(&self) -> Result<Plan> {
        let files: Vec<&files::InputFile> = self.sources.iter().map(|source| &source.file).collect();
        make_plan(&files, &self.surveys, &self.target.shape(), self.options)
    }

    fn pass<'b>(&'b self, todo: &'b [usize], plan: &'b Plan) -> Pass<'b> {
        Pass {
            sources: &self.sources,
            todo,
            plan,
            options: self.options,
            progress: self.progress,
            ahead_bytes: self.ahead_bytes,
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
            let sink = self.target.begin(&fingerprints, &plan.columns)?;
            let outcome = self.pass(&todo, &plan).load(&*sink)?;
            match outcome {
                Outcome::Done { rows, rejected, first_rejects, notes } => {
                    todo.iter().try_for_each(|&file| self.sources[file].file.check_unchanged())?;
                    self.progress.committing();
                    let stored = sink.commit()?;
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
        let mut surveys = self.surveys.clone();
        self.pass(todo, plan).survey(&mut surveys)?;
        self.surveys = surveys;
        let next = self.plan()?;
        let path = &self.sources[file].file.path;
        if next.is_like(plan) {
            // No type holds the value, unless it is another one by now.
            self.sources[file].file.check_unchanged()?;
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
        for (file, source) in self.sources.iter().enumerate() {
            let Some(parts) = &plan.files[file] else {
                outcomes.push(FileOutcome::NoRows);
                continue;
            };
            let fingerprint = fingerprint(self.hashes[file], &outcome_options(&source.file, parts, self.options));
            let first = *first_with.entry(fingerprint).or_insert(file);
            outcomes.push(if first != file {
                FileOutcome::SameAs(self.sources[first].file.path.clone())
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
        let imported = outcomes.iter().zip(&self.sources).filter(|(outcome, _)| **outcome == FileOutcome::Imported);
        let bytes = imported.map(|(_, source)| source.file.bytes).sum();
        let reports = self.sources.iter().zip(outcomes).zip(plan.mappings);
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
            elapsed: self.started.elapsed(),
            dry_run: self.options.dry_run,
        }
    }
}
