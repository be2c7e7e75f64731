//! One column of the block that is being filled, and what the segment knows of the column so far.

use super::bits::Bits;
use super::column::Scale;
use super::ints;
use super::text::{self, PlainTexts};
use super::validity;
use super::widen::widen;
use crate::error::Result;
use crate::rows::{Column, Dictionary, NULL_CODE, TextColumn};
use crate::types::ColumnType;

/// A dictionary that outgrows this many texts is given up for later blocks.
const DICTIONARY_TEXTS_MAX: usize = 65_536;
/// A dictionary that outgrows this many bytes of text is given up for later blocks.
const DICTIONARY_BYTES_MAX: usize = 8 << 20;
/// Blocks with fewer texts say nothing about how often a text repeats.
const JUDGE_FROM_TEXTS: usize = 1024;

/// Which rows of a block belong to which user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// First row of each user, and the number of rows.
    pub(crate) starts: &'a [u32],
    /// Number of rows.
    pub(crate) rows: usize,
    /// Whether the first user had rows in the block before.
    pub(crate) continues: bool,
}

/// One column of the block that is being filled.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    pub(crate) column_type: ColumnType,
    /// Integers, bits of doubles, or codes; 0 for NULL. Rows behind the last one that is here are NULL.
    pub(crate) values: Vec<i64>,
    pub(crate) valid: Vec<bool>,
    valid_count: usize,
    /// Texts of the segment so far.
    pub(crate) dictionary: Dictionary,
    dictionary_bytes: usize,
    /// Texts of the dictionary before this block.
    known_texts: usize,
    /// The name of the event keeps its dictionary whatever its size.
    keep_dictionary: bool,
    /// Texts are stored as they are, from this block on.
    plain: bool,
    lengths: Vec<i64>,
    bytes: Vec<u8>,
    remap: Vec<u32>,
    /// What is known of the whole segment.
    pub(crate) summary: Summary,
}

/// What a segment knows of a column.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) null_count: u64,
    /// Smallest and largest value, as order keys; smallest above largest while there is none.
    pub(crate) range: (i64, i64),
    pub(crate) uniform: bool,
    pub(crate) has_plain_blocks: bool,
    /// Validity and value of the last row of the block before.
    last: (bool, i64),
}

/// An encoded chunk, and what it showed.
pub(crate) struct Encoded {
    /// Smallest and largest value of the block, as order keys.
    pub(crate) range: (i64, i64),
    pub(crate) uniform: bool,
    /// The chunk has a bitmap that others may share.
    pub(crate) has_bitmap: bool,
}

/// No value yet.
pub(crate) const NO_RANGE: (i64, i64) = (i64::MAX, i64::MIN);

/// An integer that orders as the double does in IEEE totalOrder, with -0 = 0.
pub(crate) fn double_key(bits: i64) -> i64 {
    let bits = if bits == (-0.0_f64).to_bits() as i64 { 0 } else { bits };
    flip(bits)
}

/// The double of an order key.
pub(crate) fn double_of_key(key: i64) -> f64 {
    f64::from_bits(flip(key) as u64)
}

/// Negative doubles order against their bits, so all bits but the sign are turned over.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

impl ColumnBuffer {
    pub(crate) fn new(column_type: ColumnType, keep_dictionary: bool) -> Self {
        Self {
            column_type,
            values: Vec::new(),
            valid: Vec::new(),
            valid_count: 0,
            dictionary: Dictionary::default(),
            dictionary_bytes: 0,
            known_texts: 0,
            keep_dictionary,
            plain: false,
            lengths: Vec::new(),
            bytes: Vec::new(),
            remap: Vec::new(),
            summary: Summary {
                null_count: 0,
                range: NO_RANGE,
                uniform: true,
                has_plain_blocks: false,
                last: (false, 0),
            },
        }
    }

    /// Append the rows `order` of `column`; the block has `before` rows so far.
    pub(crate) fn push(&mut self, column: &Column, order: &[u32], before: usize) -> Result<()> {
        if column.column_type() != self.column_type {
            let chosen = widen(gather(column, order), self.column_type)?;
            let all: Vec<u32> = (0..order.len() as u32).collect();
            return self.push(&chosen, &all, before);
        }
        match column {
            Column::Text(text) => self.push_text(text, order, before),
            Column::Boolean { values, valid } => self.push_values(values, valid, order, before, i64::from),
            Column::BigInt { values, valid } | Column::Timestamp { values, valid } => {
                self.push_values(values, valid, order, before, |value| value);
            }
            Column::Double { values, valid } => {
                self.push_values(values, valid, order, before, |value: f64| value.to_bits() as i64);
            }
        }
        Ok(())
    }

    /// Fill up with NULL to `rows` rows.
    fn pad(&mut self, rows: usize) {
        self.values.resize(rows, 0);
        self.valid.resize(rows, false);
    }

