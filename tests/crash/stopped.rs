//! Work that is stopped at any moment leaves everything as it was.

use crate::model::{Event, batch, view};
use crate::script::create;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trodden_engine::error::ErrorKind;
use trodden_engine::storage::FaultStore;
use trodden_engine::types::{ColumnType, Schema, TableOptions, Value};
use trodden_engine::{Engine, EngineOptions, Table};

fn events(from: i64, count: i64) -> Vec<Event> {
    let event = |n: i64| Event {
        user: format!("u{}", n % 50),
        ts: n,
        name: "visit".into(),
        id: Some(format!("id-{n}")),
        properties: vec![("n".into(), Value::BigInt(n))],
    };
    (from..from + count).map(event).collect()
}

/// Do `work` again and again, stopped at the first question, the second, and so on, until it is not stopped any more.
/// Returns how often it was stopped.
fn stopped_everywhere(
    mut work: impl FnMut(&(dyn Fn() -> bool + Sync)) -> Option<ErrorKind>,
    mut check: impl FnMut(),
) -> u64 {
    for last in 1.. {
        let asked = AtomicU64::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) + 1 >= last;
        match work(&stop) {
            None => return last - 1,
            Some(kind) => assert_eq!(kind, ErrorKind::Cancelled, "stopped at question {last}"),
        }
        check();
    }
    0
}

fn table() -> (FaultStore, Engine, Arc<Table>) {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    (store, engine, table)
}

fn segments(store: &FaultStore) -> Vec<String> {
    store.written_image().into_keys().filter(|name| name.contains("/segment-")).collect()
}

#[test]
fn a_compaction() {
    let (_store, engine, table) = table();
    for round in 0..6 {
        table.append(batch(&events(round * 40, 40))).unwrap();
        table.flush().unwrap();
    }
    let before = view(&table.snapshot()).unwrap();
    let stops = stopped_everywhere(
        |stop| table.compact_unless(true, stop).err().map(|error| error.kind()),
        || {
            assert_eq!(view(&table.snapshot()).unwrap(), before);
            assert_eq!(engine.check(), []);
        },
    );
    assert!(stops > 3, "it was stopped {stops} times only");
    assert_eq!(view(&table.snapshot()).unwrap(), before);
    assert!(table.snapshot().shards.iter().all(|shard| shard.segments.len() <= 1));
}

#[test]
fn an_import() {
    let (store, engine, table) = table();
    table.append(batch(&events(0, 10))).unwrap();
    table.flush().unwrap();
    let (before, files) = (view(&table.snapshot()).unwrap(), segments(&store));
    let stops = stopped_everywhere(
        |stop| {
            let import = table.begin_import(&[1]).unwrap();
            import.push(0, batch(&events(100, 300))).unwrap();
            import.push(1, batch(&events(400, 300))).unwrap();
            import.commit_unless(stop).err().map(|error| error.kind())
        },
        || {
            assert_eq!(view(&table.snapshot()).unwrap(), before);
            assert_eq!(segments(&store), files, "a file is left");
            assert!(!table.is_imported(1));
            assert_eq!(engine.check(), []);
        },
    );
    assert!(stops > 2, "it was stopped {stops} times only");
    let rows: usize = view(&table.snapshot()).unwrap().values().map(Vec::len).sum();
    assert_eq!(rows, 610);
}

#[test]
fn the_first_import_of_a_strict_table_sets_its_columns_and_no_later_one() {
    let engine = Engine::open_store(Arc::new(FaultStore::new()), EngineOptions::default()).unwrap();
    let strict = TableOptions { strict: true, ..TableOptions::default() };
    let table = engine.create_table("strict", Schema::default(), strict).unwrap();
    assert_eq!(table.append(batch(&events(0, 3))).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(table.is_untouched());
    let import = table.begin_first_import(&[1]).unwrap();
    import.push(0, batch(&events(0, 3))).unwrap();
    import.commit().unwrap();
    assert_eq!(table.schema().column("n").map(|column| column.column_type), Some(ColumnType::BigInt));
    assert!(!table.is_untouched());
    assert_eq!(table.begin_first_import(&[2]).unwrap_err().kind(), ErrorKind::InvalidInput);
    let wide = |value: Value| {
        let mut events = events(5, 1);
        events[0].properties = vec![("n".into(), value)];
        table.append(batch(&events)).map(|appended| appended.accepted).map_err(|error| error.kind())
    };
    assert_eq!(wide(Value::Text("x".into())), Err(ErrorKind::InvalidInput));
    assert_eq!(wide(Value::BigInt(4)), Ok(1));
}

#[test]
fn two_tables_cannot_differ_only_by_case() {
    let engine = Engine::open_store(Arc::new(FaultStore::new()), EngineOptions::default()).unwrap();
    engine.create_table("Événements", Schema::default(), TableOptions::default()).unwrap();
    for name in ["Événements", "événements", "ÉVÉNEMENTS"] {
        let error = engine.create_table(name, Schema::default(), TableOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
    }
    engine.create_table("evenements", Schema::default(), TableOptions::default()).unwrap();
}
