//! Mistakes in statements, by what they are made in: each is told with its kind, its message, its way out and its place.

use crate::errors::shop;
use trodden_query::ErrorKind;
use trodden_query::ErrorKind::{AlreadyExists, InvalidInput, NotFound, Syntax, Unsupported};

/// (statement, kind, part of the message, part of the hint, column of the first line or 0)
pub(crate) type Case = (&'static str, ErrorKind, &'static str, &'static str, u64);

/// Every case of a table is told with its kind, its message, its way out and its place.
pub(crate) fn check(cases: &[Case]) {
    let test = shop();
    let mut wrong = Vec::new();
    for (sql, kind, message, hint, column) in cases {
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

#[test]
fn mistakes_in_queries() {
    check(QUERIES);
}

#[test]
fn mistakes_in_funnel() {
    check(FUNNEL);
}

#[test]
fn mistakes_in_path() {
    check(PATH);
}

#[test]
fn mistakes_in_retention() {
    check(RETENTION);
}

#[test]
fn mistakes_in_analyses() {
    check(ANALYSES);
}

#[test]
fn mistakes_in_recommend() {
    check(RECOMMEND);
}

#[test]
fn mistakes_in_short_forms() {
    check(SHORT);
}

#[test]
fn mistakes_in_tables() {
    check(TABLES);
}

const QUERIES: &[Case] = &[
    ("SELEC 1", Syntax, "SELEC", "", 1),
    ("SELECT 1 FRM x y z", Syntax, "", "", 0),
    ("SELECT * FROM evnts", NotFound, "no table is called 'evnts'", "did you mean 'events'?", 15),
    ("SELECT prise FROM events", NotFound, "no column is called 'prise'", "did you mean 'price'?", 8),
    ("SELECT uper(event) FROM events", NotFound, "uper", "upper", 0),
    ("SELECT * FROM funel(events, steps => ['a'])", NotFound, "'funel'", "FUNNEL", 15),
    ("SELECT * FROM events TABLESAMPLE (10)", Unsupported, "TABLESAMPLE", "ORDER BY random()", 35),
    ("SELECT * FROM events WITH ORDINALITY", Unsupported, "WITH ORDINALITY", "leave it away", 15),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a']) WITH ORDINALITY",
        Unsupported,
        "WITH ORDINALITY",
        "leave it away",
        15,
    ),
    ("EXECUTE nothing(1)", NotFound, "'nothing'", "PREPARE", 0),
    ("SELECT $1", InvalidInput, "$1", "", 0),
];

const FUNNEL: &[Case] = &[
    ("SELECT * FROM FUNNEL()", InvalidInput, "needs a table", "FUNNEL(events", 15),
    ("SELECT * FROM FUNNEL(evnts, steps => ['a'])", NotFound, "no table is called 'evnts'", "'events'", 0),
    ("SELECT * FROM FUNNEL(events)", InvalidInput, "needs its steps", "STEPS(", 15),
    ("SELECT * FROM FUNNEL(events, STEPS())", InvalidInput, "at least one step", "STEPS(", 0),
    ("SELECT * FROM FUNNEL(events, 'a')", InvalidInput, "by name", "steps, within", 30),
    ("SELECT * FROM FUNNEL(events, step => ['a'])", InvalidInput, "no argument 'step'", "did you mean 'steps'?", 30),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], steps => ['b'])", InvalidInput, "given twice", "", 46),
    ("SELECT * FROM FUNNEL(events, STEPS(a => 'x', a => 'y'))", InvalidInput, "two steps are called 'a'", "a_2", 46),
    ("SELECT * FROM FUNNEL(events, STEPS(a => price))", InvalidInput, "true or false", "", 41),
    ("SELECT * FROM FUNNEL(events, STEPS(a => prise > 1))", NotFound, "'prise'", "'price'", 41),
    ("SELECT * FROM FUNNEL(events, steps => ['a','b'], within => INTERVAL '-1' DAY)", InvalidInput, "within", "", 50),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a','b'], within => INTERVAL '1' MONTH)",
        InvalidInput,
        "fixed",
        "days",
        50,
    ),
    ("SELECT * FROM FUNNEL(events, steps => ['a','b'], within => 7)", InvalidInput, "span of time", "INTERVAL", 50),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], order => 'strikt')", InvalidInput, "order", "'strict'", 46),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], emit => 'user')", InvalidInput, "emit", "'users'", 46),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], time_zone => 'Mars')", InvalidInput, "Mars", "IANA", 46),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], exclude => 'b')", InvalidInput, "EXCLUDE", "EXCLUDE", 57),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], exclude => EXCLUDE('b'))", InvalidInput, "exclude", "steps", 65),
    (
        "SELECT * FROM FUNNEL((SELECT event FROM events), steps => ['a'])",
        InvalidInput,
        "no column 'user_id'",
        "user =>",
        15,
    ),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], time => country)", InvalidInput, "TIMESTAMP", "", 46),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => 'a'), STEPS(b => 'b'))",
        InvalidInput,
        "the steps are given twice",
        "one STEPS",
        47,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a','b'], exclude => [EXCLUDE('x'), EXCLUDE('y', after => 2, before => 2)])",
        InvalidInput,
        "exclude: after => 2",
        "smaller than before",
        84,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a','b','c'], step_within => [INTERVAL '1' DAY, INTERVAL '0' DAY])",
        InvalidInput,
        "step_within",
        "INTERVAL",
        97,
    ),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], bucket => NULL)", InvalidInput, "NULL", "'week'", 46),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], bucket => '2 months')", InvalidInput, "month", "days", 46),
    ("SELECT * FROM FUNNEL(events, STEPS(DISTINCT a => 'a'))", Unsupported, "DISTINCT", "leave it away", 45),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => 'a') FILTER (WHERE price > 1))",
        Unsupported,
        "FILTER",
        "leave it away",
        60,
    ),
    ("SELECT * FROM FUNNEL(events, STEPS(a => 'a' ORDER BY price))", Unsupported, "ORDER BY", "subquery", 54),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a','b'], exclude => EXCLUDE('b') OVER (PARTITION BY price))",
        Unsupported,
        "OVER",
        "subquery",
        93,
    ),
    (
        "SELECT * FROM FUNNEL(FUNNEL(events, steps => ['a'], emit => 'users') OVER (ORDER BY price), steps => ['a'])",
        Unsupported,
        "OVER",
        "subquery",
        85,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => user_id IN (SELECT user_id FROM events)))",
        Unsupported,
        "IN, EXISTS",
        "join or filter",
        53,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => EXISTS (SELECT 1 FROM events)))",
        Unsupported,
        "IN, EXISTS",
        "join or filter",
        49,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => price > 1 AND sum(price) > 3))",
        Unsupported,
        "an aggregate function such as sum needs many",
        "in a subquery first",
        55,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => price > (SELECT max(price) FROM events) - max(price)))",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        83,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => mean(price) > 3))",
        Unsupported,
        "an aggregate function such as avg needs many",
        "in a subquery first",
        41,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => row_number() OVER (ORDER BY ts) = 1))",
        Unsupported,
        "a window function such as row_number needs many",
        "in a subquery first",
        41,
    ),
    (
        "SELECT * FROM FUNNEL(events, STEPS(a => sum(price) OVER (ORDER BY ts) > 1))",
        Unsupported,
        "a window function such as sum needs many",
        "in a subquery first",
        41,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a','b'], exclude => EXCLUDE(count(*) > 1))",
        Unsupported,
        "an aggregate function such as count needs many",
        "in a subquery first",
        69,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], by => max(country))",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        52,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a','b'], within => max(price))",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        60,
    ),
];

