//! Histories that aliases join, as long as no compaction has moved them: the rows of the source stay where they came and
//! are hidden, and segments in memory show them under the ordinal of the person. Whatever reads segments reads those, too.
//!
//! In the total order they come before what arrived under the person's own id, in the order in which the aliases were
//! made, and each in its own order. They are derived: an opening makes them again.

use super::LiveSegment;
use super::follow::Change;
use super::state::TableState;
use crate::aliases::{Alias, Member};
use crate::error::{Error, Result};
use crate::log::{AliasRecord, BatchRecord, DeleteRecord};
use crate::memtable;
use crate::rows::{Column, Rows};
use crate::segment::widen;
use crate::types::Schema;
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A user's shard and ordinal.
type Place = (u16, u32);

impl TableState {
    /// Show the history of an alias as that of its person.
    pub(super) fn apply_alias(
        &mut self,
        record: &AliasRecord,
        position: u64,
        tz: chrono_tz::Tz,
    ) -> Result<Vec<Change>> {
        let AliasRecord { source, target, introduced } = record;
        let batch = BatchRecord { mark: None, schema: None, shards: introduced.clone() };
        let changes = self.apply_batch(&batch, tz)?;
        self.check_member(source)?;
        self.check_member(target)?;
        if self.aliases.plan(&source.id, &target.id)? != Some(target.id.as_str()) {
            return Err(Error::corrupt(format!("an alias of '{}' that is there already", source.id)));
        }
        let alias = Alias { source: source.clone(), target: target.clone(), joined: false };
        Arc::make_mut(&mut self.aliases).insert(alias);
        self.set_away(source, true)?;
        let person = self.person_of(source);
        self.show_again(&[source.clone(), person], position, tz)?;
        Ok(changes)
    }

    /// Show the history of a source under its own id again.
    pub(super) fn apply_unalias(&mut self, source: &Member, position: u64, tz: chrono_tz::Tz) -> Result<Vec<Change>> {
        self.check_member(source)?;
        self.aliases.revocable(&source.id).map_err(|error| Error::corrupt(error.message().to_string()))?;
        let person = self.person_of(source);
        Arc::make_mut(&mut self.aliases).remove(&source.id);
        self.set_away(source, false)?;
        self.show_again(&[source.clone(), person], position, tz)?;
        Ok(Vec::new())
    }

    /// Delete a person with all ids that are aliases of it, and forget these.
    pub(super) fn apply_delete_person(&mut self, members: &[DeleteRecord]) -> Result<Vec<Change>> {
        let mut changes = Vec::with_capacity(members.len());
        for delete in members {
            changes.push(self.apply_delete(delete)?);
            Arc::make_mut(&mut self.shards[delete.shard as usize].away).remove(delete.ordinal);
        }
        if let Some(person) = members.first() {
            Arc::make_mut(&mut self.aliases).forget_person(&person.user_id);
        }
        self.drop_hidden()?;
        Ok(changes)
    }

    /// Show what of a batch came under aliases as what its persons did.
    pub(super) fn join_batch(&mut self, batch: &BatchRecord, position: u64, tz: chrono_tz::Tz) -> Result<Vec<Change>> {
        let mut persons: BTreeMap<Place, Member> = BTreeMap::new();
        let mut rows: BTreeMap<u16, Rows> = BTreeMap::new();
        for part in &batch.shards {
            let away = Arc::clone(&self.shards[part.shard as usize].away);
            let mut picked: BTreeMap<u16, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
            let mut ends: HashMap<u32, Place> = HashMap::new();
            for (row, ordinal) in (0..).zip(&part.rows.ordinals).filter(|(_, ordinal)| away.contains(**ordinal)) {
                let person = match ends.get(ordinal) {
                    Some(person) => *person,
                    None => {
                        let person = self.person_at(part.shard, *ordinal)?;
                        let place = (person.shard, person.ordinal);
                        persons.insert(place, person);
                        *ends.entry(*ordinal).or_insert(place)
                    }
                };
                let (of_shard, ordinals) = picked.entry(person.0).or_default();
                of_shard.push(row);
                ordinals.push(person.1);
            }
            for (shard, (picked, ordinals)) in picked {
                let rows = rows.entry(shard).or_default();
                let before = rows.len();
                rows.append_picked(&part.rows, &picked)?;
                rows.ordinals[before..].copy_from_slice(&ordinals);
            }
        }
        let has_one =
            |person: &Member| self.aliases.of_person(&person.id).into_iter().filter(|alias| !alias.joined).count() == 1;
        if persons.values().all(has_one) {
            return rows.into_iter().map(|(shard, rows)| self.push_joined(shard, &rows, tz)).collect();
        }
        // Of several sources, what came later under the first has its place before all of the second.
        let persons: Vec<Member> = persons.into_values().collect();
        self.show_again(&persons, position, tz)?;
        Ok(Vec::new())
    }

