//! `check`: every checksum and every invariant of every file, and whether the parts fit together.

use crate::definitions;
use crate::engine::{Engine, check_format, has_format, table_numbers};
use crate::error::{Error, Result};
use crate::ingest::shard_of;
use crate::log::{FileLog, Log, Record};
use crate::manifest::Manifest;
use crate::storage::{LocalStore, Store};
use crate::table::{LiveSegment, Shared, TableState, open_segment};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Ids that are asked of the catalog at once.
const IDS: usize = 4096;

/// Something that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or the part.
    pub place: String,
    /// What is wrong with it, and the way out where one is known.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, place: impl Into<String>, problem: impl fmt::Display) {
        self.0.push(Finding { place: place.into(), problem: problem.to_string() });
    }

    /// Note the error of `result`, if it has one.
    fn note(&mut self, place: &str, result: Result<()>) {
        if let Err(error) = result {
            self.add(place, error);
        }
    }
}

impl Engine {
    /// Read everything and check it. An empty answer means that all is well.
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Findings::default();
        findings.note("FORMAT", check_format(self.store().as_ref()));
        findings.note("definitions", self.check_definitions());
        for name in self.tables() {
            if let Ok(table) = self.table(&name) {
                check_table(&table.shared, &mut findings);
            }
        }
        findings.0
    }
}

/// Check the files of the database in the directory `path`, each for itself, where the whole cannot be opened: what stands
/// in the way of opening may not be all that is broken. The catalog is not looked at, since it is derived. Nothing is
/// written.
///
/// # Errors
/// The directory cannot be read, or holds no database.
pub fn check_closed(path: &Path) -> Result<Vec<Finding>> {
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(path)?);
    check_store(&store).map(|findings| findings.0)
}

fn check_store(store: &Arc<dyn Store>) -> Result<Findings> {
    let mut findings = Findings::default();
    if !has_format(store.as_ref())? {
        return Err(crate::engine::no_database("the directory"));
    }
    findings.note("FORMAT", check_format(store.as_ref()));
    findings.note("definitions", definitions::load(store.as_ref()).map(|_| ()));
    for number in table_numbers(store.as_ref())? {
        check_table_files(store, number, &mut findings);
    }
    Ok(findings)
}

/// Manifest, segments and log of a table that is not open.
fn check_table_files(store: &Arc<dyn Store>, number: u64, findings: &mut Findings) {
    let directory = Manifest::directory(number);
    let manifest = match Manifest::load(store.as_ref(), number) {
        Ok(Some(manifest)) if !manifest.dropped => manifest,
        Ok(Some(_)) => return,
        Ok(None) => {
            let has = |kind: &str| store.list(&format!("{directory}/{kind}-")).is_ok_and(|names| !names.is_empty());
            if has("segment") || has("log") {
                findings.add(&directory, "segments or a log, but no manifest; restore the manifest from a backup");
            }
            return;
        }
        Err(error) => return findings.add(&directory, error),
    };
    for entry in manifest.segments() {
        let name = Manifest::segment_file(number, entry.file);
        match open_segment(store.as_ref(), &name, entry) {
            Ok(live) => live.segment.verify().into_iter().for_each(|error| findings.add(&name, error)),
            Err(error) => findings.add(&name, error),
        }
    }
    let log = FileLog::new(Arc::clone(store), directory.clone(), manifest.log_position + 1);
    let read = log.replay(manifest.log_position, &mut |_, bytes| Record::decode(bytes).map(|_| ()));
    findings.note(&format!("{directory}: log"), read);
}

fn check_table(shared: &Shared, findings: &mut Findings) {
    // Nothing may be written meanwhile, so that all parts are seen at one position.
    let _maintenance = shared.maintenance.lock();
    let place = format!("table '{}'", shared.name);
    let _ingest = match shared.drained() {
        Ok(ingest) => ingest,
        Err(error) => return findings.add(&place, error),
    };
    match Manifest::load(shared.store.as_ref(), shared.id) {
        Ok(Some(manifest)) if manifest == *shared.state.read().manifest => {}
        Ok(Some(manifest)) => findings.add(&place, format!("manifest {} is not the one in use", manifest.number)),
        Ok(None) => findings.add(&place, "the manifest is gone"),
        Err(error) => findings.add(&place, error),
    }
    let state = {
        let log = shared.log.lock();
        let start = shared.state.read().manifest.log_position;
        findings.note(&place, log.replay(start, &mut |_, bytes| Record::decode(bytes).map(|_| ())));
        Arc::clone(&shared.state.read())
    };
    let mut users = 0;
    for (number, shard) in (0_u16..).zip(&state.shards) {
        for (at, live) in shard.segments().enumerate() {
            let place = match state.manifest.shards[number as usize].segments.get(at) {
                Some(entry) => shared.segment_file(entry.file),
                None => format!("{place}, shard {number}, segment {at} in memory"),
            };
            check_segment(&state, number, live, &place, findings);
            match check_users(shared, number, live) {
                Ok(count) => users += count,
                Err(error) => findings.add(&place, error),
            }
        }
    }
    match shared.lookup.catalog.count_users() {
        Ok(known) if known == users => {}
        Ok(known) => findings.add(&place, format!("the catalog has {known} users, the segments have {users}")),
        Err(error) => findings.add(&place, error),
    }
    check_files(shared, &state, findings);
}

