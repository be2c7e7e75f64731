//! Tags against plain sets of ids, under power cuts at every sync, failing writes, and damage.

use crate::script::options;
use arrow_array::{Int64Array, StringArray};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trodden_engine::error::{ErrorKind, Result};
use trodden_engine::members::Members;
use trodden_engine::storage::FaultStore;
use trodden_engine::table::{Snapshot, Table};
use trodden_engine::tags::{Over, TagChange, TagInfo, TagMembers};
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, EventBatch};

/// By tag, then by value (a plain tag: the empty text), the ids of users.
type Plain = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

#[derive(Debug, Clone)]
enum Step {
    /// An event of each of these users.
    Append(Vec<u8>),
    /// Users without events.
    Introduce(Vec<u8>),
    Delete(u8),
    /// A tag of those of these users who are there, without values or by value.
    Set(u8, Vec<u8>, bool),
    Drop(u8),
    /// Two tags at once.
    SetTwo(Vec<u8>),
    Flush,
    Compact,
}

/// A script in which everything happens to tags: `seed` chooses who and when.
fn script(steps: usize, seed: u64) -> Vec<Step> {
    let mut state = seed;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut step = || {
        let kind = next(16);
        let mut users = || (0..1 + next(5)).map(|_| next(12) as u8).collect::<Vec<u8>>();
        match kind {
            0..=3 => Step::Append(users()),
            4 => Step::Introduce(users()),
            5..=6 => Step::Delete(users()[0]),
            7..=10 => Step::Set(users()[0] % 3, users(), kind % 2 == 0),
            11 => Step::Drop(users()[0] % 3),
            12 => Step::SetTwo(users()),
            13..=14 => Step::Flush,
            _ => Step::Compact,
        }
    };
    (0..steps).map(|_| step()).collect()
}

fn user(number: u8) -> String {
    format!("user {number}")
}

fn open(store: &FaultStore) -> Result<(Engine, Arc<Table>)> {
    let engine = Engine::open_store(Arc::new(store.clone()), options())?;
    let table = match engine.table("t") {
        Ok(table) => table,
        Err(_) => engine.create_table("t", Schema::default(), TableOptions { shards: 2, ..TableOptions::default() })?,
    };
    Ok((engine, table))
}

fn info(name: &str, snapshot: &Snapshot) -> TagInfo {
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
    info.as_of(snapshot)
}

fn members_of(snapshot: &Snapshot, users: &BTreeSet<String>) -> Members {
    let mut shards = vec![RoaringBitmap::new(); snapshot.shards.len()];
    for id in users {
        if let Some((shard, ordinal)) = snapshot.ordinal_of(id).unwrap() {
            shards[usize::from(shard)].insert(ordinal);
        }
    }
    shards.into()
}

fn change(snapshot: &Snapshot, tag: &str, values: &BTreeMap<String, BTreeSet<String>>) -> TagChange {
    let members = match values.get("") {
        Some(users) => TagMembers::Plain(members_of(snapshot, users)),
        None => TagMembers::ByValue(
            values.iter().map(|(value, users)| (value.clone(), members_of(snapshot, users))).collect(),
        ),
    };
    TagChange::Set { info: info(tag, snapshot), members, over: Over::Anything }
}

/// The users of the model, and the tags.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    users: BTreeSet<String>,
    tags: Plain,
}

impl Model {
    fn values(&self, users: &[u8], by_value: bool) -> BTreeMap<String, BTreeSet<String>> {
        let mut values = BTreeMap::new();
        for number in users {
            let value = if by_value { format!("v{}", number % 2) } else { String::new() };
            let of_value: &mut BTreeSet<String> = values.entry(value).or_default();
            of_value.extend(Some(user(*number)).filter(|id| self.users.contains(id)));
        }
        values
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Append(users) | Step::Introduce(users) => self.users.extend(users.iter().map(|n| user(*n))),
            Step::Delete(number) => {
                self.users.remove(&user(*number));
                let sets = self.tags.values_mut().flat_map(BTreeMap::values_mut);
                sets.for_each(|users| {
                    users.remove(&user(*number));
                });
            }
            Step::Set(tag, users, by_value) => {
                self.tags.insert(format!("tag {tag}"), self.values(users, *by_value));
            }
            Step::Drop(tag) => drop(self.tags.remove(&format!("tag {tag}"))),
            Step::SetTwo(users) => {
                self.tags.insert("one".into(), self.values(users, false));
                self.tags.insert("two".into(), self.values(users, true));
            }
            Step::Flush | Step::Compact => {}
        }
    }

    /// Without values that nobody has: they may be there or not.
    fn settled(&self) -> Plain {
        let kept = |(tag, values): (&String, &BTreeMap<String, BTreeSet<String>>)| {
            let some = |(value, users): &(&String, &BTreeSet<String>)| !users.is_empty() || value.is_empty();
            (tag.clone(), values.iter().filter(some).map(|(v, u)| (v.clone(), u.clone())).collect())
        };
        self.tags.iter().map(kept).collect()
    }
}