    /// Make the joined histories of these ids anew: of those that are persons all, of aliases none.
    pub(super) fn show_again(&mut self, ids: &[Member], position: u64, tz: chrono_tz::Tz) -> Result<()> {
        self.identity_at = position;
        for id in ids {
            let shard = &mut self.shards[id.shard as usize];
            shard.joined.iter_mut().try_for_each(|live| live.hide(id.ordinal))?;
        }
        self.show(ids, tz)?;
        self.drop_hidden()
    }

    /// Drop joined segments of which nothing is shown any more.
    fn drop_hidden(&mut self) -> Result<()> {
        for shard in &mut self.shards {
            let mut left = Vec::with_capacity(shard.joined.len());
            for live in std::mem::take(&mut shard.joined) {
                if !live.segment.users()?.is_subset(&live.hidden) {
                    left.push(live);
                }
            }
            shard.joined = left;
        }
        Ok(())
    }

    /// Show the histories of the pending aliases of these persons.
    fn show(&mut self, persons: &[Member], tz: chrono_tz::Tz) -> Result<()> {
        let mut sources: Vec<(Place, Place)> = Vec::new();
        let mut wanted: BTreeMap<u16, RoaringBitmap> = BTreeMap::new();
        for person in persons {
            for alias in self.aliases.of_person(&person.id).into_iter().filter(|alias| !alias.joined) {
                let Member { shard, ordinal, .. } = alias.source;
                sources.push(((shard, ordinal), (person.shard, person.ordinal)));
                wanted.entry(shard).or_default().insert(ordinal);
            }
        }
        let mut found: HashMap<Place, Rows> = HashMap::new();
        for (shard, ordinals) in wanted {
            let rows = histories(self.shards[shard as usize].arrived(), &ordinals, &self.schema)?;
            found.extend(rows.into_iter().map(|(ordinal, rows)| ((shard, ordinal), rows)));
        }
        let mut joined: BTreeMap<u16, Rows> = BTreeMap::new();
        for (source, person) in sources {
            let Some(mut rows) = found.remove(&source) else { continue };
            rows.ordinals.fill(person.1);
            let count = rows.len();
            joined.entry(person.0).or_default().append(&rows, 0..count)?;
        }
        for (shard, rows) in joined {
            self.push_joined(shard, &rows, tz)?;
        }
        Ok(())
    }

    /// Show all pending aliases, of which nothing is shown yet.
    pub(super) fn show_all(&mut self, tz: chrono_tz::Tz) -> Result<()> {
        let persons: BTreeMap<Place, Member> = {
            let ends = self.aliases.pending().map(|alias| self.aliases.end(alias).clone());
            ends.map(|person| ((person.shard, person.ordinal), person)).collect()
        };
        self.show(&persons.into_values().collect::<Vec<_>>(), tz)
    }

    /// Show what an import brought under aliases as what their persons did. `before` has the number of segments on disk
    /// that each shard had before it.
    pub(super) fn show_imported(&mut self, before: impl Iterator<Item = usize>, tz: chrono_tz::Tz) -> Result<()> {
        let mut persons: BTreeMap<Place, Member> = BTreeMap::new();
        for ((number, shard), before) in (0..).zip(&self.shards).zip(before) {
            for live in shard.flushed.iter().skip(before) {
                for ordinal in shard.away.as_ref() & live.segment.users()?.as_ref() {
                    let person = self.person_at(number, ordinal)?;
                    persons.insert((person.shard, person.ordinal), person);
                }
            }
        }
        let persons: Vec<Member> = persons.into_values().collect();
        if persons.is_empty() { Ok(()) } else { self.show_again(&persons, self.position, tz) }
    }

