//! What is kept for a client between its calls, such as prepared statements: until it is closed, or left alone for long.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use trodden_query::{Error, ErrorKind};

/// Most of them at one time, of all clients.
pub const KEPT_MAX: usize = 10_000;
/// Whoever leaves one alone for longer has forgotten it.
pub const IDLE_US: i64 = 60 * 60 * 1_000_000;
/// Bytes of a handle: nobody guesses that of somebody else.
const HANDLE_BYTES: usize = 16;

/// Whom something belongs to: the id of a key, or `None` where no key was needed.
pub type Owner = Option<String>;

/// Things by their handles.
#[derive(Debug)]
pub struct Kept<T> {
    /// What one of them is called in errors.
    what: &'static str,
    all: Mutex<HashMap<Vec<u8>, Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    value: Arc<T>,
    owner: Owner,
    used_at_us: i64,
}

impl<T> Kept<T> {
    /// None yet. `what`: what one of them is called in errors, such as "prepared statement".
    pub fn new(what: &'static str) -> Self {
        Self { what, all: Mutex::default() }
    }

    /// Keep a thing. The answer is its handle.
    ///
    /// # Errors
    /// `ResourceLimit` where there are too many, `Io` where the system gives no random bytes.
    pub fn keep(&self, value: T, owner: &Owner, now_us: i64) -> Result<Vec<u8>, Error> {
        let mut handle = vec![0; HANDLE_BYTES];
        getrandom::fill(&mut handle).map_err(|error| Error::new(ErrorKind::Io, format!("random bytes: {error}")))?;
        let mut all = self.all.lock();
        if all.len() >= KEPT_MAX {
            all.retain(|_, entry| !is_idle(entry.used_at_us, now_us));
        }
        if all.len() >= KEPT_MAX {
            let message = format!("{KEPT_MAX} {}s are open", self.what);
            return Err(Error::new(ErrorKind::ResourceLimit, message).with_hint("close those that are not needed"));
        }
        let entry = Entry { value: Arc::new(value), owner: owner.clone(), used_at_us: now_us };
        all.insert(handle.clone(), entry);
        Ok(handle)
    }

    /// The thing of a handle, for whom it belongs to.
    ///
    /// # Errors
    /// `NotFound` once it is closed or was idle for too long, and for somebody else's.
    pub fn find(&self, handle: &[u8], owner: &Owner, now_us: i64) -> Result<Arc<T>, Error> {
        let mut all = self.all.lock();
        let found = all.get_mut(handle).filter(|entry| entry.owner == *owner);
        match found {
            Some(entry) if !is_idle(entry.used_at_us, now_us) => {
                entry.used_at_us = now_us;
                return Ok(Arc::clone(&entry.value));
            }
            Some(_) => drop(all.remove(handle)),
            None => {}
        }
        let message = format!("no {} has this handle: it was closed, or not used for an hour", self.what);
        Err(Error::new(ErrorKind::NotFound, message).with_hint("prepare it again"))
    }

    /// Forget a thing. One that is not there is forgotten already.
    pub fn close(&self, handle: &[u8], owner: &Owner) {
        let mut all = self.all.lock();
        if all.get(handle).is_some_and(|entry| entry.owner == *owner) {
            all.remove(handle);
        }
    }
}

fn is_idle(used_at_us: i64, now_us: i64) -> bool {
    used_at_us < now_us.saturating_sub(IDLE_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_of_its_owner_until_it_is_closed_or_idle() {
        let (kept, owner) = (Kept::new("thing"), Some("a".to_string()));
        let handle = kept.keep(7, &owner, 0).unwrap();
        assert_eq!(*kept.find(&handle, &owner, 1).unwrap(), 7);
        assert_eq!(kept.find(&handle, &None, 1).unwrap_err().kind(), ErrorKind::NotFound);
        kept.close(&handle, &None);
        assert!(kept.find(&handle, &owner, IDLE_US).is_ok());
        assert!(kept.find(&handle, &owner, 2 * IDLE_US).is_ok());
        assert!(kept.find(&handle, &owner, 3 * IDLE_US + 1).is_err());
        let handle = kept.keep(8, &owner, 0).unwrap();
        kept.close(&handle, &owner);
        assert!(kept.find(&handle, &owner, 0).is_err());
    }

    #[test]
    fn there_is_a_limit_that_idle_ones_do_not_count_for() {
        let kept = Kept::new("thing");
        (0..KEPT_MAX).for_each(|_| drop(kept.keep((), &None, 0).unwrap()));
        assert_eq!(kept.keep((), &None, IDLE_US).unwrap_err().kind(), ErrorKind::ResourceLimit);
        assert!(kept.keep((), &None, IDLE_US + 1).is_ok());
    }
}
