//! Looking at a damaged database: every broken file is named, and none is changed.

use crate::model::batch;
use crate::script::{Operation, create, operations, options, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::error::ErrorKind;
use trodden_engine::storage::FaultStore;

type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// A database with several segments, a log and a view.
fn image() -> Image {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    engine.define("v", Some("CREATE VIEW v AS SELECT 1")).unwrap();
    let appends = operations(60, 5).into_iter().filter(|operation| matches!(operation, Operation::Append(_)));
    for (at, operation) in appends.enumerate() {
        run(&table, &operation).unwrap();
        if at % 9 == 8 {
            table.flush().unwrap();
        }
    }
    store.written_image()
}

/// The places that an examination of `image` names; it must not have changed anything.
fn places(image: &Image) -> Vec<String> {
    let store = FaultStore::from_image(image.clone());
    let examined = Engine::examine_store(Arc::new(store.clone())).unwrap();
    assert_eq!(store.written_image(), *image, "an examination changes nothing");
    assert_eq!(store.writes(), 0);
    let opened = Engine::open_store(Arc::new(FaultStore::from_image(image.clone())), options());
    assert_eq!(opened.is_ok(), examined.opens, "{examined:?}");
    examined.findings.into_iter().map(|finding| finding.place).collect()
}

fn files<'a>(image: &'a Image, kind: &str) -> Vec<&'a String> {
    image.keys().filter(|name| name.contains(kind)).collect()
}

fn damage(image: &mut Image, name: &str) {
    let bytes = Arc::make_mut(image.get_mut(name).unwrap());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
}

#[test]
fn a_sound_database_has_no_finding() {
    let image = image();
    assert!(files(&image, "segment-").len() >= 2 && files(&image, "log-").len() == 1);
    assert!(places(&image).is_empty());
    let engine = Engine::open_store(Arc::new(FaultStore::from_image(image)), options()).unwrap();
    assert_eq!(engine.check(), []);
}

#[test]
fn two_broken_segments_are_two_findings() {
    let mut damaged = image();
    let names: Vec<String> = files(&damaged, "segment-").into_iter().take(2).cloned().collect();
    names.iter().for_each(|name| damage(&mut damaged, name));
    assert_eq!(places(&damaged), names);
    damaged.remove(&names[1]);
    assert_eq!(places(&damaged), names, "one is missing");
    assert!(Engine::open_store(Arc::new(FaultStore::from_image(damaged)), options()).is_err());
}

#[test]
fn each_kind_of_file_is_named() {
    let sound = image();
    for kind in ["FORMAT", "definitions", "manifest-"] {
        let mut damaged = sound.clone();
        let name = files(&sound, kind)[0].clone();
        damage(&mut damaged, &name);
        let found = places(&damaged);
        assert!(found.len() == 1 && name.starts_with(&found[0]), "{kind}: {found:?}");
    }
    // The first record of a log of several: the mark behind it tells that it was there.
    let mut damaged = sound.clone();
    let log = files(&sound, "log-")[0].clone();
    Arc::make_mut(damaged.get_mut(&log).unwrap())[40] ^= 1;
    assert_eq!(places(&damaged), [log]);
    // All at once.
    for kind in ["FORMAT", "definitions", "manifest-", "segment-"] {
        files(&sound, kind).into_iter().for_each(|name| damage(&mut damaged, name));
    }
    let segments = files(&sound, "segment-").len();
    assert_eq!(places(&damaged).len(), 3 + segments, "without a manifest every segment is looked at");
}

#[test]
fn a_database_in_use_is_not_examined() {
    let store = FaultStore::new();
    let (_engine, table) = create(Arc::new(store.clone())).unwrap();
    table.append(batch(&[])).unwrap();
    assert_eq!(Engine::examine_store(Arc::new(store)).unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(Engine::examine_store(Arc::new(FaultStore::new())).unwrap_err().kind(), ErrorKind::NotFound);
}
