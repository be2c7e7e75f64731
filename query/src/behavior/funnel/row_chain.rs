//! The chosen chain of a plain funnel, from bits of rows.
//!
//! Let T be when the longest level was first completed. The first step-1 event at or after T - within enters: it comes no
//! later than the entry that was found, whose chain completes the level at T. From the entry on the earliest event for
//! each next step is right, since it leaves the most choice to those after it.

use super::level::Reached;
use super::rules::UNLIMITED_US;
use super::spec::Ties;
use super::step_rows::{StepRows, Tied, expect_none_earlier};

/// Hand the chain that `reached` promises to `push`, event by event: the row and its time in microseconds.
pub(super) fn choose(
    user: &impl StepRows,
    reached: Reached,
    within_us: i64,
    ties: Ties,
    mut push: impl FnMut(usize, i64),
) -> Result<(), Tied> {
    let rows = user.rows();
    let Reached { level, entry: last_entry, end } = reached;
    let begin = match within_us {
        UNLIMITED_US => rows.start,
        _ => first_within(rows.start, last_entry, |row| user.is_within(row, end, within_us)),
    };
    let mut row = user.first_in(0, begin..last_entry + 1).unwrap_or(last_entry);
    let mut at = user.time(row);
    push(row, at);
    for step in 1..level {
        expect_none_earlier(user, step, row, ties)?;
        let next = user.first_in(step, row + 1..end + 1).unwrap_or(end);
        let next_at = user.time(next);
        if ties == Ties::Increase && next_at == at {
            return Err(Tied);
        }
        (row, at) = (next, next_at);
        push(row, at);
    }
    Ok(())
}

/// The first row from `start` on, `last` at the latest, for which `holds`: it holds for all behind that one.
fn first_within(start: usize, last: usize, holds: impl Fn(usize) -> bool) -> usize {
    // Entries of one step lie close to each other more often than not, so the search goes from the last one in growing
    // steps before it halves.
    let (mut low, mut high, mut step) = (start, last, 1);
    while low < high {
        let probe = high.saturating_sub(step).max(low);
        if !holds(probe) {
            low = probe + 1;
            break;
        }
        high = probe;
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    high
}
