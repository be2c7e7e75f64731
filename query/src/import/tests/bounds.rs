//! Events that wait in the table for those before them: never more than the limit, however slow the first is.

use super::*;
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray};
use parking_lot::Condvar;
use std::time::Duration;

/// A table whose first batch is slow, and which knows how many batches waited for their turn at most.
#[derive(Default)]
struct Slow {
    state: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    early: HashSet<u64>,
    most: usize,
}

impl Target for Slow {
    fn shape(&self) -> TableShape {
        TableShape::default()
    }

    fn is_imported(&self, _fingerprint: u128) -> bool {
        false
    }

    fn begin<'a>(&'a self, _fingerprints: &[u128]) -> EngineResult<Box<dyn Sink + 'a>> {
        Ok(Box::new(Gate(self)))
    }
}

struct Gate<'a>(&'a Slow);

impl Sink for Gate<'_> {
    fn push(&self, sequence: u64, _batch: &EventBatch) -> EngineResult<()> {
        let mut state = self.0.state.lock();
        if sequence == 0 {
            // The others may run ahead for so long.
            let _ = self.0.more.wait_for(&mut state, Duration::from_millis(1_500));
        }
        state.early.insert(sequence);
        loop {
            let next = state.next;
            if !state.early.remove(&next) {
                break;
            }
            state.next += 1;
        }
        state.most = state.most.max(state.early.len());
        Ok(())
    }

    fn commit(self: Box<Self>, _stop: Stop<'_>) -> EngineResult<Stored> {
        Ok(Stored::default())
    }
}

/// How many batches waited at most.
fn most_waiting(path: &str, ahead_bytes: u64) -> usize {
    let slow = Slow::default();
    let options = ImportOptions { threads: Some(8), ..ImportOptions::file(path) };
    run(&slow, &options, &Silent, ahead_bytes).unwrap();
    let state = slow.state.into_inner();
    assert!(state.next > 15 && state.early.is_empty());
    state.most
}

#[test]
fn chunks_of_text_wait_within_the_limit() {
    let files = Files::new();
    let row = format!("u,2024-05-01,e,{}\n", "x".repeat(10_000));
    let path = files.write("e.csv", "user_id,ts,event,note\n".to_string() + &row.repeat(2_000));
    // A chunk of 1 MiB counts as about 3 MiB: there is room for five and the short one at the end, and the one that is
    // next does not wait.
    let most = most_waiting(&path, 16 << 20);
    assert!((1..=5).contains(&most), "{most} chunks waited");
}

#[test]
fn row_groups_wait_within_the_limit() {
    let files = Files::new();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", std::sync::Arc::new(StringArray::from_iter_values((0..4_000).map(|row| format!("u{row:05}"))))),
        ("ts", std::sync::Arc::new(TimestampMillisecondArray::from_iter_values(0..4_000))),
        ("event", std::sync::Arc::new(StringArray::from_iter_values((0..4_000).map(|_| "e")))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties =
        ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    let file = std::fs::File::create(files.path("e.parquet")).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // A hundred rows count as at least 4,000 bytes.
    let most = most_waiting(&files.pattern("e.parquet"), 20_000);
    assert!((1..=4).contains(&most), "{most} row groups waited");
}
