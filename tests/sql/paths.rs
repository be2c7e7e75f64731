//! The funnel over a table itself and over plain rows: the same answers, for random events and arguments.

use crate::support::TestDatabase;
use proptest::prelude::*;
use trodden_query::{Options, ScalarValue};

const EVENTS: [&str; 4] = ["a", "b", "c", "d"];

/// An event: user, second, name, colour, size.
type Event = (u8, u8, u8, Option<u8>, Option<i8>);

fn insert(test: &TestDatabase, events: &[Event]) {
    let row = |(user, second, name, colour, size): &Event| {
        let colour = colour.map_or("NULL".into(), |colour| format!("'k{colour}'"));
        let size = size.map_or("NULL".into(), |size| size.to_string());
        format!("'u{user}', '2026-01-01 00:00:{second:02}', '{}', {colour}, {size}", EVENTS[*name as usize % 4])
    };
    // In pieces, so that a user's events lie in several segments.
    for (piece, events) in events.chunks(7).enumerate() {
        let row = |(at, event)| format!("({}, {})", row(event), piece * 7 + at);
        let rows: Vec<String> = events.iter().enumerate().map(row).collect();
        let sql = format!("INSERT INTO events (user_id, ts, event, colour, size, seq) VALUES {}", rows.join(", "));
        test.run(&sql).expect("rows");
    }
}

fn event() -> impl Strategy<Value = Event> {
    (0..4u8, 0..20u8, 0..4u8, proptest::option::of(0..3u8), proptest::option::of(-2..3i8))
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..4usize).prop_map(|name| format!("'{}'", EVENTS[name])),
        (0..4usize, -2..3i8).prop_map(|(name, size)| format!("event = '{}' AND size > {size}", EVENTS[name])),
        (0..3u8).prop_map(|colour| format!("colour = 'k{colour}'")),
        (0..3u8).prop_map(|colour| format!("NOT (colour = 'k{colour}' OR size IS NULL)")),
        Just("event IN ('a', 'c') AND size BETWEEN -1 AND 1".to_string()),
        Just("upper(event) = 'B'".to_string()),
        Just("size % 2 = 0 OR event = 'd'".to_string()),
        Just("colour IS NULL".to_string()),
    ]
}

