//! What the learning of a model may use: the threads and the memory of its statement, as long as that goes on.

use crate::behavior::recommend::Effort;
use crate::error::{Error, Result};
use crate::plan::operator::Answer;
use trodden_engine::error::{Error as EngineError, ErrorKind as EngineErrorKind};

/// Calls `act` with the effort of a statement. The memory is given back behind it, with the models.
///
/// # Errors
/// Those of `act`.
pub(super) fn with_effort<T>(answer: &Answer<'_>, act: impl FnOnce(&Effort<'_>) -> Result<T>) -> Result<T> {
    let statement = answer.statement;
    let go_on = || statement.check_cancelled().is_ok();
    let reservation = answer.reservation.new_empty();
    let memory = |bytes: usize| {
        reservation.try_grow(bytes).map_err(|error| {
            let limit = EngineError::new(EngineErrorKind::ResourceLimit, Error::from(error).message());
            limit.with_hint("use 'item_knn' or 'rp3beta', fewer items (a shorter window), or raise the memory limit")
        })
    };
    act(&Effort { threads: answer.threads, go_on: &go_on, memory: &memory })
}
