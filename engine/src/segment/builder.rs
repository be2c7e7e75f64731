//! Writing a segment: rows come in order, blocks and then the rest go out.

use super::buffer::{ColumnBuffer, Encoded, NO_RANGE, Shape};
use super::dictionary;
use super::footer::{ColumnInfo, Extent, Footer, Tables};
use super::format::{self, EVENT_COLUMN, EVENT_ID_COLUMN, HEADER_BYTES, PROPERTY_COLUMNS};
use super::ints;
use super::meta::{BlockUsers, SegmentMeta, SegmentSpec};
use super::users::{PageWriter, write_users};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{BlockRows, IndexBuilder, IndexedColumn};
use crate::rows::{Column, NULL_CODE, Rows, TextColumn};
use crate::types::{ColumnType, FIXED_COLUMNS, TS_MAX_US, TS_MIN_US};
use std::io::Write;

/// When a block is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// A block ends with the user who reaches this many rows.
    pub target_rows: usize,
    /// A block ends at this many rows even within a user.
    pub max_rows: usize,
    /// A block ends behind the row whose text exceeds this many bytes, even within a user.
    pub max_text_bytes: usize,
}

impl Default for BlockLimits {
    fn default() -> Self {
        Self { target_rows: 16_384, max_rows: 65_536, max_text_bytes: 16 << 20 }
    }
}

/// Streams sorted rows into a segment. Rows come sorted by (ordinal, ts, arrival) over all pushes. In memory are one
/// block, the dictionaries, and the lists of the indexes.
pub struct SegmentBuilder<W: Write> {
    spec: SegmentSpec,
    limits: BlockLimits,
    sink: W,
    /// Bytes written.
    written: usize,
    /// Of the block: an ordinal and a time a row.
    ordinals: Vec<u32>,
    ts: Vec<i64>,
    text_bytes: usize,
    /// `event`, `event_id`, and the properties.
    columns: Vec<ColumnBuffer>,
    index: IndexBuilder,
    tables: Tables,
    /// For each column that has had a value that is not text: smallest and largest value of each block.
    ranges: Vec<Vec<u8>>,
    blocks: usize,
    rows: u64,
    ts_range: (i64, i64),
    last: Option<(u32, i64)>,
}

impl<W: Write> std::fmt::Debug for SegmentBuilder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentBuilder(shard {}, {} rows, {} bytes)", self.spec.shard, self.rows(), self.written)
    }
}

impl<W: Write> SegmentBuilder<W> {
    /// A builder that writes to `sink`.
    pub fn new(spec: SegmentSpec, sink: W) -> Self {
        Self::with_limits(spec, sink, BlockLimits::default())
    }

    /// A builder with blocks of another size; tests want small ones.
    pub fn with_limits(spec: SegmentSpec, sink: W, limits: BlockLimits) -> Self {
        let fixed = [ColumnBuffer::new(ColumnType::Text, true), ColumnBuffer::new(ColumnType::Text, false)];
        let properties = spec.schema.columns.iter().map(|column| ColumnBuffer::new(column.column_type, false));
        let columns: Vec<ColumnBuffer> = fixed.into_iter().chain(properties).collect();
        let indexed = columns[PROPERTY_COLUMNS..].iter().map(ColumnBuffer::has_codes);
        let limits = BlockLimits { target_rows: limits.target_rows.max(1), max_rows: limits.max_rows.max(1), ..limits };
        Self {
            index: IndexBuilder::new(spec.tz, true, indexed),
            ranges: vec![Vec::new(); columns.len()],
            columns,
            spec,
            limits,
            sink,
            written: 0,
            ordinals: Vec::new(),
            ts: Vec::new(),
            text_bytes: 0,
            tables: Tables::default(),
            blocks: 0,
            rows: 0,
            ts_range: (i64::MAX, i64::MIN),
            last: None,
        }
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> u64 {
        self.rows + self.ordinals.len() as u64
    }

    /// Bytes written so far: whole blocks, without dictionaries and indexes.
    pub fn bytes_written(&self) -> u64 {
        self.written as u64
    }

    /// Append rows: `rows[order[i]]` is the i-th. Columns are matched by name; a missing one is NULL, one of a
    /// narrower type is widened to the schema's.
    ///
    /// # Errors
    /// `InvalidInput` for rows out of order, a time out of range, a missing event name, a column that the schema does
    /// not have or whose values its type does not hold, columns of different lengths. What the sink says. After an
    /// error the segment must be given up.
    pub fn push(&mut self, rows: &Rows, order: &[u32]) -> Result<()> {
        let properties = self.match_columns(rows)?;
        let heavy = self.heavy_texts(rows, order.len());
        let mut rest = order;
        while !rest.is_empty() {
            let take = self.rows_for_block(rows, rest, &heavy)?;
            let (now, later) = rest.split_at(take);
            self.append(rows, &properties, now)?;
            rest = later;
            if !rest.is_empty() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// The properties of `rows` with their places among the columns.
    fn match_columns<'r>(&self, rows: &'r Rows) -> Result<Vec<(usize, &'r Column)>> {
        let count = rows.len();
        let mut lengths = [rows.ts.len(), rows.event.codes.len()].into_iter().chain(
            // A table that has no event ids leaves the column out.
            Some(rows.event_id.codes.len()).filter(|length| *length > 0),
        );
        if lengths.any(|length| length != count) || rows.properties.iter().any(|(_, column)| column.len() != count) {
            return Err(Error::invalid("columns of different lengths"));
        }
        let schema = &self.spec.schema;
        rows.properties
            .iter()
            .map(|(name, column)| match schema.index_of(name) {
                Some(index) => Ok((index + PROPERTY_COLUMNS, column)),
                None => Err(Error::invalid(format!("column '{name}' is not in the schema of the segment"))),
            })
            .collect()
    }

    /// Text columns whose texts could exceed what a block may hold, so that they must be measured row by row.
    fn heavy_texts<'r>(&self, rows: &'r Rows, count: usize) -> Vec<&'r TextColumn> {
        let texts = rows.properties.iter().filter_map(|(_, column)| match column {
            Column::Text(text) => Some(text),
            _ => None,
        });
        let count = count.min(self.limits.max_rows);
        let is_heavy =
            |text: &&TextColumn| text.dictionary.memory_bytes().saturating_mul(count) > self.limits.max_text_bytes;
        let texts = texts.chain(Some(&rows.event_id).filter(|text| !text.codes.is_empty()));
        texts.filter(is_heavy).collect()
    }

