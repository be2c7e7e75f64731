//! The longest level of a plain funnel (`order => 'ordered'` with or without `within`), from bits of rows: only the
//! events that decide are looked at.
//!
//! For an event of the last step, the chain that enters last is found backward: the last event of the step before it, the
//! last of the step before that one, and so on. An earlier choice never allows a later entry. So a level is reached
//! when for one event of its last step the entry found in this way lies within the limit. Rare steps are looked for,
//! frequent ones jumped over.
//!
//! Each event of the last step costs only what is new: rows before the last search are not searched again, and when the
//! search arrives at the same event as that for an earlier end, its entry is the same and too early.

use super::rules::UNLIMITED_US;
use super::spec::Ties;
use super::step_rows::{StepRows, Tied, expect_first, expect_none_later};

/// The longest chain of a user that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// Its length; 0 when nothing satisfies step 1.
    pub(super) level: usize,
    /// Its last possible entry.
    pub(super) entry: usize,
    /// The first event that completes it.
    pub(super) end: usize,
}

/// What a search backward finds.
enum Entry {
    /// The last event of step 1 that leads to the end.
    At(usize),
    /// For `step` there is no event, or the same one as for an end before.
    NothingNew { step: usize },
}

/// Finds levels. Buffers are kept from user to user.
#[derive(Debug, Default)]
pub(super) struct LevelFinder {
    /// Per step: the rows before this one have been searched.
    searched: Vec<usize>,
}

impl LevelFinder {
    /// The longest level of a user.
    pub(super) fn find(
        &mut self,
        user: &impl StepRows,
        steps: usize,
        within_us: i64,
        ties: Ties,
    ) -> Result<Reached, Tied> {
        for level in (2..=steps).rev() {
            if let Some(reached) = self.reach(user, level, within_us, ties)? {
                return Ok(reached);
            }
        }
        Ok(match user.first_in(0, user.rows()) {
            Some(entry) => Reached { level: 1, entry, end: entry },
            None => Reached { level: 0, entry: 0, end: 0 },
        })
    }

    fn reach(
        &mut self,
        user: &impl StepRows,
        level: usize,
        within_us: i64,
        ties: Ties,
    ) -> Result<Option<Reached>, Tied> {
        let last_step = level - 1;
        let rows = user.rows();
        let Some(mut end) = user.first_in(last_step, rows.clone()) else { return Ok(None) };
        self.searched.clear();
        self.searched.resize(last_step, rows.start);
        let mut has_entry = false;
        loop {
            let in_time = |entry| within_us == UNLIMITED_US || user.is_within(entry, end, within_us);
            let mut next = end + 1;
            match self.last_entry(user, end, ties)? {
                // In the order of rows a chain is one under every rule of ties but 'increase', which was looked at.
                Entry::At(entry) if in_time(entry) => return Ok(Some(Reached { level, entry, end })),
                Entry::At(_) => {
                    self.expect_no_ties(user, 0, ties)?;
                    has_entry = true;
                }
                Entry::NothingNew { step } => {
                    self.expect_no_ties(user, step, ties)?;
                    if step == 0 && !has_entry {
                        next = next.max(after_first_entry(user, ties)?);
                    }
                }
            }
            match user.first_in(last_step, next..rows.end) {
                Some(row) => end = row,
                None => return Ok(None),
            }
        }
    }

    /// The last event from which a chain can arrive at `end`.
    #[inline]
    fn last_entry(&mut self, user: &impl StepRows, end: usize, ties: Ties) -> Result<Entry, Tied> {
        let mut row = end;
        for (step, searched) in self.searched.iter_mut().enumerate().rev() {
            let found = user.last_in(step, *searched..row);
            *searched = row;
            let Some(found) = found else { return Ok(Entry::NothingNew { step }) };
            if ties == Ties::Increase && user.time(found) == user.time(row) {
                return Err(Tied);
            }
            row = found;
        }
        Ok(Entry::At(row))
    }

    /// Where the order of rows gives no chain, the ends of the searches for the steps from `first_step` on must have no rival.
    fn expect_no_ties(&self, user: &impl StepRows, first_step: usize, ties: Ties) -> Result<(), Tied> {
        let mut searched = self.searched.iter().enumerate().skip(first_step);
        searched.try_for_each(|(step, &row)| expect_none_later(user, step, row, ties))
    }
}

/// The row behind the first event of step 1: no chain ends before.
fn after_first_entry(user: &impl StepRows, ties: Ties) -> Result<usize, Tied> {
    let rows = user.rows();
    let Some(entry) = user.first_in(0, rows.clone()) else { return Ok(rows.end) };
    expect_first(user, entry, ties)?;
    Ok(entry + 1)
}
