//! Imports of small files into a table in memory, and of real data where it is there.

mod bad_input;
mod bounds;
mod formats;
mod notes;
mod real_data;
mod rejects;
mod typed;
mod types;

use super::plan::TableShape;
use super::target::{Sink, Stored, Target};
use super::*;
use arrow_array::Array;
use datafusion::arrow::util::display::array_value_to_string;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use trodden_engine::error::Result as EngineResult;
use trodden_engine::ingest::EventBatch;
use trodden_engine::stop::Stop;
use trodden_engine::types::{ColumnType, Schema};

/// A table that keeps what it is given as lines of text.
#[derive(Default)]
struct Memory {
    shape: TableShape,
    imported: Mutex<HashSet<u128>>,
    rows: Mutex<Vec<String>>,
    batches: Mutex<u64>,
}

struct Running<'a> {
    memory: &'a Memory,
    fingerprints: Vec<u128>,
    batches: Mutex<BTreeMap<u64, EventBatch>>,
}

impl Target for Memory {
    fn shape(&self) -> TableShape {
        self.shape.clone()
    }

    fn is_imported(&self, fingerprint: u128) -> bool {
        self.imported.lock().contains(&fingerprint)
    }

    fn begin<'a>(&'a self, fingerprints: &[u128]) -> EngineResult<Box<dyn Sink + 'a>> {
        Ok(Box::new(Running { memory: self, fingerprints: fingerprints.to_vec(), batches: Mutex::default() }))
    }
}

impl Sink for Running<'_> {
    fn push(&self, sequence: u64, batch: &EventBatch) -> EngineResult<()> {
        assert!(self.batches.lock().insert(sequence, batch.clone()).is_none(), "number {sequence} was used twice");
        Ok(())
    }

    fn commit(self: Box<Self>, _stop: Stop<'_>) -> EngineResult<Stored> {
        let batches = self.batches.into_inner();
        assert!(batches.keys().copied().eq(0..batches.len() as u64), "a number was left out");
        let mut rows = self.memory.rows.lock();
        let before = rows.len();
        *self.memory.batches.lock() += batches.len() as u64;
        batches.values().for_each(|batch| rows.extend((0..batch.ts.len()).map(|row| line(batch, row))));
        self.memory.imported.lock().extend(self.fingerprints);
        Ok(Stored { accepted: (rows.len() - before) as u64, ..Stored::default() })
    }
}

/// `user @ seconds.µs event #id name=value …`, values that are NULL left out.
fn line(batch: &EventBatch, row: usize) -> String {
    assert_eq!(batch.ts.null_count() + batch.user_id.null_count() + batch.event.null_count(), 0);
    let us = batch.ts.value(row);
    let mut text = format!(
        "{} @{}.{:06} {}",
        batch.user_id.value(row),
        us.div_euclid(1_000_000),
        us.rem_euclid(1_000_000),
        batch.event.value(row)
    );
    if let Some(id) = batch.event_id.as_ref().filter(|id| id.is_valid(row)) {
        text += &format!(" #{}", id.value(row));
    }
    for (name, values) in &batch.properties {
        assert_eq!(values.len(), batch.ts.len());
        if values.is_valid(row) {
            text += &format!(" {name}={}", array_value_to_string(values, row).unwrap());
        }
    }
    text
}

/// A directory with files, gone at the end.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pattern(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Write a file, compressed as its name says.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        self.replace(name, &compress(name, content.as_ref()));
        path.display().to_string()
    }

    /// Write a file anew. Some file systems flush a file that is cut and written again, which takes long.
    fn replace(&self, name: &str, content: &[u8]) {
        let _ = std::fs::remove_file(self.path(name));
        std::fs::write(self.path(name), content).unwrap();
    }
}

fn compress(name: &str, content: &[u8]) -> Vec<u8> {
    if name.ends_with(".gz") {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    } else if name.ends_with(".zst") {
        zstd::encode_all(content, 1).unwrap()
    } else {
        content.to_vec()
    }
}

fn import_into(memory: &Memory, options: &ImportOptions) -> Result<ImportSummary> {
    run(memory, options, &Silent, AHEAD_BYTES)
}

/// Import into an empty table: the summary and the rows.
fn import(options: &ImportOptions) -> Result<(ImportSummary, Vec<String>)> {
    let memory = Memory::default();
    let summary = import_into(&memory, options)?;
    Ok((summary, memory.rows.into_inner()))
}

fn import_file(path: &str) -> Result<(ImportSummary, Vec<String>)> {
    import(&ImportOptions::file(path))
}

/// The type that the import chose for a column.
fn type_of(summary: &ImportSummary, name: &str) -> Option<ColumnType> {
    summary.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}")).column_type
}
