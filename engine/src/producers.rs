//! Producers: who sends numbered batches, and how far each has come. A batch that is sent again is known by its number, so that it
//! is stored once however often it is sent.
//!
//! Each record of a numbered batch has its [`Mark`]; manifests have the last one of each producer.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Producers that a table remembers. Those that have not sent for longest are forgotten first.
pub const PRODUCERS_MAX: usize = 10_000;
/// Longest name of a producer, in bytes.
pub const PRODUCER_BYTES_MAX: usize = 256;

/// The place of a batch among those of its producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The producer's name, which no other producer of the table has.
    pub producer: String,
    /// Number of the batch. Later batches have larger ones.
    pub sequence: u64,
    /// Number of the batch before it that this table was sent and did not refuse; 0 where there is none.
    pub previous: u64,
}

/// What the number of a batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the next one.
    Next,
    /// It was stored already.
    Repeated,
    /// One before it is missing: this is the last one that is there.
    Gap(u64),
}

/// How far a producer has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Number of its last batch.
    pub(crate) sequence: u64,
    /// The record of the log with that batch.
    pub(crate) position: u64,
}

/// The producers of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producers(BTreeMap<String, Progress>);

impl Producers {
    /// Whether no producer is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the number of a batch says. Of a producer that is not known any more, or not yet, any number is the next one.
    pub(crate) fn place(&self, mark: &Mark) -> Place {
        match self.0.get(&mark.producer) {
            Some(last) if mark.sequence <= last.sequence => Place::Repeated,
            Some(last) if mark.previous != last.sequence => Place::Gap(last.sequence),
            _ => Place::Next,
        }
    }

    /// Number of the last batch of `producer`.
    pub(crate) fn last(&self, producer: &str) -> Option<u64> {
        self.0.get(producer).map(|last| last.sequence)
    }

    /// The record at `position` has batch `sequence` of `producer`.
    pub(crate) fn note(&mut self, producer: &str, sequence: u64, position: u64) {
        self.0.insert(producer.to_string(), Progress { sequence, position });
        if self.0.len() > PRODUCERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, last)| last.position).map(|(name, _)| name.clone());
            oldest.map(|name| self.0.remove(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64, previous: u64) -> Mark {
        Mark { producer: "p".into(), sequence, previous }
    }

    #[test]
    fn a_batch_is_next_repeated_or_after_a_gap() {
        let mut producers = Producers::default();
        assert_eq!(producers.place(&mark(7, 6)), Place::Next);
        producers.note("p", 7, 1);
        assert_eq!(producers.place(&mark(7, 6)), Place::Repeated);
        assert_eq!(producers.place(&mark(3, 2)), Place::Repeated);
        assert_eq!(producers.place(&mark(9, 8)), Place::Gap(7));
        assert_eq!(producers.place(&mark(9, 7)), Place::Next);
        assert_eq!(producers.place(&Mark { producer: "q".into(), sequence: 1, previous: 0 }), Place::Next);
    }

    #[test]
    fn who_has_not_sent_for_longest_is_forgotten_first() {
        let mut producers = Producers::default();
        (0..PRODUCERS_MAX as u64).for_each(|at| producers.note(&format!("p{at}"), 1, at));
        producers.note("p0", 2, 20_000);
        producers.note("new", 1, 20_001);
        assert_eq!((producers.last("p0"), producers.last("p1"), producers.last("new")), (Some(2), None, Some(1)));
    }
}
