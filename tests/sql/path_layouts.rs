//! PATH gives the same answer however it is read: by the table itself, as bits of rows or not, or as rows of any relation;
//! with all columns of the answer or with counts alone.

use crate::layouts::{fill, open};
use crate::support::rows;
use trodden_query::Database;

/// Arguments that decide what is read, and how.
pub(crate) const ARGUMENTS: [&str; 14] = [
    "session => '1 second'",
    "session => '1 second', collapse => false, steps => 3",
    "session => NULL, end => 'a'",
    "session => NULL, end => ['a', 'b'], anchor => 'each', collapse => false",
    "session => NULL, end => event = 'a' AND size > 1, anchor => 'each', steps => 4",
    "session => '500 milliseconds', end => 'c', anchor => 'each'",
    "session => NULL, start => 'a', anchor => 'each', steps => 3",
    "session => NULL, start => 'b', end => 'c', anchor => 'each', steps => 4",
    "session => NULL, exclude => 'd', end => 'a'",
    "session => size, steps => 3",
    "session => colour, start => size = 1",
    "session => NULL, by => colour, end => 'c', anchor => 'each', steps => 2",
    "session => '1 second', by => (size, price), top => 2",
    "session => NULL, by => price, start => 'c', anchor => 'each', top => 3",
];

const EMITS: [&str; 4] = ["paths", "edges", "transitions", "users"];

/// Every way to read, and every form of the answer.
pub(crate) fn questions() -> Vec<String> {
    let inputs = [
        "events",
        "(SELECT * FROM events WHERE size > 0)",
        "(SELECT * FROM events WHERE event <> 'd')",
        "(SELECT * FROM events LIMIT 1000000)",
        "(SELECT * FROM events ORDER BY seq)",
        "(SELECT * FROM events WHERE size = 1 UNION ALL SELECT * FROM events WHERE size <> 1)",
    ];
    let call = |input: &str, arguments: &str, emit: &str| {
        format!("SELECT * FROM PATH({input}, {arguments}, emit => '{emit}')")
    };
    let nodes =
        ["session => NULL, node => colour", "session => NULL, node => price, steps => 9", "node => upper(event)"];
    let all = ARGUMENTS.iter().chain(&nodes);
    let calls = all.flat_map(|arguments| inputs.map(|input| EMITS.map(|emit| call(input, arguments, emit))));
    calls.flatten().collect()
}

fn ask(database: &Database, sql: &str) -> Vec<Vec<String>> {
    rows(&database.query_blocking(sql).unwrap_or_else(|e| panic!("{sql}\n{e}")).batches)
}

/// The table in memory, in many segments, and in one a shard, where users come as bits of rows.
fn each_layout(check: impl Fn(&Database)) {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), true);
    let database = open(directory.path(), 2);
    check(&database);
    ask(&database, "OPTIMIZE TABLE events");
    check(&database);
}

#[test]
fn rows_of_any_relation_give_the_answer_of_the_table() {
    each_layout(|database| {
        for arguments in ARGUMENTS {
            for emit in EMITS {
                let call = |node: &str| format!("PATH(events, node => {node}, {arguments}, emit => '{emit}')");
                let (table, relation) = (call("event"), call("concat(event, '')"));
                let plan = |call: &str| format!("{:?}", ask(database, &format!("EXPLAIN SELECT * FROM {call}")));
                assert!(plan(&table).contains("PathScan"), "{table}");
                assert!(!plan(&relation).contains("PathScan"), "{relation}");
                let answer = |call: &str| ask(database, &format!("SELECT * FROM {call}"));
                assert_eq!(answer(&table), answer(&relation), "{table}");
            }
        }
    });
}

#[test]
fn counts_alone_are_those_of_the_whole_answer() {
    let columns = [
        ("paths", "path, sessions, share"),
        ("edges", "step, source, target, sessions"),
        ("transitions", "source, target, count, probability"),
    ];
    each_layout(|database| {
        for arguments in ARGUMENTS {
            for (emit, columns) in columns {
                let call = format!("PATH(events, {arguments}, emit => '{emit}')");
                let counts = ask(database, &format!("SELECT {columns} FROM {call}"));
                // The subquery keeps the other columns from being left out.
                let whole = format!(
                    "SELECT {columns} FROM (SELECT *, users + coalesce(median_seconds, 0) AS other FROM {call}) WHERE other >= 0"
                );
                assert_eq!(counts, ask(database, &whole), "{call}");
                assert!(!counts.is_empty(), "{call}");
            }
        }
    });
}

#[test]
fn users_add_up_to_the_counts() {
    each_layout(|database| {
        for arguments in ARGUMENTS.iter().filter(|arguments| !arguments.contains("by")) {
            let arguments = format!("{arguments}, top => 1000");
            let counts = format!("SELECT path, sessions, users FROM PATH(events, {arguments}) ORDER BY path");
            let users = format!(
                "SELECT path, count(*), count(DISTINCT user_id) FROM PATH(events, {arguments}, emit => 'users') \
                 GROUP BY path ORDER BY path"
            );
            assert_eq!(ask(database, &counts), ask(database, &users), "{arguments}");
            let leaving = format!(
                "SELECT sum(sessions) FROM PATH(events, {arguments}, emit => 'edges') WHERE target IS NULL AND step IS NOT NULL"
            );
            let exited = format!("SELECT sum(CAST(exited AS BIGINT)) FROM PATH(events, {arguments}, emit => 'users')");
            let none = |rows: Vec<Vec<String>>| if rows == [["NULL"]] { vec![vec!["0".to_string()]] } else { rows };
            assert_eq!(none(ask(database, &leaving)), none(ask(database, &exited)), "{arguments}");
        }
    });
}
