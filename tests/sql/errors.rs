//! Errors name the thing, the place and the way out.

use crate::support::TestDatabase;
use trodden_query::ErrorKind;

fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (country TEXT, price DOUBLE);
         INSERT INTO events (user_id, ts, event, price) VALUES ('u', '2026-01-01', 'purchase', 1)",
    )
    .expect("a table");
    test
}

/// (statement, kind, part of the message, part of the hint, column of the first line or 0)
type Case = (&'static str, ErrorKind, &'static str, &'static str, u64);

#[test]
fn each_mistake_is_told_at_its_place() {
    use ErrorKind::{AlreadyExists, InvalidInput, NotFound, Syntax, Unsupported};
    let cases: &[Case] = &[
        ("SELEC 1", Syntax, "SELEC", "", 1),
        ("SELECT 1 FRM x y z", Syntax, "", "", 0),
        ("SELECT * FROM evnts", NotFound, "no table is called 'evnts'", "did you mean 'events'?", 15),
        ("SELECT prise FROM events", NotFound, "no column is called 'prise'", "did you mean 'price'?", 8),
        ("SELECT uper(event) FROM events", NotFound, "uper", "upper", 0),
        ("SELECT * FROM funel(events, steps => ['a'])", NotFound, "'funel'", "FUNNEL", 15),
        ("SELECT * FROM RECOMMEND(events, itm => event)", InvalidInput, "no argument 'itm'", "'item'", 33),
        ("SELECT * FROM RETENTION(events, strat => 'a')", InvalidInput, "no argument 'strat'", "'start'", 33),
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
        (
            "SELECT * FROM PATH(events, emit => 'path')",
            InvalidInput,
            "emit cannot be 'path'",
            "did you mean 'paths'?",
            28,
        ),
        ("SELECT * FROM PATH(events, exclude => EXCLUDE('a'))", InvalidInput, "without EXCLUDE", "exclude =>", 28),
        ("SELECT * FROM PATH(events, ende => 'a')", InvalidInput, "no argument 'ende'", "did you mean 'end'?", 28),
        ("SELECT * FROM PATH(events, start => price)", InvalidInput, "true or false", "", 37),
        ("SELECT * FROM PATH(events, time_zone => 'Mars')", InvalidInput, "'Mars' is no time zone", "IANA", 28),
        ("PATH TO a FROM events STEPS 5", Syntax, "STEPS stands before FROM", "PATH FROM signup", 23),
        ("SELECT * FROM FUNNEL()", InvalidInput, "needs a table", "FUNNEL(events", 15),
        ("SELECT * FROM FUNNEL(evnts, steps => ['a'])", NotFound, "no table is called 'evnts'", "'events'", 0),
        ("SELECT * FROM FUNNEL(events)", InvalidInput, "needs its steps", "STEPS(", 15),
        ("SELECT * FROM FUNNEL(events, STEPS())", InvalidInput, "at least one step", "STEPS(", 0),
        ("SELECT * FROM FUNNEL(events, 'a')", InvalidInput, "by name", "steps, within", 30),
        (
            "SELECT * FROM FUNNEL(events, step => ['a'])",
            InvalidInput,
            "no argument 'step'",
            "did you mean 'steps'?",
            30,
        ),
        ("SELECT * FROM FUNNEL(events, steps => ['a'], steps => ['b'])", InvalidInput, "given twice", "", 46),
        (
            "SELECT * FROM FUNNEL(events, STEPS(a => 'x', a => 'y'))",
            InvalidInput,
            "two steps are called 'a'",
            "a_2",
            46,
        ),
        ("SELECT * FROM FUNNEL(events, STEPS(a => price))", InvalidInput, "true or false", "", 41),
        ("SELECT * FROM FUNNEL(events, STEPS(a => prise > 1))", NotFound, "'prise'", "'price'", 41),
        (
            "SELECT * FROM FUNNEL(events, steps => ['a','b'], within => INTERVAL '-1' DAY)",
            InvalidInput,
            "within",
            "",
            50,
        ),
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
        (
            "SELECT * FROM FUNNEL(events, STEPS(a => user_id IN (SELECT user_id FROM events)))",
            Unsupported,
            "IN, EXISTS",
            "join or filter",
            41,
        ),
        (
            "SELECT * FROM FUNNEL(events, STEPS(a => EXISTS (SELECT 1 FROM events)))",
            Unsupported,
            "IN, EXISTS",
            "join or filter",
            0,
        ),
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
        ("SELECT * FROM events TABLESAMPLE (10)", Unsupported, "TABLESAMPLE", "ORDER BY random()", 35),
        ("SELECT * FROM events WITH ORDINALITY", Unsupported, "WITH ORDINALITY", "leave it away", 15),
        (
            "SELECT * FROM FUNNEL(events, steps => ['a']) WITH ORDINALITY",
            Unsupported,
            "WITH ORDINALITY",
            "leave it away",
            15,
        ),
        ("FUNNEL a -> b FROM events GROUP BY country", Syntax, "GROUP has no place", "parentheses", 27),
        ("FUNNEL a -> b FROM events WITHIN 7 DAYS", Syntax, "WITHIN stands before FROM", "it reads", 27),
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
        (
            "INSERT INTO events (user_id, ts, event) VALUES (NULL, '2026-01-01', 'e')",
            InvalidInput,
            "no user_id",
            "NULL",
            0,
        ),
        ("DELETE FROM events", Unsupported, "whole users", "user_id =", 13),
        ("DELETE FROM events WHERE event = 'a'", Unsupported, "whole users", "user_id =", 0),
        ("COPY events FROM '/data/none.csv'", NotFound, "none.csv", "path", 0),
        ("COPY events FROM '/data/none.csv' (FORMT csv)", InvalidInput, "'formt'", "'format'", 0),
        ("EXECUTE nothing(1)", NotFound, "'nothing'", "PREPARE", 0),
        ("SELECT $1", InvalidInput, "$1", "", 0),
    ];
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
fn sixty_five_steps_are_too_many() {
    let steps: Vec<String> = (0..65).map(|step| format!("'s{step}'")).collect();
    let error = shop().error(&format!("SELECT * FROM FUNNEL(events, steps => [{}])", steps.join(", ")));
    assert!(error.message().contains("at most 64 steps, not 65"), "{error}");
    assert!(error.span().is_some());
}

#[test]
fn places_are_those_of_the_whole_script() {
    let error = shop().error("SELECT 1;\n\n  SELECT nothing\n  FROM events");
    assert_eq!(error.span().map(|span| (span.line, span.column)), Some((3, 10)), "{error}");
}

#[test]
fn a_condition_that_cannot_be_computed_keeps_its_kind() {
    let test = shop();
    for sql in [
        "SELECT * FROM events WHERE CAST(price AS BIGINT) / (CAST(price AS BIGINT) - 1) > 1",
        "SELECT * FROM FUNNEL(events, STEPS(a => CAST(price AS BIGINT) / (CAST(price AS BIGINT) - 1) > 1))",
    ] {
        let error = test.error(sql);
        assert_eq!(error.kind(), ErrorKind::Execution, "{sql}: {error}");
    }
}

#[test]
fn a_column_that_is_only_called_event_warns_of_nothing() {
    let test = shop();
    let input = "(SELECT user_id, ts, country AS event FROM events LIMIT 5)";
    let answer = test.run(&format!("SELECT * FROM FUNNEL({input}, steps => ['DE'])")).expect("no error");
    assert_eq!(answer.warnings, []);
    // What is the table's own is known by any name.
    let input = "(SELECT user_id, ts, event AS what FROM events LIMIT 5)";
    let sql = format!("SELECT * FROM FUNNEL({input}, steps => ['purchse'], name => what)");
    assert_eq!(test.run(&sql).expect("no error").warnings.len(), 1);
}

#[test]
fn an_event_that_never_happened_is_a_warning() {
    let test = shop();
    for sql in [
        "SELECT * FROM FUNNEL(events, steps => ['purchse'])",
        "SELECT * FROM FUNNEL((SELECT * FROM events LIMIT 5), steps => ['purchse'])",
        "SELECT count(*) FROM events WHERE event = 'purchse'",
    ] {
        let answer = test.run(sql).expect("no error");
        let warnings: Vec<String> = answer.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["no event is called 'purchse' in events; did you mean 'purchase'?"], "{sql}");
    }
    assert!(test.run("SELECT * FROM FUNNEL(events, steps => ['purchase'])").expect("no error").warnings.is_empty());
}
