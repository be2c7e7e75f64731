//! Profiles as rows: one a user, with the values that hold now or held at a time.

use super::arrays;
use super::latest::{LatestColumn, NEVER, Reading, UpdatedAt, for_each_block};
use super::{UNSET_COLUMN, UPDATED_AT};
use crate::error::{Error, Result};
use crate::table::Snapshot;
use crate::types::Schema;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema as ArrowSchema, SchemaRef};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Which columns of which profiles.
#[derive(Debug, Clone, Default)]
pub struct ProfileScan {
    /// Columns of the batches, in order: `user_id`, properties, `updated_at`.
    pub columns: Vec<String>,
    /// As of this time, inclusive; `None`: now.
    pub as_of_us: Option<i64>,
    /// Only these users; `None`: all.
    pub users: Option<Vec<String>>,
    /// Only these ordinals of the table of profiles, by shard, as [`ProfilesSnapshot::candidates`] gives them; `None`: all.
    ///
    /// [`ProfilesSnapshot::candidates`]: crate::ProfilesSnapshot::candidates
    pub candidates: Option<Arc<Vec<RoaringBitmap>>>,
}

impl Schema {
    /// The properties that a reader of profiles sees.
    #[must_use]
    pub fn of_profiles(&self) -> Self {
        let shown = self.columns.iter().filter(|column| column.name != UNSET_COLUMN);
        Self { columns: shown.cloned().collect() }
    }
}

/// The columns of profiles: the user, the properties, when the profile was updated.
///
/// # Errors
/// None in practice.
pub(crate) fn relation_schema(schema: &Schema) -> Result<SchemaRef> {
    let shown = schema.of_profiles();
    let names = std::iter::once("user_id").chain(shown.columns.iter().map(|column| column.name.as_str()));
    arrow_schema(&shown, names.chain([UPDATED_AT]))
}

fn arrow_schema<'a>(schema: &Schema, names: impl Iterator<Item = &'a str>) -> Result<SchemaRef> {
    let missing = |name: &str| Error::invalid(format!("profiles have no column '{name}'"));
    let fields = names.map(|name| arrays::field(schema, name).ok_or_else(|| missing(name)));
    Ok(Arc::new(ArrowSchema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// The profiles of one shard, ready to be given out.
pub(crate) struct ShardProfiles<'a> {
    snapshot: &'a Snapshot,
    shard: usize,
    schema: SchemaRef,
    names: &'a [String],
    updated: UpdatedAt,
    columns: Vec<LatestColumn>,
    /// The users who are read, in the order of the values; `None`: all.
    only: Option<Vec<u32>>,
    /// Users from here on are to be given out.
    next: usize,
}

impl<'a> ShardProfiles<'a> {
    /// Read the profiles of a shard of `snapshot`, which is one of a table of profiles.
    ///
    /// # Errors
    /// `InvalidInput` for a column that is not there, `Corrupt` for a segment that cannot be read.
    pub(crate) fn read(snapshot: &'a Snapshot, shard: usize, scan: &'a ProfileScan) -> Result<Self> {
        let shown = snapshot.schema.of_profiles();
        let schema = arrow_schema(&shown, scan.columns.iter().map(String::as_str))?;
        let properties = scan.columns.iter().filter_map(|name| shown.column(name));
        let only = only(snapshot, shard, scan)?;
        let all = snapshot.shards[shard].next_ordinal as usize;
        let users = only.as_ref().map_or(all, |only| only.len() as usize);
        let mut columns: Vec<LatestColumn> =
            properties.map(|column| LatestColumn::new(&column.name, column.column_type)).collect();
        columns.iter_mut().for_each(|column| column.grow(users));
        let mut updated = UpdatedAt(vec![NEVER; users]);
        if only.as_ref().is_none_or(|only| !only.is_empty()) {
            let reading = Reading { until_us: scan.as_of_us, only: only.as_ref() };
            for live in &snapshot.shards[shard].segments {
                for_each_block(live, reading, &mut |block| {
                    updated.apply(block, &mut |_| ());
                    columns.iter_mut().try_for_each(|column| column.apply(block, &mut |_, _| ()))
                })?;
            }
        }
        let only = only.map(|only| only.iter().collect());
        Ok(Self { snapshot, shard, schema, names: &scan.columns, updated, columns, only, next: 0 })
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// `Corrupt` where the ids of a segment cannot be read.
    pub(crate) fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut users = Vec::new();
        while self.next < self.updated.0.len() && users.len() < BATCH_ROWS {
            if self.updated.0[self.next] != NEVER {
                users.push(self.next as u32);
            }
            self.next += 1;
        }
        if users.is_empty() {
            return Ok(None);
        }
        let arrays = self.names.iter().map(|name| self.array(name, &users)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(users.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(|error| Error::corrupt(format!("profiles do not fit their schema: {error}")))
    }

    fn array(&self, name: &str, users: &[u32]) -> Result<ArrayRef> {
        Ok(match name {
            "user_id" => {
                let ordinal = |user: &u32| self.only.as_ref().map_or(*user, |only| only[*user as usize]);
                let ordinals: Vec<u32> = users.iter().map(ordinal).collect();
                Arc::new(arrays::user_ids(&self.snapshot.shards[self.shard], &ordinals)?)
            }
            UPDATED_AT => arrays::updated_at(&self.updated, users),
            _ => {
                let column = self.columns.iter().find(|column| column.name == name);
                let missing = || Error::invalid(format!("profiles have no column '{name}'"));
                arrays::values(column.ok_or_else(missing)?, users)
            }
        })
    }
}

/// The ordinals of the users who are read; `None` for all.
fn only(snapshot: &Snapshot, shard: usize, scan: &ProfileScan) -> Result<Option<RoaringBitmap>> {
    let named = scan.users.as_ref().map(|users| ordinals(snapshot, shard, users)).transpose()?;
    let candidates = scan.candidates.as_ref().map(|candidates| &candidates[shard]);
    Ok(match (named, candidates) {
        (Some(named), Some(candidates)) => Some(named & candidates),
        (named, candidates) => named.or_else(|| candidates.cloned()),
    })
}

/// The ordinals of those of `users` that are in the shard.
fn ordinals(snapshot: &Snapshot, shard: usize, users: &[String]) -> Result<RoaringBitmap> {
    let mut found = RoaringBitmap::new();
    for user in users.iter().filter(|user| usize::from(snapshot.shard_of(user)) == shard) {
        found.extend(snapshot.ordinal_of(user)?.map(|(_, ordinal)| ordinal));
    }
    Ok(found)
}
