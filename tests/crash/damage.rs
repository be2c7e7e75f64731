//! One bit of every byte flipped, every file cut at every length, every file missing: an error or the right answer.

use crate::model::{batch, digest_of};
use crate::script::{Numbers, Operation, create, expected, operations, options, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use trodden_engine::Engine;
use trodden_engine::error::{ErrorKind, Result};
use trodden_engine::storage::FaultStore;

type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// A small database with every kind of file, and its digests after each of its appends.
fn small() -> (Image, Vec<u64>) {
    let appends: Vec<Operation> =
        operations(200, 3).into_iter().filter(|op| matches!(op, Operation::Append(_))).take(8).collect();
    let store = FaultStore::new();
    let (_engine, table) = create(Arc::new(store.clone())).unwrap();
    for (at, operation) in appends.iter().enumerate() {
        run(&table, operation).unwrap();
        if at == 4 {
            table.flush().unwrap();
        }
    }
    let image = store.written_image();
    for kind in ["FORMAT", "manifest-", "segment-", "log-"] {
        assert!(image.keys().any(|name| name.contains(kind)), "{kind}");
    }
    (image, expected(&appends))
}

fn read(image: Image) -> Result<u64> {
    let engine = Engine::open_store(Arc::new(FaultStore::from_image(image)), options())?;
    let table = engine.table("t")?;
    let digest = digest_of(&table)?;
    // Whatever was not needed to read the events must be found by a check.
    match engine.check().first() {
        Some(finding) => Err(trodden_engine::error::Error::corrupt(finding.to_string())),
        None => Ok(digest),
    }
}

fn outcome(image: Image, what: &str) -> Result<u64> {
    std::panic::catch_unwind(|| read(image)).unwrap_or_else(|_| panic!("a panic: {what}"))
}

#[test]
fn a_flipped_bit_gives_an_error_or_the_right_answer() {
    let (image, digests) = small();
    let mut errors = 0;
    for (name, bytes) in &image {
        for byte in 0..bytes.len() {
            let mut damaged = image.clone();
            Arc::make_mut(damaged.get_mut(name).unwrap())[byte] ^= 1 << (byte % 8);
            match outcome(damaged, &format!("{name}, byte {byte}")) {
                Ok(found) => assert_eq!(Some(&found), digests.last(), "{name}, byte {byte}"),
                Err(error) => {
                    errors += 1;
                    assert!(!error.message().is_empty());
                }
            }
        }
    }
    assert!(errors > 1000, "most damage is found, here {errors} times");
}

#[test]
fn a_cut_file_gives_an_error_or_the_right_answer() {
    let (image, digests) = small();
    for (name, bytes) in &image {
        let log = name.contains("/log-");
        for length in 0..bytes.len() {
            let mut damaged = image.clone();
            Arc::make_mut(damaged.get_mut(name).unwrap()).truncate(length);
            match outcome(damaged, &format!("{name}, cut at {length}")) {
                // The end of the newest log looks as after a power cut: whole batches are missing. With a catalog on
                // disk that is found too, see `local.rs`.
                Ok(found) if log => assert!(digests[5..].contains(&found), "{name}, cut at {length}"),
                Ok(found) => assert_eq!(Some(&found), digests.last(), "{name}, cut at {length}"),
                Err(_) => {}
            }
        }
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let (image, _) = small();
    for name in image.keys().filter(|name| !name.contains("/log-")) {
        let mut damaged = image.clone();
        damaged.remove(name);
        let kind = outcome(damaged, name).map_err(|error| error.kind());
        let expected = [ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::InvalidInput];
        assert!(expected.iter().any(|error| kind == Err(*error)), "{name} is missing: {kind:?}");
    }
}

#[test]
fn random_bytes_instead_of_a_file_are_an_error() {
    let (image, digests) = small();
    let mut numbers = Numbers(5);
    for name in image.keys() {
        for length in [1, 16, 100, 5000] {
            let mut damaged = image.clone();
            let bytes = (0..length).map(|_| numbers.below(256) as u8).collect();
            damaged.insert(name.clone(), Arc::new(bytes));
            if let Ok(found) = outcome(damaged, name) {
                assert!(name.contains("/log-") && found == digests[5], "{name} replaced by {length} random bytes");
            }
        }
    }
}

#[test]
fn another_format_version_is_told() {
    for (file, from) in [("FORMAT", "\"version\":1"), ("manifest-", "\"version\": 1")] {
        let (mut image, _) = small();
        let name = image.keys().find(|name| name.contains(file)).unwrap().clone();
        let text = String::from_utf8(image[&name].to_vec()).unwrap();
        let to = from.replace('1', "9");
        let json = text[..text.find("crc32c").unwrap()]
            .replace(from, &to)
            .replace("\"oldest_reader\":1", "\"oldest_reader\":9");
        let bytes = format!("{json}crc32c {:08x}\n", crc32c(json.as_bytes())).into_bytes();
        image.insert(name, Arc::new(bytes));
        let error = read(image).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedFormat, "{file}: {error}");
        assert!(error.hint().unwrap().contains("newer"), "{error}");
    }
}

/// CRC32C bit by bit: slow, and independent of the one that the engine uses.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn a_closed_database_has_no_log() {
    let store = FaultStore::new();
    let (engine, table) = create(Arc::new(store.clone())).unwrap();
    for operation in operations(50, 1).iter().filter(|op| matches!(op, Operation::Append(_))) {
        if let Operation::Append(events) = operation {
            table.append(batch(events)).unwrap();
        }
    }
    engine.flush().unwrap();
    assert!(!store.written_image().keys().any(|name| name.contains("/log-")));
}
