//! Lists of gathered events, kept from question to question: those of a user with a great many events are large, and memory
//! that is given back is cleared by the system before it is given out again.

use super::merge::Gathered;
use parking_lot::Mutex;

/// Larger lists are not kept, in bytes.
const BYTES_MAX: usize = 64 << 20;

/// Lists that nobody uses, of one table.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Gathered>>);

impl std::fmt::Debug for Spare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spare({})", self.0.lock().len())
    }
}

impl Spare {
    /// Lists that were kept, or new ones.
    pub(super) fn take(&self) -> Gathered {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Keep lists, one for each of `threads` at most.
    pub(super) fn keep(&self, gathered: Gathered, threads: usize) {
        let mut kept = self.0.lock();
        if gathered.heap_bytes() <= BYTES_MAX && kept.len() < threads {
            kept.push(gathered);
        }
    }
}
