//! The last value of a column, user by user: which update wins.
//!
//! Segments are applied in order of arrival, and have the rows of a user in total order. So a row wins against what is there
//! where its time is not earlier. What is applied later, from a segment that has just arrived, goes the same way.

use super::texts::Texts;
use super::update::{UNSET_COLUMN, unset_names};
use crate::error::Result;
use crate::rows::{Column, NULL_CODE, TextColumn};
use crate::segment::{Block, widen};
use crate::table::LiveSegment;
use crate::types::ColumnType;
use roaring::RoaringBitmap;

/// The time of what was never set: before every time that a table stores.
pub(super) const NEVER: i64 = i64::MIN;

/// Which updates count.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading<'a> {
    /// Only those up to this time, inclusive.
    pub(super) until_us: Option<i64>,
    /// Only those of these users, who are then known by their place among them.
    pub(super) only: Option<&'a RoaringBitmap>,
}

/// An update that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpdateRow {
    pub(super) row: u32,
    /// The user's ordinal, or place among those who are read.
    pub(super) user: u32,
    pub(super) ts: i64,
}

/// The updates of one block.
pub(super) struct UpdateBlock<'a> {
    block: Block<'a>,
    live: &'a LiveSegment,
    pub(super) rows: Vec<UpdateRow>,
    /// What each row unsets, and what that means.
    unset: Option<(TextColumn, Vec<Vec<String>>)>,
}

/// Give `each` the updates of a segment, block by block.
///
/// # Errors
/// `Corrupt` for a block that cannot be read, and what `each` says.
pub(super) fn for_each_block(
    live: &LiveSegment,
    reading: Reading<'_>,
    each: &mut dyn FnMut(&UpdateBlock<'_>) -> Result<()>,
) -> Result<()> {
    for (index, meta) in live.segment.blocks().iter().enumerate() {
        let users = meta.first_ordinal..=meta.last_ordinal;
        let is_late = reading.until_us.is_some_and(|until| meta.ts_min > until);
        if is_late || reading.only.is_some_and(|only| only.range_cardinality(users) == 0) {
            continue;
        }
        let block = live.segment.block(index);
        let rows = rows_of(&block, live, reading)?;
        if !rows.is_empty() {
            let unset = unset_of(&block, live)?;
            each(&UpdateBlock { block, live, rows, unset })?;
        }
    }
    Ok(())
}

fn rows_of(block: &Block<'_>, live: &LiveSegment, reading: Reading<'_>) -> Result<Vec<UpdateRow>> {
    let users = block.users()?;
    let mut times = Vec::new();
    block.times()?.decode(0..block.rows(), &mut times);
    let mut rows = Vec::with_capacity(times.len());
    for (&ordinal, bounds) in users.ordinals.iter().zip(users.starts.windows(2)) {
        if live.hidden.contains(ordinal) || reading.only.is_some_and(|only| !only.contains(ordinal)) {
            continue;
        }
        let user = reading.only.map_or(ordinal, |only| only.rank(ordinal) as u32 - 1);
        let own = (bounds[0]..bounds[1]).map(|row| UpdateRow { row, user, ts: times[row as usize] });
        rows.extend(own.take_while(|update| reading.until_us.is_none_or(|until| update.ts <= until)));
    }
    Ok(rows)
}

fn unset_of(block: &Block<'_>, live: &LiveSegment) -> Result<Option<(TextColumn, Vec<Vec<String>>)>> {
    if live.segment.column_type(UNSET_COLUMN) != Some(ColumnType::Text) {
        return Ok(None);
    }
    let Column::Text(text) = block.column(UNSET_COLUMN)?.decode(0..block.rows()) else { return Ok(None) };
    let names: Vec<Vec<String>> = text.dictionary.values().iter().map(|text| unset_names(text)).collect();
    Ok((!names.is_empty()).then_some((text, names)))
}

impl UpdateBlock<'_> {
    /// The values of a column, as `wanted`; `None` where no row has one.
    fn column(&self, name: &str, wanted: ColumnType) -> Result<Option<Column>> {
        if self.live.segment.column_type(name).is_none() {
            return Ok(None);
        }
        let column = self.block.column(name)?.decode(0..self.block.rows());
        widen(column, wanted).map(Some)
    }

    /// For each row whether it unsets the column; `None` where none does.
    fn unsets(&self, name: &str) -> Option<Vec<bool>> {
        let (text, names) = self.unset.as_ref()?;
        let is_named: Vec<bool> = names.iter().map(|names| names.iter().any(|unset| unset == name)).collect();
        let unsets = |&code: &u32| code != NULL_CODE && is_named[code as usize];
        is_named.contains(&true).then(|| text.codes.iter().map(unsets).collect())
    }
}

/// The last value of one column for each user of a shard, by ordinal, or by place among those who are read.
#[derive(Debug, Clone)]
pub(super) struct LatestColumn {
    pub(super) name: String,
    pub(super) column_type: ColumnType,
    /// When the value was set, or unset.
    set_at: Vec<i64>,
    cells: Cells,
}

/// Values by ordinal.
#[derive(Debug, Clone)]
enum Cells {
    /// Integers; BOOLEAN as 0 and 1, DOUBLE by its bits.
    Raw { values: Vec<i64>, valid: Vec<bool> },
    /// TEXT by code; [`NULL_CODE`] for NULL.
    Text { codes: Vec<u32>, texts: Texts },
}

