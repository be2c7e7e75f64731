//! A block: its columns are decoded one by one, on demand.

use super::column::{ColumnBlock, DoubleColumn, IntColumn, Scale};
use super::format::{COLUMN_CHUNKS, EVENT_COLUMN, TIMES_CHUNK, USERS_CHUNK};
use super::ints::PackedInts;
use super::meta::{BlockMeta, BlockUsers};
use super::reader::Segment;
use super::text::{self, PlainTexts, TextBlock, TextCodes};
use super::users::read_users;
use super::validity::{StoredValidity, Validity};
use super::wire::Reader;
use crate::error::{Error, Result};
use crate::rows::{Column, Rows};
use crate::types::ColumnType;
use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

/// A block of a segment. Decoding checks the checksum of each column chunk once per process.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    segment: &'a Segment,
    index: usize,
    /// Its users, once they were asked for: columns with a value a user need them too.
    users: OnceCell<Arc<BlockUsers>>,
}

/// A column chunk whose head has been read.
pub(super) struct Opened<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) validity: Validity,
    /// Users with values, in the order of users, if the chunk knows its values per user.
    valid_users: ValidUsers,
    is_first_touch: bool,
}

enum ValidUsers {
    All,
    Some(Vec<bool>),
    Unknown,
}

impl<'a> Block<'a> {
    pub(super) fn new(segment: &'a Segment, index: usize) -> Self {
        assert!(index < segment.blocks().len(), "block {index} of {}", segment.blocks().len());
        Self { segment, index, users: OnceCell::new() }
    }

