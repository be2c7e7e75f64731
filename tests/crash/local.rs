//! A database in a directory, with the catalog in RocksDB.

use crate::model::{Event, batch, digest, digest_of, view};
use crate::script::{Operation, copy_dir, empty_model, expected, model_run, operations, options, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trodden_engine::error::ErrorKind;
use trodden_engine::types::{ColumnDef, ColumnType, Schema, TableOptions, Value};
use trodden_engine::{Engine, EngineOptions, Table};

const DAY_US: i64 = 86_400_000_000;

fn open(path: &Path) -> (Engine, Arc<Table>) {
    let engine = Engine::open(path, options()).unwrap();
    let table = engine.table("t").or_else(|_| {
        let options = TableOptions {
            shards: 2,
            dedup_window_us: DAY_US,
            retention_us: Some(60 * DAY_US),
            ..TableOptions::default()
        };
        engine.create_table("t", Schema::default(), options)
    });
    (engine, table.unwrap())
}

fn event(user: &str, ts: i64, name: &str, id: Option<&str>) -> Event {
    Event { user: user.into(), ts, name: name.into(), id: id.map(String::from), properties: Vec::new() }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_script_with_reopenings_and_lost_catalogs_gives_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let operations = operations(150, 21);
    let digests = expected(&operations);
    let (mut engine, mut table) = open(dir.path());
    for (done, operation) in operations.iter().enumerate() {
        run(&table, operation).unwrap();
        if done % 10 == 9 {
            assert_eq!(engine.check(), []);
            drop((engine, table));
            if done % 20 == 19 {
                fs::remove_dir_all(dir.path().join("tables/1/catalog")).unwrap();
            }
            (engine, table) = open(dir.path());
        }
        assert_eq!(digest_of(&table).unwrap(), digests[done + 1], "operation {done}, {operation:?}");
    }
}

#[test]
fn a_catalog_of_nonsense_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let operations = operations(60, 22);
    let (engine, table) = open(dir.path());
    operations.iter().for_each(|operation| run(&table, operation).unwrap());
    drop((engine, table));
    for file in files(&dir.path().join("tables/1/catalog")) {
        fs::write(file, b"nonsense").unwrap();
    }
    let (engine, table) = open(dir.path());
    assert_eq!(digest_of(&table).unwrap(), *expected(&operations).last().unwrap());
    assert_eq!(engine.check(), []);
}

#[test]
fn a_log_that_lost_acknowledged_events_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    for n in 0..3 {
        table.append(batch(&[event("anna", n, "visit", None)])).unwrap();
    }
    drop((engine, table));
    let log = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("log-")).unwrap();
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 60]).unwrap();
    let error = Engine::open(dir.path(), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("record 2") && error.hint().unwrap().contains("catalog"), "{error}");
    fs::remove_dir_all(dir.path().join("tables/1/catalog")).unwrap();
    let (_engine, table) = open(dir.path());
    assert_eq!(view(&table.snapshot()).unwrap()["anna"].len(), 2);
}

#[test]
fn a_recovery_that_a_power_cut_interrupts_is_no_lost_event() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    for n in 0..3 {
        table.append(batch(&[event("anna", n, "visit", None)])).unwrap();
    }
    let before = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), before.path());
    table.append(batch(&[event("ben", 4, "visit", None)])).unwrap();
    drop((engine, table));
    // Killed after the fourth event was written to the log and before it was synced: no catalog knows it.
    let killed = tempfile::tempdir().unwrap();
    copy_dir(before.path(), killed.path());
    let log = |path: &Path| files(path).into_iter().find(|file| file.to_string_lossy().contains("/log-")).unwrap();
    fs::copy(log(dir.path()), log(killed.path())).unwrap();
    // The next process replays all four, and does not come to write the segments.
    for file in 1..4 {
        fs::create_dir(killed.path().join(format!("tables/1/segment-000000000{file}.{}.unfinished", file - 1)))
            .unwrap();
        fs::create_dir(killed.path().join(format!("tables/1/segment-000000000{file}.0.unfinished"))).ok();
    }
    assert!(Engine::open(killed.path(), options()).is_err());
    for entry in fs::read_dir(killed.path().join("tables/1")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.to_string_lossy().ends_with(".unfinished") {
            fs::remove_dir(path).unwrap();
        }
    }
    // The power goes: the event that was never synced is lost, as it may be.
    fs::copy(log(before.path()), log(killed.path())).unwrap();
    let (engine, table) = open(killed.path());
    assert_eq!(view(&table.snapshot()).unwrap()["anna"].len(), 3);
    table.append(batch(&[event("ben", 4, "visit", None)])).unwrap();
    assert_eq!(view(&table.snapshot()).unwrap()["ben"].len(), 1);
    assert_eq!(engine.check(), []);
}

