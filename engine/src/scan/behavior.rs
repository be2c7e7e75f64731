//! Each user's events in total order, as masks of the conditions that they satisfy.

use super::bind::Binder;
use super::bound::{BoundScan, Wanted};
use super::by_users::filter_of_users;
use super::candidates::visible_time;
use super::condition_bits::UserBits;
use super::keys::{KeySpace, Keys};
use super::merge::{Cursor, Gathered, Piece};
use super::morsel::{Morsel, morsels};
use super::report::ScanReport;
use super::selection::Selection;
use super::times::Times;
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::predicate::{ColumnRef, Predicate};
use crate::table::Snapshot;
use crate::types::TimeRange;
use roaring::RoaringBitmap;
use std::sync::atomic::{AtomicBool, Ordering};

/// The most conditions of one scan: the bits of a mask.
pub const CONDITIONS_MAX: usize = 64;

/// What an operator wants to know of each user.
#[derive(Debug, Clone)]
pub struct BehaviorScan {
    /// Bit i of an event's mask tells whether condition i is true; at most [`CONDITIONS_MAX`].
    pub conditions: Vec<Predicate>,
    /// The input: events for which it is not true do not exist for the operator.
    pub filter: Predicate,
    /// The input, by time.
    pub time: TimeRange,
    /// Columns whose values are delivered as codes, see [`KeySpace`].
    pub keys: Vec<ColumnRef>,
    /// Deliver also the events of the input that satisfy no condition.
    pub every_event: bool,
    /// Per shard the users to look at; `None`: all. Users outside are not delivered.
    pub users: Option<Vec<RoaringBitmap>>,
}

/// The events of one user, in total order. There is at least one.
#[derive(Debug, Clone, Copy)]
pub struct UserEvents<'a> {
    /// The user's shard.
    pub shard: usize,
    /// The user's ordinal in the shard.
    pub ordinal: u32,
    /// Times in microseconds.
    pub times: Times<'a>,
    /// Per event the conditions that are true.
    pub masks: &'a [u64],
    /// Codes of the values of the key columns.
    pub keys: Keys<'a>,
}

impl<'a> UserEvents<'a> {
    fn new(shard: usize, ordinal: u32, piece: Piece<'a>) -> Self {
        Self { shard, ordinal, times: piece.times, masks: piece.masks, keys: piece.keys }
    }
}

/// What one thread has gathered.
#[derive(Debug)]
pub struct Worker<P> {
    /// The operator's partial result.
    pub partial: P,
    /// What its key codes mean.
    pub keys: KeySpace,
    report: ScanReport,
}

