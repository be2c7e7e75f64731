//! What needs a table with limits, or a store, that no caller can ask for.

use super::*;
use crate::error::Result;
use crate::ingest::EventBatch;
use crate::log::FileLogs;
use crate::storage::{AppendFile, Blob, BlobWriter, FaultStore, Scratch, StoreLock};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

fn limits() -> Limits {
    Limits {
        memtable_rows: 100,
        memtable_bytes: 1 << 30,
        import_memory_bytes: 1 << 20,
        record_bytes: 1 << 20,
        threads: 1,
    }
}

fn table_in(store: Arc<dyn Store>, limits: Limits) -> Result<Table> {
    let lock: Arc<dyn StoreLock> = Arc::from(store.lock()?);
    let options = TableOptions { shards: 2, ..TableOptions::default() };
    let seams = Seams { store, lock, logs: Arc::new(FileLogs) };
    Table::create(seams, &Manifest::first(1, "t", Schema::default(), options), limits)
}

/// Events of `users`, one each, each with a text of `bytes` bytes.
fn events(users: std::ops::Range<usize>, bytes: usize) -> EventBatch {
    let count = users.len();
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(users.clone().map(|n| format!("{n:0bytes$}"))));
    EventBatch {
        user_id: StringArray::from_iter_values(users.map(|n| format!("user {n}"))),
        ts: Int64Array::from(vec![1; count]),
        event: StringArray::from_iter_values(vec!["x"; count]),
        event_id: None,
        properties: vec![("t".into(), text)],
    }
}

#[test]
fn a_record_above_the_limit_is_refused_and_changes_nothing() {
    let store = FaultStore::new();
    let table = table_in(Arc::new(store.clone()), Limits { record_bytes: 2000, ..limits() }).unwrap();
    table.append(events(0..10, 20)).unwrap();
    let writes = store.writes();
    let error = table.append(events(10..20, 200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceLimit, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("smaller")), "{error}");
    assert_eq!(store.writes(), writes);
    // The users of the refused batch are as new as before, and the table is as sound.
    assert_eq!(table.append(events(10..20, 20)).unwrap().accepted, 10);
    assert_eq!(table.snapshot().rows(), 20);
}

/// A column without a value brings no type, whatever its sender thinks that it is.
#[test]
fn a_column_of_nulls_fits_a_column_of_any_type() {
    use arrow_array::{BooleanArray, Float64Array};
    let store = FaultStore::new();
    let nulls: [ArrayRef; 4] = [
        Arc::new(Float64Array::from(vec![None, None])),
        Arc::new(StringArray::from(vec![None::<&str>, None])),
        Arc::new(BooleanArray::from(vec![None, None])),
        Arc::new(Int64Array::from(vec![None, None])),
    ];
    let values: [ArrayRef; 4] = [
        Arc::new(Float64Array::from(vec![1.5, 2.5])),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(BooleanArray::from(vec![true, false])),
        Arc::new(Int64Array::from(vec![1, 2])),
    ];
    for (number, held) in values.iter().enumerate() {
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let batch =
            |column: &ArrayRef| EventBatch { properties: vec![("c".into(), Arc::clone(column))], ..events(0..2, 1) };
        let open = |store| crate::Engine::open_store(store, crate::EngineOptions::default()).unwrap();
        let engine = open(Arc::clone(&store));
        let table = engine.create_table(&format!("t{number}"), Schema::default(), TableOptions::default()).unwrap();
        table.append(batch(held)).unwrap();
        let schema = table.schema();
        for column in &nulls {
            assert_eq!(table.append(batch(column)).unwrap().accepted, 2);
        }
        assert_eq!(table.append(batch(held)).unwrap().accepted, 2);
        drop((table, engine));
        // From the log, too.
        let engine = open(store);
        let table = engine.table(&format!("t{number}")).unwrap();
        assert_eq!((table.schema(), table.snapshot().rows()), (schema, 12));
        assert_eq!(engine.check(), []);
    }
}

/// A store of which log writes can be made to panic, and segments to fail.
#[derive(Debug, Clone, Default)]
struct Naughty {
    inner: FaultStore,
    panic: Arc<AtomicBool>,
    no_segments: Arc<AtomicBool>,
}

struct NaughtyFile {
    inner: Box<dyn AppendFile>,
    panic: Arc<AtomicBool>,
}

impl AppendFile for NaughtyFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        assert!(!self.panic.load(Ordering::SeqCst), "a panic on purpose");
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.inner.sync()
    }
}

impl Store for Naughty {
    fn lock(&self) -> Result<Box<dyn StoreLock>> {
        self.inner.lock()
    }

    fn remove_unfinished(&self) -> Result<()> {
        self.inner.remove_unfinished()
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        self.inner.sync_directory(directory)
    }

    fn remove_directory(&self, directory: &str) -> Result<()> {
        self.inner.remove_directory(directory)
    }

