//! Rules over single batches, and how they are kept. `tests/model/rules.rs` compares them with a reference.

use super::*;
use crate::{Database, Error, ErrorKind, Options};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_engine::profiles::{ProfileBatch, ProfileColumn};

fn database(script: &str) -> Database {
    let database = Database::in_memory(Options { threads: 1, ..Options::default() }).expect("memory is there");
    database.query_blocking("CREATE TABLE events (plan TEXT, price DOUBLE) WITH (shards = 1)").expect("a table");
    database.query_blocking(script).expect(script);
    database
}

fn batch(properties: Vec<(&str, ArrayRef)>) -> EventBatch {
    let rows = properties[0].1.len();
    EventBatch {
        user_id: (0..rows).map(|row| Some(format!("u{row}"))).collect(),
        ts: (0..rows as i64).map(Some).collect(),
        event: (0..rows).map(|_| Some("view")).collect(),
        event_id: None,
        properties: properties.into_iter().map(|(name, values)| (name.to_string(), values)).collect(),
    }
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<StringArray>())
}

fn apply(database: &Database, batch: EventBatch) -> Cleaned {
    database.rules("events").expect("a table").apply(batch, None).expect("applied")
}

fn column(batch: &EventBatch, name: &str) -> Vec<Option<String>> {
    let found = batch.properties.iter().find(|(known, _)| known == name);
    let values = found.map(|(name, values)| text::texts(name, values).expect("values of a table"));
    values.iter().flatten().map(|value| value.map(String::from)).collect()
}

fn error(database: &Database, sql: &str) -> Error {
    database.query_blocking(sql).expect_err(sql)
}

#[test]
fn what_one_rule_does_the_next_one_sees() {
    let database = database(
        "CREATE RULE a ON events AS RENAME mail TO email;
         CREATE RULE b ON events AS MASK email;
         CREATE RULE c ON events AS REJECT 'masked' WHERE email = '***'",
    );
    let sent = batch(vec![
        ("Mail", texts(&[Some("ann@example.org"), None, Some("short"), None])),
        ("email", texts(&[None, Some("bob@example.org"), Some("long@example.org"), None])),
    ]);
    let Cleaned { batch, outcome } = apply(&database, sent);
    assert_eq!(column(&batch, "email"), [Some("******rg".to_string()), Some("******rg".into()), None]);
    assert!(column(&batch, "Mail").is_empty());
    assert_eq!(outcome.rejected, [Rejected { row: 2, reason: "masked".into() }]);
    assert_eq!(outcome.rows, [0, 1, 3]);
}

#[test]
fn numbers_are_hashed_by_their_text_and_masked_to_null() {
    let database =
        database("CREATE RULE h ON events AS HASH phone, ok, x; CREATE RULE m ON events AS MASK age WHERE price > 1");
    let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None]));
    let sent = batch(vec![
        ("phone", Arc::clone(&number)),
        ("tel", texts(&[Some("5"), Some("true")])),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("x", Arc::new(Float64Array::from(vec![1.5, 2.0]))),
        ("age", Arc::new(Int64Array::from(vec![30, 40]))),
        ("price", Arc::new(Int64Array::from(vec![1, 2]))),
    ]);
    database.query_blocking("CREATE RULE t ON events AS HASH tel").expect("a rule");
    let Cleaned { batch, outcome } = apply(&database, sent);
    let (phone, tel, ok) = (column(&batch, "phone"), column(&batch, "tel"), column(&batch, "ok"));
    assert_eq!((&phone[0], &ok[0]), (&tel[0], &tel[1]), "equal texts, equal hashes");
    assert!(phone[1].is_none() && phone[0].as_ref().is_some_and(|hash| hash.len() == 64));
    assert_eq!(column(&batch, "age"), [Some("30".to_string()), None]);
    assert_eq!(outcome.counts.len(), 3);
}

#[test]
fn a_condition_that_cannot_be_computed_rejects_its_events_alone() {
    let database = database("CREATE RULE r ON events AS MASK secret WHERE CAST(age AS BIGINT) / zero > 0");
    let sent = batch(vec![
        ("age", texts(&[Some("10"), Some("old"), None, Some("20")])),
        ("zero", Arc::new(Int64Array::from(vec![1, 1, 1, 0]))),
        ("secret", texts(&[Some("s"), Some("s"), Some("s"), Some("s")])),
    ]);
    let Cleaned { batch, outcome } = apply(&database, sent);
    assert_eq!(column(&batch, "secret"), [Some("***".to_string()), Some("s".into())]);
    let reasons: Vec<_> = outcome.rejected.iter().map(|rejected| (rejected.row, rejected.reason.as_str())).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].0 == 1 && reasons[0].1.contains("rule 'r'") && reasons[0].1.contains("old"), "{reasons:?}");
    assert!(reasons[1].0 == 3 && reasons[1].1.contains("zero"), "{reasons:?}");
}