#[test]
fn a_catalog_that_cannot_be_rebuilt_answers_nothing_rather_than_wrongly() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, table) = open(dir.path());
    let people: Vec<Event> = (0..300).map(|n| event(&format!("u{n}"), n, "visit", Some("x"))).collect();
    table.append(batch(&people)).unwrap();
    table.flush().unwrap();
    let import = table.begin_import(&[1]).unwrap();
    for n in 0..3 {
        let more: Vec<Event> = (0..200).map(|k| event(&format!("new {n} {k}"), k, "import", Some("y"))).collect();
        import.push(n, batch(&more)).unwrap();
    }
    let snapshot = table.snapshot();
    assert!(snapshot.ordinal_of("u7").unwrap().is_some());
    // The segments that the rebuilding reads are damaged in place.
    let live: Vec<u64> = snapshot.shards.iter().flat_map(|s| &s.segments).map(|s| s.segment.meta().bytes).collect();
    for file in files(dir.path()).iter().filter(|path| path.to_string_lossy().contains("segment-")) {
        let mut bytes = fs::read(file).unwrap();
        if live.contains(&(bytes.len() as u64)) {
            let end = bytes.len() - 24;
            bytes[16..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            use std::io::Write;
            fs::OpenOptions::new().write(true).open(file).unwrap().write_all(&bytes).unwrap();
        }
    }
    drop(import);
    for user in ["u7", "nobody"] {
        let error = snapshot.ordinal_of(user).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(table.append(batch(&people[..1])).unwrap_err().kind(), ErrorKind::Poisoned);
}

#[test]
fn a_held_snapshot_keeps_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    table.append(batch(&[event("anna", 1, "visit", None)])).unwrap();
    let snapshot = table.snapshot();
    drop((engine, table));
    let error = Engine::open(dir.path(), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(snapshot.ordinal_of("anna").unwrap().is_some());
    drop(snapshot);
    let (engine, table) = open(dir.path());
    assert_eq!(view(&table.snapshot()).unwrap().len(), 1);
    assert_eq!(engine.check(), []);
}

#[test]
fn a_flipped_bit_in_the_catalog_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    let script = operations(60, 23);
    script.iter().for_each(|operation| run(&table, operation).unwrap());
    table.flush().unwrap();
    // Some of it is in files that RocksDB sorted, and some in its own log.
    table.compact(true).unwrap();
    let more = [event("late", 1_700_000_000_000_000, "visit", Some("late"))];
    table.append(batch(&more)).unwrap();
    let expected = digest_of(&table).unwrap();
    drop((engine, table));
    let (mut tried, mut told) = (0, 0);
    for file in files(&dir.path().join("tables/1/catalog")) {
        let whole = fs::read(&file).unwrap();
        let name = file.strip_prefix(dir.path()).unwrap();
        let step = (whole.len() / 12).max(1);
        for at in (0..whole.len()).step_by(step) {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(copy.path().join(name), bytes).unwrap();
            tried += 1;
            let answer = || {
                let engine = Engine::open(copy.path(), options())?;
                let table = engine.table("t")?;
                // Sent again: a duplicate, as the catalog must know.
                assert_eq!(table.append(batch(&more))?.accepted, 0, "{}, byte {at}", name.display());
                digest_of(&table)
            };
            let found = answer().or_else(|error: trodden_engine::error::Error| {
                // What cannot be read is told with the way out, and the way out is one.
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{}, byte {at}: {error}", name.display());
                assert!(error.hint().unwrap().contains("delete"), "{error}");
                told += 1;
                fs::remove_dir_all(copy.path().join("tables/1/catalog")).unwrap();
                answer()
            });
            assert_eq!(found.unwrap(), expected, "{}, byte {at}", name.display());
        }
    }
    assert!(tried > 40, "{tried} bits");
    assert!(told < tried / 2, "{told} of {tried} were not mended by themselves");
}

