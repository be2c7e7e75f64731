//! Scans against a plain list of rows: random events, conditions, flushes, deletions and compactions.

#![allow(missing_docs)]

use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, StringArray, cast::AsArray, types::*};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use trodden_engine::predicate::{ColumnRef, CompareOp, Predicate};
use trodden_engine::scan::{
    BehaviorScan, RowScan, ScanReport, UserBits, UserEvents, matching_users, plan_rows, scan_user_bits, scan_users,
};
use trodden_engine::storage::MemoryStore;
use trodden_engine::table::{Snapshot, Table};
use trodden_engine::types::{ColumnDef, ColumnType, Schema, TableOptions, TimeRange, Value};
use trodden_engine::{Engine, EngineOptions, EventBatch};

const HOUR_US: i64 = 3_600_000_000;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    user: String,
    ts: i64,
    event: String,
    country: Option<String>,
    price: Option<f64>,
    n: Option<i64>,
    flag: Option<bool>,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Row>),
    Flush,
    Compact,
    Delete(String),
}

fn row() -> impl Strategy<Value = Row> {
    (
        (0..6u8, -30..30i64, 0..5u8),
        proptest::option::weighted(0.8, 0..3u8),
        proptest::option::weighted(0.6, -2..4i8),
        proptest::option::weighted(0.7, prop_oneof![4 => -3..3i64, 1 => Just(i64::MAX)]),
        proptest::option::weighted(0.5, any::<bool>()),
    )
        .prop_map(|((user, hour, event), country, price, n, flag)| Row {
            user: format!("u{user}"),
            ts: hour * HOUR_US,
            event: format!("e{event}"),
            country: country.map(|c| format!("C{c}")),
            price: price.map(|p| f64::from(p) / 2.0),
            n,
            flag,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(row(), 1..30).prop_map(Step::Append),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => (0..6u8).prop_map(|user| Step::Delete(format!("u{user}"))),
    ]
}

fn op() -> impl Strategy<Value = CompareOp> {
    prop_oneof![
        Just(CompareOp::Eq),
        Just(CompareOp::NotEq),
        Just(CompareOp::Lt),
        Just(CompareOp::LtEq),
        Just(CompareOp::Gt),
        Just(CompareOp::GtEq)
    ]
}

fn property(name: &str) -> ColumnRef {
    ColumnRef::Property(name.into())
}

fn leaf() -> impl Strategy<Value = Predicate> {
    let compare = |column: ColumnRef| {
        move |(op, value): (CompareOp, Value)| Predicate::Compare { column: column.clone(), op, value }
    };
    prop_oneof![
        (0..7u8).prop_map(|e| Predicate::event_is(format!("e{e}"))),
        (op(), (0..5u8).prop_map(|e| Value::Text(format!("e{e}")))).prop_map(compare(ColumnRef::Event)),
        (op(), (0..4u8).prop_map(|c| Value::Text(format!("C{c}")))).prop_map(compare(property("country"))),
        (op(), (-3..5i8).prop_map(|p| Value::Double(f64::from(p) / 2.0))).prop_map(compare(property("price"))),
        (op(), (-4..4i64).prop_map(Value::BigInt)).prop_map(compare(property("n"))),
        (op(), any::<bool>().prop_map(Value::Boolean)).prop_map(compare(property("flag"))),
        (op(), (-30..30i64).prop_map(|h| Value::Timestamp(h * HOUR_US))).prop_map(compare(ColumnRef::Time)),
        (op(), (0..7u8).prop_map(|u| Value::Text(format!("u{u}")))).prop_map(compare(ColumnRef::User)),
        proptest::collection::vec(0..5u8, 0..4).prop_map(|events| Predicate::In {
            column: ColumnRef::Event,
            values: events.into_iter().map(|e| Value::Text(format!("e{e}"))).collect()
        }),
        proptest::collection::vec(0..4u8, 0..3).prop_map(|values| Predicate::In {
            column: property("country"),
            values: values.into_iter().map(|c| Value::Text(format!("C{c}"))).collect()
        }),
        prop_oneof![Just("country"), Just("price"), Just("n"), Just("flag")]
            .prop_map(|name| Predicate::IsNull(property(name))),
        proptest::collection::vec(0..7u8, 0..5).prop_map(|users| Predicate::In {
            column: ColumnRef::User,
            values: users.into_iter().map(|u| Value::Text(format!("u{u}"))).collect()
        }),
        Just(Predicate::True),
        Just(Predicate::False),
        Just(Predicate::Unknown),
    ]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Predicate::And),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Predicate::Or),
            inner.prop_map(|p| Predicate::Not(Box::new(p))),
        ]
    })
}

