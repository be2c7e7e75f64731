//! Mutated statements against a small database.

use crate::mutate::{Random, cases, mutate_words};
use std::panic::{AssertUnwindSafe, catch_unwind};
use trodden_query::Database;

const SETUP: [&str; 2] = [
    "CREATE TABLE ev (price DOUBLE, item TEXT, n BIGINT, ok BOOLEAN, seen TIMESTAMP) WITH (shards = 2)",
    "INSERT INTO ev (user_id, ts, event, price, item, n, ok, seen) VALUES
        ('ada', TIMESTAMP '2026-03-01 10:00:00', 'a', 1.5, 'p1', 1, true, NULL),
        ('ada', TIMESTAMP '2026-03-01 10:00:00', 'b', NULL, 'p1', 2, false, TIMESTAMP '2026-03-01 10:00:00'),
        ('ada', TIMESTAMP '2026-03-02 10:00:00', 'c', 9.0, NULL, NULL, NULL, NULL),
        ('bob', TIMESTAMP '2026-03-01 11:00:00', 'a', 3.0, 'p2', 3, true, NULL),
        ('bob', TIMESTAMP '2026-03-05 11:00:00', 'c', 12.0, 'p2', 4, true, NULL)",
];

/// Where mutations begin. Each is good as it stands.
const STATEMENTS: &[&str] = &[
    "SELECT * FROM FUNNEL(ev, STEPS(a => 'a', b => event = 'b' AND price > 1, c => 'c'), within => INTERVAL '7' DAY)",
    "SELECT * FROM FUNNEL(ev, steps => ['a', 'b', 'c'], order => 'strict', ties => 'arrival', emit => 'users')",
    "SELECT * FROM FUNNEL(ev, STEPS(a => 'a', c => 'c'), EXCLUDE('b', after => 1, before => 2), hold => item, by => (item, n))",
    "SELECT * FROM FUNNEL(ev, STEPS(a => 'a', c => 'c'), count => 'attempts', bucket => 'day', time_zone => 'Asia/Shanghai')",
    "SELECT * FROM FUNNEL((SELECT * FROM ev WHERE n IS NOT NULL AND ok), STEPS(a => n = 1), attribution => 'last', by => item)",
    "SELECT * FROM FUNNEL(ev, STEPS(a => 'a', b => 'b', c => 'c'), step_within => [INTERVAL '1' DAY, INTERVAL '2' HOUR])",
    "WITH e AS (SELECT user_id AS who, ts AS at, event AS what FROM ev) SELECT * FROM FUNNEL(e, STEPS(a => what = 'a'), user => who, time => at, name => what)",
    "FUNNEL a -> b(price > 1) AS second -> 'c' WITHIN 7 DAYS BY item FROM ev WHERE ok",
    "SELECT * FROM PATH(ev, start => 'a', end => event = 'c' AND price > 1, anchor => 'each', steps => 3, by => (item, n))",
    "SELECT * FROM PATH(ev, node => coalesce(item, event), session => INTERVAL '1' DAY, collapse => false, top => 1, emit => 'edges')",
    "SELECT * FROM PATH((SELECT * FROM ev WHERE ok LIMIT 9), session => item, exclude => ['b'], emit => 'transitions')",
    "SELECT * FROM PATH(ev, end => 'c', session => NULL, emit => 'users')",
    "PATH FROM a(price > 1) TO 'c' STEPS 3 BY item WITH (session => NULL) FROM ev WHERE ok",
    "SELECT * FROM LIFECYCLE(ev, on => ['a', 'c'], period => INTERVAL '1' WEEK, week_start => 'sunday', from => TIMESTAMP '2026-03-02', by => item)",
    "SELECT * FROM LIFECYCLE((SELECT * FROM ev WHERE ok), period => INTERVAL '1' MONTH, to => TIMESTAMP '2026-04-01', emit => 'users')",
    "SELECT * FROM STICKINESS(ev, on => price > 1, within => 'week', by => (item, n), time_zone => 'Asia/Shanghai')",
    "SELECT * FROM STICKINESS(ev, on => 'a', emit => 'active')",
    "SELECT * FROM RFM(ev, value => price * n, on => 'a', as_of => TIMESTAMP '2026-03-04', scores => 3, bounds => BOUNDS(recency => [1, 2], monetary => [0, 2.5]), emit => 'users')",
    "SELECT * FROM RFM(ev, value => n, by => item, emit => 'cells')",
    "SELECT * FROM SESSIONS(ev, session => INTERVAL '1' DAY, node => coalesce(item, event), exclude => 'b', bucket => 'week', by => ok)",
    "SELECT * FROM SESSIONS(ev, session => item, collapse => false, emit => 'stops')",
    "EXPLAIN FUNNEL a -> c WITHIN 1 DAY FROM ev",
    "EXPLAIN ANALYZE SELECT * FROM FUNNEL(ev, steps => ['a', 'c'], order => 'any')",
    "SELECT item, count(*), min(ts), max(price), avg(n) FROM ev WHERE ts >= TIMESTAMP '2026-03-01 10:00:00' GROUP BY item ORDER BY 2 DESC LIMIT 3",
    "SELECT a.user_id, lag(a.event) OVER (PARTITION BY a.user_id ORDER BY a.ts) FROM ev a JOIN ev b ON a.user_id = b.user_id AND a.ts < b.ts",
    "SELECT user_id FROM ev WHERE user_id IN ('ada', 'bob') AND event LIKE 'a%' AND price BETWEEN 1 AND 10 AND seen IS NULL",
    "SELECT event_id, date_trunc('day', ts) AS d FROM ev WHERE event <> 'b' OR NOT ok",
    "INSERT INTO ev (user_id, ts, event, event_id, price) VALUES ('cyd', TIMESTAMP '2026-03-03 10:00:00', 'a', 'x1', 2.5)",
    "DELETE FROM ev WHERE user_id = 'cyd'",
    "CREATE TABLE other (price DOUBLE, item TEXT) WITH (shards = 3, time_zone = 'Europe/Berlin', retention = '30 days', strict = true)",
    "ALTER TABLE other ADD COLUMN note TEXT",
    "DROP TABLE other",
    "CREATE VIEW cheap AS SELECT * FROM ev WHERE price < 5",
    "PREPARE p AS SELECT * FROM FUNNEL(ev, steps => ['a', 'c'], within => $1)",
    "EXECUTE p(INTERVAL '3' DAY)",
    "COPY ev FROM 'missing.csv' (format csv)",
    "SHOW TABLES",
    "DESCRIBE ev",
];

