//! Reading a segment: the footer at open, everything else at first use.

use super::active_days::ActiveKey;
use super::block::Block;
use super::buffer::double_of_key;
use super::day_blocks::DayBlocks;
use super::day_events::DayCounts;
use super::dictionary;
use super::footer::{BlockTables, ColumnInfo, Extent, Footer};
use super::format::{self, CHUNK_BYTES, EVENT_COLUMN, PROPERTY_COLUMNS, RANGE_BYTES};
use super::kept::Kept;
use super::meta::{BlockMeta, ColumnStats, SegmentMeta};
use super::users::{page_count, page_place, read_page};
use super::wire::{i64_at, u32_at};
use crate::error::{Error, Result};
use crate::index::{Directory, ListKey, decode_bitmap};
use crate::storage::Blob;
use crate::types::{ColumnDef, ColumnType, Schema, Value};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::ops::Range;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Bitmaps that a segment keeps decoded, in bytes of memory, about.
const BITMAP_CACHE_BYTES: usize = 8 << 20;
/// Pages of user ids that a segment keeps decoded.
const CACHED_PAGES: usize = 16;

type Page = Arc<Vec<Option<String>>>;

/// An immutable segment, open for reading. Shared by `Arc` between threads; everything but the footer is read and
/// checked at first use.
pub struct Segment {
    blob: Blob,
    pub(super) footer: Footer,
    pub(super) tables: BlockTables,
    footer_start: usize,
    schema: Schema,
    by_name: HashMap<String, usize>,
    event_names: Arc<Vec<Box<str>>>,
    dictionaries: Vec<OnceLock<Arc<Vec<Box<str>>>>>,
    /// A bit a chunk: its checksum was right.
    checked_chunks: Vec<AtomicU64>,
    checked_directory: OnceLock<()>,
    checked_page_directory: OnceLock<()>,
    bitmaps: Mutex<BitmapCache>,
    pub(super) day_span: OnceLock<(i32, i32)>,
    pub(super) first_days: Mutex<Kept<Option<u32>, i32>>,
    pub(super) active_days: Mutex<Kept<ActiveKey, u64>>,
    pub(super) active_users: Mutex<Kept<Option<u32>, u64>>,
    pub(super) day_blocks: Mutex<DayBlocks>,
    pub(super) day_events: Mutex<Option<Arc<DayCounts>>>,
    pub(super) user_values: Mutex<Kept<Box<str>, u16>>,
    pages: [Mutex<Option<(usize, Page)>>; CACHED_PAGES],
}

/// Bitmaps that were read, by their place in the directory.
#[derive(Default)]
struct BitmapCache {
    bitmaps: Vec<Option<Arc<RoaringBitmap>>>,
    bytes: usize,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({:?})", self.footer.meta)
    }
}

impl Segment {
    /// All its bytes.
    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Open the segment whose bytes are `blob`: check its ends, versions, footer and bounds.
    ///
    /// # Errors
    /// `Corrupt`, or `UnsupportedFormat` for a format that this program does not read.
    pub fn open(blob: Blob) -> Result<Self> {
        let mut segment = Self::open_footer(blob)?;
        segment.event_names = segment.column_dictionary(EVENT_COLUMN)?;
        Ok(segment)
    }

    /// Open it without the names of its events, to look at a segment of which those may be damaged.
    pub(super) fn open_footer(blob: Blob) -> Result<Self> {
        let bytes = blob.as_slice();
        let (footer_bytes, crc) = format::footer(bytes)?;
        let footer_start = bytes.len() - format::TAIL_BYTES - footer_bytes.len();
        let (mut footer, tables) = Footer::read(footer_bytes, crc, (footer_start + footer_bytes.len()) as u64)
            .map_err(|error| error.at("footer of a segment"))?;
        footer.meta.bytes = bytes.len() as u64;
        let properties = footer.columns[PROPERTY_COLUMNS..].iter();
        let columns =
            properties.map(|column| ColumnDef { name: column.name.clone(), column_type: column.column_type }).collect();
        let by_name = footer.columns.iter().zip(0..).map(|(column, index)| (column.name.clone(), index)).collect();
        let chunks = tables.blocks.len() * tables.chunk_count;
        Ok(Self {
            schema: Schema { columns },
            by_name,
            event_names: Arc::default(),
            dictionaries: footer.columns.iter().map(|_| OnceLock::new()).collect(),
            checked_chunks: (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            checked_directory: OnceLock::new(),
            checked_page_directory: OnceLock::new(),
            bitmaps: Mutex::default(),
            day_span: OnceLock::new(),
            first_days: Mutex::default(),
            active_days: Mutex::default(),
            active_users: Mutex::default(),
            day_blocks: Mutex::default(),
            day_events: Mutex::default(),
            user_values: Mutex::default(),
            pages: std::array::from_fn(|_| Mutex::new(None)),
            footer,
            tables,
            footer_start,
            blob,
        })
    }

    /// What the manifest keeps of it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.footer.meta
    }

