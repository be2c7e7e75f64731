//! Checking all of a segment.

use super::column::ColumnBlock;
use super::format::{EVENT_COLUMN, PROPERTY_COLUMNS};
use super::meta::BlockUsers;
use super::reader::Segment;
use super::text::TextBlock;
use super::validity::Validity;
use crate::error::{Error, Result};
use crate::index::{BlockRows, IndexBuilder, IndexedColumn};
use crate::types::{ColumnType, Value};

impl Segment {
    /// Check every checksum and every invariant: chunks, dictionaries, user ids, order of rows, ranges of blocks, and
    /// that the indexes are those which the rows give. Empty if all is well; otherwise what is broken, the first
    /// finding of each part.
    pub fn verify(&self) -> Vec<Error> {
        let mut findings = Vec::new();
        let mut note = |result: Result<()>| findings.extend(result.err());
        for column in 0..self.footer.columns.len() {
            note(self.column_dictionary(column).map(|_| ()));
        }
        note(self.verify_user_ids());
        let mut rebuilt = IndexBuilder::new(
            self.time_zone(),
            self.has_day_counts(),
            self.footer.columns[PROPERTY_COLUMNS..].iter().map(|column| column.is_indexed),
        );
        let mut last = None;
        let mut totals = vec![Totals::new(); self.footer.columns.len()];
        for block in 0..self.blocks().len() {
            note(self.verify_block(block, &mut last, &mut rebuilt, &mut totals));
        }
        note(self.verify_index(&rebuilt));
        if findings.is_empty() {
            // After damage the sums are not those of all rows.
            findings.extend(self.verify_totals(&totals).err());
        }
        findings
    }

    /// What the footer says of the whole is what its blocks give.
    fn verify_totals(&self, totals: &[Totals]) -> Result<()> {
        let meta = self.meta();
        let blocks = self.blocks().iter();
        let times = blocks.fold((i64::MAX, i64::MIN), |all, block| (all.0.min(block.ts_min), all.1.max(block.ts_max)));
        if times != (meta.ts_min, meta.ts_max) {
            return Err(Error::corrupt("the footer gives another range of time than its blocks"));
        }
        for (info, totals) in self.footer.columns.iter().zip(totals) {
            let wrong = |what: &str| Err(Error::corrupt(format!("column '{}': {what}", info.name)));
            if info.null_count != totals.nulls {
                return wrong(&format!("{} NULLs, the footer says {}", totals.nulls, info.null_count));
            }
            if info.column_type != ColumnType::Text && info.range != totals.range {
                return wrong("the footer gives another range than its blocks");
            }
            if info.is_uniform && !totals.uniform {
                return wrong("the footer says that each user has one value, and one has several");
            }
        }
        Ok(())
    }

    fn verify_user_ids(&self) -> Result<()> {
        match self.user_ids()?.len() == self.introduced().len() {
            true => Ok(()),
            false => Err(Error::corrupt("fewer user ids than introduced users")),
        }
    }

    /// Check a block and add it to the indexes and to the sums. `last` is the last row of the block before.
    fn verify_block(
        &self,
        index: usize,
        last: &mut Option<(u32, i64)>,
        rebuilt: &mut IndexBuilder,
        totals: &mut [Totals],
    ) -> Result<()> {
        let block = self.block(index);
        let place = || format!("block {index}");
        let users = block.users()?;
        let (mut ts, mut events) = (Vec::new(), Vec::new());
        block.times()?.decode(0..block.rows(), &mut ts);
        block.events()?.decode_u32(0..block.rows(), &mut events);
        let meta = &self.blocks()[index];
        let bounds = ts.iter().fold((i64::MAX, i64::MIN), |(min, max), &ts| (min.min(ts), max.max(ts)));
        if bounds != (meta.ts_min, meta.ts_max) {
            return Err(Error::corrupt("times outside the range that the footer gives").at(place()));
        }
        verify_order(&users, &ts, last).map_err(|error| error.at(place()))?;
        if events.iter().any(|code| *code as usize >= self.event_names().len()) {
            return Err(Error::corrupt("an event name that is not in the dictionary").at(place()));
        }
        let rows = BlockRows { users: &users.ordinals, starts: &users.starts, ts: &ts, events: &events };
        let continues = rebuilt.continues(&rows);
        rebuilt.add_rows(&rows);
        totals[EVENT_COLUMN].add(&block.column_at(EVENT_COLUMN)?, &users, None);
        for (column, total) in totals.iter_mut().enumerate().skip(EVENT_COLUMN + 1) {
            let decoded = block.column_at(column)?;
            self.verify_column(index, column, &decoded)?;
            total.add(&decoded, &users, self.block_range(index, column));
            if let Some(property) =
                column.checked_sub(PROPERTY_COLUMNS).filter(|property| rebuilt.is_indexed(*property))
            {
                index_column(rebuilt, property, &rows, continues, &decoded);
            }
        }
        Ok(())
    }