    fn push_values<T: Copy>(
        &mut self,
        values: &[T],
        valid: &[bool],
        order: &[u32],
        before: usize,
        to_int: impl Fn(T) -> i64,
    ) {
        if self.valid_count == 0 && !order.iter().any(|&row| valid[row as usize]) {
            return;
        }
        self.pad(before);
        for &row in order {
            let is_valid = valid[row as usize];
            self.values.push(if is_valid { to_int(values[row as usize]) } else { 0 });
            self.valid.push(is_valid);
            self.valid_count += usize::from(is_valid);
        }
    }

    /// Append the rows `order` of a text column; the block has `before` rows so far.
    pub(crate) fn push_text(&mut self, text: &TextColumn, order: &[u32], before: usize) {
        if self.valid_count == 0 && !order.iter().any(|&row| text.codes[row as usize] != NULL_CODE) {
            return;
        }
        self.pad(before);
        // A table from the source's codes to ours pays only where it is not much larger than the rows.
        let mut remap = std::mem::take(&mut self.remap);
        remap.clear();
        if text.dictionary.len() <= order.len() * 4 && !self.plain {
            remap.resize(text.dictionary.len(), NULL_CODE);
        }
        for &row in order {
            let code = text.codes[row as usize];
            if code == NULL_CODE {
                self.values.push(0);
                self.valid.push(false);
                continue;
            }
            self.valid.push(true);
            self.valid_count += 1;
            let ours = match remap.get(code as usize) {
                Some(&known) if known != NULL_CODE && !self.plain => known,
                _ => {
                    let ours = self.intern(text.dictionary.value(code));
                    if let Some(known) = remap.get_mut(code as usize) {
                        *known = ours;
                    }
                    ours
                }
            };
            self.values.push(i64::from(ours));
        }
        self.remap = remap;
    }

    /// The code of `text`; for plain text 0, after noting the text itself.
    fn intern(&mut self, text: &str) -> u32 {
        if !self.plain {
            if let Some(code) = self.dictionary.code(text) {
                return code;
            }
            let fits = self.dictionary.len() < DICTIONARY_TEXTS_MAX
                && self.dictionary_bytes + text.len() <= DICTIONARY_BYTES_MAX;
            if fits || self.keep_dictionary {
                self.dictionary_bytes += text.len();
                return self.dictionary.intern(text);
            }
            self.turn_plain();
        }
        self.lengths.push(text.len() as i64);
        self.bytes.extend_from_slice(text.as_bytes());
        0
    }

    /// Store texts as they are from this block on.
    fn turn_plain(&mut self) {
        self.plain = true;
        // A row that is just being appended has its validity already, but no value; it adds its own text.
        for (value, _) in self.values.iter_mut().zip(&self.valid).filter(|(_, valid)| **valid) {
            let text = self.dictionary.value(*value as u32);
            self.lengths.push(text.len() as i64);
            self.bytes.extend_from_slice(text.as_bytes());
            *value = 0;
        }
        self.dictionary_bytes = 0;
        let mut known = Dictionary::default();
        for text in &self.dictionary.values()[..self.known_texts] {
            known.intern(text);
        }
        self.dictionary = known;
    }

    /// Whether nearly every text of the block is new, so that a dictionary would only add to it.
    fn hardly_repeats(&self) -> bool {
        let new = self.dictionary.len() - self.known_texts;
        self.valid_count >= JUDGE_FROM_TEXTS && new > self.valid_count / 2
    }

    /// Whether the codes of this block can have bitmaps.
    pub(crate) fn has_codes(&self) -> bool {
        match self.column_type {
            ColumnType::Text => !self.plain,
            ColumnType::Boolean => true,
            _ => false,
        }
    }

    /// Whether every row of the block is NULL.
    pub(crate) fn is_null(&self) -> bool {
        self.valid_count == 0
    }

    pub(crate) fn has_some_nulls(&self) -> bool {
        self.valid_count < self.valid.len()
    }

    pub(crate) fn valid_count(&self) -> usize {
        self.valid_count
    }

    /// Make ready for encoding: all rows there, and text in its final form.
    pub(crate) fn complete(&mut self, rows: usize) {
        if self.is_null() {
            return;
        }
        self.pad(rows);
        if self.column_type == ColumnType::Text && !self.plain && !self.keep_dictionary && self.hardly_repeats() {
            self.turn_plain();
        }
    }

    /// Append the chunk of a block with at least one value. `same_as` is an earlier column with the same NULLs.
    pub(crate) fn encode(&self, shape: Shape<'_>, same_as: Option<u32>, out: &mut Vec<u8>) -> Result<Encoded> {
        let uniform = !self.plain && self.is_uniform(shape.starts);
        let has_nulls = self.has_some_nulls();
        let per_user_nulls = has_nulls && uniform && shape.starts.len() <= shape.rows;
        let has_bitmap = has_nulls && !per_user_nulls && same_as.is_none();
        match same_as {
            _ if !has_nulls => out.push(validity::ALL),
            _ if per_user_nulls => {
                out.push(validity::PER_USER);
                let starts = &shape.starts[..shape.starts.len() - 1];
                Bits::write(starts.iter().map(|&start| self.valid[start as usize]), out);
            }
            Some(column) => {
                out.push(validity::SAME_AS);
                out.extend_from_slice(&column.to_le_bytes());
            }
            None => {
                out.push(validity::BITMAP);
                Bits::write(self.valid.iter().copied(), out);
            }
        }
        let per_user = uniform && (!has_nulls || per_user_nulls);
        self.encode_values(per_user.then_some(shape.starts), out)?;
        Ok(Encoded { range: self.block_range(), uniform, has_bitmap })
    }

