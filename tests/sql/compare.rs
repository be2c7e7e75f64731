//! Two sides of an operator beside each other: the plan, plans that are kept, and mistakes.

use crate::mistakes::{Case, check};
use crate::support::{TestDatabase, rows};
use trodden_query::ErrorKind::{InvalidInput, NotFound};

fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (country TEXT, z BIGINT) WITH (shards = 1);
         INSERT INTO events (user_id, ts, event, country, z) VALUES
           ('ann', '2026-03-01 10:00:00', 'view', 'DE', 1), ('ann', '2026-03-01 11:00:00', 'buy', 'DE', 1),
           ('bob', '2026-03-02 10:00:00', 'view', 'FR', 2), ('cid', '2026-03-02 10:00:00', 'view', 'FR', 2);
         CREATE TAG vip ON events FROM ('ann');
         FLUSH events",
    )
    .expect("a table");
    test
}

const CALLS: [&str; 5] = [
    "FUNNEL(events, steps => ['view', 'buy'], {})",
    "FUNNEL(events, steps => ['view', 'buy'], by => country, bucket => 'day', {})",
    "RETENTION(events, start => 'view', return => 'buy', periods => 1, {})",
    "STICKINESS(events, on => 'view', {})",
    "RFM(events, value => z, {})",
];

/// Both sides choose their users by bitmaps, and read the table itself.
#[test]
fn both_sides_are_in_the_plan() {
    let sql = "EXPLAIN SELECT step_name, difference, p_value
               FROM FUNNEL(events, steps => ['view', 'buy'], among => TAG('vip'), compare => NOT TAG('vip'))";
    let shown: Vec<String> = shop().rows(sql).into_iter().map(|row| row[1].trim_end().to_string()).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

/// What nobody looks at is not computed: the seconds between the steps.
#[test]
fn a_side_reads_what_is_compared_and_no_more() {
    for call in CALLS {
        let call = call.replace("{}", "compare => TAG('vip')");
        let shown = shop().rows(&format!("EXPLAIN SELECT * FROM {call}"));
        let physical = &shown.last().expect("a physical plan")[1];
        assert_eq!(physical.matches("Scan: ").count(), 2, "{physical}");
        assert!(!physical.contains("Projection") && !physical.contains("Repartition"), "{physical}");
        assert!(!physical.contains("median_seconds"), "{physical}");
    }
}

/// A plan that is kept sees tags and events as they are when it is run.
#[test]
fn sides_are_those_of_the_statement() {
    let test = shop();
    let sql = "SELECT step, users, of_users, other_users, other_of_users
               FROM FUNNEL(events, steps => ['view', 'buy'], among => TAG('vip'), compare => NOT TAG('vip'))";
    assert_eq!(test.rows(sql), [["1", "1", "1", "2", "2"], ["2", "1", "1", "0", "2"]]);
    assert_eq!(test.rows(sql), [["1", "1", "1", "2", "2"], ["2", "1", "1", "0", "2"]]);
    test.rows("DROP TAG vip ON events; CREATE TAG vip ON events FROM ('ann', 'bob')");
    assert_eq!(test.rows(sql), [["1", "2", "2", "1", "1"], ["2", "1", "2", "0", "1"]]);
    test.rows("INSERT INTO events (user_id, ts, event) VALUES ('cid', '2026-03-03', 'buy')");
    assert_eq!(test.rows(sql), [["1", "2", "2", "1", "1"], ["2", "1", "2", "1", "1"]]);
}

/// A name that no event has is told once, not once a side.
#[test]
fn warnings_are_told_once() {
    let sql = "SELECT * FROM FUNNEL(events, steps => ['veiw'], among => TAG('vip'), compare => NOT TAG('vip'))";
    assert_eq!(shop().run(sql).expect("an answer").warnings.len(), 1);
}

/// An empty table has two empty sides; FUNNEL has a row for each step all the same.
#[test]
fn nothing_beside_nothing() {
    let test = TestDatabase::in_memory();
    test.run("CREATE TABLE events (country TEXT, z BIGINT)").expect("a table");
    for call in CALLS {
        let call = call.replace("{}", "among => DID('view'), compare => DID_NOT('view')");
        let found = rows(&test.run(&format!("SELECT * FROM {call}")).expect("an answer").batches);
        let whole = call.starts_with("FUNNEL") && !call.contains("by =>");
        assert_eq!(found.len(), if whole { 2 } else { 0 }, "{call}");
        assert!(found.iter().all(|row| row[2..] == ["0", "0", "NULL", "0", "0", "NULL", "NULL", "NULL", "NULL"]));
    }
}

/// Answers of several batches stay in order, and group meets group.
#[test]
fn many_groups_are_compared() {
    let events = "(SELECT 'u' || value AS user_id, TIMESTAMP '2026-03-01' AS ts, 'view' AS event, value AS n
            FROM generate_series(1, 9000))";
    let funnel = format!("FUNNEL({events}, steps => ['view', 'buy'], by => n, compare => DID(n % 2 = 0))");
    let test = TestDatabase::in_memory();
    let sums =
        format!("SELECT count(*), sum(users), sum(of_users), sum(other_users), sum(other_of_users) FROM {funnel}");
    assert_eq!(test.rows(&sums), [["18000", "9000", "18000", "4500", "9000"]]);
    let found = test.rows(&format!("SELECT n, step, users, of_users, other_users, other_of_users FROM {funnel}"));
    for (row, line) in (0..).zip(&found) {
        let (n, step) = (row / 2 + 1, row % 2 + 1);
        let (is_first, is_other) = (2 - step, i32::from(n % 2 == 0));
        let expected = [n, step, is_first, 1, is_first * is_other, is_other].map(|number| number.to_string());
        assert_eq!(line, &expected);
    }
}

