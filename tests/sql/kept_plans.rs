//! A question that is asked again is not planned again, and must not show it.

use crate::support::{TestDatabase, rows};
use trodden_engine::ingest::EventBatch;
use trodden_query::arrow::array::{ArrayRef, Int64Array, StringArray};
use trodden_query::{QueryOptions, ScalarValue};

fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.rows(
        "CREATE TABLE events (price DOUBLE) WITH (shards = 2);
         INSERT INTO events (user_id, ts, event, price) VALUES
           ('ann', '2026-03-01 10:00:00', 'view', NULL), ('ann', '2026-03-01 11:00:00', 'buy', 9.5),
           ('bob', '2026-03-02 10:00:00', 'view', NULL)",
    );
    test
}

fn with(
    test: &TestDatabase,
    sql: &str,
    parameters: Vec<ScalarValue>,
) -> Result<Vec<Vec<String>>, trodden_query::Error> {
    let options = QueryOptions { parameters, ..QueryOptions::default() };
    Ok(rows(&test.database.query_blocking_with(sql, options)?.batches))
}

#[test]
fn what_came_in_between_counts() {
    let test = shop();
    let funnel = "SELECT step_name, users FROM FUNNEL(events, STEPS(view => 'view', buy => 'buy'))";
    assert_eq!(test.rows(funnel), [["view", "2"], ["buy", "1"]]);
    test.rows("INSERT INTO events (user_id, ts, event) VALUES ('bob', '2026-03-02 11:00:00', 'buy')");
    assert_eq!(test.rows(funnel), [["view", "2"], ["buy", "2"]]);
    test.rows("DELETE FROM events WHERE user_id = 'ann'");
    assert_eq!(test.rows(funnel), [["view", "1"], ["buy", "1"]]);
    // Names that no event has are told each time.
    let unknown = "SELECT users FROM FUNNEL(events, STEPS(a => 'veiw'))";
    for _ in 0..2 {
        assert_eq!(test.run(unknown).expect("an answer").warnings.len(), 1);
    }
    test.rows("INSERT INTO events (user_id, ts, event) VALUES ('bob', '2026-03-02 11:00:00', 'veiw')");
    assert_eq!(test.run(unknown).expect("an answer").warnings.len(), 0);
}

#[test]
fn new_columns_and_wider_ones_are_seen() {
    let test = shop();
    let all = "SELECT * FROM events WHERE user_id = 'bob'";
    assert_eq!(test.rows(all)[0].len(), 5);
    let ingest = |properties: Vec<(String, ArrayRef)>| {
        let batch = EventBatch {
            user_id: StringArray::from_iter_values(["cid"]),
            ts: Int64Array::from(vec![1_772_000_000_000_000]),
            event: StringArray::from_iter_values(["view"]),
            event_id: None,
            properties,
        };
        test.database.ingest("events", batch).expect("it is stored");
    };
    ingest(vec![("size".into(), std::sync::Arc::new(Int64Array::from(vec![7])))]);
    assert_eq!(test.rows(all)[0].len(), 6);
    let sum = "SELECT max(size) FROM events";
    assert_eq!(test.rows(sum), [["7"]]);
    // A number becomes a text.
    ingest(vec![("size".into(), std::sync::Arc::new(StringArray::from_iter_values(["big"])))]);
    assert_eq!(test.rows(sum), [["big"]]);
}

#[test]
fn names_mean_what_they_mean_now() {
    let test = shop();
    test.rows("CREATE VIEW buyers AS SELECT * FROM events WHERE event = 'buy'");
    let count = "SELECT count(*) FROM buyers";
    assert_eq!(test.rows(count), [["1"]]);
    assert_eq!(test.rows(count), [["1"]]);
    test.rows("CREATE OR REPLACE VIEW buyers AS SELECT * FROM events WHERE event = 'view'");
    assert_eq!(test.rows(count), [["2"]]);
    test.rows("DROP VIEW buyers");
    assert!(test.error(count).message().contains("buyers"));
    // Another table of the same name, with another type.
    let price = "SELECT max(price) FROM events";
    assert_eq!(test.rows(price), [["9.5"]]);
    test.rows(
        "DROP TABLE events; CREATE TABLE events (price TEXT);
         INSERT INTO events (user_id, ts, event, price) VALUES ('ann', '2026-03-01', 'buy', 'cheap')",
    );
    assert_eq!(test.rows(price), [["cheap"]]);
    // A name in other letters means the only table that differs by case, as long as it is the only one.
    let other = r#"SELECT count(*) FROM "EVENTS""#;
    assert_eq!(test.rows(other), [["1"]]);
    test.rows(r#"CREATE TABLE orders (); CREATE VIEW v AS SELECT * FROM "Orders""#);
    assert_eq!(test.rows(other), [["1"]]);
}

#[test]
fn time_goes_on() {
    let test = shop();
    let now = "SELECT now()";
    let first = test.rows(now);
    while test.rows(now) == first {}
    let view = "CREATE VIEW clock AS SELECT user_id, now() AS t FROM events";
    test.rows(view);
    let of_view = "SELECT max(t) FROM clock";
    let first = test.rows(of_view);
    while test.rows(of_view) == first {}
    let random = "SELECT random()";
    assert_ne!(test.rows(random), test.rows(random));
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let before = test.rows(tables);
    test.rows("CREATE TABLE more ()");
    assert_ne!(test.rows(tables), before);
}

#[test]
fn parameters_are_those_of_the_statement() {
    let test = shop();
    let within = "SELECT users FROM FUNNEL(events, STEPS(view => 'view', buy => 'buy'), within => $1)";
    let text = |text: &str| vec![ScalarValue::Utf8(Some(text.into()))];
    for _ in 0..2 {
        assert_eq!(with(&test, within, text("1 hour")).expect("an answer"), [["2"], ["1"]]);
        assert_eq!(with(&test, within, text("59 minutes")).expect("an answer"), [["2"], ["0"]]);
        let error = with(&test, within, text("soon")).expect_err("no span of time");
        assert!(error.message().contains("soon"), "{error}");
        let error = with(&test, within, Vec::new()).expect_err("no value");
        assert_eq!(error.message(), "parameter $1 has no value");
    }
    // In an expression they have types of their own.
    let above = "SELECT count(*) FROM events WHERE price > $1";
    for _ in 0..2 {
        assert_eq!(with(&test, above, vec![ScalarValue::Int64(Some(9))]).expect("an answer"), [["1"]]);
        assert_eq!(with(&test, above, vec![ScalarValue::Float64(Some(9.6))]).expect("an answer"), [["0"]]);
    }
    test.rows("PREPARE p AS SELECT users FROM FUNNEL(events, STEPS(view => 'view', buy => 'buy'), within => $1)");
    for _ in 0..2 {
        assert_eq!(test.rows("EXECUTE p('1 hour')"), [["2"], ["1"]]);
        assert_eq!(test.rows("EXECUTE p('1 minute')"), [["2"], ["0"]]);
    }
}

#[test]
fn errors_name_the_place_in_their_own_script() {
    let test = shop();
    let sql = "SELECT users FROM FUNNEL(events, STEPS(view => 'view'), within => $1)";
    let place = |script: &str| {
        let error = with(&test, script, vec![ScalarValue::Utf8(Some("soon".into()))]).expect_err("no span of time");
        error.span().expect("its place")
    };
    let first = place(sql);
    let second = place(&format!("SELECT 1; {sql}"));
    assert_eq!(place(sql), first);
    assert_eq!(second.column, first.column + 10);
}
