//! Profiles through SQL: bulk updates, conditions that bitmaps answer against the same rows without them, and what only a
//! program can say.

use crate::support::TestDatabase;
use std::sync::Arc;
use trodden_query::ErrorKind;
use trodden_query::arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use trodden_query::engine::predicate::{ColumnRef, CompareOp, Predicate};
use trodden_query::engine::profiles::{ProfileBatch, ProfileColumn};
use trodden_query::engine::types::Value;

/// 300,000 numbers from 0, called `i`: more than one append takes.
const NUMBERS: &str = "(SELECT value AS i FROM generate_series(0, 299999))";

fn count(test: &TestDatabase, condition: &str) -> String {
    test.rows(&format!("SELECT count(*) FROM events_users WHERE {condition}")).concat().concat()
}

#[test]
fn many_updates_are_stored_together_or_not_at_all() {
    let test = TestDatabase::local();
    test.run("CREATE TABLE events; INSERT INTO events (user_id, ts, event) VALUES ('u7', '2026-01-01', 'e')")
        .expect("a table");
    let upsert = |user: &str, n: &str| {
        format!(
            "UPSERT INTO events_users SELECT {user} AS user_id, TIMESTAMP '2026-01-01' AS ts, {n} AS n FROM {NUMBERS} ORDER BY i"
        )
    };
    for (user, n, cause) in [
        ("CASE WHEN i = 299998 THEN NULL ELSE 'u' || i END", "i", "no user_id"),
        ("'u' || i", "100 / (299998 - i)", "ivide by zero"),
        ("CASE WHEN i = 299998 THEN '' ELSE 'u' || i END", "i", "the id of a user is empty"),
    ] {
        let error = test.error(&upsert(user, n));
        assert!(error.to_string().contains(cause), "{error}");
        assert_eq!(test.rows("SELECT count(*) FROM events_users").concat(), ["0"]);
    }
    assert_eq!(test.rows(&upsert("'u' || (i % 200000)", "i")).concat(), ["300000"]);
    let sums = "SELECT count(*), sum(n), min(n), max(n) FROM events_users";
    // The later row of equal times wins: users below 100,000 have the second number.
    assert_eq!(test.rows(sums).concat(), ["200000", "39999900000", "100000", "299999"]);
    test.run("OPTIMIZE TABLE events").expect("compacted");
    assert_eq!(test.rows(sums).concat(), ["200000", "39999900000", "100000", "299999"]);
    let joined = "SELECT u.n, e.event FROM events e JOIN events_users u USING (user_id)";
    assert_eq!(test.rows(joined).concat(), ["200007", "e"]);
    test.run("DELETE FROM events WHERE user_id = 'u7'").expect("deleted");
    assert_eq!(test.rows("SELECT count(*) FROM events_users").concat(), ["199999"]);
}

#[test]
fn bitmaps_leave_what_a_filter_leaves() {
    let test = TestDatabase::in_memory();
    test.run("CREATE TABLE events WITH (shards = 3)").expect("a table");
    test.run(
        "UPSERT INTO events_users SELECT 'u' || value AS user_id, to_timestamp(1767225600 + value) AS ts,
           CASE value % 4 WHEN 0 THEN 'pro' WHEN 1 THEN 'free' WHEN 2 THEN 'team' END AS plan,
           nullif(value % 60, 7) AS age, value / 8.0 AS score, nullif(value % 3 = 0, value % 7 = 0) AS vip,
           'mail' || value AS email, to_timestamp(value * 86400) AS since
         FROM generate_series(1, 4000)",
    )
    .expect("profiles");
    let conditions = [
        "plan = 'pro'",
        "plan <> 'pro'",
        "NOT (plan = 'pro' AND age > 30)",
        "plan IN ('free', 'team') OR vip",
        "plan NOT IN ('free', NULL)",
        "plan IS NULL",
        "age BETWEEN 10 AND 20 AND vip IS NOT NULL",
        "age NOT BETWEEN 10 AND 20",
        "score >= 100.125",
        "score < 3 OR email = 'mail77'",
        "email > 'mail39' AND NOT vip",
        "email LIKE 'mail12%' AND plan = 'pro'",
        "since < TIMESTAMP '1975-01-01'",
        "updated_at >= TIMESTAMP '2026-01-01 00:30:00' AND age IS NULL",
        "user_id = 'u12' AND plan = 'pro'",
        "user_id IN ('u1', 'u2', 'u3') AND plan <> 'free'",
        "user_id > 'u39' AND vip",
        "age = 5 AND length(plan) = 4",
        "NOT (vip IS NULL OR age < 5)",
    ];
    // random() keeps a condition away from the bitmaps.
    let check = || {
        for condition in conditions {
            let plain = format!("CASE WHEN random() < 2 THEN ({condition}) END");
            assert_eq!(count(&test, condition), count(&test, &plain), "{condition}");
        }
    };
    check();
    test.run("UPSERT INTO events_users SELECT 'u' || value AS user_id, 'pro' AS plan, NULL AS age FROM generate_series(1, 9)")
        .expect("updated");
    check();
    test.run("DELETE FROM events WHERE user_id IN ('u4', 'u12', 'u5000'); UPSERT INTO events_users (user_id, vip) VALUES ('u4', true)")
        .expect("deleted");
    check();
    test.run("UPSERT INTO events_users (user_id, age, score) VALUES ('u4', 10.5, 'many')").unwrap_err();
    test.run("UPSERT INTO events_users (user_id, age) VALUES ('u4', 10.5)").expect("widened");
    check();
    test.run("OPTIMIZE TABLE events").expect("compacted");
    check();
    let plan =
        test.run("EXPLAIN SELECT user_id FROM events_users WHERE plan = 'pro' AND user_id = 'u12'").expect("a plan");
    let plan = plan.to_string();
    assert!(plan.contains("ProfileScan: table=events_users") && plan.contains("users=1"), "{plan}");
    assert!(plan.contains("pruned by bitmaps"), "{plan}");
}

