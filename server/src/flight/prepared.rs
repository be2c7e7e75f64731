//! Prepared statements: kept until they are closed, or left alone for long.

use super::parameters::Rows;
use super::running::Owner;
use super::statement::Read;
use super::ticket::random_id;
use parking_lot::Mutex;
use prost::bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tonic::Status;

/// Most of them.
const PREPARED_MAX: usize = 10_000;
/// Whoever leaves one alone for longer has forgotten it.
const IDLE_US: i64 = 60 * 60 * 1_000_000;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) read: Read,
    owner: Owner,
    bound: Mutex<Arc<Rows>>,
    used_at_us: AtomicI64,
}

impl Prepared {
    /// Bind values: the statement is run for each row of them.
    pub(super) fn bind(&self, rows: Rows) {
        *self.bound.lock() = Arc::new(rows);
    }

    /// What is bound now.
    pub(super) fn bound(&self) -> Arc<Rows> {
        Arc::clone(&self.bound.lock())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct AllPrepared(Mutex<HashMap<Bytes, Arc<Prepared>>>);

impl AllPrepared {
    /// Keep a statement. The answer is its handle.
    ///
    /// # Errors
    /// `resource_exhausted` where there are too many.
    pub(super) fn keep(&self, read: Read, owner: &Owner, now_us: i64) -> Result<Bytes, Status> {
        let handle = random_id()?;
        let mut all = self.0.lock();
        if all.len() >= PREPARED_MAX {
            all.retain(|_, prepared| prepared.used_at_us.load(Ordering::Relaxed) > now_us.saturating_sub(IDLE_US));
        }
        if all.len() >= PREPARED_MAX {
            return Err(Status::resource_exhausted(format!(
                "{PREPARED_MAX} prepared statements are open (hint: close those that are not needed)"
            )));
        }
        let bound = Mutex::new(Arc::new(Rows::default()));
        let prepared = Prepared { read, owner: owner.clone(), bound, used_at_us: AtomicI64::new(now_us) };
        all.insert(handle.clone(), Arc::new(prepared));
        Ok(handle)
    }

    /// The statement of a handle, for whom it belongs to.
    ///
    /// # Errors
    /// `not_found` once it is closed or was idle for too long, and for somebody else's.
    pub(super) fn find(&self, handle: &Bytes, owner: &Owner, now_us: i64) -> Result<Arc<Prepared>, Status> {
        let mut all = self.0.lock();
        let found = all.get(handle).filter(|prepared| prepared.owner == *owner).cloned();
        let missing = || {
            Status::not_found(
                "no prepared statement has this handle: it was closed, or not used for an hour (hint: prepare it again)",
            )
        };
        let found = found.ok_or_else(missing)?;
        if found.used_at_us.swap(now_us, Ordering::Relaxed) < now_us.saturating_sub(IDLE_US) {
            all.remove(handle);
            return Err(missing());
        }
        Ok(found)
    }

    /// Forget a statement. One that is not there is forgotten already.
    pub(super) fn close(&self, handle: &Bytes, owner: &Owner) {
        let mut all = self.0.lock();
        if all.get(handle).is_some_and(|prepared| prepared.owner == *owner) {
            all.remove(handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trodden_query::{Database, Options};

    fn read(database: &Database) -> Read {
        Read { statement: database.parse("SELECT 1").unwrap().remove(0), text: "SELECT 1".into() }
    }

    #[test]
    fn a_handle_is_of_its_owner_until_it_is_closed_or_idle() {
        let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
        let statement = || read(&database);
        let (all, owner) = (AllPrepared::default(), Some("a".to_string()));
        let handle = all.keep(statement(), &owner, 0).unwrap();
        assert!(all.find(&handle, &owner, 1).is_ok());
        assert_eq!(all.find(&handle, &None, 1).unwrap_err().code(), tonic::Code::NotFound);
        all.close(&handle, &None);
        assert!(all.find(&handle, &owner, IDLE_US).is_ok());
        all.close(&handle, &owner);
        assert!(all.find(&handle, &owner, IDLE_US).is_err());
        let handle = all.keep(statement(), &owner, 0).unwrap();
        assert!(all.find(&handle, &owner, IDLE_US + 1).is_err());
    }

    #[test]
    fn there_is_a_limit_that_idle_ones_do_not_count_for() {
        let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
        let statement = read(&database);
        let all = AllPrepared::default();
        for _ in 0..PREPARED_MAX {
            all.keep(statement.clone(), &None, 0).unwrap();
        }
        let refused = all.keep(statement.clone(), &None, IDLE_US - 1).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(all.keep(statement, &None, IDLE_US + 1).is_ok());
    }
}
