//! Other logs than files of the store: one in memory, and ones that fail.

use crate::model::{batch, digest_of};
use crate::script::{Operation, create_with, expected, operations, options, run};
use std::sync::Arc;
use trodden_engine::error::ErrorKind;
use trodden_engine::log::{FaultyLogs, FileLogs, Logs, MemoryLogs};
use trodden_engine::storage::{MemoryStore, Store};
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, EngineOptions};

fn with(logs: &(impl Logs + Clone + 'static)) -> EngineOptions {
    EngineOptions { logs: Arc::new(logs.clone()), ..options() }
}

fn log_files(store: &MemoryStore) -> usize {
    store.list("tables/").unwrap().iter().filter(|name| name.contains("/log-")).count()
}

#[test]
fn a_log_in_memory_keeps_what_files_keep() {
    let operations = operations(150, 11);
    let digests = expected(&operations);
    let (store, logs) = (MemoryStore::new(), MemoryLogs::new());
    let (mut engine, mut table) = create_with(Arc::new(store.clone()), with(&logs)).unwrap();
    for (at, operation) in operations.iter().enumerate() {
        run(&table, operation).unwrap();
        if at % 7 == 0 {
            drop((engine, table));
            engine = Engine::open_store(Arc::new(store.clone()), with(&logs)).unwrap();
            table = engine.table("t").unwrap();
        }
        assert_eq!(digest_of(&table).unwrap(), digests[at + 1], "after operation {at}, {operation:?}");
        assert_eq!(engine.check(), [], "after operation {at}");
        assert_eq!(log_files(&store), 0);
    }
}

#[test]
fn what_was_not_flushed_is_in_the_log_alone_and_goes_with_the_table() {
    let (store, logs) = (MemoryStore::new(), MemoryLogs::new());
    let (engine, table) = create_with(Arc::new(store.clone()), with(&logs)).unwrap();
    let Some(Operation::Append(events)) = operations(9, 3).into_iter().find(|one| matches!(one, Operation::Append(_)))
    else {
        unreachable!("most operations append")
    };
    table.append(batch(&events)).unwrap();
    let rows = table.snapshot().rows();
    assert!(rows > 0);
    drop((engine, table));
    // Whoever opens the database with other logs has not what these have; nothing is written by that.
    let rows_with = |logs: &MemoryLogs| {
        let engine = Engine::open_store(Arc::new(store.clone()), with(logs)).unwrap();
        engine.table("t").unwrap().snapshot().rows()
    };
    assert_eq!(rows_with(&MemoryLogs::new()), 0);
    assert_eq!(rows_with(&logs), rows);
    let engine = Engine::open_store(Arc::new(store.clone()), with(&logs)).unwrap();
    engine.table("t").unwrap().append(batch(&events[..1])).unwrap();
    engine.drop_table("t").unwrap();
    drop(engine);
    // The next table has the number of the dropped one, and not its events.
    let engine = Engine::open_store(Arc::new(store.clone()), with(&logs)).unwrap();
    drop((engine.create_table("t", Schema::default(), TableOptions::default()).unwrap(), engine));
    assert_eq!(store.list("tables/1/manifest-").unwrap().len(), 1);
    assert_eq!(rows_with(&logs), 0);
}

/// What of an append that failed is there when the database is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    All,
}

/// Run the script with the `n`-th append of the log failing, then open the database again and do the rest.
fn fail_and_go_on(inner: Arc<dyn Logs>, operations: &[Operation], digests: &[u64], n: u64, left: Left) {
    let what = format!("append {n} of {inner:?} fails and leaves {left:?}");
    let (store, logs) = (MemoryStore::new(), FaultyLogs::new(inner));
    let (engine, table) = create_with(Arc::new(store.clone()), with(&logs)).unwrap();
    match left {
        Left::Nothing => logs.fail_append(n),
        Left::All => logs.fail_sync(n),
    }
    let failed = operations.iter().enumerate().find_map(|(at, one)| Some((at, one, run(&table, one).err()?)));
    let (done, operation, error) = failed.unwrap_or_else(|| panic!("{what}: nothing failed"));
    assert_eq!(error.kind(), ErrorKind::Io, "{what}: {error}");
    assert!(error.to_string().contains("injected"), "{what}: {error}");
    // It is not acknowledged, so nobody sees it; and the table writes no more.
    assert_eq!(digest_of(&table).unwrap(), digests[done], "{what}");
    assert_eq!(run(&table, operation).unwrap_err().kind(), ErrorKind::Poisoned, "{what}");
    assert_eq!(table.flush().unwrap_err().kind(), ErrorKind::Poisoned, "{what}");
    assert_eq!(logs.appends(), n, "{what}: a failed write is tried again");
    drop((engine, table));
    let engine = Engine::open_store(Arc::new(store), with(&logs)).unwrap();
    let table = engine.table("t").unwrap();
    let done = done + usize::from(left == Left::All);
    assert_eq!(digest_of(&table).unwrap(), digests[done], "{what}, opened again");
    assert_eq!(engine.check(), [], "{what}");
    for (at, operation) in operations.iter().enumerate().skip(done) {
        run(&table, operation).unwrap_or_else(|error| panic!("{what}: {at}, {operation:?}: {error}"));
    }
    assert_eq!(digest_of(&table).unwrap(), digests[operations.len()], "{what}, at the end");
    assert_eq!(engine.check(), [], "{what}, at the end");
}

#[test]
fn an_append_that_fails_is_not_seen_and_writes_go_on_when_the_database_is_opened_again() {
    let operations = operations(60, 12);
    let digests = expected(&operations);
    let counted = FaultyLogs::new(Arc::new(FileLogs));
    let (_engine, table) = create_with(Arc::new(MemoryStore::new()), with(&counted)).unwrap();
    operations.iter().for_each(|operation| run(&table, operation).unwrap());
    assert!(counted.appends() > 20, "{} appends", counted.appends());
    for n in 1..=counted.appends() {
        for left in [Left::Nothing, Left::All] {
            fail_and_go_on(Arc::new(FileLogs), &operations, &digests, n, left);
            fail_and_go_on(Arc::new(MemoryLogs::new()), &operations, &digests, n, left);
        }
    }
}
