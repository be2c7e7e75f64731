//! What an opening does after the manifest: apply the log, and make the catalog fit.

use super::append::catalog_changes;
use super::{LiveSegment, Shared};
use crate::catalog::{Catalog, CatalogBatch, EventKey, Position};
use crate::compact::{Choice, SegmentSummary, choose};
use crate::error::{Error, Result};
use crate::log::Record;
use crate::stop::NEVER;
use std::collections::HashMap;
use std::sync::Arc;

/// Changes of the catalog that a rebuild makes at once.
const REBUILD_BATCH: usize = 100_000;
/// An opening merges no more rows at once than this: whoever opens waits for it.
const OPENING_ROWS: u64 = 1 << 20;

impl Shared {
    /// Apply the log, and begin a new one: what it held goes to segments first, so that nothing has to be written to a
    /// file that a crash may have left in an unknown state.
    pub(super) fn recover(&self) -> Result<()> {
        let catalog = &self.lookup.catalog;
        let start = self.state.read().position;
        let known = match catalog.position()? {
            Position::At(known) if known >= start => known,
            _ => {
                self.rebuild_catalog()?;
                start
            }
        };
        self.replay(start, known)?;
        let end = self.state.read().position;
        if known > end {
            return Err(Error::corrupt(format!(
                "table '{}': the log ends at record {end}, but record {known} was acknowledged",
                self.name
            ))
            .with_hint(format!(
                "restore {0} from a backup, or delete {0}/catalog to go on without the lost events",
                self.directory
            )));
        }
        if end > start {
            self.flush(|_| ())?;
            if end > known {
                // Only now is it certain that no power cut takes away what the catalog says that it has.
                catalog.apply(CatalogBatch::default(), end)?;
                catalog.flush()?;
            }
            // A database that is opened for a moment each time has no other occasion.
            self.settle(opening_choice, NEVER);
        }
        self.log.lock().truncate_through(end)
    }

    /// Apply the records after `start`. Those after `known` are new to the catalog, and are not certain yet: a process
    /// that was killed leaves records that were never synced, and the next power cut takes them. So until they are in
    /// segments the catalog is told that a change is under way, and not how far it is.
    fn replay(&self, start: u64, known: u64) -> Result<()> {
        let mut log = self.log.lock();
        let mut state = self.state.write();
        let state = Arc::make_mut(&mut state);
        log.replay(start, &mut |position, bytes| {
            let record = Record::decode(bytes)?;
            state.apply(&record, position, self.tz)?;
            if position > known {
                self.lookup.catalog.apply_unfinished(catalog_changes(&record, self)?)?;
            }
            Ok(())
        })?;
        log.restart_after(state.position);
        self.queue.restart_after(state.position);
        Ok(())
    }

    /// Fill the catalog from the segments.
    pub(crate) fn rebuild_catalog(&self) -> Result<()> {
        self.lookup.rebuild(|catalog| {
            let state = Arc::clone(&self.state.read());
            catalog.clear()?;
            let mut changes = CatalogBatch::default();
            for (number, shard) in (0_u16..).zip(&state.shards) {
                for live in &shard.flushed {
                    rebuild_users(catalog, number, live, &mut changes)?;
                    rebuild_events(catalog, number, live, &mut changes)?;
                }
            }
            catalog.apply(changes, state.position)
        })
    }
}

/// The policy of compaction, for the time of an opening.
fn opening_choice(segments: &[SegmentSummary]) -> Choice {
    let is_small = |choice: &Choice| match choice {
        Choice::Rest => true,
        Choice::Merge(range) => segments[range.clone()].iter().map(|s| s.rows).sum::<u64>() <= OPENING_ROWS,
    };
    Some(choose(segments)).filter(is_small).unwrap_or(Choice::Rest)
}

fn rebuild_users(catalog: &dyn Catalog, shard: u16, live: &LiveSegment, changes: &mut CatalogBatch) -> Result<()> {
    let ids = live.segment.user_ids()?.into_iter().zip(live.segment.meta().introduced_start..);
    for (id, ordinal) in ids {
        if let Some(id) = id.filter(|_| !live.erased.contains(ordinal)) {
            changes.users.push((shard, id, ordinal));
        }
        if changes.len() >= REBUILD_BATCH {
            catalog.apply_unfinished(std::mem::take(changes))?;
        }
    }
    Ok(())
}

pub(super) fn rebuild_events(
    catalog: &dyn Catalog,
    shard: u16,
    live: &LiveSegment,
    changes: &mut CatalogBatch,
) -> Result<()> {
    for index in 0..live.segment.blocks().len() {
        let block = live.segment.block(index);
        let (users, ids, times) = (block.users()?, block.text("event_id")?, block.times()?);
        let mut found: HashMap<EventKey, Vec<i64>> = HashMap::new();
        for (at, &ordinal) in users.ordinals.iter().enumerate() {
            if live.erased.contains(ordinal) {
                continue;
            }
            for row in users.starts[at] as usize..users.starts[at + 1] as usize {
                if let Some(id) = ids.get(row) {
                    found.entry(EventKey::new(shard, ordinal, id)).or_default().push(times.get(row));
                }
            }
        }
        changes.events.extend(super::times::with_stored(catalog, found)?);
        if !changes.events.is_empty() {
            // The next block may have the same ids of the same user.
            catalog.apply_unfinished(std::mem::take(changes))?;
        }
    }
    Ok(())
}
