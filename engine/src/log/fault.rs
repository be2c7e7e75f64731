//! Logs that fail on demand, around any others.

use super::{Log, Logs};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Store;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

/// Logs that pass everything on to others, and fail when they are told to. Its clones are the same logs.
#[derive(Debug, Clone)]
pub struct FaultyLogs {
    inner: Arc<dyn Logs>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
struct Faults {
    appends: u64,
    fail_append_at: Option<u64>,
    fail_sync_at: Option<u64>,
}

/// What an append does.
enum Fate {
    Passes,
    /// It fails before anything is written.
    FailsToWrite,
    /// It is written, and then fails: what a failed sync leaves where the bytes arrived all the same.
    FailsToSync,
}

impl Faults {
    fn next(&mut self) -> Fate {
        self.appends += 1;
        match Some(self.appends) {
            now if now == self.fail_append_at => Fate::FailsToWrite,
            now if now == self.fail_sync_at => Fate::FailsToSync,
            _ => Fate::Passes,
        }
    }
}

impl FaultyLogs {
    /// Logs that do as `inner` does, until they are told to fail.
    pub fn new(inner: Arc<dyn Logs>) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Appends that were tried so far, over all tables.
    pub fn appends(&self) -> u64 {
        self.faults.lock().appends
    }

    /// The `n`-th append fails before anything is written.
    pub fn fail_append(&self, n: u64) {
        self.faults.lock().fail_append_at = Some(n);
    }

    /// The `n`-th append is written, and fails to be synced.
    pub fn fail_sync(&self, n: u64) {
        self.faults.lock().fail_sync_at = Some(n);
    }
}

impl Logs for FaultyLogs {
    fn open(&self, store: &Arc<dyn Store>, directory: &str, position: u64) -> Box<dyn Log> {
        let inner = self.inner.open(store, directory, position);
        Box::new(FaultyLog { inner, faults: Arc::clone(&self.faults), failed: false })
    }

    fn remove(&self, store: &Arc<dyn Store>, directory: &str) -> Result<()> {
        self.inner.remove(store, directory)
    }
}

/// The log of one table.
struct FaultyLog {
    inner: Box<dyn Log>,
    faults: Arc<Mutex<Faults>>,
    failed: bool,
}

impl Log for FaultyLog {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        if self.failed {
            return Err(Error::new(ErrorKind::Poisoned, "the log refuses writes after an injected failure"));
        }
        let failure = match self.faults.lock().next() {
            Fate::Passes => return self.inner.append(records),
            Fate::FailsToWrite => "injected failure of a write",
            Fate::FailsToSync => {
                self.inner.append(records)?;
                "injected failure of a sync"
            }
        };
        self.failed = true;
        Err(Error::io("cannot write the log", io::Error::other(failure)))
    }

    fn replay(&self, after: u64, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        self.inner.replay(after, each)
    }

    fn rotate(&mut self) {
        self.inner.rotate();
    }

    fn restart_after(&mut self, position: u64) {
        self.inner.restart_after(position);
    }

    fn truncate_through(&mut self, position: u64) -> Result<()> {
        self.inner.truncate_through(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryLogs;
    use crate::storage::MemoryStore;

    #[test]
    fn the_append_that_was_named_fails_and_no_other_follows_it() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        for (fails_to_sync, left) in [(false, 1), (true, 2)] {
            let logs = FaultyLogs::new(Arc::new(MemoryLogs::new()));
            match fails_to_sync {
                true => logs.fail_sync(2),
                false => logs.fail_append(2),
            }
            let mut log = logs.open(&store, "t", 0);
            assert_eq!(log.append(&[vec![1]]).unwrap(), 1);
            assert_eq!(log.append(&[vec![2]]).unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(log.append(&[vec![3]]).unwrap_err().kind(), ErrorKind::Poisoned);
            assert_eq!(logs.appends(), 2);
            let mut last = 0;
            log.replay(0, &mut |position, _| {
                last = position;
                Ok(())
            })
            .unwrap();
            assert_eq!(last, left);
            assert_eq!(logs.open(&store, "t", last).append(&[vec![4]]).unwrap(), left + 1, "opened again it goes on");
        }
    }
}
