//! A value that contradicts the types of the plan.

use std::fmt;

/// A right row that the plan has no place for: the type of a column is too narrow, or the column is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The column as the file calls it.
    pub(super) column: String,
    /// What is wrong, with the value and the column in it.
    pub(super) reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
