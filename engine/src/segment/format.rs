//! The places of the fixed parts of a segment. `docs/FORMAT.md` has the same numbers.
//!
//! ```text
//! header | blocks | dictionaries
//! | pages of user ids | directory of pages | bitmaps | directory of bitmaps | footer | tail
//! ```

use crate::error::{Error, ErrorKind, Result};

/// First and last bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"TRODSEG\n";
/// The format that this program writes.
pub(crate) const VERSION: u16 = 2;
/// The oldest format that this program reads.
pub(crate) const OLDEST_VERSION: u16 = 1;
/// The oldest reader that reads what this program writes.
pub(crate) const OLDEST_READER: u16 = 2;
/// The first format with bitmaps of days with any event, and of users with two events a day.
pub(crate) const DAY_COUNTS_VERSION: u16 = 2;

/// Magic, version, oldest reader, 4 zero bytes.
pub(crate) const HEADER_BYTES: usize = 16;
/// Footer length (u64), CRC32C of the footer (u32), version (u16), oldest reader (u16), magic.
pub(crate) const TAIL_BYTES: usize = 24;

/// Bytes of a block in the footer: first ordinal, last ordinal, rows (u32 each), earliest and latest time (i64 each).
pub(crate) const BLOCK_BYTES: usize = 28;
/// Bytes of a column chunk in the footer: its end, counted from the start of the block, and its CRC32C.
pub(crate) const CHUNK_BYTES: usize = 8;
/// Bytes of a block's smallest and largest value of a column in the footer.
pub(crate) const RANGE_BYTES: usize = 16;
/// Bytes of a page in the directory of user pages: its end, counted from the first page, and its CRC32C.
pub(crate) const PAGE_ENTRY_BYTES: usize = 12;
/// Users whose ids lie in one page.
pub(crate) const PAGE_USERS: usize = 1024;

/// Chunks of a block, in this order; the properties follow.
pub(crate) const USERS_CHUNK: usize = 0;
/// Times.
pub(crate) const TIMES_CHUNK: usize = 1;
/// The first text column, `event`. The columns of the footer (`event`, `event_id`, properties) have their chunks from
/// here on.
pub(crate) const COLUMN_CHUNKS: usize = 2;
/// `event` among the columns of the footer.
pub(crate) const EVENT_COLUMN: usize = 0;
/// `event_id` among the columns of the footer.
pub(crate) const EVENT_ID_COLUMN: usize = 1;
/// The first property among the columns of the footer.
pub(crate) const PROPERTY_COLUMNS: usize = 2;

/// The header of every segment.
pub(crate) fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[10..12].copy_from_slice(&OLDEST_READER.to_le_bytes());
    header
}

/// The tail behind a footer.
pub(crate) fn tail(footer: &[u8]) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    tail[..8].copy_from_slice(&(footer.len() as u64).to_le_bytes());
    tail[8..12].copy_from_slice(&crc32c::crc32c(footer).to_le_bytes());
    tail[12..14].copy_from_slice(&VERSION.to_le_bytes());
    tail[14..16].copy_from_slice(&OLDEST_READER.to_le_bytes());
    tail[16..].copy_from_slice(&MAGIC);
    tail
}

/// The footer of a segment, checked against the tail, and its CRC32C.
pub(crate) fn footer(bytes: &[u8]) -> Result<(&[u8], u32)> {
    if bytes.len() < HEADER_BYTES + TAIL_BYTES {
        return Err(Error::corrupt(format!("{} bytes are too few for a segment", bytes.len())));
    }
    let (rest, tail) = bytes.split_at(bytes.len() - TAIL_BYTES);
    let header = &rest[..HEADER_BYTES];
    if header[..8] != MAGIC {
        return Err(Error::corrupt("this is no segment: it does not begin as one"));
    }
    if tail[16..] != MAGIC {
        return Err(Error::corrupt("the segment does not end as one; it was cut off or overwritten"));
    }
    if header[8..12] != tail[12..16] || header[12..] != [0; 4] {
        return Err(Error::corrupt("the head and the tail of the segment contradict each other"));
    }
    check_version(u16::from_le_bytes([header[8], header[9]]), u16::from_le_bytes([header[10], header[11]]))?;
    let mut reader = super::wire::Reader::new(tail);
    let (length, crc) = (reader.length()?, reader.u32()?);
    if length > rest.len() - HEADER_BYTES {
        return Err(Error::corrupt(format!("a footer of {length} bytes in a segment of {}", bytes.len())));
    }
    let footer = &rest[rest.len() - length..];
    if crc32c::crc32c(footer) != crc {
        return Err(Error::corrupt("the footer does not match its checksum"));
    }
    Ok((footer, crc))
}

/// The format of a segment whose ends were checked.
pub(crate) fn version(bytes: &[u8]) -> u16 {
    bytes.get(8..10).map_or(0, |version| u16::from_le_bytes([version[0], version[1]]))
}

fn check_version(version: u16, oldest_reader: u16) -> Result<()> {
    if oldest_reader > VERSION {
        return Err(Error::new(
            ErrorKind::UnsupportedFormat,
            format!("the segment has format {version}; this program reads formats {OLDEST_VERSION} to {VERSION}"),
        )
        .with_hint("a newer version of trodden wrote it: open it with that one"));
    }
    if version < OLDEST_VERSION {
        return Err(Error::new(
            ErrorKind::UnsupportedFormat,
            format!("the segment has format {version}; this program reads formats {OLDEST_VERSION} to {VERSION}"),
        )
        .with_hint("export the data with the version of trodden that wrote it, and import it again"));
    }
    Ok(())
}