#[test]
fn a_deleted_user_is_gone_from_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    let secret = |ts| Event {
        properties: vec![("note".into(), Value::Text(format!("private words {ts}")))],
        ..event("secret-person", ts, "secret-event", Some("secret-id"))
    };
    for n in 0..5 {
        table.append(batch(&[secret(n * 10 * DAY_US), event("other", n, "visit", None)])).unwrap();
        if n % 2 == 0 {
            table.flush().unwrap();
        }
    }
    assert!(table.delete_user("secret-person").unwrap());
    assert!(!table.delete_user("secret-person").unwrap());
    assert_eq!(view(&table.snapshot()).unwrap().keys().collect::<Vec<_>>(), ["other"]);
    table.compact(true).unwrap();
    assert_eq!(engine.check(), []);
    let needles: [&[u8]; 4] = [b"secret-person", b"secret-event", b"secret-id", b"private words"];
    for file in files(dir.path()) {
        let bytes = fs::read(&file).unwrap();
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} in {}", String::from_utf8_lossy(needle), file.display());
        }
    }
    // The same id again is a new user.
    table.append(batch(&[secret(1)])).unwrap();
    assert_eq!(view(&table.snapshot()).unwrap()["secret-person"].len(), 1);
}

#[test]
fn unfinished_imports_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    table.append(batch(&[event("anna", 1, "visit", Some("a"))])).unwrap();
    let events: Vec<Event> = (0..500).map(|n| event(&format!("u{n}"), n, "import", Some("x"))).collect();
    {
        let import = table.begin_import(&[1]).unwrap();
        for n in 0..5 {
            import.push(n, batch(&events)).unwrap();
        }
        let refused = table.append(batch(&[event("anna", 2, "visit", None)])).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Locked);
        assert_eq!(table.begin_import(&[2]).unwrap_err().kind(), ErrorKind::Locked);
        assert_eq!(view(&table.snapshot()).unwrap().len(), 1, "nothing is visible before the commit");
    }
    assert!(!table.is_imported(1));
    assert_eq!(engine.check(), []);
    // An event id that the abandoned import had seen is new.
    assert_eq!(table.append(batch(&events[..3])).unwrap().accepted, 3);
    // As if the process had ended in an import: what it had written goes at the next opening.
    let import = table.begin_import(&[1]).unwrap();
    import.push(0, batch(&events)).unwrap();
    import.push(1, batch(&events)).unwrap();
    std::mem::forget(import);
    let orphans = || files(dir.path()).iter().filter(|path| path.to_string_lossy().contains("segment-")).count();
    let before = orphans();
    // A copy, because the forgotten import holds the lock.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    let (engine, table) = open(copy.path());
    assert_eq!(view(&table.snapshot()).unwrap().len(), 4);
    assert_eq!(engine.check(), []);
    let left = files(copy.path()).iter().filter(|path| path.to_string_lossy().contains("segment-")).count();
    assert!(left < before, "{left} of {before} segment files are left");
}

