//! Several writers and readers at once.

use crate::model::{Event, batch, view};
use crate::script::create;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trodden_engine::storage::{FaultStore, Store};
use trodden_engine::{Engine, EngineOptions};

fn event(writer: u64, n: u64) -> Event {
    Event {
        user: format!("user {}", n % 7),
        ts: 1_700_000_000_000_000 + n as i64,
        name: format!("writer {writer}"),
        id: Some(format!("{writer}/{n}")),
        properties: Vec::new(),
    }
}

#[test]
fn acknowledged_events_are_in_the_next_snapshot_whoever_writes() {
    const WRITERS: u64 = 4;
    const BATCHES: u64 = 40;
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    let acknowledged = AtomicU64::new(0);
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (table, acknowledged) = (&table, &acknowledged);
                scope.spawn(move || {
                    for n in 0..BATCHES {
                        let events: Vec<Event> = (0..3).map(|k| event(writer, 3 * n + k)).collect();
                        assert_eq!(table.append(batch(&events)).unwrap().accepted, 3);
                        acknowledged.fetch_add(3, Ordering::SeqCst);
                        // Each event again, by whoever comes later: never accepted.
                        assert_eq!(table.append(batch(&events)).unwrap().duplicates, 3);
                    }
                })
            })
            .collect();
        let (table, acknowledged, finished) = (&table, &acknowledged, &finished);
        scope.spawn(move || {
            while !finished.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let snapshot = table.snapshot();
                let count: usize = view(&snapshot).unwrap().values().map(Vec::len).sum();
                assert!(count as u64 >= least, "{count} events are seen, {least} were acknowledged");
                assert_eq!(count % 3, 0, "half of a batch is seen");
                let again: usize = view(&snapshot).unwrap().values().map(Vec::len).sum();
                assert_eq!(count, again, "a snapshot changes");
            }
        });
        scope.spawn(move || {
            while !finished.load(Ordering::SeqCst) {
                table.flush().unwrap();
                table.compact(false).unwrap();
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        finished.store(true, Ordering::SeqCst);
    });
    let all: usize = view(&table.snapshot()).unwrap().values().map(Vec::len).sum();
    assert_eq!(all as u64, WRITERS * BATCHES * 3);
    assert_eq!(engine.check(), []);
}

#[test]
fn waiting_batches_share_a_sync() {
    let store = FaultStore::new();
    let slow: Arc<dyn Store> = Arc::new(store.clone());
    let engine = Engine::open_store(slow, EngineOptions::default()).unwrap();
    let table = engine.create_table("t", Default::default(), Default::default()).unwrap();
    table.append(batch(&[event(99, 0)])).unwrap();
    let before = store.syncs();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let table = &table;
            scope.spawn(move || {
                for n in 0..25 {
                    table.append(batch(&[event(writer, n)])).unwrap();
                }
            });
        }
    });
    let syncs = store.syncs() - before;
    assert!(syncs <= 200, "never more than one sync a batch, here {syncs}");
    let all: usize = view(&table.snapshot()).unwrap().values().map(Vec::len).sum();
    assert_eq!(all, 201);
}
