//! A segment in words, part by part as `docs/FORMAT.md` has them. What is damaged is named in its place, and the rest
//! is told all the same.

mod bitmaps;
mod chunks;
mod footer;
mod lines;
mod texts;

use super::format::{HEADER_BYTES, MAGIC, TAIL_BYTES};
use super::reader::Segment;
use crate::error::{Error, Result};
use crate::storage::Blob;
use lines::{Lines, Place};

/// What a segment is, for people.
#[derive(Debug)]
pub struct Description {
    /// A line for each part, block, chunk, dictionary, page, bitmap and field, in the order of the file. Empty for a
    /// file that does not begin as a segment.
    pub text: String,
    /// What is damaged, in the same order. Every checksum is looked at; whether the parts fit together is a question for
    /// [`Segment::verify`].
    pub damage: Vec<Error>,
}

/// Describe the segment whose bytes are `blob`, as far as it can be read.
pub fn describe_segment(blob: Blob) -> Description {
    let lines = match Segment::open_footer(blob.clone()) {
        Ok(segment) => whole(&segment),
        Err(error) => ends(blob.as_slice(), error),
    };
    Description { text: lines.text, damage: lines.damage }
}

/// All of a segment whose footer can be read.
fn whole(segment: &Segment) -> Lines {
    let bytes = segment.bytes();
    let mut lines = Lines::new(bytes.len(), segment.footer.columns.iter().map(|column| column.name.as_str()));
    lines.plain(&summary(segment));
    lines.head();
    header(bytes, &mut lines);
    chunks::describe(segment, &mut lines);
    texts::dictionaries(segment, &mut lines);
    texts::user_ids(segment, &mut lines);
    bitmaps::describe(segment, &mut lines);
    footer::describe(segment, &mut lines);
    tail(bytes, &mut lines);
    lines
}

/// What can be told where the footer cannot be read: it alone says where the other parts lie.
fn ends(bytes: &[u8], error: Error) -> Lines {
    let mut lines = Lines::new(bytes.len(), std::iter::empty());
    if !bytes.starts_with(&MAGIC) {
        lines.damage.push(error);
        return lines;
    }
    lines.plain(&format!("segment of {} bytes, of which the parts are not known", bytes.len()));
    lines.head();
    header(bytes, &mut lines);
    let inside = bytes.len().saturating_sub(HEADER_BYTES + TAIL_BYTES);
    lines.item(0, "blocks to footer", Place::unchecked(HEADER_BYTES, inside), Err(error));
    tail(bytes, &mut lines);
    lines
}

fn summary(segment: &Segment) -> String {
    let meta = segment.meta();
    format!(
        "segment of shard {}, {} rows of {} users in {} blocks, {} bytes",
        meta.shard,
        meta.rows,
        meta.users,
        segment.blocks().len(),
        meta.bytes
    )
}

/// Both ends of a segment have its versions and the magic bytes.
fn versions(bytes: &[u8]) -> Result<String> {
    let mut reader = super::wire::Reader::new(bytes);
    let (version, oldest_reader) = (reader.u16()?, reader.u16()?);
    Ok(format!("version {version}, oldest reader {oldest_reader}"))
}

fn header(bytes: &[u8], lines: &mut Lines) {
    let header = &bytes[..bytes.len().min(HEADER_BYTES)];
    let words = match header.len() {
        HEADER_BYTES => versions(&header[MAGIC.len()..]).map(|versions| format!("TRODSEG, {versions}")),
        length => Err(Error::corrupt(format!("{length} of the {HEADER_BYTES} bytes of the header are there"))),
    };
    lines.item(0, "header", Place::unchecked(0, header.len()), words);
}

fn tail(bytes: &[u8], lines: &mut Lines) {
    let Some(offset) = bytes.len().checked_sub(TAIL_BYTES).filter(|offset| *offset >= HEADER_BYTES) else { return };
    let mut reader = super::wire::Reader::new(&bytes[offset..]);
    let words = (|| {
        let (length, crc) = (reader.u64()?, reader.u32()?);
        let versions = versions(reader.rest())?;
        match bytes.ends_with(&MAGIC) {
            true => Ok(format!("footer of {length} bytes with crc {crc:08x}, {versions}, TRODSEG")),
            false => Err(Error::corrupt("the magic bytes at the end of a segment are missing")),
        }
    })();
    lines.item(0, "tail", Place::unchecked(offset, TAIL_BYTES), words);
}