#[test]
fn a_program_says_of_each_row_what_it_is_about() {
    let test = TestDatabase::in_memory();
    test.run("CREATE TABLE events; INSERT INTO events (user_id, ts, event) VALUES ('zoe', '2026-01-01', 'e')")
        .expect("a table");
    let column = |name: &str, values: ArrayRef, sets: Option<Vec<bool>>| ProfileColumn {
        name: name.into(),
        values,
        sets: sets.map(BooleanArray::from),
    };
    let batch = |ids: Option<Vec<&str>>| ProfileBatch {
        user_id: StringArray::from(vec!["ann", "bob", "ann"]),
        ts: Int64Array::from(vec![1, 1, 2]),
        event_id: ids.map(StringArray::from),
        columns: vec![
            column(
                "plan",
                Arc::new(StringArray::from(vec![Some("pro"), Some("free"), None])),
                Some(vec![true, true, false]),
            ),
            column("age", Arc::new(Int64Array::from(vec![Some(31), Some(40), None])), None),
        ],
    };
    let ids = || Some(vec!["x", "x", "y"]);
    assert_eq!(test.database.upsert("events", batch(ids())).expect("stored").accepted, 3);
    let again = test.database.upsert("events", batch(ids())).expect("known");
    assert_eq!((again.accepted, again.duplicates), (0, 3));
    // The third row says nothing about the plan, and unsets the age.
    let rows = test.rows("SELECT user_id, plan, age FROM events_users ORDER BY user_id");
    assert_eq!(rows, [["ann", "pro", "NULL"], ["bob", "free", "40"]]);
    let table = test.database.engine().table("events").expect("the table");
    let profiles = table.profiles().expect("profiles").snapshot();
    let pro = Predicate::Compare {
        column: ColumnRef::Property("plan".into()),
        op: CompareOp::Eq,
        value: Value::Text("pro".into()),
    };
    let events = table.snapshot();
    let answer = profiles.answer(&events, &pro).expect("an answer");
    assert_eq!((answer.yes.len(), answer.no.len(), answer.profiled.len(), answer.without), (1, 1, 2, None));
    let (shard, ordinal) = events.ordinal_of("ann").expect("readable").expect("ann has a place");
    assert!(answer.yes.contains(usize::from(shard), ordinal));
    let none = profiles.answer(&events, &Predicate::IsNull(ColumnRef::Property("plan".into()))).expect("an answer");
    assert_eq!((none.yes.len(), none.without), (0, Some(true)));
    assert!(table.profiles().expect("profiles").memory_bytes() > 0);
    let wrong = ProfileBatch {
        columns: vec![column("updated_at", Arc::new(Int64Array::from(vec![1, 2, 3])), None)],
        ..batch(None)
    };
    let error = test.database.upsert("events", wrong).expect_err("a reserved name");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let unknown = profiles.members_where(&events, &Predicate::IsNull(ColumnRef::Property("nothing".into())));
    assert!(unknown.is_err());
}

#[test]
fn errors_point_at_their_place() {
    let test = TestDatabase::in_memory();
    test.run("CREATE TABLE events; UPSERT INTO events_users (user_id, plan) VALUES ('ann', 'pro')").expect("a table");
    for (sql, line, column) in [
        ("UPSERT INTO events_users (user_id, plan, plan) VALUES ('a', 'b', 'c')", 1, 42),
        ("UPSERT INTO\n events (user_id) VALUES ('a')", 2, 2),
        ("UPSERT INTO events_users (plan) VALUES ('a')", 1, 13),
        ("UPSERT INTO events_users (user_id, updated_at) VALUES ('a', now())", 1, 36),
        ("SELECT * FROM PROFILES(events,\n as_of => now())", 2, 2),
        ("UPSERT INTO events_users (user_id) VALUES ('a') RETURNING 1", 1, 49),
        ("DELETE FROM events_users WHERE user_id = 'ann'", 1, 13),
    ] {
        let error = test.error(sql);
        let span = error.span().unwrap_or_else(|| panic!("{sql}: {error} has no place"));
        assert_eq!((span.line, span.column), (line, column), "{sql}: {error}");
        assert!(
            error.hint().is_some() || error.kind() == ErrorKind::Syntax || sql.contains("plan, plan"),
            "{sql}: {error}"
        );
    }
}