fn value(row: &Row, column: &ColumnRef) -> Value {
    let text = |text: &str| Value::Text(text.to_string());
    match column {
        ColumnRef::User => text(&row.user),
        ColumnRef::Time => Value::Timestamp(row.ts),
        ColumnRef::Event => text(&row.event),
        ColumnRef::EventId => Value::Null,
        ColumnRef::Property(name) => match name.as_str() {
            "country" => row.country.as_deref().map_or(Value::Null, text),
            "price" => row.price.map_or(Value::Null, Value::Double),
            "n" => row.n.map_or(Value::Null, Value::BigInt),
            "flag" => row.flag.map_or(Value::Null, Value::Boolean),
            _ => Value::Null,
        },
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::BigInt(a), Value::BigInt(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Three-valued logic, straight from SQL.
fn holds(predicate: &Predicate, row: &Row) -> Option<bool> {
    match predicate {
        Predicate::True => Some(true),
        Predicate::False => Some(false),
        Predicate::Unknown | Predicate::Members(_) | Predicate::Custom(_) => None,
        Predicate::And(parts) => {
            let truths: Vec<_> = parts.iter().map(|part| holds(part, row)).collect();
            if truths.contains(&Some(false)) {
                Some(false)
            } else if truths.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Predicate::Or(parts) => {
            let truths: Vec<_> = parts.iter().map(|part| holds(part, row)).collect();
            if truths.contains(&Some(true)) {
                Some(true)
            } else if truths.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Predicate::Not(inner) => holds(inner, row).map(|truth| !truth),
        Predicate::Compare { column, op, value: literal } => {
            let ordering = order(&value(row, column), literal)?;
            Some(match op {
                CompareOp::Eq => ordering.is_eq(),
                CompareOp::NotEq => ordering.is_ne(),
                CompareOp::Lt => ordering.is_lt(),
                CompareOp::LtEq => ordering.is_le(),
                CompareOp::Gt => ordering.is_gt(),
                CompareOp::GtEq => ordering.is_ge(),
            })
        }
        Predicate::In { column, values } => {
            let value = value(row, column);
            (value != Value::Null).then(|| values.contains(&value))
        }
        Predicate::IsNull(column) => Some(value(row, column) == Value::Null),
    }
}

/// The same condition with users as members instead of ids.
fn by_members(predicate: &Predicate, snapshot: &Snapshot) -> Predicate {
    let all = |parts: &[Predicate]| parts.iter().map(|part| by_members(part, snapshot)).collect();
    match predicate {
        Predicate::And(parts) => Predicate::And(all(parts)),
        Predicate::Or(parts) => Predicate::Or(all(parts)),
        Predicate::Not(inner) => Predicate::Not(Box::new(by_members(inner, snapshot))),
        Predicate::In { column: ColumnRef::User, values } => {
            let mut shards = vec![RoaringBitmap::new(); snapshot.shards.len()];
            for value in values {
                let Value::Text(id) = value else { continue };
                if let Some((shard, ordinal)) = snapshot.ordinal_of(id).unwrap() {
                    shards[usize::from(shard)].insert(ordinal);
                }
            }
            Predicate::Members(Arc::new(shards.into()))
        }
        other => other.clone(),
    }
}

fn batch(rows: &[Row]) -> EventBatch {
    let country: StringArray = rows.iter().map(|row| row.country.as_deref()).collect();
    let price: Float64Array = rows.iter().map(|row| row.price).collect();
    let n: Int64Array = rows.iter().map(|row| row.n).collect();
    let flag: BooleanArray = rows.iter().map(|row| row.flag).collect();
    EventBatch {
        user_id: StringArray::from_iter_values(rows.iter().map(|row| &row.user)),
        ts: Int64Array::from_iter_values(rows.iter().map(|row| row.ts)),
        event: StringArray::from_iter_values(rows.iter().map(|row| &row.event)),
        event_id: None,
        properties: vec![
            ("country".into(), Arc::new(country)),
            ("price".into(), Arc::new(price)),
            ("n".into(), Arc::new(n)),
            ("flag".into(), Arc::new(flag)),
        ],
    }
}

fn new_table(time_zone: &str) -> (Engine, Arc<Table>) {
    let engine = Engine::open_store(Arc::new(MemoryStore::new()), EngineOptions::default()).unwrap();
    let column = |name: &str, column_type| ColumnDef { name: name.into(), column_type };
    let schema = Schema {
        columns: vec![
            column("country", ColumnType::Text),
            column("price", ColumnType::Double),
            column("n", ColumnType::BigInt),
            column("flag", ColumnType::Boolean),
        ],
    };
    let options = TableOptions { shards: 2, time_zone: time_zone.into(), ..TableOptions::default() };
    let table = engine.create_table("events", schema, options).unwrap();
    (engine, table)
}

/// Apply the steps to the table and to the plain list.
fn play(table: &Table, steps: &[Step]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for step in steps {
        match step {
            Step::Append(more) => {
                table.append(batch(more)).unwrap();
                rows.extend(more.iter().cloned());
            }
            Step::Flush => table.flush().unwrap(),
            Step::Compact => {
                table.compact(true).unwrap();
            }
            Step::Delete(user) => {
                table.delete_user(user).unwrap();
                rows.retain(|row| row.user != *user);
            }
        }
    }
    rows
}

fn plain(row: &Row) -> String {
    format!("{} {} {} {:?} {:?} {:?} {:?}", row.user, row.ts, row.event, row.country, row.price, row.n, row.flag)
}

fn read_rows(snapshot: &Snapshot, filter: &Predicate, time: TimeRange) -> Vec<String> {
    let columns = ["user_id", "ts", "event", "country", "price", "n", "flag"];
    let scan = RowScan {
        columns: columns.iter().map(|name| ColumnRef::from_name(name)).collect(),
        filter: filter.clone(),
        time,
        limit: None,
    };
    let plan = plan_rows(snapshot, scan).unwrap();
    let mut lines = Vec::new();
    for morsel in plan.morsels() {
        for batch in plan.read(morsel, &mut ScanReport::default()).unwrap() {
            for at in 0..batch.num_rows() {
                let column = |place: usize| batch.column(place);
                let text = |place: usize| {
                    column(place).is_valid(at).then(|| column(place).as_string_view().value(at).to_string())
                };
                lines.push(plain(&Row {
                    user: text(0).unwrap(),
                    ts: column(1).as_primitive::<TimestampMicrosecondType>().value(at),
                    event: text(2).unwrap(),
                    country: text(3),
                    price: column(4).is_valid(at).then(|| column(4).as_primitive::<Float64Type>().value(at)),
                    n: column(5).is_valid(at).then(|| column(5).as_primitive::<Int64Type>().value(at)),
                    flag: column(6).is_valid(at).then(|| column(6).as_boolean().value(at)),
                }));
            }
        }
    }
    lines.sort();
    lines
}

/// Per user: (ts, mask, country, n) in total order.
type PerUser = BTreeMap<String, Vec<(i64, u64, String, String)>>;

fn read_users(snapshot: &Snapshot, scan: &BehaviorScan, threads: usize) -> PerUser {
    let (workers, _) = scan_users(snapshot, scan, threads, &AtomicBool::new(false), Vec::new, |partial, user| {
        let events = user.masks.len();
        let codes = |column| (0..events).map(|event| user.keys.code(column, event)).collect();
        let keys: Vec<Vec<u32>> = (0..user.keys.columns()).map(codes).collect();
        let ts: Vec<i64> = (0..events).map(|event| user.times.at(event)).collect();
        assert_eq!(user.times.decode(&mut Vec::new()), ts);
        partial.push((user.shard, user.ordinal, ts, user.masks.to_vec(), keys));
        Ok(())
    })
    .unwrap();
    let mut found = PerUser::new();
    for worker in workers {
        for (shard, ordinal, ts, masks, keys) in worker.partial {
            let user = snapshot.shards[shard].user_id(ordinal).unwrap().unwrap();
            let event = |at: usize| {
                let key = |column: usize| format!("{:?}", worker.keys.value(column, keys[column][at]));
                (ts[at], masks[at], key(0), key(1))
            };
            let events = (0..ts.len()).map(event).collect();
            assert!(found.insert(user, events).is_none(), "a user was delivered twice");
        }
    }
    found
}

/// The same, of users whose events come as bits of rows wherever they do. Whether any came in that way.
fn read_user_bits(snapshot: &Snapshot, scan: &BehaviorScan) -> (PerUser, bool) {
    let came = std::sync::atomic::AtomicBool::new(false);
    let bits = |partial: &mut Vec<_>, user: &UserBits<'_>| {
        came.store(true, std::sync::atomic::Ordering::Relaxed);
        if !user.is_whole {
            return Ok(false);
        }
        let mask = |row: usize| {
            let satisfied = |(bit, _): (usize, _)| u64::from(user.first_in(bit, row..row + 1).is_some()) << bit;
            scan.conditions.iter().enumerate().map(satisfied).sum::<u64>()
        };
        let events: Vec<(i64, u64)> = user
            .rows()
            .map(|row| (user.time(row), mask(row)))
            .filter(|(_, mask)| *mask != 0 || scan.every_event)
            .collect();
        assert_eq!(user.times(), user.rows().map(|row| user.time(row)).collect::<Vec<_>>());
        let keys = (0..user.keys.columns()).map(|column| user.keys.code(column, 0)).collect::<Vec<_>>();
        partial.push((user.shard, user.ordinal, events, keys));
        Ok(true)
    };
    let each = |partial: &mut Vec<_>, user: &UserEvents<'_>| {
        let events = (0..user.masks.len()).map(|event| (user.times.at(event), user.masks[event])).collect();
        let keys = (0..user.keys.columns()).map(|column| user.keys.code(column, 0)).collect();
        partial.push((user.shard, user.ordinal, events, keys));
        Ok(())
    };
    let (workers, _) = scan_user_bits(snapshot, scan, 2, &AtomicBool::new(false), Vec::new, bits, each).unwrap();
    let mut found = PerUser::new();
    for worker in workers {
        for (shard, ordinal, events, keys) in worker.partial {
            let user = snapshot.shards[shard].user_id(ordinal).unwrap().unwrap();
            let key = |column: usize| {
                keys.get(column).map_or_else(String::new, |code| format!("{:?}", worker.keys.value(column, *code)))
            };
            let events: Vec<_> = events.into_iter().map(|(ts, mask)| (ts, mask, key(0), String::new())).collect();
            if !events.is_empty() {
                assert!(found.insert(user, events).is_none(), "a user was delivered twice");
            }
        }
    }
    (found, came.into_inner())
}

/// Per user the names of all events of the input, which are keys: of users who come as bits of rows, and of others.
fn read_names(snapshot: &Snapshot, scan: &BehaviorScan) -> BTreeMap<String, Vec<String>> {
    let scan = BehaviorScan { keys: vec![ColumnRef::Event], every_event: true, ..scan.clone() };
    let bits = |partial: &mut Vec<_>, user: &UserBits<'_>| {
        // Some of the users who could come as bits do not.
        if !user.is_whole || user.ordinal.is_multiple_of(3) {
            return Ok(false);
        }
        let codes: Vec<u32> = user.rows().map(|row| user.name(row)).collect();
        let in_bulk = user.name_codes().iter().map(|code| user.name_keys()[*code as usize]);
        assert_eq!(codes, in_bulk.collect::<Vec<_>>());
        partial.push((user.shard, user.ordinal, codes));
        Ok(true)
    };
    let each = |partial: &mut Vec<_>, user: &UserEvents<'_>| {
        let codes = (0..user.masks.len()).map(|event| user.keys.code(0, event)).collect();
        partial.push((user.shard, user.ordinal, codes));
        Ok(())
    };
    let (workers, _) = scan_user_bits(snapshot, &scan, 2, &AtomicBool::new(false), Vec::new, bits, each).unwrap();
    let mut found = BTreeMap::new();
    for worker in workers {
        for (shard, ordinal, codes) in worker.partial {
            let user = snapshot.shards[shard].user_id(ordinal).unwrap().unwrap();
            let names = codes.into_iter().map(|code| format!("{:?}", worker.keys.value(0, code))).collect();
            assert!(found.insert(user, names).is_none(), "a user was delivered twice");
        }
    }
    found
}

fn expect_names(rows: &[Row], scan: &BehaviorScan) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| scan.time.contains(row.ts) && holds(&scan.filter, row) == Some(true)) {
        let name = format!("{:?}", value(row, &ColumnRef::Event));
        expected.entry(row.user.clone()).or_default().push((row.ts, name));
    }
    let names = |(user, mut events): (String, Vec<(i64, String)>)| {
        events.sort_by_key(|event| event.0);
        (user, events.into_iter().map(|event| event.1).collect())
    };
    expected.into_iter().map(names).collect()
}