    /// Values lie in the range that the footer gives, and codes in the dictionary.
    fn verify_column(&self, block: usize, column: usize, decoded: &ColumnBlock<'_>) -> Result<()> {
        let info = &self.footer.columns[column];
        let place = || format!("column '{}' of block {block}", info.name);
        if let ColumnBlock::Text(TextBlock::Dict(codes)) = decoded {
            let known = codes.dictionary().len();
            let rows = decoded.validity().len();
            let is_known = |row| !decoded.validity().is_valid(row) || (codes.code(row) as usize) < known;
            if !(0..rows).all(is_known) {
                return Err(Error::corrupt("a code that is not in the dictionary").at(place()));
            }
        }
        let is_empty = decoded.validity().valid_count() == 0;
        let range = self.block_column_range(block, &info.name);
        if info.column_type == ColumnType::Text || (is_empty && range.is_none()) {
            return Ok(());
        }
        let Some((min, max)) = range else {
            return Err(Error::corrupt("values, but no range in the footer").at(place()));
        };
        let in_range = |value: Value| value == Value::Null || (at_most(&min, &value) && at_most(&value, &max));
        match (0..decoded.validity().len()).all(|row| in_range(decoded.get(row))) {
            true => Ok(()),
            false => Err(Error::corrupt("values outside the range that the footer gives").at(place())),
        }
    }

    /// The stored indexes are those that the rows give.
    fn verify_index(&self, rebuilt: &IndexBuilder) -> Result<()> {
        self.directory()?;
        let (section, directory) = rebuilt.encode()?;
        let same = self.stored_index() == (section.as_slice(), directory.as_slice());
        match same && rebuilt.user_count() == self.meta().users {
            true => Ok(()),
            false => Err(Error::corrupt("the indexes are not those that the rows give")
                .with_hint("restore the segment from a copy, or import its events again")),
        }
    }
}

/// What the blocks of a segment give for a column.
#[derive(Clone)]
struct Totals {
    nulls: u64,
    range: Option<(i64, i64)>,
    uniform: bool,
    /// The user of the last row so far, and the value.
    last: Option<(u32, Value)>,
}

impl Totals {
    fn new() -> Self {
        Self { nulls: 0, range: None, uniform: true, last: None }
    }

    /// Add a block with its range as keys.
    fn add(&mut self, column: &ColumnBlock<'_>, users: &BlockUsers, range: Option<(i64, i64)>) {
        let validity = column.validity();
        self.nulls += (validity.len() - validity.valid_count()) as u64;
        self.range = match (self.range, range) {
            (Some(all), Some(own)) => Some((all.0.min(own.0), all.1.max(own.1))),
            (all, own) => all.or(own),
        };
        for (&user, rows) in users.ordinals.iter().zip(users.starts.windows(2)) {
            if !self.uniform {
                return;
            }
            let mut rows = rows[0] as usize..rows[1] as usize;
            let first = match self.last.take() {
                Some((last, value)) if last == user => value,
                _ => rows.next().map_or(Value::Null, |row| column.get(row)),
            };
            self.uniform = rows.all(|row| is_same(&first, &column.get(row)));
            self.last = Some((user, first));
        }
    }
}

/// Whether two values are stored alike.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// Rows are sorted by user and time.
fn verify_order(users: &BlockUsers, ts: &[i64], last: &mut Option<(u32, i64)>) -> Result<()> {
    for (user, rows) in users.ordinals.iter().zip(users.starts.windows(2)) {
        for row in rows[0]..rows[1] {
            let now = (*user, ts[row as usize]);
            if last.is_some_and(|last| last > now) {
                return Err(Error::corrupt(format!("row {row} out of order")));
            }
            *last = Some(now);
        }
    }
    Ok(())
}

/// Add a column to the indexes as the writer did.
fn index_column(
    rebuilt: &mut IndexBuilder,
    property: usize,
    rows: &BlockRows<'_>,
    continues: bool,
    column: &ColumnBlock<'_>,
) {
    let count = column.validity().len();
    if matches!(column.validity(), Validity::None { .. }) {
        return rebuilt.add_column(property, rows, continues, None);
    }
    let mut valid = Vec::new();
    column.validity().decode(0..count, &mut valid);
    let mut codes = Vec::new();
    match column {
        ColumnBlock::Text(TextBlock::Dict(text)) => {
            let code = |row| if valid[row] { i64::from(text.code(row)) } else { 0 };
            codes.extend((0..count).map(code));
        }
        ColumnBlock::Boolean(values) => values.decode(0..count, &mut codes),
        _ => return rebuilt.drop_column(property),
    }
    let data = IndexedColumn { codes: &codes, valid: &valid, uniform: false };
    rebuilt.add_column(property, rows, continues, Some(data));
}

/// `a <= b`, doubles by IEEE totalOrder with -0 = 0.
fn at_most(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Boolean(a), Value::Boolean(b)) => a <= b,
        (Value::BigInt(a), Value::BigInt(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a <= b,
        (Value::Double(a), Value::Double(b)) => a == b || a.total_cmp(b).is_le(),
        _ => false,
    }
}
