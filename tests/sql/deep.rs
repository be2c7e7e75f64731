//! Statements whose operators follow each other for long: they are answered up to a limit, and refused above it; a thread with
//! the stack that threads have by default survives both.

use crate::support::{TestDatabase, rows};
use trodden_query::ErrorKind::ResourceLimit;

/// The statement with so many operators in a row.
type Statement<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn long_chains_are_answered_or_refused() {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (k BIGINT) WITH (shards = 1);
         INSERT INTO events (user_id, ts, event, k) VALUES ('ann', '2026-03-01', 'a', 7), ('bob', '2026-03-01', 'a', NULL)",
    )
    .unwrap();
    let many = |part: &str, between: &str, count: usize| vec![part; count].join(between);
    let cases: [(Statement<'_>, usize, &str); 6] = [
        (&|count| format!("SELECT count(*) FROM events WHERE k < 0 OR {}", many("k = 7", " OR ", count)), 499, "1"),
        (&|count| format!("SELECT sum({}) FROM events WHERE k = 7", many("k", " + ", count + 1)), 1_000, "7007"),
        (&|count| format!("SELECT count(*) FROM events WHERE (k {}) = false", many("IS NULL", " ", count)), 998, "2"),
        (&|count| format!("SELECT max(k{}) FROM events", many("::INT", "", count)), 1_000, "7"),
        (
            &|count| format!("SELECT length({}) FROM events WHERE k = 7", many("event", " || ", count + 1)),
            1_000,
            "1001",
        ),
        (
            &|count| format!("SELECT count(*) FROM ({})", many("SELECT k FROM events", " UNION ALL ", count + 1)),
            240,
            "482",
        ),
    ];
    for (sql, most, expected) in cases {
        let answer = test.run(&sql(most)).unwrap_or_else(|error| panic!("{}: {error}", &sql(2)));
        assert_eq!(rows(&answer.batches), [[expected]], "{}", sql(2));
        let error = test.run(&sql(100_000)).expect_err("it is too long");
        assert_eq!(error.kind(), ResourceLimit, "{}: {error}", sql(2));
        assert!(error.message().contains("more than 1000 operators in a row") && error.span().is_some(), "{error}");
    }
}