fn expect_users(rows: &[Row], scan: &BehaviorScan) -> PerUser {
    let mut expected = PerUser::new();
    for row in rows {
        if !scan.time.contains(row.ts) || holds(&scan.filter, row) != Some(true) {
            continue;
        }
        let bit = |(bit, condition): (usize, &Predicate)| u64::from(holds(condition, row) == Some(true)) << bit;
        let mask: u64 = scan.conditions.iter().enumerate().map(bit).sum();
        if mask == 0 && !scan.every_event {
            continue;
        }
        let key = |name: &str| format!("{:?}", value(row, &property(name)));
        expected.entry(row.user.clone()).or_default().push((row.ts, mask, key("country"), key("n")));
    }
    expected.values_mut().for_each(|events| events.sort_by_key(|event| event.0));
    expected
}

fn check_candidates(snapshot: &Snapshot, rows: &[Row], condition: &Predicate, time: TimeRange, asked: &Predicate) {
    let sets = matching_users(snapshot, asked, time).unwrap();
    let mut found: Vec<String> = Vec::new();
    for (shard, set) in sets.iter().enumerate() {
        let ids = set.users.iter().map(|ordinal| snapshot.shards[shard].user_id(ordinal).unwrap());
        found.extend(ids.flatten());
    }
    let matches = |row: &&Row| time.contains(row.ts) && holds(condition, row) == Some(true);
    let expected: std::collections::BTreeSet<String> =
        rows.iter().filter(matches).map(|row| row.user.clone()).collect();
    for user in &expected {
        assert!(found.contains(user), "{user} satisfies {condition:?}, but the indexes leave it out");
    }
    if sets.iter().all(|set| set.exact) {
        assert_eq!(found.len(), expected.len(), "{condition:?} is said to be exact: {found:?} {expected:?}");
    }
}

