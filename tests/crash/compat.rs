//! Databases that earlier versions of the format wrote are read, with the same answers.

use crate::damage::crc32c;
use crate::model::{Event, batch, view};
use crate::script::{copy_dir, options};
use std::fs;
use std::path::{Path, PathBuf};
use trodden_engine::types::{ColumnDef, ColumnType, Schema, TableOptions, Value};
use trodden_engine::{Engine, EngineOptions, Snapshot};

/// Tells [`writes_what_is_kept`] where to leave the database that it writes.
const OUT: &str = "TRODDEN_COMPAT_OUT";
const VIEW: (&str, &str) = ("buyers", "CREATE VIEW buyers AS SELECT * FROM events WHERE event = 'buy'");
const START_US: i64 = 1_750_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;

fn kept(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat").join(version)
}

/// Events with every type, in such numbers and orders that every way to store them is used.
fn events(numbers: std::ops::Range<i64>) -> Vec<Event> {
    let event = |n: i64| {
        let user = n / 12;
        let mut properties = vec![
            // One a user, all different, constant, and hardly ever there.
            ("country".to_string(), Value::Text(["de", "fr", "日本"][user as usize % 3].into())),
            ("note".to_string(), Value::Text(format!("{:x}", n * 2_654_435_761 % 1_000_003))),
            ("vip".to_string(), Value::Boolean(user % 7 == 0)),
            ("amount".to_string(), Value::BigInt(n * n % 997 - 400)),
            ("big".to_string(), Value::BigInt(if n % 2 == 0 { i64::MIN + n } else { i64::MAX - n })),
            ("price".to_string(), Value::Double((n % 500) as f64 / 100.0)),
            ("exact".to_string(), Value::Double(1.0 / (n as f64 + 3.0))),
        ];
        // NULLs a row, the same NULLs in two columns, and NULLs a user.
        properties.retain(|(name, _)| match name.as_str() {
            "amount" | "price" => n % 5 != 0,
            "vip" => user % 4 != 0,
            "big" => n % 3 == 0,
            _ => true,
        });
        Event {
            user: if user % 2 == 0 { format!("user {user}") } else { format!("{:032x}", user * 77_777) },
            ts: START_US + n % 12 * HOUR_US + n,
            name: ["view", "cart", "buy"][n as usize % 3].into(),
            id: (n % 4 == 0).then(|| format!("id {n}")),
            properties,
        }
    };
    numbers.map(event).collect()
}

/// Write the database: segments of two sizes, a deletion on disk and one in the log, a log that no segment has yet, a
/// view, a retention that has hidden something, an import, and no catalog.
fn write(path: &Path) {
    let engine = Engine::open(path, EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
    engine.define(VIEW.0, Some(VIEW.1)).unwrap();
    let schema = Schema { columns: vec![ColumnDef { name: "due".into(), column_type: ColumnType::Timestamp }] };
    let table_options = TableOptions {
        shards: 2,
        time_zone: "Europe/Berlin".into(),
        retention_us: Some(1000 * HOUR_US),
        ..TableOptions::default()
    };
    let table = engine.create_table("events", schema, table_options).unwrap();
    table.append(timed(&events(0..2600))).unwrap();
    table.flush().unwrap();
    let import = table.begin_import(&[0xfeed]).unwrap();
    import.push(0, batch(&events(2600..2900))).unwrap();
    import.commit().unwrap();
    table.enforce_retention(START_US + 1000 * HOUR_US + 500_000).unwrap();
    table.append(batch(&events(2900..2960))).unwrap();
    assert!(table.delete_user("user 2").unwrap());
    table.append(batch(&events(2950..3000))).unwrap();
    drop((table, engine));
    fs::remove_dir_all(path.join("tables/1/catalog")).unwrap();
    fs::remove_file(path.join("LOCK")).unwrap();
}

/// Events with a column of timestamps, which every other row has.
fn timed(events: &[Event]) -> trodden_engine::EventBatch {
    let mut batch = batch(events);
    let due = events.iter().zip(0..).map(|(event, row)| (row % 2 == 0).then_some(event.ts + HOUR_US));
    let due: arrow_array::TimestampMicrosecondArray = due.collect();
    batch.properties.push(("due".into(), std::sync::Arc::new(due)));
    batch
}

/// A line for everything that a database answers, the same for ever.
fn answers(engine: &Engine) -> (String, Snapshot) {
    let snapshot = engine.table("events").unwrap().snapshot();
    let view = view(&snapshot).unwrap();
    let text = format!("{:?} {view:?}", snapshot.schema);
    let rows: usize = view.values().map(Vec::len).sum();
    (format!("{:08x} {rows} rows of {} users\n", crc32c(text.as_bytes()), view.len()), snapshot)
}

fn check(path: &Path) -> String {
    assert_eq!(Engine::examine(path).unwrap().findings, []);
    let engine = Engine::open(path, EngineOptions { create_if_missing: false, ..options() }).unwrap();
    assert_eq!(engine.check(), []);
    assert_eq!(engine.definitions().get(VIEW.0).map(String::as_str), Some(VIEW.1));
    let table = engine.table("events").unwrap();
    assert!(table.is_imported(0xfeed));
    let (found, snapshot) = answers(&engine);
    assert_eq!(snapshot.ordinal_of("user 2").unwrap(), None, "deleted");
    assert_eq!(snapshot.options.time_zone, "Europe/Berlin");
    // Duplicates are known without the catalog.
    let again = table.append(batch(&events(2960..2961))).unwrap();
    assert_eq!((again.accepted, again.duplicates), (0, 1));
    table.compact(true).unwrap();
    assert_eq!((&answers(&engine).0, engine.check()), (&found, Vec::new()), "after everything was rewritten");
    found
}

fn is_read(version: &str) {
    let (kept, copy) = (kept(version), tempfile::tempdir().unwrap());
    copy_dir(&kept, copy.path());
    assert_eq!(check(copy.path()), fs::read_to_string(kept.with_extension("answers")).unwrap());
}

#[test]
fn version_1_is_read() {
    is_read("v1");
}

/// Segments of format 2: bitmaps of days with any event, and of users with two events a day.
#[test]
fn version_2_is_read() {
    is_read("v2");
}

/// What is kept is what this writes, so that the next version of the format can be kept the same way.
#[test]
fn writes_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    write(&path);
    if let Some(out) = std::env::var_os(OUT) {
        copy_dir(&path, Path::new(&out));
    }
    let size: u64 = files(&path).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(size < 100_000, "{size} bytes are too many to keep");
    for kind in ["segment-", "log-", "manifest-", "definitions-"] {
        assert!(files(&path).iter().any(|file| file.to_string_lossy().contains(kind)), "{kind}");
    }
    let found = check(&path);
    match std::env::var_os(OUT) {
        Some(out) => fs::write(Path::new(&out).with_extension("answers"), found).unwrap(),
        None => assert_eq!(found, fs::read_to_string(kept("v2").with_extension("answers")).unwrap()),
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