const PATH: &[Case] = &[
    ("SELECT * FROM PATH(events, steps => 0)", InvalidInput, "steps: 0 is not possible", "1 to 1000 stops", 28),
    (
        "SELECT * FROM PATH(events, steps => 1, start => 'a', end => 'b')",
        InvalidInput,
        "steps: 1 is not possible with a start and an end",
        "2 to 1000",
        28,
    ),
    ("SELECT * FROM PATH(events, steps => 'a')", InvalidInput, "steps needs a whole number", "steps => 10", 28),
    ("SELECT * FROM PATH(events, top => 0)", InvalidInput, "top: 0 is not possible", "1 to 1000000", 28),
    (
        "SELECT * FROM PATH(events, anchor => 'each')",
        InvalidInput,
        "'each' needs a start or an end",
        "give a start",
        28,
    ),
    ("SELECT * FROM PATH(events, anchor => 'all')", InvalidInput, "anchor cannot be 'all'", "'first', 'each'", 28),
    ("SELECT * FROM PATH(events, session => INTERVAL '0' DAY)", InvalidInput, "longer than zero", "NULL", 28),
    ("SELECT * FROM PATH(events, session => 5)", InvalidInput, "session needs a span of time", "INTERVAL", 28),
    ("SELECT * FROM PATH(events, session => sesion_id)", NotFound, "'sesion_id'", "", 39),
    ("SELECT * FROM PATH(events, collapse => 1)", InvalidInput, "collapse needs true or false", "false", 28),
    ("SELECT * FROM PATH(events, emit => 'path')", InvalidInput, "emit cannot be 'path'", "did you mean 'paths'?", 28),
    ("SELECT * FROM PATH(events, exclude => EXCLUDE('a'))", InvalidInput, "without EXCLUDE", "exclude =>", 28),
    ("SELECT * FROM PATH(events, ende => 'a')", InvalidInput, "no argument 'ende'", "did you mean 'end'?", 28),
    ("SELECT * FROM PATH(events, start => price)", InvalidInput, "true or false", "", 37),
    ("SELECT * FROM PATH(events, time_zone => 'Mars')", InvalidInput, "'Mars' is no time zone", "IANA", 28),
    (
        "SELECT * FROM PATH(events, start => count(*) > 1)",
        Unsupported,
        "an aggregate function such as count needs many",
        "in a subquery first",
        37,
    ),
    (
        "SELECT * FROM PATH(events, end => price > 1 OR lag(price) OVER (ORDER BY ts) > 1)",
        Unsupported,
        "a window function such as lag needs many",
        "in a subquery first",
        48,
    ),
    (
        "SELECT * FROM PATH(events, node => max(country))",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        36,
    ),
    (
        "SELECT * FROM PATH(events, node => unnest([country]))",
        Unsupported,
        "unnest makes several rows",
        "unnest in a subquery",
        36,
    ),
    (
        "SELECT * FROM PATH(events, session => min(country))",
        Unsupported,
        "an aggregate function such as min needs many",
        "in a subquery first",
        39,
    ),
    (
        "SELECT * FROM PATH(events, start => country IN (SELECT country FROM events))",
        Unsupported,
        "IN, EXISTS",
        "join or filter",
        49,
    ),
];

