//! Several writers and readers at once.

use crate::model::{Event, batch, view};
use crate::script::{create, options};
use crate::slow::SlowStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use trodden_engine::error::ErrorKind;
use trodden_engine::storage::FaultStore;
use trodden_engine::types::{Schema, TableOptions};
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
    const WRITERS: u64 = 16;
    const BATCHES: u64 = 12;
    let calls = Arc::new(AtomicU64::new(0));
    // A sync waits until eight more calls have come than there are records in the log.
    let came = calls.clone();
    let store = SlowStore::new(Duration::from_millis(200), move |records| came.load(Ordering::SeqCst) >= records + 8);
    let engine = Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).unwrap();
    let table = engine.create_table("t", Schema::default(), TableOptions::default()).unwrap();
    let before = store.inner.syncs();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (table, calls, store) = (&table, &calls, &store);
            scope.spawn(move || {
                for n in 0..BATCHES {
                    calls.fetch_add(1, Ordering::SeqCst);
                    store.tick();
                    table.append(batch(&[event(writer, n)])).unwrap();
                }
            });
        }
    });
    let syncs = store.inner.syncs() - before;
    assert!(syncs <= 50, "{} batches that wait in eights take {syncs} syncs", WRITERS * BATCHES);
    let all: usize = view(&table.snapshot()).unwrap().values().map(Vec::len).sum();
    assert_eq!(all as u64, WRITERS * BATCHES);
}

#[test]
fn that_a_user_is_gone_is_not_said_before_it_is_durable() {
    let open = Arc::new(AtomicBool::new(true));
    let may_go = open.clone();
    let store = SlowStore::new(Duration::from_secs(20), move |_| may_go.load(Ordering::SeqCst));
    let (_engine, table) = create(Arc::new(store.clone())).unwrap();
    table.append(batch(&[event(1, 1)])).unwrap();
    open.store(false, Ordering::SeqCst);
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (table, told) = (&table, told.clone());
            scope.spawn(move || told.send(table.delete_user("user 1").unwrap()).unwrap());
        }
        let early = heard.recv_timeout(Duration::from_millis(300));
        assert!(early.is_err(), "an answer that rests on a deletion which is not durable: {early:?}");
        open.store(true, Ordering::SeqCst);
        store.tick();
        let mut answers: Vec<bool> = heard.iter().take(2).collect();
        answers.sort_unstable();
        assert_eq!(answers, [false, true]);
    });
}

/// While a thread looks up users, imports of `count` users come to their ends, and every other one is given up.
fn look_up_during_imports(options: EngineOptions, rounds: u64, count: u64) {
    let engine = Engine::open_store(Arc::new(FaultStore::new()), options).unwrap();
    let table = engine.create_table("t", Schema::default(), TableOptions { shards: 2, ..Default::default() }).unwrap();
    let events = |first: u64, count: u64| -> Vec<Event> {
        let user = |n| Event { user: format!("user {n}"), ..event(1, n) };
        (first..first + count).map(user).collect()
    };
    table.append(batch(&events(0, 3000))).unwrap();
    table.flush().unwrap();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (table, finished) = (&table, &finished);
        let reader = scope.spawn(move || {
            let mut rounds = 0;
            while !finished.load(Ordering::SeqCst) || rounds == 0 {
                let snapshot = table.snapshot();
                for n in [1, 2999] {
                    assert!(snapshot.ordinal_of(&format!("user {n}")).unwrap().is_some(), "user {n} is lost");
                }
                // The newest user that the snapshot has in its segments is found through the catalog, too.
                for shard in &snapshot.shards {
                    let newest = shard.user_id(shard.next_ordinal - 1).unwrap().expect("a user");
                    assert!(snapshot.ordinal_of(&newest).unwrap().is_some(), "{newest} is seen and not found");
                }
                rounds += 1;
            }
        });
        for round in 0..rounds {
            let import = table.begin_import(&[u128::from(round)]).unwrap();
            import.push(0, batch(&events(1_000_000 * (round + 1), count))).unwrap();
            import.push(1, batch(&events(1_000_000 * (round + 1) + count, count))).unwrap();
            if round % 2 == 0 {
                import.commit().unwrap();
            }
        }
        finished.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}

#[test]
fn users_are_found_while_the_catalog_is_rebuilt() {
    look_up_during_imports(options(), 20, 40);
}

#[test]
fn users_are_found_as_soon_as_their_import_is_seen() {
    // So many that the catalog gets them in several steps.
    look_up_during_imports(EngineOptions::default(), 6, 70_000);
}

#[test]
fn two_threads_import_the_same_file_once() {
    let (engine, table) = create(Arc::new(FaultStore::new())).unwrap();
    for round in 0..40_u64 {
        let barrier = std::sync::Barrier::new(2);
        let import = || {
            barrier.wait();
            loop {
                match table.begin_import(&[u128::from(round)]) {
                    Err(error) if error.kind() == ErrorKind::Locked => std::thread::yield_now(),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => return 0,
                    Err(error) => panic!("{error}"),
                    Ok(import) => {
                        import.push(0, batch(&[Event { id: None, ..event(1, round) }])).unwrap();
                        return import.commit().unwrap().accepted;
                    }
                }
            }
        };
        let accepted = std::thread::scope(|scope| {
            let (one, other) = (scope.spawn(import), scope.spawn(import));
            one.join().unwrap() + other.join().unwrap()
        });
        assert_eq!(accepted, 1, "round {round}");
    }
    table.append(batch(&[event(2, 1)])).unwrap();
    let all: usize = view(&table.snapshot()).unwrap().values().map(Vec::len).sum();
    assert_eq!(all, 41);
    assert_eq!(engine.check(), []);
}
