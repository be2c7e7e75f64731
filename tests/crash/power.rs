//! A power cut at every sync of a long script.

use crate::model::digest_of;
use crate::script::{Operation, create, expected, operations, options, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::storage::{FaultStore, Moment};

type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// What disks can make of a moment: only what was synced; also that deletions arrived early; also that half of what was
/// not synced arrived; also that all of it did.
fn images(moment: &Moment) -> Vec<(&'static str, Image)> {
    let mut deleted = moment.durable.clone();
    deleted.retain(|name, _| moment.written.contains_key(name));
    let torn = |keep: fn(usize) -> usize, garbage: bool| {
        let mut image = moment.durable.clone();
        for (name, written) in moment.written.iter().filter(|(name, _)| name.contains("/log-")) {
            let durable = moment.durable.get(name).map_or(0, |bytes| bytes.len());
            if moment.durable.contains_key(name) && written.len() > durable {
                let mut bytes = written[..durable + keep(written.len() - durable)].to_vec();
                if garbage {
                    bytes.resize(written.len(), 0);
                }
                image.insert(name.clone(), Arc::new(bytes));
            }
        }
        image
    };
    vec![
        ("only what was synced", moment.durable.clone()),
        ("deletions arrived", deleted),
        ("half of the rest arrived", torn(|length| length / 2, false)),
        ("zeros for half of the rest", torn(|length| length / 2, true)),
        ("all of the rest arrived", torn(|length| length, false)),
    ]
}

/// Reopen `image` and compare it with the model after `done` operations, or after one more that was under way.
fn check(image: Image, done: usize, digests: &[u64], what: &str, operation: Option<&Operation>) {
    let store = FaultStore::from_image(image);
    let mut found = Vec::new();
    for opening in ["first", "second"] {
        let engine = Engine::open_store(Arc::new(store.clone()), options())
            .unwrap_or_else(|error| panic!("{what}, after {done} operations, {opening} opening: {error}"));
        let table = engine.table("t").unwrap();
        found.push(digest_of(&table).unwrap());
        if opening == "second" {
            assert_eq!(engine.check(), [], "{what}, after {done} operations");
        }
    }
    let allowed = &digests[done..digests.len().min(done + 2)];
    assert!(
        allowed.contains(&found[0]) && found[0] == found[1],
        "{what}, after {done} operations: neither the state before {operation:?} nor the one after it"
    );
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_power_goes() {
    let operations = operations(500, 42);
    let digests = expected(&operations);
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    let mut moments = 0;
    for (done, operation) in operations.iter().enumerate() {
        store.record_history();
        run(&table, operation).unwrap_or_else(|error| panic!("operation {done}, {operation:?}: {error}"));
        assert_eq!(digest_of(&table).unwrap(), digests[done + 1], "operation {done}, {operation:?}");
        for moment in store.take_history() {
            moments += 1;
            let mut seen: Vec<Image> = Vec::new();
            for (what, image) in images(&moment) {
                if !seen.contains(&image) {
                    seen.push(image.clone());
                    check(image, done, &digests, what, Some(operation));
                }
            }
        }
    }
    drop((table, engine));
    check(store.durable_image(), operations.len(), &digests, "at the end", None);
    assert!(moments > 500, "the script syncs often, here {moments} times");
}