const RETENTION: &[Case] = &[
    ("SELECT * FROM RETENTION(events, strat => 'a')", InvalidInput, "no argument 'strat'", "'start'", 33),
    (
        "SELECT * FROM RETENTION(events, start => count(*) > 1)",
        Unsupported,
        "an aggregate function such as count needs many",
        "in a subquery first",
        42,
    ),
    (
        "SELECT * FROM RETENTION(events, start => 'a', return => price > avg(price))",
        Unsupported,
        "an aggregate function such as avg needs many",
        "in a subquery first",
        65,
    ),
    (
        "SELECT * FROM RETENTION(events, start => 'a', by => rank() OVER (ORDER BY ts))",
        Unsupported,
        "a window function such as rank needs many",
        "in a subquery first",
        53,
    ),
    (
        "SELECT * FROM RETENTION(events, start => EXISTS (SELECT 1 FROM events))",
        Unsupported,
        "IN, EXISTS",
        "join or filter",
        50,
    ),
];

const ANALYSES: &[Case] = &[
    ("SELECT * FROM LIFECYCLE(events, perod => 'day')", InvalidInput, "no argument 'perod'", "'period'", 33),
    ("SELECT * FROM LIFECYCLE(events, on => price)", InvalidInput, "a condition is true or false", "", 39),
    ("SELECT * FROM LIFECYCLE(events, period => 5)", InvalidInput, "needs a span of time", "INTERVAL", 33),
    ("SELECT * FROM LIFECYCLE(events, week_start => 'mon')", InvalidInput, "cannot be 'mon'", "'monday'", 33),
    ("SELECT * FROM STICKINESS(events, within => '3 days')", InvalidInput, "within cannot be 3 days", "WEEK", 34),
    ("SELECT * FROM STICKINESS(events, emit => 'dau')", InvalidInput, "emit cannot be 'dau'", "'active'", 34),
    ("SELECT * FROM RFM(events, value => country)", InvalidInput, "value must be a number", "CAST", 36),
    ("SELECT * FROM RFM(events)", InvalidInput, "RFM needs a value", "value => price", 15),
    ("SELECT * FROM RFM(events, value => price, scores => 'a')", InvalidInput, "a whole number", "scores => 5", 43),
    ("SELECT * FROM RFM(events, value => price, as_of => 5)", InvalidInput, "as_of needs a time", "TIMESTAMP", 43),
    (
        "SELECT * FROM RFM(events, value => price, bounds => BOUNDS(monetary => ['a', 'b', 'c', 'd']))",
        InvalidInput,
        "a bound of monetary is a number",
        "[10, 50, 100, 500]",
        60,
    ),
    ("SELECT * FROM SESSIONS(events, sesion => NULL)", InvalidInput, "no argument 'sesion'", "'session'", 32),
    ("SELECT * FROM SESSIONS(events, session => 5)", InvalidInput, "session needs a span of time", "INTERVAL", 32),
    (
        "SELECT * FROM SESSIONS(events, bucket => 'day', emit => 'users')",
        InvalidInput,
        "bucket says nothing to emit => 'users'",
        "'summary'",
        32,
    ),
    ("SELECT * FROM SESSIONS(events, bucket => INTERVAL '0' DAY)", InvalidInput, "longer than zero", "'day'", 32),
];

