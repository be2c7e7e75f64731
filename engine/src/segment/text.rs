//! Text of a block: codes into the segment's dictionary, or plain.

use super::ints::{self, PackedInts};
use super::validity::Validity;
use super::wire::{Reader, put_section, section};
use crate::error::{Error, Result};
use crate::rows::{NULL_CODE, TextColumn};
use std::ops::Range;
use std::sync::Arc;

pub(crate) const DICTIONARY: u8 = 0;
pub(crate) const PLAIN: u8 = 1;

/// Text of a block.
#[derive(Debug, Clone)]
pub enum TextBlock<'a> {
    /// Codes into the segment's dictionary of the column.
    Dict(TextCodes<'a>),
    /// The texts themselves: the dictionary outgrew its limits.
    Plain(PlainTexts),
}

impl<'a> TextBlock<'a> {
    /// The text of `row`. Panics past the end, as a slice does.
    pub fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Dict(codes) => codes.get(row),
            Self::Plain(texts) => texts.get(row),
        }
    }

    /// Which rows have a text.
    pub fn validity(&self) -> &Validity {
        match self {
            Self::Dict(codes) => &codes.validity,
            Self::Plain(texts) => &texts.validity,
        }
    }

    /// The codes, if the block has them.
    pub fn codes(&self) -> Option<&TextCodes<'a>> {
        match self {
            Self::Dict(codes) => Some(codes),
            Self::Plain(_) => None,
        }
    }

    /// The rows of `range` as a column of its own.
    pub fn decode(&self, range: Range<usize>) -> TextColumn {
        let mut column = TextColumn::default();
        match self {
            Self::Dict(codes) => codes.decode_column(range, &mut column),
            Self::Plain(texts) => range.for_each(|row| column.push(texts.get(row))),
        }
        column
    }
}

/// Text as codes into the segment's dictionary.
#[derive(Debug, Clone)]
pub struct TextCodes<'a> {
    pub(crate) validity: Validity,
    pub(crate) codes: PackedInts<'a>,
    pub(crate) dictionary: Arc<Vec<Box<str>>>,
}

impl TextCodes<'_> {
    /// What the codes mean.
    pub fn dictionary(&self) -> &Arc<Vec<Box<str>>> {
        &self.dictionary
    }

    /// Which rows have a text.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The code of `row`, [`NULL_CODE`] for NULL. Panics past the end, as a slice does.
    #[inline]
    pub fn code(&self, row: usize) -> u32 {
        match self.validity.is_valid(row) {
            true => self.codes.get(self.validity.rank(row)) as u32,
            false => NULL_CODE,
        }
    }

    /// Whether every user of the block has one text (none is NULL), as far as the encoding shows it.
    pub fn is_per_user(&self) -> bool {
        matches!(self.validity, Validity::All { .. }) && self.codes.is_per_user()
    }

    /// The code of the `user`-th user of the block, whose first row is `row`, where [`TextCodes::is_per_user`].
    pub(crate) fn code_of_user(&self, user: usize, row: usize) -> u32 {
        self.codes.of_user(user, row) as u32
    }

    /// The code that all rows have ([`NULL_CODE`] if all are NULL), if the encoding shows it.
    pub fn constant(&self) -> Option<u32> {
        match self.validity {
            Validity::All { .. } => self.codes.constant().map(|code| code as u32),
            Validity::None { .. } => Some(NULL_CODE),
            Validity::Some(_) => None,
        }
    }

    /// Smallest and largest code that a row can have, wide bounds; `None` if not known.
    pub fn bounds(&self) -> Option<(u32, u32)> {
        let (min, max) = self.codes.bounds()?;
        Some((min as u32, max.min(i64::from(u32::MAX)) as u32))
    }

    /// Replace `out` by the codes of `range`, [`NULL_CODE`] for NULL. Panics past the end, as a slice does.
    pub fn decode_codes(&self, range: Range<usize>, out: &mut Vec<u32>) {
        self.codes.decode_u32(self.validity.stored(&range), out);
        self.validity.spread(range, out, NULL_CODE);
    }

    /// The text of `row`.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.dictionary.get(self.code(row) as usize).map(|text| &**text)
    }

    /// Append the rows of `range` to `column`; its dictionary gets the texts that occur, in order of first arrival.
    fn decode_column(&self, range: Range<usize>, column: &mut TextColumn) {
        self.decode_codes(range, &mut column.codes);
        let mut known = vec![NULL_CODE; self.dictionary.len()];
        for code in &mut column.codes {
            if *code != NULL_CODE {
                let known = &mut known[*code as usize];
                if *known == NULL_CODE {
                    *known = column.dictionary.intern(&self.dictionary[*code as usize]);
                }
                *code = *known;
            }
        }
    }
}

/// Texts stored as they are.
#[derive(Debug, Clone)]
pub struct PlainTexts {
    pub(crate) validity: Validity,
    ends: Vec<u32>,
    text: String,
}

impl PlainTexts {
    pub(crate) fn read(reader: Reader<'_>, validity: Validity) -> Result<Self> {
        let mut reader = reader;
        let lengths = PackedInts::read(&mut reader, validity.valid_count(), || {
            Err(Error::corrupt("lengths of texts given per user"))
        })?;
        let text = String::from_utf8(section(reader.rest())?).map_err(|_| Error::corrupt("text that is not UTF-8"))?;
        let mut decoded = Vec::new();
        lengths.decode(0..lengths.len(), &mut decoded);
        let mut end = 0_i64;
        let mut ends = Vec::with_capacity(decoded.len());
        for length in decoded {
            end = Some(length).filter(|length| *length >= 0).and_then(|length| end.checked_add(length)).unwrap_or(-1);
            match u32::try_from(end) {
                Ok(end) if text.is_char_boundary(end as usize) => ends.push(end),
                _ => return Err(Error::corrupt("lengths of texts that do not fit their bytes")),
            }
        }
        if end != text.len() as i64 {
            return Err(Error::corrupt("texts of another length than they say"));
        }
        Ok(Self { validity, ends, text })
    }

    /// Append the texts whose lengths and bytes are given.
    pub(crate) fn write(lengths: &[i64], bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        ints::encode(lengths, None, false, out);
        put_section(out, bytes)
    }

    /// The text of `row`. Panics past the end, as a slice does.
    pub fn get(&self, row: usize) -> Option<&str> {
        if !self.validity.is_valid(row) {
            return None;
        }
        let index = self.validity.rank(row);
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        Some(&self.text[start..self.ends[index] as usize])
    }
}
