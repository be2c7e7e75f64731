//! What is kept for recommendations: when it is used, how it comes to a later moment, and that it may be lost.

use crate::support::rows;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trodden_query::{Database, LiveOptions, Options};

const QUESTION: &str = "SELECT item, score FROM RECOMMEND(events, item => item, for_user => 'ann', using => 'popular')";

fn open(path: &Path, limit_bytes: usize) -> Database {
    let live = LiveOptions { limit_bytes, ..LiveOptions::default() };
    Database::open_with(path, Options { threads: 2, live, ..Options::default() }).expect("it opens")
}

fn ask(database: &Database, sql: &str) -> Vec<Vec<String>> {
    rows(&database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")).batches)
}

fn fill(database: &Database) {
    ask(database, "CREATE TABLE events (item TEXT)");
    ask(
        database,
        "INSERT INTO events (user_id, ts, event, item) VALUES ('ann', '2026-01-01', 'buy', 'tea'), ('ben', '2026-01-01', 'buy', 'tea'),
           ('ben', '2026-01-02', 'buy', 'milk'), ('cat', '2026-01-03', 'buy', 'milk'), ('cat', '2026-01-04', 'buy', 'jam')",
    );
}

/// How the only kept state came to the last question.
fn last_question(database: &Database) -> String {
    let states = ask(database, "SHOW RECOMMENDERS");
    assert_eq!(states.len(), 1, "{states:?}");
    states[0][6].clone()
}

fn kept_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("tables/1")).expect("the table has a directory");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("derived-"))).collect()
}

#[test]
fn an_opening_goes_on_from_what_was_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db");
    let database = open(&path, 1 << 20);
    fill(&database);
    let expected = [["milk", "2.0"], ["jam", "1.0"]];
    assert_eq!(ask(&database, QUESTION), expected);
    assert_eq!(last_question(&database), "all events were read");
    ask(
        &database,
        "INSERT INTO events (user_id, ts, event, item) VALUES ('dan', '2026-01-05', 'buy', 'jam'), ('dan', '2026-01-05', 'see', NULL)",
    );
    // The one with an item.
    let expected_now = [["jam", "2.0"], ["milk", "2.0"]];
    assert_eq!(ask(&database, QUESTION), expected_now);
    assert_eq!(last_question(&database), "1 events were added");
    drop(database);
    let database = open(&path, 1 << 20);
    assert_eq!(ask(&database, QUESTION), expected_now);
    assert_eq!(last_question(&database), "it was there");
    // What comes while nothing asks is found by who it is about, and so is who is gone.
    drop(database);
    let database = open(&path, 1 << 20);
    ask(
        &database,
        "INSERT INTO events (user_id, ts, event, item) VALUES ('eve', '2025-12-31', 'buy', 'milk'), ('ann', '2026-01-06', 'buy', 'jam')",
    );
    ask(&database, "DELETE FROM events WHERE user_id = 'ben'");
    assert_eq!(ask(&database, QUESTION), [["milk", "2.0"]]);
    assert_eq!(last_question(&database), "2 users were read again");
}

#[test]
fn a_kept_file_that_is_damaged_or_gone_is_made_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("db");
    let database = open(&path, 1 << 20);
    fill(&database);
    let expected = ask(&database, QUESTION);
    drop(database);
    let [file] = kept_files(&path).try_into().expect("one file");
    let bytes = std::fs::read(&file).expect("it can be read");
    let cut: [&dyn Fn() -> Vec<u8>; 3] = [&|| bytes[..bytes.len() / 2].to_vec(), &Vec::new, &|| {
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        changed
    }];
    assert_eq!(open(&path, 1 << 20).engine().check(), []);
    for damaged in cut {
        std::fs::write(&file, damaged()).expect("it can be written");
        let database = open(&path, 1 << 20);
        let [finding] = database.engine().check().try_into().expect("one finding");
        assert!(finding.place.contains("derived-") && finding.problem.contains("delete it"), "{finding}");
        assert_eq!(ask(&database, QUESTION), expected);
        assert_eq!(last_question(&database), "all events were read");
    }
    // A full compaction takes away what was deleted, there too.
    let database = open(&path, 1 << 20);
    ask(&database, "OPTIMIZE TABLE events");
    assert_eq!(kept_files(&path), Vec::<PathBuf>::new());
    assert_eq!(ask(&database, QUESTION), expected);
}

#[test]
fn what_does_not_fit_is_read_for_each_question() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = open(&directory.path().join("db"), 100);
    fill(&database);
    assert_eq!(ask(&database, QUESTION), [["milk", "2.0"], ["jam", "1.0"]]);
    assert_eq!(ask(&database, "SHOW RECOMMENDERS"), Vec::<Vec<String>>::new());
}