#[test]
fn the_moment_of_a_condition_is_that_of_the_batch() {
    let database = database("CREATE RULE r ON events AS REJECT WHERE ts > now() + INTERVAL '1' DAY OR nobody = 1");
    let mut sent = batch(vec![("plan", texts(&[Some("a"), Some("b")]))]);
    sent.ts = Int64Array::from(vec![0, 250_000_000_000_000_000]);
    let Cleaned { batch, outcome } = apply(&database, sent);
    assert_eq!((batch.len(), outcome.rejected[0].row), (1, 1));
    assert_eq!(outcome.rejected[0].reason, "rejected by rule 'r'");
}

#[test]
fn an_event_of_which_nothing_is_left_brings_no_column() {
    let database = database("CREATE RULE b ON events AS DROP BOTS");
    let agents = texts(&[Some("Googlebot/2.1"), None, Some("")]);
    let sent = batch(vec![("$user_agent", agents), ("bots_only", texts(&[Some("x"), None, None]))]);
    let Cleaned { batch, outcome } = apply(&database, sent.clone());
    assert_eq!((batch.len(), outcome.dropped), (2, 1));
    assert_eq!(batch.properties.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["$user_agent"]);
    let rules = database.rules("events").expect("a table");
    let all = rules.apply(sent, Some("curl/8.0")).expect("applied");
    assert_eq!((all.batch.len(), all.batch.properties.len(), all.outcome.dropped), (0, 0, 3));
}

#[test]
fn profiles_are_changed_by_the_names_of_columns() {
    let database = database(
        "CREATE RULE a ON events AS RENAME mail TO email; CREATE RULE b ON events AS MASK email, age;
         CREATE RULE c ON events AS MASK plan WHERE event = 'view'; CREATE RULE d ON events AS MAP plan ('a' TO 'b');
         CREATE RULE e ON events AS HASH user_id; CREATE RULE f ON events AS REJECT",
    );
    let column = |name: &str, values: ArrayRef, sets: Option<Vec<bool>>| ProfileColumn {
        name: name.into(),
        values,
        sets: sets.map(BooleanArray::from),
    };
    let updates = ProfileBatch {
        user_id: StringArray::from(vec!["ann", "bob", "cid"]),
        ts: Int64Array::from(vec![1, 2, 3]),
        event_id: None,
        columns: vec![
            column("mail", texts(&[Some("ann@example.org"), None, None]), Some(vec![true, true, false])),
            column("email", texts(&[Some("x"), Some("y"), Some("cid@example.org")]), None),
            column("age", Arc::new(Int64Array::from(vec![1, 2, 3])), None),
            column("plan", texts(&[Some("a"), Some("c"), None]), None),
        ],
    };
    let rules = database.rules("events").expect("a table");
    let CleanedProfiles { batch, counts } = rules.apply_profiles(updates).expect("applied");
    let names: Vec<&str> = batch.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["email", "age", "plan"]);
    // What unsets a column still does.
    assert_eq!(
        batch.columns[0].values.as_string::<i32>(),
        &StringArray::from(vec![Some("******rg"), None, Some("******rg")])
    );
    assert_eq!(batch.columns[1].values.null_count(), 3);
    assert_eq!(batch.columns[2].values.as_string::<i32>(), &StringArray::from(vec![Some("b"), Some("c"), None]));
    assert_eq!(batch.user_id.value(0), rules.user("ann").expect("a hash"));
    assert_eq!(batch.user_id.value(0).len(), 64);
    let counted: Vec<_> = counts.iter().map(|count| (count.rule.as_str(), count.events)).collect();
    assert_eq!(counted, [("a", 2), ("b", 3), ("d", 1), ("e", 3)]);
    assert_eq!(rules.profile_column("Mail").expect("a name"), "email");
    database.upsert("events", batch).expect("stored");
}

