//! Blocks and their chunks in words.

use super::lines::{Lines, Place, escaped};
use crate::error::{Error, Result};
use crate::segment::block::Block;
use crate::segment::column::Scale;
use crate::segment::footer::ColumnInfo;
use crate::segment::format::{COLUMN_CHUNKS, TIMES_CHUNK, USERS_CHUNK};
use crate::segment::ints::PackedInts;
use crate::segment::packing::Packed;
use crate::segment::reader::{Segment, values_of};
use crate::segment::text;
use crate::segment::validity::{ALL, BITMAP, PER_USER, SAME_AS};
use crate::segment::widen::{timestamp_text, value_text};
use crate::segment::wire::{Reader, section_form, u32_at};
use crate::types::ColumnType;

/// Every block, and below it its chunks.
pub(super) fn describe(segment: &Segment, lines: &mut Lines) {
    let offsets = &segment.tables.offsets;
    let (start, end) = (offsets[0], offsets[offsets.len() - 1]);
    lines.item(0, "blocks", Place::unchecked(start, end - start), Ok(format!("{} blocks", segment.blocks().len())));
    for (number, block) in segment.blocks().iter().enumerate() {
        let place = Place::unchecked(offsets[number], offsets[number + 1] - offsets[number]);
        let words = format!(
            "ordinals {} to {}, {} rows, ts {} to {}",
            block.first_ordinal,
            block.last_ordinal,
            block.rows,
            timestamp_text(block.ts_min),
            timestamp_text(block.ts_max)
        );
        lines.item(1, &format!("block {number}"), place, Ok(words));
        for chunk in 0..segment.tables.chunk_count {
            describe_chunk(segment, number, chunk, lines);
        }
    }
}

fn describe_chunk(segment: &Segment, number: usize, chunk: usize, lines: &mut Lines) {
    let place = Place::checked(&segment.chunk_extent(number, chunk));
    let name = match chunk {
        USERS_CHUNK => "users".into(),
        TIMES_CHUNK => "ts".into(),
        column => escaped(&segment.footer.columns[column - COLUMN_CHUNKS].name),
    };
    let block = segment.block(number);
    let checked = segment.chunk(number, chunk).map_err(|error| error.at(format!("{name} of block {number}")));
    let words = checked.and_then(|(bytes, _)| match chunk {
        USERS_CHUNK => users(bytes, &block),
        TIMES_CHUNK => block.times().map(|times| times.form()),
        column => column_words(segment, &block, number, column - COLUMN_CHUNKS, bytes)
            .map_err(|error| error.at(format!("{name} of block {number}"))),
    });
    lines.item(2, &name, place, words);
}

fn users(bytes: &[u8], block: &Block<'_>) -> Result<String> {
    let count = block.users()?.ordinals.len();
    let mut reader = Reader::new(bytes);
    reader.u32()?;
    let (differences, rows) = (Packed::read(&mut reader, count - 1)?, Packed::read(&mut reader, count)?);
    Ok(format!("{count} users, differences {}, rows {}", differences.form(), rows.form()))
}

/// How a column chunk is stored, and in which range its values lie.
fn column_words(segment: &Segment, block: &Block<'_>, number: usize, column: usize, bytes: &[u8]) -> Result<String> {
    let info = &segment.footer.columns[column];
    if bytes.is_empty() {
        return Ok("NULL throughout".into());
    }
    let opened = block.open(column)?;
    let (rows, nulls) = (opened.validity.len(), opened.validity.null_count());
    let nulls = match bytes[0] {
        ALL => "no NULL".into(),
        BITMAP => format!("{nulls} of {rows} NULL, bits"),
        SAME_AS => {
            let other = u32_at(bytes, 1) as usize;
            format!("{nulls} of {rows} NULL, as {}", escaped(&segment.footer.columns[other].name))
        }
        PER_USER => format!("{nulls} of {rows} NULL, bits one a user"),
        other => return Err(Error::corrupt(format!("validity in the unknown encoding {other}"))),
    };
    let values = values(block, info, opened)?;
    let range = segment.block_range(number, column).map(|range| values_of(range, info.column_type));
    let range = range.map_or_else(String::new, |(min, max)| format!("; {} to {}", value_text(&min), value_text(&max)));
    Ok(format!("{nulls}; {values}{range}"))
}

/// How the values of a chunk are stored behind its NULLs.
fn values<'a>(block: &Block<'a>, info: &ColumnInfo, mut opened: crate::segment::block::Opened<'a>) -> Result<String> {
    let ints = |opened| block.read_ints(opened).map(|(_, values)| values.form());
    match info.column_type {
        ColumnType::Boolean | ColumnType::BigInt | ColumnType::Timestamp => ints(opened),
        ColumnType::Double => {
            let scale = Scale::from_byte(opened.reader.u8()?);
            let scale = scale.ok_or_else(|| Error::corrupt("doubles of an unknown scale"))?;
            let ints = ints(opened)?;
            Ok(match scale {
                Scale::Bits => format!("exponent 255 (bits), {ints}"),
                Scale::Decimal(exponent) => format!("exponent {exponent}, {ints}"),
            })
        }
        ColumnType::Text => match opened.reader.u8()? {
            text::DICTIONARY => ints(opened).map(|codes| format!("codes, {codes}")),
            text::PLAIN => {
                let mut reader = opened.reader;
                let per_user = || Err(Error::corrupt("lengths of texts given per user"));
                let lengths = PackedInts::read(&mut reader, opened.validity.valid_count(), per_user)?;
                Ok(format!("plain, lengths {}, texts {}", lengths.form(), section_form(reader.rest())?))
            }
            other => Err(Error::corrupt(format!("text in the unknown form {other}"))),
        },
    }
}
