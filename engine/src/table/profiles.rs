//! The profiles of an event table: the table beside it, and what has to be done to both.
//!
//! A deletion goes to the profile first, then to the events. It is acknowledged when both are durable. A crash in between
//! leaves a user with events and without a profile, who is as little known as anybody without one, and never a profile of
//! somebody whose events are gone; the same deletion, asked for again, does the rest. Updates and deletions exclude each
//! other, so that an update cannot slip in between.

use super::{Appended, Shared, Snapshot, Table};
use crate::compact::Keep;
use crate::error::{Error, ErrorKind, Result};
use crate::members::Members;
use crate::predicate::Predicate;
use crate::profiles::{ProfileAnswer, ProfileBatch, ProfileIndex, ProfileScan, ShardProfiles, Sides, relation_schema};
use crate::types::{ColumnDef, Schema};
use arrow_array::{RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use parking_lot::{RwLock, RwLockWriteGuard};
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// The table of profiles beside an event table, once there is one.
#[derive(Default)]
pub(crate) struct ProfileLink {
    made: OnceLock<Arc<Profiles>>,
    /// Held for reading by updates of profiles, for writing by deletions, and by what makes profiles or changes their options.
    changes: RwLock<()>,
}

/// The profiles of an event table.
#[derive(Debug)]
pub struct Profiles {
    pub(crate) table: Arc<Table>,
    index: ProfileIndex,
}

/// Profiles at one moment. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct ProfilesSnapshot {
    profiles: Arc<Profiles>,
    /// The snapshot of the table that keeps them.
    pub snapshot: Snapshot,
}

impl Shared {
    /// Which rows survive a merge.
    pub(super) fn keep(&self) -> Keep {
        let manifest = Arc::clone(&self.state.read().manifest);
        match manifest.profiles_of.is_some() && !manifest.options.profile_history {
            true => Keep::Latest,
            false => Keep::All,
        }
    }
}

impl Table {
    /// The profiles of its users; `None` before the first one.
    pub fn profiles(&self) -> Option<Arc<Profiles>> {
        self.shared.profiles.made.get().cloned()
    }

    /// Held while profiles are made, or it is decided how they are.
    pub(crate) fn lock_profiles(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.profiles.changes.write()
    }

    /// Let `table` have the profiles of this one.
    pub(crate) fn set_profiles(&self, table: Table) -> Arc<Profiles> {
        let made = Arc::new(Profiles { table: Arc::new(table), index: ProfileIndex::default() });
        Arc::clone(self.shared.profiles.made.get_or_init(|| made))
    }

    /// Update profiles. On return the updates are durable and visible, all of them or none, as with [`Table::append`].
    ///
    /// # Errors
    /// `NotFound` before [`Engine::profiles`](crate::Engine::profiles) made a place for them; those of [`Table::append`].
    pub fn upsert(&self, batch: ProfileBatch) -> Result<Appended> {
        let missing = || Error::new(ErrorKind::NotFound, format!("table '{}' has no profiles yet", self.name()));
        let profiles = self.profiles().ok_or_else(missing)?;
        let mut batch = batch.into_events()?;
        let _no_deletion = self.shared.profiles.changes.read();
        batch.user_id = self.persons(batch.user_id);
        self.introduce_users(&batch.user_id)?;
        profiles.table.append(batch)
    }

    /// The persons that ids mean by now: what is said of an alias is said of the person.
    pub fn persons(&self, ids: StringArray) -> StringArray {
        let aliases = Arc::clone(&self.shared.state.read().aliases);
        match aliases.is_empty() {
            true => ids,
            false => ids.iter().map(|id| id.map(|id| aliases.resolve(id))).collect(),
        }
    }

    /// Give the users of profiles that are to come an ordinal in this table, so that conditions on profiles find them.
    ///
    /// # Errors
    /// Those of [`Table::introduce`].
    pub fn introduce_users(&self, users: &StringArray) -> Result<()> {
        let ids: BTreeSet<&str> = users.iter().flatten().collect();
        self.introduce(&ids.into_iter().collect::<Vec<_>>()).map(drop)
    }

    /// Delete a user: hide all events and the profile at once, and remove them and the id from disk at compaction. Whether
    /// there was such a user. What arrives later under the same id is that of a new user.
    ///
    /// # Errors
    /// What the disk says; `Locked` during an import; `InvalidInput` for an alias: it is the person that can be deleted, with all
    /// ids. The profile may be gone then, and the events still there; never the other way round.
    pub fn delete_user(&self, user_id: &str) -> Result<bool> {
        let _no_update = self.shared.profiles.changes.write();
        let aliases = Arc::clone(&self.shared.state.read().aliases);
        // An alias alone is refused below, with nothing changed.
        let Some(profiles) = self.profiles().filter(|_| aliases.get(user_id).is_none()) else {
            return self.delete_own(user_id);
        };
        let mut had_profile = profiles.table.delete_own(user_id)?;
        for alias in aliases.iter().filter(|alias| aliases.resolve(&alias.source.id) == user_id) {
            had_profile |= profiles.table.delete_own(&alias.source.id)?;
        }
        Ok(self.delete_own(user_id)? || had_profile)
    }

