//! INSERT and CREATE TABLE AS store all rows or none, however many and however long they are.

use crate::support::TestDatabase;
use trodden_query::ErrorKind;

/// 300,000 numbers from 0, called `i`: more than one append takes.
const NUMBERS: &str = "WITH d AS (SELECT * FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS d(i)),
  numbers AS (SELECT (((((f.i * 10 + e.i) * 10 + d.i) * 10 + c.i) * 10 + b.i) * 10 + a.i) AS i
    FROM d AS a, d AS b, d AS c, d AS d, d AS e, (VALUES (0), (1), (2)) AS f(i))";

fn events(test: &TestDatabase, table: &str) -> String {
    test.rows(&format!("SELECT count(*) FROM {table}")).concat().concat()
}

#[test]
fn many_rows_are_stored_together() {
    let test = TestDatabase::local();
    test.run("CREATE TABLE events (n BIGINT)").expect("a table");
    let insert = format!(
        "INSERT INTO events (user_id, ts, event, n)
         {NUMBERS} SELECT 'u' || (i % 1000), to_timestamp(1767225600 + i), 'e', i FROM numbers"
    );
    assert_eq!(test.rows(&insert).concat(), ["300000"]);
    let sums = test.rows("SELECT count(*), sum(n), count(DISTINCT user_id), min(n), max(n) FROM events").concat();
    assert_eq!(sums, ["300000", "44999850000", "1000", "0", "299999"]);
    // The same statement may be run again: it is no file.
    test.run(&insert).expect("again");
    assert_eq!(events(&test, "events"), "600000");
    // Small ones still work after it.
    test.run("INSERT INTO events (user_id, ts, event) VALUES ('z', '2026-01-01', 'e')").expect("a row");
    assert_eq!(events(&test, "events"), "600001");
}

#[test]
fn a_row_that_fails_late_leaves_nothing() {
    let test = TestDatabase::local();
    test.run("CREATE TABLE events (n BIGINT); INSERT INTO events (user_id, ts, event) VALUES ('a', '2026-01-01', 'e')")
        .expect("a table");
    for (user, n, cause) in [
        ("CASE WHEN i = 299998 THEN NULL ELSE 'u' || i END", "i", "no user_id"),
        ("'u' || i", "100 / (299998 - i)", "ivide by zero"),
        ("CASE WHEN i = 299998 THEN '' ELSE 'u' || i END", "i", "user_id"),
        ("CASE WHEN i = 299998 THEN repeat('u', 70000) ELSE 'u' || i END", "i", "user_id"),
    ] {
        let error = test.error(&format!(
            "INSERT INTO events (user_id, ts, event, n)
             {NUMBERS} SELECT {user}, TIMESTAMP '2026-01-01 00:00:00', 'new', {n} FROM numbers ORDER BY i"
        ));
        assert!(error.to_string().contains(cause), "{error}");
        assert_eq!(events(&test, "events"), "1", "{user}, {n}");
        assert_eq!(test.rows("SELECT count(*) FROM events WHERE event = 'new'").concat(), ["0"]);
        // The table takes writes again.
        test.run("INSERT INTO events (user_id, ts, event, event_id) VALUES ('a', '2026-01-01', 'e', 'same')")
            .expect("a row");
        test.run("DELETE FROM events WHERE user_id = 'a'").expect("deleted");
        test.run("INSERT INTO events (user_id, ts, event) VALUES ('a', '2026-01-01', 'e')").expect("a row");
    }
    let strict = "CREATE TABLE strict () WITH (strict = true)";
    test.run(strict).expect("a table");
    let error = test.error(&format!(
        "INSERT INTO strict {NUMBERS} SELECT 'u' || i AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'e' AS event,
           CASE WHEN i = 299998 THEN i END AS extra FROM numbers ORDER BY i"
    ));
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(events(&test, "strict"), "0");
}

#[test]
fn a_statement_may_read_the_table_that_it_fills() {
    let test = TestDatabase::local();
    test.run("CREATE TABLE events (n BIGINT)").expect("a table");
    test.run(&format!(
        "INSERT INTO events (user_id, ts, event, event_id, n) {NUMBERS}
         SELECT 'u' || (i % 77), to_timestamp(1767225600 + i), 'e', 'id' || i, i FROM numbers"
    ))
    .expect("rows");
    // What is in memory is flushed by the insert, while it is read.
    test.run("INSERT INTO events (user_id, ts, event, n) VALUES ('last', '2026-01-01', 'e', 7)").expect("a row");
    for _ in 0..2 {
        let before: u64 = events(&test, "events").parse().expect("a number");
        let copied = test.rows(
            "INSERT INTO events (user_id, ts, event, event_id, n)
             SELECT user_id, ts, 'copy', event_id || event || n || random(), n FROM events",
        );
        assert_eq!(copied.concat(), [before.to_string()]);
        assert_eq!(events(&test, "events"), (2 * before).to_string());
    }
    let users = test.rows("SELECT count(DISTINCT user_id) FROM events WHERE event = 'copy'").concat();
    assert_eq!(users, ["78"]);
}

#[test]
fn long_texts_are_stored_as_they_are() {
    let test = TestDatabase::local();
    test.run("CREATE TABLE events (note TEXT)").expect("a table");
    // 150 texts of 1 MiB, all different: more than one append takes.
    let insert = "INSERT INTO events (user_id, ts, event, note)
        WITH d AS (SELECT * FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS d(i))
        SELECT 'u' || (a.i + 10 * b.i + 100 * c.i), TIMESTAMP '2026-01-01 00:00:00', 'e',
               repeat('x', 1048570) || lpad(CAST(a.i + 10 * b.i + 100 * c.i AS TEXT), 6, '0')
        FROM d AS a, d AS b, (VALUES (0), (1)) AS c(i) WHERE a.i + 10 * b.i + 100 * c.i < 150";
    assert_eq!(test.rows(insert).concat(), ["150"]);
    let got = test
        .rows("SELECT count(*), count(DISTINCT note), min(character_length(note)), max(character_length(note)) FROM events")
        .concat();
    assert_eq!(got, ["150", "150", "1048576", "1048576"]);
    let wrong =
        test.rows("SELECT count(*) FROM events WHERE 'u' || CAST(right(note, 6) AS BIGINT) <> user_id").concat();
    assert_eq!(wrong, ["0"]);
    // And from there into another table, as the views that a scan gives.
    test.run("CREATE TABLE again AS SELECT user_id, ts, event, note FROM events").expect("a copy");
    assert_eq!(events(&test, "again"), "150");
}

#[test]
fn a_table_whose_rows_fail_is_not_made() {
    let test = TestDatabase::local();
    for rows in ["(VALUES (0), (1))", "numbers"] {
        let query = match rows {
            "numbers" => format!(
                "{NUMBERS} SELECT 'u' || i AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'e' AS event,
                100 / (299998 - i) AS n FROM numbers ORDER BY i"
            ),
            _ => "SELECT 'u' AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'e' AS event, 1 / i AS n
                  FROM (VALUES (1), (0)) AS t(i)"
                .to_string(),
        };
        let error = test.error(&format!("CREATE TABLE made AS {query}"));
        assert!(error.to_string().contains("ivide by zero"), "{error}");
        assert!(test.rows("SHOW TABLES").is_empty());
        assert_eq!(test.error("SELECT * FROM made").kind(), ErrorKind::NotFound);
    }
    test.run("CREATE TABLE made AS SELECT 'u' AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'e' AS event")
        .expect("the name is free");
    assert_eq!(events(&test, "made"), "1");
}
