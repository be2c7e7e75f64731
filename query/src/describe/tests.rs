//! What is described is what running gives.

use super::*;
use crate::error::ErrorKind;
use crate::{Answer, Options};

fn database() -> Database {
    let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
    database
        .query_blocking(
            "CREATE TABLE events (price DOUBLE, n BIGINT, ok BOOLEAN, at TIMESTAMP, \"Name\" TEXT) WITH (shards = 2);
             INSERT INTO events (user_id, ts, event, price, n) VALUES
               ('u1', TIMESTAMP '2026-01-01 00:00:00', 'view', 1.5, 1), ('u2', TIMESTAMP '2026-01-02', 'buy', NULL, 2);
             CREATE VIEW buys AS SELECT user_id, ts, event, price FROM events WHERE event = 'buy';
             UPSERT INTO events_users (user_id, plan) VALUES ('u1', 'pro');
             CREATE TAG viewed ON events AS SELECT DISTINCT user_id FROM events WHERE event = 'view'",
        )
        .unwrap();
    database
}

fn described(database: &Database, sql: &str, parameters: &[ScalarValue]) -> Result<Description> {
    database.describe(&database.parse(sql)?.remove(0), parameters)
}

fn columns(schema: &Schema) -> Vec<(String, DataType)> {
    schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
}

#[test]
fn columns_are_those_of_running_it() {
    let database = database();
    for sql in [
        "SELECT * FROM events",
        "SELECT * FROM buys",
        "SELECT * FROM events_users",
        "SELECT count(*), sum(n) AS s, min(ts), max(\"Name\") FROM events",
        "SELECT event, count(*) FROM events GROUP BY event ORDER BY 2 DESC LIMIT 1",
        "SELECT 1 AS a UNION ALL SELECT 2.5",
        "SELECT 1 + n, price || 'x', now(), NULL, [1, 2] FROM events",
        "SELECT * FROM (VALUES (1, 'a', NULL), (2, NULL, 1.5)) AS t(a, b, c)",
        "WITH t AS (SELECT n FROM events) SELECT * FROM t WHERE n > 1",
        "FUNNEL view -> buy WITHIN 7 DAYS FROM events",
        "FUNNEL view -> buy WITHIN 7 DAYS BY \"Name\" FROM events",
        "SELECT * FROM RETENTION(events, start => event = 'view', return => event = 'buy')",
        "SHOW TABLES",
        "SHOW RECOMMENDERS",
        "SHOW ALIASES",
        "SHOW ALIASES ON events",
        "SHOW TAGS",
        "SHOW TAGS ON events",
        "DESCRIBE events",
        "EXPLAIN SELECT * FROM events",
        "EXPLAIN ANALYZE SELECT count(*) FROM events",
    ] {
        same_as_run(&database, sql, true);
    }
    for sql in [
        "INSERT INTO events (user_id, ts, event) VALUES ('u9', now(), 'x')",
        "INSERT INTO events SELECT user_id, ts, event, price FROM events",
        "UPSERT INTO events_users (user_id, plan) VALUES ('u1', 'free')",
        "DELETE FROM events WHERE user_id = 'u9'",
        "CREATE TABLE other (a BIGINT)",
        "CREATE TABLE more AS SELECT user_id, ts, event FROM events",
        "ALTER TABLE other ADD COLUMN b TEXT",
        "ALTER TABLE other SET (retention = '90 days')",
        "DROP TABLE other",
        "CREATE OR REPLACE VIEW buys AS SELECT user_id, ts, event, price FROM events WHERE event = 'buy'",
        "CREATE TAG list ON events FROM ('u1')",
        "REFRESH TAG viewed ON events",
        "REFRESH TAGS ON events",
        "DROP TAG list ON events",
        "ALIAS 'anon' TO 'u1' ON events",
        "UNALIAS 'anon' ON events",
        "OPTIMIZE events",
        "FLUSH events",
        "PREPARE p AS SELECT user_id, $1 AS x FROM events",
        "DEALLOCATE p",
        "DROP VIEW buys",
    ] {
        same_as_run(&database, sql, false);
    }
}

