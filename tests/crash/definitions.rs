//! Definitions (views) under power cuts and damage: each change is there as a whole or not at all.

use crate::script::options;
use std::collections::BTreeMap;
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::error::ErrorKind;
use trodden_engine::storage::FaultStore;

type Texts = BTreeMap<String, String>;
type Change = (&'static str, Option<&'static str>);

const CHANGES: [Change; 5] =
    [("a", Some("CREATE VIEW a")), ("b", Some("CREATE VIEW b")), ("a", Some("another a")), ("b", None), ("c", None)];

fn open(store: &FaultStore) -> trodden_engine::error::Result<Engine> {
    Engine::open_store(Arc::new(store.clone()), options())
}

/// The definitions after each change, from none on.
fn expected() -> Vec<Texts> {
    let mut states = vec![Texts::new()];
    for (name, text) in CHANGES {
        let mut next = states[states.len() - 1].clone();
        match text {
            Some(text) => drop(next.insert(name.into(), text.into())),
            None => drop(next.remove(name)),
        }
        states.push(next);
    }
    states
}

#[test]
fn a_change_survives_a_power_cut_or_never_was() {
    let (store, states) = (FaultStore::new(), expected());
    let engine = open(&store).unwrap();
    for (done, (name, text)) in CHANGES.into_iter().enumerate() {
        store.record_history();
        engine.define(name, text).unwrap();
        for moment in store.take_history() {
            for image in [moment.durable, moment.written] {
                let found = open(&FaultStore::from_image(image)).unwrap().definitions();
                assert!(states[done..done + 2].contains(&found), "after {done} changes: {found:?}");
            }
        }
        let acknowledged = FaultStore::from_image(store.durable_image());
        let reopened = open(&acknowledged).unwrap();
        assert_eq!(reopened.definitions(), states[done + 1]);
        assert_eq!(reopened.check(), []);
        let files = acknowledged.written_image().keys().filter(|name| name.starts_with("definitions-")).count();
        assert_eq!(files, 1, "older ones are removed");
    }
}

#[test]
fn damage_is_an_error_or_harmless() {
    let store = FaultStore::new();
    let engine = open(&store).unwrap();
    for (name, text) in CHANGES {
        engine.define(name, text).unwrap();
    }
    let (image, right) = (store.written_image(), engine.definitions());
    let name = image.keys().find(|name| name.starts_with("definitions-")).unwrap();
    let damaged = |bytes: Vec<u8>, what: String| {
        let mut image = image.clone();
        image.insert(name.clone(), Arc::new(bytes));
        match open(&FaultStore::from_image(image)) {
            Ok(engine) => assert_eq!(engine.definitions(), right, "{what}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
        }
    };
    let bytes = image[name].to_vec();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        damaged(flipped, format!("byte {at} flipped"));
        damaged(bytes[..at].to_vec(), format!("cut at {at}"));
    }
}

#[test]
fn after_a_failed_write_no_more_are_taken_until_the_next_opening() {
    let store = FaultStore::new();
    let engine = open(&store).unwrap();
    engine.define("a", Some("1")).unwrap();
    store.fail_sync(store.syncs() + 1);
    assert!(engine.define("b", Some("2")).is_err());
    assert_eq!(engine.define("c", Some("3")).unwrap_err().kind(), ErrorKind::Poisoned);
    drop(engine);
    let found = open(&FaultStore::from_image(store.durable_image())).unwrap().definitions();
    assert_eq!(found.get("a").map(String::as_str), Some("1"));
    assert!(!found.contains_key("c"));
}