#[test]
fn users_come_as_bits_where_event_names_say_which_events_matter() {
    let (_engine, table) = new_table("UTC");
    let row = |user: usize, hour: i64, event: usize| Row {
        user: format!("u{user}"),
        ts: hour * HOUR_US,
        event: format!("e{event}"),
        country: None,
        price: Some(hour as f64),
        n: None,
        flag: None,
    };
    let rows = (0..4).flat_map(|user| (0..9).map(move |hour| row(user, hour, (user + hour as usize) % 4))).collect();
    let rows = play(&table, &[Step::Append(rows), Step::Flush]);
    let price = Predicate::Compare { column: property("price"), op: CompareOp::Gt, value: Value::Double(3.0) };
    let conditions = vec![Predicate::event_is("e0"), Predicate::And(vec![Predicate::event_is("e1"), price])];
    let (filter, time) = (Predicate::True, TimeRange::ALL);
    let scan = BehaviorScan { conditions, filter, time, keys: Vec::new(), every_event: false, users: None };
    let (found, came) = read_user_bits(&table.snapshot(), &scan);
    assert!(came);
    assert_eq!(found, without_keys(expect_users(&rows, &scan)));
    let every_event = BehaviorScan { every_event: true, ..scan.clone() };
    assert_eq!(
        read_user_bits(&table.snapshot(), &every_event),
        (without_keys(expect_users(&rows, &every_event)), true)
    );
    let named = BehaviorScan { filter: Predicate::Not(Box::new(Predicate::event_is("e0"))), ..every_event };
    assert!(!read_user_bits(&table.snapshot(), &named).1, "bits do not show what is no part of the input");
    let nothing = BehaviorScan { conditions: Vec::new(), ..scan.clone() };
    assert_eq!(read_user_bits(&table.snapshot(), &nothing), (PerUser::new(), false), "no condition has no bits");
    let some = |users: &[&str]| Predicate::In {
        column: ColumnRef::User,
        values: users.iter().map(|user| Value::Text(user.to_string())).collect(),
    };
    for filter in [some(&["u1", "u3", "u9"]), Predicate::Not(Box::new(some(&["u0"])))] {
        let asked = BehaviorScan { filter: by_members(&filter, &table.snapshot()), ..scan.clone() };
        let expected = without_keys(expect_users(&rows, &BehaviorScan { filter, ..scan.clone() }));
        assert_eq!(read_user_bits(&table.snapshot(), &asked), (expected, true), "a filter by users is none of events");
    }
    let filtered = BehaviorScan { filter: Predicate::IsNull(property("n")), ..scan };
    assert!(!read_user_bits(&table.snapshot(), &filtered).1, "bits do not show what the filter says");
}