#[test]
fn the_same_file_is_imported_once() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    let import = table.begin_import(&[7, 8]).unwrap();
    import.push(0, batch(&[event("anna", 1, "visit", None)])).unwrap();
    let imported = import.commit().unwrap();
    assert_eq!((imported.accepted, imported.duplicates), (1, 0));
    for fingerprints in [&[7][..], &[9, 8]] {
        assert_eq!(table.begin_import(fingerprints).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    drop((engine, table));
    let (_engine, table) = open(dir.path());
    assert!(table.is_imported(7) && table.is_imported(8) && !table.is_imported(9));
}

#[test]
fn the_order_of_pushes_changes_nothing() {
    let rows = |n: u64| -> Vec<Event> {
        (0..40).map(|row| event(&format!("u{}", (n * 7 + row) % 23), 5, &format!("{n} {row}"), None)).collect()
    };
    let orders: [Vec<u64>; 3] =
        [(0..12).collect(), (0..12).rev().collect(), vec![3, 1, 0, 2, 7, 5, 4, 6, 11, 9, 10, 8]];
    let mut digests = Vec::new();
    let mut model = empty_model();
    (0..12).for_each(|n| model_run(&mut model, &Operation::Append(rows(n))));
    for order in orders {
        let dir = tempfile::tempdir().unwrap();
        let (_engine, table) = open(dir.path());
        let import = table.begin_import(&[]).unwrap();
        std::thread::scope(|scope| {
            for half in order.chunks(6) {
                let import = &import;
                scope.spawn(move || half.iter().for_each(|&n| import.push(n, batch(&rows(n))).unwrap()));
            }
        });
        import.commit().unwrap();
        let snapshot = table.snapshot();
        let ordinals: Vec<_> = (0..23).map(|n| snapshot.ordinal_of(&format!("u{n}")).unwrap()).collect();
        digests.push((digest_of(&table).unwrap(), ordinals));
    }
    assert_eq!(digests[0].0, digest(&model.columns, &model.view()));
    assert!(digests.iter().all(|found| *found == digests[0]), "ordinals and answers do not depend on timing");
}

#[test]
fn two_handles_on_one_directory_get_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, _table) = open(dir.path());
    let error = Engine::open(dir.path(), EngineOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.message().contains(&dir.path().display().to_string()), "{error}");
}

#[test]
fn directories_that_are_no_database_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let missing = EngineOptions { create_if_missing: false, ..EngineOptions::default() };
    let kind = |path: &Path, options: &EngineOptions| Engine::open(path, options.clone()).unwrap_err().kind();
    assert_eq!(kind(&dir.path().join("none"), &missing), ErrorKind::NotFound);
    assert_eq!(kind(dir.path(), &missing), ErrorKind::NotFound);
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    assert_eq!(kind(&file, &EngineOptions::default()), ErrorKind::InvalidInput);
    assert_eq!(kind(dir.path(), &EngineOptions::default()), ErrorKind::InvalidInput);
}

#[test]
fn dropped_tables_leave_no_file_and_their_names_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = open(dir.path());
    table.append(batch(&[event("anna", 1, "visit", None)])).unwrap();
    table.flush().unwrap();
    let snapshot = table.snapshot();
    engine.drop_table("t").unwrap();
    assert_eq!(view(&snapshot).unwrap().len(), 1, "a snapshot stays readable");
    let kind = table.append(batch(&[event("anna", 2, "visit", None)])).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NotFound);
    // A handle that somebody still holds writes nothing, either.
    let column = ColumnDef { name: "n".into(), column_type: ColumnType::Text };
    let refused = [
        table.flush(),
        table.compact(true),
        table.enforce_retention(i64::MAX),
        table.set_retention(None),
        table.add_column(&column),
        table.delete_user("anna").map(|_| ()),
        table.begin_import(&[]).map(|_| ()),
    ];
    assert!(refused.iter().all(|done| done.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)));
    assert!(files(&dir.path().join("tables")).iter().all(|path| !path.to_string_lossy().contains("segment-")));
    assert!(snapshot.ordinal_of("anna").unwrap().is_some(), "its catalog stays as long as the snapshot");
    drop((table, snapshot));
    assert_eq!(fs::read_dir(dir.path().join("tables")).unwrap().count(), 0, "nothing is left of the table");
    // What a process left that was killed meanwhile goes at the next opening.
    fs::create_dir_all(dir.path().join("tables/7/catalog")).unwrap();
    fs::write(dir.path().join("tables/7/catalog/CURRENT"), b"x").unwrap();
    drop(engine);
    drop(Engine::open(dir.path(), options()).unwrap());
    assert_eq!(fs::read_dir(dir.path().join("tables")).unwrap().count(), 0, "nothing is left of the killed process");
    let (engine, table) = open(dir.path());
    assert!(view(&table.snapshot()).unwrap().is_empty());
    assert_eq!(engine.tables(), ["t"]);
}
