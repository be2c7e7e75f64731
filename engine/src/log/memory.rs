//! Logs in memory, for tests and for databases that need not last.

use super::{Log, Logs};
use crate::error::{Error, Result};
use crate::storage::Store;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Records by position.
type Records = BTreeMap<u64, Vec<u8>>;

/// Logs in memory. Its clones are the same logs: a database that is opened again with one of them goes on where it was.
#[derive(Debug, Clone, Default)]
pub struct MemoryLogs {
    by_directory: Arc<Mutex<BTreeMap<String, Arc<Mutex<Records>>>>>,
}

impl MemoryLogs {
    /// No logs yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Logs for MemoryLogs {
    fn open(&self, _store: &Arc<dyn Store>, directory: &str, position: u64) -> Box<dyn Log> {
        let records = Arc::clone(self.by_directory.lock().entry(directory.into()).or_default());
        Box::new(MemoryLog { records, next: position + 1 })
    }

    fn remove(&self, _store: &Arc<dyn Store>, directory: &str) -> Result<()> {
        self.by_directory.lock().remove(directory);
        Ok(())
    }
}

/// The log of one table.
struct MemoryLog {
    records: Arc<Mutex<Records>>,
    next: u64,
}

impl Log for MemoryLog {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        self.records.lock().extend((self.next..).zip(records.iter().cloned()));
        self.next += records.len() as u64;
        Ok(self.next - 1)
    }

    fn replay(&self, after: u64, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let mut last = after;
        for (&position, record) in self.records.lock().range((Bound::Excluded(after), Bound::Unbounded)) {
            if position != last + 1 {
                let message = format!("records {} to {} are missing in the log", last + 1, position - 1);
                return Err(Error::corrupt(message));
            }
            each(position, record).map_err(|error| error.at(format!("record {position} of the log")))?;
            last = position;
        }
        Ok(())
    }

    fn rotate(&mut self) {
        // Every record is a piece of its own.
    }

    fn restart_after(&mut self, position: u64) {
        self.next = position + 1;
    }

    fn truncate_through(&mut self, position: u64) -> Result<()> {
        self.records.lock().retain(|place, _| *place > position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::MemoryStore;

    fn replayed(log: &dyn Log, after: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut found = Vec::new();
        log.replay(after, &mut |position, record| {
            found.push((position, record.to_vec()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn records_stay_until_they_are_truncated_and_a_gap_is_told() {
        let (logs, store): (_, Arc<dyn Store>) = (MemoryLogs::new(), Arc::new(MemoryStore::new()));
        let mut log = logs.open(&store, "t", 0);
        assert_eq!(log.append(&[vec![1], vec![2]]).unwrap(), 2);
        assert_eq!(log.append(&[vec![3]]).unwrap(), 3);
        // Another handle is the same log; another table has its own.
        let again = logs.clone().open(&store, "t", 3);
        assert_eq!(replayed(again.as_ref(), 0).unwrap(), [(1, vec![1]), (2, vec![2]), (3, vec![3])]);
        assert_eq!(replayed(again.as_ref(), 2).unwrap(), [(3, vec![3])]);
        assert!(replayed(logs.open(&store, "u", 0).as_ref(), 0).unwrap().is_empty());
        log.truncate_through(1).unwrap();
        assert_eq!(replayed(log.as_ref(), 1).unwrap().len(), 2);
        assert_eq!(replayed(log.as_ref(), 0).unwrap_err().kind(), ErrorKind::Corrupt);
        log.restart_after(9);
        assert_eq!(log.append(&[vec![10]]).unwrap(), 10);
        assert_eq!(replayed(log.as_ref(), 9).unwrap(), [(10, vec![10])]);
        logs.remove(&store, "t").unwrap();
        assert!(replayed(logs.open(&store, "t", 0).as_ref(), 0).unwrap().is_empty());
    }
}
