//! The embedded interface: parameters, snapshots, cancelling, memory, two handles on one directory.

use crate::support::{TestDatabase, rows};
use arrow_array::{Int64Array, StringArray};
use trodden_engine::EventBatch;
use trodden_engine::types::{Schema, TableOptions};
use trodden_query::{CancelToken, Database, ErrorKind, Options, QueryOptions, ScalarValue};

fn filled(users: usize) -> TestDatabase {
    let test = TestDatabase::in_memory();
    let sql = format!(
        "CREATE TABLE events (n BIGINT);
         INSERT INTO events (user_id, ts, event, n)
         SELECT 'u' || CAST(value % {users} AS TEXT), to_timestamp_seconds(value), CASE value % 3 WHEN 0 THEN 'a' ELSE 'b' END, value
         FROM generate_series(1, {})",
        users * 4
    );
    test.run(&sql).expect("rows");
    test
}

#[test]
fn a_prepared_statement_runs_with_other_values() {
    let test = filled(10);
    let statement = test
        .database
        .prepare("SELECT users FROM FUNNEL(events, STEPS(x => event = $1, y => 'b'), within => $2) ORDER BY step")
        .expect("it is right");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let run = |name: &str, within: &str| {
        let parameters = vec![ScalarValue::from(name), ScalarValue::from(within)];
        let options = QueryOptions { parameters, ..QueryOptions::default() };
        let batches = runtime.block_on(async { test.database.run(&statement, options).await?.collect().await });
        rows(&batches.expect("it runs")).concat()
    };
    let wide = run("a", "1 day");
    assert_ne!(wide, run("nothing", "1 day"));
    assert_eq!(run("nothing", "1 day"), ["0", "0"]);
    assert_ne!(wide, run("a", "1 microsecond"));
    let error = runtime.block_on(test.database.run(&statement, QueryOptions::default())).expect_err("no values");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_table_that_is_named_twice_is_read_at_one_moment() {
    let test = filled(5);
    let sql = "INSERT INTO events (user_id, ts, event)
               SELECT a.user_id, b.ts, 'again' FROM events a JOIN events b ON a.n = b.n";
    assert_eq!(test.rows(sql), [["20"]]);
    assert_eq!(test.rows("SELECT count(*) FROM events"), [["40"]]);
}

#[test]
fn a_cancelled_statement_ends() {
    let test = filled(100);
    let cancel = CancelToken::new();
    cancel.cancel();
    let options = QueryOptions { cancel, ..QueryOptions::default() };
    let error = test.database.query_blocking_with("SELECT * FROM events", options).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_query_over_its_memory_fails_and_the_database_lives() {
    let test = filled(20_000);
    let options = QueryOptions { memory_limit_bytes: Some(100_000), ..QueryOptions::default() };
    for sql in [
        "SELECT user_id, array_agg(n) FROM events GROUP BY user_id",
        "SELECT * FROM FUNNEL((SELECT * FROM events LIMIT 1000000), steps => ['a', 'b'], emit => 'users')",
        "SELECT * FROM FUNNEL(events, steps => ['a', 'b'], emit => 'users')",
        "SELECT * FROM LIFECYCLE(events, emit => 'users')",
        "SELECT * FROM LIFECYCLE(events, by => n)",
        "SELECT * FROM STICKINESS(events, emit => 'users')",
        "SELECT * FROM RFM(events, value => n)",
        "SELECT * FROM SESSIONS(events, session => '1 second', emit => 'sessions')",
        "SELECT * FROM SESSIONS(events, session => '1 second')",
    ] {
        let error = test.database.query_blocking_with(sql, options.clone()).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::ResourceLimit, "{sql}: {error}");
    }
    assert_eq!(test.rows("SELECT count(*) FROM events"), [["80000"]]);
}

#[test]
fn a_directory_has_one_owner() {
    let test = TestDatabase::local();
    let error = Database::open(test.directory.path().join("db")).expect_err("it is open already");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
}

#[test]
fn what_was_inserted_is_there_after_opening_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db");
    {
        let database = Database::open(&path).expect("a new one");
        let sql = "CREATE TABLE events (price DOUBLE); INSERT INTO events (user_id, ts, event, price) VALUES ('u', '2026-01-01', 'e', 2.5)";
        database.query_blocking(sql).expect("stored");
    }
    let database = Database::open_with(&path, Options::default()).expect("it opens again");
    let answer = database.query_blocking("SELECT user_id, ts, event, price FROM events").expect("an answer");
    assert_eq!(rows(&answer.batches), [["u", "2026-01-01T00:00:00Z", "e", "2.5"]]);
}

/// What `now()` says.
fn now_us() -> i64 {
    let seconds = TestDatabase::in_memory().rows("SELECT CAST(to_unixtime(now()) AS BIGINT)").concat().concat();
    seconds.parse::<i64>().expect("seconds") * 1_000_000
}

/// Two events: one of a year ago, one of now.
fn old_and_new() -> EventBatch {
    let now = now_us();
    EventBatch {
        user_id: StringArray::from(vec!["u", "u"]),
        ts: Int64Array::from(vec![now - 365 * 86_400_000_000, now]),
        event: StringArray::from(vec!["old", "new"]),
        event_id: None,
        properties: Vec::new(),
    }
}

#[test]
fn rows_past_the_retention_are_hidden_from_the_first_statement_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db");
    {
        let database = Database::open(&path).expect("a new one");
        let options = TableOptions { retention_us: Some(30 * 86_400_000_000), ..TableOptions::default() };
        // Not by a statement: nothing has looked at the clock yet.
        database.engine().create_table("events", Schema { columns: Vec::new() }, options).expect("a table");
        database.ingest("events", old_and_new()).expect("stored");
        assert_eq!(database.engine().table("events").expect("it is there").snapshot().rows(), 2);
    }
    let database = Database::open(&path).expect("it opens again");
    let of = |sql: &str| rows(&database.query_blocking(sql).expect(sql).batches).concat();
    assert_eq!(of("SELECT event FROM events"), ["new"]);
    assert_eq!(of("SELECT users FROM FUNNEL(events, steps => ['old', 'new']) ORDER BY step"), ["0", "0"]);
    assert_eq!(of("SHOW TABLES"), ["events", "TABLE", "1"]);
}

#[test]
fn a_table_with_retention_hides_what_is_old_when_it_comes() {
    let test = TestDatabase::in_memory();
    let sql = "CREATE TABLE events WITH (retention = '30 days');
               INSERT INTO events (user_id, ts, event) VALUES ('u', now() - INTERVAL '1' YEAR, 'old'), ('u', now(), 'new');
               SELECT event FROM events";
    assert_eq!(test.rows(sql), [["new"]]);
    assert_eq!(test.rows("SELECT count(*) FROM events"), [["1"]]);
}
