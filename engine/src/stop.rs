//! The wish to stop, which work that takes long asks for now and then.

use crate::error::{Error, ErrorKind, Result};

/// Answers true once nobody wants the work any more.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Nobody stops the work.
pub const NEVER: Stop<'static> = &|| false;

/// Go on, as long as `stop` answers false.
///
/// # Errors
/// `Cancelled` once `stop` says so.
pub fn check(stop: Stop<'_>) -> Result<()> {
    match stop() {
        true => Err(cancelled()),
        false => Ok(()),
    }
}

pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the work was cancelled")
}