    /// The property columns that are stored here, with the types that they are stored in.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Time zone of the calendar days of the index.
    pub fn time_zone(&self) -> chrono_tz::Tz {
        self.footer.tz
    }

    pub(super) fn column_index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn column_info(&self, name: &str) -> Option<(usize, &ColumnInfo)> {
        self.column_index(name).map(|index| (index, &self.footer.columns[index]))
    }

    /// The type in which a property, `event` or `event_id` is stored; `None` if it is not stored here.
    pub(crate) fn column_type(&self, name: &str) -> Option<ColumnType> {
        self.column_info(name).map(|(_, column)| column.column_type)
    }

    /// Statistics of a property, `event` or `event_id`; `None` if it is not stored here.
    pub fn column_stats(&self, name: &str) -> Option<ColumnStats> {
        let (_, column) = self.column_info(name)?;
        Some(ColumnStats {
            null_count: column.null_count,
            range: column.range.map(|range| values_of(range, column.column_type)),
            distinct: (column.column_type == ColumnType::Text && !column.has_plain_blocks)
                .then_some(u64::from(column.dictionary_len)),
        })
    }

    /// The blocks in order.
    pub fn blocks(&self) -> &[BlockMeta] {
        &self.tables.blocks
    }

    /// Smallest and largest value of a property in a block; `None` for text, for a column that is not stored here,
    /// and where all are NULL. Doubles by IEEE totalOrder with -0 = 0. Panics if there is no such block.
    pub fn block_column_range(&self, block: usize, name: &str) -> Option<(Value, Value)> {
        let (index, column) = self.column_info(name)?;
        self.block_range(block, index).map(|range| values_of(range, column.column_type))
    }

    /// Smallest and largest key of a column in a block, like [`Segment::block_column_range`].
    pub(super) fn block_range(&self, block: usize, column: usize) -> Option<(i64, i64)> {
        assert!(block < self.blocks().len(), "block {block} of {}", self.blocks().len());
        let at = self.footer_start + self.tables.ranges_at[column]? + block * RANGE_BYTES;
        let bytes = self.blob.as_slice();
        let range = (i64_at(bytes, at), i64_at(bytes, at + 8));
        (range.0 <= range.1).then_some(range)
    }

