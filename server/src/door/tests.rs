//! Deliveries through the door, into a database in memory.

use super::*;
use crate::access::{Access, Role};
use crate::config::{Size, load};
use crate::http::decode::{mixpanel, plain, posthog, segment};
use crate::serve::{Clock, Queries};
use trodden_query::engine::storage::FaultStore;
use trodden_query::engine::{Engine, EngineOptions};
use trodden_query::{Database, Options};

/// A door on an empty database, and a runtime that its statements may use.
struct House {
    door: Door,
    database: Database,
    _runtime: tokio::runtime::Runtime,
}

impl House {
    fn new() -> Self {
        Self::on(Database::in_memory(Options::default()).unwrap())
    }

    fn on(database: Database) -> Self {
        let mut config = load(None, HashMap::new(), &Vec::new()).unwrap();
        config.http.event_max = Size(1000);
        config.limits.events_per_second = 1000;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let access = Access::open(database.clone(), false).unwrap();
        let queries = Queries::new(&runtime, 1);
        let app = App::new(database.clone(), access, queries, Arc::new(config), Clock);
        Self { door: Door::new(Arc::new(app)), database, _runtime: runtime }
    }

    fn store(&self, delivery: Delivery<'_>) -> Receipt {
        self.door.store(&anybody(), None, delivery, 1_000_000).unwrap()
    }

    fn ask(&self, sql: &str) -> String {
        self.database.query_blocking(sql).unwrap().to_string()
    }
}

fn anybody() -> Principal {
    Principal { key: None, role: Role::Admin, table: None }
}

fn reasons(receipt: &Receipt) -> Vec<(usize, &str)> {
    receipt.rejected.iter().map(|rejection| (rejection.index, rejection.reason.as_str())).collect()
}

#[test]
fn events_are_stored_once_and_keep_their_types() {
    let house = House::new();
    let text = r#"[{"user_id":"u","event":"a","event_id":"1","n":1,"x":1.5,"t":"2026-03-01","b":true},
        {"user_id":"u","event":"b","ts":5,"event_id":"2"},
        {"user_id":"u","event":"b","ts":"1970-01-01T00:00:05Z","event_id":"2","n":2,"ts_":"x","Event":7}]"#;
    let receipt = house.store(plain::decode(text).unwrap());
    assert_eq!((receipt.accepted, receipt.duplicates, receipt.table.as_str()), (2, 0, "events"));
    assert_eq!(reasons(&receipt).len(), 1);
    let receipt = house.store(plain::decode(text).unwrap());
    assert_eq!((receipt.accepted, receipt.duplicates), (2, 2));
    let types =
        house.ask("SELECT arrow_typeof(n), arrow_typeof(x), arrow_typeof(t), arrow_typeof(b) FROM events LIMIT 1");
    for word in ["Int64", "Float64", "Utf8", "Boolean"] {
        assert!(types.contains(word), "{types}");
    }
    let rows = house.ask("SELECT event, ts, \"property_Event\" FROM events ORDER BY ts");
    assert!(rows.contains("1970-01-01T00:00:01") && rows.contains("| 7 "), "{rows}");
}

#[test]
fn a_time_column_takes_times_and_a_strict_table_refuses_one_row() {
    let house = House::new();
    house.ask("CREATE TABLE events (at TIMESTAMP, n BIGINT) WITH (strict = true)");
    let text = r#"[{"user_id":"u","event":"a","at":"2026-03-01T10:00:00Z"},{"user_id":"u","event":"b","n":"seven"},
        {"user_id":"u","event":"c","n":7},{"user_id":"u","event":"d","new":1}]"#;
    let receipt = house.store(plain::decode(text).unwrap());
    assert_eq!(receipt.accepted, 2);
    let reasons = reasons(&receipt);
    assert!(reasons[0].0 == 1 && reasons[0].1.contains("column 'n' is BIGINT"), "{reasons:?}");
    assert!(reasons[1].0 == 3 && reasons[1].1.contains("no column 'new'"), "{reasons:?}");
    assert!(house.ask("SELECT at FROM events WHERE event = 'a'").contains("2026-03-01T10:00:00"));
}

#[test]
fn profiles_are_set_set_once_unset_and_forgotten() {
    let house = House::new();
    let engage = |text: &str| house.store(mixpanel::updates(text).unwrap());
    engage(
        r#"[{"$distinct_id":"u","$time":100000000,"$set":{"plan":"free","Age":30},"$set_once":{"first":"a","plan":"x"}}]"#,
    );
    engage(
        r#"[{"$distinct_id":"u","$time":100000001,"$set_once":{"first":"b","plan":"y","late":1}},
        {"$distinct_id":"v","$time":100000001,"$set_once":{"first":"c"}},{"$distinct_id":"v","$time":100000002,"$set_once":{"first":"d"}}]"#,
    );
    let rows = house.ask("SELECT user_id, plan, first, late, \"Age\" FROM events_users ORDER BY user_id");
    assert!(
        rows.contains("| u       | free | a     | 1    | 30  |") && rows.contains("| v       |      | c     |"),
        "{rows}"
    );
    let receipt =
        engage(r#"[{"$distinct_id":"u","$time":100000003,"$unset":["age"]},{"$distinct_id":"u","$add":{"n":1}}]"#);
    assert_eq!((receipt.profiles, receipt.rejected.len(), receipt.rejected[0].part), (1, 1, Part::Profile));
    assert!(house.ask("SELECT user_id FROM events_users WHERE \"Age\" IS NULL AND user_id = 'u'").contains("| u "));
    engage(
        r#"[{"$distinct_id":"u","$time":100000004,"$delete":""},{"$distinct_id":"u","$time":100000005,"$set_once":{"first":"z"}}]"#,
    );
    let rows = house.ask("SELECT plan, first, late FROM events_users WHERE user_id = 'u'");
    assert!(rows.contains("|      | z     |      |"), "{rows}");
}