const RECOMMEND: &[Case] = &[
    ("SELECT * FROM RECOMMEND(events, itm => event)", InvalidInput, "no argument 'itm'", "'item'", 33),
    (
        "SELECT * FROM RECOMMEND(events, item => max(country))",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        41,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, candidates => price < avg(price))",
        Unsupported,
        "an aggregate function such as avg needs many",
        "in a subquery first",
        72,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, candidates => row_number() OVER (ORDER BY ts) = 1)",
        Unsupported,
        "a window function such as row_number needs many",
        "in a subquery first",
        64,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, candidates => country IN (SELECT country FROM events))",
        Unsupported,
        "IN, EXISTS",
        "join or filter",
        76,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, boost => 2 * sum(price))",
        Unsupported,
        "an aggregate function such as sum needs many",
        "in a subquery first",
        63,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, boost => rank() OVER (ORDER BY ts))",
        Unsupported,
        "a window function such as rank needs many",
        "in a subquery first",
        59,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, boost => (SELECT max(price) FROM events))",
        Unsupported,
        "a subquery is none of its columns",
        "join what you need",
        50,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, boost => unnest([price]))",
        Unsupported,
        "unnest makes several rows",
        "unnest in a subquery",
        59,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, diversify => DIVERSIFY(max(country), max => 1))",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        73,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, diversify => DIVERSIFY((SELECT max(country) FROM events), max => 1))",
        Unsupported,
        "a subquery is none of its columns",
        "join what you need",
        50,
    ),
    (
        "SELECT * FROM RECOMMEND(events, item => country, top => count(*))",
        Unsupported,
        "an aggregate function such as count needs many",
        "in a subquery first",
        57,
    ),
    (
        "SELECT * FROM RECOMMEND_EVAL(events, item => country, split => '2026-01-01', candidates => max(price) > 1)",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        92,
    ),
    (
        "SELECT * FROM RECOMMEND_EVAL(events, item => country, split => '2026-01-01', protocol => 'baskets')",
        InvalidInput,
        "protocol cannot be 'baskets'",
        "did you mean 'basket'?",
        78,
    ),
    ("SELECT * FROM RECOMMEND_EVAL(events, item => country)", InvalidInput, "needs the time", "split =>", 15),
];

