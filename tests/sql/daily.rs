//! Users and events by day come from counts and bitmaps of days; rows say the same.

use crate::support::TestDatabase;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write as _;

/// A user, an hour, and a name.
type Event = (u8, u16, u8);

fn insert(test: &TestDatabase, events: &[Event]) {
    let mut values = String::new();
    for (user, hour, name) in events {
        let (day, hour) = (hour / 24, hour % 24);
        let comma = if values.is_empty() { "" } else { ", " };
        let name = ["view", "buy", "chat"][usize::from(*name)];
        write!(
            values,
            "{comma}('user {user}', TIMESTAMP '2026-03-01 {hour:02}:30:00' + INTERVAL '{day}' DAY, '{name}')"
        )
        .expect("a text");
    }
    test.rows(&format!("INSERT INTO events (user_id, ts, event) VALUES {values}"));
}

/// A question, and whether days and names alone answer it; `None` where that depends on the times of events.
const QUESTIONS: [(&str, Option<bool>); 10] = [
    (
        "SELECT ts::DATE AS d, event, count(DISTINCT user_id) AS u, count(*) AS c FROM events WHERE {} GROUP BY 1, 2",
        Some(true),
    ),
    ("SELECT event, date_trunc('day', ts) AS d, count(*) AS c FROM events WHERE {} GROUP BY 1, 2", Some(true)),
    ("SELECT date_trunc('DAY', ts) AS d, count(DISTINCT user_id) AS u FROM events WHERE {} GROUP BY d", Some(true)),
    (
        "SELECT d, count(user_id) + 1 AS n FROM (SELECT CAST(ts AS DATE) AS d, * FROM events) AS e WHERE {} GROUP BY d",
        Some(true),
    ),
    ("SELECT ts::DATE AS d FROM events WHERE {} AND event IN ('buy', 'chat') GROUP BY 1", Some(true)),
    (
        "SELECT ts::DATE AS d, count(DISTINCT user_id) AS u FROM events
         WHERE {} AND ts >= TIMESTAMP '2026-03-03 00:00:00' AND ts < TIMESTAMP '2026-03-05 00:00:00' GROUP BY 1",
        Some(true),
    ),
    (
        "SELECT ts::DATE AS d, count(*) AS c FROM events WHERE {} AND ts >= TIMESTAMP '2026-03-02 12:00:00' GROUP BY 1",
        None,
    ),
    ("SELECT ts::DATE AS d, count(DISTINCT event) AS n FROM events WHERE {} GROUP BY 1", Some(true)),
    ("SELECT ts::DATE AS d, count(*) FILTER (WHERE event = 'buy') AS n FROM events WHERE {} GROUP BY 1", Some(false)),
    ("SELECT date_trunc('week', ts) AS d, count(*) AS n FROM events WHERE {} GROUP BY 1", Some(false)),
];

fn check(test: &TestDatabase, has_days: bool) {
    for (question, by_days) in QUESTIONS {
        let asked = question.replace("{}", "true");
        let plan = test.rows(&format!("EXPLAIN {asked}")).concat().concat();
        let from_rows = question.replace("{}", "length(user_id) < 100");
        let (mut found, mut expected) = (test.rows(&asked), test.rows(&from_rows));
        // Of a time without events nothing has to be read in any case.
        let is_right = by_days.is_none_or(|by_days| plan.contains("CountsByDay") == (by_days && has_days));
        assert!(is_right || expected.is_empty(), "{asked}\n{plan}");
        let reads_rows = !test.rows(&format!("EXPLAIN {from_rows}")).concat().concat().contains("CountsByDay");
        assert!(reads_rows || expected.is_empty(), "{from_rows}");
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{asked}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn counts_by_day_are_those_of_the_rows(
        batches in vec((vec((0..6_u8, 0..160_u16, 0..3_u8), 1..15), 0..4_u8), 1..5),
        zone in prop_oneof![3 => Just("UTC"), 1 => Just("Asia/Kolkata")],
    ) {
        let test = TestDatabase::in_memory();
        test.rows(&format!("CREATE TABLE events (price DOUBLE) WITH (shards = 2, time_zone = '{zone}')"));
        for (events, then) in &batches {
            insert(&test, events);
            match then {
                0 => drop(test.rows("FLUSH events")),
                1 => drop(test.rows(&format!("DELETE FROM events WHERE user_id = 'user {}'", events[0].0))),
                2 => drop(test.rows("OPTIMIZE events")),
                _ => {}
            }
            check(&test, zone == "UTC");
        }
    }
}

#[test]
fn a_table_without_events_has_no_days_and_names_that_no_event_has_are_told() {
    let test = TestDatabase::in_memory();
    test.rows("CREATE TABLE events (price DOUBLE)");
    let daily = "SELECT ts::DATE AS d, count(*) AS c FROM events GROUP BY 1";
    assert!(test.rows(daily).is_empty());
    insert(&test, &[(1, 3, 0), (1, 4, 1), (2, 30, 1)]);
    assert_eq!(test.rows(daily).len(), 2);
    let answer = test.run("SELECT ts::DATE AS d, count(*) AS c FROM events WHERE event = 'byu' GROUP BY 1");
    let answer = answer.expect("an answer");
    assert_eq!((answer.rows(), answer.warnings.len()), (0, 1));
}

/// Counts go through views, joins and windows as those of rows do.
#[test]
fn counts_by_day_are_a_relation_like_any_other() {
    let test = TestDatabase::in_memory();
    test.rows("CREATE TABLE events (price DOUBLE)");
    insert(&test, &[(1, 3, 0), (2, 4, 1), (2, 30, 1), (3, 31, 1), (3, 32, 0)]);
    test.rows("CREATE VIEW daily AS SELECT ts::DATE AS day, event AS name, count(DISTINCT user_id) AS users FROM events GROUP BY 1, 2");
    assert_eq!(
        test.rows("SELECT day, users, sum(users) OVER (ORDER BY day) FROM daily WHERE name = 'buy' ORDER BY day"),
        [["2026-03-01", "1", "1"], ["2026-03-02", "2", "3"]]
    );
    assert_eq!(
        test.rows(
            "SELECT a.day FROM daily a JOIN daily b ON a.day = b.day AND a.name <> b.name
             GROUP BY a.day HAVING count(*) = 2 ORDER BY 1"
        ),
        [["2026-03-01"], ["2026-03-02"]]
    );
}