#[test]
fn aliases_join_histories_and_conflicts_are_told() {
    let house = House::new();
    let text = r#"{"batch":[{"type":"track","anonymousId":"a1","event":"saw"},
        {"type":"identify","userId":"u1","anonymousId":"a1","traits":{"plan":"pro"}},
        {"type":"identify","userId":"u2","anonymousId":"a1","traits":{"plan":"free"}},
        {"type":"alias","userId":"a1","previousId":"u1"}]}"#;
    let receipt = house.store(segment::decode(text, None).unwrap());
    assert_eq!((receipt.accepted, receipt.profiles, receipt.aliases), (3, 2, 1));
    let reasons = reasons(&receipt);
    assert!(reasons[0].0 == 2 && reasons[0].1.contains("'a1' is an alias of 'u1' already"), "{reasons:?}");
    assert!(reasons[1].0 == 3, "{reasons:?}");
    assert!(house.ask("SELECT event FROM events WHERE user_id = 'u1' ORDER BY ts").contains("saw"));
    let receipt = house.store(segment::decode(text, None).unwrap());
    assert_eq!(receipt.aliases, 1);
}

#[test]
fn limits_and_tables_are_kept() {
    let house = House::new();
    let big = format!(r#"[{{"user_id":"u","event":"a","x":"{}"}},{{"user_id":"u","event":"b"}}]"#, "x".repeat(2000));
    let receipt = house.store(plain::decode(&big).unwrap());
    assert_eq!((receipt.accepted, receipt.rejected[0].index), (1, 0));
    assert!(receipt.rejected[0].reason.contains("http.event_max"));
    let one = r#"{"user_id":"u","event":"a"}"#;
    let bound = Principal { key: Some("k".into()), role: Role::Write, table: Some("shop".into()) };
    let store = |principal: &Principal, table: Option<&str>| {
        house.door.store(principal, table, plain::decode(one).unwrap(), 0).map(|receipt| receipt.table)
    };
    assert_eq!(store(&bound, None).as_deref(), Ok("shop"));
    assert!(matches!(store(&bound, Some("events")), Err(Refusal::NotAllowed(_))));
    assert_eq!(store(&anybody(), Some("other")).as_deref(), Ok("other"));
    assert!(matches!(store(&anybody(), Some("")), Err(Refusal::Invalid(_))));
    assert!(matches!(store(&anybody(), Some("shop_users")), Err(Refusal::Invalid(_))));
    house.ask("CREATE VIEW seen AS SELECT * FROM shop");
    assert!(matches!(store(&anybody(), Some("seen")), Err(Refusal::Invalid(_))));
}

#[test]
fn a_key_that_sends_too_fast_is_told_when_to_come_again() {
    let house = House::new();
    let events: Vec<String> = (0..2500).map(|_| r#"{"event":"a","distinct_id":"u"}"#.to_string()).collect();
    let text = format!("[{}]", events.join(","));
    assert_eq!(house.store(posthog::decode(&text, 0).unwrap()).accepted, 2500);
    let again = house.door.store(&anybody(), None, posthog::decode(&text, 0).unwrap(), 1_000_000);
    assert!(matches!(again, Err(Refusal::TooMuch { retry_s: 2, .. })), "{again:?}");
    assert!(house.door.store(&anybody(), None, posthog::decode(&text, 0).unwrap(), 3_500_000).is_ok());
}

#[test]
fn a_full_disk_keeps_senders_waiting_and_what_they_send_again_is_there_once() {
    let store = FaultStore::new();
    let open = |store: &FaultStore| {
        let engine = Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).unwrap();
        House::on(Database::of_engine(engine, Options::default()))
    };
    let text = r#"[{"user_id":"u","event":"a","event_id":"1"},{"user_id":"u","event":"b","event_id":"2"}]"#;
    let house = open(&store);
    assert_eq!(house.store(plain::decode(text).unwrap()).accepted, 2);
    store.set_capacity(Some(0));
    let more = r#"[{"user_id":"u","event":"b","event_id":"2"},{"user_id":"u","event":"c","event_id":"3"}]"#;
    for _ in 0..2 {
        // Full at first, and poisoned by that afterwards.
        let refused = house.door.store(&anybody(), None, plain::decode(more).unwrap(), 1_000_000);
        assert!(matches!(refused, Err(Refusal::Unavailable { retry_s: 1.., .. })), "{refused:?}");
    }
    drop(house);
    store.set_capacity(None);
    let house = open(&store);
    assert_eq!(house.store(plain::decode(more).unwrap()).accepted, 2);
    assert!(house.ask("SELECT count(*) AS n FROM events").contains("| 3 |"));
}
