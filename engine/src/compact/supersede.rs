//! Updates of profiles without what later updates replaced: column by column the last value of each user, and nothing of
//! rows that set no column any more.
//!
//! What a later update of the same merge replaced can never count again, whatever other segments have: an update beats
//! another one by time, then by arrival, and both stay what they are. So it is right to drop it in any merge of
//! neighbours. That a column was unset is kept, with its time: an older value may still arrive.

use crate::error::Result;
use crate::profiles::{UNSET_COLUMN, unset_names, unset_text};
use crate::rows::{Column, NULL_CODE, Rows, TextColumn};
use std::collections::HashSet;
use std::ops::Range;

/// Drops what was replaced from batches that follow one another in the order of rows.
#[derive(Default)]
pub(super) struct Latest {
    /// Rows of the last user so far, who may have more in the next batch.
    held: Rows,
}

impl Latest {
    /// Take a batch, and give `each` the rows of the users that are complete.
    pub(super) fn add(&mut self, batch: &Rows, each: &mut dyn FnMut(&Rows) -> Result<()>) -> Result<()> {
        let mut rows = std::mem::take(&mut self.held);
        rows.append_picked(batch, &batch.sort_permutation())?;
        let rows = without_replaced(rows)?;
        let Some(&last) = rows.ordinals.last() else { return Ok(()) };
        let complete = rows.ordinals.partition_point(|&ordinal| ordinal < last);
        self.held.append(&rows, complete..rows.len())?;
        if complete == 0 {
            return Ok(());
        }
        let mut done = Rows::default();
        done.append(&rows, 0..complete)?;
        each(&done)
    }

    /// Give the rows of the last user.
    pub(super) fn finish(self, each: &mut dyn FnMut(&Rows) -> Result<()>) -> Result<()> {
        if self.held.is_empty() { Ok(()) } else { each(&self.held) }
    }
}

/// Sorted rows without what a later row of the same user replaced.
fn without_replaced(mut rows: Rows) -> Result<Rows> {
    let mut kept = Vec::with_capacity(rows.len());
    let mut end = rows.len();
    while end > 0 {
        let user = rows.ordinals[end - 1];
        let start = rows.ordinals[..end].partition_point(|&ordinal| ordinal < user);
        if end - start == 1 {
            kept.push(start as u32);
        } else {
            thin_out(&mut rows, start..end, &mut kept);
        }
        end = start;
    }
    if kept.len() == rows.len() {
        return Ok(rows);
    }
    kept.reverse();
    let mut left = Rows::default();
    left.append_picked(&rows, &kept)?;
    Ok(left)
}

/// Clear what was replaced in the rows `range` of one user; append those that still matter to `kept`, from the last on.
fn thin_out(rows: &mut Rows, range: Range<usize>, kept: &mut Vec<u32>) {
    let mut decided = Decided { columns: vec![false; rows.properties.len()], others: HashSet::new() };
    let last = range.end - 1;
    for row in range.rev() {
        let mut sets = false;
        for at in 0..rows.properties.len() {
            let (name, column) = &mut rows.properties[at];
            if name == UNSET_COLUMN || !is_set(column, row) {
                continue;
            }
            match std::mem::replace(&mut decided.columns[at], true) {
                true => clear(column, row),
                false => sets = true,
            }
        }
        if let Some(text) = unset_of(rows, row) {
            let mut names = unset_names(&text);
            let before = names.len();
            names.retain(|name| decided.is_new(rows, name));
            sets |= !names.is_empty();
            if names.len() < before {
                set_unset(rows, row, unset_text(&names).as_deref());
            }
        }
        // The last one tells when the profile was updated.
        if sets || row == last {
            kept.push(row as u32);
        }
    }
}

/// The columns that later rows of the user set or unset.
struct Decided {
    /// Those among the properties of the rows.
    columns: Vec<bool>,
    /// Those that no row here sets.
    others: HashSet<String>,
}

impl Decided {
    /// Note that `name` was unset; false where a later row decided about it.
    fn is_new(&mut self, rows: &Rows, name: &str) -> bool {
        match rows.properties.iter().position(|(column, _)| column == name) {
            Some(at) => !std::mem::replace(&mut self.columns[at], true),
            None => self.others.insert(name.to_string()),
        }
    }
}

fn unset_column(rows: &mut Rows) -> Option<&mut TextColumn> {
    rows.properties.iter_mut().find_map(|(name, column)| match column {
        Column::Text(text) if name == UNSET_COLUMN => Some(text),
        _ => None,
    })
}

/// What the row says that is unset, if anything.
fn unset_of(rows: &mut Rows, row: usize) -> Option<String> {
    unset_column(rows)?.get(row).map(String::from)
}

fn set_unset(rows: &mut Rows, row: usize, text: Option<&str>) {
    if let Some(column) = unset_column(rows) {
        column.codes[row] = text.map_or(NULL_CODE, |text| column.dictionary.intern(text));
    }
}

fn is_set(column: &Column, row: usize) -> bool {
    match column {
        Column::Boolean { valid, .. }
        | Column::BigInt { valid, .. }
        | Column::Double { valid, .. }
        | Column::Timestamp { valid, .. } => valid[row],
        Column::Text(text) => text.codes[row] != NULL_CODE,
    }
}

/// Make the row NULL.
fn clear(column: &mut Column, row: usize) {
    match column {
        Column::Boolean { values, valid } => (values[row], valid[row]) = (false, false),
        Column::BigInt { values, valid } | Column::Timestamp { values, valid } => {
            (values[row], valid[row]) = (0, false);
        }
        Column::Double { values, valid } => (values[row], valid[row]) = (0.0, false),
        Column::Text(text) => text.codes[row] = NULL_CODE,
    }
}
