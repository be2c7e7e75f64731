//! CREATE TABLE and DROP TABLE where the disk fails, and databases that are opened for a moment each time.

use crate::model::{Event, batch, view};
use crate::script::{create, options};
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::error::{ErrorKind, Result};
use trodden_engine::storage::{FaultStore, Store};
use trodden_engine::types::{Schema, TableOptions};

fn open(store: &FaultStore) -> Result<Engine> {
    Engine::open_store(Arc::new(store.clone()), options())
}

fn make(engine: &Engine) -> Result<()> {
    engine.create_table("t", Schema::default(), TableOptions { shards: 2, ..TableOptions::default() }).map(|_| ())
}

fn event(user: &str, ts: i64) -> Event {
    Event { user: user.into(), ts, name: "x".into(), id: None, properties: Vec::new() }
}

/// Make a table while `fail` makes something fail, then again, and look at it after a crash and after a power cut.
fn create_twice(fail: impl Fn(&FaultStore), what: &str) -> bool {
    let store = FaultStore::new();
    let engine = open(&store).unwrap();
    fail(&store);
    let first = make(&engine);
    let failed = first.is_err();
    let again = make(&engine);
    let kind = again.as_ref().map_err(|error| error.kind());
    let expected: &[_] = if failed { &[Ok(&()), Err(ErrorKind::Poisoned)] } else { &[Err(ErrorKind::AlreadyExists)] };
    assert!(expected.contains(&kind), "{what}: {kind:?}");
    let acknowledged = first.is_ok() || again.is_ok();
    store.fail_sync(u64::MAX);
    store.fail_write(u64::MAX);
    if acknowledged {
        engine.table("t").unwrap().append(batch(&[event("anna", 1)])).unwrap();
    }
    drop(engine);
    for (image, name) in [(store.written_image(), "crash"), (store.durable_image(), "power cut")] {
        let engine = open(&FaultStore::from_image(image)).unwrap_or_else(|error| panic!("{what}, {name}: {error}"));
        match engine.table("t") {
            Ok(table) if acknowledged => assert_eq!(view(&table.snapshot()).unwrap().len(), 1, "{what}, {name}"),
            Ok(_) => {}
            Err(error) => assert!(!acknowledged, "{what}, {name}: {error}"),
        }
        assert_eq!(engine.check(), [], "{what}, {name}");
        if engine.table("t").is_err() {
            make(&engine).unwrap();
        }
    }
    failed
}

#[test]
fn a_table_that_could_not_be_made_can_be_made_again() {
    let mut failures = 0;
    for n in 1..12 {
        let failed = create_twice(|store| store.fail_sync(store.syncs() + n), &format!("sync {n} fails"));
        failures += usize::from(failed);
        let failed = create_twice(|store| store.fail_write(store.writes() + n), &format!("write {n} fails"));
        failures += usize::from(failed);
    }
    assert!(failures >= 2, "{failures} creations failed");
}

#[test]
fn a_drop_that_a_power_cut_interrupts_is_a_drop_or_none() {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    table.append(batch(&[event("anna", 1)])).unwrap();
    table.flush().unwrap();
    table.append(batch(&[event("anna", 2)])).unwrap();
    drop(table);
    store.record_history();
    engine.drop_table("t").unwrap();
    let mut moments = store.take_history();
    moments.push(store.moment());
    for moment in moments {
        // Deletions that were not synced may have arrived, each on its own.
        let gone: Vec<&String> = moment.durable.keys().filter(|name| !moment.written.contains_key(*name)).collect();
        for arrived in 0..1_u32 << gone.len() {
            let mut image = moment.durable.clone();
            gone.iter().enumerate().filter(|(at, _)| arrived >> at & 1 == 1).for_each(|(_, name)| {
                image.remove(*name);
            });
            let engine = open(&FaultStore::from_image(image)).unwrap();
            if let Ok(table) = engine.table("t") {
                assert_eq!(view(&table.snapshot()).unwrap()["anna"].len(), 2);
            }
            assert_eq!(engine.check(), []);
        }
    }
    assert!(store.list("tables/").unwrap().is_empty());
}

#[test]
fn two_hundred_short_processes_leave_few_segments() {
    let store = FaultStore::new();
    drop(create(Arc::new(store.clone())).unwrap());
    for n in 0..200 {
        let engine = open(&store).unwrap();
        let table = engine.table("t").unwrap();
        table.append(batch(&[event("anna", n), event("ben", n)])).unwrap();
    }
    let engine = open(&store).unwrap();
    let snapshot = engine.table("t").unwrap().snapshot();
    assert_eq!(view(&snapshot).unwrap().values().map(Vec::len).sum::<usize>(), 400);
    for shard in &snapshot.shards {
        assert!(shard.segments.len() <= 24, "{} segments", shard.segments.len());
    }
}

#[test]
fn two_hundred_flushes_leave_few_segments() {
    let (_engine, table) = create(Arc::new(FaultStore::new())).unwrap();
    for n in 0..200 {
        table.append(batch(&[event("anna", n), event("ben", n)])).unwrap();
        table.flush().unwrap();
    }
    assert!(table.snapshot().shards.iter().all(|shard| shard.segments.len() <= 24));
}

#[test]
fn deleted_users_leave_the_disk_without_being_asked_to() {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    table.append(batch(&[event("anna", 1), event("ben", 1), event("carl", 1)])).unwrap();
    table.flush().unwrap();
    assert_eq!(table.snapshot().rows(), 3);
    table.delete_user("anna").unwrap();
    assert_eq!(table.snapshot().rows(), 3, "hidden, and still there");
    table.flush().unwrap();
    assert_eq!(table.snapshot().rows(), 2, "the next flush takes the occasion");
    assert_eq!(engine.check(), []);
}
