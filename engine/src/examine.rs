//! `examine`: what is broken in a database that may be too damaged to be opened. It reads every file on its own and
//! changes nothing, so that whatever can still be saved stays.

use crate::check::{Finding, Findings};
use crate::definitions;
use crate::engine::{Engine, check_format, is_database, no_database, table_numbers};
use crate::error::{Error, ErrorKind, Result};
use crate::log::FileLog;
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::storage::{LocalStore, Store};
use crate::table::open_segment;
use crate::tags::{StoredTag, file_name, index_prefix, live_index};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// Tables that are there.
    pub tables: u64,
    /// What is broken, file by file. Empty: every file is whole, and [`Engine::check`] tells whether they fit together.
    pub findings: Vec<Finding>,
    /// Whether the database can be opened for all that.
    pub opens: bool,
}

/// What is found on the way.
#[derive(Default)]
struct Found {
    all: Findings,
    /// How many of them are about the inside of a segment, which an opening does not read.
    inside: usize,
}

impl Found {
    fn add(&mut self, place: impl Into<String>, problem: impl fmt::Display) {
        self.all.add(place, problem);
    }

    fn add_inside(&mut self, place: &str, problems: Vec<Error>) {
        self.inside += problems.len();
        problems.into_iter().for_each(|problem| self.add(place, problem));
    }
}

impl Engine {
    /// Read every file of the database in the directory `path`, and change none.
    ///
    /// # Errors
    /// `Locked` while another process or handle has it, `NotFound` if there is none, `UnsupportedFormat`, what the disk says
    /// to listing the directory. What is wrong with a file is a finding.
    pub fn examine(path: &Path) -> Result<Examination> {
        let store = LocalStore::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => no_database(&path.display().to_string()),
            _ => error,
        })?;
        Self::examine_store(Arc::new(store)).map_err(|error| match error.kind() {
            ErrorKind::Locked => error,
            _ => error.at(path.display()),
        })
    }

    /// Read every file of the database in `store`, and change none.
    ///
    /// # Errors
    /// Those of [`Engine::examine`].
    pub fn examine_store(store: Arc<dyn Store>) -> Result<Examination> {
        if !is_database(store.as_ref())? {
            return Err(no_database("the directory"));
        }
        let _lock = store.lock()?;
        let mut found = Found::default();
        match check_format(store.as_ref()) {
            Err(error) if error.kind() == ErrorKind::UnsupportedFormat => return Err(error),
            format => found.all.note("FORMAT", format),
        }
        found.all.note("definitions", definitions::load(store.as_ref()).map(|_| ()));
        let mut tables = 0;
        let mut names: BTreeMap<String, u64> = BTreeMap::new();
        for number in table_numbers(store.as_ref())? {
            let Some(name) = examine_table(&store, number, &mut found)? else { continue };
            tables += 1;
            if let Some(other) = names.insert(name.clone(), number) {
                found.add(Manifest::directory(number), format!("table {other} is called '{name}', too"));
            }
        }
        Ok(Examination { tables, opens: found.all.0.len() == found.inside, findings: found.all.0 })
    }
}

/// Examine the files of a table. The name of the table, or a word for it where no manifest can be read; `None` where
/// there is no table of its own.
fn examine_table(store: &Arc<dyn Store>, number: u64, found: &mut Found) -> Result<Option<String>> {
    let directory = Manifest::directory(number);
    let mut live = None;
    for (name, manifest) in Manifest::all(store.as_ref(), number)? {
        live = match manifest {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                found.add(name, error);
                None
            }
        };
    }
    let segments = store.list(&format!("{directory}/segment-"))?;
    let Some(manifest) = live else {
        // Without it, it is not known which of them count.
        for name in &segments {
            examine_segment(store, name, found);
        }
        if segments.is_empty() && store.list(&format!("{directory}/log-"))?.is_empty() {
            // A table that was never made, unless its manifest is among the findings.
            let has_manifest = !store.list(&format!("{directory}/manifest-"))?.is_empty();
            return Ok(has_manifest.then(|| directory.clone()));
        }
        if store.list(&format!("{directory}/manifest-"))?.is_empty() {
            found.add(&directory, "segments or a log, but no manifest (hint: restore the manifest from a backup)");
        }
        return Ok(Some(directory));
    };
    if manifest.dropped {
        return Ok(None);
    }
    for entry in manifest.segments() {
        let name = Manifest::segment_file(number, entry.file);
        match open_segment(store.as_ref(), &name, entry) {
            Ok(live) => found.add_inside(&name, live.segment.verify()),
            Err(error) => found.add(&name, error),
        }
    }
    examine_tags(store.as_ref(), &manifest, found);
    let log = FileLog::new(Arc::clone(store), &directory, manifest.log_position + 1);
    for (name, error) in log.examine(manifest.log_position)? {
        found.add(name, error);
    }
    // Profiles belong to the table that they are of, and have no name of their own.
    Ok(manifest.profiles_of.is_none().then_some(manifest.name))
}

/// Examine the live tags of a table.
fn examine_tags(store: &dyn Store, manifest: &Manifest, found: &mut Found) {
    let index = match live_index(store, manifest.table) {
        Ok(index) => index,
        Err(error) => return found.add(index_prefix(manifest.table), error),
    };
    // Ordinals may be those of users whom only the log has.
    let next = vec![u32::MAX; manifest.shards.len()];
    for entry in &index.tags {
        let name = file_name(manifest.table, entry.file);
        match StoredTag::open(store, manifest.table, entry, manifest.shards.len()) {
            Ok(tag) => found.add_inside(&name, tag.verify(&next).err().into_iter().collect()),
            Err(error) => found.add(&name, error),
        }
    }
}

/// Examine a segment of which no manifest tells anything.
fn examine_segment(store: &Arc<dyn Store>, name: &str, found: &mut Found) {
    match store.get(name).and_then(Segment::open) {
        Ok(segment) => found.add_inside(name, segment.verify()),
        Err(error) => found.add(name, error),
    }
}
