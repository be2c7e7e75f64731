//! A prepared statement of Flight SQL, with what was bound to its parameters.

use super::parameters::Rows;
use super::statement::Read;
use parking_lot::Mutex;
use std::sync::Arc;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) read: Read,
    bound: Mutex<Arc<Rows>>,
}

impl Prepared {
    /// A statement to which nothing is bound.
    pub(super) fn new(read: Read) -> Self {
        Self { read, bound: Mutex::default() }
    }

    /// Bind values: the statement is run for each row of them.
    pub(super) fn bind(&self, rows: Rows) {
        *self.bound.lock() = Arc::new(rows);
    }

    /// What is bound now.
    pub(super) fn bound(&self) -> Arc<Rows> {
        Arc::clone(&self.bound.lock())
    }
}