    fn get(&self, name: &str) -> Result<Blob> {
        self.inner.get(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }

    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>> {
        match self.no_segments.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::StorageFull, "no segment on purpose")),
            false => self.inner.create(name),
        }
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.inner.put_if_absent(name, bytes)
    }

    fn create_append(&self, name: &str) -> Result<Box<dyn AppendFile>> {
        let inner = self.inner.create_append(name)?;
        Ok(Box::new(NaughtyFile { inner, panic: self.panic.clone() }))
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        self.inner.scratch()
    }

    fn size(&self, name: &str) -> Result<u64> {
        self.inner.size(name)
    }

    fn discard(&self) -> Result<()> {
        self.inner.discard()
    }

    fn local_path(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}

#[test]
fn a_panic_of_the_writing_thread_is_told_to_the_others() {
    let store = Naughty::default();
    let table = table_in(Arc::new(store.clone()), limits()).unwrap();
    table.append(events(0..1, 5)).unwrap();
    store.panic.store(true, Ordering::SeqCst);
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for writer in 1..4 {
            let (table, told) = (&table, told.clone());
            scope.spawn(move || {
                let append = || table.append(events(writer..writer + 1, 5)).map(|_| ()).map_err(|error| error.kind());
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(append));
                let _ = told.send(outcome.map_err(|_| ()));
            });
        }
        let outcomes: Vec<_> = (1..4)
            .map(|_| {
                let outcome = heard.recv_timeout(std::time::Duration::from_secs(20));
                // Threads that wait for ever would keep the scope from ending.
                outcome.unwrap_or_else(|_| std::process::abort())
            })
            .collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "one wrote: {outcomes:?}");
        assert!(outcomes.iter().flatten().all(|outcome| outcome.is_err()), "{outcomes:?}");
    });
    store.panic.store(false, Ordering::SeqCst);
    assert_eq!(table.append(events(9..10, 5)).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(table.snapshot().rows(), 1);
}

#[test]
fn appends_stop_when_memory_is_full_and_go_on_when_it_can_be_written() {
    let store = Naughty::default();
    let table = table_in(Arc::new(store.clone()), limits()).unwrap();
    store.no_segments.store(true, Ordering::SeqCst);
    let mut accepted = 0;
    let error = loop {
        match table.append(events(accepted..accepted + 50, 5)) {
            Ok(_) => accepted += 50,
            Err(error) => break error,
        }
        assert!(accepted <= 400 + 50, "{accepted} rows in memory");
    };
    assert_eq!((accepted, error.kind()), (400, ErrorKind::ResourceLimit), "{error}");
    assert!(error.message().contains("no segment on purpose"), "{error}");
    assert_eq!(table.snapshot().rows(), 400, "reading goes on");
    store.no_segments.store(false, Ordering::SeqCst);
    table.append(events(400..450, 5)).unwrap();
    assert_eq!(table.snapshot().rows(), 450);
    assert!(table.shared.state.read().memory_rows() <= 100);
}

#[test]
fn a_follower_is_told_what_a_later_snapshot_has() {
    let table = table_in(Arc::new(FaultStore::new()), limits()).unwrap();
    table.append(events(0..3, 1)).unwrap();
    let before = table.snapshot();
    let (follower, forgetful) = (before.follow(1 << 20), before.follow(10));
    table.append(events(2..8, 1)).unwrap();
    assert!(table.delete_user("user 1").unwrap());
    let after = table.snapshot();
    assert_eq!(follower.take(before.position + 1).map(|records| records.len()), Some(1));
    // Told once: whoever takes keeps.
    assert_eq!(follower.take(after.position).map(|records| records.len()), Some(0));
    assert!(follower.take(before.position).is_none());
    assert!(forgetful.take(before.position).is_none(), "more than it may hold");
    let follower = after.follow(1 << 20);
    table.append(events(20..22, 1)).unwrap();
    let latest = table.snapshot();
    let records = follower.take(after.position).unwrap();
    assert_eq!(records.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [latest.position]);
    let part = latest.of_changes(records.iter().flat_map(|(_, changes)| changes));
    assert_eq!(part.rows(), 2);
    let import = table.begin_import(&[7]).unwrap();
    import.push(0, events(30..33, 1)).unwrap();
    import.commit().unwrap();
    assert!(follower.take(latest.position).is_none(), "an import is not told event by event");
}

#[test]
fn derived_bytes_are_whole_or_not_there() {
    let store = FaultStore::new();
    let table = table_in(Arc::new(store.clone()), limits()).unwrap();
    let handle = table.snapshot().handle();
    assert!(handle.read_derived("x").unwrap().is_none());
    handle.write_derived("x", b"first").unwrap();
    handle.write_derived("x", b"second").unwrap();
    assert_eq!(handle.read_derived("x").unwrap().unwrap().as_slice(), b"second");
    assert_eq!(handle.derived().unwrap(), ["x"]);
    table.append(events(0..3, 1)).unwrap();
    table.compact(true).unwrap();
    assert!(handle.derived().unwrap().is_empty(), "it may hold what was deleted");
    drop(table);
    assert!(handle.snapshot().is_none());
}
