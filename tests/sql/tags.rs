//! Tags through SQL: what is pushed down, what a refresh reads, who refreshes, and what is told of it.

use crate::support::TestDatabase;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trodden_engine::ingest::EventBatch;
use trodden_query::arrow::array::{ArrayRef, Int64Array, StringArray};
use trodden_query::{Database, ErrorKind};

fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.rows(
        "CREATE TABLE events (country TEXT, price DOUBLE) WITH (shards = 2);
         INSERT INTO events (user_id, ts, event, country, price) VALUES
           ('ann', '2026-03-01 10:00:00', 'view', 'DE', NULL), ('ann', '2026-03-01 11:00:00', 'buy', 'DE', 9.5),
           ('bob', '2026-03-02 10:00:00', 'view', 'FR', NULL), ('cid', '2026-03-02 10:00:00', 'buy', 'FR', 1);
         CREATE TAG buyers ON events AS (SELECT user_id FROM events WHERE event = 'buy')",
    );
    test
}

/// A column of `SHOW TAGS`, by tag.
fn shown(test: &TestDatabase, column: &str) -> Vec<(String, String)> {
    let answer = test.run("SHOW TAGS ON events").expect("an answer");
    let place = |name: &str| answer.schema.index_of(name).expect("a column");
    let (tag, column) = (place("tag"), place(column));
    let rows = crate::support::rows(&answer.batches);
    rows.into_iter().map(|row| (row[tag].clone(), row[column].clone())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(tag, value)| (tag.to_string(), value.to_string())).collect()
}

#[test]
fn a_tag_is_pushed_down_to_the_users_of_a_scan() {
    let test = shop();
    let plan = |sql: &str| {
        let rows = test.rows(&format!("EXPLAIN {sql}"));
        rows.into_iter().flatten().collect::<Vec<_>>().join("\n")
    };
    let rows = plan("SELECT event FROM events WHERE HAS_TAG(user_id, 'buyers') AND price > 0");
    assert!(rows.contains("EventScan") && rows.contains("2 of 3 users left by bitmaps"), "{rows}");
    assert!(!rows.contains("FilterExec"), "{rows}");
    let funnel =
        plan("SELECT * FROM FUNNEL((SELECT * FROM events WHERE HAS_TAG(user_id, 'buyers')), steps => ['view'])");
    assert!(funnel.contains("FunnelScan") && funnel.contains("1 users with step 1, 0 with steps 1 and 2"), "{funnel}");
    let step = plan("SELECT * FROM FUNNEL(events, STEPS(a => event = 'view' AND NOT HAS_TAG(user_id, 'buyers')))");
    assert!(step.contains("FunnelScan"), "{step}");
}

#[test]
fn a_kept_plan_asks_for_the_tag_as_it_is_now() {
    let test = shop();
    let count = "SELECT count(*) FROM events WHERE HAS_TAG(user_id, 'buyers')";
    assert_eq!(test.rows(count), [["3"]]);
    assert_eq!(test.rows(count), [["3"]]);
    test.rows("CREATE OR REPLACE TAG buyers ON events FROM ('bob')");
    assert_eq!(test.rows(count), [["1"]]);
    test.rows("DROP TAG buyers ON events");
    let error = test.error(count);
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    test.rows("CREATE TAG buyers ON events AS (SELECT user_id, country AS value FROM events)");
    assert_eq!(test.rows(count), [["4"]]);
    // A view asks for the tag of the moment, too.
    test.rows("CREATE VIEW tagged AS SELECT * FROM events WHERE HAS_TAG(user_id, 'buyers', 'FR')");
    assert_eq!(test.rows("SELECT count(*) FROM tagged"), [["2"]]);
    test.rows("PREPARE tagged_of AS SELECT count(*) FROM events WHERE HAS_TAG(user_id, 'buyers', 'DE') AND event = $1");
    assert_eq!(test.rows("EXECUTE tagged_of('buy')"), [["1"]]);
}