/// What takes the place of a word.
const WORDS: &[&str] = &[
    "FUNNEL",
    "STEPS",
    "EXCLUDE",
    "within",
    "step_within",
    "order",
    "ties",
    "hold",
    "count",
    "attribution",
    "bucket",
    "LIFECYCLE",
    "STICKINESS",
    "RFM",
    "SESSIONS",
    "BOUNDS",
    "on",
    "value",
    "scores",
    "from",
    "PATH",
    "node",
    "session",
    "anchor",
    "collapse",
    "top",
    "emit",
    "by",
    "user",
    "time",
    "name",
    "=>",
    "->",
    "(",
    ")",
    "[",
    "]",
    ",",
    "'",
    "''",
    "'a'",
    "'strict'",
    "'users'",
    "NULL",
    "0",
    "-1",
    "1",
    "65",
    "9223372036854775807",
    "9223372036854775808",
    "1e400",
    "0.5",
    "INTERVAL '0' DAY",
    "INTERVAL '-1' DAY",
    "INTERVAL '1' MONTH",
    "INTERVAL '300000' YEAR",
    "ev",
    "nothing",
    "price",
    "user_id",
    "ts",
    "event",
    "event_id",
    "$1",
    "$2",
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "NOT",
    "*",
    "\"Quoted\"",
    "'\u{e9}\u{1f600}'",
    "AS",
    "WITH",
    "TIMESTAMP '0001-01-01 00:00:00'",
    "TIMESTAMP '9999-12-31 23:59:59'",
    "TIMESTAMP '12026-01-01'",
    "CAST(n AS TEXT)",
    "(SELECT 1)",
    "true",
    ";",
    "--",
    "/*",
    "\0",
];

fn run(database: &Database, text: &str) -> Result<usize, String> {
    database.query_blocking(text).map(|answer| answer.rows()).map_err(|error| error.to_string())
}

#[test]
fn statements() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(folder.path()).expect("opened");
    for text in SETUP {
        run(&database, text).expect(text);
    }
    for text in STATEMENTS {
        let outcome = run(&database, text);
        assert!(outcome.is_ok() || text.starts_with("COPY"), "the original is good: {text}\n{outcome:?}");
    }

    let mut random = Random::from_environment(1);
    let mut refused = 0;
    let all = cases(3000);
    for case in 0..all {
        let original = *random.pick(STATEMENTS);
        let text = mutate_words(original, WORDS, &mut random);
        match catch_unwind(AssertUnwindSafe(|| run(&database, &text))) {
            Ok(Ok(_)) => {}
            Ok(Err(words)) => {
                refused += 1;
                assert!(!words.trim().is_empty(), "case {case}: an error without words for {text}");
            }
            Err(_) => panic!("case {case}: a panic came out of {text}"),
        }
    }
    assert!(refused > all / 4 && refused < all, "{refused} of {all} refused: the mutations do not reach deep enough");

    for text in SETUP {
        // Mutations may have dropped the table, or left it; either way the database must still take one.
        let _ = run(&database, &text.replace("ev (", "after ("));
    }
    assert_eq!(run(&database, "SELECT * FROM after"), Ok(5));
    drop(database);
    let reopened = Database::open(folder.path()).expect("what mutated statements left behind opens again");
    assert_eq!(run(&reopened, "SELECT * FROM after"), Ok(5));
}
