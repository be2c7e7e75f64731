//! Strange but legal data, and data that is refused.

use crate::model::{Event, batch, digest, digest_of, view};
use crate::script::{Operation, create, empty_model, model_run, options};
use std::sync::Arc;
use trodden_engine::error::ErrorKind;
use trodden_engine::storage::{FaultStore, MemoryStore};
use trodden_engine::types::{ColumnDef, ColumnType, Schema, TS_MAX_US, TS_MIN_US, TableOptions, Value};
use trodden_engine::{Engine, Table};

const DAY_US: i64 = 86_400_000_000;

fn event(user: &str, ts: i64, name: &str) -> Event {
    Event { user: user.into(), ts, name: name.into(), id: None, properties: Vec::new() }
}

fn with(mut event: Event, name: &str, value: Value) -> Event {
    event.properties.push((name.into(), value));
    event
}

fn table() -> (Engine, Arc<Table>) {
    create(Arc::new(MemoryStore::new())).unwrap()
}

/// Append `batches`, flushing now and then, and compare with the model before and after compaction.
fn same_as_model(batches: &[Vec<Event>]) {
    let (engine, table) = table();
    let mut model = empty_model();
    for (at, events) in batches.iter().enumerate() {
        table.append(batch(events)).unwrap();
        model_run(&mut model, &Operation::Append(events.clone()));
        if at % 3 == 1 {
            table.flush().unwrap();
        }
    }
    let expected = digest(&model.columns, &model.view());
    assert_eq!(digest_of(&table).unwrap(), expected, "{:?}\n{:?}", view(&table.snapshot()).unwrap(), model.view());
    table.compact(false).unwrap();
    assert_eq!(digest_of(&table).unwrap(), expected, "after a compaction");
    table.compact(true).unwrap();
    assert_eq!(digest_of(&table).unwrap(), expected, "after a full compaction");
    assert!(table.snapshot().shards.iter().all(|shard| shard.segments.len() <= 1));
    assert_eq!(engine.check(), []);
}

#[test]
fn late_events_and_both_ends_of_time() {
    let times = [5, TS_MAX_US, TS_MIN_US, 5, 4, TS_MIN_US, TS_MAX_US - 1, -1, 0, 5];
    let batches: Vec<Vec<Event>> = times
        .iter()
        .enumerate()
        .map(|(n, &ts)| vec![event("anna", ts, &format!("e{n}")), event("ben", ts, "x")])
        .collect();
    same_as_model(&batches);
}

#[test]
fn a_user_in_very_many_segments() {
    let batches: Vec<Vec<Event>> = (0..120)
        .map(|n| vec![event("anna", (n * 37) % 50, &format!("e{n}")), event(&format!("u{n}"), n, "x")])
        .collect();
    same_as_model(&batches);
}

#[test]
fn a_user_larger_than_any_block_with_equal_times() {
    let many: Vec<Event> = (0..60_000).map(|n| event("anna", n / 50_000, &format!("e{}", n % 300))).collect();
    same_as_model(&[many.clone(), vec![event("ben", 1, "x")], many[..20_000].to_vec(), many[..10].to_vec()]);
}

#[test]
fn nulls_wherever_they_may_be() {
    let all = |n: i64| {
        let event = with(event("anna", n, "x"), "b", Value::Boolean(n % 2 == 0));
        with(with(with(event, "i", Value::BigInt(i64::MIN + n)), "d", Value::Double(0.5)), "t", Value::Text("ü".into()))
    };
    same_as_model(&[
        vec![event("anna", 1, "x")],
        vec![all(2)],
        vec![event("anna", 3, "x"), all(4)],
        vec![event("ben", 1, "x")],
    ]);
}