fn arguments() -> impl Strategy<Value = String> {
    let pick = |options: &'static [&'static str]| proptest::sample::select(options);
    (
        proptest::collection::vec(condition(), 1..4),
        pick(&["", ", within => INTERVAL '5' SECOND", ", within => '1 second'"]),
        pick(&["", ", step_within => INTERVAL '3' SECOND"]),
        pick(&["", ", order => 'strict'", ", order => 'any'"]),
        pick(&["", ", ties => 'arrival'", ", ties => 'increase'"]),
        pick(&["", ", hold => colour", ", hold => (colour, size)"]),
        pick(&["", ", count => 'attempts'"]),
        pick(&["", ", by => colour", ", by => (size, colour)", ", by => upper(colour)", ", by => event"]),
        pick(&["", ", attribution => 'last'", ", bucket => INTERVAL '7' SECOND", ", emit => 'users'"]),
        proptest::option::of(condition()),
    )
        .prop_map(|(steps, within, step_within, order, ties, hold, count, by, shape, exclude)| {
            let named: Vec<String> = steps.iter().enumerate().map(|(i, step)| format!("s{i} => {step}")).collect();
            let exclude = match exclude {
                Some(condition) if steps.len() > 1 && order != ", order => 'any'" => {
                    format!(", exclude => EXCLUDE({condition})")
                }
                _ => String::new(),
            };
            let named = named.join(", ");
            format!("STEPS({named}){within}{step_within}{order}{ties}{hold}{count}{by}{shape}{exclude}")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_give_the_same_answer(
        events in proptest::collection::vec(event(), 1..60),
        arguments in arguments(),
        filter in proptest::option::of(condition()),
        flush in any::<bool>(),
        threads in 1..4usize,
    ) {
        let test = TestDatabase::in_memory_with(Options { threads, ..Options::default() });
        test.run("CREATE TABLE events (colour TEXT, size BIGINT, seq BIGINT) WITH (shards = 2)").expect("a table");
        insert(&test, &events);
        if flush {
            test.run("FLUSH events").expect("flushed");
        }
        // A string alone is a condition for an operator, but not for WHERE.
        let filter = filter.filter(|filter| !filter.starts_with('\'')).map_or(String::new(), |f| format!(" WHERE {f}"));
        let direct = format!("SELECT * FROM FUNNEL((SELECT * FROM events{filter}), {arguments})");
        // As rows they say themselves in which order they arrived.
        let by_rows =
            format!("SELECT * FROM FUNNEL((SELECT * FROM events{filter} ORDER BY seq LIMIT 1000000), {arguments})");
        let plan = test.rows(&format!("EXPLAIN {direct}")).concat().join("\n");
        prop_assert!(plan.contains("FunnelScan"), "{plan}");
        let plan = test.rows(&format!("EXPLAIN {by_rows}")).concat().join("\n");
        prop_assert!(!plan.contains("FunnelScan"), "{plan}");
        prop_assert_eq!(test.rows(&direct), test.rows(&by_rows), "{}", direct);
    }
}

#[test]
fn inputs_that_only_filter_reach_the_table() {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (colour TEXT, size BIGINT); CREATE VIEW red AS SELECT * FROM events WHERE colour = 'red'",
    )
    .expect("a table and a view");
    let direct = [
        "FUNNEL(events, steps => ['a'])",
        "FUNNEL(red, steps => ['a'])",
        "FUNNEL((SELECT user_id, ts, event FROM events WHERE size > 1), steps => ['a'])",
        "FUNNEL((SELECT user_id AS who, ts AS at, event AS what, size + 1 AS more FROM red), user => who, time => at, name => what, steps => ['a', 'b'], by => more)",
        "FUNNEL((SELECT * FROM (SELECT * FROM events WHERE colour IN ('red', 'blue')) AS t WHERE lower(event) LIKE 'a%'), STEPS(x => size > 1))",
        "FUNNEL(events, steps => ['a'], by => upper(colour))",
    ];
    let by_rows = [
        "FUNNEL((SELECT * FROM events LIMIT 10), steps => ['a'])",
        "FUNNEL((SELECT * FROM events UNION ALL SELECT * FROM events), steps => ['a'])",
        "FUNNEL((SELECT colour AS user_id, ts, event FROM events), steps => ['a'])",
        "FUNNEL((SELECT * FROM events WHERE random() < 2), steps => ['a'])",
        "FUNNEL((SELECT e.* FROM events e JOIN red r ON e.user_id = r.user_id), steps => ['a'])",
        "FUNNEL(events, steps => ['a'], by => date_trunc('day', ts))",
        "FUNNEL(events, steps => ['a'], hold => upper(colour))",
    ];
    for (calls, scanned) in [(&direct[..], true), (&by_rows[..], false)] {
        for call in calls {
            let plan = test.rows(&format!("EXPLAIN SELECT * FROM {call}")).concat().join("\n");
            assert_eq!(plan.contains("FunnelScan"), scanned, "{call}\n{plan}");
            test.run(&format!("SELECT * FROM {call}")).unwrap_or_else(|error| panic!("{call}: {error}"));
        }
    }
}

#[test]
fn parameters_reach_both_ways() {
    let test = TestDatabase::in_memory_with(Options { threads: 1, ..Options::default() });
    test.run("CREATE TABLE events (colour TEXT, size BIGINT, seq BIGINT)").expect("a table");
    insert(&test, &[(1, 1, 0, None, Some(1)), (1, 3, 1, None, Some(2)), (2, 1, 0, None, None)]);
    for input in ["events", "(SELECT * FROM events LIMIT 100)"] {
        let sql =
            format!("SELECT users FROM FUNNEL({input}, STEPS(x => $1, y => size > $2), within => $3) ORDER BY step");
        let parameters = vec![ScalarValue::from("a"), ScalarValue::from(1i64), ScalarValue::from("2 seconds")];
        let options = trodden_query::QueryOptions { parameters, ..Default::default() };
        let answer = test.database.query_blocking_with(&sql, options).expect("an answer");
        assert_eq!(crate::support::rows(&answer.batches).concat(), ["2", "1"], "{sql}");
    }
}