fn play(table: &Table, model: &Model, step: &Step) -> Result<()> {
    let snapshot = table.snapshot();
    match step {
        Step::Append(users) => {
            let events = EventBatch {
                user_id: StringArray::from_iter_values(users.iter().map(|number| user(*number))),
                ts: Int64Array::from(vec![0; users.len()]),
                event: StringArray::from_iter_values(users.iter().map(|_| "e")),
                event_id: None,
                properties: Vec::new(),
            };
            table.append(events).map(drop)
        }
        Step::Introduce(users) => {
            let ids: Vec<String> = users.iter().map(|number| user(*number)).collect();
            table.introduce(&ids.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
        }
        Step::Delete(number) => table.delete_user(&user(*number)).map(drop),
        Step::Set(tag, users, by_value) => {
            table.change_tags(vec![change(&snapshot, &format!("tag {tag}"), &model.values(users, *by_value))]).map(drop)
        }
        Step::Drop(tag) => table.change_tags(vec![TagChange::Drop(format!("tag {tag}"))]).map(drop),
        Step::SetTwo(users) => {
            let two = [("one", false), ("two", true)].map(|(tag, by_value)| (tag, model.values(users, by_value)));
            table.change_tags(two.iter().map(|(tag, values)| change(&snapshot, tag, values)).collect()).map(drop)
        }
        Step::Flush => table.flush(),
        Step::Compact => table.compact(true),
    }
}

fn ids(snapshot: &Snapshot, members: &Members) -> BTreeSet<String> {
    let of_shard = |shard: usize| {
        let ordinals: Vec<u32> = members.of_shard(shard).iter().collect();
        ordinals.into_iter().map(move |ordinal| snapshot.shards[shard].user_id(ordinal).unwrap().expect("an id"))
    };
    (0..snapshot.shards.len()).flat_map(of_shard).collect()
}

/// What a snapshot says of its tags.
fn found(snapshot: &Snapshot) -> Plain {
    let mut found = Plain::new();
    for tag in snapshot.tags().iter() {
        let all = ids(snapshot, &tag.users(None).unwrap());
        assert_eq!(tag.len().unwrap(), all.len() as u64);
        let values = match tag.by_value() {
            false => BTreeMap::from([(String::new(), all)]),
            true => {
                let of_value = |value: &str| (value.to_string(), ids(snapshot, &tag.users(Some(value)).unwrap()));
                let values: BTreeMap<_, _> =
                    tag.values().map(of_value).filter(|(_, users)| !users.is_empty()).collect();
                assert_eq!(values.values().flatten().cloned().collect::<BTreeSet<_>>(), all);
                values
            }
        };
        assert!(ids(snapshot, &tag.users(Some("no such value")).unwrap()).is_empty());
        found.insert(tag.info().name.clone(), values);
    }
    found
}

#[test]
fn tags_are_what_plain_sets_are_and_survive_every_power_cut() {
    for seed in 0..4 {
        let steps = script(60, seed);
        let store = FaultStore::new();
        let (engine, table) = open(&store).unwrap();
        let mut model = Model::default();
        for (at, step) in steps.iter().enumerate() {
            let mut after = model.clone();
            after.play(step);
            let pinned = table.snapshot();
            store.record_history();
            play(&table, &model, step).unwrap();
            assert_eq!(found(&table.snapshot()), after.settled(), "seed {seed}, step {at}, {step:?}");
            assert_eq!(found(&pinned), model.settled(), "an older snapshot, seed {seed}, step {at}, {step:?}");
            let moments = store.take_history().into_iter().flat_map(|moment| [moment.durable, moment.written]);
            for image in moments.chain([store.durable_image()]) {
                let reopened = FaultStore::from_image(image);
                let (engine, table) = open(&reopened).unwrap_or_else(|error| panic!("seed {seed}, step {at}: {error}"));
                let found = found(&table.snapshot());
                let states = [model.settled(), after.settled()];
                assert!(states.contains(&found), "seed {seed}, step {at}, {step:?}: {found:?}, not {states:?}");
                assert_eq!(engine.check(), [], "seed {seed}, step {at}");
            }
            model = after;
        }
        assert_eq!(engine.check(), []);
        drop((table, engine));
        let (engine, table) = open(&FaultStore::from_image(store.durable_image())).unwrap();
        assert_eq!(found(&table.snapshot()), model.settled());
        let left = store.written_image().into_keys().filter(|name| name.contains("/tag-")).count();
        assert_eq!(left, model.tags.len(), "files of versions that were replaced are removed");
        drop((table, engine));
    }
}

/// A table with a user of each number below `users`, and a tag of all of them.
fn tagged(store: &FaultStore, users: u8) -> (Engine, Arc<Table>, Model) {
    let (engine, table) = open(store).unwrap();
    let mut model = Model::default();
    for step in [Step::Append((0..users).collect()), Step::Set(0, (0..users).collect(), false), Step::Flush] {
        play(&table, &model, &step).unwrap();
        model.play(&step);
    }
    (engine, table, model)
}

#[test]
fn who_was_deleted_while_a_tag_was_computed_is_not_in_it() {
    for compacted in [false, true] {
        let store = FaultStore::new();
        let (engine, table, model) = tagged(&store, 6);
        let before = table.snapshot();
        table.delete_user(&user(2)).unwrap();
        if compacted {
            table.compact(true).unwrap();
        }
        // From the snapshot in which the user still was.
        table.change_tags(vec![change(&before, "late", &model.values(&[1, 2, 3], false))]).unwrap();
        let expected: BTreeSet<String> = [1, 3].map(user).into();
        assert_eq!(found(&table.snapshot())["late"][""], expected);
        drop((before, table, engine));
        let (_engine, table) = open(&store).unwrap();
        table.compact(true).unwrap();
        assert_eq!(found(&table.snapshot())["late"][""], expected);
        assert_eq!(found(&table.snapshot())["tag 0"][""].len(), 5);
    }
}

#[test]
fn a_refresh_of_a_version_that_is_gone_changes_nothing() {
    let store = FaultStore::new();
    let (_engine, table, model) = tagged(&store, 3);
    let snapshot = table.snapshot();
    let version = snapshot.tags().get("tag 0").unwrap().version();
    let set = |over| match change(&snapshot, "tag 0", &model.values(&[1], false)) {
        TagChange::Set { info, members, .. } => TagChange::Set { info, members, over },
        drop => drop,
    };
    assert_eq!(table.change_tags(vec![set(Over::Nothing)]).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(table.change_tags(vec![set(Over::Version(version))]).unwrap(), [true]);
    let writes = store.writes();
    assert_eq!(table.change_tags(vec![set(Over::Version(version))]).unwrap(), [false]);
    assert_eq!(table.change_tags(vec![TagChange::Drop("none".into())]).unwrap(), [false]);
    assert_eq!(store.writes(), writes, "what changes nothing writes nothing");
    assert_eq!(found(&table.snapshot())["tag 0"][""], [user(1)].into());
}

#[test]
fn after_a_failed_write_all_is_as_it_was_and_after_a_failed_index_no_change_is_taken() {
    let count = {
        let store = FaultStore::new();
        let (_engine, table, model) = tagged(&store, 3);
        let before = (store.writes(), store.syncs());
        play(&table, &model, &Step::Set(0, vec![1], false)).unwrap();
        (store.writes() - before.0, store.syncs() - before.1)
    };
    let mut poisoned = 0;
    for (failing, of_writes) in (1..=count.0).map(|n| (n, true)).chain((1..=count.1).map(|n| (n, false))) {
        let store = FaultStore::new();
        let (engine, table, model) = tagged(&store, 3);
        match of_writes {
            true => store.fail_write(store.writes() + failing),
            false => store.fail_sync(store.syncs() + failing),
        }
        let step = Step::Set(0, vec![1], false);
        let mut after = model.clone();
        after.play(&step);
        let failed = play(&table, &model, &step);
        if failed.is_err() {
            assert_eq!(found(&table.snapshot()), model.settled());
        }
        match play(&table, &model, &step) {
            Ok(()) => assert_eq!(found(&table.snapshot()), after.settled()),
            Err(error) => {
                poisoned += 1;
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
            }
        }
        drop((table, engine));
        let (engine, table) = open(&FaultStore::from_image(store.durable_image())).unwrap();
        assert!([model.settled(), after.settled()].contains(&found(&table.snapshot())));
        assert_eq!(engine.check(), []);
    }
    assert!(poisoned > 0);
}

#[test]
fn damage_is_told_at_its_file_and_dropping_the_table_leaves_nothing() {
    let store = FaultStore::new();
    let (engine, table, _) = tagged(&store, 6);
    drop((table, engine));
    let image = store.durable_image();
    let files = || image.keys().filter(|name| name.contains("/tag"));
    assert_eq!(files().count(), 2, "a tag and the index");
    for name in files() {
        for at in 0..image[name].len() {
            let mut bytes = image[name].to_vec();
            bytes[at] ^= 1 << (at % 8);
            let mut damaged = image.clone();
            damaged.insert(name.clone(), Arc::new(bytes));
            let examined = Engine::examine_store(Arc::new(FaultStore::from_image(damaged.clone()))).unwrap();
            assert!(!examined.findings.is_empty(), "{name}, byte {at}");
            match Engine::open_store(Arc::new(FaultStore::from_image(damaged)), options()) {
                Ok(engine) => assert_ne!(engine.check(), [], "{name}, byte {at}"),
                Err(error) => {
                    let kinds = [ErrorKind::Corrupt, ErrorKind::UnsupportedFormat];
                    assert!(kinds.contains(&error.kind()) && !examined.opens, "{name}, byte {at}: {error}");
                }
            }
        }
    }
    let store = FaultStore::from_image(image);
    let (engine, table) = open(&store).unwrap();
    drop(table);
    engine.drop_table("t").unwrap();
    assert!(!store.written_image().keys().any(|name| name.contains("/tag")));
}
