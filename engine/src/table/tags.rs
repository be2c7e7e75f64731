//! Changes of the tags of a table: files first, then the index that names them, then what readers see.

use super::{Shared, Table, TableState};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Tombstone;
use crate::storage::Store;
use crate::tags::{
    Over, StoredTag, TAGS_MAX, TagChange, TagEntry, TagInfo, TagMembers, TagSet, check_tag, file_name, publish,
    read_file, write_file,
};
use roaring::RoaringBitmap;
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

/// What the next change of a tag has to know.
#[derive(Debug)]
pub(crate) struct TagWriter {
    /// Number of the next file of a tag.
    next_file: u64,
    /// Why it is not known any more which index is live: the message of the write that failed.
    failed: Option<String>,
    /// Users of whom nothing is left since the opening, by shard: who computed a tag from an older snapshot may have them.
    erased: Vec<RoaringBitmap>,
}

impl TagWriter {
    pub(crate) fn new(next_file: u64, shards: usize) -> Self {
        Self { next_file, failed: None, erased: vec![RoaringBitmap::new(); shards] }
    }

    fn check(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(failure) => {
                Err(Error::new(ErrorKind::Poisoned, format!("an earlier change of a tag failed: {failure}"))
                    .with_hint("remove the cause, then open the database again"))
            }
        }
    }
}

impl Table {
    /// Change tags, all at once: on return the changes are durable and in the next snapshot. Whether each was made: a
    /// refresh of a version that is not live any more is none, and neither is dropping a tag that is not there.
    ///
    /// # Errors
    /// `AlreadyExists` for a new tag whose name is taken, `InvalidInput` for a name or a value that cannot be,
    /// `ResourceLimit` for too many; what the disk says, and `Poisoned` after that. Nothing is changed then, or, after a
    /// failure of the disk, all of it may be there when the database is opened again.
    pub fn change_tags(&self, changes: Vec<TagChange>) -> Result<Vec<bool>> {
        let shared = &self.shared;
        let mut writer = shared.tag_writer.lock();
        shared.check_present()?;
        writer.check()?;
        let state = Arc::clone(&shared.state.read());
        let mut next = TagSet::clone(&state.tags);
        let mut made = Vec::with_capacity(changes.len());
        let mut written = Vec::new();
        let result = changes.into_iter().try_for_each(|change| {
            let change = shared.apply_change(change, &state, &mut next, &mut writer, &mut written)?;
            made.push(change);
            Ok(())
        });
        result.inspect_err(|_| shared.remove_written(&written))?;
        if made.contains(&true) {
            shared.publish_tags(next, &mut writer)?;
        }
        Ok(made)
    }
}