#[test]
fn the_states_in_use_longest_ago_go_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = open(&directory.path().join("db"), 1 << 20);
    fill(&database);
    ask(&database, QUESTION);
    let bytes = database.live_states()[0].memory_bytes;
    let database = {
        drop(database);
        open(&directory.path().join("db"), bytes * 5 / 2)
    };
    let of = |event: &str| QUESTION.replace("using", &format!("weights => WEIGHTS(buy => 1, {event} => 1), using"));
    for event in ["see", "look", "hear"] {
        ask(&database, &of(event));
    }
    let sources: Vec<String> = database.live_states().into_iter().map(|state| state.source).collect();
    assert!(!sources.iter().any(|source| source.contains("see")), "{sources:?}");
    assert!(sources.iter().any(|source| source.contains("hear")), "{sources:?}");
}

#[test]
fn what_questions_find_counts_in_the_limit() {
    const LIMIT: usize = 400_000;
    let directory = tempfile::tempdir().expect("a directory");
    let database = open(&directory.path().join("db"), LIMIT);
    ask(&database, "CREATE TABLE events (item TEXT)");
    let row = |n: usize| format!("('u{}', '2026-01-01', 'buy', 'i{}')", n / 3, n % 200);
    let rows: Vec<String> = (0..600).map(row).collect();
    ask(&database, &format!("INSERT INTO events (user_id, ts, event, item) VALUES {}", rows.join(", ")));
    let call = |weights: &str, item: usize| {
        format!(
            "SELECT item FROM RECOMMEND(events, item => item, for_item => 'i{item}', weights => WEIGHTS(buy => 1{weights}))"
        )
    };
    let expected = ask(&database, &call("", 7));
    for weights in ["", ", see => 1", ", look => 1", ", hear => 1"] {
        for item in 0..200 {
            ask(&database, &call(weights, item));
            let bytes: usize = database.live_states().iter().map(|state| state.memory_bytes).sum();
            assert!(bytes <= LIMIT, "{bytes} bytes are kept");
        }
        assert_eq!(ask(&database, &call(weights, 7)), expected);
    }
    assert!(!database.live_states().is_empty());
}

#[test]
fn a_plan_says_what_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = open(&directory.path().join("db"), 1 << 20);
    fill(&database);
    let plan = |call: &str| {
        format!("{:?}", ask(&database, &format!("EXPLAIN SELECT * FROM RECOMMEND(events, item => item{call})")))
    };
    assert!(plan(", for_user => 'ann'").contains("answered by the state that is kept in memory"));
    assert!(!plan("").contains("kept in memory"));
}

#[test]
fn a_model_that_takes_long_is_learned_beside_the_questions() {
    let ease =
        "SELECT item, because IS NOT NULL FROM RECOMMEND(events, item => item, for_items => ['tea'], using => 'ease')";
    let more = "INSERT INTO events (user_id, ts, event, item) VALUES ('fay', '2026-01-07', 'buy', 'tea'), ('fay', '2026-01-07', 'buy', 'new')";
    let opened = |refresh_after: Duration| {
        let live = LiveOptions { refresh_after, ..LiveOptions::default() };
        let database =
            Database::in_memory(Options { threads: 2, live, ..Options::default() }).expect("memory is there");
        fill(&database);
        assert_eq!(ask(&database, ease)[0], ["milk", "true"]);
        ask(&database, more);
        database
    };
    let is_learned = |database: &Database| ask(database, ease).contains(&vec!["new".into(), "true".into()]);
    assert!(is_learned(&opened(Duration::ZERO)), "before the question is answered");
    let later = opened(Duration::from_secs(3600));
    assert_eq!(ask(&later, ease)[0], ["milk", "true"]);
    assert!(!is_learned(&later), "an hour has not gone");
    assert_eq!(ask(&later, "SHOW RECOMMENDERS")[0][7], "ease");
    let beside = opened(Duration::from_millis(1));
    let begun = Instant::now();
    while !is_learned(&beside) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody learns it again");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_state_that_grows_over_the_limit_is_dropped() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = open(&directory.path().join("db"), 20_000);
    fill(&database);
    ask(&database, QUESTION);
    assert_eq!(database.live_states().len(), 1);
    for turn in 0..60 {
        let rows: Vec<String> = (0..20).map(|n| format!("('u{n}', '2026-02-01', 'buy', 'i{}')", turn % 7)).collect();
        ask(&database, &format!("INSERT INTO events (user_id, ts, event, item) VALUES {}", rows.join(", ")));
        assert_eq!(ask(&database, QUESTION).len(), (turn + 3).min(9), "{turn}");
    }
    assert_eq!(database.live_states(), []);
}
