//! The footer in words.

use super::lines::{Lines, Place, escaped};
use crate::segment::footer::{ColumnInfo, Extent};
use crate::segment::format::{BLOCK_BYTES, CHUNK_BYTES, COLUMN_CHUNKS, RANGE_BYTES};
use crate::segment::reader::{Segment, values_of};
use crate::segment::widen::{timestamp_text, value_text};
use crate::types::ColumnType;

/// The footer, field by field.
pub(super) fn describe(segment: &Segment, lines: &mut Lines) {
    let (meta, footer) = (segment.meta(), &segment.footer);
    let extent = segment.footer_extent();
    lines.item(0, "footer", Place::checked(&extent), Ok(String::new()));
    lines.field("shard", &meta.shard.to_string());
    lines.field("time zone", footer.tz.name());
    lines.field("arrival numbers", &format!("from {} to {} (excluded)", meta.seq_start, meta.seq_end));
    lines
        .field("introduced ordinals", &format!("from {} to {} (excluded)", meta.introduced_start, meta.introduced_end));
    lines.field("rows", &meta.rows.to_string());
    lines.field("users with rows", &meta.users.to_string());
    let times = match meta.rows {
        0 => "none".into(),
        _ => format!("{} to {}", timestamp_text(meta.ts_min), timestamp_text(meta.ts_max)),
    };
    lines.field("ts", &times);
    // Pages and bitmaps have a checksum each.
    let parts = |extent: &Extent| format!("extent {} + {}", extent.offset, extent.length);
    lines.field("pages of user ids", &parts(&footer.pages));
    lines.field("directory of pages", &extent_words(&footer.page_directory));
    lines.field("bitmaps", &parts(&footer.bitmaps));
    lines.field("directory of bitmaps", &extent_words(&footer.bitmap_directory));
    lines.field("columns", &footer.columns.len().to_string());
    for (number, column) in footer.columns.iter().enumerate() {
        let bytes = segment.chunk_bytes(number + COLUMN_CHUNKS);
        lines.field(&format!("  {}", escaped(&column.name)), &column_words(column, bytes));
    }
    tables(segment, &extent, lines);
}

fn extent_words(extent: &Extent) -> String {
    format!("extent {} + {}, crc {:08x}", extent.offset, extent.length, extent.crc)
}

fn column_words(column: &ColumnInfo, bytes: usize) -> String {
    let flags = [
        (column.has_plain_blocks, "plain blocks"),
        (column.is_uniform, "uniform"),
        (column.is_indexed, "indexed"),
        (column.range.is_some(), "range"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    let flags = if flags.is_empty() { "none".into() } else { flags.join(", ") };
    let mut words = format!(
        "{}, {bytes} bytes in blocks, flags: {flags}; {} NULLs",
        column.column_type.sql_name(),
        column.null_count
    );
    match (column.column_type, column.range) {
        (ColumnType::Text, _) => {
            words += &format!("; {} texts, dictionary {}", column.dictionary_len, extent_words(&column.dictionary));
        }
        (column_type, Some(range)) => {
            let (min, max) = values_of(range, column_type);
            words += &format!("; {} to {}", value_text(&min), value_text(&max));
        }
        _ => {}
    }
    words
}

/// Where the long tables lie. What they say stands at the blocks.
fn tables(segment: &Segment, footer: &Extent, lines: &mut Lines) {
    let blocks = segment.blocks().len();
    let chunks = blocks * segment.tables.chunk_count;
    let ranged = segment.footer.columns.iter().filter(|column| column.has_block_ranges()).count();
    let chunks_at = footer.offset + segment.tables.chunks_at;
    let of = |offset: usize, count: usize, bytes: usize| {
        (Place::unchecked(offset, count * bytes), Ok(format!("{count} of {bytes} bytes")))
    };
    for (name, (place, words)) in [
        ("entries of blocks", of(chunks_at - blocks * BLOCK_BYTES, blocks, BLOCK_BYTES)),
        ("entries of chunks", of(chunks_at, chunks, CHUNK_BYTES)),
        ("ranges", of(chunks_at + chunks * CHUNK_BYTES, blocks * ranged, RANGE_BYTES)),
    ] {
        lines.item(1, name, place, words);
    }
}
