//! Profiles kept in memory, so that a condition over them is algebra of bitmaps.
//!
//! What is kept is derived, and follows the table: it is at the position of the snapshot that is asked for, or moves there
//! with the records that came since, or is read anew. It never answers for another snapshot. Columns are read when a
//! condition first asks for them.

use super::answer::ProfileAnswer;
use super::evaluate::without_profile;
use super::kept_shard::KeptShard;
use super::update::{UNSET_COLUMN, UPDATED_AT};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::predicate::{ColumnRef, Predicate};
use crate::table::{Change, Follower, Snapshot};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::collections::{BTreeSet, VecDeque};

/// Bytes of changes that wait to be followed; with more, everything is read anew.
const WAITING_BYTES: usize = 64 << 20;

/// The profiles of one table, as far as they are kept.
#[derive(Debug, Default)]
pub(crate) struct ProfileIndex(Mutex<Option<Kept>>);

/// The users of both tables, as a question sees them.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    /// Of the table of profiles.
    pub(crate) profiles: &'a Snapshot,
    /// Of the event table.
    pub(crate) events: &'a Snapshot,
    pub(crate) threads: usize,
}

impl ProfileIndex {
    /// What `predicate` is for the users of the event table.
    ///
    /// # Errors
    /// `NotFound` for a column that profiles do not have; `Corrupt`; what a custom condition raises.
    pub(crate) fn answer(&self, sides: Sides<'_>, predicate: &Predicate) -> Result<ProfileAnswer> {
        self.ask(sides, predicate, &|kept| kept.answer(sides, predicate))
    }

    /// Users of the table of profiles, by shard, among whom are all for whom `predicate` is true.
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub(crate) fn candidates(&self, sides: Sides<'_>, predicate: &Predicate) -> Result<Vec<RoaringBitmap>> {
        self.ask(sides, predicate, &|kept| {
            let shards = kept.shards.iter().enumerate();
            shards.map(|(at, shard)| Ok(shard.candidates(&shard.truths(sides, at, predicate)?.yes))).collect()
        })
    }

    /// What `question` finds in what is kept, once that is at the position of the snapshot and has what `predicate` reads.
    fn ask<T>(&self, sides: Sides<'_>, predicate: &Predicate, question: &dyn Fn(&Kept) -> Result<T>) -> Result<T> {
        let names = columns_of(predicate, sides.profiles)?;
        let mut slot = self.0.lock();
        // Taken out, so that what fails half way is gone.
        let kept = match slot.take() {
            Some(kept) if kept.position > sides.profiles.position => {
                // Somebody asks for the past: their own state is read, and the newer one stays.
                *slot = Some(kept);
                drop(slot);
                return question(&Kept::read(sides, None)?.with_columns(sides, &names)?);
            }
            Some(kept) => kept.moved_to(sides)?,
            None => Kept::read(sides, None)?,
        };
        let kept = kept.with_columns(sides, &names)?;
        let answer = question(&kept);
        if kept.shards.iter().all(KeptShard::lasts) {
            *slot = Some(kept);
        }
        answer
    }

    /// Memory in use, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.lock().as_ref().map_or(0, Kept::memory_bytes)
    }

    /// Forget everything.
    pub(crate) fn clear(&self) {
        *self.0.lock() = None;
    }
}

/// The properties that a condition reads.
fn columns_of(predicate: &Predicate, profiles: &Snapshot) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    collect(predicate, &mut names);
    names.remove(UPDATED_AT);
    let shown = |name: &&String| *name != UNSET_COLUMN && profiles.schema.column(name).is_some();
    match names.iter().find(|name| !shown(name)) {
        None => Ok(names),
        Some(missing) => {
            Err(Error::new(ErrorKind::NotFound, format!("profiles of '{}' have no column '{missing}'", profiles.table)))
        }
    }
}

fn collect(predicate: &Predicate, names: &mut BTreeSet<String>) {
    let mut add = |column: &ColumnRef| match column {
        ColumnRef::User => {}
        column => drop(names.insert(column.name().to_string())),
    };
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().for_each(|part| collect(part, names)),
        Predicate::Not(inner) => collect(inner, names),
        Predicate::Compare { column, .. } | Predicate::In { column, .. } | Predicate::IsNull(column) => add(column),
        Predicate::Custom(custom) => custom.columns().iter().for_each(add),
        Predicate::True | Predicate::False | Predicate::Unknown | Predicate::Members(_) => {}
    }
}

