//! Targets that fail at every write and every sync, power cuts, and copies that are stopped: what is not complete is no
//! database, and the source is as it was.

use super::seen::{Seen, see};
use super::{Backup, copy, fill, open, options};
use crate::error::{ErrorKind, Result};
use crate::stop::NEVER;
use crate::storage::{FaultStore, Store};
use crate::{Engine, EngineOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn open_existing(store: FaultStore) -> Result<Engine> {
    Engine::open_store(Arc::new(store), EngineOptions { create_if_missing: false, ..options() })
}

/// A database, what it shows, and a backup of it.
fn source() -> (Engine, Seen, Backup) {
    let engine = open(&FaultStore::new());
    fill(&engine);
    let (seen, backup) = (see(&engine), engine.backup(NEVER).unwrap());
    (engine, seen, backup)
}

/// What is in the target is all, or no database; which of the two.
fn is_complete(target: FaultStore, seen: &Seen, what: &str) -> bool {
    match open_existing(target) {
        Ok(engine) => {
            assert_eq!(see(&engine), *seen, "{what}");
            assert_eq!(engine.check(), [], "{what}");
            true
        }
        Err(error) => {
            let expected = [ErrorKind::InvalidInput, ErrorKind::NotFound];
            assert!(expected.contains(&error.kind()), "{what}: {error}");
            false
        }
    }
}

#[test]
fn a_target_that_fails_at_any_write_or_sync_is_no_database() {
    let (engine, seen, backup) = source();
    let sound = FaultStore::new();
    backup.copy_to(&sound, NEVER, &mut |_| ()).unwrap();
    let writes = (1..=sound.writes()).map(|at| (at, 0));
    let syncs = (1..=sound.syncs()).map(|at| (0, at));
    for (write, sync) in writes.chain(syncs) {
        let (target, what) = (FaultStore::new(), format!("write {write} or sync {sync} fails"));
        target.fail_write(write);
        target.fail_sync(sync);
        assert!(backup.copy_to(&target, NEVER, &mut |_| ()).is_err(), "{what}");
        for image in [target.written_image(), target.durable_image()] {
            assert!(!is_complete(FaultStore::from_image(image), &seen, &what), "{what}");
        }
        assert!(target.lock().is_ok(), "{what}");
    }
    assert_eq!(see(&engine), seen);
    assert_eq!(engine.check(), []);
    assert_eq!(see(&copy(&engine.backup(NEVER).unwrap()).1), seen);
}

#[test]
fn a_power_cut_leaves_all_of_a_copy_or_no_database() {
    let (_engine, seen, backup) = source();
    let target = FaultStore::new();
    target.record_history();
    backup.copy_to(&target, NEVER, &mut |_| ()).unwrap();
    for (at, moment) in target.take_history().iter().enumerate() {
        for image in [moment.durable.clone(), moment.written.clone()] {
            is_complete(FaultStore::from_image(image), &seen, &format!("power cut at sync {at}"));
        }
    }
    assert!(is_complete(FaultStore::from_image(target.durable_image()), &seen, "after the end"));
}

#[test]
fn a_full_target_says_what_to_do_there() {
    let (_engine, seen, backup) = source();
    let target = FaultStore::new();
    target.set_capacity(Some(backup.bytes() / 2));
    let full = backup.copy_to(&target, NEVER, &mut |_| ()).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert!(full.hint().unwrap().contains("copy again"), "{full}");
    assert!(!is_complete(target, &seen, "full"));
}

#[test]
fn a_copy_that_is_stopped_at_any_piece_is_no_database() {
    let (_engine, seen, backup) = source();
    let mut pieces = 0;
    backup.copy_to(&FaultStore::new(), NEVER, &mut |_| pieces += 1).unwrap();
    for wanted in 0..=pieces {
        let (target, asked) = (FaultStore::new(), AtomicUsize::new(0));
        let stop = || asked.fetch_add(1, Ordering::SeqCst) == wanted;
        let stopped = backup.copy_to(&target, &stop, &mut |_| ()).unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Cancelled);
        assert!(!is_complete(target, &seen, &format!("stopped after {wanted} pieces")));
    }
}
