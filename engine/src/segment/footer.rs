//! The footer: what a segment holds, and where.

use super::format::{BLOCK_BYTES, CHUNK_BYTES, COLUMN_CHUNKS, HEADER_BYTES, PROPERTY_COLUMNS, RANGE_BYTES};
use super::meta::{BlockMeta, SegmentMeta};
use super::wire::{Reader, i64_at, u32_at};
use crate::error::{Error, Result};
use crate::types::{ColumnType, FIXED_COLUMNS, TS_MAX_US, TS_MIN_US};
use chrono_tz::Tz;
use std::ops::Range;

const HAS_PLAIN_BLOCKS: u8 = 1;
const IS_UNIFORM: u8 = 2;
const IS_INDEXED: u8 = 4;
const HAS_RANGE: u8 = 8;
const TYPES: [ColumnType; 5] =
    [ColumnType::Boolean, ColumnType::BigInt, ColumnType::Double, ColumnType::Text, ColumnType::Timestamp];

/// A piece of the file with its checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) crc: u32,
}

impl Extent {
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.length
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.offset as u64).to_le_bytes());
        out.extend_from_slice(&(self.length as u64).to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Read an extent that must lie before `end`.
    fn read(reader: &mut Reader<'_>, end: usize) -> Result<Self> {
        let extent = Self { offset: reader.length()?, length: reader.length()?, crc: reader.u32()? };
        match extent.offset.checked_add(extent.length) {
            Some(extent_end) if extent_end <= end => Ok(extent),
            _ => Err(Error::corrupt("the footer points behind the end of the segment")),
        }
    }
}

/// A column as the footer describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnInfo {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    pub(crate) has_plain_blocks: bool,
    pub(crate) is_uniform: bool,
    pub(crate) is_indexed: bool,
    pub(crate) null_count: u64,
    /// Smallest and largest value as order keys.
    pub(crate) range: Option<(i64, i64)>,
    pub(crate) dictionary: Extent,
    pub(crate) dictionary_len: u32,
}

impl ColumnInfo {
    /// Whether the footer has its smallest and largest value for every block.
    pub(crate) fn has_block_ranges(&self) -> bool {
        self.range.is_some() && self.column_type != ColumnType::Text
    }

    fn write(&self, out: &mut Vec<u8>) {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = flag(self.has_plain_blocks, HAS_PLAIN_BLOCKS)
            | flag(self.is_uniform, IS_UNIFORM)
            | flag(self.is_indexed, IS_INDEXED)
            | flag(self.range.is_some(), HAS_RANGE);
        let (min, max) = self.range.unwrap_or_default();
        out.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.push(TYPES.iter().position(|known| *known == self.column_type).unwrap_or_default() as u8);
        out.push(flags);
        out.extend_from_slice(&self.null_count.to_le_bytes());
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(&max.to_le_bytes());
        self.dictionary.write(out);
        out.extend_from_slice(&self.dictionary_len.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>, end: usize) -> Result<Self> {
        let length = reader.u32()? as usize;
        let name = reader.text(length)?.to_string();
        let column_type = reader.u8()? as usize;
        let column_type =
            *TYPES.get(column_type).ok_or_else(|| Error::corrupt(format!("column '{name}' of an unknown type")))?;
        let flags = reader.u8()?;
        let null_count = reader.u64()?;
        let (min, max) = (reader.i64()?, reader.i64()?);
        Ok(Self {
            name,
            column_type,
            has_plain_blocks: flags & HAS_PLAIN_BLOCKS != 0,
            is_uniform: flags & IS_UNIFORM != 0,
            is_indexed: flags & IS_INDEXED != 0,
            null_count,
            range: (flags & HAS_RANGE != 0).then_some((min, max)),
            dictionary: Extent::read(reader, end)?,
            dictionary_len: reader.u32()?,
        })
    }
}

/// The footer, but for its long tables of blocks, which are read where they lie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Footer {
    /// `bytes` and `footer_crc` are not in the footer itself.
    pub(crate) meta: SegmentMeta,
    pub(crate) tz: Tz,
    /// `event`, `event_id`, and the properties.
    pub(crate) columns: Vec<ColumnInfo>,
    /// Number of pages of user ids, and the bytes of all.
    pub(crate) pages: Extent,
    pub(crate) page_directory: Extent,
    pub(crate) bitmaps: Extent,
    pub(crate) bitmap_directory: Extent,
}

