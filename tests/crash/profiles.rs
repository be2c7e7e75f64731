//! Profiles across power cuts and crashes: each update is there as a whole or not at all, a deletion takes the profile
//! before the events, and a dropped table leaves no profiles.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trodden_engine::error::Result;
use trodden_engine::profiles::{ProfileBatch, ProfileColumn, ProfileScan};
use trodden_engine::storage::FaultStore;
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, EngineOptions, EventBatch, Table};

#[derive(Debug, Clone)]
enum Step {
    Event(&'static str),
    Upsert(&'static [(&'static str, i64, Option<&'static str>)]),
    Delete(&'static str),
    Flush,
    Compact,
    Drop,
}

/// Users with events; profiles: when updated, and the plan.
type State = Option<(BTreeSet<String>, BTreeMap<String, (i64, Option<String>)>)>;

const SCRIPT: [Step; 14] = [
    Step::Event("ann"),
    Step::Upsert(&[("ann", 5, Some("free")), ("bob", 5, Some("pro"))]),
    Step::Upsert(&[("ann", 4, Some("late")), ("cid", 6, None)]),
    Step::Event("bob"),
    Step::Flush,
    Step::Upsert(&[("ann", 7, Some("pro")), ("bob", 7, None)]),
    Step::Flush,
    Step::Delete("ann"),
    Step::Compact,
    Step::Upsert(&[("ann", 1, Some("back"))]),
    Step::Delete("cid"),
    Step::Event("ann"),
    Step::Delete("ann"),
    Step::Drop,
];

fn options() -> EngineOptions {
    EngineOptions { threads: 1, ..EngineOptions::default() }
}

fn open(store: FaultStore) -> Engine {
    Engine::open_store(Arc::new(store), options()).unwrap()
}

fn create(store: &FaultStore) -> Engine {
    let engine = open(store.clone());
    let table_options = TableOptions { shards: 2, ..TableOptions::default() };
    engine.create_table("t", Schema::default(), table_options).unwrap();
    engine
}

fn updates(rows: &[(&str, i64, Option<&str>)]) -> ProfileBatch {
    let plans: StringArray = rows.iter().map(|(_, _, plan)| *plan).collect();
    ProfileBatch {
        user_id: rows.iter().map(|(user, ..)| Some(*user)).collect(),
        ts: rows.iter().map(|(_, ts, _)| *ts).collect::<Vec<_>>().into(),
        event_id: None,
        columns: vec![ProfileColumn { name: "plan".into(), values: Arc::new(plans) as ArrayRef, sets: None }],
    }
}

fn run(engine: &Engine, step: &Step) -> Result<()> {
    let table = engine.table("t")?;
    match step {
        Step::Event(user) => table
            .append(EventBatch {
                user_id: StringArray::from(vec![*user]),
                ts: Int64Array::from(vec![1]),
                event: StringArray::from(vec!["e"]),
                event_id: None,
                properties: Vec::new(),
            })
            .map(drop),
        Step::Upsert(rows) => {
            engine.profiles(&table)?;
            table.upsert(updates(rows)).map(drop)
        }
        Step::Delete(user) => table.delete_user(user).map(drop),
        Step::Flush => table.flush(),
        Step::Compact => table.compact(true),
        Step::Drop => {
            drop(table);
            engine.drop_table("t")
        }
    }
}

/// What the script leaves after its first steps, from the meaning of each.
fn expected(steps: usize) -> State {
    let (mut events, mut said) = (BTreeSet::new(), Vec::new());
    for step in &SCRIPT[..steps] {
        match step {
            Step::Event(user) => drop(events.insert(user.to_string())),
            Step::Upsert(rows) => said.extend_from_slice(rows),
            Step::Delete(user) => {
                events.remove(*user);
                said.retain(|(of, ..)| of != user);
            }
            Step::Flush | Step::Compact => {}
            Step::Drop => return None,
        }
    }
    said.sort_by_key(|(_, ts, _)| *ts);
    let profiles = said.into_iter().map(|(user, ts, plan)| (user.to_string(), (ts, plan.map(String::from))));
    Some((events, profiles.collect()))
}

/// A deletion whose second half is missing: the profile is gone, the events are there.
fn half_deleted(steps: usize) -> Option<State> {
    let Step::Delete(user) = SCRIPT.get(steps)? else { return None };
    let (events, mut profiles) = expected(steps)?;
    profiles.remove(*user);
    Some(Some((events, profiles)))
}

fn profiles(table: &Table) -> BTreeMap<String, (i64, Option<String>)> {
    let mut found = BTreeMap::new();
    let Some(profiles) = table.profiles().map(|profiles| profiles.snapshot()) else { return found };
    let known = profiles.snapshot.schema.of_profiles();
    let columns = ["user_id", "updated_at"].into_iter().chain(known.columns.iter().map(|column| column.name.as_str()));
    let scan = ProfileScan { columns: columns.map(String::from).collect(), ..ProfileScan::default() };
    let mut each = |batch: RecordBatch| {
        let (users, times) =
            (batch.column(0).as_string_view(), batch.column(1).as_primitive::<TimestampMicrosecondType>());
        for row in 0..batch.num_rows() {
            let plans = batch.columns().get(2).map(|plans| plans.as_string_view());
            let plan = plans.filter(|plans| plans.is_valid(row)).map(|plans| plans.value(row).to_string());
            found.insert(users.value(row).to_string(), (times.value(row), plan));
        }
        Ok(true)
    };
    (0..profiles.shards()).try_for_each(|shard| profiles.read(shard, &scan, &mut each)).unwrap();
    found
}

fn state(engine: &Engine) -> State {
    let table = engine.table("t").ok()?;
    let snapshot = table.snapshot();
    let mut events = BTreeSet::new();
    for shard in &snapshot.shards {
        for live in &shard.segments {
            let users = &*live.segment.users().unwrap() - &*live.hidden;
            events.extend(users.iter().map(|user| shard.user_id(user).unwrap().unwrap()));
        }
    }
    Some((events, profiles(&table)))
}

/// Every user with a profile has an ordinal among the events, so that conditions on profiles find all of them.
fn check_known(engine: &Engine) {
    let Ok(table) = engine.table("t") else { return };
    let snapshot = table.snapshot();
    for user in profiles(&table).keys() {
        assert!(snapshot.ordinal_of(user).unwrap().is_some(), "{user}");
    }
}

fn check(image: BTreeMap<String, Arc<Vec<u8>>>, allowed: &[State], what: &str) {
    let engine = open(FaultStore::from_image(image));
    let found = state(&engine);
    assert!(allowed.contains(&found), "{what}: {found:?}, not one of {allowed:?}");
    check_known(&engine);
    assert_eq!(engine.check(), [], "{what}");
    // A deletion that was cut short is done by asking again.
    if let Ok(table) = engine.table("t") {
        for user in ["ann", "bob", "cid"] {
            table.delete_user(user).unwrap();
        }
        assert_eq!(state(&engine), Some(Default::default()), "{what}");
        assert_eq!(engine.check(), [], "{what}");
    }
}

#[test]
fn a_crash_at_any_moment_leaves_each_step_done_or_not() {
    let store = FaultStore::new();
    let engine = create(&store);
    for (at, step) in SCRIPT.iter().enumerate() {
        store.record_history();
        run(&engine, step).unwrap();
        let mut allowed = vec![expected(at), expected(at + 1)];
        allowed.extend(half_deleted(at));
        for (n, moment) in store.take_history().into_iter().enumerate() {
            check(moment.durable, &allowed, &format!("{step:?}, power cut {n}"));
            check(moment.written, &allowed, &format!("{step:?}, crash {n}"));
        }
        assert_eq!(state(&engine), expected(at + 1), "{step:?}");
        // What was acknowledged survives.
        check(store.durable_image(), &[expected(at + 1)], &format!("after {step:?}"));
    }
}

#[test]
fn a_write_or_sync_that_fails_leaves_each_step_done_or_not() {
    for (at, step) in SCRIPT.iter().enumerate() {
        for n in 1..40 {
            for syncs in [false, true] {
                let store = FaultStore::new();
                let engine = create(&store);
                SCRIPT[..at].iter().for_each(|step| run(&engine, step).unwrap());
                match syncs {
                    true => store.fail_sync(store.syncs() + n),
                    false => store.fail_write(store.writes() + n),
                }
                let done = run(&engine, step);
                drop(engine);
                let mut allowed = vec![expected(at + 1)];
                if done.is_err() {
                    allowed.push(expected(at));
                    allowed.extend(half_deleted(at));
                }
                let what = format!("{step:?}, {} {n} fails", if syncs { "sync" } else { "write" });
                check(store.written_image(), &allowed, &what);
                check(store.durable_image(), &allowed, &what);
            }
        }
    }
}

#[test]
fn profiles_whose_table_is_gone_are_dropped_at_the_next_opening() {
    let store = FaultStore::new();
    let engine = create(&store);
    SCRIPT[..6].iter().for_each(|step| run(&engine, step).unwrap());
    store.record_history();
    run(&engine, &Step::Drop).unwrap();
    let gone = |image: &BTreeMap<String, Arc<Vec<u8>>>| !image.keys().any(|name| name.starts_with("tables/"));
    let mut halves = 0;
    for moment in store.take_history() {
        let kept = FaultStore::from_image(moment.durable);
        let engine = open(kept.clone());
        let is_there = engine.table("t").is_ok();
        drop(engine);
        let left = !gone(&kept.written_image());
        assert_eq!(left, is_there, "a table without its profiles, or profiles without their table");
        halves += usize::from(!is_there);
    }
    assert!(halves > 0);
    drop(engine);
    assert!(gone(&store.written_image()));
}
