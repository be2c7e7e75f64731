//! The file of one version of a tag.
//!
//! ```text
//! header | directory | bitmaps
//! ```
//!
//! Header: `TRODTAG` and a newline (8), version (2), oldest reader (2), zeros (4), length of the directory (4), CRC of
//! the 20 bytes before and of the directory (4).
//! Directory: shards (4), form (1: 0 plain, 1 by value), number of values (4; plain: 1), then each value: length of its text
//! (4), the text (plain: none), and for each shard length (4) and CRC (4) of its bitmap. Bitmaps follow in that order, in
//! roaring's portable format.

use super::TagMembers;
use crate::error::{Error, Result};
use crate::manifest::unsupported;
use crate::members::Members;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TRODTAG\n";
const VERSION: u16 = 1;
const OLDEST_READER: u16 = 1;
const VERSION_AT: usize = 8;
const OLDEST_READER_AT: usize = 10;
const ZEROS_AT: usize = 12;
const DIRECTORY_BYTES_AT: usize = 16;
const DIRECTORY_CRC_AT: usize = 20;
const HEADER_BYTES: usize = 24;

/// Where the bitmaps of a tag are in its file.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) shards: usize,
    /// By value, in order; of a plain tag there is one without a text.
    pub(super) values: Vec<DirectoryValue>,
    pub(super) by_value: bool,
}

#[derive(Debug)]
pub(super) struct DirectoryValue {
    pub(super) text: String,
    /// Place and CRC of each shard's bitmap.
    pub(super) shards: Vec<(Range<usize>, u32)>,
}

/// The bytes of a tag's file.
pub(crate) fn write_file(members: &TagMembers, shards: usize) -> Result<Vec<u8>> {
    let values: Vec<(&str, &Members)> = match members {
        TagMembers::Plain(members) => vec![("", members)],
        TagMembers::ByValue(values) => values.iter().map(|(value, members)| (value.as_str(), members)).collect(),
    };
    let (mut directory, mut bitmaps) = (Vec::new(), Vec::new());
    let number = |directory: &mut Vec<u8>, value: usize| {
        directory.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    };
    number(&mut directory, shards);
    directory.push(u8::from(matches!(members, TagMembers::ByValue(_))));
    number(&mut directory, values.len());
    for (value, members) in values {
        number(&mut directory, value.len());
        directory.extend_from_slice(value.as_bytes());
        for shard in 0..shards {
            let start = bitmaps.len();
            let mut of_shard = RoaringBitmap::clone(&members.of_shard(shard));
            of_shard.optimize();
            of_shard.serialize_into(&mut bitmaps).map_err(|error| Error::io("a bitmap", error))?;
            number(&mut directory, bitmaps.len() - start);
            directory.extend_from_slice(&crc32c::crc32c(&bitmaps[start..]).to_le_bytes());
        }
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + directory.len() + bitmaps.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&OLDEST_READER.to_le_bytes());
    bytes.extend_from_slice(&[0; DIRECTORY_BYTES_AT - ZEROS_AT]);
    number(&mut bytes, directory.len());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &directory);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(&bitmaps);
    Ok(bytes)
}

impl Directory {
    /// The directory of a file, which accounts for every byte of it.
    ///
    /// # Errors
    /// `Corrupt`, and `UnsupportedFormat` for a file of another version.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self> {
        let directory = directory_bytes(name, bytes)?;
        let mut reader = Reader { rest: directory, at: HEADER_BYTES + directory.len() };
        let read = reader.directory().filter(|_| reader.rest.is_empty() && reader.at == bytes.len());
        read.ok_or_else(|| damaged(name, "its directory does not fit"))
    }

    /// The bitmap of a value in a shard.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn bitmap(&self, name: &str, bytes: &[u8], value: usize, shard: usize) -> Result<RoaringBitmap> {
        let (place, crc) = &self.values[value].shards[shard];
        let stored = &bytes[place.clone()];
        if crc32c::crc32c(stored) != *crc {
            return Err(damaged(name, "the checksum of a bitmap does not fit"));
        }
        let mut rest = stored;
        let bitmap = RoaringBitmap::deserialize_from(&mut rest).map_err(|_| damaged(name, "a bitmap is none"))?;
        if rest.is_empty() { Ok(bitmap) } else { Err(damaged(name, "a bitmap ends early")) }
    }

    /// The users with a value.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn members(&self, name: &str, bytes: &[u8], value: usize) -> Result<Members> {
        let shards = (0..self.shards).map(|shard| self.bitmap(name, bytes, value, shard).map(Arc::new));
        Ok(Members { shards: shards.collect::<Result<_>>()? })
    }
}

