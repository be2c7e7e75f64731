//! A run of an import: the batches gathered so far, sorted into one segment a shard.

use super::Shared;
use super::times::{accept, sorted_times};
use super::written::Written;
use crate::catalog::{CatalogBatch, EventKey};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{EncodedBatch, EncodedColumn, EncodedText};
use crate::rows::{Column, NULL_CODE, Rows, TextColumn};
use crate::segment::{SegmentBuilder, SegmentSpec, widen};
use crate::stop::Stop;
use crate::table::users::UserMap;
use crate::types::{ColumnType, Schema};
use std::collections::HashMap;

/// A code that has no meaning yet.
const UNKNOWN: u32 = u32::MAX - 1;

/// What an import knows of a shard.
pub(crate) struct ShardImport {
    /// Next ordinal and next arrival number.
    pub(crate) next: (u32, u64),
    /// Users seen in this import.
    pub(crate) users: UserMap,
    /// Whether the catalog may know users that `users` does not.
    pub(crate) in_catalog: bool,
    /// Runs written so far.
    pub(crate) runs: Vec<Written>,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
}

impl ShardImport {
    /// A shard whose next ordinal and arrival number are `next`.
    pub(crate) fn new(next: (u32, u64), in_catalog: bool) -> Self {
        Self { next, users: UserMap::new(next.0), in_catalog, runs: Vec::new(), accepted: 0, duplicates: 0 }
    }
}

/// Builds the runs of all shards from the same batches.
pub(crate) struct RunBuilder<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) schema: &'a Schema,
    pub(crate) batches: &'a [EncodedBatch],
    pub(crate) stop: Stop<'a>,
}

impl RunBuilder<'_> {
    /// The run of shard `number`, or `None` if it got no event.
    pub(crate) fn run(&self, number: u16, shard: &mut ShardImport) -> Result<Option<Written>> {
        let mut rows = Rows::new(self.schema);
        let first_ordinal = shard.next.0;
        let mut times = HashMap::new();
        for batch in self.batches {
            let range = batch.shard(number);
            if range.is_empty() {
                continue;
            }
            let ordinals = self.ordinals(batch, number, shard)?;
            match &batch.event_id {
                None => append(&mut rows, batch, range, &ordinals)?,
                Some(ids) => {
                    let kept = self.without_duplicates(batch, ids, number, &ordinals, &mut times)?;
                    shard.duplicates += (range.len() - kept.len()) as u64;
                    append(&mut rows, batch, kept.into_iter(), &ordinals)?;
                }
            }
        }
        if !times.is_empty() {
            let events = times.into_iter().collect();
            self.shared.lookup.catalog.apply_unfinished(CatalogBatch { events, ..CatalogBatch::default() })?;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        shard.accepted += rows.len() as u64;
        let spec = SegmentSpec {
            shard: number,
            seq: shard.next.1..shard.next.1 + rows.len() as u64,
            introduced: first_ordinal..shard.next.0,
            tz: self.shared.tz,
            schema: self.schema.clone(),
        };
        shard.next.1 = spec.seq.end;
        let order = rows.sort_permutation();
        let written = self.shared.write_segment(self.stop, |sink| {
            let mut builder = SegmentBuilder::new(spec, sink);
            builder.push(&rows, &order)?;
            builder.finish(&mut shard.users.ids_from(first_ordinal).map(|id| Some(id.to_string())))
        })?;
        Ok(Some(written))
    }

    /// The ordinals of the batch's users that have rows in the shard, by code; new ones in order of arrival.
    fn ordinals(&self, batch: &EncodedBatch, number: u16, shard: &mut ShardImport) -> Result<Vec<u32>> {
        let mut ordinals = vec![UNKNOWN; batch.users.values.len()];
        let mut asked = Vec::new();
        for &code in &batch.users.codes[batch.shard(number)] {
            if ordinals[code as usize] == UNKNOWN {
                let id = batch.users.values.get(code);
                let known = shard.users.get(id, batch.user_hashes[code as usize]);
                // A number for now that is not UNKNOWN, so that no user is asked for twice.
                ordinals[code as usize] = known.unwrap_or(u32::MAX);
                if known.is_none() {
                    asked.push(code);
                }
            }
        }
        let ids: Vec<&str> = asked.iter().map(|&code| batch.users.values.get(code)).collect();
        let stored = match shard.in_catalog {
            true => self.shared.lookup.catalog.ordinals(number, &ids)?,
            false => vec![None; ids.len()],
        };
        for ((code, id), stored) in asked.into_iter().zip(ids).zip(stored) {
            let ordinal = stored.unwrap_or(shard.next.0);
            if stored.is_none() {
                if shard.next.0 >= UNKNOWN - 1 {
                    return Err(Error::new(ErrorKind::ResourceLimit, format!("shard {number} has 2^32 users"))
                        .with_hint("make a table with more shards"));
                }
                shard.next.0 += 1;
            }
            shard.users.insert(id, batch.user_hashes[code as usize], ordinal);
            ordinals[code as usize] = ordinal;
        }
        Ok(ordinals)
    }

    /// The rows of the shard that are no duplicates. `times` has the times of the event ids of this run.
    fn without_duplicates(
        &self,
        batch: &EncodedBatch,
        ids: &EncodedText,
        number: u16,
        ordinals: &[u32],
        times: &mut HashMap<EventKey, Vec<i64>>,
    ) -> Result<Vec<usize>> {
        let window_us = self.shared.state.read().manifest.options.dedup_window_us;
        let key = |row: usize| {
            let code = ids.codes[row];
            let ordinal = ordinals[batch.users.codes[row] as usize];
            (code != NULL_CODE).then(|| EventKey::new(number, ordinal, ids.values.get(code)))
        };
        let keys: Vec<Option<EventKey>> = batch.shard(number).map(key).collect();
        let mut asked: Vec<EventKey> = keys.iter().flatten().filter(|key| !times.contains_key(key)).copied().collect();
        asked.sort_unstable();
        asked.dedup();
        let stored = sorted_times(self.shared.lookup.catalog.as_ref(), &asked)?;
        times.extend(asked.into_iter().zip(stored));
        let rows = batch.shard(number).zip(keys);
        let new = rows.filter(|(row, key)| {
            key.is_none_or(|key| accept(times.entry(key).or_default(), batch.ts[*row], window_us))
        });
        Ok(new.map(|(row, _)| row).collect())
    }
}