/// What is asked of a scan without key columns.
fn without_keys(users: PerUser) -> PerUser {
    let plain = |(ts, mask, ..): (i64, u64, String, String)| (ts, mask, String::new(), String::new());
    users.into_iter().map(|(user, events)| (user, events.into_iter().map(plain).collect())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn scans_agree_with_a_plain_list(
        steps in proptest::collection::vec(step(), 1..10),
        conditions in proptest::collection::vec(predicate(), 1..4),
        filter in prop_oneof![Just(Predicate::True), predicate()],
        time in prop_oneof![
            Just(TimeRange::ALL),
            (-30..30i64, 0..40i64).prop_map(|(from, hours)| TimeRange { start_us: from * HOUR_US, end_us: (from + hours) * HOUR_US })
        ],
        every_event in any::<bool>(),
        time_zone in prop_oneof![Just("UTC"), Just("Asia/Kolkata"), Just("America/New_York")],
    ) {
        let (_engine, table) = new_table(time_zone);
        let rows = play(&table, &steps);
        let snapshot = table.snapshot();

        let mut expected: Vec<String> = rows
            .iter()
            .filter(|row| time.contains(row.ts) && holds(&filter, row) == Some(true))
            .map(plain)
            .collect();
        expected.sort();
        prop_assert_eq!(read_rows(&snapshot, &by_members(&filter, &snapshot), time), expected.clone());
        prop_assert_eq!(read_rows(&snapshot, &filter, time), expected);

        for condition in conditions.iter().chain([&filter]) {
            check_candidates(&snapshot, &rows, condition, time, condition);
            check_candidates(&snapshot, &rows, condition, time, &by_members(condition, &snapshot));
        }

        let keys = vec![property("country"), property("n")];
        let scan = BehaviorScan { conditions, filter, time, keys, every_event, users: None };
        let expected = expect_users(&rows, &scan);
        prop_assert_eq!(read_users(&snapshot, &scan, 1), expected.clone());
        prop_assert_eq!(read_users(&snapshot, &scan, 3), expected.clone());
        let members = BehaviorScan {
            conditions: scan.conditions.iter().map(|condition| by_members(condition, &snapshot)).collect(),
            filter: by_members(&scan.filter, &snapshot),
            ..scan.clone()
        };
        prop_assert_eq!(read_users(&snapshot, &members, 2), expected.clone());

        let scan = BehaviorScan { keys: Vec::new(), ..scan };
        prop_assert_eq!(read_names(&snapshot, &scan), expect_names(&rows, &scan));
        let members = BehaviorScan { keys: Vec::new(), ..members };
        prop_assert_eq!(read_user_bits(&snapshot, &members).0, without_keys(expected.clone()));
        prop_assert_eq!(read_user_bits(&snapshot, &scan).0, without_keys(expected));
    }
}
