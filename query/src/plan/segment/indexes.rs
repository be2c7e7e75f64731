//! What bitmaps say of the users of a segment, shard by shard.

use super::whose::Asked;
use crate::behavior::segment::{Deed, Facts, SegmentSpec};
use crate::error::{Error, Result};
use crate::plan::operator::Ask;
use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::parallel::map_all;
use trodden_engine::predicate::Predicate;
use trodden_engine::scan::{Amount, Bounds, Question, doers};
use trodden_engine::types::TimeRange;

/// With fewer users than this a thread is not worth its start.
const USERS_PER_THREAD: u64 = 500_000;

/// The users of one shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardUsers {
    pub(crate) known: Bounds,
    /// Those of each set that is known from elsewhere, whether they are known here or not.
    pub(crate) sets: Vec<Arc<RoaringBitmap>>,
    /// Those of each rule of the specification.
    pub(crate) rules: Vec<Bounds>,
}

impl ShardUsers {
    /// Users of whom it is not known whether they belong to each rule, or are known at all.
    pub(crate) fn open(&self) -> RoaringBitmap {
        self.rules.iter().fold(self.known.open(), |open, rule| open | rule.open())
    }
}

/// Whether the bitmaps say who has an event in the input, by what it is made of.
pub(super) fn knows_users(spec: &SegmentSpec, ask: &Ask<'_>) -> bool {
    let is_all = matches!(ask.condition.filter, Predicate::True) && ask.condition.time == TimeRange::ALL;
    is_all && spec.as_of_us.is_none() && ask.snapshot.hidden_before_us == i64::MIN
}

/// All shards, on as many threads as they are worth.
///
/// # Errors
/// `Corrupt` if an index cannot be read; `Cancelled`.
pub(crate) fn read(asked: &Asked, ask: &Ask<'_>) -> Result<Vec<ShardUsers>> {
    let sets = asked.sets.iter().map(|set| set.in_snapshot(ask.snapshot)).collect::<Result<Vec<_>>>()?;
    let shards: Vec<usize> = (0..ask.snapshot.shards.len()).collect();
    let users: u64 = ask.snapshot.shards.iter().map(|shard| u64::from(shard.next_ordinal)).sum();
    let threads = (users / USERS_PER_THREAD) as usize;
    let of_shard = |shard: &usize| {
        ask.statement.check_cancelled()?;
        let sets = sets.iter().map(|set| set.of_shard(*shard)).collect();
        Shard::new(&asked.rules, sets, ask, *shard).users()
    };
    map_all(&shards, threads.clamp(1, ask.threads.max(1)), of_shard).into_iter().collect()
}

/// One shard, and what was found of it.
struct Shard<'a> {
    spec: &'a SegmentSpec,
    ask: &'a Ask<'a>,
    shard: usize,
    /// Of the whole input.
    time: TimeRange,
    known: Option<Bounds>,
    /// Sets that are known from elsewhere, their users in the shard.
    sets: Vec<Arc<RoaringBitmap>>,
    /// For each deed those who did it, where all users were asked about.
    deeds: Vec<Option<Bounds>>,
}

impl<'a> Shard<'a> {
    fn new(spec: &'a SegmentSpec, sets: Vec<Arc<RoaringBitmap>>, ask: &'a Ask<'a>, shard: usize) -> Self {
        let until_us = spec.as_of_us.map_or(i64::MAX, |as_of_us| as_of_us.saturating_add(1));
        let time = ask.condition.time.intersect(&TimeRange { start_us: i64::MIN, end_us: until_us });
        Self { spec, ask, shard, time, known: None, sets, deeds: vec![None; spec.deeds.len()] }
    }

    fn users(mut self) -> Result<ShardUsers> {
        let spec = self.spec;
        let rules = spec.rules().map(|rule| rule.users(&mut self, None)).collect::<Result<_>>()?;
        Ok(ShardUsers { known: self.known()?, sets: self.sets, rules })
    }

    fn ask(&self, condition: &Predicate, deed: &Deed, among: Option<&RoaringBitmap>) -> Result<Bounds> {
        let time = self.time.intersect(&TimeRange { start_us: deed.from_us, end_us: deed.until_us });
        if time.start_us >= time.end_us {
            return Ok(Bounds::default());
        }
        let condition = &self.ask.condition.filter.clone().and(condition.clone());
        let (snapshot, shard) = (self.ask.snapshot, self.shard);
        let about = |amount| doers(snapshot, shard, &Question { condition, time, amount, among });
        if !deed.in_days {
            return Ok(about(Amount::Events(deed.at_least))?);
        }
        // Days of another calendar are not those of the bitmaps.
        let is_same = snapshot.options.tz()? == self.spec.time_zone;
        match is_same && self.spec.days().has_whole_days(self.ask.times()) {
            true => Ok(about(Amount::Days(deed.at_least))?),
            false => Ok(Bounds::at_most(about(Amount::Events(1))?.possible)),
        }
    }
}

impl Shard<'_> {
    /// The known users of a set.
    fn set(&mut self, set: usize) -> Result<Bounds> {
        let (known, users) = (self.known()?, Bounds::exactly(Arc::clone(&self.sets[set])));
        let all = u64::from(self.ask.snapshot.shards[self.shard].next_ordinal);
        Ok(if known.sure.len() == all { users } else { users.and(&known) })
    }
}

impl Facts for Shard<'_> {
    type Error = Error;

    fn known(&mut self) -> Result<Bounds> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let ever = Deed { condition: 0, from_us: i64::MIN, until_us: i64::MAX, in_days: false, at_least: 1 };
        let known = self.ask(&Predicate::True, &ever, None)?;
        Ok(self.known.insert(known).clone())
    }

    fn atom(&mut self, atom: usize, among: Option<&RoaringBitmap>) -> Result<Bounds> {
        let Some(number) = atom.checked_sub(self.spec.sets) else { return self.set(atom) };
        if let Some(known) = &self.deeds[number] {
            return Ok(known.clone());
        }
        let deed = &self.spec.deeds[number];
        let among = among.filter(|_| !self.is_at_hand(atom));
        let found = self.ask(&self.ask.conditions[deed.condition], deed, among)?;
        if among.is_none() {
            self.deeds[number] = Some(found.clone());
        }
        Ok(found)
    }

    /// Whether one bitmap has the users, without a day.
    fn is_at_hand(&self, atom: usize) -> bool {
        let Some(number) = atom.checked_sub(self.spec.sets) else { return true };
        let deed = &self.spec.deeds[number];
        deed.at_least == 1 && deed.from_us == i64::MIN && deed.until_us == i64::MAX && self.time == TimeRange::ALL
    }
}

/// Sets that are known of some users: of nobody else is anything asked.
pub(super) struct Told<'a> {
    pub(super) known: Arc<RoaringBitmap>,
    /// Of each set the known users.
    pub(super) sets: &'a [Arc<RoaringBitmap>],
    pub(super) deeds: &'a [Arc<RoaringBitmap>],
}

impl Facts for Told<'_> {
    type Error = std::convert::Infallible;

    fn known(&mut self) -> Result<Bounds, Self::Error> {
        Ok(Bounds::exactly(Arc::clone(&self.known)))
    }

    fn atom(&mut self, atom: usize, _among: Option<&RoaringBitmap>) -> Result<Bounds, Self::Error> {
        let of_deed = |deed: usize| &self.deeds[deed];
        let users = self.sets.get(atom).unwrap_or_else(|| of_deed(atom - self.sets.len()));
        Ok(Bounds::exactly(Arc::clone(users)))
    }

    fn is_at_hand(&self, _atom: usize) -> bool {
        true
    }
}