    fn push_joined(&mut self, shard: u16, rows: &Rows, tz: chrono_tz::Tz) -> Result<Change> {
        let segment = memtable::build_joined(shard, rows, &self.schema, tz)?;
        let joined = &mut self.shards[shard as usize].joined;
        joined.push(segment.clone());
        memtable::settle(joined, &self.schema)?;
        Ok(Change::Events { shard, segment })
    }

    fn set_away(&mut self, source: &Member, is_away: bool) -> Result<()> {
        let shard = &mut self.shards[source.shard as usize];
        let away = Arc::make_mut(&mut shard.away);
        match is_away {
            true => away.insert(source.ordinal),
            false => away.remove(source.ordinal),
        };
        let away = Arc::clone(&shard.away);
        shard.arrived_mut().try_for_each(|live| live.set_aside(&away))
    }

    fn person_of(&self, source: &Member) -> Member {
        self.aliases.get(&source.id).map_or_else(|| source.clone(), |alias| self.aliases.end(alias).clone())
    }

    fn person_at(&self, shard: u16, ordinal: u32) -> Result<Member> {
        let alias = self.aliases.of_place(shard, ordinal);
        let alias = alias.ok_or_else(|| Error::corrupt(format!("user {ordinal} of shard {shard} is no alias")))?;
        Ok(self.aliases.end(alias).clone())
    }

    fn check_member(&self, member: &Member) -> Result<()> {
        let shard = self.shards.get(member.shard as usize);
        match shard.is_some_and(|shard| member.ordinal < shard.next_ordinal) {
            true => Ok(()),
            false => Err(Error::corrupt(format!("an alias of '{}', who is no user", member.id))),
        }
    }

    /// Rows and bytes of joined histories in memory.
    pub(crate) fn joined_size(&self) -> (u64, u64) {
        let metas = self.shards.iter().flat_map(|shard| &shard.joined).map(|live| live.segment.meta());
        metas.fold((0, 0), |(rows, bytes), meta| (rows + meta.rows, bytes + meta.bytes))
    }
}

/// The rows of some users, each user's in the order of the segments, with the types of `schema`.
fn histories<'a>(
    segments: impl Iterator<Item = &'a LiveSegment>,
    ordinals: &RoaringBitmap,
    schema: &Schema,
) -> Result<HashMap<u32, Rows>> {
    let mut found: HashMap<u32, Rows> = HashMap::new();
    for live in segments {
        let own = ordinals & live.segment.users()?.as_ref();
        let blocks = live.segment.blocks();
        let mut last = None;
        for ordinal in own {
            let first = blocks.partition_point(|block| block.last_ordinal < ordinal);
            for index in (first..blocks.len()).take_while(|&index| blocks[index].first_ordinal <= ordinal) {
                let (_, block) = match last.take().filter(|(known, _)| *known == index) {
                    Some(block) => block,
                    None => (index, live.segment.block(index)),
                };
                let users = block.users()?;
                if let Ok(at) = users.ordinals.binary_search(&ordinal) {
                    let mut rows = block.read(users.starts[at] as usize..users.starts[at + 1] as usize)?;
                    widen_to(&mut rows, schema)?;
                    let count = rows.len();
                    found.entry(ordinal).or_default().append(&rows, 0..count)?;
                }
                last = Some((index, block));
            }
        }
    }
    Ok(found)
}

/// Give columns from before a widening the type that they have by now.
fn widen_to(rows: &mut Rows, schema: &Schema) -> Result<()> {
    for (name, column) in &mut rows.properties {
        if let Some(wanted) = schema.column(name).map(|column| column.column_type)
            && wanted != column.column_type()
        {
            *column = widen(std::mem::replace(column, Column::new(wanted)), wanted)?;
        }
    }
    Ok(())
}
