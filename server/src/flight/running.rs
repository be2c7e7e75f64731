//! What is computed now, and how it is stopped: by the client that asked, or because nobody reads the answer any more.

use crate::serve::Owner;
use parking_lot::Mutex;
use prost::bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tonic::Status;
use trodden_query::CancelToken;

/// So many tickets that were cancelled before they were brought back are remembered.
const CANCELLED_MAX: usize = 1_024;

/// The statements that run.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    statements: HashMap<Bytes, (Owner, Arc<Stop>)>,
    /// Tickets that were cancelled before their statements ran.
    cancelled: VecDeque<(Bytes, Owner)>,
}

impl Running {
    /// A statement begins. It ends when the guard goes, and is cancelled if it still runs then.
    ///
    /// # Errors
    /// `cancelled` for one that was cancelled before it began.
    pub(super) fn begin(self: &Arc<Self>, id: &Bytes, owner: &Owner) -> Result<Guard, Status> {
        let mut inner = self.0.lock();
        if let Some(place) = inner.cancelled.iter().position(|(other, whose)| other == id && whose == owner) {
            inner.cancelled.remove(place);
            return Err(Status::cancelled("the statement was cancelled"));
        }
        let stop = Arc::new(Stop::default());
        inner.statements.insert(id.clone(), (owner.clone(), Arc::clone(&stop)));
        Ok(Guard { running: Some((Arc::clone(self), id.clone())), stop })
    }

    /// Stop a statement of `owner`, or see to it that it does not begin. Whether it was running.
    pub(super) fn cancel(&self, id: &Bytes, owner: &Owner) -> bool {
        let mut inner = self.0.lock();
        match inner.statements.get(id) {
            Some((whose, stop)) if whose == owner => {
                stop.pull();
                true
            }
            // That of somebody else is not known here.
            Some(_) => false,
            None => {
                if inner.cancelled.len() >= CANCELLED_MAX {
                    inner.cancelled.pop_front();
                }
                inner.cancelled.push_back((id.clone(), owner.clone()));
                false
            }
        }
    }
}

/// The wish to stop a statement, which may be run several times, one after the other.
#[derive(Debug, Default)]
struct Stop(Mutex<(bool, CancelToken)>);

impl Stop {
    fn pull(&self) {
        let mut inner = self.0.lock();
        inner.0 = true;
        inner.1.cancel();
    }

    /// What stops the next run: one that ended is no reason to stop another.
    fn token(&self) -> CancelToken {
        let mut inner = self.0.lock();
        inner.1 = CancelToken::new();
        if inner.0 {
            inner.1.cancel();
        }
        inner.1.clone()
    }
}

/// While it is there, a statement runs.
#[derive(Debug, Default)]
pub(super) struct Guard {
    running: Option<(Arc<Running>, Bytes)>,
    stop: Arc<Stop>,
}

impl Guard {
    /// For a statement that only its own client can stop, by going away.
    pub(super) fn unnamed() -> Self {
        Self::default()
    }

    /// What stops the run that begins now.
    pub(super) fn token(&self) -> CancelToken {
        self.stop.token()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.pull();
        if let Some((running, id)) = self.running.take() {
            running.0.lock().statements.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_cancelled_by_whom_it_belongs_to() {
        let running = Arc::new(Running::default());
        let (id, owner) = (Bytes::from_static(b"1"), Some("a".to_string()));
        let guard = running.begin(&id, &owner).unwrap();
        let first = guard.token();
        assert!(!running.cancel(&id, &Some("b".into())));
        assert!(!first.is_cancelled());
        // The end of a run, which its token tells, is not the end of the next one.
        first.cancel();
        let second = guard.token();
        assert!(!second.is_cancelled());
        assert!(running.cancel(&id, &owner));
        assert!(second.is_cancelled() && guard.token().is_cancelled());
        drop(guard);
        assert!(running.0.lock().statements.is_empty());
    }

    #[test]
    fn one_that_was_cancelled_before_does_not_begin() {
        let running = Arc::new(Running::default());
        let id = Bytes::from_static(b"1");
        assert!(!running.cancel(&id, &None));
        assert_eq!(running.begin(&id, &None).unwrap_err().code(), tonic::Code::Cancelled);
        assert!(running.begin(&id, &None).is_ok());
    }
}