#[derive(Debug)]
struct Kept {
    /// The last record that is in it.
    position: u64,
    follower: Follower,
    /// Records after `position` that were taken from the follower already.
    ahead: VecDeque<(u64, Vec<Change>)>,
    shards: Vec<KeptShard>,
}

impl Kept {
    /// The users of a snapshot, without columns. A follower from before is used again: it may know what comes next where one
    /// that begins now would not, because records came since the snapshot.
    fn read(sides: Sides<'_>, follower: Option<Follower>) -> Result<Self> {
        let follower = follower.unwrap_or_else(|| sides.profiles.follow(WAITING_BYTES));
        let numbers: Vec<usize> = (0..sides.profiles.shards.len()).collect();
        let shards = parallel::map(&numbers, sides.threads, |&shard| KeptShard::read(sides, shard))?;
        Ok(Self { position: sides.profiles.position, follower, ahead: VecDeque::new(), shards })
    }

    /// The same at the position of a snapshot that is not older.
    fn moved_to(mut self, sides: Sides<'_>) -> Result<Self> {
        let schema = &sides.profiles.schema;
        self.shards.iter_mut().for_each(|shard| shard.drop_widened(schema));
        let last = self.ahead.back().map_or(self.position, |(position, _)| *position);
        match self.follower.take(last) {
            Some(records) => self.ahead.extend(records),
            None => return Self::read(sides, Some(self.follower)),
        }
        let target = sides.profiles.position;
        // A position that no record leads to is that of an import.
        if self.ahead.iter().take_while(|(position, _)| *position <= target).last().map_or(self.position, |(p, _)| *p)
            != target
        {
            return Self::read(sides, Some(self.follower));
        }
        while let Some((position, _)) = self.ahead.front()
            && *position <= target
            && let Some((position, changes)) = self.ahead.pop_front()
        {
            for change in &changes {
                let (Change::Events { shard, .. } | Change::Deleted { shard, .. }) = change;
                self.shards[usize::from(*shard)].follow(change)?;
            }
            self.position = position;
        }
        self.shards.iter_mut().enumerate().try_for_each(|(at, shard)| shard.find_users(sides, at))?;
        Ok(self)
    }

    /// The same with the columns `names`.
    fn with_columns(mut self, sides: Sides<'_>, names: &BTreeSet<String>) -> Result<Self> {
        let missing: Vec<&String> = names.iter().filter(|name| !self.shards[0].has(name)).collect();
        if missing.is_empty() {
            return Ok(self);
        }
        let numbered: Vec<(usize, &KeptShard)> = self.shards.iter().enumerate().collect();
        let read = parallel::map(&numbered, sides.threads, |(at, shard)| shard.columns(sides, *at, &missing))?;
        self.shards.iter_mut().zip(read).for_each(|(shard, columns)| shard.add(columns));
        Ok(self)
    }

    fn answer(&self, sides: Sides<'_>, predicate: &Predicate) -> Result<ProfileAnswer> {
        let (mut yes, mut no, mut profiled) = (Vec::new(), Vec::new(), Vec::new());
        for (at, shard) in self.shards.iter().enumerate() {
            // Who came after the snapshot of the events is not in it.
            let next = sides.events.shards[at].next_ordinal;
            let known = |mut users: RoaringBitmap| {
                users.remove_range(next..);
                users
            };
            let truths = shard.truths(sides, at, predicate)?;
            yes.push(known(truths.yes));
            no.push(known(truths.no));
            profiled.push(known(shard.profiled().clone()));
        }
        let without = without_profile(predicate, sides.profiles)?;
        Ok(ProfileAnswer { yes: yes.into(), no: no.into(), profiled: profiled.into(), without })
    }

    fn memory_bytes(&self) -> usize {
        self.shards.iter().map(KeptShard::memory_bytes).sum::<usize>() + self.follower.waiting_bytes()
    }
}
