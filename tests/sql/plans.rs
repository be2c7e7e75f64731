//! Plans, as `EXPLAIN` shows them.

use crate::support::TestDatabase;

fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (country TEXT, price DOUBLE) WITH (shards = 1);
         INSERT INTO events (user_id, ts, event, country, price) VALUES
           ('ann', '2026-03-01 10:00:00', 'view', 'DE', NULL), ('ann', '2026-03-01 11:00:00', 'buy', 'DE', 9.5),
           ('bob', '2026-03-02 10:00:00', 'view', 'FR', NULL), ('cid', '2026-04-01 10:00:00', 'open', 'FR', NULL);
         FLUSH events",
    )
    .expect("a table");
    test
}

fn plan(test: &TestDatabase, sql: &str) -> String {
    let answer = test.run(&format!("EXPLAIN {sql}")).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut text = String::new();
    for row in crate::support::rows(&answer.batches) {
        text.push_str(&format!("== {}\n{}\n", row[0], row[1].trim_end()));
    }
    text
}

#[test]
fn a_filtered_count() {
    insta::assert_snapshot!(plan(
        &shop(),
        "SELECT count(*) FROM events WHERE event = 'buy' AND price > 5 AND ts >= '2026-03-01'"
    ));
}

#[test]
fn a_count_of_everything_needs_no_rows() {
    insta::assert_snapshot!(plan(&shop(), "SELECT count(*), min(ts), max(ts) FROM events"));
}

#[test]
fn a_limit_reaches_the_scan() {
    insta::assert_snapshot!(plan(&shop(), "SELECT user_id FROM events WHERE country = 'FR' LIMIT 1"));
}

#[test]
fn a_funnel_over_a_table() {
    let sql = "FUNNEL view -> buy(price > 5) AS bought WITHIN 7 DAYS BY country FROM events WHERE country <> 'US'";
    insta::assert_snapshot!(plan(&shop(), sql));
}

#[test]
fn a_funnel_over_rows() {
    let sql =
        "SELECT step, users FROM FUNNEL((SELECT * FROM events LIMIT 10), steps => ['view', 'buy'], hold => country)";
    insta::assert_snapshot!(plan(&shop(), sql));
}

/// Day bitmaps answer where they cover the question; where they do not, the plan says why.
#[test]
fn a_retention_says_what_answers_it() {
    let test = shop();
    let bitmaps = [
        "events, start => 'view'",
        "events, start => 'view', return => ['buy', 'open'], by => country, cohort => 'every', mode => 'streak'",
        "events, start => 'view', return => 'view', period => INTERVAL '1' MONTH, periods => 2",
        "(SELECT * FROM events WHERE ts >= '2026-03-02'), start => 'view'",
    ];
    for arguments in bitmaps {
        let plan = plan(&test, &format!("SELECT * FROM RETENTION({arguments})"));
        assert!(plan.contains("answered by day bitmaps"), "{arguments}: {plan}");
    }
    let scans = [
        ("events, emit => 'users'", "the time of each start event"),
        ("events, windows => 'rolling'", "rolling windows"),
        ("events, min_count => 2", "do not count the events of a day"),
        ("(SELECT * FROM events WHERE country = 'DE')", "filtered by more than time"),
        ("(SELECT * FROM events WHERE ts >= '2026-03-01 10:30:00')", "begins or ends within a day"),
        ("events, time_zone => 'Asia/Tokyo'", "in the time zone of the table"),
        ("events, by => price", "no values of a by column"),
        ("events, start => price > 5", "more than the name of the event"),
        ("events, start => ['view', 'buy'], return => 'buy'", "some start events are returns"),
    ];
    for (arguments, why) in scans {
        let plan = plan(&test, &format!("SELECT * FROM RETENTION({arguments})"));
        assert!(plan.contains("answered by a scan, since") && plan.contains(why), "{arguments}: {plan}");
    }
}

/// So with the other operators of calendar periods, in each of their shapes.
#[test]
fn an_operator_of_days_says_what_answers_it() {
    let test = shop();
    let shapes = [
        ("LIFECYCLE", "emit => 'periods'"),
        ("LIFECYCLE", "emit => 'users', period => 'week'"),
        ("STICKINESS", "emit => 'histogram'"),
        ("STICKINESS", "emit => 'active'"),
        ("STICKINESS", "emit => 'users'"),
    ];
    let bitmaps =
        ["events", "events, on => ['buy', 'open'], by => country", "(SELECT * FROM events WHERE ts >= '2026-03-02')"];
    let scans = [
        ("(SELECT * FROM events WHERE country = 'DE')", "filtered by more than time"),
        ("(SELECT * FROM events WHERE ts >= '2026-03-01 10:30:00')", "begins or ends within a day"),
        ("events, time_zone => 'Asia/Tokyo'", "in the time zone of the table"),
        ("events, by => price", "no values of a by column"),
        ("events, on => price > 5", "more than the name of the event"),
    ];
    for (operator, shape) in shapes {
        for arguments in bitmaps {
            let plan = plan(&test, &format!("SELECT * FROM {operator}({arguments}, {shape})"));
            assert!(plan.contains("answered by day bitmaps"), "{arguments}, {shape}: {plan}");
        }
        for (arguments, why) in scans {
            let plan = plan(&test, &format!("SELECT * FROM {operator}({arguments}, {shape})"));
            assert!(plan.contains("answered by a scan, since") && plan.contains(why), "{arguments}, {shape}: {plan}");
        }
    }
}

#[test]
fn the_short_form_is_the_operator() {
    let test = shop();
    let short = plan(&test, "FUNNEL view AS a -> buy(price > 5) AS b WITHIN 7 DAYS BY country FROM events");
    let long = plan(
        &test,
        "SELECT * FROM FUNNEL(events, STEPS(a => 'view', b => event = 'buy' AND (price > 5)), within => INTERVAL '7' DAY, by => country)",
    );
    assert_eq!(short, long);
}

#[test]
fn what_was_read_is_counted() {
    let test = shop();
    let analyzed = |sql: &str| plan(&test, &format!("ANALYZE {sql}"));
    let funnel = analyzed("SELECT * FROM FUNNEL(events, steps => ['view', 'buy'], by => country)");
    for count in ["users_candidate=2", "users_matched=2", "blocks_read=", "events_read=", "events_matched="] {
        assert!(funnel.contains(count), "{count} in\n{funnel}");
    }
    let rows = analyzed("SELECT user_id FROM events WHERE event = 'buy'");
    for count in ["events_matched=1", "blocks_read=", "blocks_skipped_by_time="] {
        assert!(rows.contains(count), "{count} in\n{rows}");
    }
}

#[test]
fn paths_over_a_table_and_over_rows() {
    let test = shop();
    for (name, sql) in [
        ("table", "SELECT path, sessions FROM PATH(events, end => 'buy', steps => 3, by => country)"),
        ("rows", "PATH FROM view TO buy WITH (node => upper(event), session => country, emit => 'edges') FROM events"),
    ] {
        insta::assert_snapshot!(format!("paths_over_{name}"), plan(&test, sql));
    }
}