    /// How many of the rows `order` the block still takes; all that are taken are checked.
    fn rows_for_block(&mut self, rows: &Rows, order: &[u32], heavy: &[&TextColumn]) -> Result<usize> {
        for (taken, &row) in order.iter().enumerate() {
            let row = row as usize;
            let (Some(&ordinal), Some(&ts), Some(&event)) =
                (rows.ordinals.get(row), rows.ts.get(row), rows.event.codes.get(row))
            else {
                return Err(Error::invalid(format!("row {row} of {} rows", rows.len())));
            };
            let filled = self.ordinals.len() + taken;
            let is_new_user = self.last.is_none_or(|(last, _)| last != ordinal);
            let is_full = (filled >= self.limits.target_rows && is_new_user)
                || filled >= self.limits.max_rows
                || self.text_bytes > self.limits.max_text_bytes;
            if is_full {
                return Ok(taken);
            }
            if self.last.is_some_and(|last| last > (ordinal, ts)) {
                return Err(Error::invalid("rows out of order: a segment wants them by user and time"));
            }
            if !(TS_MIN_US..=TS_MAX_US).contains(&ts) || event == NULL_CODE {
                return Err(Error::invalid(format!("a row at {ts} µs, out of range or without an event name")));
            }
            self.last = Some((ordinal, ts));
            for text in heavy {
                let code = text.codes[row];
                self.text_bytes += if code == NULL_CODE { 0 } else { text.dictionary.value(code).len() };
            }
        }
        Ok(order.len())
    }

