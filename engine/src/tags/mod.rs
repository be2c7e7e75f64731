//! Tags: named users of a table, kept until they are refreshed. "Who is a VIP? Who is in tier gold?"
//!
//! - [`TagInfo`] is what is told of a tag, [`TagMembers`] who is in it: plainly, or by value.
//! - `file` writes the members of one version of a tag, and reads them back.
//! - `index` says which versions are live. It is replaced as a whole, so that a change is there or not.
//! - `set` has the live tags in memory; members are read when they are first asked for, and kept.
//! - [`Tags`] are the tags of a snapshot, without the users who were deleted by then.
//!
//! The engine does not read definitions: it keeps the text that the layer above gave, and what that needs to know in order
//! to tell whether a refresh can begin where the last one ended.

mod describe;
mod file;
mod index;
mod set;
mod view;

pub use describe::describe_tag;
pub(crate) use file::{read_file, write_file};
pub(crate) use index::{TagEntry, file_name, index_name, index_prefix, live_index, publish};
pub(crate) use set::{StoredTag, TagSet};
pub use view::{Tag, Tags};

use crate::error::{Error, ErrorKind, Result};
use crate::members::Members;
use crate::table::Snapshot;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tags of one table.
pub const TAGS_MAX: usize = 10_000;
/// Values of one tag.
pub const TAG_VALUES_MAX: usize = 65_536;
/// Bytes of a name, and of a value.
const TEXT_BYTES_MAX: usize = 255;

/// What is told of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagInfo {
    /// Its name.
    pub name: String,
    /// The text that defines it. The engine does not read it.
    pub definition: String,
    /// Besides the events, what its members depend on, in words of the layer above. A refresh that goes on where the last
    /// one ended is right only while this is the same.
    pub basis: String,
    /// How often it is to be refreshed, in microseconds; `None`: when somebody says so.
    pub every_us: Option<i64>,
    /// When it was refreshed, in microseconds since 1970.
    pub refreshed_at_us: i64,
    /// The last record of the table that its members count on.
    pub position: u64,
    /// Per shard the first arrival number that its members do not count on.
    pub arrivals: Vec<u64>,
    /// What the table's retention hid at that moment.
    pub hidden_before_us: i64,
    /// How long the last refresh took, in milliseconds.
    pub cost_ms: u64,
    /// Whether the last refresh looked only at what had arrived since the one before.
    pub incremental: bool,
}

impl TagInfo {
    /// The same, as of `snapshot`.
    #[must_use]
    pub fn as_of(self, snapshot: &Snapshot) -> Self {
        Self {
            position: snapshot.position,
            arrivals: snapshot.shards.iter().map(|shard| shard.next_seq).collect(),
            hidden_before_us: snapshot.hidden_before_us,
            ..self
        }
    }
}

/// Who is in a tag.
#[derive(Debug, Clone, PartialEq)]
pub enum TagMembers {
    /// Users.
    Plain(Members),
    /// Users by value. One user may have several.
    ByValue(BTreeMap<String, Members>),
}

impl TagMembers {
    /// Everybody in it.
    pub fn users(&self) -> Members {
        match self {
            Self::Plain(members) => members.clone(),
            Self::ByValue(values) => values.values().fold(Members::default(), |sum, members| sum.or(members)),
        }
    }

    /// The same without `gone`. A value that nobody has is none.
    pub(crate) fn without(&self, gone: &[RoaringBitmap]) -> Self {
        let gone = Members::from(gone.to_vec());
        match self {
            Self::Plain(members) => Self::Plain(members.and_not(&gone)),
            Self::ByValue(values) => {
                let left = values.iter().map(|(value, members)| (value.clone(), members.and_not(&gone)));
                Self::ByValue(left.filter(|(_, members)| !members.is_empty()).collect())
            }
        }
    }
}

/// A change of the tags of a table.
#[derive(Debug)]
pub enum TagChange {
    /// Set a tag.
    Set {
        /// What is told of it.
        info: TagInfo,
        /// Who is in it.
        members: TagMembers,
        /// What may be there before.
        over: Over,
    },
    /// Drop a tag.
    Drop(String),
}

/// What a tag may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing: it is new.
    Nothing,
    /// Whatever there is.
    Anything,
    /// This version alone, of which it is a refresh.
    Version(u64),
}

/// Whether a tag like that can be.
pub(crate) fn check_tag(info: &TagInfo, members: &TagMembers) -> Result<()> {
    if info.name.is_empty() || info.name.len() > TEXT_BYTES_MAX || info.name.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "the name of a tag has 1 to {TEXT_BYTES_MAX} bytes and no control characters"
        )));
    }
    if info.every_us.is_some_and(|every| every <= 0) {
        return Err(Error::invalid("a tag is refreshed in intervals longer than 0"));
    }
    let TagMembers::ByValue(values) = members else { return Ok(()) };
    if values.len() > TAG_VALUES_MAX {
        let message = format!("tag '{}' has {} values; {TAG_VALUES_MAX} are the most", info.name, values.len());
        return Err(Error::new(ErrorKind::ResourceLimit, message).with_hint("put values together to fewer ones"));
    }
    match values.keys().find(|value| value.len() > TEXT_BYTES_MAX) {
        Some(value) => Err(Error::invalid(format!(
            "a value of tag '{}' has {} bytes; {TEXT_BYTES_MAX} are the most",
            info.name,
            value.len()
        ))),
        None => Ok(()),
    }
}
