//! What bitmaps say and what was read in, the rows of the answer out.

use super::indexes::{ShardUsers, Told};
use super::shape::Shape;
use super::whose::{Asked, of_rows};
use super::worker::{Read, SegmentWorker};
use crate::behavior::segment::{Lift, Overlap, SegmentSpec, lifts, overlaps, ratio};
use crate::error::{Error, Result};
use crate::plan::answer::sort_by;
use crate::plan::operator::Answer;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::SortColumn;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;
use trodden_engine::scan::in_pieces;

/// Bytes of a user in the answer, about: number, id and place in the order.
const USER_BYTES: usize = 64;

/// The users of one shard, exactly.
pub(super) struct ShardSets {
    pub(super) shard: u32,
    known: Arc<RoaringBitmap>,
    /// Of each rule: the chosen users, where there are any, then the segments.
    pub(super) rules: Vec<Arc<RoaringBitmap>>,
}

/// The sets of all shards.
///
/// # Errors
/// `Corrupt` if ids cannot be read; `Cancelled`.
pub(super) fn sets(asked: &Asked, answer: &Answer<'_>, workers: Vec<SegmentWorker>) -> Result<Vec<ShardSets>> {
    let spec = &asked.rules;
    let (mut indexed, mut read) = (None, BTreeMap::<u32, Read>::new());
    for worker in workers {
        indexed = indexed.or(worker.indexed);
        for (shard, of_worker) in worker.read {
            let sum = read.entry(shard).or_default();
            sum.known |= of_worker.known;
            sum.deeds.resize(spec.deeds.len(), RoaringBitmap::new());
            sum.deeds.iter_mut().zip(of_worker.deeds).for_each(|(sum, users)| *sum |= users);
        }
    }
    match indexed {
        Some(shards) => {
            let shards = (0..).zip(shards);
            let settled = |(shard, users)| settled(spec, shard, users, read.remove(&shard).unwrap_or_default());
            Ok(shards.map(settled).collect())
        }
        None => read
            .into_iter()
            .map(|(shard, read)| Ok(told(spec, shard, &of_rows(asked, answer, shard, &read)?, read)))
            .collect(),
    }
}

/// Everybody was read.
fn told(spec: &SegmentSpec, shard: u32, sets: &[Arc<RoaringBitmap>], mut read: Read) -> ShardSets {
    read.deeds.resize(spec.deeds.len(), RoaringBitmap::new());
    let deeds: Vec<Arc<RoaringBitmap>> = read.deeds.into_iter().map(Arc::new).collect();
    let known = Arc::new(read.known);
    let mut facts = Told { known: Arc::clone(&known), sets, deeds: &deeds };
    let rules = spec.rules().map(|rule| {
        let Ok(users) = rule.users(&mut facts, None);
        users.possible
    });
    ShardSets { shard, rules: rules.collect(), known }
}

/// Those whom the bitmaps left open were read: what they did is known, and of whom nothing was found did nothing.
fn settled(spec: &SegmentSpec, shard: u32, users: ShardUsers, read: Read) -> ShardSets {
    let open = users.open();
    if open.is_empty() {
        let rules = users.rules.into_iter().map(|rule| rule.possible).collect();
        return ShardSets { shard, known: users.known.possible, rules };
    }
    let known = (&*users.known.sure & &open) | &read.known;
    let sets: Vec<_> = users.sets.iter().map(|set| Arc::new(&**set & &known)).collect();
    let told = told(spec, shard, &sets, Read { known, deeds: read.deeds });
    let join = |indexed: &RoaringBitmap, told: &RoaringBitmap| Arc::new((indexed - &open) | (told & &open));
    ShardSets {
        shard,
        known: join(&users.known.sure, &told.known),
        rules: users.rules.iter().zip(&told.rules).map(|(rule, told)| join(&rule.sure, told)).collect(),
    }
}

fn whole(numbers: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(numbers.map(|number| i64::try_from(number).ok()).collect::<Int64Array>())
}

