//! One pass over the files: a thread that cuts them into pieces of work, and threads that do the work.

use super::batch::BatchBuilder;
use super::budget::Budget;
use super::chunks::{CHUNK_BYTES, Chunk, Chunks, Rows};
use super::delimited::{self, Dialect};
use super::error::{ImportError, Result};
use super::files::InputFile;
use super::json::{self, Slots};
use super::misfit::Misfit;
use super::notices::Notices;
use super::options::{FileFormat, ImportOptions};
use super::parquet::{GroupReader, Loaded, ParquetFile};
use super::plan::{EventSource, FilePlan, Plan};
use super::rejects::{ChunkRejects, RejectLog};
use super::summary::{Progress, Reject};
use super::survey::Survey;
use super::target::Sink;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trodden_engine::ingest::EventBatch;

/// A file with what was read of it to know it.
pub(super) struct Source {
    pub(super) file: InputFile,
    pub(super) parquet: Option<ParquetFile>,
}

/// How a pass that loads ended.
pub(super) enum Outcome {
    Done {
        rows: u64,
        rejected: u64,
        first_rejects: Vec<Reject>,
        notes: Vec<String>,
    },
    /// A value contradicts the types of the plan: in which file, and which.
    Widen(usize, Misfit),
}

/// A pass over some of the files.
pub(super) struct Pass<'a> {
    pub(super) sources: &'a [Source],
    /// The files to read, by their place in `sources`.
    pub(super) todo: &'a [usize],
    pub(super) plan: &'a Plan,
    pub(super) options: &'a ImportOptions,
    pub(super) progress: &'a dyn Progress,
    /// Memory for the pieces of work under way, about, in bytes.
    pub(super) ahead_bytes: u64,
    pub(super) notices: Mutex<Notices>,
}

/// A piece of work: whole rows of one file.
enum Work {
    Text { file: usize, chunk: Chunk, is_first: bool },
    RowGroup { file: usize, row_group: usize, first_row: u64 },
}

/// A piece of work with its place in the order of all, and the first of the batch numbers that it may use.
struct Job {
    index: u64,
    sequence: u64,
    /// What it holds of the [`Budget`].
    bytes: u64,
    work: Work,
}

/// Why a pass ends early.
enum Stop {
    Error(ImportError),
    Widen(usize, Misfit),
}

impl From<ImportError> for Stop {
    fn from(error: ImportError) -> Self {
        Self::Error(error)
    }
}

/// The first reason to stop, seen by all threads.
#[derive(Default)]
struct Stopper {
    is_set: AtomicBool,
    reason: Mutex<Option<Stop>>,
}

impl Stopper {
    fn set(&self, reason: Stop) {
        self.reason.lock().get_or_insert(reason);
        self.is_set.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }
}

/// Run `read` on `file`. A decoder that panics on damaged bytes becomes an error.
pub(super) fn guarded<T>(file: &InputFile, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let cause = text.unwrap_or("no reason was given").to_string();
        Err(ImportError::Reader { file: file.path.clone(), cause })
    })
}

