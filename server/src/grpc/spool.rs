//! Batches of an import that wait for its commit, in a temporary file.

use crate::import_wire::decode;
use std::collections::BTreeMap;
use trodden_proto::v1::BatchPiece;
use trodden_query::engine::error::{Error, Result};
use trodden_query::engine::ingest::EventBatch;
use trodden_query::engine::storage::Scratch;

/// The largest batch, in bytes: one is held in memory as a whole.
const BATCH_BYTES_MAX: u64 = 1 << 30;

/// Where a batch is in the file.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    length: u64,
}

/// Batches by their numbers.
pub(super) struct Spool {
    scratch: Box<dyn Scratch>,
    whole: BTreeMap<u64, Extent>,
    /// The batch of which pieces are still to come.
    open: Option<(u64, Extent)>,
}

impl Spool {
    /// An empty spool in this file.
    pub(super) fn new(scratch: Box<dyn Scratch>) -> Self {
        Self { scratch, whole: BTreeMap::new(), open: None }
    }

    /// Keep a piece. Waits for the disk.
    ///
    /// # Errors
    /// `InvalidInput` for a piece that cannot come next; what the disk says.
    pub(super) fn take(&mut self, piece: &BatchPiece) -> Result<()> {
        let sequence = piece.sequence;
        if let Some((open, _)) = self.open.filter(|(open, _)| *open != sequence) {
            return Err(Error::invalid(format!("a piece of batch {sequence} came before the end of batch {open}")));
        }
        if self.whole.contains_key(&sequence) {
            return Err(Error::invalid(format!("batch {sequence} was sent twice")));
        }
        let offset = self.scratch.append(&piece.arrow)?;
        // Only this batch is written now, so its pieces lie one after the other.
        let (_, extent) = self.open.get_or_insert((sequence, Extent { offset, length: 0 }));
        extent.length += piece.arrow.len() as u64;
        let extent = *extent;
        if extent.length > BATCH_BYTES_MAX {
            return Err(Error::invalid(format!("batch {sequence} has more than {BATCH_BYTES_MAX} bytes")));
        }
        if piece.is_last {
            self.whole.insert(sequence, extent);
            self.open = None;
        }
        Ok(())
    }

    /// Whether there are the batches from 0 to `batches`, and no other.
    ///
    /// # Errors
    /// `InvalidInput`: what is missing, or too much.
    pub(super) fn check(&self, batches: u64) -> Result<()> {
        if let Some((sequence, _)) = self.open {
            return Err(Error::invalid(format!("the end of batch {sequence} was not sent")));
        }
        let missing = self.whole.keys().zip(0..).find(|(sequence, at)| *sequence != at).map(|(_, at)| at);
        if let Some(missing) = missing {
            return Err(Error::invalid(format!("batch {missing} was not sent")));
        }
        match self.whole.len() as u64 == batches {
            true => Ok(()),
            false => Err(Error::invalid(format!("{} batches were sent, and {batches} committed", self.whole.len()))),
        }
    }

    /// Number of batches.
    pub(super) fn len(&self) -> u64 {
        self.whole.len() as u64
    }

    /// The batch of this number.
    ///
    /// # Errors
    /// `InvalidInput` where its bytes are no batch; what the disk says.
    pub(super) fn batch(&self, sequence: u64) -> Result<EventBatch> {
        let missing = || Error::invalid(format!("batch {sequence} was not sent"));
        let extent = self.whole.get(&sequence).ok_or_else(missing)?;
        let mut bytes = vec![0; usize::try_from(extent.length).unwrap_or(usize::MAX)];
        self.scratch.read(extent.offset, &mut bytes)?;
        decode(&bytes).map_err(|error| error.at(format!("batch {sequence}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_wire::encode;
    use trodden_query::engine::storage::{MemoryStore, Store};

    fn spool() -> Spool {
        Spool::new(MemoryStore::new().scratch().unwrap())
    }

    fn piece(sequence: u64, arrow: &[u8], is_last: bool) -> BatchPiece {
        BatchPiece { sequence, arrow: arrow.to_vec(), is_last }
    }

    fn bytes(user: &str) -> Vec<u8> {
        let batch = EventBatch {
            user_id: vec![user].into(),
            ts: vec![1].into(),
            event: vec!["e"].into(),
            event_id: None,
            properties: Vec::new(),
        };
        encode(&batch).unwrap()
    }

    #[test]
    fn batches_come_back_by_their_numbers() {
        let mut spool = spool();
        let (one, zero) = (bytes("one"), bytes("zero"));
        spool.take(&piece(1, &one[..10], false)).unwrap();
        spool.take(&piece(1, &one[10..], true)).unwrap();
        assert!(spool.check(1).unwrap_err().message().contains("batch 0 was not sent"));
        spool.take(&piece(0, &zero, true)).unwrap();
        spool.check(2).unwrap();
        assert_eq!(spool.batch(0).unwrap().user_id.value(0), "zero");
        assert_eq!(spool.batch(1).unwrap().user_id.value(0), "one");
        assert!(spool.check(3).is_err());
    }

    #[test]
    fn pieces_that_cannot_be_are_refused() {
        let mut open = spool();
        open.take(&piece(0, b"x", false)).unwrap();
        assert!(open.take(&piece(1, b"y", true)).unwrap_err().message().contains("before the end of batch 0"));
        assert!(open.check(1).unwrap_err().message().contains("the end of batch 0"));
        let mut twice = spool();
        twice.take(&piece(0, b"x", true)).unwrap();
        assert!(twice.take(&piece(0, b"x", true)).unwrap_err().message().contains("twice"));
        assert!(twice.batch(0).unwrap_err().message().contains("batch 0"), "x is no batch");
    }
}