fn fractions(numbers: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(numbers.collect::<Float64Array>())
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(texts.map(Some).collect::<StringArray>())
}

/// `emit => 'count'`: one row.
pub(super) fn count(answer: &Answer<'_>, shards: &[ShardSets]) -> Result<RecordBatch> {
    let users: u64 = shards.iter().map(|shard| shard.rules[0].len()).sum();
    let known: u64 = shards.iter().map(|shard| shard.known.len()).sum();
    let share = [ratio(users, known)];
    answer.batch(vec![whole([users].into_iter()), whole([known].into_iter()), fractions(share.into_iter())])
}

/// `emit => 'users'`: in order of their ids.
pub(super) fn users(answer: &Answer<'_>, shards: &[ShardSets]) -> Result<RecordBatch> {
    let count: u64 = shards.iter().map(|shard| shard.rules[0].len()).sum();
    let count = usize::try_from(count).map_err(|_| Error::internal("more users than there are numbers"))?;
    answer.reservation.try_grow(count.saturating_mul(USER_BYTES))?;
    let mut numbers = Vec::with_capacity(count);
    for shard in shards {
        let high = u64::from(shard.shard) << 32;
        in_pieces(&shard.rules[0], |users| numbers.extend(users.iter().map(|&user| high | u64::from(user))));
    }
    answer.statement.check_cancelled()?;
    let batch = answer.batch(vec![answer.ids(&numbers, 0)?])?;
    let by_id = SortColumn { values: Arc::clone(batch.column(0)), options: None };
    sort_by(&batch, &[by_id])
}

/// `emit => 'overlap'`: every segment beside every one.
pub(super) fn overlap(answer: &Answer<'_>, shards: &[ShardSets], segments: &[(String, Shape)]) -> Result<RecordBatch> {
    let sets: Vec<Vec<Arc<RoaringBitmap>>> = shards.iter().map(|shard| shard.chosen(segments.len())).collect();
    answer.statement.check_cancelled()?;
    let rows = overlaps(&sets, segments.len(), answer.threads);
    let name = |at: usize| segments[at].0.as_str();
    answer.batch(vec![
        texts(rows.iter().map(|row| name(row.a))),
        texts(rows.iter().map(|row| name(row.b))),
        whole(rows.iter().map(|row| row.users_a)),
        whole(rows.iter().map(|row| row.users_b)),
        whole(rows.iter().map(|row| row.users)),
        fractions(rows.iter().map(Overlap::share_of_a)),
        fractions(rows.iter().map(Overlap::jaccard)),
    ])
}

impl ShardSets {
    /// The users of each segment, among the chosen ones where there are any.
    fn chosen(&self, segments: usize) -> Vec<Arc<RoaringBitmap>> {
        match &self.rules[..self.rules.len() - segments] {
            [chosen] => self.rules[1..].iter().map(|users| Arc::new(&**users & &**chosen)).collect(),
            _ => self.rules.clone(),
        }
    }
}

/// `emit => 'lift'`: each segment inside the chosen users against outside.
pub(super) fn lift(answer: &Answer<'_>, shards: &[ShardSets], segments: &[(String, Shape)]) -> Result<RecordBatch> {
    let sets: Vec<_> = shards.iter().map(|shard| (&*shard.known, shard.rules.as_slice())).collect();
    answer.statement.check_cancelled()?;
    let rows = lifts(&sets, segments.len(), answer.threads);
    let tests: Vec<_> = rows.iter().map(Lift::significance).collect();
    answer.batch(vec![
        texts(segments.iter().map(|(name, _)| name.as_str())),
        whole(rows.iter().map(|row| row.users_inside)),
        fractions(rows.iter().map(Lift::share_inside)),
        whole(rows.iter().map(|row| row.users_outside)),
        fractions(rows.iter().map(Lift::share_outside)),
        fractions(rows.iter().map(Lift::lift)),
        fractions(tests.iter().map(|test| test.map(|test| test.z))),
        fractions(tests.iter().map(|test| test.map(|test| test.p_value))),
    ])
}