#[test]
fn types_widen_without_loss() {
    let amount = |n, value| vec![with(event("anna", n, "x"), "amount", value)];
    let exact = 1_i64 << 53;
    same_as_model(&[amount(1, Value::BigInt(exact)), amount(2, Value::Double(0.5)), amount(3, Value::BigInt(-7))]);
    same_as_model(&[amount(1, Value::BigInt(1)), amount(2, Value::Text("many".into())), amount(3, Value::BigInt(2))]);
    same_as_model(&[amount(1, Value::Boolean(true)), amount(2, Value::BigInt(2)), amount(3, Value::Boolean(false))]);
    // 2^53 + 1 is no DOUBLE: the column becomes TEXT, and the value stays.
    let (_engine, table) = table();
    table.append(batch(&amount(1, Value::BigInt(exact + 1)))).unwrap();
    table.flush().unwrap();
    table.append(batch(&amount(2, Value::Double(0.5)))).unwrap();
    assert_eq!(table.schema().columns[0].column_type, ColumnType::Text);
    let view = view(&table.snapshot()).unwrap();
    assert!(view["anna"][0].3["amount"].contains("9007199254740993"), "{view:?}");
}

#[test]
fn the_range_of_a_column_is_remembered_over_a_reopening() {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    table.append(batch(&[with(event("anna", 1, "x"), "n", Value::BigInt((1 << 53) + 1))])).unwrap();
    drop((engine, table));
    let engine = Engine::open_store(Arc::new(store), options()).unwrap();
    let table = engine.table("t").unwrap();
    table.append(batch(&[with(event("anna", 2, "x"), "n", Value::Double(0.5))])).unwrap();
    assert_eq!(table.schema().columns[0].column_type, ColumnType::Text);
}

#[test]
fn many_event_names_and_many_properties() {
    let names: Vec<Event> = (0..2000).map(|n| event(&format!("u{}", n % 10), n, &format!("event {n}"))).collect();
    let wide = |n: i64| {
        (0..500)
            .fold(event("anna", n, "x"), |event, column| with(event, &format!("p{column}"), Value::BigInt(n * column)))
    };
    same_as_model(&[names, vec![wide(1), wide(2)], vec![event("anna", 3, "x")]]);
}

#[test]
fn long_texts() {
    let long = "ü".repeat(1 << 19);
    same_as_model(&[
        vec![with(event("anna", 1, "x"), "t", Value::Text(long.clone()))],
        vec![with(event("anna", 2, "x"), "t", Value::Text(long + "!"))],
    ]);
}

#[test]
fn duplicates_within_a_batch_and_against_everything_older() {
    let (engine, table) = table();
    let one = |ts| Event { id: Some("a".into()), ..event("anna", ts, "x") };
    let accepted = |events: &[Event]| table.append(batch(events)).unwrap().accepted;
    assert_eq!(accepted(&[one(0), one(0), one(DAY_US)]), 1);
    assert_eq!(accepted(&[one(2 * DAY_US), one(DAY_US + 1)]), 1, "two days are outside of the window of one");
    table.compact(true).unwrap();
    assert_eq!(accepted(&[one(0)]), 0);
    assert_eq!(accepted(&[one(-DAY_US - 1)]), 1, "a late event outside of the window");
    assert_eq!(accepted(&[Event { user: "ben".into(), ..one(0) }]), 1, "another user's");
    assert_eq!(accepted(&[event("anna", 0, "x"), event("anna", 0, "x")]), 2, "no id, no duplicate");
    assert_eq!(engine.check(), []);
}

#[test]
fn an_empty_batch_does_nothing() {
    let (_engine, table) = table();
    let appended = table.append(batch(&[])).unwrap();
    assert_eq!((appended.accepted, appended.duplicates), (0, 0));
    table.begin_import(&[]).unwrap().commit().unwrap();
    assert!(view(&table.snapshot()).unwrap().is_empty());
}

