//! What is in a copy, what harms it, and what the copying harms: nothing.

mod faults;
mod moment;
mod seen;

use super::{Backup, Receiver};
use crate::error::ErrorKind;
use crate::producers::Mark;
use crate::profiles::{ProfileBatch, ProfileColumn};
use crate::stop::NEVER;
use crate::storage::{FaultStore, LocalStore, Store};
use crate::table::{Produced, Table};
use crate::tags::{Over, TagChange, TagInfo, TagMembers};
use crate::types::{Schema, TableOptions};
use crate::{Engine, EngineOptions, EventBatch};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use roaring::RoaringBitmap;
use seen::{Seen, see};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

fn options() -> EngineOptions {
    EngineOptions { memtable_rows: 50, threads: 1, ..EngineOptions::default() }
}

fn open(store: &FaultStore) -> Engine {
    Engine::open_store(Arc::new(store.clone()), options()).unwrap()
}

fn create(engine: &Engine, name: &str) -> Arc<Table> {
    let options = TableOptions { shards: 2, ..TableOptions::default() };
    engine.create_table(name, Schema::default(), options).unwrap()
}

/// Events of these users, one each, with an id and a property.
fn events(users: Range<usize>) -> EventBatch {
    let texts = |prefix: &str| StringArray::from_iter_values(users.clone().map(|n| format!("{prefix} {n}")));
    let colour: ArrayRef = Arc::new(texts("colour"));
    EventBatch {
        user_id: texts("user"),
        ts: Int64Array::from_iter_values(users.clone().map(|n| n as i64)),
        event: StringArray::from_iter_values(users.clone().map(|_| "view")),
        event_id: Some(texts("id")),
        properties: vec![("colour".into(), colour)],
    }
}

fn profiles(users: &[&str], plan: &str) -> ProfileBatch {
    let plans: ArrayRef = Arc::new(StringArray::from(vec![plan; users.len()]));
    ProfileBatch {
        user_id: StringArray::from(users.to_vec()),
        ts: Int64Array::from(vec![5; users.len()]),
        event_id: None,
        columns: vec![ProfileColumn { name: "plan".into(), values: plans, sets: None }],
    }
}

/// Set a tag to everybody who is there now.
fn tag_everybody(table: &Table, name: &str) {
    let snapshot = table.snapshot();
    let members: Vec<RoaringBitmap> = snapshot.shards.iter().map(|shard| (0..shard.next_ordinal).collect()).collect();
    let info = TagInfo {
        name: name.into(),
        definition: "SELECT".into(),
        basis: String::new(),
        every_us: None,
        refreshed_at_us: 7,
        position: 0,
        arrivals: Vec::new(),
        hidden_before_us: 0,
        cost_ms: 3,
        incremental: false,
    };
    let (info, members) = (info.as_of(&snapshot), TagMembers::Plain(members.into()));
    table.change_tags(vec![TagChange::Set { info, members, over: Over::Anything }]).unwrap();
}

fn mark(sequence: u64) -> Mark {
    Mark { producer: "app".into(), sequence, previous: sequence - 1 }
}

/// Everything that a database can have, in segments and in memory.
fn fill(engine: &Engine) {
    let (shop, blog) = (create(engine, "shop"), create(engine, "blog"));
    shop.append(events(0..40)).unwrap();
    engine.profiles(&shop).unwrap();
    shop.upsert(profiles(&["user 1", "user 2", "user 3"], "free")).unwrap();
    tag_everybody(&shop, "all");
    engine.flush().unwrap();
    shop.alias("user 7", "user 8").unwrap();
    shop.delete_user("user 3").unwrap();
    shop.append_from(&events(100..103), &mark(1)).unwrap();
    shop.upsert(profiles(&["user 1", "somebody"], "pro")).unwrap();
    // In memory alone, and in a tag: the flush of the backup forgets the deletion.
    tag_everybody(&shop, "later");
    shop.delete_user("user 101").unwrap();
    blog.append(events(0..5)).unwrap();
    engine.define("v", Some("CREATE VIEW")).unwrap();
    engine.set_setting("key", Some("hash")).unwrap();
}

/// Copy `backup` into memory, and open the copy.
fn copy(backup: &Backup) -> (FaultStore, Engine) {
    let target = FaultStore::new();
    let mut told = 0;
    let copied = backup.copy_to(&target, NEVER, &mut |bytes| told += bytes).unwrap();
    assert_eq!((copied.files, copied.bytes), (backup.files().len() as u64, backup.bytes()));
    assert_eq!(told, backup.bytes());
    assert_eq!(target.durable_image(), target.written_image());
    let engine = open(&target);
    assert_eq!(engine.check(), []);
    (target, engine)
}