fn same_as_run(database: &Database, sql: &str, is_query: bool) {
    let found = described(database, sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(found.is_query, is_query, "{sql}");
    let Answer { schema, .. } = database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(columns(&found.schema), columns(&schema), "{sql}");
    // The second time the plan may be one that was kept.
    if is_query {
        assert_eq!(columns(&described(database, sql, &[]).unwrap().schema), columns(&schema), "{sql}");
    }
}

#[test]
fn nothing_is_run() {
    let database = database();
    for sql in ["INSERT INTO events (user_id, ts, event) VALUES ('u9', now(), 'x')", "DROP TABLE events"] {
        described(&database, sql, &[]).unwrap();
    }
    let answer = database.query_blocking("SELECT count(*) AS n FROM events").unwrap();
    assert!(answer.to_string().contains("| 2 |"), "{answer}");
}

#[test]
fn parameters_have_the_types_that_planning_finds() {
    let database = database();
    for (sql, types) in [
        ("SELECT 1", vec![]),
        ("SELECT * FROM events WHERE price > $1 AND n = $2", vec![Some(DataType::Float64), Some(DataType::Int64)]),
        ("SELECT * FROM events WHERE price > ? AND n = ?", vec![Some(DataType::Float64), Some(DataType::Int64)]),
        ("SELECT $2", vec![None, None]),
        ("DELETE FROM events WHERE user_id = ?", vec![None]),
        ("INSERT INTO events (user_id, ts, event, price) VALUES (?, ?, ?, ?)", vec![None; 4]),
        ("UPSERT INTO events_users (user_id, plan) VALUES (?, ?)", vec![None; 2]),
        ("PREPARE p AS SELECT $1", vec![]),
    ] {
        assert_eq!(described(&database, sql, &[]).unwrap().parameters, types, "{sql}");
    }
}

#[test]
fn values_of_parameters_decide_types_of_the_answer() {
    let database = database();
    let text = ScalarValue::Utf8(Some("x".into()));
    for (sql, values) in [
        ("SELECT ? AS a", vec![ScalarValue::Int64(Some(1))]),
        ("SELECT $1 AS a, $2 AS b, $1", vec![text, ScalarValue::Float64(None)]),
        (
            "SELECT n + ? AS a FROM events WHERE n > ?",
            vec![ScalarValue::Float64(Some(0.5)), ScalarValue::Int64(Some(0))],
        ),
    ] {
        let found = described(&database, sql, &values).unwrap();
        let options = QueryOptions { parameters: values, ..QueryOptions::default() };
        let answer = database.query_blocking_with(sql, options).unwrap();
        assert_eq!(columns(&found.schema), columns(&answer.schema), "{sql}");
    }
}

#[test]
fn what_execute_does_is_what_was_prepared() {
    let database = database();
    let script = "PREPARE r AS SELECT n, $1 AS x FROM events; PREPARE w AS INSERT INTO events (user_id, ts, event) VALUES ($1, now(), 'x')";
    database.query_blocking(script).unwrap();
    let found = described(&database, "EXECUTE r('a')", &[]).unwrap();
    assert!(found.is_query && found.parameters.is_empty());
    let answer = database.query_blocking("EXECUTE r('a')").unwrap();
    assert_eq!(columns(&found.schema), columns(&answer.schema));
    assert!(!described(&database, "EXECUTE w('a')", &[]).unwrap().is_query);
    assert_eq!(described(&database, "EXECUTE x", &[]).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_changes_something_is_no_query() {
    let database = database();
    for sql in [
        "WITH t AS (SELECT 1) INSERT INTO events SELECT * FROM t",
        "EXPLAIN ANALYZE INSERT INTO events (user_id, ts, event) VALUES ('u', now(), 'x')",
        "COPY events TO '/nowhere/x.parquet'",
        "COPY (SELECT 1) TO '/nowhere/x.parquet'",
    ] {
        let Ok(statements) = database.parse(sql) else { continue };
        assert!(!statements[0].is_query(), "{sql}");
        assert!(!database.describe(&statements[0], &[]).is_ok_and(|found| found.is_query), "{sql}");
    }
}

#[test]
fn mistakes_are_found_with_their_place() {
    let database = database();
    for (sql, kind) in [
        ("SELECT nothing FROM events", ErrorKind::NotFound),
        ("SELECT * FROM nowhere", ErrorKind::NotFound),
        ("INSERT INTO events (user_id, nothing) VALUES ('u', 1)", ErrorKind::NotFound),
    ] {
        let error = described(&database, sql, &[]).unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.span().is_some(), "{sql}: {error}");
    }
    let error = described(&database, "SET x = 1", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn a_value_of_a_parameter_is_stored_as_it_is() {
    let database = database();
    for (sql, values) in [
        ("INSERT INTO events (user_id, ts, event, n) VALUES (?, now(), 'half', ?)", [2.5, 0.0]),
        ("UPSERT INTO events_users (user_id, score) VALUES (?, ?)", [1.0, 0.0]),
        ("UPSERT INTO events_users (user_id, score) VALUES (?, ?)", [2.5, 0.0]),
    ] {
        let parameters = vec![ScalarValue::Utf8(Some("half".into())), ScalarValue::Float64(Some(values[0]))];
        database.query_blocking_with(sql, QueryOptions { parameters, ..QueryOptions::default() }).unwrap();
    }
    for sql in ["SELECT n FROM events WHERE event = 'half'", "SELECT score FROM events_users WHERE user_id = 'half'"] {
        let answer = database.query_blocking(sql).unwrap();
        assert!(answer.to_string().contains("2.5"), "{sql}: {answer}");
    }
}