#[test]
fn a_refresh_says_whether_it_read_only_what_is_new() {
    let test = shop();
    test.rows(
        "CREATE TAG dear ON events AS (SELECT DISTINCT user_id FROM events WHERE price > 5 AND event = 'buy');
         CREATE TAG recent ON events AS (SELECT user_id FROM events WHERE ts > now() - INTERVAL '100000' DAY);
         CREATE TAG often ON events AS (SELECT user_id FROM events GROUP BY user_id HAVING count(*) > 1);
         CREATE TAG dear_often ON events AS (SELECT user_id FROM events WHERE HAS_TAG(user_id, 'often') AND price > 5);
         INSERT INTO events (user_id, ts, event, price) VALUES ('dan', '2026-03-03', 'buy', 7), ('bob', '2026-03-03', 'buy', 7)",
    );
    let refreshed = test.rows("REFRESH TAGS ON events");
    let seen: Vec<_> = refreshed.iter().map(|row| (row[1].as_str(), row[2].as_str(), row[4].as_str())).collect();
    let expected = [
        ("buyers", "4", "true"),
        ("dear", "3", "true"),
        ("recent", "4", "false"),
        ("often", "2", "false"),
        // It finds those who were tagged just before: ann and bob.
        ("dear_often", "2", "false"),
    ];
    assert_eq!(seen, expected);
    let incremental =
        [("buyers", "true"), ("dear", "true"), ("recent", "false"), ("often", "false"), ("dear_often", "false")];
    assert_eq!(shown(&test, "incremental"), pairs(&incremental));
    // A column of another type means another condition, so that all events are asked again.
    let price: ArrayRef = Arc::new(StringArray::from_iter_values(["cheap"]));
    let wider = EventBatch {
        user_id: StringArray::from_iter_values(["eve"]),
        ts: Int64Array::from(vec![1_772_500_000_000_000]),
        event: StringArray::from_iter_values(["buy"]),
        event_id: None,
        properties: vec![("price".into(), price)],
    };
    test.database.ingest("events", wider).expect("it is stored");
    let error = test.run("REFRESH TAG dear ON events");
    let row = error.map(|answer| crate::support::rows(&answer.batches));
    assert!(row.is_err() || row.is_ok_and(|row| row[0][4] == "false"));
    assert_eq!(test.rows("REFRESH TAG buyers ON events")[0][4], "true");
}

#[test]
fn what_cannot_be_refreshed_keeps_its_members_and_says_why() {
    let test = shop();
    test.rows("CREATE VIEW french AS SELECT * FROM events WHERE country = 'FR'; CREATE TAG fr ON events AS (SELECT user_id FROM french)");
    test.rows("DROP VIEW french");
    let answer = test.run("REFRESH TAGS ON events").expect("the others are refreshed");
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
    let error = test.error("REFRESH TAG fr ON events");
    assert!(error.message().contains("tag 'fr'") && error.message().contains("french"), "{error}");
    assert!(shown(&test, "error").iter().any(|(tag, error)| tag == "fr" && error.contains("french")));
    assert_eq!(test.rows("SELECT count(*) FROM events WHERE HAS_TAG(user_id, 'fr')"), [["2"]]);
    test.rows("CREATE VIEW french AS SELECT * FROM events WHERE country = 'DE'");
    test.rows("REFRESH TAG fr ON events");
    assert!(shown(&test, "error").iter().all(|(_, error)| error == "NULL"));
    assert_eq!(shown(&test, "users"), pairs(&[("buyers", "2"), ("fr", "1")]));
}

#[test]
fn a_tag_that_is_due_is_refreshed_beside_statements_and_after_an_opening() {
    let test = TestDatabase::local();
    test.rows(
        "CREATE TABLE events WITH (shards = 2);
         INSERT INTO events (user_id, ts, event) VALUES ('ann', '2026-03-01', 'buy');
         CREATE TAG buyers ON events AS (SELECT user_id FROM events WHERE event = 'buy') REFRESH EVERY INTERVAL '1' SECOND;
         INSERT INTO events (user_id, ts, event) VALUES ('bob', '2026-03-01', 'buy')",
    );
    wait_for(&test.database, "2");
    let path = test.directory.path().join("db");
    let TestDatabase { database, directory } = test;
    drop(database);
    // At once: the thread has ended with the database.
    let database = Database::open(&path).expect("nobody has it any more");
    database
        .query_blocking("INSERT INTO events (user_id, ts, event) VALUES ('cid', '2026-03-01', 'buy')")
        .expect("stored");
    wait_for(&database, "3");
    drop(directory);
}

