//! A database with aliases that this version of the format wrote is read for ever, with the same answers.

use crate::damage::crc32c;
use crate::model::{Event, batch, view};
use crate::script::{copy_dir, options};
use std::fs;
use std::path::{Path, PathBuf};
use trodden_engine::types::{Schema, TableOptions, Value};
use trodden_engine::{Engine, EngineOptions, Table};

/// Tells [`writes_what_is_kept`] where to leave the database that it writes.
const OUT: &str = "TRODDEN_COMPAT_ALIASES_OUT";
const START_US: i64 = 1_750_000_000_000_000;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/v3")
}

fn events(ids: &[&str], from: i64) -> Vec<Event> {
    let event = |(n, id): (i64, &&str)| Event {
        user: (*id).to_string(),
        ts: START_US + n % 7 * 60_000_000,
        name: ["view", "buy"][n as usize % 2].into(),
        id: (n % 3 == 0).then(|| format!("id {n}")),
        properties: vec![("amount".to_string(), Value::BigInt(n * n % 97))],
    };
    (from..).zip(ids.iter().cycle().take(60)).map(event).collect()
}

/// Aliases that a compaction joined, pending ones in the manifest and in the log, one taken back and a person deleted.
fn write(path: &Path) {
    let engine = Engine::open(path, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
    let table_options = TableOptions { shards: 2, ..TableOptions::default() };
    let table = engine.create_table("events", Schema::default(), table_options).unwrap();
    table.append(batch(&events(&["ann", "anon 1", "ben", "anon 2", "cat", "anon 3", "anon 4", "dan"], 0))).unwrap();
    assert!(table.alias("anon 1", "ann").unwrap());
    table.compact(true).unwrap();
    table.append(batch(&events(&["anon 1", "ann", "phone"], 100))).unwrap();
    assert!(table.alias("anon 2", "ben").unwrap() && table.alias("phone", "anon 2").unwrap());
    assert!(table.alias("anon 4", "dan").unwrap() && table.alias("tablet", "new").unwrap());
    table.flush().unwrap();
    table.append(batch(&events(&["anon 2", "tablet", "anon 3", "dan"], 200))).unwrap();
    assert!(table.alias("anon 3", "cat").unwrap() && table.alias("cat", "ben").unwrap());
    table.unalias("cat").unwrap();
    assert!(table.delete_user("dan").unwrap());
    table.append(batch(&events(&["anon 3", "anon 4", "cat"], 300))).unwrap();
    drop((table, engine));
    fs::remove_dir_all(path.join("tables/1/catalog")).unwrap();
    fs::remove_file(path.join("LOCK")).unwrap();
}

/// A line for everything that a database answers, the same for ever.
fn answers(table: &Table) -> String {
    let view = view(&table.snapshot()).unwrap();
    let aliases = table.aliases();
    let aliases = aliases.iter().map(|alias| format!("{} → {}", alias.source.id, alias.target.id));
    let aliases = aliases.collect::<Vec<_>>().join(", ");
    let rows: usize = view.values().map(Vec::len).sum();
    format!("{:08x} {rows} rows of {} users; {aliases}\n", crc32c(format!("{view:?}").as_bytes()), view.len())
}

fn check(path: &Path) -> String {
    assert_eq!(Engine::examine(path).unwrap().findings, []);
    let engine = Engine::open(path, EngineOptions { create_if_missing: false, ..options() }).unwrap();
    assert_eq!(engine.check(), []);
    let table = engine.table("events").unwrap();
    let found = answers(&table);
    let joined = table.aliases().iter().map(|alias| alias.joined).collect::<Vec<_>>();
    assert_eq!(joined, [true, false, false, false, false], "{found}");
    table.compact(true).unwrap();
    assert_eq!((&answers(&table), engine.check()), (&found, Vec::new()), "after everything was joined and rewritten");
    found
}

#[test]
fn version_3_is_read() {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&kept(), copy.path());
    assert_eq!(check(copy.path()), fs::read_to_string(kept().with_extension("answers")).unwrap());
}

/// What is kept is what this writes.
#[test]
fn writes_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    write(&path);
    let out = std::env::var_os(OUT).map(PathBuf::from);
    if let Some(out) = &out {
        copy_dir(&path, out);
    }
    let found = check(&path);
    match out {
        Some(out) => fs::write(out.with_extension("answers"), found).unwrap(),
        None => assert_eq!(found, fs::read_to_string(kept().with_extension("answers")).unwrap()),
    }
}