impl Pass<'_> {
    /// Parse all rows and give them to `sink`.
    pub(super) fn load(&self, sink: &dyn Sink) -> Result<Outcome> {
        let log = RejectLog::new(self.options.rejects.as_deref(), self.options.max_rejects)?;
        let log = Mutex::new(log);
        let rows = AtomicU64::new(0);
        let stopped = self.run(&|| (), &|(), job| {
            let count = self.load_job(job, sink, &log)?;
            rows.fetch_add(count, Ordering::Relaxed);
            Ok(())
        });
        match stopped.1 {
            Some(Stop::Error(error)) => Err(error),
            Some(Stop::Widen(file, misfit)) => Ok(Outcome::Widen(file, misfit)),
            None => {
                let (rejected, first_rejects) = log.into_inner().finish()?;
                let notes = self.notices.lock().notes();
                Ok(Outcome::Done { rows: rows.into_inner(), rejected, first_rejects, notes })
            }
        }
    }

    /// Look at all values of the files and replace what the sample told of them.
    pub(super) fn survey(&self, surveys: &mut [Option<Survey>]) -> Result<()> {
        let start = || vec![None; self.sources.len()];
        let seen: &[Option<Survey>] = surveys;
        let (found, stopped) = self.run(&start, &|found: &mut Vec<Option<Survey>>, job| {
            self.survey_job(job, found, seen).map_err(Stop::Error)
        });
        if let Some(Stop::Error(error)) = stopped {
            return Err(error);
        }
        for &file in self.todo {
            // The footer of a Parquet file told the types; text starts anew.
            let is_parquet = self.sources[file].parquet.is_some();
            let mut survey = match &surveys[file] {
                Some(seen) if is_parquet => seen.clone(),
                Some(seen) => seen.blank(),
                None => Survey::default(),
            };
            found.iter().filter_map(|found| found[file].as_ref()).for_each(|found| survey.merge(found));
            if self.sources[file].file.format == FileFormat::JsonLines {
                survey.sort();
                survey.check_width(&self.sources[file].file.path)?;
            }
            surveys[file] = Some(survey);
        }
        Ok(())
    }

    /// Do all jobs on all threads. Returns the state of each thread and the reason of an early end.
    fn run<S: Send>(
        &self,
        start: &(dyn Fn() -> S + Sync),
        work: &(dyn Fn(&mut S, Job) -> std::result::Result<(), Stop> + Sync),
    ) -> (Vec<S>, Option<Stop>) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.options.threads.unwrap_or(cores).clamp(1, 1024);
        let (stopper, budget) = (Stopper::default(), Budget::new(self.ahead_bytes));
        self.progress.begin(self.todo.iter().map(|&file| self.sources[file].file.bytes).sum());
        let states = std::thread::scope(|scope| {
            let (sender, receiver) = bounded::<Job>(threads);
            let handles: Vec<_> = (0..threads)
                .map(|_| {
                    let receiver: Receiver<Job> = receiver.clone();
                    let (stopper, budget) = (&stopper, &budget);
                    scope.spawn(move || self.run_thread(start(), work, &receiver, stopper, budget))
                })
                .collect();
            drop(receiver);
            if let Err(error) = self.produce(&sender, &stopper, &budget) {
                stopper.set(Stop::Error(error));
            }
            drop(sender);
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        });
        (states, stopper.reason.into_inner())
    }

    fn run_thread<S>(
        &self,
        mut state: S,
        work: &(dyn Fn(&mut S, Job) -> std::result::Result<(), Stop> + Sync),
        jobs: &Receiver<Job>,
        stopper: &Stopper,
        budget: &Budget,
    ) -> S {
        // After a stop the queue is emptied, so that the thread that fills it does not wait for ever.
        for job in jobs {
            let (index, bytes) = (job.index, job.bytes);
            if stopper.is_set() {
                budget.end(index, bytes);
                continue;
            }
            let (Work::Text { file, .. } | Work::RowGroup { file, .. }) = &job.work;
            let source = &self.sources[*file].file;
            match guarded(source, || Ok(work(&mut state, job))) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => stopper.set(reason),
                Err(error) => stopper.set(Stop::Error(error)),
            }
            budget.end(index, bytes);
        }
        state
    }

    /// Cut the files into jobs, in order.
    fn produce(&self, jobs: &Sender<Job>, stopper: &Stopper, budget: &Budget) -> Result<()> {
        let (mut index, mut sequence) = (0, 0);
        let mut send = |work: Work, batches: u64, bytes: u64| -> Result<bool> {
            if self.progress.cancelled() {
                return Err(ImportError::Cancelled);
            }
            budget.acquire(bytes);
            let sent = !stopper.is_set() && jobs.send(Job { index, sequence, bytes, work }).is_ok();
            index += 1;
            sequence = sequence.saturating_add(batches);
            Ok(sent)
        };
        for &file in self.todo {
            let source = &self.sources[file];
            if let Some(parquet) = &source.parquet {
                let mut first_row = 0_u64;
                for row_group in 0..parquet.row_groups() {
                    let batches = parquet.batches(row_group);
                    if !send(Work::RowGroup { file, row_group, first_row }, batches, parquet.memory_bytes(row_group))? {
                        return Ok(());
                    }
                    first_row = parquet.row_group_rows(row_group).saturating_add(first_row);
                }
                continue;
            }
            let reader = source.file.reader(|bytes| self.progress.advance(bytes, 0))?;
            let rows = match (source.file.format, self.parts(file)) {
                (FileFormat::JsonLines, _) | (_, None) => Rows::Lines,
                (_, Some(parts)) => Rows::Quoted { delimiter: parts.delimiter },
            };
            // A row of many columns becomes larger than its text, so there are fewer of them at a time.
            let columns = self.plan.columns.len();
            let mut chunks =
                Chunks::new(&source.file.path, reader, rows).with_chunk_bytes(CHUNK_BYTES / (1 + columns / 256));
            let mut is_first = true;
            while let Some(chunk) = guarded(&source.file, || chunks.next())? {
                let bytes = text_bytes(&chunk, columns);
                if !send(Work::Text { file, chunk, is_first }, 1, bytes)? {
                    return Ok(());
                }
                is_first = false;
            }
            if chunks.ends_open() {
                self.notices.lock().open_end(&source.file.path);
            }
        }
        Ok(())
    }

    fn parts(&self, file: usize) -> Option<&FilePlan> {
        self.plan.files[file].as_ref()
    }

    fn dialect(&self, parts: &FilePlan) -> Dialect<'_> {
        Dialect { delimiter: parts.delimiter, nulls: &self.options.null_values, fields: parts.names.len() }
    }

    /// Returns the number of rows of the file that the job had.
    fn load_job(&self, job: Job, sink: &dyn Sink, log: &Mutex<RejectLog>) -> std::result::Result<u64, Stop> {
        let (Work::Text { file, .. } | Work::RowGroup { file, .. }) = job.work;
        let source = &self.sources[file];
        // Only files with a plan are read.
        let Some(parts) = self.parts(file) else { return Ok(0) };
        let mut rejects = ChunkRejects::new(&source.file.path, log.lock().keeps_all());
        match job.work {
            Work::Text { chunk, is_first, .. } => {
                let mut builder =
                    BatchBuilder::new(parts, &self.plan.columns, self.plan.has_id, chunk.bytes.len() / 64);
                let loaded = match source.file.format {
                    FileFormat::JsonLines => {
                        json::load_chunk(&chunk, &Slots::new(parts, &self.options.columns), &mut builder, &mut rejects)
                    }
                    _ => {
                        let skip_header = is_first && self.options.header;
                        delimited::load_chunk(&chunk, skip_header, &self.dialect(parts), &mut builder, &mut rejects)
                    }
                };
                let rows = loaded.map_err(|misfit| Stop::Widen(file, misfit))?;
                let wanted = log.lock().complete(job.index, rejects)?;
                self.progress.advance(0, rows);
                if wanted {
                    self.push(parts, job.sequence, &builder.finish(), sink)?;
                }
                Ok(rows)
            }
            Work::RowGroup { row_group, first_row, .. } => {
                let Some(parquet) = &source.parquet else { return Ok(0) };
                let group = GroupReader::new(parquet, &source.file, self.plan, parts, row_group, first_row)?;
                let group = Group { reader: group, parquet, parts, file, index: job.index };
                let (rows, batches) = self.load_group(group, job.sequence, sink, &mut rejects, log)?;
                let declared = parquet.row_group_rows(row_group);
                if rows != declared || batches != parquet.batches(row_group) {
                    let cause = format!("row group {row_group} has {rows} rows where the footer says {declared}");
                    return Err(Stop::Error(ImportError::Damaged { file: source.file.path.clone(), cause }));
                }
                log.lock().complete(job.index, rejects)?;
                Ok(rows)
            }
        }
    }

    /// Returns rows and batches.
    fn load_group(
        &self,
        mut group: Group<'_>,
        first_sequence: u64,
        sink: &dyn Sink,
        rejects: &mut ChunkRejects<'_>,
        log: &Mutex<RejectLog>,
    ) -> std::result::Result<(u64, u64), Stop> {
        let file_bytes = self.sources[group.file].file.bytes as f64;
        let (mut rows, mut batches) = (0, 0);
        while let Some(loaded) = group.reader.next(rejects)? {
            let (events, count) = match loaded {
                Loaded::Events(events, count) => (events, count),
                Loaded::Widen(misfit) => return Err(Stop::Widen(group.file, misfit)),
            };
            if self.progress.cancelled() {
                return Err(Stop::Error(ImportError::Cancelled));
            }
            let bytes = file_bytes * count as f64 / group.parquet.rows().max(1) as f64;
            self.progress.advance(bytes as u64, count);
            let wanted = log.lock().take_early(group.index, rejects)?;
            if wanted {
                self.push(group.parts, first_sequence + batches, &events, sink)?;
            }
            rows += count;
            batches += 1;
        }
        Ok((rows, batches))
    }

    fn push(&self, parts: &FilePlan, sequence: u64, events: &EventBatch, sink: &dyn Sink) -> Result<()> {
        let has_events = matches!(parts.event, EventSource::Column(_));
        let noticed = Notices::of_batch(sequence, events, has_events);
        self.notices.lock().merge(noticed);
        Ok(sink.push(sequence, events)?)
    }

    fn survey_job(&self, job: Job, found: &mut [Option<Survey>], seen: &[Option<Survey>]) -> Result<()> {
        let (Work::Text { file, .. } | Work::RowGroup { file, .. }) = job.work;
        let source = &self.sources[file];
        let blank = || seen[file].as_ref().map_or_else(Survey::default, Survey::blank);
        let survey = found[file].get_or_insert_with(blank);
        match job.work {
            Work::Text { chunk, is_first, .. } => match (source.file.format, self.parts(file)) {
                (FileFormat::JsonLines, _) => {
                    json::observe_chunk(&chunk, &self.options.columns, self.options.time_zone, u64::MAX, survey);
                    survey.check_width(&source.file.path)?;
                }
                (_, Some(parts)) => {
                    let skip_header = is_first && self.options.header;
                    let dialect = self.dialect(parts);
                    delimited::observe_chunk(&chunk, skip_header, &dialect, self.options.time_zone, u64::MAX, survey);
                }
                (_, None) => {}
            },
            Work::RowGroup { row_group, .. } => {
                if let Some(parquet) = &source.parquet {
                    parquet.observe(&source.file, row_group, survey)?;
                }
            }
        }
        Ok(())
    }
}

/// A row group that is being loaded.
struct Group<'a> {
    reader: GroupReader<'a>,
    parquet: &'a ParquetFile,
    parts: &'a FilePlan,
    /// Its file, by its place.
    file: usize,
    /// The number of its job.
    index: u64,
}

/// Memory that the events of a chunk take on their way, about, in bytes: the text, its parts as arrays and once more as
/// the table keeps them; and for every row, numbers and codes, which a row has for the columns without a value too.
fn text_bytes(chunk: &Chunk, columns: usize) -> u64 {
    let rows = chunk.lines + 1;
    3 * chunk.bytes.len() as u64 + rows.saturating_mul(40 + 18 * columns as u64)
}
