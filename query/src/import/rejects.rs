//! Rows that are not taken: counted, and written to a file, in the order of the files whichever thread met them.

use super::error::{ImportError, Result};
use super::summary::Reject;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Rejects that a message shows.
const SHOWN: usize = 5;
/// Longest text of a row that is kept, in bytes.
const ROW_TEXT_MAX: usize = 1 << 20;

/// The rejects of one piece of work.
pub(super) struct ChunkRejects<'a> {
    file: &'a str,
    /// Whether all are kept, or only those that a message shows.
    keep_all: bool,
    pub(super) count: u64,
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

    /// Piece `index` of the work is done.
    ///
    /// # Errors
    /// [`ImportError::TooManyRejects`] with the first rejects in order of the files.
    pub(super) fn complete(&mut self, index: u64, rejects: ChunkRejects<'_>) -> Result<()> {
        self.waiting.insert(index, (rejects.count, rejects.kept));
        while let Some((count, rejects)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.count += count;
            for reject in rejects {
                self.write(reject)?;
            }
        }
        if self.count <= self.max_rejects {
            return Ok(());
        }
        self.flush()?;
        let written_to = self.writer.as_ref().map(|(path, _)| path.clone());
        Err(ImportError::TooManyRejects { max_rejects: self.max_rejects, first: self.first.clone(), written_to })
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
    pub(super) fn finish(mut self) -> Result<(u64, Vec<Reject>)> {
        self.flush()?;
        Ok((self.count, self.first))
    }
}
