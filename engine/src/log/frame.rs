//! Frames: the unit that is written and synced at once.
//!
//! ```text
//! frame  = magic "TRLG" | first: u64 | records: u32 | length: u32 | crc of payload: u32 | crc of the 24 bytes before: u32
//!        | payload of `length` bytes
//! payload = records times (length: u32 | bytes)
//! ```
//! All integers are little-endian; CRC is CRC32C. A frame of 0 records is a mark: everything before it was durable when
//! it was written. A mark is not synced itself: the sync of the next frame carries it, and a power cut during that sync
//! may leave the frame and not the mark.

use crate::error::{Error, Result};

const MAGIC: [u8; 4] = *b"TRLG";
const HEADER_BYTES: usize = 28;

/// A frame that was read and whose checksums are right.
pub(super) struct Frame<'a> {
    /// Position of its first record.
    pub(super) first: u64,
    pub(super) count: u32,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Its records in order.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<&'a [u8]>> + use<'a> {
        let (mut rest, mut left) = (self.payload, self.count);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let record = take_record(&mut rest);
            Some(record.ok_or_else(|| Error::corrupt("a record is longer than its frame")))
        })
    }
}

fn take_record<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (record, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    Some(record)
}

fn encode(first: u64, count: u32, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).map_err(|_| {
        Error::new(crate::error::ErrorKind::ResourceLimit, "more than 4 GiB in one write to the log")
            .with_hint("append smaller batches")
    })?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&first.to_le_bytes());
    frame.extend_from_slice(&count.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// The bytes of `records`, of which the first has position `first`.
pub(super) fn encode_frame(first: u64, records: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(records.iter().map(|record| record.len() + 4).sum());
    for record in records {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        payload.extend_from_slice(&length.to_le_bytes());
        payload.extend_from_slice(record);
    }
    encode(first, u32::try_from(records.len()).expect("fewer than 2^32 records wait"), &payload)
}

/// A mark: the record at `position` and all before it are durable.
pub(super) fn encode_mark(position: u64) -> Vec<u8> {
    encode(position + 1, 0, &[]).expect("an empty payload is short")
}

/// The frame at the beginning of `bytes` and its length.
pub(super) fn decode(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let end = header_length(header)?;
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let first = u64::from_le_bytes(header[4..12].try_into().ok()?);
    let payload = bytes.get(HEADER_BYTES..end)?;
    (crc32c::crc32c(payload) == u32_at(20)).then_some((Frame { first, count: u32_at(12), payload }, end))
}

/// Give `each` every frame of the file `name`, whose first record has position `first`. Bytes at the end that are no
/// frame are the write that a power cut interrupted; so is a lost mark, where the frame behind it has the records that
/// are next. Other bytes that are no frame, before one, are damage.
pub(super) fn read_frames(
    name: &str,
    bytes: &[u8],
    first: u64,
    each: &mut dyn FnMut(Frame<'_>) -> Result<()>,
) -> Result<()> {
    let (mut offset, mut expected) = (0, first);
    while offset < bytes.len() {
        let Some((frame, length)) = decode(&bytes[offset..]) else {
            let Some((next, found)) = find_frame(bytes, offset) else { return Ok(()) };
            if is_lost_mark(next - offset, &found, expected) {
                offset = next;
                continue;
            }
            return Err(Error::corrupt(format!("{name}: damaged between byte {offset} and byte {next}"))
                .with_hint("restore the file from a backup"));
        };
        if frame.first != expected {
            return Err(Error::corrupt(format!("{name}: record {expected} is missing before byte {offset}"))
                .with_hint("restore the file from a backup"));
        }
        expected += u64::from(frame.count);
        if frame.count > 0 {
            each(frame)?;
        }
        offset += length;
    }
    Ok(())
}

/// The first frame behind the bytes at `offset`, which are none. Where they begin as a frame that did not arrive as a
/// whole, what looks like a frame inside of it is somebody's data.
pub(super) fn find_frame(bytes: &[u8], offset: usize) -> Option<(usize, Frame<'_>)> {
    let torn = bytes[offset..].first_chunk::<HEADER_BYTES>().and_then(header_length);
    let from = offset.saturating_add(torn.unwrap_or(1)).min(bytes.len());
    let candidates = bytes[from..].windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    candidates.map(|(at, _)| from + at).find_map(|at| Some((at, decode(&bytes[at..])?.0)))
}

/// Whether the `length` bytes before the frame `found` are a mark that was lost, as `expected` is the record that is next.
pub(super) fn is_lost_mark(length: usize, found: &Frame<'_>, expected: u64) -> bool {
    length == HEADER_BYTES && found.first == expected
}

/// How long the frame with this header is, if it is a header.
fn header_length(header: &[u8; HEADER_BYTES]) -> Option<usize> {
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let is_header = header[..4] == MAGIC && crc32c::crc32c(&header[..24]) == u32_at(24);
    is_header.then_some(HEADER_BYTES).and_then(|bytes| bytes.checked_add(u32_at(16) as usize))
}