impl Shared {
    /// Make a change in `next`. False where there is nothing to change.
    fn apply_change(
        &self,
        change: TagChange,
        state: &TableState,
        next: &mut TagSet,
        writer: &mut TagWriter,
        written: &mut Vec<String>,
    ) -> Result<bool> {
        let (info, members, over) = match change {
            TagChange::Drop(name) => {
                let count = next.tags.len();
                next.tags.retain(|tag| tag.entry.info.name != name);
                return Ok(next.tags.len() < count);
            }
            TagChange::Set { info, members, over } => (info, members, over),
        };
        let place = next.tags.iter().position(|tag| tag.entry.info.name == info.name);
        match (over, place) {
            (Over::Nothing, Some(_)) => {
                let message = format!("there is a tag '{}' already", info.name);
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
            (Over::Version(version), _) if place.is_none_or(|at| next.tags[at].entry.file != version) => {
                return Ok(false);
            }
            _ => {}
        }
        if place.is_none() && next.tags.len() >= TAGS_MAX {
            return Err(Error::new(ErrorKind::ResourceLimit, format!("a table has at most {TAGS_MAX} tags"))
                .with_hint("drop one first"));
        }
        let stored = Arc::new(self.write_tag(info, members, state, writer, written)?);
        match place {
            Some(place) => next.tags[place] = stored,
            None => next.tags.push(stored),
        }
        Ok(true)
    }

    /// Write a version of a tag, without users who are deleted by now.
    fn write_tag(
        &self,
        info: TagInfo,
        members: TagMembers,
        state: &TableState,
        writer: &mut TagWriter,
        written: &mut Vec<String>,
    ) -> Result<StoredTag> {
        check_tag(&info, &members)?;
        let mut gone = writer.erased.clone();
        add(&mut gone, state.shards.iter().flat_map(|shard| &shard.tombstones));
        let members = members.without(&gone);
        let shards = state.shards.len();
        let bytes = write_file(&members, shards)?;
        let entry = TagEntry {
            info,
            file: writer.next_file,
            bytes: bytes.len() as u64,
            crc: crc32c::crc32c(&bytes),
            users: members.users().len(),
            values: match &members {
                TagMembers::Plain(_) => None,
                TagMembers::ByValue(values) => Some(values.len() as u64),
            },
        };
        writer.next_file += 1;
        let name = file_name(self.id, entry.file);
        written.push(name.clone());
        put(self.store.as_ref(), &name, &bytes)?;
        StoredTag::open(self.store.as_ref(), self.id, &entry, shards)
    }

    /// Make `next` what is live on disk, then what readers see, and remove the files that it does not refer to.
    fn publish_tags(&self, mut next: TagSet, writer: &mut TagWriter) -> Result<()> {
        let before = Arc::clone(&self.state.read().tags);
        let entries = next.tags.iter().map(|tag| tag.entry.clone()).collect();
        let published = publish(self.store.as_ref(), self.id, before.number, entries);
        next.number = published.inspect_err(|error| writer.failed = Some(error.message().to_string()))?;
        let live: HashSet<String> = next.files().map(String::from).collect();
        {
            let _log = self.log.lock();
            let mut state = self.state.write();
            Arc::make_mut(&mut state).tags = Arc::new(next);
        }
        for name in before.files().filter(|name| !live.contains(*name)) {
            // Snapshots that have it keep it until they go. What stays is removed at the next opening.
            let _ = self.store.delete(name);
        }
        Ok(())
    }

    /// Take those deletions of `before` that are not among `needed` out of all tags: nothing will tell of them any more.
    /// Before the manifest that forgets them.
    pub(crate) fn erase_from_tags(&self, before: &TableState, needed: &[Tombstone]) -> Result<()> {
        match forgotten(before, needed) {
            gone if gone.iter().all(RoaringBitmap::is_empty) => Ok(()),
            gone => self.erase_users(before, &gone, &mut self.tag_writer.lock()),
        }
    }

    /// As [`Self::erase_from_tags`], for who holds `tag_writer` already.
    pub(super) fn erase_while_held(
        &self,
        before: &TableState,
        needed: &[Tombstone],
        writer: &mut TagWriter,
    ) -> Result<()> {
        match forgotten(before, needed) {
            gone if gone.iter().all(RoaringBitmap::is_empty) => Ok(()),
            gone => self.erase_users(before, &gone, writer),
        }
    }

    /// Take `gone`, users by shard, out of all tags. Who was deleted after `before` stays in them: that is not forgotten yet.
    fn erase_users(&self, before: &TableState, gone: &[RoaringBitmap], writer: &mut TagWriter) -> Result<()> {
        writer.erased.iter_mut().zip(gone).for_each(|(erased, gone)| *erased |= gone);
        let mut next = TagSet::clone(&self.state.read().tags);
        let mut written = Vec::new();
        let rewritten = self.rewrite_without(gone, before, &mut next, writer, &mut written);
        match rewritten.inspect_err(|_| self.remove_written(&written))? {
            false => Ok(()),
            true => self.publish_tags(next, writer),
        }
    }

    /// Write those tags of `next` anew in which somebody of `gone` is. Whether there was one.
    fn rewrite_without(
        &self,
        gone: &[RoaringBitmap],
        state: &TableState,
        next: &mut TagSet,
        writer: &mut TagWriter,
        written: &mut Vec<String>,
    ) -> Result<bool> {
        for tag in &mut next.tags {
            if tag.holds_any(gone)? {
                writer.check()?;
                let name = file_name(self.id, tag.entry.file);
                let members = read_file(&name, self.store.get(&name)?.as_slice())?;
                let info = tag.entry.info.clone();
                *tag = Arc::new(self.write_tag(info, members, state, writer, written)?);
            }
        }
        Ok(!written.is_empty())
    }

    /// Remove files that are in no index. What stays is removed at the next opening.
    fn remove_written(&self, written: &[String]) {
        written.iter().for_each(|name| drop(self.store.delete(name)));
    }
}

/// Users by shard whose deletion `before` has, and who are not among `needed`.
fn forgotten(before: &TableState, needed: &[Tombstone]) -> Vec<RoaringBitmap> {
    let needed: HashSet<&Tombstone> = needed.iter().collect();
    let forgotten = before.shards.iter().flat_map(|shard| &shard.tombstones).filter(|t| !needed.contains(t));
    let mut gone = vec![RoaringBitmap::new(); before.shards.len()];
    add(&mut gone, forgotten);
    gone
}

fn add<'a>(users: &mut [RoaringBitmap], tombstones: impl Iterator<Item = &'a Tombstone>) {
    for tombstone in tombstones {
        users[usize::from(tombstone.shard)].insert(tombstone.ordinal);
    }
}

fn put(store: &dyn Store, name: &str, bytes: &[u8]) -> Result<()> {
    let mut writer = store.create(name)?;
    writer.write_all(bytes).map_err(|error| Error::io(name, error))?;
    writer.finish()
}
