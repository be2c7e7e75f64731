//! Errors name the thing, the place and the way out.

use crate::support::TestDatabase;
use trodden_query::ErrorKind;

pub(crate) fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (country TEXT, price DOUBLE);
         INSERT INTO events (user_id, ts, event, price) VALUES ('u', '2026-01-01', 'purchase', 1)",
    )
    .expect("a table");
    test
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
