//! One moment over all tables, whatever is under way in them.

use super::seen::see;
use super::{copy, create, events, open, profiles, tag_everybody};
use crate::error::ErrorKind;
use crate::stop::NEVER;
use crate::storage::FaultStore;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::time::Duration;

/// Events of a batch.
const BATCH: usize = 3;
/// Copies that are taken while somebody writes.
const COPIES: usize = 25;
/// Batches that come in between two of them, at least.
const BETWEEN: usize = 4;

/// A writer appends to one table, then to the other. In between, users are deleted and tags set, so that flushes forget
/// deletions and tags are written anew.
#[test]
fn all_tables_are_copied_as_of_one_moment() {
    let engine = open(&FaultStore::new());
    let (first, second) = (create(&engine, "a"), create(&engine, "b"));
    engine.profiles(&first).unwrap();
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Each end is owned by its thread, so that a failure here ends both.
    let (told, batches) = mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        let batches = batches;
        let (engine, begun, done) = (&engine, &begun, &done);
        scope.spawn(move || {
            for batch in 0.. {
                begun.store(batch + 1, Ordering::SeqCst);
                let users = batch * BATCH..(batch + 1) * BATCH;
                first.append(events(users.clone())).unwrap();
                second.append(events(users)).unwrap();
                done.store(batch + 1, Ordering::SeqCst);
                let visitor = format!("visitor {batch}");
                first.upsert(profiles(&[&visitor], "free")).unwrap();
                tag_everybody(&first, "t");
                assert!(first.delete_user(&visitor).unwrap());
                // Without waiting: backups and writes get in each other's way as they like.
                if let Err(TrySendError::Disconnected(())) = told.try_send(()) {
                    break;
                }
            }
        });
        for _ in 0..COPIES {
            let before = done.load(Ordering::SeqCst) * BATCH;
            let backup = engine.backup(NEVER).unwrap();
            let after = begun.load(Ordering::SeqCst) * BATCH;
            let (_, copied) = copy(&backup);
            let rows = |name: &str| copied.table(name).unwrap().snapshot().rows() as usize;
            let (a, b) = (rows("a"), rows("b"));
            assert!((before..=after).contains(&b) && a <= after, "{a} and {b} of {before} to {after}");
            assert!(a == b || a == b + BATCH, "{a} in one table, {b} in the other");
            (0..BETWEEN).for_each(|_| batches.recv().unwrap());
        }
        drop(batches);
    });
    assert_eq!(engine.check(), []);
}

#[test]
fn an_import_under_way_is_neither_waited_for_nor_in_the_copy() {
    let engine = open(&FaultStore::new());
    let (shop, blog) = (create(&engine, "shop"), create(&engine, "blog"));
    shop.append(events(0..10)).unwrap();
    let before = see(&engine);
    let import = shop.begin_import(&[7]).unwrap();
    for batch in 0..3 {
        import.push(batch, events(100 * (batch as usize + 1)..100 * (batch as usize + 1) + 50)).unwrap();
    }
    let backup = engine.backup(NEVER).unwrap();
    assert_eq!(see(&copy(&backup).1), before);
    blog.append(events(0..1)).unwrap();
    assert_eq!(import.commit().unwrap().accepted, 150);
    let after = see(&engine);
    assert_ne!(after, before);
    assert_eq!(see(&copy(&engine.backup(NEVER).unwrap()).1), after);
    assert_eq!(see(&copy(&backup).1), before);
    assert_eq!(engine.check(), []);
}

#[test]
fn a_table_that_is_busy_is_waited_for_without_stopping_the_writers_of_others() {
    let engine = open(&FaultStore::new());
    let (first, second) = (create(&engine, "a"), create(&engine, "b"));
    second.append(events(0..3)).unwrap();
    let (done, result) = mpsc::channel();
    std::thread::scope(|scope| {
        let engine = &engine;
        let busy = second.shared.ingest.lock();
        scope.spawn(move || done.send(engine.backup(NEVER)).unwrap());
        // For longer than others are held: 2.5 seconds.
        let appended = 125;
        for at in 0..appended {
            first.append(events(at..at + 1)).unwrap();
            assert!(result.recv_timeout(Duration::from_millis(20)).is_err());
        }
        drop(busy);
        let backup = result.recv().unwrap().unwrap();
        let (_, copied) = copy(&backup);
        assert_eq!(copied.table("a").unwrap().snapshot().rows() as usize, appended);
        assert_eq!(copied.table("b").unwrap().snapshot().rows(), 3);
    });
}

#[test]
fn waiting_ends_when_nobody_wants_the_copy_any_more() {
    let engine = open(&FaultStore::new());
    let table = create(&engine, "a");
    table.append(events(0..3)).unwrap();
    let busy = table.shared.maintenance.lock();
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::SeqCst) > 2;
    assert_eq!(engine.backup(&stop).unwrap_err().kind(), ErrorKind::Cancelled);
    drop(busy);
    copy(&engine.backup(NEVER).unwrap());
}
