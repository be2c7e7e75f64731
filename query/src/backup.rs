//! A copy of an open database as of one moment.

use crate::database::Database;
use crate::error::Result;
use crate::warnings::CancelToken;
use std::path::Path;
use trodden_engine::storage::LocalStore;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// Event tables.
    pub tables: u64,
    /// Files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Database {
    /// Copy the database into the directory `target`, which is made if it is missing: all tables, views, rules and tags as of
    /// one moment between the call and its return, with everything that was acknowledged before. Whoever writes or asks goes
    /// on. The copy is durable on return, and is opened like any database. Waits for the disk: in async code call it from a
    /// thread that may block.
    ///
    /// # Errors
    /// `AlreadyExists` where the directory is not empty; `Poisoned`, and what the disk says. What is left in the directory then
    /// is no database.
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<BackedUp> {
        self.backup_with(target, &CancelToken::new(), &mut |_, _| ())
    }

    /// As [`Database::backup`], for as long as `cancel` is not pulled. `on_progress` is told the bytes that are copied, and how
    /// many there are.
    ///
    /// # Errors
    /// Those of [`Database::backup`]; `Cancelled`.
    pub fn backup_with(
        &self,
        target: impl AsRef<Path>,
        cancel: &CancelToken,
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<BackedUp> {
        let target = target.as_ref();
        let stop = || cancel.is_cancelled();
        let backup = self.engine().backup(&stop)?;
        let (mut done, total) = (0, backup.bytes());
        on_progress(done, total);
        let mut on_piece = |bytes: u64| {
            done += bytes;
            on_progress(done, total);
        };
        let store = LocalStore::create(target)?;
        let copied = backup.copy_to(&store, &stop, &mut on_piece).map_err(|error| error.at(target.display()))?;
        Ok(BackedUp { tables: backup.tables(), files: copied.files, bytes: copied.bytes })
    }
}

#[cfg(test)]
mod tests {
    use crate::{CancelToken, Database, ErrorKind, Options};

    #[test]
    fn a_copy_answers_as_the_database_did_at_that_moment() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::in_memory(Options::default()).unwrap();
        database
            .query_blocking(
                "CREATE TABLE events (price DOUBLE);
                 INSERT INTO events (user_id, ts, event, price) VALUES ('ada', TIMESTAMP '2026-01-01T12:00:00Z', 'buy', 2.5);
                 CREATE VIEW buyers AS SELECT DISTINCT user_id FROM events WHERE event = 'buy';
                 UPSERT INTO events_users (user_id, ts, plan) VALUES ('ada', TIMESTAMP '2026-01-01T12:00:00Z', 'pro');
                 CREATE TAG vip ON events FROM ('ada')",
            )
            .unwrap();
        let question = "SELECT b.user_id, u.plan, e.price FROM events e JOIN buyers b ON e.user_id = b.user_id
                        JOIN events_users u ON u.user_id = b.user_id WHERE HAS_TAG(e.user_id, 'events.vip')";
        let answer = database.query_blocking(question).unwrap().to_string();
        let (mut last, target) = ((0, 0), dir.path().join("new/copy"));
        let copied =
            database.backup_with(&target, &CancelToken::new(), &mut |done, total| last = (done, total)).unwrap();
        assert_eq!((copied.tables, last), (1, (copied.bytes, copied.bytes)));
        database.query_blocking("DROP TABLE events").unwrap();
        assert_eq!(database.backup(&target).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let copy = Database::open(&target).unwrap();
        assert_eq!(copy.query_blocking(question).unwrap().to_string(), answer);
        assert!(answer.contains("ada") && answer.contains("pro") && answer.contains("2.5"), "{answer}");
        let cancel = CancelToken::new();
        cancel.cancel();
        let cancelled = copy.backup_with(dir.path().join("other"), &cancel, &mut |_, _| ()).unwrap_err();
        assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
    }
}