/// The long tables of the footer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) blocks: Vec<u8>,
    pub(crate) chunks: Vec<u8>,
    /// For each column with ranges.
    pub(crate) ranges: Vec<u8>,
}

/// Where the tables lie in the footer, and the blocks, which are read at once.
#[derive(Debug)]
pub(crate) struct BlockTables {
    pub(crate) blocks: Vec<BlockMeta>,
    /// First byte of each block in the file, and the end of the last.
    pub(crate) offsets: Vec<usize>,
    /// Chunks of a block.
    pub(crate) chunk_count: usize,
    /// First byte of the table of chunks in the footer.
    pub(crate) chunks_at: usize,
    /// First byte of the block ranges of each column in the footer.
    pub(crate) ranges_at: Vec<Option<usize>>,
}

impl Footer {
    pub(crate) fn write(&self, tables: &Tables) -> Vec<u8> {
        let mut out = Vec::new();
        let meta = &self.meta;
        let tz = self.tz.name();
        out.extend_from_slice(&meta.shard.to_le_bytes());
        out.push(tz.len() as u8);
        out.extend_from_slice(tz.as_bytes());
        out.extend_from_slice(&meta.seq_start.to_le_bytes());
        out.extend_from_slice(&meta.seq_end.to_le_bytes());
        out.extend_from_slice(&meta.introduced_start.to_le_bytes());
        out.extend_from_slice(&meta.introduced_end.to_le_bytes());
        out.extend_from_slice(&meta.rows.to_le_bytes());
        out.extend_from_slice(&meta.users.to_le_bytes());
        out.extend_from_slice(&meta.ts_min.to_le_bytes());
        out.extend_from_slice(&meta.ts_max.to_le_bytes());
        for extent in [self.pages, self.page_directory, self.bitmaps, self.bitmap_directory] {
            extent.write(&mut out);
        }
        out.extend_from_slice(&(self.columns.len() as u32).to_le_bytes());
        self.columns.iter().for_each(|column| column.write(&mut out));
        out.extend_from_slice(&((tables.blocks.len() / BLOCK_BYTES) as u32).to_le_bytes());
        out.extend_from_slice(&tables.blocks);
        out.extend_from_slice(&tables.chunks);
        out.extend_from_slice(&tables.ranges);
        out
    }

    /// Read a footer whose checksum is right; `bytes` is the size of the segment.
    pub(crate) fn read(footer: &[u8], footer_crc: u32, bytes: u64) -> Result<(Self, BlockTables)> {
        let mut reader = Reader::new(footer);
        let end = bytes as usize - footer.len();
        let shard = reader.u16()?;
        let tz_len = reader.u8()? as usize;
        let tz_name = reader.text(tz_len)?;
        let tz = tz_name.parse().map_err(|_| Error::corrupt(format!("time zone '{tz_name}' is not known")))?;
        let meta = SegmentMeta {
            shard,
            seq_start: reader.u64()?,
            seq_end: reader.u64()?,
            introduced_start: reader.u32()?,
            introduced_end: reader.u32()?,
            rows: reader.u64()?,
            users: reader.u32()?,
            ts_min: reader.i64()?,
            ts_max: reader.i64()?,
            bytes,
            footer_crc,
        };
        let mut extents = [Extent::default(); 4];
        for extent in &mut extents {
            *extent = Extent::read(&mut reader, end)?;
        }
        let [pages, page_directory, bitmaps, bitmap_directory] = extents;
        let column_count = reader.u32()? as usize;
        let columns = (0..column_count).map(|_| ColumnInfo::read(&mut reader, end)).collect::<Result<Vec<_>>>()?;
        let footer_bytes = footer.len();
        let this = Self { meta, tz, columns, pages, page_directory, bitmaps, bitmap_directory };
        this.check_columns()?;
        let tables = this.read_tables(reader, footer, footer_bytes)?;
        Ok((this, tables))
    }

