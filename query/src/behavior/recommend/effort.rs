//! What the learning of a model may use, and whether it is to go on.

use trodden_engine::error::{Error, ErrorKind, Result};

/// Threads, memory, and the wish to stop.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    /// At least one. They change the time and not the result.
    pub threads: usize,
    /// False once nobody wants the model any more. Asked between blocks and turns, which take well below a second.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
    /// Asked before so many bytes more are used, until the model is gone.
    pub memory: &'a (dyn Fn(usize) -> Result<()> + Sync),
}

impl Effort<'_> {
    /// So many threads, and no limit.
    pub fn of_threads(threads: usize) -> Self {
        Self { threads, go_on: &|| true, memory: &|_| Ok(()) }
    }

    /// # Errors
    /// `Cancelled` where the work is to end.
    pub(super) fn check(&self) -> Result<()> {
        match (self.go_on)() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Cancelled, "the statement was cancelled")),
        }
    }
}

impl std::fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effort").field("threads", &self.threads).finish_non_exhaustive()
    }
}
