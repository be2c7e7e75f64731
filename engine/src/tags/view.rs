//! The tags of a snapshot.

use super::set::{StoredTag, TagSet};
use super::{TagInfo, TagMembers};
use crate::aliases::Aliases;
use crate::error::Result;
use crate::members::Members;
use crate::table::Snapshot;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// The tags of a table as of a snapshot. Users who were deleted by then are in none.
#[derive(Debug, Clone)]
pub struct Tags {
    set: Arc<TagSet>,
    deleted: Arc<Members>,
    aliases: Arc<Aliases>,
}

/// A tag as of a snapshot.
#[derive(Debug, Clone)]
pub struct Tag {
    stored: Arc<StoredTag>,
    deleted: Arc<Members>,
    aliases: Arc<Aliases>,
}

impl Snapshot {
    /// The tags of the table.
    pub fn tags(&self) -> Tags {
        let (set, aliases) = (Arc::clone(&self.tags), Arc::clone(&self.aliases));
        Tags { set, deleted: Arc::new(self.deleted()), aliases }
    }

    /// The deleted users of whom a segment still has something. Of the others nothing is left anywhere.
    fn deleted(&self) -> Members {
        let of_shard = |shard: &crate::table::ShardSnapshot| {
            let hidden = shard.segments.iter().filter(|live| !live.hidden.is_empty());
            hidden.fold(RoaringBitmap::new(), |sum, live| sum | &*live.hidden)
        };
        self.shards.iter().map(of_shard).collect::<Vec<_>>().into()
    }
}

impl Tags {
    /// The tag called `name`.
    pub fn get(&self, name: &str) -> Option<Tag> {
        self.set.get(name).map(|stored| self.tag(stored))
    }

    /// All tags, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = Tag> {
        self.set.tags.iter().map(|stored| self.tag(stored))
    }

    /// Names of all tags, in the order in which they were made.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.set.tags.iter().map(|stored| stored.entry.info.name.as_str())
    }

    /// A number that changes with every change of a tag.
    pub fn version(&self) -> u64 {
        self.set.number
    }

    fn tag(&self, stored: &Arc<StoredTag>) -> Tag {
        let (deleted, aliases) = (Arc::clone(&self.deleted), Arc::clone(&self.aliases));
        Tag { stored: Arc::clone(stored), deleted, aliases }
    }
}

impl Tag {
    /// What is told of it.
    pub fn info(&self) -> &TagInfo {
        &self.stored.entry.info
    }

    /// Its version, for [`super::Over::Version`].
    pub fn version(&self) -> u64 {
        self.stored.entry.file
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.stored.entry.bytes
    }

    /// Whether its members have values.
    pub fn by_value(&self) -> bool {
        self.stored.by_value()
    }

    /// Its values, in order; none of a plain tag. Those whom nobody has any more, since users were deleted, may be among
    /// them.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.stored.values()
    }

    /// Who is in it, or has `value`: of an id that is an alias by now, the person.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn users(&self, value: Option<&str>) -> Result<Members> {
        let stored = self.stored.users(value)?;
        let tagged =
            self.aliases.iter().filter(|alias| stored.contains(alias.source.shard.into(), alias.source.ordinal));
        let persons = tagged.map(|alias| self.aliases.end(alias)).map(|person| (person.shard.into(), person.ordinal));
        let persons = Members::of_places(self.deleted.shards.len(), persons);
        Ok(stored.or(&persons).and_not(&self.deleted))
    }

    /// How many are in it. It is not read for that, unless users were deleted.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn len(&self) -> Result<u64> {
        match self.deleted.is_empty() && self.aliases.is_empty() {
            true => Ok(self.stored.entry.users),
            false => Ok(self.users(None)?.len()),
        }
    }

    /// Whether nobody is in it.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// All of its members.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn members(&self) -> Result<TagMembers> {
        if !self.by_value() {
            return Ok(TagMembers::Plain(self.users(None)?));
        }
        let of_value = |value: &str| Ok((value.to_string(), self.users(Some(value))?));
        Ok(TagMembers::ByValue(self.values().map(of_value).collect::<Result<_>>()?))
    }
}
