//! Sets of users that are known before an event is looked at: those of tags, and of conditions on profiles.

use super::worker::Read;
use crate::behavior::segment::SegmentSpec;
use crate::error::{Error, Result};
use crate::plan::operator::Answer;
use crate::plan::table_scan::{user_ids, user_number};
use crate::profiles::condition::ProfileCondition;
use crate::tags::function::TagFunction;
use datafusion::arrow::array::{Array, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::members::Members;
use trodden_engine::table::Snapshot;

/// Ids are looked up so many at a time.
const IDS_AT_ONCE: usize = 1 << 16;

/// What SEGMENT is asked: the rules over deeds, and the sets that they combine with them.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) rules: SegmentSpec,
    pub(super) sets: Vec<UserSet>,
}

/// Users of a snapshot.
#[derive(Debug, Clone)]
pub(super) struct UserSet {
    snapshot: Snapshot,
    users: Arc<Members>,
}

impl UserSet {
    /// The users of a condition; `None` while they are not known.
    pub(super) fn of(condition: &Expr) -> Option<Self> {
        let Expr::ScalarFunction(call) = condition else { return None };
        if let Some(condition) = ProfileCondition::of(call) {
            let (snapshot, users) = condition.bound.clone()?;
            return Some(Self { snapshot, users });
        }
        let (snapshot, users) = TagFunction::of(call)?.bound.as_ref()?.users()?;
        Some(Self { snapshot: snapshot.clone(), users: Arc::clone(users) })
    }

    /// The same users in another snapshot.
    ///
    /// # Errors
    /// `Corrupt` if ids cannot be read.
    pub(super) fn in_snapshot(&self, snapshot: &Snapshot) -> Result<Arc<Members>> {
        if self.snapshot.id == snapshot.id {
            return Ok(Arc::clone(&self.users));
        }
        let mut found = Members::none(snapshot.shards.len());
        for (shard, users) in self.users.shards.iter().enumerate() {
            let numbers: Vec<u64> = users.iter().map(|ordinal| user_number(shard, ordinal)).collect();
            for numbers in numbers.chunks(IDS_AT_ONCE) {
                let ids = texts(&user_ids(&self.snapshot, numbers)?)?;
                let ids: Vec<&str> = ids.iter().flatten().collect();
                let places = snapshot.ordinals_of(&ids)?.into_iter().flatten();
                let places = places.map(|(shard, ordinal)| (usize::from(shard), ordinal));
                found = found.or(&Members::of_places(snapshot.shards.len(), places));
            }
        }
        Ok(Arc::new(found))
    }

    /// Which of the users with these ids are in it.
    fn contains(&self, ids: &StringViewArray) -> Result<Vec<bool>> {
        let named: Vec<&str> = ids.iter().flatten().collect();
        let mut places = self.snapshot.ordinals_of(&named)?.into_iter();
        let is_in = |place: Option<(u16, u32)>| {
            place.is_some_and(|(shard, ordinal)| self.users.contains(usize::from(shard), ordinal))
        };
        Ok(ids.iter().map(|id| id.is_some() && is_in(places.next().flatten())).collect())
    }
}

/// For each set those of the users who were read over rows, whose numbers say nothing: their ids do.
///
/// # Errors
/// `InvalidInput` for ids that are no texts; `Corrupt`.
pub(super) fn of_rows(asked: &Asked, answer: &Answer<'_>, shard: u32, read: &Read) -> Result<Vec<Arc<RoaringBitmap>>> {
    let mut found = vec![RoaringBitmap::new(); asked.sets.len()];
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let users: Vec<u32> = read.known.iter().collect();
    for users in users.chunks(IDS_AT_ONCE) {
        answer.statement.check_cancelled()?;
        let numbers: Vec<u64> = users.iter().map(|&user| u64::from(shard) << 32 | u64::from(user)).collect();
        let ids = texts(&(answer.user_ids)(&numbers)?)?;
        for (set, found) in asked.sets.iter().zip(&mut found) {
            let is_in = set.contains(&ids)?;
            found.extend(users.iter().zip(is_in).filter(|(_, is_in)| *is_in).map(|(user, _)| user));
        }
    }
    Ok(found.into_iter().map(Arc::new).collect())
}

fn texts(ids: &dyn Array) -> Result<StringViewArray> {
    let ids = cast(ids, &DataType::Utf8View).map_err(datafusion::common::DataFusionError::from)?;
    let texts = ids.as_any().downcast_ref::<StringViewArray>().cloned();
    texts.ok_or_else(|| Error::internal("ids that are no texts"))
}
