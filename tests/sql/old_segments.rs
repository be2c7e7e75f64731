//! Segments of the first format lack the bitmaps that a retention is answered from: it is answered all the same.

use crate::support::rows;
use std::fs;
use std::path::Path;
use trodden_query::{Database, Options};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it is kept") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[test]
fn a_retention_over_segments_of_the_first_format() {
    let directory = tempfile::tempdir().expect("a directory");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/v1"), directory.path());
    let database =
        Database::open_with(directory.path(), Options { threads: 2, ..Options::default() }).expect("it opens");
    // Its events are long past the retention, which is enforced before the first statement.
    database.engine().table("events").and_then(|table| table.set_retention(None)).expect("kept for ever");
    let ask = |sql: &str| rows(&database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")).batches);
    let arguments = [
        "start => 'view', periods => 2",
        "start => 'view', return => 'buy', periods => 2, by => country",
        "start => 'buy', return => 'buy', periods => 2",
        "periods => 1, period => INTERVAL '1' WEEK",
    ];
    let filtered = "(SELECT * FROM events WHERE user_id <> 'nobody')";
    let answers = |input: &str| {
        let call = |arguments: &&str| ask(&format!("SELECT * FROM RETENTION({input}, {arguments})"));
        arguments.iter().map(call).collect::<Vec<_>>()
    };
    let plan = |arguments: &str| format!("{:?}", ask(&format!("EXPLAIN SELECT * FROM RETENTION(events, {arguments})")));
    let expected = answers(filtered);
    assert!(expected.iter().all(|rows| !rows.is_empty()));
    assert_eq!(answers("events"), expected);
    assert!(plan(arguments[0]).contains("a segment is of an older format"));
    ask("OPTIMIZE TABLE events");
    assert_eq!(answers("events"), expected, "rewritten in the format of today");
    assert!(arguments.iter().all(|arguments| plan(arguments).contains("answered by day bitmaps")));
}
