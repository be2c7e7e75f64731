//! `compare => …`: an operator asked of two sides of users, row beside row, with the difference of their shares and what chance
//! has to do with it.
//!
//! The call becomes two nodes of the operator, one over the users of `among` and one over those of `compare`. [`node`] puts a
//! node above them, [`exec`] reads both answers, [`rows`] matches their rows.

mod exec;
mod node;
mod rows;

use super::operator::Operator;
use crate::error::{Error, Result};
pub(crate) use exec::CompareExec;
pub(crate) use node::Compare;
use std::ops::Range;

/// An operator that has an answer whose rows are shares of a number of users. The rows come in groups, and every group has the
/// same rows in the same order: each step, period, number of days or segment, with 0 where nobody is.
pub(crate) trait Compared: Operator {
    /// How the answer is made of shares, where it has `by` columns of groups.
    ///
    /// # Errors
    /// `InvalidInput` where the answer is not made of shares.
    fn shares(&self, by: usize) -> Result<Shares>;
}

/// Where the columns of shares are in an answer.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// The first so many columns say which group a row is of.
    pub(crate) groups: usize,
    /// These say which row of its group it is.
    pub(crate) rows: Range<usize>,
    /// Whether the period of the row is over.
    pub(crate) complete: Option<usize>,
    /// The number of users of the row.
    pub(crate) users: usize,
    pub(crate) of: Of,
}

/// Of whom the users of a row are a share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    /// Of those of the first row of the group.
    FirstRow,
    /// Of those of all rows of the group, in each of which others are.
    AllRows,
    /// Of so many as this column says, the same in all rows of a group.
    Column(usize),
}

/// An argument decides that there are no shares to compare.
pub(crate) fn says_nothing_to(argument: &str, hint: &str) -> Error {
    Error::invalid(format!("compare says nothing to {argument}")).with_hint(hint)
}
