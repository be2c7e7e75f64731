//! The users of a block, and the pages of user ids of a segment.

use super::format::{PAGE_ENTRY_BYTES, PAGE_USERS};
use super::ints::PackedInts;
use super::meta::{BlockMeta, BlockUsers};
use super::packing::Packed;
use super::wire::{Reader, put_section, put_varint, section, u32_at};
use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;

/// Append the chunk of the users of a block: their number, gaps between ordinals, numbers of rows.
pub(crate) fn write_users(users: &BlockUsers, out: &mut Vec<u8>) {
    out.extend_from_slice(&(users.ordinals.len() as u32).to_le_bytes());
    let gaps: Vec<i64> = users.ordinals.windows(2).map(|pair| i64::from(pair[1] - pair[0])).collect();
    let rows: Vec<i64> = users.starts.windows(2).map(|pair| i64::from(pair[1] - pair[0])).collect();
    Packed::write(&gaps, out);
    Packed::write(&rows, out);
}

/// Read the chunk of the users of `block`.
pub(crate) fn read_users(bytes: &[u8], block: &BlockMeta) -> Result<BlockUsers> {
    let mut reader = Reader::new(bytes);
    let count = reader.u32()? as usize;
    if count == 0 || count > block.rows as usize {
        return Err(Error::corrupt(format!("{count} users in {} rows", block.rows)));
    }
    let mut gaps = Vec::new();
    PackedInts::frame(Packed::read(&mut reader, count - 1)?).decode(0..count - 1, &mut gaps);
    let mut rows = Vec::new();
    PackedInts::frame(Packed::read(&mut reader, count)?).decode(0..count, &mut rows);
    reader.end()?;
    let broken = || Error::corrupt("the users of a block do not fit its rows");
    let add = |sum: u32, step: i64| u32::try_from(step).ok().filter(|step| *step > 0)?.checked_add(sum);
    let mut ordinals = Vec::with_capacity(count);
    ordinals.push(block.first_ordinal);
    let mut ordinal = block.first_ordinal;
    for gap in gaps {
        ordinal = add(ordinal, gap).ok_or_else(broken)?;
        ordinals.push(ordinal);
    }
    let mut starts = Vec::with_capacity(count + 1);
    starts.push(0);
    let mut start = 0;
    for rows in rows {
        start = add(start, rows).ok_or_else(broken)?;
        starts.push(start);
    }
    match ordinal == block.last_ordinal && start == block.rows {
        true => Ok(BlockUsers { ordinals, starts }),
        false => Err(broken()),
    }
}

/// Writes pages of user ids.
pub(crate) struct PageWriter {
    /// Bytes of the pages so far.
    length: u64,
    page: Vec<u8>,
    stored: Vec<u8>,
    in_page: usize,
    pub(crate) directory: Vec<u8>,
    pub(crate) count: u64,
}

impl PageWriter {
    pub(crate) fn new() -> Self {
        Self { length: 0, page: Vec::new(), stored: Vec::new(), in_page: 0, directory: Vec::new(), count: 0 }
    }

    /// Add an id; gives a page when one is full.
    pub(crate) fn push(&mut self, id: Option<&str>) -> Result<Option<&[u8]>> {
        put_varint(&mut self.page, id.map_or(0, |id| id.len() as u64 + 1));
        self.page.extend_from_slice(id.unwrap_or_default().as_bytes());
        self.in_page += 1;
        self.count += 1;
        match self.in_page {
            PAGE_USERS => self.flush(),
            _ => Ok(None),
        }
    }

    /// The last page.
    pub(crate) fn flush(&mut self) -> Result<Option<&[u8]>> {
        if self.in_page == 0 {
            return Ok(None);
        }
        self.stored.clear();
        put_section(&mut self.stored, &self.page)?;
        self.length += self.stored.len() as u64;
        self.directory.extend_from_slice(&self.length.to_le_bytes());
        self.directory.extend_from_slice(&crc32c::crc32c(&self.stored).to_le_bytes());
        self.page.clear();
        self.in_page = 0;
        Ok(Some(&self.stored))
    }
}

/// Number of pages for `users` ids.
pub(crate) fn page_count(users: usize) -> usize {
    users.div_ceil(PAGE_USERS)
}

/// Where page `page` lies among the pages, and its CRC32C.
pub(crate) fn page_place(directory: &[u8], page: usize) -> Result<(Range<usize>, u32)> {
    let broken = || Error::corrupt("the directory of user ids is too short");
    let end = |page: usize| {
        let entry = directory.get(page * PAGE_ENTRY_BYTES..(page + 1) * PAGE_ENTRY_BYTES).ok_or_else(broken)?;
        let length = Reader::new(entry).length()?;
        Ok::<_, Error>((length, u32_at(entry, 8)))
    };
    let start = if page == 0 { 0 } else { end(page - 1)?.0 };
    let (end, crc) = end(page)?;
    match start <= end {
        true => Ok((start..end, crc)),
        false => Err(Error::corrupt("pages of user ids that overlap")),
    }
}

/// The `count` ids of a page.
pub(crate) fn read_page(bytes: &[u8], count: usize) -> Result<Vec<Option<String>>> {
    let plain = section(bytes)?;
    let mut reader = Reader::new(&plain);
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(reader.varint()?)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "a user id beyond the address space"))?;
        ids.push(match length.checked_sub(1) {
            Some(length) => Some(reader.text(length)?.to_string()),
            None => None,
        });
    }
    reader.end()?;
    Ok(ids)
}
