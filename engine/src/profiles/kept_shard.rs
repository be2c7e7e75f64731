//! The kept profiles of one shard.

use super::answer::Truths;
use super::arrays;
use super::index::Sides;
use super::kept::{KeptColumn, NOBODY, bitmap, bitmap_bytes};
use super::latest::{LatestColumn, NEVER, Reading, UpdatedAt, for_each_block};
use crate::error::Result;
use crate::table::{Change, LiveSegment};
use crate::types::Schema;
use arrow_array::Array;
use roaring::RoaringBitmap;
use std::collections::HashMap;

/// Ids that are looked up at once.
const IDS: usize = 4096;

/// Users by their ordinals in the table of profiles; bitmaps by those in the event table.
#[derive(Debug)]
pub(super) struct KeptShard {
    pub(super) updated: UpdatedAt,
    /// The ordinal of each user in the event table; [`NOBODY`] where it has none, or there is no profile.
    pub(super) events: Vec<u32>,
    profiled: RoaringBitmap,
    /// Users with a profile whom the event table did not know.
    unknown: Vec<u32>,
    /// Whether the ordinals in the event table are those that its users have from now on: not where a user of the snapshot
    /// was deleted since.
    lasts: bool,
    pub(super) columns: Vec<KeptColumn>,
}

impl KeptShard {
    /// The users of a shard.
    pub(super) fn read(sides: Sides<'_>, at: usize) -> Result<Self> {
        let shard = &sides.profiles.shards[at];
        let users = shard.next_ordinal as usize;
        let mut kept = Self {
            updated: UpdatedAt(vec![NEVER; users]),
            events: vec![NOBODY; users],
            profiled: RoaringBitmap::new(),
            unknown: Vec::new(),
            lasts: true,
            columns: Vec::new(),
        };
        for live in &shard.segments {
            for_each_block(live, Reading::default(), &mut |block| {
                kept.updated.apply(block, &mut |_| ());
                Ok(())
            })?;
        }
        kept.unknown = (0_u32..).zip(&kept.updated.0).filter(|(_, at)| **at != NEVER).map(|(user, _)| user).collect();
        kept.find_users(sides, at)?;
        Ok(kept)
    }

    /// Look up the ordinals of users whom the event table did not know.
    pub(super) fn find_users(&mut self, sides: Sides<'_>, at: usize) -> Result<()> {
        let shard = &sides.profiles.shards[at];
        let mut found = Vec::new();
        let unknown = std::mem::take(&mut self.unknown);
        for users in unknown.chunks(IDS) {
            let ids = arrays::user_ids(shard, users)?;
            let names: Vec<&str> = (0..ids.len()).map(|row| ids.value(row)).collect();
            let ordinals = sides.events.lookup.ordinals(at as u16, &names)?;
            for ((&user, name), now) in users.iter().zip(names).zip(ordinals) {
                let is_in_snapshot = now.is_some_and(|event| event < sides.events.shards[at].next_ordinal);
                let deleted_since = if is_in_snapshot { None } else { sides.events.ordinal_of(name)? };
                self.lasts &= deleted_since.is_none();
                match deleted_since.map(|(_, event)| event).or(now) {
                    Some(event) => found.push((user, event)),
                    None => self.unknown.push(user),
                }
            }
        }
        found.iter().for_each(|&(user, event)| self.events[user as usize] = event);
        self.profiled |= bitmap(found.iter().map(|(_, event)| *event).collect());
        for column in &mut self.columns {
            found.iter().for_each(|&(user, event)| column.found(user, event));
        }
        Ok(())
    }

    /// Whether it may be kept for the next question.
    pub(super) fn lasts(&self) -> bool {
        self.lasts
    }

    /// Forget columns that have another type by now.
    pub(super) fn drop_widened(&mut self, schema: &Schema) {
        self.columns.retain(|column| {
            schema.column(&column.latest.name).is_some_and(|now| now.column_type == column.latest.column_type)
        });
    }