fn check_segment(state: &TableState, number: u16, live: &LiveSegment, place: &str, findings: &mut Findings) {
    for error in live.segment.verify() {
        findings.add(place, error);
    }
    let meta = live.segment.meta();
    if meta.shard != number {
        findings.add(place, format!("it is of shard {}, not {number}", meta.shard));
    }
    let next = state.shards[number as usize].next_ordinal;
    match live.segment.users() {
        Ok(users) if users.max().is_some_and(|max| max >= next) => {
            findings.add(place, format!("it has ordinals that shard {number} never gave out"));
        }
        Ok(users) if users.len() != u64::from(meta.users) => {
            findings.add(place, format!("it has {} users, its summary says {}", users.len(), meta.users));
        }
        Ok(_) => {}
        Err(error) => findings.add(place, error),
    }
}

/// Check the ids that a segment introduces against the catalog; how many there are.
fn check_users(shared: &Shared, number: u16, live: &LiveSegment) -> Result<u64> {
    let ids = live.segment.user_ids()?.into_iter().zip(live.segment.meta().introduced_start..);
    let ids: Vec<(String, u32)> = ids
        .filter(|(_, ordinal)| !live.hidden.contains(*ordinal))
        .filter_map(|(id, ordinal)| Some((id?, ordinal)))
        .collect();
    let shards = shared.options().shards;
    for chunk in ids.chunks(IDS) {
        let names: Vec<&str> = chunk.iter().map(|(id, _)| id.as_str()).collect();
        let known = shared.lookup.catalog.ordinals(number, &names)?;
        for ((id, ordinal), known) in chunk.iter().zip(known) {
            if shard_of(id, shards) != number {
                return Err(Error::corrupt(format!("user '{id}' belongs to shard {}", shard_of(id, shards))));
            }
            if known != Some(*ordinal) {
                return Err(Error::corrupt(format!("user '{id}' is {ordinal} here, and {known:?} in the catalog"))
                    .with_hint(
                        "close the database and delete the table's catalog: it is rebuilt at the next opening",
                    ));
            }
        }
    }
    Ok(ids.len() as u64)
}

/// Files that nothing refers to.
fn check_files(shared: &Shared, state: &TableState, findings: &mut Findings) {
    let names = match shared.store.list(&format!("{}/", shared.directory)) {
        Ok(names) => names,
        Err(error) => return findings.add(&shared.directory, error),
    };
    let live: Vec<String> = state.manifest.segments().map(|entry| shared.segment_file(entry.file)).collect();
    for name in names {
        let own = name.strip_prefix(&shared.directory).unwrap_or(&name);
        let known = own.starts_with("/catalog/") || own.starts_with("/log-") || own.starts_with("/manifest-");
        if !known && !live.contains(&name) {
            findings.add(name, "nothing refers to this file; an unfinished import or compaction leaves such files until the next opening");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FaultStore;
    use crate::types::{Schema, TableOptions};
    use crate::{EngineOptions, EventBatch};
    use arrow_array::{Int64Array, StringArray};

    #[test]
    fn every_broken_file_of_a_closed_database_is_named() {
        let store = FaultStore::new();
        let engine = Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).unwrap();
        let table = engine.create_table("t", Schema::default(), TableOptions::default()).unwrap();
        engine.define("view", Some("text")).unwrap();
        let users: Vec<String> = (0..40).map(|user| format!("user-{user}")).collect();
        let batch = EventBatch {
            user_id: StringArray::from_iter_values(&users),
            ts: Int64Array::from_iter_values(0..40),
            event: StringArray::from_iter_values(users.iter().map(|_| "e")),
            event_id: None,
            properties: Vec::new(),
        };
        table.append(batch.clone()).unwrap();
        table.flush().unwrap();
        table.append(batch).unwrap();
        let image = store.written_image();
        let closed = |image| check_store(&(Arc::new(FaultStore::from_image(image)) as Arc<dyn Store>)).unwrap().0;
        assert_eq!(closed(image.clone()), []);
        let segments: Vec<&String> = image.keys().filter(|name| name.contains("/segment-")).collect();
        let log = image.keys().find(|name| name.contains("/log-")).unwrap();
        let definitions = image.keys().find(|name| name.starts_with("definitions-")).unwrap();
        let broken = [segments[0].as_str(), segments[1], log, definitions, "FORMAT"];
        let mut damaged = image.clone();
        for name in broken {
            let bytes = Arc::make_mut(damaged.get_mut(name).unwrap());
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        let found: String = closed(damaged).iter().map(|finding| format!("{finding}\n")).collect();
        for name in broken {
            assert!(found.contains(name), "{name} is missing in:\n{found}");
        }
    }
}