    /// A block. Panics if there is no such block.
    pub fn block(&self, index: usize) -> Block<'_> {
        Block::new(self, index)
    }

    /// The dictionary of `event`: the code is the place in it.
    pub fn event_names(&self) -> &[Box<str>] {
        &self.event_names
    }

    /// The code of an event name, if the segment has such an event.
    pub fn event_code(&self, name: &str) -> Option<u32> {
        self.event_names.iter().zip(0..).find(|(known, _)| &***known == name).map(|(_, code)| code)
    }

    /// The dictionary of a text property, of `event` or `event_id`. `None` if the column is not stored here or is not
    /// text. It is complete only if [`Segment::is_dictionary_coded`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn dictionary(&self, name: &str) -> Result<Option<Arc<Vec<Box<str>>>>> {
        match self.column_info(name) {
            Some((index, column)) if column.column_type == ColumnType::Text => self.column_dictionary(index).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn column_dictionary(&self, index: usize) -> Result<Arc<Vec<Box<str>>>> {
        if let Some(dictionary) = self.dictionaries[index].get() {
            return Ok(dictionary.clone());
        }
        let column = &self.footer.columns[index];
        let place = || format!("dictionary of column '{}'", column.name);
        let texts = match column.dictionary_len {
            0 => Vec::new(),
            count => {
                let bytes = self.extent(&column.dictionary).map_err(|error| error.at(place()))?;
                dictionary::read(bytes, count).map_err(|error| error.at(place()))?
            }
        };
        Ok(self.dictionaries[index].get_or_init(|| Arc::new(texts)).clone())
    }

    /// Whether every block of a text column is dictionary-coded.
    pub fn is_dictionary_coded(&self, name: &str) -> bool {
        self.column_info(name)
            .is_some_and(|(_, column)| column.column_type == ColumnType::Text && !column.has_plain_blocks)
    }

    /// Whether each user has one value, or NULL, throughout in this segment. True for a column that is not stored
    /// here: it is NULL.
    pub fn is_uniform(&self, column: &str) -> bool {
        self.column_info(column).is_none_or(|(_, column)| column.is_uniform)
    }

    /// The bytes of an extent, after checking its checksum.
    pub(super) fn extent(&self, extent: &Extent) -> Result<&[u8]> {
        let bytes = &self.blob.as_slice()[extent.range()];
        match crc32c::crc32c(bytes) == extent.crc {
            true => Ok(bytes),
            false => Err(Error::corrupt(format!("bytes {:?} do not match their checksum", extent.range()))),
        }
    }

    /// The bytes of a chunk, and whether this process reads it for the first time; then its checksum was checked.
    pub(super) fn chunk(&self, block: usize, chunk: usize) -> Result<(&[u8], bool)> {
        let number = block * self.tables.chunk_count + chunk;
        let extent = self.chunk_extent(block, chunk);
        let data = &self.blob.as_slice()[extent.range()];
        let bit = 1 << (number % 64);
        if self.checked_chunks[number / 64].load(Ordering::Relaxed) & bit != 0 {
            return Ok((data, false));
        }
        if crc32c::crc32c(data) != extent.crc {
            let start = extent.offset - self.tables.offsets[block];
            let end = start + extent.length;
            return Err(Error::corrupt(format!("bytes {start}..{end} of the block do not match their checksum")));
        }
        self.checked_chunks[number / 64].fetch_or(bit, Ordering::Relaxed);
        Ok((data, true))
    }

    /// Where a chunk lies, and its checksum.
    pub(super) fn chunk_extent(&self, block: usize, chunk: usize) -> Extent {
        let number = block * self.tables.chunk_count + chunk;
        let entry = |number: usize| self.footer_start + self.tables.chunks_at + number * CHUNK_BYTES;
        let bytes = self.blob.as_slice();
        let start = if chunk == 0 { 0 } else { u32_at(bytes, entry(number - 1)) as usize };
        let length = u32_at(bytes, entry(number)) as usize - start;
        Extent { offset: self.tables.offsets[block] + start, length, crc: u32_at(bytes, entry(number) + 4) }
    }

    /// Bytes of a chunk over all blocks.
    pub(super) fn chunk_bytes(&self, chunk: usize) -> usize {
        (0..self.blocks().len()).map(|block| self.chunk_extent(block, chunk).length).sum()
    }

    /// All bytes of the segment.
    pub(super) fn bytes(&self) -> &[u8] {
        self.blob.as_slice()
    }

    /// Where the footer lies, and its checksum.
    pub(super) fn footer_extent(&self) -> Extent {
        let length = self.bytes().len() - format::TAIL_BYTES - self.footer_start;
        Extent { offset: self.footer_start, length, crc: self.footer.meta.footer_crc }
    }

    /// The bytes of an extent, whose checksum is checked at first use.
    fn checked_once(&self, extent: &Extent, checked: &OnceLock<()>) -> Result<&[u8]> {
        if checked.get().is_none() {
            self.extent(extent)?;
            let _ = checked.set(());
        }
        Ok(&self.blob.as_slice()[extent.range()])
    }

    pub(super) fn directory(&self) -> Result<Directory<'_>> {
        let bytes = self.checked_once(&self.footer.bitmap_directory, &self.checked_directory);
        bytes.and_then(Directory::new).map_err(|error| error.at("directory of bitmaps"))
    }

    /// The stored bytes of the `index`-th bitmap, after checking its checksum.
    pub(super) fn bitmap_bytes(&self, directory: &Directory<'_>, index: usize) -> Result<&[u8]> {
        let place = directory.place(index);
        let section = self.footer.bitmaps;
        let offset = section.offset + place.offset as usize;
        match place.offset as usize + place.length as usize <= section.length {
            true => self.extent(&Extent { offset, length: place.length as usize, crc: place.crc }),
            false => Err(Error::corrupt("a bitmap behind the end of the index section")),
        }
    }

    /// The bitmap of `key`; `None` if there is none.
    fn bitmap(&self, key: ListKey) -> Result<Option<Arc<RoaringBitmap>>> {
        let directory = self.directory()?;
        match directory.find(key) {
            Some(index) => self.bitmap_at(&directory, index, &mut self.bitmaps.lock()).map(Some),
            None => Ok(None),
        }
    }

    /// The bitmap at a place of the directory.
    fn bitmap_at(
        &self,
        directory: &Directory<'_>,
        index: usize,
        cache: &mut BitmapCache,
    ) -> Result<Arc<RoaringBitmap>> {
        if let Some(Some(bitmap)) = cache.bitmaps.get(index) {
            return Ok(Arc::clone(bitmap));
        }
        let bitmap = self.bitmap_bytes(directory, index).and_then(decode_bitmap);
        let bitmap = Arc::new(bitmap.map_err(|error| error.at(format!("bitmap {:?}", directory.key(index))))?);
        // Roaring's own forms are at most about as large in memory as on disk.
        let bytes = bitmap.serialized_size() + 64;
        if cache.bytes + bytes > BITMAP_CACHE_BYTES {
            *cache = BitmapCache::default();
        }
        cache.bytes += bytes;
        if cache.bitmaps.is_empty() {
            cache.bitmaps.resize(directory.len(), None);
        }
        cache.bitmaps[index] = Some(Arc::clone(&bitmap));
        Ok(bitmap)
    }

    /// The days of a list that lie in `days`, and the bitmap of each, in order.
    fn bitmaps_by_day(&self, list: ListKey, days: &RangeInclusive<i32>) -> Result<Vec<(i32, Arc<RoaringBitmap>)>> {
        let directory = self.directory()?;
        let mut found = Vec::new();
        let mut cache = self.bitmaps.lock();
        for (index, key) in directory.days_from(list.on(*days.start())) {
            if key.day() > *days.end() {
                break;
            }
            found.push((key.day(), self.bitmap_at(&directory, index, &mut cache)?));
        }
        Ok(found)
    }

    /// All ordinals with a row.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn users(&self) -> Result<Arc<RoaringBitmap>> {
        self.bitmap(ListKey::USERS)?.ok_or_else(|| Error::corrupt("the bitmap of all users is missing"))
    }

    /// Users with an event of this name: exact.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn event_users(&self, code: u32) -> Result<Arc<RoaringBitmap>> {
        Ok(self.bitmap(ListKey::event(code))?.unwrap_or_default())
    }

    /// The days on which there is an event of this name, in order.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn event_days(&self, code: u32) -> Result<Vec<i32>> {
        Ok(self.directory()?.days_from(ListKey::event_day(code, i32::MIN)).map(|(_, key)| key.day()).collect())
    }

    /// Users with an event of this name on this calendar day (days since 1970-01-01 in the segment's time zone):
    /// exact; `None` if there is no such event.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn event_day_users(&self, code: u32, day: i32) -> Result<Option<Arc<RoaringBitmap>>> {
        self.bitmap(ListKey::event_day(code, day))
    }

    /// Whether there are bitmaps of days with any event, and of users with two events a day: older segments lack them.
    pub fn has_day_counts(&self) -> bool {
        format::version(self.blob.as_slice()) >= format::DAY_COUNTS_VERSION
    }

    /// The calendar days in `days` on which there is an event, of the name `code` or of any, and its users: exact.
    /// With `twice` those with two such events on the day, or more. Any event, and `twice`, need
    /// [`Self::has_day_counts`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn users_by_day(
        &self,
        code: Option<u32>,
        twice: bool,
        days: &RangeInclusive<i32>,
    ) -> Result<Vec<(i32, Arc<RoaringBitmap>)>> {
        let list = match (code, twice) {
            (Some(code), false) => ListKey::event_day(code, 0),
            (Some(code), true) => ListKey::event_day_twice(code, 0),
            (None, false) => ListKey::day_of_any(0),
            (None, true) => ListKey::day_twice(0),
        };
        self.bitmaps_by_day(list, days)
    }

    /// Users with at least one event with this value of a property (a code of its dictionary; of a BOOLEAN 0 and 1):
    /// exact; `None` if the property has no such bitmaps here.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn value_users(&self, column: &str, code: u32) -> Result<Option<Arc<RoaringBitmap>>> {
        match self.indexed(column) {
            Some(property) => Ok(Some(self.bitmap(ListKey::value(property, code))?.unwrap_or_default())),
            None => Ok(None),
        }
    }

    /// Users with at least one NULL in a property that has bitmaps per value: exact; `None` if it has none here.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn null_users(&self, column: &str) -> Result<Option<Arc<RoaringBitmap>>> {
        let Some(property) = self.indexed(column) else { return Ok(None) };
        let users = self.users()?;
        match self.bitmap(ListKey::never_null(property))? {
            Some(never_null) => Ok(Some(Arc::new(&*users - &*never_null))),
            None => Ok(Some(users)),
        }
    }

    /// Whether a property has bitmaps per value here.
    pub fn is_value_indexed(&self, column: &str) -> bool {
        self.indexed(column).is_some()
    }

    fn indexed(&self, column: &str) -> Option<usize> {
        let (index, column) = self.column_info(column)?;
        index.checked_sub(PROPERTY_COLUMNS).filter(|_| column.is_indexed)
    }

    /// Ordinals of the users that the segment introduces.
    pub fn introduced(&self) -> Range<u32> {
        self.footer.meta.introduced_start..self.footer.meta.introduced_end
    }

    /// The id of a user that the segment introduces; `None` for another or a deleted one.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn user_id(&self, ordinal: u32) -> Result<Option<String>> {
        if !self.introduced().contains(&ordinal) {
            return Ok(None);
        }
        let index = (ordinal - self.introduced().start) as usize;
        let page = index / format::PAGE_USERS;
        let mut slot = self.pages[page % CACHED_PAGES].lock();
        let ids = match &*slot {
            Some((known, ids)) if *known == page => ids.clone(),
            _ => {
                let ids = Arc::new(self.read_user_page(page)?);
                *slot = Some((page, ids.clone()));
                ids
            }
        };
        Ok(ids.get(index % format::PAGE_USERS).cloned().flatten())
    }

    /// The ids of all introduced users in order of ordinal, `None` for a deleted one.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn user_ids(&self) -> Result<Vec<Option<String>>> {
        let mut ids = Vec::new();
        for page in 0..page_count(self.introduced().len()) {
            ids.append(&mut self.read_user_page(page)?);
        }
        Ok(ids)
    }

    pub(super) fn read_user_page(&self, page: usize) -> Result<Vec<Option<String>>> {
        let place = || format!("page {page} of the user ids");
        let users = self.introduced().len();
        let count = (users - page * format::PAGE_USERS).min(format::PAGE_USERS);
        let directory = self
            .checked_once(&self.footer.page_directory, &self.checked_page_directory)
            .map_err(|error| error.at("directory of user ids"))?;
        let read = || {
            let (range, crc) = page_place(directory, page)?;
            let pages = self.footer.pages;
            if range.end > pages.length {
                return Err(Error::corrupt("a page behind the end of the user ids"));
            }
            let extent = Extent { offset: pages.offset + range.start, length: range.len(), crc };
            read_page(self.extent(&extent)?, count)
        };
        read().map_err(|error| error.at(place()))
    }

    /// The stored index section and its directory, for comparing with one that was built again.
    pub(super) fn stored_index(&self) -> (&[u8], &[u8]) {
        let bytes = self.blob.as_slice();
        (&bytes[self.footer.bitmaps.range()], &bytes[self.footer.bitmap_directory.range()])
    }
}

/// Keys as values of a column.
pub(super) fn values_of((min, max): (i64, i64), column_type: ColumnType) -> (Value, Value) {
    let value = |key: i64| match column_type {
        ColumnType::Boolean => Value::Boolean(key != 0),
        ColumnType::BigInt => Value::BigInt(key),
        ColumnType::Double => Value::Double(double_of_key(key)),
        ColumnType::Timestamp => Value::Timestamp(key),
        ColumnType::Text => Value::Null,
    };
    (value(min), value(max))
}