    fn meta(&self) -> &'a BlockMeta {
        &self.segment.blocks()[self.index]
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.meta().rows as usize
    }

    /// The users of the block.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn users(&self) -> Result<Arc<BlockUsers>> {
        if let Some(users) = self.users.get() {
            return Ok(Arc::clone(users));
        }
        let read = || read_users(self.segment.chunk(self.index, USERS_CHUNK)?.0, self.meta());
        let users = read().map_err(|error| error.at(format!("users of block {}", self.index)))?;
        Ok(Arc::clone(self.users.get_or_init(|| Arc::new(users))))
    }

    /// A time a row, in microseconds.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn times(&self) -> Result<PackedInts<'a>> {
        let read = || {
            let mut reader = Reader::new(self.segment.chunk(self.index, TIMES_CHUNK)?.0);
            let times = PackedInts::read(&mut reader, self.rows(), || Err(Error::corrupt("times given per user")))?;
            reader.end()?;
            Ok(times)
        };
        read().map_err(|error: Error| error.at(format!("times of block {}", self.index)))
    }

    /// A code of an event name a row.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn events(&self) -> Result<PackedInts<'a>> {
        match self.text_at(EVENT_COLUMN)? {
            TextBlock::Dict(TextCodes { validity: Validity::All { .. }, codes, .. }) => Ok(codes),
            _ => Err(Error::corrupt(format!("event names of block {}: not every row has a code", self.index))),
        }
    }

    /// A text property, `event` or `event_id`.
    ///
    /// # Errors
    /// `NotFound` if the segment does not store it, `InvalidInput` if it is not text here, `Corrupt`.
    pub fn text(&self, name: &str) -> Result<TextBlock<'a>> {
        let (index, column) = self.segment.column_info(name).ok_or_else(|| not_found(name))?;
        match column.column_type {
            ColumnType::Text => self.text_at(index),
            other => Err(Error::invalid(format!("column '{name}' is {} here, not TEXT", other.sql_name()))),
        }
    }

    /// A property, `event` or `event_id`, in the type in which it is stored here.
    ///
    /// # Errors
    /// `NotFound` if the segment does not store it, `Corrupt`.
    pub fn column(&self, name: &str) -> Result<ColumnBlock<'a>> {
        self.column_at(self.segment.column_index(name).ok_or_else(|| not_found(name))?)
    }

    /// All columns of the rows `range`, for writing them again. Panics past the end, as a slice does.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn read(&self, range: Range<usize>) -> Result<Rows> {
        assert!(range.start <= range.end && range.end <= self.rows(), "range {range:?} of {} rows", self.rows());
        let users = self.users()?;
        let mut ordinals = Vec::with_capacity(range.len());
        for (user, rows) in users.ordinals.iter().zip(users.starts.windows(2)) {
            let (start, end) = ((rows[0] as usize).max(range.start), (rows[1] as usize).min(range.end));
            ordinals.extend(std::iter::repeat_n(*user, end.saturating_sub(start)));
        }
        let mut ts = Vec::new();
        self.times()?.decode(range.clone(), &mut ts);
        let mut rows = Rows { ordinals, ts, ..Rows::default() };
        for (index, column) in self.segment.footer.columns.iter().enumerate() {
            match (self.column_at(index)?.decode(range.clone()), index) {
                (Column::Text(text), EVENT_COLUMN) => rows.event = text,
                (Column::Text(text), super::format::EVENT_ID_COLUMN) => rows.event_id = text,
                (data, _) => rows.properties.push((column.name.clone(), data)),
            }
        }
        Ok(rows)
    }

    fn place(&self, column: usize) -> String {
        format!("column '{}' of block {}", self.segment.footer.columns[column].name, self.index)
    }

    fn text_at(&self, column: usize) -> Result<TextBlock<'a>> {
        self.read_text(column).map_err(|error| error.at(self.place(column)))
    }

    pub(super) fn column_at(&self, column: usize) -> Result<ColumnBlock<'a>> {
        let ints = || {
            let opened = self.open(column)?;
            let (validity, values) = self.read_ints(opened)?;
            Ok(IntColumn { validity, values })
        };
        let read = || match self.segment.footer.columns[column].column_type {
            ColumnType::Boolean => ints().map(ColumnBlock::Boolean),
            ColumnType::BigInt => ints().map(ColumnBlock::BigInt),
            ColumnType::Timestamp => ints().map(ColumnBlock::Timestamp),
            ColumnType::Double => self.read_doubles(column).map(ColumnBlock::Double),
            ColumnType::Text => self.read_text(column).map(ColumnBlock::Text),
        };
        read().map_err(|error: Error| error.at(self.place(column)))
    }

    /// Read the head of a chunk.
    pub(super) fn open(&self, column: usize) -> Result<Opened<'a>> {
        let rows = self.rows();
        let (bytes, is_first_touch) = self.segment.chunk(self.index, column + COLUMN_CHUNKS)?;
        let mut reader = Reader::new(bytes);
        if bytes.is_empty() {
            let validity = Validity::None { rows };
            return Ok(Opened { reader, validity, valid_users: ValidUsers::Unknown, is_first_touch });
        }
        let user_count = || Ok(self.users()?.ordinals.len());
        let (validity, valid_users) = match StoredValidity::read(&mut reader, rows, user_count)? {
            StoredValidity::All => (Validity::All { rows }, ValidUsers::All),
            StoredValidity::Bitmap(bits) => (Validity::from_bits(bits), ValidUsers::Unknown),
            StoredValidity::SameAs(other) if (other as usize) < column => {
                (self.bitmap_of(other as usize)?, ValidUsers::Unknown)
            }
            StoredValidity::SameAs(_) => return Err(Error::corrupt("NULLs shared with a later column")),
            StoredValidity::PerUser(bits) => {
                let starts = &self.users()?.starts;
                let valid: Vec<bool> = (0..bits.len()).map(|user| bits.get(user)).collect();
                (Validity::per_user(&valid, starts), ValidUsers::Some(valid))
            }
        };
        Ok(Opened { reader, validity, valid_users, is_first_touch })
    }

    /// The bitmap of NULLs that another column has.
    fn bitmap_of(&self, column: usize) -> Result<Validity> {
        let mut reader = Reader::new(self.segment.chunk(self.index, column + COLUMN_CHUNKS)?.0);
        let none = || Err(Error::corrupt("NULLs shared with a column that has its own per user"));
        match StoredValidity::read(&mut reader, self.rows(), none)? {
            StoredValidity::Bitmap(bits) => Ok(Validity::from_bits(bits)),
            _ => Err(Error::corrupt("NULLs shared with a column that has no bitmap")),
        }
    }

    /// The integers behind the head of a chunk, which end it.
    pub(super) fn read_ints(&self, opened: Opened<'a>) -> Result<(Validity, PackedInts<'a>)> {
        let Opened { mut reader, validity, valid_users, .. } = opened;
        if matches!(validity, Validity::None { .. }) {
            return Ok((validity, PackedInts::none()));
        }
        let user_ends = || {
            let starts = &self.users()?.starts;
            match valid_users {
                ValidUsers::All => Ok(starts[1..].to_vec()),
                ValidUsers::Some(valid) => {
                    let mut end = 0;
                    let users = starts.windows(2).zip(valid).filter(|(_, valid)| *valid);
                    Ok(users
                        .map(|(rows, _)| {
                            end += rows[1] - rows[0];
                            end
                        })
                        .collect())
                }
                ValidUsers::Unknown => Err(Error::corrupt("values per user, but NULLs per row")),
            }
        };
        let values = PackedInts::read(&mut reader, validity.valid_count(), user_ends)?;
        reader.end()?;
        Ok((validity, values))
    }

    fn read_doubles(&self, column: usize) -> Result<DoubleColumn<'a>> {
        let mut opened = self.open(column)?;
        let scale = match opened.validity {
            Validity::None { .. } => Scale::Bits,
            _ => Scale::from_byte(opened.reader.u8()?).ok_or_else(|| Error::corrupt("doubles of an unknown scale"))?,
        };
        let (validity, values) = self.read_ints(opened)?;
        Ok(DoubleColumn { validity, values, scale })
    }

    fn read_text(&self, column: usize) -> Result<TextBlock<'a>> {
        let mut opened = self.open(column)?;
        let form = match opened.validity {
            Validity::None { .. } => text::DICTIONARY,
            _ => opened.reader.u8()?,
        };
        match form {
            text::PLAIN => PlainTexts::read(opened.reader, opened.validity).map(TextBlock::Plain),
            text::DICTIONARY => {
                let is_first_touch = opened.is_first_touch;
                let dictionary = self.segment.column_dictionary(column)?;
                let (validity, codes) = self.read_ints(opened)?;
                if is_first_touch {
                    check_codes(&codes, dictionary.len())?;
                }
                Ok(TextBlock::Dict(TextCodes { validity, codes, dictionary }))
            }
            other => Err(Error::corrupt(format!("text in the unknown form {other}"))),
        }
    }
}

/// Whether every code has its text.
fn check_codes(codes: &PackedInts<'_>, texts: usize) -> Result<()> {
    let fits = |code: i64| usize::try_from(code).is_ok_and(|code| code < texts);
    if codes.bounds().is_some_and(|(min, max)| fits(min) && fits(max)) {
        return Ok(());
    }
    let mut decoded = Vec::new();
    codes.decode(0..codes.len(), &mut decoded);
    match decoded.into_iter().all(fits) {
        true => Ok(()),
        false => Err(Error::corrupt("codes that are not in the dictionary")),
    }
}

fn not_found(name: &str) -> Error {
    Error::new(crate::error::ErrorKind::NotFound, format!("the segment has no column '{name}'"))
}