/// Give the events of every user to `each`, on `threads` threads. Each thread has a partial of its own, made by `init`;
/// which users it gets is left to chance, so merging partials must not depend on that.
///
/// # Errors
/// The first error of a read or of `each`; `Cancelled` soon after `cancel` is set.
pub fn scan_users<P: Send>(
    snapshot: &Snapshot,
    scan: &BehaviorScan,
    threads: usize,
    cancel: &AtomicBool,
    init: impl Fn() -> P + Sync,
    each: impl Fn(&mut P, &UserEvents<'_>) -> Result<()> + Sync,
) -> Result<(Vec<Worker<P>>, ScanReport)> {
    run(snapshot, scan, threads, cancel, init, &Visit { bits: None::<NoBits<P>>, events: each })
}

/// As [`scan_users`], for an operator that needs few of a user's events: where a user's events all lie in one block, and
/// event names say which of them matter, `by_bits` gets the user first. When it returns false, `each` gets the events.
/// `by_bits` may also get users without any such event, and of a user who goes on in the next block first what is in this
/// one: when that is enough, it returns true.
///
/// # Errors
/// As [`scan_users`].
pub fn scan_user_bits<P: Send>(
    snapshot: &Snapshot,
    scan: &BehaviorScan,
    threads: usize,
    cancel: &AtomicBool,
    init: impl Fn() -> P + Sync,
    by_bits: impl Fn(&mut P, &UserBits<'_>) -> Result<bool> + Sync,
    each: impl Fn(&mut P, &UserEvents<'_>) -> Result<()> + Sync,
) -> Result<(Vec<Worker<P>>, ScanReport)> {
    run(snapshot, scan, threads, cancel, init, &Visit { bits: Some(by_bits), events: each })
}

/// Who gets the users.
struct Visit<B, E> {
    bits: Option<B>,
    events: E,
}

/// The type of the function that nobody gives.
type NoBits<P> = fn(&mut P, &UserBits<'_>) -> Result<bool>;

fn run<P: Send, B, E>(
    snapshot: &Snapshot,
    scan: &BehaviorScan,
    threads: usize,
    cancel: &AtomicBool,
    init: impl Fn() -> P + Sync,
    visit: &Visit<B, E>,
) -> Result<(Vec<Worker<P>>, ScanReport)>
where
    B: Fn(&mut P, &UserBits<'_>) -> Result<bool> + Sync,
    E: Fn(&mut P, &UserEvents<'_>) -> Result<()> + Sync,
{
    if scan.conditions.len() > CONDITIONS_MAX {
        return Err(Error::invalid(format!("{} conditions, at most {CONDITIONS_MAX}", scan.conditions.len())));
    }
    let scan = &*filter_of_users(snapshot, scan);
    let work = morsels(snapshot);
    let found = parallel::in_turns(
        work.len(),
        threads,
        || -> Result<_> {
            let worker =
                Worker { partial: init(), keys: KeySpace::new(scan.keys.len()), report: ScanReport::default() };
            Ok((worker, Buffers { gathered: snapshot.spare.take(), selections: Vec::new() }))
        },
        |(worker, buffers), piece| scan_morsel(snapshot, scan, &work[piece], cancel, worker, buffers, visit),
    )?;
    let keep = |(worker, buffers): (Worker<P>, Buffers<'_>)| {
        snapshot.spare.keep(buffers.gathered, threads);
        worker
    };
    let workers: Vec<Worker<P>> = found.into_iter().map(keep).collect();
    let mut report = describe(snapshot, scan);
    workers.iter().for_each(|worker| report.add_work(&worker.report));
    Ok((workers, report))
}

fn describe(snapshot: &Snapshot, scan: &BehaviorScan) -> ScanReport {
    let segments = || snapshot.shards.iter().flat_map(|shard| &shard.segments).map(|live| &live.segment);
    let users: u64 = snapshot.shards.iter().map(|shard| u64::from(shard.next_ordinal)).sum();
    ScanReport {
        segments: segments().count() as u64,
        blocks: segments().map(|segment| segment.blocks().len() as u64).sum(),
        events: segments().map(|segment| segment.meta().rows).sum(),
        users,
        users_candidate: scan.users.as_ref().map_or(users, |sets| sets.iter().map(RoaringBitmap::len).sum()),
        ..ScanReport::default()
    }
}

/// What a thread keeps from morsel to morsel, so that memory is not asked for again and again.
struct Buffers<'a> {
    gathered: Gathered,
    selections: Vec<Selection<'a>>,
}

fn scan_morsel<'a, P, B, E>(
    snapshot: &'a Snapshot,
    scan: &'a BehaviorScan,
    morsel: &Morsel,
    cancel: &AtomicBool,
    worker: &mut Worker<P>,
    buffers: &mut Buffers<'a>,
    visit: &Visit<B, E>,
) -> Result<()>
where
    B: Fn(&mut P, &UserBits<'_>) -> Result<bool>,
    E: Fn(&mut P, &UserEvents<'_>) -> Result<()>,
{
    let mut cursors = cursors(snapshot, scan, morsel, visit.bits.is_some(), &mut buffers.selections)?;
    let gathered = &mut buffers.gathered;
    for cursor in &mut cursors {
        cursor.load(&mut worker.keys, &mut worker.report)?;
    }
    let mut matched = 0;
    while let Some((first, ordinal)) = smallest(&cursors, None) {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the query was cancelled"));
        }
        let limit = smallest(&cursors, Some(first)).map_or(u32::MAX, |(_, ordinal)| ordinal);
        let seen = visit_alone(visit, worker, &mut cursors[first], limit, morsel.shard)?;
        matched += seen.unwrap_or(0);
        if seen.is_some() {
            continue;
        }
        gather(&mut cursors[first..], ordinal, gathered, scan.keys.len(), worker)?;
        let events = gathered.events();
        if !events.masks.is_empty() {
            matched += 1;
            (visit.events)(&mut worker.partial, &UserEvents::new(morsel.shard, ordinal, events))?;
        }
    }
    worker.report.users_matched += matched;
    buffers.selections.extend(cursors.into_iter().map(Cursor::into_selection));
    Ok(())
}

/// The first of `cursors`, `other` left out, that stands at the smallest ordinal.
fn smallest(cursors: &[Cursor<'_>], other: Option<usize>) -> Option<(usize, u32)> {
    let at = |(index, cursor): (usize, &Cursor<'_>)| Some((index, cursor.ordinal().filter(|_| Some(index) != other)?));
    cursors.iter().enumerate().filter_map(at).min_by_key(|(_, ordinal)| *ordinal)
}

/// Hand on the users of the block of `cursor` up to `limit`, where another cursor stands: all of their events are here. The
/// number of those who have some; `None` if there is no such user.
fn visit_alone<P, B, E>(
    visit: &Visit<B, E>,
    worker: &mut Worker<P>,
    cursor: &mut Cursor<'_>,
    limit: u32,
    shard: usize,
) -> Result<Option<u64>>
where
    B: Fn(&mut P, &UserBits<'_>) -> Result<bool>,
    E: Fn(&mut P, &UserEvents<'_>) -> Result<()>,
{
    let (mut matched, mut seen) = (0, false);
    while let Some(ordinal) = cursor.ordinal().filter(|ordinal| *ordinal < limit) {
        let is_last = cursor.is_last();
        if is_last && cursor.may_continue() {
            if visit_first_part(visit, &mut worker.partial, cursor)? {
                seen = true;
                matched += 1;
                cursor.skip_rest(&mut worker.keys, &mut worker.report)?;
            }
            break;
        }
        seen = true;
        matched += u64::from(visit_one(visit, &mut worker.partial, cursor, shard, ordinal)?);
        cursor.advance(&mut worker.keys, &mut worker.report)?;
        if is_last {
            break;
        }
    }
    Ok(seen.then_some(matched))
}

/// Hand on a user whose events are those that `cursor` stands at. False if there are none.
#[inline(always)]
fn visit_one<P, B, E>(
    visit: &Visit<B, E>,
    partial: &mut P,
    cursor: &mut Cursor<'_>,
    shard: usize,
    ordinal: u32,
) -> Result<bool>
where
    B: Fn(&mut P, &UserBits<'_>) -> Result<bool>,
    E: Fn(&mut P, &UserEvents<'_>) -> Result<()>,
{
    if let Some(by_bits) = &visit.bits
        && let Some(user) = cursor.user_bits(true)
        && by_bits(partial, &user)?
    {
        return Ok(true);
    }
    let events = cursor.events();
    if events.masks.is_empty() {
        return Ok(false);
    }
    (visit.events)(partial, &UserEvents::new(shard, ordinal, events))?;
    Ok(true)
}

/// Hand on what is here of a user who goes on in the next block. False where that is not enough.
fn visit_first_part<P, B, E>(visit: &Visit<B, E>, partial: &mut P, cursor: &Cursor<'_>) -> Result<bool>
where
    B: Fn(&mut P, &UserBits<'_>) -> Result<bool>,
{
    match (&visit.bits, cursor.user_bits(false)) {
        (Some(by_bits), Some(user)) => by_bits(partial, &user),
        _ => Ok(false),
    }
}

fn gather<P>(
    cursors: &mut [Cursor<'_>],
    ordinal: u32,
    gathered: &mut Gathered,
    keys: usize,
    worker: &mut Worker<P>,
) -> Result<()> {
    gathered.clear(keys);
    let of_user = cursors.iter().filter(|cursor| cursor.ordinal() == Some(ordinal));
    gathered.reserve(of_user.map(Cursor::rows_ahead).sum());
    for cursor in cursors {
        while cursor.ordinal() == Some(ordinal) {
            gathered.add(&cursor.events());
            cursor.advance(&mut worker.keys, &mut worker.report)?;
        }
    }
    gathered.sort();
    Ok(())
}

fn cursors<'a>(
    snapshot: &'a Snapshot,
    scan: &'a BehaviorScan,
    morsel: &Morsel,
    by_bits: bool,
    selections: &mut Vec<Selection<'a>>,
) -> Result<Vec<Cursor<'a>>> {
    let time = visible_time(snapshot, scan.time);
    let candidates = scan.users.as_ref().map(|users| &users[morsel.shard]);
    if candidates.is_some_and(|users| users.range_cardinality(morsel.ordinals.clone()) == 0) {
        return Ok(Vec::new());
    }
    let mut cursors = Vec::new();
    for live in &snapshot.shards[morsel.shard].segments {
        let meta = live.segment.meta();
        if meta.rows == 0 || !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let binder = Binder { snapshot, shard: morsel.shard, segment: &live.segment };
        let conditions =
            scan.conditions.iter().map(|condition| binder.bind(condition, false)).collect::<Result<Vec<_>>>()?;
        let filter = binder.bind(&scan.filter, false)?;
        let bound = BoundScan::new(&live.segment, conditions, filter, time, &scan.keys, scan.every_event);
        let wanted = Wanted { ordinals: morsel.ordinals.clone(), candidates, hidden: &live.hidden };
        cursors.push(Cursor::new(&binder, live, bound, wanted, by_bits, selections.pop().unwrap_or_default()));
    }
    Ok(cursors)
}