#[test]
fn mistakes_are_refused_at_their_place() {
    let database = database("CREATE RULE r ON events AS DROP BOTS");
    for (sql, kind, says) in [
        ("CREATE RULE r ON events AS DROP BOTS", ErrorKind::AlreadyExists, "OR REPLACE"),
        ("CREATE RULE x ON nothing AS DROP BOTS", ErrorKind::NotFound, "nothing"),
        ("CREATE RULE \"a/b\" ON events AS DROP BOTS", ErrorKind::InvalidInput, "slash"),
        ("CREATE RULE x ON events AS MASK user_id", ErrorKind::InvalidInput, "HASH user_id"),
        ("CREATE RULE x ON events AS HASH TS", ErrorKind::InvalidInput, "'ts' cannot be hashed"),
        ("CREATE RULE x ON events AS RENAME a TO updated_at", ErrorKind::InvalidInput, "updated_at"),
        ("CREATE RULE x ON events AS HASH user_id WHERE plan = 'a'", ErrorKind::InvalidInput, "same in all"),
        ("CREATE RULE x ON events AS REJECT WHERE plan", ErrorKind::InvalidInput, "true or false"),
        ("CREATE RULE x ON events AS REJECT WHERE count(*) > 1", ErrorKind::Unsupported, "more than one event"),
        ("CREATE RULE x ON events AS REJECT WHERE a IN (SELECT 1)", ErrorKind::Unsupported, "subquery"),
        ("CREATE RULE x ON events AS REJECT WHERE events.plan = 'a'", ErrorKind::InvalidInput, "without their table"),
        ("CREATE RULE x ON events AS REJECT WHERE plan = $1", ErrorKind::InvalidInput, "no parameters"),
        ("DROP RULE q ON events", ErrorKind::NotFound, "no rule 'q'"),
    ] {
        let error = error(&database, sql);
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(says) && error.span().is_some(), "{sql}: {error}");
    }
    let error = error(&database, "CREATE RULE x ON events AS REJECT WHERE no_function(plan) = 'a'");
    assert!(error.to_string().contains("no_function"), "{error}");
    assert_eq!(database.engine().settings().len(), 1, "what is refused leaves nothing, no key either");
    let answer = database.query_blocking("CREATE RULE x ON events AS MASK plna").expect("a rule");
    assert!(answer.warnings[0].message.contains("did you mean 'plan'"), "{:?}", answer.warnings);
}

#[test]
fn rules_stay_and_go_with_their_table() {
    let place = tempfile::tempdir().expect("a directory");
    let hash = |database: &Database| database.rules("t").expect("a table").user("ann").expect("a hash");
    let shown = |database: &Database| database.query_blocking("SHOW RULES").expect("rules").to_string();
    let database = Database::open(place.path()).expect("it opens");
    let script = "CREATE TABLE t; CREATE RULE b ON t AS HASH user_id; CREATE RULE a ON t AS DROP BOTS WHERE n > 1;
         CREATE OR REPLACE RULE b ON t AS HASH user_id, phone; CREATE RULE c ON t AS REJECT; DROP RULE c ON t;
         DROP RULE IF EXISTS c ON t";
    database.query_blocking(script).expect("rules");
    let before = (hash(&database), shown(&database));
    assert!(before.1.find("HASH user_id, phone") < before.1.find("DROP BOTS WHERE n > 1"), "{}", before.1);
    drop(database);
    let database = Database::open(place.path()).expect("it opens");
    assert_eq!((hash(&database), shown(&database)), before);
    // A table that was dropped by other means than SQL.
    database.engine().drop_table("t").expect("dropped");
    database.query_blocking("CREATE TABLE t").expect("a table");
    assert!(database.rules("t").expect("a table").is_empty());
    drop(database);
    let database = Database::open(place.path()).expect("it opens");
    assert!(database.rules("t").expect("a table").is_empty());
    let rules =
        |database: &Database| database.engine().settings().keys().filter(|key| key.starts_with("rule/")).count();
    assert_eq!(rules(&database), 0);
    database.query_blocking("CREATE RULE b ON t AS HASH user_id").expect("a rule");
    assert_eq!(hash(&database), before.0, "the key stays");
    database.query_blocking("DROP TABLE t").expect("dropped");
    assert_eq!(rules(&database), 0);
}

#[test]
fn nothing_passes_a_rule_that_cannot_be_read() {
    let database = database("CREATE RULE m ON events AS MASK plan");
    let engine = database.engine();
    let text = engine.settings()["rule/events/m"].replace("MASK plan", "ENCRYPT plan");
    engine.set_setting("rule/events/m", Some(&text)).expect("kept");
    let book = RuleBook::open(&database.shared().catalog.engine);
    let set = book.of(&engine.table("events").expect("a table"));
    let error = set.apply(batch(vec![("plan", texts(&[Some("a")]))]), None).expect_err("unreadable");
    assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    assert!(error.to_string().contains("rule 'm'") && error.hint().is_some(), "{error}");
}

#[test]
fn odd_batches_are_refused_and_odd_types_understood() {
    let database = database("CREATE RULE m ON events AS MAP plan ('1' TO 'one')");
    let mut wrong = batch(vec![("plan", texts(&[Some("a"), None]))]);
    wrong.ts = Int64Array::from(vec![1]);
    let error = database.rules("events").expect("a table").apply(wrong, None).expect_err("lengths differ");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let narrow = datafusion::arrow::compute::cast(&Int64Array::from(vec![Some(1), Some(2), None]), &DataType::UInt8);
    let Cleaned { batch: cleaned, .. } = apply(&database, batch(vec![("plan", narrow.expect("numbers"))]));
    assert_eq!(column(&cleaned, "plan"), [Some("one".to_string()), Some("2".into()), None]);
    assert!(apply(&database, batch(vec![("plan", texts(&[]))])).batch.is_empty());
}
