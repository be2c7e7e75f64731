//! Sums over all cohorts come from cohorts that were counted as one; those of each cohort, added up, are the same.

use crate::support::TestDatabase;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write as _;

/// A user, an hour, a name, a channel.
type Event = (u8, u16, u8, u8);

fn insert(test: &TestDatabase, events: &[Event]) {
    let mut values = String::new();
    for (user, hour, name, channel) in events {
        let (day, hour) = (hour / 24, hour % 24);
        let comma = if values.is_empty() { "" } else { ", " };
        let name = ["view", "buy"][usize::from(*name)];
        // Most users have one channel.
        let channel = ["'ads'", "'mail'", "NULL"][usize::from(if *channel == 0 { *user % 3 } else { channel % 3 })];
        write!(
            values,
            "{comma}('user {user}', TIMESTAMP '2026-03-01 {hour:02}:30:00' + INTERVAL '{day}' DAY, '{name}', {channel}, {user})"
        )
        .expect("a text");
    }
    test.rows(&format!("INSERT INTO events (user_id, ts, event, channel, age) VALUES {values}"));
}

/// Questions over the relation `{}` of cohorts, and whether they are asked of merged ones.
const QUESTIONS: [(&str, bool); 14] = [
    ("SELECT channel, period, sum(users) AS users FROM {} GROUP BY channel, period", true),
    ("SELECT period, sum(users) * 1.0 / sum(cohort_users) AS rate FROM {} GROUP BY period", true),
    ("SELECT sum(users), sum(cohort_users) FROM {}", true),
    (
        "SELECT p, sum(n) AS s FROM (SELECT period AS p, users AS n FROM {}) AS r WHERE p > 0 GROUP BY p HAVING sum(n) > 0",
        true,
    ),
    ("WITH r AS (SELECT * FROM {}) SELECT channel, sum(r.users) FROM r WHERE channel IS NOT NULL GROUP BY 1", true),
    ("SELECT sum(users) FROM {} WHERE period IN (1, 2)", true),
    ("SELECT period, sum(users), count(*) FROM {} GROUP BY period", false),
    ("SELECT period, sum(users) FROM {} WHERE complete GROUP BY period", false),
    ("SELECT period, sum(users) FROM {} WHERE users > 1 GROUP BY period", false),
    ("SELECT cohort, sum(users) FROM {} GROUP BY cohort", false),
    ("SELECT period, sum(users + 1) FROM {} GROUP BY period", false),
    ("SELECT period, sum(DISTINCT users) FROM {} GROUP BY period", false),
    ("SELECT period, sum(users) FILTER (WHERE rate > 0.5) FROM {} GROUP BY period", false),
    ("SELECT period, max(users) FROM {} GROUP BY period", false),
];

/// Arguments: those that days answer, and others.
const ARGUMENTS: [&str; 7] = [
    "return => 'buy', period => INTERVAL '2' DAY, periods => 3",
    "start => 'view', return => 'buy', periods => 5",
    "periods => 4",
    "start => 'view', period => INTERVAL '1' WEEK, periods => 2, mode => 'on_or_after', cohort => 'every'",
    "start => 'view', return => event = 'buy' AND age < 4, periods => 3, cohort => 'every'",
    "start => 'buy', windows => 'rolling', periods => 3",
    "return => 'buy', brackets => [1, 2, 5]",
];

fn check(test: &TestDatabase, arguments: &str) {
    let relation = format!("RETENTION(events, {arguments}, by => channel)");
    // What nobody can merge: the cohort is looked at.
    let apart = format!("(SELECT * FROM {relation} WHERE cohort > TIMESTAMP '1970-01-01 00:00:00') AS apart");
    for (question, is_merged) in QUESTIONS {
        let asked = question.replace("{}", &relation);
        let plan = test.rows(&format!("EXPLAIN {asked}")).concat().concat();
        assert_eq!(plan.contains("cohorts=merged"), is_merged, "{asked}\n{plan}");
        let expected = question.replace("{}", &apart);
        assert!(!test.rows(&format!("EXPLAIN {expected}")).concat().concat().contains("cohorts=merged"), "{expected}");
        let (mut found, mut expected) = (test.rows(&asked), test.rows(&expected));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{asked}");
        // A plan that was kept says the same.
        let mut again = test.rows(&asked);
        again.sort();
        assert_eq!(again, expected, "{asked}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn merged_cohorts_are_the_sum_of_cohorts(
        batches in vec((vec((0..9_u8, 0..300_u16, 0..2_u8, 0..6_u8), 1..40), 0..3_u8), 1..4),
        arguments in 0..ARGUMENTS.len(),
    ) {
        let test = TestDatabase::in_memory();
        test.rows("CREATE TABLE events (channel TEXT, age BIGINT) WITH (shards = 3)");
        check(&test, ARGUMENTS[arguments]);
        for (events, then) in &batches {
            insert(&test, events);
            match then {
                0 => drop(test.rows("FLUSH events")),
                1 => drop(test.rows("OPTIMIZE events")),
                _ => {}
            }
            check(&test, ARGUMENTS[arguments]);
        }
    }
}
