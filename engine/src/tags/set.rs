//! The live tags of a table in memory. Members are read when they are first asked for, and kept; a version that was
//! replaced stays readable for the snapshots that have it.

use super::file::Directory;
use super::index::{self, TagEntry, file_name, index_prefix, tag_prefix};
use crate::error::{Error, Result};
use crate::members::Members;
use crate::storage::{Blob, Store};
use roaring::RoaringBitmap;
use std::sync::{Arc, OnceLock};

/// One version of a tag.
#[derive(Debug)]
pub(crate) struct StoredTag {
    pub(crate) entry: TagEntry,
    name: String,
    blob: Blob,
    directory: Directory,
    /// By value.
    members: Vec<OnceLock<Members>>,
    /// Of all values together.
    all: OnceLock<Members>,
}

impl StoredTag {
    /// The version that `entry` says, in its file.
    ///
    /// # Errors
    /// `Corrupt` where the file is not the one of the entry, and what the disk says.
    pub(crate) fn open(store: &dyn Store, table: u64, entry: &TagEntry, shards: usize) -> Result<Self> {
        let name = file_name(table, entry.file);
        let blob = store.get(&name)?;
        let directory = Directory::read(&name, blob.as_slice())?;
        let values = directory.by_value.then_some(directory.values.len() as u64);
        if blob.len() as u64 != entry.bytes || directory.shards != shards || values != entry.values {
            return Err(Error::corrupt(format!("{name} is not the file of tag '{}'", entry.info.name))
                .with_hint("restore the file from a backup"));
        }
        let members = directory.values.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { entry: entry.clone(), name, blob, directory, members, all: OnceLock::new() })
    }

    /// Whether its members have values.
    pub(crate) fn by_value(&self) -> bool {
        self.directory.by_value
    }

    /// Its values, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        let by_value = self.directory.by_value;
        self.directory.values.iter().filter(move |_| by_value).map(|value| value.text.as_str())
    }

    /// Who is in it, or has `value`, deleted users included. Of a plain tag nobody has a value.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn users(&self, value: Option<&str>) -> Result<Members> {
        let place = |value: &str| {
            let found = self.directory.values.binary_search_by(|known| known.text.as_str().cmp(value));
            found.ok().filter(|_| self.directory.by_value)
        };
        match value.map(place) {
            Some(Some(place)) => self.members(place),
            Some(None) => Ok(Members::none(self.directory.shards)),
            None if !self.directory.by_value => self.members(0),
            None => self.everybody(),
        }
    }

    fn members(&self, place: usize) -> Result<Members> {
        if let Some(members) = self.members[place].get() {
            return Ok(members.clone());
        }
        let members = self.directory.members(&self.name, self.blob.as_slice(), place)?;
        Ok(self.members[place].get_or_init(|| members).clone())
    }

    fn everybody(&self) -> Result<Members> {
        if let Some(all) = self.all.get() {
            return Ok(all.clone());
        }
        let mut sum = Members::none(self.directory.shards);
        for place in 0..self.members.len() {
            sum = sum.or(&self.members(place)?);
        }
        Ok(self.all.get_or_init(|| sum).clone())
    }

    /// Whether any of `users` is in it: by shard, and without keeping what was read for that.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn holds_any(&self, users: &[RoaringBitmap]) -> Result<bool> {
        for (shard, wanted) in users.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
            for (place, known) in self.members.iter().enumerate() {
                let holds = match known.get() {
                    Some(members) => !members.of_shard(shard).is_disjoint(wanted),
                    None => {
                        let bitmap = self.directory.bitmap(&self.name, self.blob.as_slice(), place, shard)?;
                        !bitmap.is_disjoint(wanted)
                    }
                };
                if holds {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Read all of it; what is wrong.
    ///
    /// # Errors
    /// `Corrupt`, also for an ordinal that its shard never gave out: `next` has the first of these by shard.
    pub(crate) fn verify(&self, next: &[u32]) -> Result<()> {
        if crc32c::crc32c(self.blob.as_slice()) != self.entry.crc {
            return Err(Error::corrupt(format!("{} is not the file that was written", self.name)));
        }
        let mut sum = Members::none(self.directory.shards);
        for place in 0..self.members.len() {
            let members = self.directory.members(&self.name, self.blob.as_slice(), place)?;
            for (shard, next) in next.iter().enumerate() {
                if members.of_shard(shard).max().is_some_and(|last| last >= *next) {
                    let message = format!("{}: a user of shard {shard} whom the table does not have", self.name);
                    return Err(Error::corrupt(message));
                }
            }
            sum = sum.or(&members);
        }
        match sum.len() == self.entry.users {
            true => Ok(()),
            false => Err(Error::corrupt(format!("{} has {} users, not {}", self.name, sum.len(), self.entry.users))),
        }
    }
}

/// The live tags.
#[derive(Debug, Clone, Default)]
pub(crate) struct TagSet {
    /// Number of the index that says so.
    pub(crate) number: u64,
    /// In the order in which they were made.
    pub(crate) tags: Vec<Arc<StoredTag>>,
}

impl TagSet {
    /// The live tags of a table, and the number of the next file. What a crash left is removed.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedFormat`, what the disk says.
    pub(crate) fn open(store: &dyn Store, table: u64, shards: usize) -> Result<(Self, u64)> {
        let index = index::live_index(store, table)?;
        let tags = index.tags.iter().map(|entry| StoredTag::open(store, table, entry, shards).map(Arc::new));
        let set = Self { number: index.number, tags: tags.collect::<Result<_>>()? };
        let names = store.list(&index_prefix(table))?;
        // The last one is live.
        for older in names.iter().rev().skip(1) {
            store.delete(older)?;
        }
        for name in store.list(&tag_prefix(table))? {
            if !set.tags.iter().any(|tag| tag.name == name) {
                store.delete(&name)?;
            }
        }
        let next = set.tags.iter().map(|tag| tag.entry.file + 1).max().unwrap_or(1);
        Ok((set, next))
    }

    /// The tag called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<StoredTag>> {
        self.tags.iter().find(|tag| tag.entry.info.name == name)
    }

    /// The files that it refers to, name and bytes.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (&str, &Blob)> {
        self.tags.iter().map(|tag| (tag.name.as_str(), &tag.blob))
    }

    /// Names of the files that it refers to.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| tag.name.as_str())
    }
}