    fn check_columns(&self) -> Result<()> {
        let fixed_are_right = self.columns.len() >= PROPERTY_COLUMNS
            && (0..PROPERTY_COLUMNS).all(|column| {
                self.columns[column].name == FIXED_COLUMNS[2 + column]
                    && self.columns[column].column_type == ColumnType::Text
            })
            && !self.columns[super::format::EVENT_COLUMN].has_plain_blocks;
        let introduced_is_right = self.meta.introduced_start <= self.meta.introduced_end;
        match fixed_are_right && introduced_is_right {
            true => Ok(()),
            false => Err(Error::corrupt("the footer lacks a column that every segment has")),
        }
    }

    fn read_tables(&self, mut reader: Reader<'_>, footer: &[u8], footer_bytes: usize) -> Result<BlockTables> {
        let count = reader.u32()? as usize;
        let blocks = reader.bytes(count.saturating_mul(BLOCK_BYTES))?;
        let chunk_count = self.columns.len() + COLUMN_CHUNKS;
        let chunks_at = footer_bytes - reader.remaining();
        reader.bytes(count.saturating_mul(chunk_count * CHUNK_BYTES))?;
        let mut ranges_at = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let at = footer_bytes - reader.remaining();
            ranges_at.push(column.has_block_ranges().then_some(at));
            if column.has_block_ranges() {
                reader.bytes(count * RANGE_BYTES)?;
            }
        }
        reader.end()?;
        let blocks = self.read_blocks(blocks)?;
        let offsets = self.read_offsets(&footer[chunks_at..], count, chunk_count, footer_bytes)?;
        Ok(BlockTables { blocks, offsets, chunk_count, chunks_at, ranges_at })
    }

    fn read_blocks(&self, bytes: &[u8]) -> Result<Vec<BlockMeta>> {
        let mut row_start = 0;
        let mut blocks: Vec<BlockMeta> = Vec::with_capacity(bytes.len() / BLOCK_BYTES);
        for bytes in bytes.chunks_exact(BLOCK_BYTES) {
            let block = BlockMeta {
                first_ordinal: u32_at(bytes, 0),
                last_ordinal: u32_at(bytes, 4),
                row_start,
                rows: u32_at(bytes, 8),
                ts_min: i64_at(bytes, 12),
                ts_max: i64_at(bytes, 20),
            };
            let follows = blocks.last().is_none_or(|last| last.last_ordinal <= block.first_ordinal);
            let is_right = block.first_ordinal <= block.last_ordinal
                && block.rows > 0
                && TS_MIN_US <= block.ts_min
                && block.ts_min <= block.ts_max
                && block.ts_max <= TS_MAX_US;
            if !follows || !is_right {
                return Err(Error::corrupt(format!("block {} contradicts itself or the one before", blocks.len())));
            }
            row_start += u64::from(block.rows);
            blocks.push(block);
        }
        match row_start == self.meta.rows {
            true => Ok(blocks),
            false => Err(Error::corrupt("the blocks have another number of rows than the segment")),
        }
    }

    fn read_offsets(&self, chunks: &[u8], count: usize, per_block: usize, footer_bytes: usize) -> Result<Vec<usize>> {
        let end = self.meta.bytes as usize - footer_bytes;
        let mut offsets = Vec::with_capacity(count + 1);
        let mut offset = HEADER_BYTES;
        offsets.push(offset);
        for block in chunks.chunks_exact(per_block * CHUNK_BYTES).take(count) {
            let mut ends = block.chunks_exact(CHUNK_BYTES).map(|chunk| u32_at(chunk, 0));
            if !ends.clone().is_sorted() {
                return Err(Error::corrupt("column chunks that overlap"));
            }
            offset += ends.next_back().unwrap_or_default() as usize;
            offsets.push(offset);
        }
        match offset <= end {
            true => Ok(offsets),
            false => Err(Error::corrupt("blocks behind the end of the segment")),
        }
    }
}