#[test]
fn a_copy_has_everything_that_the_database_had() {
    let engine = open(&FaultStore::new());
    fill(&engine);
    let before = see(&engine);
    let backup = engine.backup(NEVER).unwrap();
    assert_eq!(backup.tables(), 2);
    assert_eq!(backup.files().last().unwrap().name(), "FORMAT");
    let (_, copied) = copy(&backup);
    assert_eq!(see(&copied), before);
    assert_eq!(see(&engine), before);
    assert_eq!(engine.check(), []);
    // Both go on, each for itself; what was sent before the moment is known.
    for engine in [&engine, &copied] {
        let shop = engine.table("shop").unwrap();
        assert_eq!(shop.append_from(&events(100..103), &mark(1)).unwrap(), Produced::Repeated);
        assert!(matches!(shop.append_from(&events(110..113), &mark(2)).unwrap(), Produced::Stored(_)));
        assert_eq!(shop.append(events(0..3)).unwrap().duplicates, 3);
        shop.compact(true).unwrap();
        assert_eq!(engine.check(), []);
    }
    assert_eq!(see(&copied), see(&engine));
}

#[test]
fn a_directory_is_copied_to_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("a/b/to"));
    let engine = Engine::open(&from, options()).unwrap();
    fill(&engine);
    let before = see(&engine);
    let target = LocalStore::create(&to).unwrap();
    engine.backup(NEVER).unwrap().copy_to(&target, NEVER, &mut |_| ()).unwrap();
    let again = engine.backup(NEVER).unwrap().copy_to(&target, NEVER, &mut |_| ()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
    drop(engine);
    let copied = open_existing(&to).unwrap();
    assert_eq!(see(&copied), before);
    assert_eq!(copied.check(), []);
    // A copy of a copy: what was opened has a catalog by now, which is not part of it.
    let backup = copied.backup(NEVER).unwrap();
    assert!(!backup.files().iter().any(|file| file.name().contains("catalog")));
    assert_eq!(see(&copy(&backup).1), before);
}

fn open_existing(path: &Path) -> crate::error::Result<Engine> {
    Engine::open(path, EngineOptions { create_if_missing: false, ..options() })
}

#[test]
fn an_empty_database_is_copied() {
    let engine = open(&FaultStore::new());
    let backup = engine.backup(NEVER).unwrap();
    assert_eq!((backup.tables(), backup.files().len()), (0, 1));
    assert_eq!(see(&copy(&backup).1), Seen::default());
}

#[test]
fn what_becomes_of_the_database_later_does_not_harm_the_copy() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    fill(&engine);
    let before = see(&engine);
    let backup = engine.backup(NEVER).unwrap();
    let shop = engine.table("shop").unwrap();
    shop.delete_user("user 1").unwrap();
    shop.append(events(200..260)).unwrap();
    tag_everybody(&shop, "all");
    shop.compact(true).unwrap();
    engine.drop_table("blog").unwrap();
    drop(shop);
    engine.drop_table("shop").unwrap();
    engine.define("v", None).unwrap();
    drop(engine);
    drop(dir);
    assert_eq!(see(&copy(&backup).1), before);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it looks at the directory beside the store")]
fn a_target_with_anything_in_it_is_refused_and_stays_as_it_is() {
    let engine = open(&FaultStore::new());
    fill(&engine);
    let backup = engine.backup(NEVER).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("letters")).unwrap();
    std::fs::write(dir.path().join("letters/a"), "dear").unwrap();
    let refused = backup.copy_to(&LocalStore::open(dir.path()).unwrap(), NEVER, &mut |_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert!(refused.message().contains("letters/a") && refused.hint().is_some(), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "not even a lock is left");
    // A file LOCK alone is nothing, unless somebody holds it.
    let target = FaultStore::new();
    let lock = target.lock().unwrap();
    assert_eq!(backup.copy_to(&target, NEVER, &mut |_| ()).unwrap_err().kind(), ErrorKind::Locked);
    drop(lock);
    copy(&backup);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it looks at the directory beside the store")]
fn who_lies_about_files_writes_none_outside_and_makes_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let target = LocalStore::create(&dir.path().join("to")).unwrap();
    let mut receiver = Receiver::begin(&target).unwrap();
    let format = open(&FaultStore::new()).store().get("FORMAT").unwrap();
    let invalid = |result: crate::error::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    invalid(receiver.write(b"x"));
    invalid(receiver.begin_file("../outside", 1));
    invalid(receiver.begin_file("LOCK", 0));
    invalid(receiver.begin_file("FORMAT", 1 << 40));
    receiver.begin_file("tables/1/segment-0000000001", 3).unwrap();
    receiver.write(b"ab").unwrap();
    invalid(receiver.write(b"cd"));
    invalid(receiver.begin_file("tables/1/segment-0000000002", 3));
    drop(receiver);
    assert_eq!(target.list("").unwrap(), ["LOCK"]);

    // The file that makes a database comes first, and is written last.
    let mut receiver = Receiver::begin(&target).unwrap();
    receiver.begin_file("FORMAT", format.len() as u64).unwrap();
    receiver.write(format.as_slice()).unwrap();
    receiver.begin_file("definitions-00000000000000000001", 1).unwrap();
    receiver.write(b"x").unwrap();
    invalid(receiver.begin_file("definitions-00000000000000000001", 1));
    assert_eq!(target.list("").unwrap(), ["LOCK", "definitions-00000000000000000001"]);
    drop(receiver);
    let opened = open_existing(&dir.path().join("to")).unwrap_err();
    assert!(opened.message().contains("FORMAT"), "{opened}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