impl LatestColumn {
    /// A column that nobody has a value in.
    pub(super) fn new(name: &str, column_type: ColumnType) -> Self {
        let cells = match column_type {
            ColumnType::Text => Cells::Text { codes: Vec::new(), texts: Texts::default() },
            _ => Cells::Raw { values: Vec::new(), valid: Vec::new() },
        };
        Self { name: name.to_string(), column_type, set_at: Vec::new(), cells }
    }

    /// Make room for so many users.
    pub(super) fn grow(&mut self, users: usize) {
        self.set_at.resize(users, NEVER);
        match &mut self.cells {
            Cells::Raw { values, valid } => {
                values.resize(users, 0);
                valid.resize(users, false);
            }
            Cells::Text { codes, .. } => codes.resize(users, NULL_CODE),
        }
    }

    /// The value of a user: an integer, or the code of a text. Two values of the column are the same where these are.
    pub(super) fn cell(&self, user: u32) -> Option<i64> {
        let at = user as usize;
        match &self.cells {
            Cells::Raw { values, valid } => valid[at].then(|| values[at]),
            Cells::Text { codes, .. } => (codes[at] != NULL_CODE).then(|| i64::from(codes[at])),
        }
    }

    /// The texts of a TEXT column.
    pub(super) fn texts(&self) -> Option<&Texts> {
        match &self.cells {
            Cells::Raw { .. } => None,
            Cells::Text { texts, .. } => Some(texts),
        }
    }

    /// Apply the updates of a block. `changed` is told of each user whose value was set or unset, and what it was before.
    ///
    /// # Errors
    /// `Corrupt` for a column that cannot be read.
    pub(super) fn apply(&mut self, block: &UpdateBlock<'_>, changed: &mut dyn FnMut(u32, Option<i64>)) -> Result<()> {
        let unsets = block.unsets(&self.name);
        let Some(column) = block.column(&self.name, self.column_type)? else {
            if let Some(unsets) = unsets {
                block.rows.iter().filter(|update| unsets[update.row as usize]).for_each(|update| {
                    self.set(*update, None, changed);
                });
            }
            return Ok(());
        };
        let mut values = Incoming::new(&column);
        for update in &block.rows {
            let row = update.row as usize;
            match values.cell(row, self) {
                Some(cell) => self.set(*update, Some(cell), changed),
                None if unsets.as_ref().is_some_and(|unsets| unsets[row]) => self.set(*update, None, changed),
                None => {}
            }
        }
        Ok(())
    }

    fn set(&mut self, update: UpdateRow, cell: Option<i64>, changed: &mut dyn FnMut(u32, Option<i64>)) {
        let at = update.user as usize;
        if update.ts < self.set_at[at] {
            return;
        }
        changed(update.user, self.cell(update.user));
        self.set_at[at] = update.ts;
        match &mut self.cells {
            Cells::Raw { values, valid } => (values[at], valid[at]) = (cell.unwrap_or(0), cell.is_some()),
            Cells::Text { codes, .. } => codes[at] = cell.map_or(NULL_CODE, |code| code as u32),
        }
    }

    /// Memory in use, about, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let cells = match &self.cells {
            Cells::Raw { values, valid } => 8 * values.capacity() + valid.capacity(),
            Cells::Text { codes, texts } => 4 * codes.capacity() + texts.memory_bytes(),
        };
        8 * self.set_at.capacity() + cells
    }
}

/// Values of a block on their way into a [`LatestColumn`].
struct Incoming<'a> {
    column: &'a Column,
    /// Codes of the column for those of the block, as far as they were met.
    codes: Vec<u32>,
}

impl<'a> Incoming<'a> {
    fn new(column: &'a Column) -> Self {
        let texts = if let Column::Text(text) = column { text.dictionary.len() } else { 0 };
        Self { column, codes: vec![NULL_CODE; texts] }
    }

    fn cell(&mut self, row: usize, into: &mut LatestColumn) -> Option<i64> {
        match self.column {
            Column::Boolean { values, valid } => valid[row].then(|| i64::from(values[row])),
            Column::BigInt { values, valid } | Column::Timestamp { values, valid } => valid[row].then(|| values[row]),
            Column::Double { values, valid } => valid[row].then(|| values[row].to_bits() as i64),
            Column::Text(text) => {
                let code = text.codes[row];
                if code == NULL_CODE {
                    return None;
                }
                let known = &mut self.codes[code as usize];
                if *known == NULL_CODE
                    && let Cells::Text { texts, .. } = &mut into.cells
                {
                    *known = texts.intern(text.dictionary.value(code));
                }
                Some(i64::from(*known))
            }
        }
    }
}

/// When each user was last updated; [`NEVER`] for one without an update.
#[derive(Debug, Clone, Default)]
pub(super) struct UpdatedAt(pub(super) Vec<i64>);

impl UpdatedAt {
    /// Apply the updates of a block. `first` is told of each user who had none before.
    pub(super) fn apply(&mut self, block: &UpdateBlock<'_>, first: &mut dyn FnMut(u32)) {
        for update in &block.rows {
            let at = &mut self.0[update.user as usize];
            if *at == NEVER {
                first(update.user);
            }
            *at = (*at).max(update.ts);
        }
    }
}
