//! A power cut at every sync of a long script.

use crate::model::digest_of;
use crate::script::{Operation, create, expected, operations, options, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::storage::{FaultStore, Moment};

pub(crate) type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// What disks can make of a moment: only what was synced; also that deletions arrived early; also that half of what was
/// not synced arrived; also that all of it did, or all but some pages at its beginning.
/// `turn` chooses how many.
pub(crate) fn images(moment: &Moment, turn: usize) -> Vec<(&'static str, Image)> {
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
    // Pages arrive in any order: the mark of the frame before may be lost, and the frame be there.
    let late = |part: &dyn Fn(usize) -> usize| {
        let mut image = moment.durable.clone();
        for (name, written) in moment.written.iter().filter(|(name, _)| name.contains("/log-")) {
            let durable = moment.durable.get(name).map_or(0, |bytes| bytes.len());
            if moment.durable.contains_key(name) && written.len() > durable {
                let mut bytes = written.to_vec();
                let zeros = part(written.len() - durable).min(written.len() - durable);
                bytes[durable..durable + zeros].fill(0);
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
        ("the first byte of the rest did not arrive", late(&|_| 1)),
        ("the mark did not arrive", late(&|_| 28)),
        ("the beginning of the rest did not arrive", late(&|length| turn % (length + 1))),
    ]
}

/// Reopen the store and compare it with the model after `done` operations, or after one more that was under way; the
/// number of operations that it turned out to have.
fn reopen(store: &FaultStore, done: usize, digests: &[u64], what: &str, operation: Option<&Operation>) -> usize {
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
    let place = allowed.iter().position(|digest| *digest == found[0]);
    match place.filter(|_| found[0] == found[1]) {
        Some(place) => done + place,
        None => panic!("{what}, after {done} operations: neither the state before {operation:?} nor the one after it"),
    }
}

fn check(image: Image, done: usize, digests: &[u64], what: &str, operation: Option<&Operation>) {
    reopen(&FaultStore::from_image(image), done, digests, what, operation);
}

/// Go on where a power cut left the table: it must not only look right, but also be as good as one that never lost power.
fn go_on(image: Image, done: usize, operations: &[Operation], digests: &[u64], what: &str) {
    const STEPS: usize = 12;
    let store = FaultStore::from_image(image);
    let from = reopen(&store, done, digests, what, operations.get(done));
    if from == done
        && digests.get(done) == digests.get(done + 1)
        && matches!(operations[done], Operation::Import { .. })
    {
        // All of it were duplicates: whether it was done cannot be seen, and it cannot be done twice.
        return;
    }
    let engine = Engine::open_store(Arc::new(store.clone()), options()).unwrap();
    let table = engine.table("t").unwrap();
    for (at, operation) in operations.iter().enumerate().skip(from).take(STEPS) {
        run(&table, operation)
            .unwrap_or_else(|error| panic!("{what}, after {from}, then {at}, {operation:?}: {error}"));
        assert_eq!(digest_of(&table).unwrap(), digests[at + 1], "{what}, after {from}, then {at}, {operation:?}");
    }
    assert_eq!(engine.check(), [], "{what}, after {from} and more");
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_power_goes() {
    let operations = operations(500, 42);
    let digests = expected(&operations);
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    let (mut moments, mut images_seen, mut gone_on) = (0, 0, 0);
    for (done, operation) in operations.iter().enumerate() {
        store.record_history();
        run(&table, operation).unwrap_or_else(|error| panic!("operation {done}, {operation:?}: {error}"));
        assert_eq!(digest_of(&table).unwrap(), digests[done + 1], "operation {done}, {operation:?}");
        for moment in store.take_history() {
            moments += 1;
            let mut seen: Vec<Image> = Vec::new();
            for (what, image) in images(&moment, moments) {
                if seen.contains(&image) {
                    continue;
                }
                seen.push(image.clone());
                images_seen += 1;
                if images_seen % 7 == 0 {
                    gone_on += 1;
                    go_on(image, done, &operations, &digests, what);
                } else {
                    check(image, done, &digests, what, Some(operation));
                }
            }
        }
    }
    drop((table, engine));
    check(store.durable_image(), operations.len(), &digests, "at the end", None);
    assert!(moments > 500, "the script syncs often, here {moments} times");
    assert!(gone_on > 100, "went on after {gone_on} power cuts");
}

#[test]
fn a_killed_process_and_then_a_power_cut_lose_nothing() {
    let operations = operations(250, 43);
    let digests = expected(&operations);
    let store = FaultStore::new();
    let (_engine, table) = create(Arc::new(store.clone())).unwrap();
    let mut cuts = 0;
    for (done, operation) in operations.iter().enumerate() {
        store.record_history();
        run(&table, operation).unwrap_or_else(|error| panic!("operation {done}, {operation:?}: {error}"));
        for moment in store.take_history() {
            // The next process sees everything that was written, and loses power while it recovers.
            let killed = FaultStore::after_kill(&moment);
            killed.record_history();
            let opened = Engine::open_store(Arc::new(killed.clone()), options());
            drop(opened.unwrap_or_else(|error| panic!("killed after {done} operations: {error}")));
            let mut later: Vec<Image> = Vec::new();
            for moment in killed.take_history().into_iter().chain([killed.moment()]) {
                let mut deleted = moment.durable.clone();
                deleted.retain(|name, _| moment.written.contains_key(name));
                for image in [moment.durable, deleted] {
                    if !later.contains(&image) {
                        later.push(image.clone());
                        cuts += 1;
                        check(image, done, &digests, "killed, then a power cut", Some(operation));
                    }
                }
            }
        }
    }
    assert!(cuts > 500, "{cuts} power cuts");
}
