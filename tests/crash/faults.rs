//! Writes and syncs that fail, full disks, read-only directories.

use crate::model::{Model, batch, digest, digest_of};
use crate::script::{Operation, create, empty_model, expected, model_run, operations, options, run};
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::error::ErrorKind;
use trodden_engine::storage::FaultStore;

/// Run the script until an operation fails; how many succeeded, and how the next one failed.
fn run_until_error(store: &FaultStore, operations: &[Operation]) -> (usize, Option<ErrorKind>) {
    let Ok((engine, table)) = create(Arc::new(store.clone())) else { return (0, Some(ErrorKind::Io)) };
    for (done, operation) in operations.iter().enumerate() {
        if let Err(error) = run(&table, operation) {
            if let Operation::Append(events) = operation {
                // A failed write is never tried again.
                let writes = store.writes();
                let again = table.append(batch(events)).unwrap_err();
                assert_eq!(again.kind(), ErrorKind::Poisoned, "{again}");
                assert_eq!(store.writes(), writes);
            }
            return (done, Some(error.kind()));
        }
    }
    drop(engine);
    (operations.len(), None)
}

/// The models that a table may be like: the operation that failed was done, or it was not.
struct Models {
    models: Vec<Model>,
}

impl Models {
    fn new() -> Self {
        Self { models: vec![empty_model()] }
    }

    fn done(&mut self, operation: &Operation) {
        self.models.iter_mut().for_each(|model| model_run(model, operation));
    }

    fn failed(&mut self, operation: &Operation) {
        let mut with: Vec<Model> = self.models.clone();
        with.iter_mut().for_each(|model| model_run(model, operation));
        self.models.extend(with);
    }

    fn allow(&self, found: u64) -> bool {
        self.models.iter().any(|model| digest(&model.columns, &model.view()) == found)
    }
}

/// Run all of the script whatever fails; what the table may be like at the end. Writes are refused from the first one on
/// that is: the failure itself may have been in a flush, which an append does not wait for.
fn run_through(store: &FaultStore, operations: &[Operation], what: &str) -> Models {
    let mut models = Models::new();
    let Ok((_engine, table)) = create(Arc::new(store.clone())) else { return models };
    let mut poisoned = false;
    for (at, operation) in operations.iter().enumerate() {
        let writes = store.writes();
        match run(&table, operation) {
            Ok(()) if poisoned => {
                // What needs no write may go on.
                let idle = matches!(operation, Operation::Retention { .. });
                assert!(idle, "{what}: {at}, {operation:?} is done though writes are refused");
            }
            Ok(()) => models.done(operation),
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                assert_eq!(store.writes(), writes, "{what}: {at}, {operation:?} is refused and writes all the same");
                poisoned = true;
            }
            Err(error) => {
                assert!(!poisoned, "{what}: {at}, {operation:?} is tried though writes are refused: {error}");
                models.failed(operation);
            }
        }
        assert!(models.allow(digest_of(&table).unwrap()), "{what}: {at}, {operation:?}");
    }
    models
}

/// Look at the table after a crash and after a power cut.
fn check_images(store: &FaultStore, models: &Models, what: &str) {
    for (image, name) in [(store.written_image(), "crash"), (store.durable_image(), "power cut")] {
        let engine = Engine::open_store(Arc::new(FaultStore::from_image(image)), options()).unwrap();
        let Ok(table) = engine.table("t") else {
            assert!(models.models[0].events.is_empty(), "{what}, {name}: the table is gone");
            continue;
        };
        assert!(models.allow(digest_of(&table).unwrap()), "{what}, {name}");
        assert_eq!(engine.check(), [], "{what}, {name}");
    }
}

fn check_after(store: &FaultStore, done: usize, digests: &[u64], what: &str) {
    for (image, name) in [(store.written_image(), "crash"), (store.durable_image(), "power cut")] {
        let engine = Engine::open_store(Arc::new(FaultStore::from_image(image)), options()).unwrap();
        let Ok(table) = engine.table("t") else {
            assert_eq!(done, 0, "{what}, {name}: the table is gone");
            continue;
        };
        let found = digest_of(&table).unwrap();
        let allowed = &digests[done..digests.len().min(done + 2)];
        assert!(allowed.contains(&found), "{what}, {name}, after {done} operations");
        assert_eq!(engine.check(), [], "{what}, {name}");
    }
}

#[test]
fn every_failing_sync_keeps_what_was_acknowledged() {
    let operations = operations(60, 7);
    let digests = expected(&operations);
    let store = FaultStore::new();
    assert_eq!(run_until_error(&store, &operations), (60, None));
    for sync in 1..=store.syncs() {
        let (store, what) = (FaultStore::new(), format!("sync {sync} fails"));
        store.fail_sync(sync);
        let (done, _) = run_until_error(&store, &operations);
        check_after(&store, done, &digests, &what);
        let store = FaultStore::new();
        store.fail_sync(sync);
        let models = run_through(&store, &operations, &what);
        check_images(&store, &models, &what);
    }
}

#[test]
fn every_failing_write_keeps_what_was_acknowledged() {
    let operations = operations(60, 8);
    let digests = expected(&operations);
    let store = FaultStore::new();
    assert_eq!(run_until_error(&store, &operations), (60, None));
    // A segment is written in many pieces: every write of the first part, and a sample of the rest.
    for write in (1..=store.writes()).filter(|write| *write < 150 || write % 17 == 0) {
        let (store, what) = (FaultStore::new(), format!("write {write} fails"));
        store.fail_write(write);
        let (done, _) = run_until_error(&store, &operations);
        check_after(&store, done, &digests, &what);
        let store = FaultStore::new();
        store.fail_write(write);
        let models = run_through(&store, &operations, &what);
        check_images(&store, &models, &what);
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let operations = operations(120, 9);
    let digests = expected(&operations);
    let store = FaultStore::new();
    run_until_error(&store, &operations);
    let full = store.written_image().values().map(|bytes| bytes.len() as u64).sum::<u64>();
    for part in 1..10 {
        let store = FaultStore::new();
        store.set_capacity(Some(full * part / 20));
        let (done, kind) = run_until_error(&store, &operations);
        assert!(matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::Io)), "{kind:?}");
        store.set_capacity(None);
        check_after(&store, done, &digests, "the disk is full");
    }
}

#[test]
fn a_read_only_store_says_so() {
    let store = FaultStore::new();
    drop(create(Arc::new(store.clone())).unwrap());
    store.set_read_only(true);
    let error = Engine::open_store(Arc::new(store), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    assert!(error.hint().is_some(), "{error}");
}

#[test]
fn the_second_handle_is_told_that_it_is_locked() {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    let open = || Engine::open_store(Arc::new(store.clone()), options());
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Locked);
    drop(engine);
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Locked, "a table that is held keeps the database");
    drop(table);
    open().unwrap();
}
