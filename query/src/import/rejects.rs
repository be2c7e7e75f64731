//! Rows that are not taken: counted, and written to a file, in the order of the files whichever thread met them.

use super::error::{ImportError, Result};
use super::summary::Reject;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Rejects that a message shows.
const SHOWN: usize = 5;
/// The reason for a row whose bytes are no text.
pub(super) const NOT_UTF8: &str = "invalid UTF-8";
/// Longest text of a row that is kept, in bytes.
const ROW_TEXT_MAX: usize = 1 << 20;

/// The rejects of one piece of work.
pub(super) struct ChunkRejects<'a> {
    file: &'a str,
    /// Whether all are kept, or only those that a message shows.
    keep_all: bool,
    count: u64,
    kept: Vec<Reject>,
}

impl<'a> ChunkRejects<'a> {
    pub(super) fn new(file: &'a str, keep_all: bool) -> Self {
        Self { file, keep_all, count: 0, kept: Vec::new() }
    }

    pub(super) fn add(&mut self, line: u64, reason: String, row: impl FnOnce() -> String) {
        self.count += 1;
        if self.keep_all || self.kept.len() < SHOWN {
            let mut row = row();
            if row.len() > ROW_TEXT_MAX {
                row.truncate((0..=ROW_TEXT_MAX).rev().find(|&end| row.is_char_boundary(end)).unwrap_or(0));
            }
            self.kept.push(Reject { file: self.file.into(), line, reason, row });
        }
    }
}

/// All rejects of a pass over the files.
pub(super) struct RejectLog {
    writer: Option<(PathBuf, BufWriter<File>)>,
    max_rejects: u64,
    /// The piece of work whose rejects come next.
    next: u64,
    waiting: BTreeMap<u64, (u64, Vec<Reject>)>,
    count: u64,
    first: Vec<Reject>,
}

impl RejectLog {
    pub(super) fn new(path: Option<&Path>, max_rejects: u64) -> Result<Self> {
        let create = |path: &Path| match File::create(path) {
            Ok(file) => Ok((path.to_path_buf(), BufWriter::new(file))),
            Err(source) => Err(ImportError::Rejects { path: path.into(), source }),
        };
        let writer = path.map(create).transpose()?;
        Ok(Self { writer, max_rejects, next: 0, waiting: BTreeMap::new(), count: 0, first: Vec::new() })
    }

    pub(super) fn keeps_all(&self) -> bool {
        self.writer.is_some()
    }

    /// Take what piece `index` of the work has rejected so far, if its turn has come: a large piece need not keep it to
    /// its end. Returns as [`RejectLog::complete`].
    pub(super) fn take_early(&mut self, index: u64, rejects: &mut ChunkRejects<'_>) -> Result<bool> {
        if index == self.next {
            self.take(std::mem::take(&mut rejects.count), std::mem::take(&mut rejects.kept))?;
        }
        self.check()
    }

    /// Piece `index` of the work is done. Returns whether its events are still wanted: above the limit the rest is read
    /// only to write all rejects down.
    ///
    /// # Errors
    /// [`ImportError::TooManyRejects`] with the first rejects in order of the files, if they are not written down.
    pub(super) fn complete(&mut self, index: u64, rejects: ChunkRejects<'_>) -> Result<bool> {
        self.waiting.insert(index, (rejects.count, rejects.kept));
        while let Some((count, rejects)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.take(count, rejects)?;
        }
        self.check()
    }

    fn take(&mut self, count: u64, rejects: Vec<Reject>) -> Result<()> {
        self.count += count;
        rejects.into_iter().try_for_each(|reject| self.write(reject))
    }

    fn is_over(&self) -> bool {
        self.count > self.max_rejects
    }

    fn check(&self) -> Result<bool> {
        match self.is_over() && !self.keeps_all() {
            true => Err(self.too_many()),
            false => Ok(!self.is_over()),
        }
    }

    fn too_many(&self) -> ImportError {
        let written_to = self.writer.as_ref().map(|(path, _)| path.clone());
        let (rejected, first) = (self.count, self.first.clone());
        ImportError::TooManyRejects { max_rejects: self.max_rejects, rejected, first, written_to }
    }

    fn write(&mut self, reject: Reject) -> Result<()> {
        if let Some((path, writer)) = &mut self.writer {
            let line = serde_json::to_string(&reject).unwrap_or_default();
            writeln!(writer, "{line}").map_err(|source| ImportError::Rejects { path: path.clone(), source })?;
        }
        if self.first.len() < SHOWN {
            self.first.push(reject);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.writer {
            Some((path, writer)) => {
                writer.flush().map_err(|source| ImportError::Rejects { path: path.clone(), source })
            }
            None => Ok(()),
        }
    }

    /// The end of a pass: number of rejects, and the first of them.
    ///
    /// # Errors
    /// [`ImportError::TooManyRejects`], with all of them written down.
    pub(super) fn finish(mut self) -> Result<(u64, Vec<Reject>)> {
        self.flush()?;
        match self.is_over() {
            true => Err(self.too_many()),
            false => Ok((self.count, self.first)),
        }
    }
}