    fn append(&mut self, rows: &Rows, properties: &[(usize, &Column)], order: &[u32]) -> Result<()> {
        let before = self.ordinals.len();
        self.ordinals.extend(order.iter().map(|&row| rows.ordinals[row as usize]));
        self.ts.extend(order.iter().map(|&row| rows.ts[row as usize]));
        self.columns[EVENT_COLUMN].push_text(&rows.event, order, before);
        if !rows.event_id.codes.is_empty() {
            self.columns[EVENT_ID_COLUMN].push_text(&rows.event_id, order, before);
        }
        for &(column, data) in properties {
            let name = || format!("column '{}'", self.spec.schema.columns[column - PROPERTY_COLUMNS].name);
            self.columns[column].push(data, order, before).map_err(|error| error.at(name()))?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.written == 0 {
            self.written = HEADER_BYTES;
            self.sink.write_all(&format::header()).map_err(|error| Error::io("writing a segment", error))?;
        }
        self.sink.write_all(bytes).map_err(|error| Error::io("writing a segment", error))?;
        self.written += bytes.len();
        Ok(())
    }

    /// Write the block.
    fn flush(&mut self) -> Result<()> {
        let rows = self.ordinals.len();
        if rows == 0 {
            return Ok(());
        }
        let users = block_users(&self.ordinals);
        let ts_range = self.ts.iter().fold((i64::MAX, i64::MIN), |(min, max), &ts| (min.min(ts), max.max(ts)));
        self.columns.iter_mut().for_each(|column| column.complete(rows));
        let mut block = Vec::new();
        write_users(&users, &mut block);
        self.end_chunk(&block, 0)?;
        let start = block.len();
        ints::encode(&self.ts, None, true, &mut block);
        self.end_chunk(&block, start)?;
        self.flush_columns(&users, &mut block)?;
        self.write(&block)?;

        for number in [users.ordinals[0], users.ordinals[users.ordinals.len() - 1], rows as u32] {
            self.tables.blocks.extend_from_slice(&number.to_le_bytes());
        }
        self.tables.blocks.extend_from_slice(&ts_range.0.to_le_bytes());
        self.tables.blocks.extend_from_slice(&ts_range.1.to_le_bytes());
        self.ts_range = (self.ts_range.0.min(ts_range.0), self.ts_range.1.max(ts_range.1));
        self.blocks += 1;
        self.rows += rows as u64;
        self.ordinals.clear();
        self.ts.clear();
        self.text_bytes = 0;
        Ok(())
    }

    /// Note the end and the checksum of the chunk that fills `block` from `start` on.
    fn end_chunk(&mut self, block: &[u8], start: usize) -> Result<()> {
        let end = u32::try_from(block.len())
            .map_err(|_| Error::new(ErrorKind::ResourceLimit, "a block of a segment would take more than 4 GiB"))?;
        self.tables.chunks.extend_from_slice(&end.to_le_bytes());
        self.tables.chunks.extend_from_slice(&crc32c::crc32c(&block[start..]).to_le_bytes());
        Ok(())
    }

    /// Append the chunks of all columns to `block`, and add the rows to the indexes.
    fn flush_columns(&mut self, users: &BlockUsers, block: &mut Vec<u8>) -> Result<()> {
        let events: Vec<u32> = self.columns[EVENT_COLUMN].values.iter().map(|code| *code as u32).collect();
        let rows = BlockRows { users: &users.ordinals, starts: &users.starts, ts: &self.ts, events: &events };
        let continues = self.index.continues(&rows);
        let shape = Shape { starts: &users.starts, rows: self.ts.len(), continues };
        self.index.add_rows(&rows);
        let mut with_bitmap = Vec::new();
        for column in 0..self.columns.len() {
            let start = block.len();
            let encoded = self.encode_column(column, shape, &mut with_bitmap, block)?;
            self.end_chunk(block, start)?;
            self.note_range(column, encoded.as_ref());
            if let Some(property) = column.checked_sub(PROPERTY_COLUMNS) {
                let buffer = &self.columns[column];
                let rows = BlockRows { users: &users.ordinals, starts: &users.starts, ts: &self.ts, events: &events };
                match &encoded {
                    None => self.index.add_column(property, &rows, continues, None),
                    Some(encoded) if buffer.has_codes() => {
                        let data =
                            IndexedColumn { codes: &buffer.values, valid: &buffer.valid, uniform: encoded.uniform };
                        self.index.add_column(property, &rows, continues, Some(data));
                    }
                    Some(_) => self.index.drop_column(property),
                }
            }
            // The buffers are emptied only when no later column can refer to this one.
            self.columns[column].note_block(shape, encoded.as_ref());
        }
        self.columns.iter_mut().for_each(ColumnBuffer::clear_block);
        Ok(())
    }

    fn encode_column(
        &self,
        column: usize,
        shape: Shape<'_>,
        with_bitmap: &mut Vec<usize>,
        block: &mut Vec<u8>,
    ) -> Result<Option<Encoded>> {
        let buffer = &self.columns[column];
        if buffer.is_null() {
            return Ok(None);
        }
        let has_same_nulls = |other: &&usize| {
            let other = &self.columns[**other];
            other.valid_count() == buffer.valid_count() && other.valid == buffer.valid
        };
        let same_as = match buffer.has_some_nulls() {
            true => with_bitmap.iter().find(has_same_nulls).map(|other| *other as u32),
            false => None,
        };
        let encoded = buffer.encode(shape, same_as, block)?;
        if encoded.has_bitmap {
            with_bitmap.push(column);
        }
        Ok(Some(encoded))
    }

    /// Note smallest and largest value of a column in this block, once the column has had a value.
    fn note_range(&mut self, column: usize, encoded: Option<&Encoded>) {
        let is_text = self.columns[column].column_type == ColumnType::Text;
        let ranges = &mut self.ranges[column];
        if is_text || (ranges.is_empty() && encoded.is_none()) {
            return;
        }
        let mut put = |(min, max): (i64, i64)| {
            ranges.extend_from_slice(&min.to_le_bytes());
            ranges.extend_from_slice(&max.to_le_bytes());
        };
        if self.columns[column].summary.null_count == self.rows {
            (0..self.blocks).for_each(|_| put(NO_RANGE));
        }
        put(encoded.map_or(NO_RANGE, |encoded| encoded.range));
    }

    /// Write dictionaries, user ids, indexes and footer, and give the sink back. `user_ids` are the ids of the
    /// introduced users in order of ordinal, `None` for a deleted user.
    ///
    /// # Errors
    /// `InvalidInput` if there are more or fewer ids than the segment introduces. What the sink says.
    pub fn finish(mut self, user_ids: &mut dyn Iterator<Item = Option<String>>) -> Result<(SegmentMeta, W)> {
        self.flush()?;
        // An empty segment has no block, but a header.
        self.write(&[])?;
        let dictionaries = self.write_dictionaries()?;
        let (pages, page_directory) = self.write_user_ids(user_ids)?;
        let (section, directory) = self.index.encode()?;
        let bitmaps = self.write_extent(&section)?;
        let bitmap_directory = self.write_extent(&directory)?;
        let meta = SegmentMeta {
            shard: self.spec.shard,
            seq_start: self.spec.seq.start,
            seq_end: self.spec.seq.end,
            introduced_start: self.spec.introduced.start,
            introduced_end: self.spec.introduced.end,
            rows: self.rows,
            users: self.index.user_count(),
            ts_min: self.ts_range.0,
            ts_max: self.ts_range.1,
            bytes: 0,
            footer_crc: 0,
        };
        let columns = self.column_infos(dictionaries);
        let footer =
            Footer { meta: meta.clone(), tz: self.spec.tz, columns, pages, page_directory, bitmaps, bitmap_directory };
        self.tables.ranges = std::mem::take(&mut self.ranges).concat();
        let footer = footer.write(&self.tables);
        self.write(&footer)?;
        self.write(&format::tail(&footer))?;
        self.sink.flush().map_err(|error| Error::io("writing a segment", error))?;
        Ok((SegmentMeta { bytes: self.written as u64, footer_crc: crc32c::crc32c(&footer), ..meta }, self.sink))
    }

    fn write_extent(&mut self, bytes: &[u8]) -> Result<Extent> {
        let extent = Extent { offset: self.written, length: bytes.len(), crc: crc32c::crc32c(bytes) };
        self.write(bytes)?;
        Ok(extent)
    }

    /// The dictionary of each column with its number of texts.
    fn write_dictionaries(&mut self) -> Result<Vec<(Extent, u32)>> {
        let mut dictionaries = Vec::with_capacity(self.columns.len());
        for column in 0..self.columns.len() {
            let texts = self.columns[column].dictionary.values();
            let mut bytes = Vec::new();
            if !texts.is_empty() {
                dictionary::write(texts, &mut bytes)?;
            }
            let count = texts.len() as u32;
            dictionaries.push((self.write_extent(&bytes)?, count));
        }
        Ok(dictionaries)
    }

    fn write_user_ids(&mut self, user_ids: &mut dyn Iterator<Item = Option<String>>) -> Result<(Extent, Extent)> {
        let offset = self.written;
        let mut pages = PageWriter::new();
        for id in user_ids {
            if let Some(page) = pages.push(id.as_deref())? {
                self.write(page)?;
            }
        }
        if let Some(page) = pages.flush()? {
            self.write(page)?;
        }
        let expected = self.spec.introduced.len() as u64;
        if pages.count != expected {
            return Err(Error::invalid(format!("{} ids for {expected} introduced users", pages.count)));
        }
        let extent = Extent { offset, length: self.written - offset, crc: 0 };
        Ok((extent, self.write_extent(&pages.directory)?))
    }

    fn column_infos(&self, dictionaries: Vec<(Extent, u32)>) -> Vec<ColumnInfo> {
        let fixed = FIXED_COLUMNS[2..].iter().map(|name| (*name).to_string());
        let names = fixed.chain(self.spec.schema.columns.iter().map(|column| column.name.clone()));
        let columns = names.zip(&self.columns).zip(dictionaries).enumerate();
        columns
            .map(|(index, ((name, buffer), (dictionary, dictionary_len)))| ColumnInfo {
                name,
                column_type: buffer.column_type,
                has_plain_blocks: buffer.summary.has_plain_blocks,
                is_uniform: buffer.summary.uniform,
                is_indexed: index >= PROPERTY_COLUMNS && self.index.is_indexed(index - PROPERTY_COLUMNS),
                null_count: buffer.summary.null_count,
                range: Some(buffer.summary.range).filter(|(min, max)| min <= max),
                dictionary,
                dictionary_len,
            })
            .collect()
    }
}

/// Users and their first rows.
fn block_users(ordinals: &[u32]) -> BlockUsers {
    let mut users = BlockUsers::default();
    for (row, &ordinal) in (0..).zip(ordinals) {
        if users.ordinals.last() != Some(&ordinal) {
            users.ordinals.push(ordinal);
            users.starts.push(row);
        }
    }
    users.starts.push(ordinals.len() as u32);
    users
}