/// Ask until so many events are of buyers.
fn wait_for(database: &Database, wanted: &str) {
    let started = Instant::now();
    loop {
        let answer = database.query_blocking("SELECT count(*) FROM events WHERE HAS_TAG(user_id, 'buyers')");
        if crate::support::rows(&answer.expect("an answer").batches) == [[wanted]] {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the tag was never refreshed");
    }
}

#[test]
fn users_without_events_are_kept_in_a_list_and_left_out_of_a_query() {
    let test = shop();
    test.rows("CREATE TAG friends ON events FROM ('zoe', 'ann')");
    let asked = "SELECT u, HAS_TAG(u, 'events.friends') FROM (VALUES ('ann'), ('zoe'), ('bob')) AS t(u) ORDER BY u";
    assert_eq!(test.rows(asked), [["ann", "true"], ["bob", "false"], ["zoe", "true"]]);
    let answer = test.run("CREATE TAG others ON events AS (SELECT * FROM (VALUES ('ann'), ('who')) AS t(user_id))");
    let answer = answer.expect("a tag");
    assert!(answer.warnings[0].message.contains("1 rows of the query name no user"), "{:?}", answer.warnings);
    assert_eq!(shown(&test, "users"), pairs(&[("buyers", "2"), ("friends", "2"), ("others", "1")]));
    assert_eq!(shown(&test, "definition")[1].1, "FROM (2 users)");
    let error = test.error("REFRESH TAG friends ON events");
    assert!(error.message().contains("list of users"), "{error}");
    // Zoe's first event is that of the same user.
    test.rows("INSERT INTO events (user_id, ts, event) VALUES ('zoe', '2026-03-05', 'view')");
    assert_eq!(
        test.rows("SELECT event FROM events WHERE HAS_TAG(user_id, 'friends') AND ts > '2026-03-04'"),
        [["view"]]
    );
}

#[test]
fn tags_of_two_tables_are_told_apart() {
    let test = shop();
    test.rows(
        "CREATE TABLE clicks WITH (shards = 2);
         INSERT INTO clicks (user_id, ts, event) VALUES ('ann', '2026-03-01', 'click'), ('dan', '2026-03-01', 'click');
         CREATE TAG clickers ON clicks AS (SELECT user_id FROM clicks);
         CREATE TAG buyers ON clicks FROM ('dan')",
    );
    let both = "SELECT DISTINCT e.user_id FROM events AS e JOIN clicks AS c ON e.user_id = c.user_id";
    assert_eq!(
        test.rows(&format!("{both} WHERE HAS_TAG(e.user_id, 'buyers') AND HAS_TAG(c.user_id, 'clickers')")),
        [["ann"]]
    );
    assert!(test.rows(&format!("{both} WHERE HAS_TAG(c.user_id, 'buyers')")).is_empty());
    assert_eq!(test.rows(&format!("{both} WHERE HAS_TAG(c.user_id, 'events.buyers')")), [["ann"]]);
    assert_eq!(test.rows("SELECT DISTINCT user_id FROM events WHERE HAS_TAG(user_id, 'clicks.clickers')"), [["ann"]]);
    let error = test.error("SELECT HAS_TAG(u, 'buyers') FROM (VALUES ('ann')) AS t(u)");
    assert!(error.hint().is_some_and(|hint| hint.contains("'<table>.buyers'")), "{error}");
    test.rows("DROP TABLE clicks");
    let error = test.error("SELECT count(*) FROM events WHERE HAS_TAG(user_id, 'clicks.clickers')");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// Who is in a tag follows who somebody is.
#[test]
fn a_tag_of_an_alias_is_one_of_the_person() {
    let test = TestDatabase::in_memory();
    test.rows(
        "CREATE TABLE events (price DOUBLE) WITH (shards = 3);
         INSERT INTO events (user_id, ts, event) VALUES
           ('anon', '2026-03-01 10:00:00', 'view'), ('u42', '2026-03-01 10:30:00', 'buy');
         CREATE TAG seen ON events AS (SELECT user_id FROM events WHERE event = 'view');
         CREATE TAG named ON events FROM ('anon');
         ALIAS 'anon' TO 'u42' ON events",
    );
    let tagged = |name: &str| {
        test.rows(&format!("SELECT DISTINCT user_id FROM events WHERE HAS_TAG(user_id, '{name}') ORDER BY 1"))
    };
    assert_eq!((tagged("seen"), tagged("named")), (vec![vec!["u42".to_string()]], vec![vec!["u42".to_string()]]));
    for _ in 0..2 {
        test.rows("REFRESH TAG seen ON events");
        assert_eq!(tagged("seen"), [["u42"]]);
        // What comes under the alias from here on counts, too.
        test.rows("INSERT INTO events (user_id, ts, event) VALUES ('cid', '2026-03-02 10:00:00', 'buy')");
    }
    test.rows("CREATE TAG calls ON events AS (SELECT user_id FROM events WHERE event = 'call')");
    test.rows("INSERT INTO events (user_id, ts, event) VALUES ('anon', '2026-03-03 10:00:00', 'call')");
    test.rows("REFRESH TAG calls ON events");
    assert_eq!(tagged("calls"), [["u42"]]);
    test.rows("UNALIAS 'anon' ON events; REFRESH TAG calls ON events; REFRESH TAG seen ON events");
    assert_eq!((tagged("calls"), tagged("seen"), tagged("named")), {
        let anon = || vec![vec!["anon".to_string()]];
        (anon(), anon(), anon())
    });
    test.rows("ALIAS 'anon' TO 'u42' ON events; OPTIMIZE events; REFRESH TAG calls ON events");
    assert_eq!(tagged("calls"), [["u42"]]);
    test.rows("INSERT INTO events (user_id, ts, event) VALUES ('anon', '2026-03-04 10:00:00', 'mail')");
    test.rows(
        "CREATE TAG mails ON events AS (SELECT user_id FROM events WHERE event = 'mail'); REFRESH TAG mails ON events",
    );
    assert_eq!(tagged("mails"), [["u42"]]);
}