    /// Do what a change says. Users who are new wait to be looked up: a later change may delete them.
    pub(super) fn follow(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Events { segment, .. } => self.add_updates(segment),
            Change::Deleted { ordinal, .. } => {
                self.forget(*ordinal);
                Ok(())
            }
        }
    }

    fn add_updates(&mut self, segment: &LiveSegment) -> Result<()> {
        let users = (segment.segment.meta().introduced_end as usize).max(self.events.len());
        self.updated.0.resize(users, NEVER);
        self.events.resize(users, NOBODY);
        self.columns.iter_mut().for_each(|column| column.latest.grow(users));
        let mut before: Vec<HashMap<u32, Option<i64>>> = vec![HashMap::new(); self.columns.len()];
        let Self { updated, columns, unknown, .. } = self;
        for_each_block(segment, Reading::default(), &mut |block| {
            updated.apply(block, &mut |user| unknown.push(user));
            for (column, before) in columns.iter_mut().zip(&mut before) {
                column.latest.apply(block, &mut |user, cell| {
                    before.entry(user).or_insert(cell);
                })?;
            }
            Ok(())
        })?;
        for (column, before) in self.columns.iter_mut().zip(before) {
            for (user, cell) in before {
                let event = self.events[user as usize];
                // Who is new is put in with all values when the ordinal is known.
                if event != NOBODY {
                    column.moved(user, event, cell);
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, user: u32) {
        let place = user as usize;
        let Some(event) = self.events.get(place).copied() else { return };
        self.updated.0[place] = NEVER;
        self.unknown.retain(|other| *other != user);
        if event == NOBODY {
            return;
        }
        self.events[place] = NOBODY;
        self.profiled.remove(event);
        for column in &mut self.columns {
            let before = column.latest.cell(user);
            column.forget(event, before);
        }
    }

    /// Whether a column is kept.
    pub(super) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.latest.name == name)
    }

    /// Read columns.
    pub(super) fn columns(&self, sides: Sides<'_>, at: usize, names: &[&String]) -> Result<Vec<KeptColumn>> {
        let known = names.iter().filter_map(|name| sides.profiles.schema.column(name));
        let mut columns: Vec<LatestColumn> =
            known.map(|column| LatestColumn::new(&column.name, column.column_type)).collect();
        columns.iter_mut().for_each(|column| column.grow(self.events.len()));
        for live in &sides.profiles.shards[at].segments {
            for_each_block(live, Reading::default(), &mut |block| {
                columns.iter_mut().try_for_each(|column| column.apply(block, &mut |_, _| ()))
            })?;
        }
        Ok(columns.into_iter().map(|column| KeptColumn::new(column, &self.events)).collect())
    }

    /// Keep columns that were read.
    pub(super) fn add(&mut self, columns: Vec<KeptColumn>) {
        self.columns.extend(columns);
    }

    /// Users with a profile.
    pub(super) fn profiled(&self) -> &RoaringBitmap {
        &self.profiled
    }

    /// What a condition is for the users of the shard.
    pub(super) fn truths(
        &self,
        sides: Sides<'_>,
        at: usize,
        predicate: &crate::predicate::Predicate,
    ) -> Result<Truths> {
        super::evaluate::Evaluation { kept: self, snapshot: sides.profiles, shard: at }.truths(predicate)
    }

    /// The users of the table of profiles who are among `members` of the event table, or may be.
    pub(super) fn candidates(&self, members: &RoaringBitmap) -> RoaringBitmap {
        let own = (0_u32..).zip(&self.events).filter(|(_, event)| **event != NOBODY && members.contains(**event));
        let mut users: RoaringBitmap = own.map(|(user, _)| user).collect();
        users.extend(&self.unknown);
        users
    }

    /// Memory in use, about, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(KeptColumn::memory_bytes).sum();
        let users = 8 * self.updated.0.capacity() + 4 * (self.events.capacity() + self.unknown.capacity());
        users + bitmap_bytes(&self.profiled) + columns
    }
}
