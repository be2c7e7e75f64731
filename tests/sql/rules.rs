//! What rules hide is nowhere in the files of the database.

use crate::support::TestDatabase;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_engine::profiles::{ProfileBatch, ProfileColumn};
use trodden_query::arrow::array::{ArrayRef, Int64Array, StringArray};
use trodden_query::rules::Cleaned;

const MAIL: &str = "ann.secret@example.org";
const PHONE: &str = "+49-170-99988877";
const USER: &str = "user-to-be-hashed";
const OPEN: &str = "what-everybody-may-see";

/// Which of the texts are in any file below `directory`.
fn found(directory: &Path, texts: &[&'static str]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(self::found(&path, texts));
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let has = |text: &&&'static str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found.extend(texts.iter().filter(has).copied());
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn texts(text: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![text]))
}

#[test]
fn what_is_masked_or_hashed_never_touches_the_disk() {
    let test = TestDatabase::local();
    test.rows(
        "CREATE TABLE events (note TEXT) WITH (shards = 1);
         CREATE RULE a ON events AS MASK phone; CREATE RULE b ON events AS HASH mail, user_id",
    );
    let event = EventBatch {
        user_id: StringArray::from(vec![USER]),
        ts: Int64Array::from(vec![1]),
        event: StringArray::from(vec!["view"]),
        event_id: None,
        properties: vec![("mail".into(), texts(MAIL)), ("phone".into(), texts(PHONE)), ("note".into(), texts(OPEN))],
    };
    let said = |name: &str, text: &str| ProfileColumn { name: name.into(), values: texts(text), sets: None };
    let update = ProfileBatch {
        user_id: StringArray::from(vec![USER]),
        ts: Int64Array::from(vec![1]),
        event_id: None,
        columns: vec![said("mail", MAIL), said("phone", PHONE), said("note", OPEN)],
    };
    let rules = test.database.rules("events").expect("a table");
    let all = [MAIL, PHONE, USER, OPEN];
    for round in 0..3 {
        let Cleaned { batch, outcome } = rules.apply(event.clone(), None).expect("applied");
        test.database.ingest("events", batch).expect("stored");
        outcome.taken.keep();
        let cleaned = rules.apply_profiles(update.clone()).expect("applied");
        test.database.upsert("events", cleaned.batch).expect("stored");
        assert_eq!(found(test.directory.path(), &all), [OPEN], "round {round}, in the log");
        test.rows("FLUSH events");
        assert_eq!(found(test.directory.path(), &all), [OPEN], "round {round}, in segments");
    }
    test.rows("OPTIMIZE events");
    assert_eq!(found(test.directory.path(), &all), [OPEN]);
    // One user, by a hash, in events and profiles.
    let counts = "SELECT count(*), count(DISTINCT e.mail) FROM events e JOIN events_users u ON e.user_id = u.user_id";
    assert_eq!(test.rows(counts), [["3", "1"]]);
}