    /// Keep every update of a profile from now on, or no longer.
    ///
    /// # Errors
    /// `InvalidInput` to begin with it when there are profiles: values from before may be gone. What the disk says.
    pub fn set_profile_history(&self, history: bool) -> Result<()> {
        let _changes = self.lock_profiles();
        if history == self.options().profile_history {
            return Ok(());
        }
        let profiles = self.profiles();
        if history && profiles.is_some() {
            return Err(Error::invalid(format!("table '{}' has profiles already, without their history", self.name()))
                .with_hint(
                    "history can be kept from the first profile on: make another table WITH (profile_history = true)",
                ));
        }
        if let Some(profiles) = profiles {
            profiles.table.set_own_history(history)?;
        }
        self.set_own_history(history)
    }

    fn set_own_history(&self, history: bool) -> Result<()> {
        let _maintenance = self.shared.maintenance.lock();
        let _ingest = self.shared.drained()?;
        self.shared.edit(|manifest| manifest.options.profile_history = history)
    }
}

impl Profiles {
    /// The profiles as they are now: with every update that was acknowledged, and no other.
    pub fn snapshot(self: &Arc<Self>) -> ProfilesSnapshot {
        ProfilesSnapshot { profiles: Arc::clone(self), snapshot: self.table.snapshot() }
    }

    /// The properties.
    pub fn schema(&self) -> Schema {
        self.table.schema().of_profiles()
    }

    /// The table that keeps the updates, for a bulk import of rows that [`ProfileBatch::into_events`] made.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Add a property.
    ///
    /// # Errors
    /// Those of [`Table::add_column`]; `InvalidInput` for a reserved name.
    pub fn add_column(&self, column: &ColumnDef) -> Result<()> {
        if crate::profiles::is_reserved(&column.name) {
            return Err(Error::invalid(format!("a profile cannot have a column '{}' of its own", column.name)));
        }
        self.table.add_column(column)
    }

    /// Memory that is kept for conditions over profiles, about, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    /// Forget what is kept in memory. It is read again when it is asked for.
    pub fn forget_kept(&self) {
        self.index.clear();
    }
}

impl ProfilesSnapshot {
    /// The columns that a reader sees: `user_id`, the properties, `updated_at`.
    ///
    /// # Errors
    /// None in practice.
    pub fn relation_schema(&self) -> Result<SchemaRef> {
        relation_schema(&self.snapshot.schema)
    }

    /// Number of shards, each of which can be read by another thread.
    pub fn shards(&self) -> usize {
        self.snapshot.shards.len()
    }

    /// Give `each` the profiles of a shard in batches, in order of ordinal, until it answers false.
    ///
    /// # Errors
    /// `InvalidInput` for a column that is not there, and for a time where no history is kept; `Corrupt`.
    pub fn read(
        &self,
        shard: usize,
        scan: &ProfileScan,
        each: &mut dyn FnMut(RecordBatch) -> Result<bool>,
    ) -> Result<()> {
        self.check_as_of(scan.as_of_us)?;
        let mut profiles = ShardProfiles::read(&self.snapshot, shard, scan)?;
        while let Some(batch) = profiles.next_batch()? {
            if !each(batch)? {
                break;
            }
        }
        Ok(())
    }

    /// Users among whom are all whose profiles satisfy a condition now, for [`ProfileScan::candidates`].
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub fn candidates(&self, events: &Snapshot, condition: &Predicate) -> Result<Vec<RoaringBitmap>> {
        self.profiles.index.candidates(self.sides(events), condition)
    }

    /// Whether profiles as of a time can be told.
    ///
    /// # Errors
    /// `InvalidInput` where the table keeps no history.
    pub fn check_as_of(&self, as_of_us: Option<i64>) -> Result<()> {
        if as_of_us.is_none() || self.snapshot.options.profile_history {
            return Ok(());
        }
        let message = format!("'{}' keeps the last value of each column, and no history", self.snapshot.table);
        Err(Error::new(ErrorKind::InvalidInput, message)
            .with_hint("leave the time away; history is kept by a table made WITH (profile_history = true)"))
    }

    /// Users of the event table for whom a condition over their profiles is true. See [`Self::answer`].
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub fn members_where(&self, events: &Snapshot, condition: &Predicate) -> Result<Members> {
        Ok(self.answer(events, condition)?.yes)
    }

    /// Which users of the event table satisfy a condition over their profiles, in three-valued logic. Columns are
    /// `user_id`, the properties, and `updated_at` as a property of type TIMESTAMP.
    ///
    /// # Errors
    /// `NotFound` for a column that profiles do not have; `Corrupt`; what a custom condition raises.
    pub fn answer(&self, events: &Snapshot, condition: &Predicate) -> Result<ProfileAnswer> {
        self.profiles.index.answer(self.sides(events), condition)
    }

    fn sides<'a>(&'a self, events: &'a Snapshot) -> Sides<'a> {
        Sides { profiles: &self.snapshot, events, threads: self.profiles.table.shared.limits.threads }
    }
}