/// A `by` column must not be called like a column of the comparison.
#[test]
fn names_of_columns_stay_different() {
    let test = shop();
    for name in ["z", "share", "other_users"] {
        let sql = format!(
            "SELECT * FROM FUNNEL((SELECT *, country AS share, country AS other_users FROM events), steps => ['view'], by => {name},
               compare => TAG('events.vip'))"
        );
        let error = test.error(&sql);
        assert!(error.message().contains(&format!("a by column is called '{name}'")), "{error}");
        assert_eq!((error.kind(), error.span().map(|span| span.column)), (InvalidInput, Some(15)), "{error}");
    }
}

#[test]
fn mistakes_in_compare() {
    check(COMPARE);
}

const COMPARE: &[Case] = &[
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => 'a')",
        InvalidInput,
        "not of names of events",
        "DID('a')",
        57,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => DID('a') AND country = 'DE')",
        InvalidInput,
        "'country' is a column of events",
        "write DID(country = 'DE')",
        70,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => SEGMENT(where => DID('a'), emit => 'users'))",
        InvalidInput,
        "compare takes the users of a segment",
        "leave emit away",
        84,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => SEGMENT(evnets, where => DID('a')))",
        NotFound,
        "'evnets'",
        "'events'",
        65,
    ),
    ("SELECT * FROM FUNNEL(events, steps => ['a'], compare => TAG('vip'))", NotFound, "no tag", "", 61),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compaer => DID('a'))",
        InvalidInput,
        "no argument 'compaer'",
        "did you mean 'compare'?",
        46,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => DID('a'), compare => DID('b'))",
        InvalidInput,
        "'compare' of FUNNEL is given twice",
        "leave one of them away",
        67,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => DID('a'), emit => 'users')",
        InvalidInput,
        "compare says nothing to emit => 'users'",
        "leave emit away",
        46,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], compare => DID('a'), count => 'attempts')",
        InvalidInput,
        "compare says nothing to count => 'attempts'",
        "leave count away",
        46,
    ),
    (
        "SELECT * FROM RETENTION(events, emit => 'users', compare => DID('a'))",
        InvalidInput,
        "compare says nothing to emit => 'users'",
        "shares of their cohort",
        50,
    ),
    (
        "SELECT * FROM STICKINESS(events, emit => 'active', compare => DID('a'))",
        InvalidInput,
        "compare says nothing to emit => 'active'",
        "leave emit away",
        52,
    ),
    (
        "SELECT * FROM RFM(events, value => price, emit => 'cells', compare => DID('a'))",
        InvalidInput,
        "compare says nothing to emit => 'cells'",
        "leave emit away",
        60,
    ),
    ("SELECT * FROM PATH(events, compare => DID('a'))", InvalidInput, "PATH takes no compare", "FUNNEL, RETENTION", 28),
    ("SELECT * FROM LIFECYCLE(events, compare => DID('a'))", InvalidInput, "LIFECYCLE takes no compare", "among", 33),
    ("SELECT * FROM SESSIONS(events, compare => DID('a'))", InvalidInput, "SESSIONS takes no compare", "among", 32),
    (
        "SELECT * FROM RECOMMEND(events, item => country, compare => DID('a'))",
        InvalidInput,
        "RECOMMEND takes no compare",
        "among",
        50,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a'), compare => DID('b'))",
        InvalidInput,
        "SEGMENT takes no compare",
        "emit => 'lift'",
        50,
    ),
    (
        "FUNNEL a -> b WITH (compare => DID('a'), emit => 'users') FROM events",
        InvalidInput,
        "compare says nothing to emit => 'users'",
        "leave emit away",
        21,
    ),
];
