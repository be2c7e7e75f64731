//! `check`: every checksum and every invariant of every file, and whether the parts fit together.

use crate::engine::{Engine, check_format};
use crate::error::{Error, Result};
use crate::ingest::shard_of;
use crate::log::Record;
use crate::manifest::Manifest;
use crate::table::{LiveSegment, Shared, TableState, check_derived};
use crate::tags::live_index;
use std::fmt;
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
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn add(&mut self, place: impl Into<String>, problem: impl fmt::Display) {
        self.0.push(Finding { place: place.into(), problem: problem.to_string() });
    }

    /// Note the error of `result`, if it has one.
    pub(crate) fn note(&mut self, place: &str, result: Result<()>) {
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
                if let Some(profiles) = table.profiles() {
                    check_table(&profiles.table.shared, &mut findings);
                }
            }
        }
        findings.0
    }
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
        for (at, live) in shard.joined.iter().enumerate() {
            let place = format!("{place}, shard {number}, joined histories {at}");
            check_segment(&state, number, live, &place, findings);
        }
        for (at, live) in shard.arrived().enumerate() {
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
    check_tags(shared, &state, findings);
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
        .filter(|(_, ordinal)| !live.erased.contains(*ordinal))
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

/// The tags: whether what is live on disk is what is in use, and every member of every one.
fn check_tags(shared: &Shared, state: &TableState, findings: &mut Findings) {
    let place = format!("tags of table '{}'", shared.name);
    match live_index(shared.store.as_ref(), shared.id) {
        Ok(index) => {
            let in_use = || state.tags.tags.iter().map(|tag| &tag.entry);
            if index.number != state.tags.number || !index.tags.iter().eq(in_use()) {
                findings.add(&place, format!("index {} is not the one in use", index.number));
            }
        }
        Err(error) => findings.add(&place, error),
    }
    let next: Vec<u32> = state.shards.iter().map(|shard| shard.next_ordinal).collect();
    for tag in &state.tags.tags {
        findings.note(&format!("{place}, '{}'", tag.entry.info.name), tag.verify(&next));
    }
}

/// Derived files, and files that nothing refers to.
fn check_files(shared: &Shared, state: &TableState, findings: &mut Findings) {
    let names = match shared.store.list(&format!("{}/", shared.directory)) {
        Ok(names) => names,
        Err(error) => return findings.add(&shared.directory, error),
    };
    let live: Vec<String> = state.manifest.segments().map(|entry| shared.segment_file(entry.file)).collect();
    for name in names {
        let own = name.strip_prefix(&shared.directory).unwrap_or(&name);
        if own.starts_with("/derived-") {
            findings.note(&name, shared.store.get(&name).and_then(|file| check_derived(file.as_slice()).map(drop)));
            continue;
        }
        let kinds = ["/catalog/", "/log-", "/manifest-", "/tags-"];
        let known = kinds.iter().any(|kind| own.starts_with(kind)) || state.tags.files().any(|file| file == name);
        if !known && !live.contains(&name) {
            findings.add(name, "nothing refers to this file; an unfinished import or compaction leaves such files until the next opening");
        }
    }
}
