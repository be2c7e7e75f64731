//! Which versions of which tags are live: `tags-<number>` in the table's directory, JSON with a checksum line, like a
//! manifest. The highest number is live; a change writes the next one, and the one before goes then.

use super::TagInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, decode_checked, encode_checked, unsupported};
use crate::storage::Store;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// A tag that is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TagEntry {
    /// What is told of it.
    #[serde(flatten)]
    pub(crate) info: TagInfo,
    /// Number of the file of its members, which no other version ever has.
    pub(crate) file: u64,
    /// Bytes of that file.
    pub(crate) bytes: u64,
    /// CRC32C of that file.
    pub(crate) crc: u32,
    /// Members, each once.
    pub(crate) users: u64,
    /// Values; `None` for a plain tag.
    pub(crate) values: Option<u64>,
}

/// The content of an index file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    version: u32,
    /// Its number: one more than that of the index before.
    pub(crate) number: u64,
    /// The table that it is of.
    table: u64,
    /// The live tags, in the order in which they were made.
    pub(crate) tags: Vec<TagEntry>,
}

/// What the names of index files begin with.
pub(crate) fn index_prefix(table: u64) -> String {
    format!("{}/tags-", Manifest::directory(table))
}

/// What the names of files of tags begin with.
pub(crate) fn tag_prefix(table: u64) -> String {
    format!("{}/tag-", Manifest::directory(table))
}

/// The name of file `file` of a tag.
pub(crate) fn file_name(table: u64, file: u64) -> String {
    format!("{}{file:010}", tag_prefix(table))
}

/// The name of index `number`.
pub(crate) fn index_name(table: u64, number: u64) -> String {
    format!("{}{number:020}", index_prefix(table))
}

/// The live index of a table; number 0 where there never was one.
///
/// # Errors
/// `Corrupt`, `UnsupportedFormat`, what the disk says.
pub(crate) fn live_index(store: &dyn Store, table: u64) -> Result<Index> {
    let names = store.list(&index_prefix(table))?;
    let Some(name) = names.last() else {
        return Ok(Index { version: VERSION, number: 0, table, tags: Vec::new() });
    };
    let index = decode(name, store.get(name)?.as_slice())?;
    if *name != index_name(table, index.number) || index.table != table {
        return Err(Error::corrupt(format!(
            "{name}: says that it is number {} of table {}",
            index.number, index.table
        ))
        .with_hint("put the file back under its own name"));
    }
    check(&index).map_err(|error| error.at(name))?;
    Ok(index)
}

fn decode(name: &str, bytes: &[u8]) -> Result<Index> {
    let json = decode_checked(name, bytes)?;
    let broken = |error: serde_json::Error| Error::corrupt(format!("{name}: {error}"));
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(json).map_err(broken)?;
    if version != VERSION {
        return Err(unsupported(name, version, VERSION, VERSION));
    }
    serde_json::from_slice(json).map_err(broken)
}

/// Names and files are those of one tag each.
fn check(index: &Index) -> Result<()> {
    let names: HashSet<&str> = index.tags.iter().map(|tag| tag.info.name.as_str()).collect();
    let files: HashSet<u64> = index.tags.iter().map(|tag| tag.file).collect();
    match names.len() == index.tags.len() && files.len() == index.tags.len() {
        true => Ok(()),
        false => Err(Error::corrupt("two tags have one name or one file")),
    }
}

/// Make `tags` live, as the index that follows number `before`, and remove that one.
///
/// # Errors
/// What the disk says; which index is live is not known then.
pub(crate) fn publish(store: &dyn Store, table: u64, before: u64, tags: Vec<TagEntry>) -> Result<u64> {
    let index = Index { version: VERSION, number: before + 1, table, tags };
    check(&index)?;
    let name = index_name(table, index.number);
    let json = serde_json::to_vec(&index).map_err(|error| Error::invalid(format!("{name}: {error}")))?;
    if !store.put_if_absent(&name, &encode_checked(&json))? {
        return Err(Error::new(ErrorKind::Locked, format!("{name} is there already"))
            .with_hint("another process writes to this database; stop it, then open the database again"));
    }
    if before > 0 {
        // If it stays, the next opening removes it.
        let _ = store.delete(&index_name(table, before));
    }
    Ok(index.number)
}