    fn encode_values(&self, user_starts: Option<&[u32]>, out: &mut Vec<u8>) -> Result<()> {
        if self.plain {
            out.push(text::PLAIN);
            return PlainTexts::write(&self.lengths, &self.bytes, out);
        }
        let valid = |row: usize| self.valid[row];
        let mut stored: Vec<i64> = match self.has_some_nulls() {
            true => self.values.iter().zip(&self.valid).filter(|(_, valid)| **valid).map(|(value, _)| *value).collect(),
            false => self.values.clone(),
        };
        let scale = (self.column_type == ColumnType::Double).then(|| Scale::apply(&mut stored));
        match (self.column_type, scale) {
            (ColumnType::Text, _) => out.push(text::DICTIONARY),
            (_, Some(scale)) => out.push(scale.to_byte()),
            _ => {}
        }
        let per_user = user_starts.map(|starts| {
            let mut place = 0;
            let users = starts.windows(2).filter(|user| valid(user[0] as usize));
            users
                .map(|user| {
                    let value = stored[place];
                    place += (user[1] - user[0]) as usize;
                    value
                })
                .collect::<Vec<_>>()
        });
        ints::encode(&stored, per_user.as_deref(), self.column_type == ColumnType::Timestamp, out);
        Ok(())
    }

    fn is_uniform(&self, starts: &[u32]) -> bool {
        starts.windows(2).all(|user| {
            let (start, end) = (user[0] as usize, user[1] as usize);
            let (value, valid) = (self.values[start], self.valid[start]);
            self.values[start..end].iter().all(|other| *other == value)
                && self.valid[start..end].iter().all(|other| *other == valid)
        })
    }

    fn block_range(&self) -> (i64, i64) {
        if self.column_type == ColumnType::Text {
            return NO_RANGE;
        }
        let key = |value: i64| if self.column_type == ColumnType::Double { double_key(value) } else { value };
        let values = self.values.iter().zip(&self.valid).filter(|(_, valid)| **valid);
        values.fold(NO_RANGE, |(min, max), (value, _)| (min.min(key(*value)), max.max(key(*value))))
    }

    /// Note what the block showed. `encoded` is `None` for a block without a value.
    pub(crate) fn note_block(&mut self, shape: Shape<'_>, encoded: Option<&Encoded>) {
        let summary = &mut self.summary;
        summary.null_count += (shape.rows - self.valid_count) as u64;
        let edge = |row: usize| self.valid.get(row).map_or((false, 0), |valid| (*valid, self.values[row]));
        let is_same_user = !shape.continues || summary.last == edge(0);
        summary.uniform &= is_same_user && encoded.is_none_or(|encoded| encoded.uniform);
        summary.last = edge(shape.rows.saturating_sub(1));
        if let Some(encoded) = encoded {
            summary.range = (summary.range.0.min(encoded.range.0), summary.range.1.max(encoded.range.1));
            summary.has_plain_blocks |= self.plain;
        }
    }

    /// Empty the buffer for the next block.
    pub(crate) fn clear_block(&mut self) {
        self.values.clear();
        self.valid.clear();
        self.valid_count = 0;
        self.lengths.clear();
        self.bytes.clear();
        self.known_texts = self.dictionary.len();
    }
}

/// The rows `order` of `column`.
fn gather(column: &Column, order: &[u32]) -> Column {
    fn pick<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
        order.iter().map(|&row| values[row as usize]).collect()
    }
    match column {
        Column::Boolean { values, valid } => Column::Boolean { values: pick(values, order), valid: pick(valid, order) },
        Column::BigInt { values, valid } => Column::BigInt { values: pick(values, order), valid: pick(valid, order) },
        Column::Double { values, valid } => Column::Double { values: pick(values, order), valid: pick(valid, order) },
        Column::Timestamp { values, valid } => {
            Column::Timestamp { values: pick(values, order), valid: pick(valid, order) }
        }
        Column::Text(text) => {
            let mut chosen = TextColumn::default();
            order.iter().for_each(|&row| chosen.push(text.get(row as usize)));
            Column::Text(chosen)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_doubles_do() {
        let doubles = [f64::NEG_INFINITY, -1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        let keys: Vec<i64> = doubles.iter().map(|double| double_key(double.to_bits() as i64)).collect();
        assert!(keys.is_sorted());
        assert!(doubles.iter().zip(&keys).all(|(double, key)| double_of_key(*key).to_bits() == double.to_bits()));
        assert_eq!(double_key((-0.0_f64).to_bits() as i64), double_key(0));
    }
}