/// The directory's part of a file, whose header and checksum are right.
fn directory_bytes<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let cut = || damaged(name, "cut short");
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(cut)?;
    if &header[..VERSION_AT] != MAGIC {
        return Err(damaged(name, "this is no file of a tag"));
    }
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (version, oldest_reader) = (short(VERSION_AT), short(OLDEST_READER_AT));
    if oldest_reader > VERSION || version < OLDEST_READER {
        return Err(unsupported(name, version.into(), OLDEST_READER.into(), VERSION.into()));
    }
    if long(ZEROS_AT) != 0 || oldest_reader > version || version == VERSION && oldest_reader != OLDEST_READER {
        return Err(damaged(name, "its header is wrong"));
    }
    let directory = rest.get(..long(DIRECTORY_BYTES_AT) as usize).ok_or_else(cut)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..DIRECTORY_CRC_AT]), directory);
    match crc == long(DIRECTORY_CRC_AT) {
        true => Ok(directory),
        false => Err(damaged(name, "the checksum of its header and directory does not fit")),
    }
}

/// Reads a directory; `at` is where the next bitmap begins.
struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn directory(&mut self) -> Option<Directory> {
        let shards = self.number()? as usize;
        let by_value = match self.take(1)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let count = self.number()? as usize;
        // Each value takes bytes of its own, so that a wrong number cannot ask for much memory.
        if shards == 0 || count.saturating_mul(4 + 8 * shards) > self.rest.len() || !by_value && count != 1 {
            return None;
        }
        let values = (0..count).map(|_| self.value(shards)).collect::<Option<Vec<_>>>()?;
        let ordered = values.windows(2).all(|pair| pair[0].text < pair[1].text);
        let plain = by_value || values.iter().all(|value| value.text.is_empty());
        (ordered && plain).then_some(Directory { shards, values, by_value })
    }

    fn value(&mut self, shards: usize) -> Option<DirectoryValue> {
        let length = self.number()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_string();
        let place = |reader: &mut Self| {
            let (length, crc) = (reader.number()? as usize, reader.number()?);
            let start = reader.at;
            reader.at = start.checked_add(length)?;
            Some((start..reader.at, crc))
        };
        let shards = (0..shards).map(|_| place(self)).collect::<Option<Vec<_>>>()?;
        Some(DirectoryValue { text, shards })
    }
}

/// All members of a file.
///
/// # Errors
/// `Corrupt`, `UnsupportedFormat`.
pub(crate) fn read_file(name: &str, bytes: &[u8]) -> Result<TagMembers> {
    let directory = Directory::read(name, bytes)?;
    if !directory.by_value {
        return Ok(TagMembers::Plain(directory.members(name, bytes, 0)?));
    }
    let of_value =
        |(at, value): (usize, &DirectoryValue)| Ok((value.text.clone(), directory.members(name, bytes, at)?));
    let values = directory.values.iter().enumerate().map(of_value).collect::<Result<BTreeMap<_, _>>>()?;
    Ok(TagMembers::ByValue(values))
}

fn damaged(name: &str, what: &str) -> Error {
    Error::corrupt(format!("{name}: {what}")).with_hint(
        "restore the file from a backup; or remove the table's files tag-… and tags-…: its tags are gone then, and nothing else",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    fn members() -> impl Strategy<Value = Members> {
        proptest::collection::vec(proptest::collection::btree_set(0..200_000_u32, 0..30), 3).prop_map(|shards| {
            shards.into_iter().map(|of| of.into_iter().collect()).collect::<Vec<RoaringBitmap>>().into()
        })
    }

    fn tag() -> impl Strategy<Value = TagMembers> {
        prop_oneof![
            members().prop_map(TagMembers::Plain),
            proptest::collection::btree_map("[a-cü]{0,3}", members(), 0..5).prop_map(TagMembers::ByValue),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn members_survive_the_way_through_bytes_and_damage_is_told(tag in tag(), places in any::<u64>()) {
            let bytes = write_file(&tag, 3).unwrap();
            prop_assert_eq!(&read_file("f", &bytes).unwrap(), &tag);
            for length in 0..bytes.len() {
                prop_assert!(read_file("f", &bytes[..length]).is_err(), "cut at {}", length);
            }
            for (at, _) in bytes.iter().enumerate() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << ((places >> (at % 61)) % 8);
                let error = read_file("f", &flipped).unwrap_err();
                let kinds = [ErrorKind::Corrupt, ErrorKind::UnsupportedFormat];
                prop_assert!(kinds.contains(&error.kind()), "byte {} flipped: {}", at, error);
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            prop_assert!(read_file("f", &longer).is_err());
        }
    }
}