#[test]
fn bad_events_are_refused_and_change_nothing() {
    let (_engine, table) = table();
    table.append(batch(&[with(event("anna", 1, "x"), "plan", Value::Text("a".into()))])).unwrap();
    let before = digest_of(&table).unwrap();
    let bad = [
        event("", 1, "x"),
        event("anna", 1, ""),
        event("anna", TS_MAX_US + 1, "x"),
        event("anna", TS_MIN_US - 1, "x"),
        event(&"u".repeat(70_000), 1, "x"),
        with(event("anna", 1, "x"), "ts", Value::BigInt(1)),
        with(event("anna", 1, "x"), "Plan", Value::BigInt(1)),
        with(event("anna", 1, "x"), "", Value::BigInt(1)),
    ];
    for event in bad {
        let error = table.append(batch(&[self::event("ben", 1, "x"), event])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(digest_of(&table).unwrap(), before, "{error}");
    }
}

#[test]
fn strict_tables_refuse_to_grow() {
    let engine = Engine::open_store(Arc::new(MemoryStore::new()), options()).unwrap();
    let schema = Schema { columns: vec![ColumnDef { name: "n".into(), column_type: ColumnType::BigInt }] };
    let strict = TableOptions { strict: true, ..TableOptions::default() };
    let table = engine.create_table("s", schema, strict).unwrap();
    table.append(batch(&[with(event("anna", 1, "x"), "n", Value::BigInt(1))])).unwrap();
    for (name, value) in [("n", Value::Text("a".into())), ("m", Value::BigInt(1))] {
        let error = table.append(batch(&[with(event("anna", 1, "x"), name, value)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("strict") && error.hint().is_some(), "{error}");
    }
    table.add_column(&ColumnDef { name: "m".into(), column_type: ColumnType::BigInt }).unwrap();
    table.append(batch(&[with(event("anna", 1, "x"), "m", Value::BigInt(1))])).unwrap();
}

#[test]
fn definitions_that_cannot_be_are_refused() {
    let engine = Engine::open_store(Arc::new(MemoryStore::new()), options()).unwrap();
    let create = |name: &str, column: &str, options: TableOptions| {
        let schema = Schema { columns: vec![ColumnDef { name: column.into(), column_type: ColumnType::Text }] };
        engine.create_table(name, schema, options).map(|_| ()).map_err(|error| error.kind())
    };
    let plain = TableOptions::default;
    assert_eq!(create("", "a", plain()), Err(ErrorKind::InvalidInput));
    assert_eq!(create("a", "user_id", plain()), Err(ErrorKind::InvalidInput));
    assert_eq!(create("a", "a", TableOptions { shards: 0, ..plain() }), Err(ErrorKind::InvalidInput));
    assert_eq!(create("a", "a", TableOptions { time_zone: "Mars".into(), ..plain() }), Err(ErrorKind::InvalidInput));
    assert_eq!(create("a", "a", TableOptions { retention_us: Some(0), ..plain() }), Err(ErrorKind::InvalidInput));
    assert_eq!(create("a", "a", plain()), Ok(()));
    assert_eq!(create("a", "a", plain()), Err(ErrorKind::AlreadyExists));
    assert_eq!(engine.table("b").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(engine.drop_table("b").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn retention_hides_at_once_and_removes_at_compaction() {
    let (engine, table) = table();
    let old: Vec<Event> = (0..100).map(|n| event("anna", n * DAY_US, "x")).collect();
    for events in [&old[..40], &old[40..]] {
        table.append(batch(events)).unwrap();
        table.flush().unwrap();
    }
    let pinned = table.snapshot();
    table.enforce_retention(100 * DAY_US).unwrap();
    let kept = || view(&table.snapshot()).unwrap()["anna"].len();
    assert_eq!(kept(), 60);
    let stored = table.snapshot().rows();
    assert!(stored <= 60, "segments wholly past retention are empty, {stored} rows are left");
    assert_eq!(view(&pinned).unwrap()["anna"].len(), 100, "a snapshot keeps what it saw");
    table.append(batch(&[event("anna", 1, "late")])).unwrap();
    assert_eq!(kept(), 60, "what comes too late is hidden");
    table.compact(true).unwrap();
    assert_eq!((kept(), table.snapshot().rows()), (60, 60));
    assert_eq!(engine.check(), []);
}

#[test]
fn snapshots_keep_deleted_users() {
    let (_engine, table) = table();
    table.append(batch(&[event("anna", 1, "x"), event("ben", 2, "y")])).unwrap();
    let before = table.snapshot();
    table.delete_user("anna").unwrap();
    table.append(batch(&[event("anna", 3, "again")])).unwrap();
    let after = table.snapshot();
    table.compact(true).unwrap();
    assert_eq!(view(&before).unwrap()["anna"][0].1, "x");
    assert_eq!(view(&after).unwrap()["anna"][0].1, "again");
    assert_eq!(view(&table.snapshot()).unwrap(), view(&after).unwrap());
    let ordinal = |snapshot: &trodden_engine::Snapshot| snapshot.ordinal_of("anna").unwrap().unwrap();
    assert_ne!(ordinal(&before), ordinal(&after));
}
