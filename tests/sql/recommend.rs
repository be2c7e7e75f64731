//! What plans of RECOMMEND tell, and its limits of memory and time.

use crate::support::{TestDatabase, rows};
use std::time::Duration;
use trodden_query::{CancelToken, ErrorKind, QueryOptions};

/// So many items, each used by a few of 500 users.
fn filled(items: usize) -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.run("CREATE TABLE events (item TEXT, price DOUBLE) WITH (shards = 2)").expect("a table");
    let sql = format!(
        "INSERT INTO events (user_id, ts, event, item, price)
         SELECT concat('u', value % 500), to_timestamp_micros(value), 'buy', concat('i', (value * 7919) % {items}), value
         FROM generate_series(1, {})",
        10 * items
    );
    test.run(&sql).expect("events");
    test
}

fn plan(test: &TestDatabase, arguments: &str) -> String {
    let answer = test.run(&format!("EXPLAIN SELECT * FROM RECOMMEND(events, item => item, {arguments})"));
    rows(&answer.expect("a plan").batches).concat().concat()
}

#[test]
fn the_plan_tells_which_algorithm_answers() {
    let test = filled(10);
    for (arguments, told) in [
        ("for_user => 'u1'", "using=session_knn up to 30 minutes after the user's last event, else blend"),
        ("for_items => ['i1']", "using=ease up to 2000 items, else rp3beta"),
        ("for_item => 'i1'", "using=item_knn"),
        ("emit => 'items'", "using=item_knn, emit=items"),
        ("for_user => 'u1', similarity => 'cosine'", "using=item_knn, similarity='cosine'"),
        ("using => FALLBACK('ease', 'popular')", "fallback=['ease', 'popular']"),
        ("variant => AB('exp', 'ease', 'als')", "experiment='exp', variants=['ease', 'als']"),
        ("boost => price * 2, diversify => DIVERSIFY(event, max => 3)", "max=3"),
        ("boost => price", "all users, for the newest event of each item"),
    ] {
        let plan = plan(&test, arguments);
        assert!(plan.contains(told), "{arguments}: {plan}");
    }
}

#[test]
fn a_matrix_over_the_memory_of_the_query_is_refused() {
    let test = filled(1_500);
    let options = QueryOptions { memory_limit_bytes: Some(16_000_000), ..QueryOptions::default() };
    for input in ["events", "(SELECT * FROM events LIMIT 1000000)"] {
        let of = |using: &str| {
            format!("SELECT * FROM RECOMMEND({input}, item => item, for_user => 'u1', using => '{using}')")
        };
        let error = test.database.query_blocking_with(&of("ease"), options.clone()).expect_err("27 MB of numbers");
        assert_eq!(error.kind(), ErrorKind::ResourceLimit, "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("rp3beta")), "{error:?}");
        test.database.query_blocking_with(&of("rp3beta"), options.clone()).expect("no matrix");
    }
}

#[test]
fn a_model_that_takes_long_ends_with_its_statement() {
    let test = filled(3_000);
    let cancel = CancelToken::new();
    let options = QueryOptions { cancel: cancel.clone(), ..QueryOptions::default() };
    let (_open, nobody_sends) = std::sync::mpsc::channel::<()>();
    let stopper = std::thread::spawn(move || {
        let _ = nobody_sends.recv_timeout(Duration::from_millis(400));
        cancel.cancel();
    });
    let sql = "SELECT * FROM RECOMMEND(events, item => item, for_items => ['i1'], using => 'ease')";
    let error = test.database.query_blocking_with(sql, options).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    stopper.join().expect("it ends");
}