const SHORT: &[Case] = &[
    ("PATH TO a FROM events STEPS 5", Syntax, "STEPS stands before FROM", "PATH FROM signup", 23),
    ("FUNNEL a -> b FROM events GROUP BY country", Syntax, "GROUP has no place", "parentheses", 27),
    ("FUNNEL a -> b FROM events WITHIN 7 DAYS", Syntax, "WITHIN stands before FROM", "it reads", 27),
    (
        "FUNNEL a(sum(price) > 1) -> b FROM events",
        Unsupported,
        "an aggregate function such as sum needs many",
        "in a subquery first",
        10,
    ),
    (
        "RECOMMEND max(country) FOR USER 'u' FROM events",
        Unsupported,
        "an aggregate function such as max needs many",
        "in a subquery first",
        11,
    ),
];

const TABLES: &[Case] = &[
    ("CREATE TABLE events (a TEXT)", AlreadyExists, "'events'", "IF NOT EXISTS", 14),
    ("CREATE TABLE x (a JSONB)", Unsupported, "JSONB", "TEXT", 17),
    ("CREATE TABLE x (a TEXT, a TEXT)", InvalidInput, "twice", "", 25),
    ("CREATE TABLE x (ts BIGINT)", InvalidInput, "TIMESTAMP", "", 17),
    ("CREATE TABLE x WITH (shard = 3)", InvalidInput, "'shard'", "'shards'", 22),
    ("CREATE TABLE x WITH (shards = 0)", InvalidInput, "0 shards", "1024", 22),
    ("CREATE TABLE x WITH (time_zone = 'Mars')", InvalidInput, "Mars", "", 22),
    ("ALTER TABLE events SET (shards = 3)", Unsupported, "for ever", "", 25),
    ("ALTER TABLE events ADD COLUMN ts TIMESTAMP", AlreadyExists, "ts", "", 31),
    ("DROP TABLE evnts", NotFound, "'evnts'", "'events'", 12),
    (
        "INSERT INTO events (user_id, ts, event, prise) VALUES ('u', '2026-01-01', 'e', 1)",
        NotFound,
        "'prise'",
        "'price'",
        41,
    ),
    ("INSERT INTO events (user_id, ts, event) VALUES ('u', '2026-01-01')", InvalidInput, "3 columns", "", 0),
    ("INSERT INTO events (user_id, ts, event) VALUES (NULL, '2026-01-01', 'e')", InvalidInput, "no user_id", "NULL", 0),
    ("DELETE FROM events", Unsupported, "whole users", "user_id =", 13),
    ("DELETE FROM events WHERE event = 'a'", Unsupported, "whole users", "user_id =", 0),
    ("COPY events FROM '/data/none.csv'", NotFound, "none.csv", "path", 0),
    ("COPY events FROM '/data/none.csv' (FORMT csv)", InvalidInput, "'formt'", "'format'", 0),
];