/// Append the rows `picked` of `batch`, all of one shard.
fn append(
    rows: &mut Rows,
    batch: &EncodedBatch,
    picked: impl ExactSizeIterator<Item = usize> + Clone,
    ordinals: &[u32],
) -> Result<()> {
    let before = rows.len();
    rows.ordinals.extend(picked.clone().map(|row| ordinals[batch.users.codes[row] as usize]));
    rows.ts.extend(picked.clone().map(|row| batch.ts[row]));
    append_text(&mut rows.event, &batch.event, picked.clone());
    match &batch.event_id {
        Some(ids) => append_text(&mut rows.event_id, ids, picked.clone()),
        None => rows.event_id.codes.resize(before + picked.len(), NULL_CODE),
    }
    for (name, column) in &batch.columns {
        let to = rows.properties.iter_mut().find(|(held, _)| held == name).map(|(_, column)| column);
        let to = to.ok_or_else(|| Error::invalid(format!("column '{name}' is not in the schema")))?;
        append_column(to, column, picked.clone())?;
    }
    let count = rows.len();
    rows.properties.iter_mut().for_each(|(_, column)| column.pad(count));
    Ok(())
}

fn append_text(to: &mut TextColumn, from: &EncodedText, picked: impl Iterator<Item = usize>) {
    let mut mapped = vec![UNKNOWN; from.values.len()];
    to.codes.extend(picked.map(|row| {
        let code = from.codes[row];
        if code == NULL_CODE {
            return NULL_CODE;
        }
        let mapped = &mut mapped[code as usize];
        if *mapped == UNKNOWN {
            *mapped = to.dictionary.intern(from.values.get(code));
        }
        *mapped
    }));
}

fn append_column(
    to: &mut Column,
    from: &EncodedColumn,
    picked: impl ExactSizeIterator<Item = usize> + Clone,
) -> Result<()> {
    fn copy<T: Copy>(to: &mut Vec<T>, from: &[T], picked: impl Iterator<Item = usize>) {
        to.extend(picked.map(|row| from[row]));
    }
    match (to, from) {
        (Column::Boolean { values, valid }, EncodedColumn::Boolean { values: from, valid: has }) => {
            copy(values, from, picked.clone());
            copy(valid, has, picked);
        }
        (Column::BigInt { values, valid }, EncodedColumn::BigInt { values: from, valid: has })
        | (Column::Timestamp { values, valid }, EncodedColumn::Timestamp { values: from, valid: has }) => {
            copy(values, from, picked.clone());
            copy(valid, has, picked);
        }
        (Column::Double { values, valid }, EncodedColumn::Double { values: from, valid: has }) => {
            copy(values, from, picked.clone());
            copy(valid, has, picked);
        }
        (Column::Text(text), EncodedColumn::Text(from)) => append_text(text, from, picked),
        (to, from) => append_widened(to, from, picked)?,
    }
    Ok(())
}

/// The schema has a wider type than the batch, or the batch has no values.
fn append_widened(
    to: &mut Column,
    from: &EncodedColumn,
    picked: impl ExactSizeIterator<Item = usize> + Clone,
) -> Result<()> {
    let mut piece = Rows { properties: vec![(String::new(), Column::new(from.column_type()))], ..Rows::default() };
    let column = &mut piece.properties[0].1;
    append_column(column, from, picked.clone())?;
    let wanted = to.column_type();
    let all_null = (0..column.len()).all(|row| column.get(row) == crate::types::Value::Null);
    let column = match all_null {
        true => {
            let mut nulls = Column::new(wanted);
            nulls.pad(picked.len());
            nulls
        }
        false => widen(std::mem::replace(column, Column::new(ColumnType::Boolean)), wanted)?,
    };
    to.append(&column, 0..column.len())
}
