//! Mistakes in statements and questions about tags: each is told with its kind, its message, its way out and its place.

use crate::support::TestDatabase;
use trodden_query::ErrorKind::{self, AlreadyExists, InvalidInput, NotFound, Syntax};

/// (statement, kind, part of the message, part of the hint, column of the first line or 0)
type Case = (&'static str, ErrorKind, &'static str, &'static str, u64);

const CASES: &[Case] = &[
    ("CREATE TAG t ON evnts AS (SELECT user_id FROM events)", NotFound, "'evnts'", "did you mean 'events'?", 17),
    ("CREATE TAG t ON events AS (SELECT user_id FROM evnts)", NotFound, "'evnts'", "did you mean 'events'?", 48),
    ("CREATE TAG t ON events AS (SELECT prise FROM events)", NotFound, "'prise'", "'price'", 35),
    (
        "CREATE TAG t ON events AS (SELECT event, price FROM events)",
        InvalidInput,
        "no column user_id",
        "AS user_id",
        28,
    ),
    ("CREATE TAG t ON events AS (SELECT price AS user_id FROM events)", InvalidInput, "are texts", "CAST", 28),
    ("CREATE TAG t ON events AS (SELECT user_id FROM events WHERE event = $1)", InvalidInput, "parameters", "", 28),
    ("CREATE TAG vip ON events FROM ('u')", AlreadyExists, "'vip' already", "OR REPLACE", 12),
    ("CREATE TAG t ON events FROM ('u', 7)", InvalidInput, "texts, not 7", "quotes", 35),
    ("CREATE TAG t ON events FROM ('')", InvalidInput, "empty", "", 0),
    ("CREATE TAG t ON events FROM ('u') REFRESH EVERY '1 day'", InvalidInput, "stays as it is", "REFRESH", 0),
    ("CREATE TAG t AS (SELECT 1)", Syntax, "expected ON", "", 14),
    ("CREATE TAG t ON events", Syntax, "expected AS", "", 0),
    ("CREATE TAG t ON events AS (SELECT user_id FROM events) REFRESH 1", Syntax, "expected EVERY", "", 64),
    (
        "CREATE TAG t ON events AS (SELECT user_id FROM events) REFRESH EVERY INTERVAL '1' MONTH",
        InvalidInput,
        "fixed length",
        "days",
        70,
    ),
    ("CREATE TAG t ON events AS (SELECT user_id FROM events) REFRESH EVERY '-1 day'", InvalidInput, "longer", "", 70),
    ("REFRESH TAG vipp ON events", NotFound, "no tag 'vipp'", "did you mean 'vip'?", 13),
    ("REFRESH TAG listed ON events", InvalidInput, "list of users", "OR REPLACE", 13),
    ("DROP TAG vipp ON events", NotFound, "no tag 'vipp'", "did you mean 'vip'?", 10),
    ("SHOW TAGS ON evnts", NotFound, "'evnts'", "did you mean 'events'?", 14),
    ("SELECT 1 FROM events WHERE HAS_TAG(user_id, 'vipp')", NotFound, "no tag 'vipp'", "did you mean 'vip'?", 45),
    ("SELECT 1 FROM events WHERE HAS_TAG(user_id, 'evnts.vip')", NotFound, "no tag 'evnts.vip'", "", 45),
    ("SELECT 1 FROM events WHERE HAS_TAG(user_id, 'events.vipp')", NotFound, "no tag 'vipp'", "'vip'", 45),
    ("SELECT 1 FROM events WHERE HAS_TAG(user_id, 'vip', 'gold')", InvalidInput, "'vip' has no values", "HAS_TAG", 0),
    ("SELECT TAG_VALUE(user_id, 'vip') FROM events", InvalidInput, "'vip' has no values", "HAS_TAG", 0),
    ("SELECT 1 FROM events WHERE HAS_TAG(user_id)", InvalidInput, "1 arguments", "HAS_TAG(user_id, 'tag')", 0),
    ("SELECT TAG_VALUE(user_id, 'tier', 'x') FROM events", InvalidInput, "3 arguments", "TAG_VALUE(", 0),
    ("SELECT 1 FROM events WHERE HAS_TAG(price, 'vip')", InvalidInput, "not Float64", "CAST", 0),
    ("SELECT 1 FROM events WHERE HAS_TAG(user_id, event)", InvalidInput, "written out", "quotes", 0),
    ("SELECT HAS_TAG('u', 'vip')", InvalidInput, "not clear", "'<table>.vip'", 21),
    (
        "SELECT 1 FROM FUNNEL(events, STEPS(a => HAS_TAG(user_id, 'vipp')))",
        NotFound,
        "no tag 'vipp'",
        "did you mean 'vip'?",
        58,
    ),
];

#[test]
fn mistakes_in_tags() {
    let test = TestDatabase::in_memory();
    test.rows(
        "CREATE TABLE events (country TEXT, price DOUBLE);
         INSERT INTO events (user_id, ts, event, price) VALUES ('u', '2026-01-01', 'purchase', 1);
         CREATE TAG vip ON events AS (SELECT user_id FROM events);
         CREATE TAG listed ON events FROM ('u');
         CREATE TAG tier ON events AS (SELECT user_id, event AS value FROM events)",
    );
    let mut wrong = Vec::new();
    for (sql, kind, message, hint, column) in CASES {
        let error = test.error(sql);
        let place = error.span().map_or(0, |span| span.column);
        let fits = error.kind() == *kind
            && error.message().contains(message)
            && (hint.is_empty() || error.hint().is_some_and(|text| text.contains(hint)))
            && (*column == 0 || place == *column);
        if !fits {
            wrong.push(format!("{sql}\n  {:?} column {place}: {error}", error.kind()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
