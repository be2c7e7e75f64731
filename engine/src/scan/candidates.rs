//! Which users can matter? The bitmaps' answer, and whether it is exact.

use super::bind::{Binder, Node};
use crate::error::Result;
use crate::index::DayClock;
use crate::predicate::Predicate;
use crate::segment::Segment;
use crate::table::Snapshot;
use crate::types::TimeRange;
use roaring::RoaringBitmap;

/// More days than this are not worth a union of day bitmaps.
const DAYS_MAX: usize = 400;

/// Users of one shard.
#[derive(Debug, Clone)]
pub struct UserSet {
    /// Ordinals.
    pub users: RoaringBitmap,
    /// True: exactly the users who have such an event. False: a superset.
    pub exact: bool,
}

/// Users of one segment; `users` is `None` for all.
struct Found {
    users: Option<RoaringBitmap>,
    exact: bool,
    /// Whether the condition is the same for all events of a user in this segment.
    per_user: bool,
}

const ALL: Found = Found { users: None, exact: false, per_user: false };

/// For each shard the users who have an event in `time` that satisfies `predicate`, from the indexes alone.
///
/// # Errors
/// `Corrupt` if an index cannot be read.
pub fn matching_users(snapshot: &Snapshot, predicate: &Predicate, time: TimeRange) -> Result<Vec<UserSet>> {
    let time = visible_time(snapshot, time);
    (0..snapshot.shards.len()).map(|shard| shard_users(snapshot, shard, predicate, time)).collect()
}

/// `time` without what the table's retention hides.
pub(crate) fn visible_time(snapshot: &Snapshot, time: TimeRange) -> TimeRange {
    TimeRange { start_us: time.start_us.max(snapshot.hidden_before_us), ..time }
}

fn shard_users(snapshot: &Snapshot, shard: usize, predicate: &Predicate, time: TimeRange) -> Result<UserSet> {
    let mut sum = UserSet { users: RoaringBitmap::new(), exact: true };
    for live in &snapshot.shards[shard].segments {
        let meta = live.segment.meta();
        if meta.rows == 0 || !time.overlaps(meta.ts_min, meta.ts_max) {
            continue;
        }
        let node = Binder { snapshot, shard, segment: &live.segment }.bind(predicate, false)?;
        let whole = time.contains(meta.ts_min) && time.contains(meta.ts_max);
        let found = users_of(&node, &live.segment, if whole { None } else { Some((snapshot, time)) })?;
        let mut users = match found.users {
            Some(users) => users,
            None => (*live.segment.users()?).clone(),
        };
        if !live.hidden.is_empty() {
            users -= &*live.hidden;
        }
        sum.exact &= (found.exact && whole) || users.is_empty();
        if sum.users.is_empty() {
            sum.users = users;
        } else {
            sum.users |= users;
        }
    }
    Ok(sum)
}

/// Users of `segment` with an event for which `node` is true. `part` is given when only a part of the segment's time
/// counts.
fn users_of(node: &Node, segment: &Segment, part: Option<(&Snapshot, TimeRange)>) -> Result<Found> {
    Ok(match node {
        Node::Const(truth) if *truth == super::test::TRUE => Found { exact: true, per_user: true, ..ALL },
        Node::Const(_) => Found { users: Some(RoaringBitmap::new()), exact: true, per_user: true },
        Node::Event(passes) => {
            let codes = (0u32..).zip(passes).filter(|(_, passes)| **passes).map(|(code, _)| code);
            let mut users = RoaringBitmap::new();
            for code in codes {
                add_event_users(&mut users, segment, code, part)?;
            }
            Found { users: Some(users), exact: true, per_user: false }
        }
        Node::Users { ordinals, negated } => {
            let all = segment.users()?;
            let users = if *negated { &*all - &**ordinals } else { &*all & &**ordinals };
            Found { users: Some(users), exact: true, per_user: true }
        }
        Node::Text { name, passes, .. } => text_users(name, passes, segment)?,
        Node::And(parts) => all_of(parts, segment, part)?,
        Node::Or(parts) => any_of(parts, segment, part)?,
        _ => ALL,
    })
}

fn add_event_users(
    users: &mut RoaringBitmap,
    segment: &Segment,
    code: u32,
    part: Option<(&Snapshot, TimeRange)>,
) -> Result<()> {
    if let Some((snapshot, time)) = part {
        let meta = segment.meta();
        let first = time.start_us.max(meta.ts_min);
        let last = (time.end_us - 1).min(meta.ts_max);
        let mut clock = DayClock::new(snapshot.options.tz()?);
        // a day more on both sides, for zones that once went back over the date line
        let days = clock.day(first) - 1..=clock.day(last) + 1;
        if days.end().abs_diff(*days.start()) as usize <= DAYS_MAX {
            for day in days {
                if let Some(of_day) = segment.event_day_users(code, day)? {
                    *users |= &*of_day;
                }
            }
            return Ok(());
        }
    }
    *users |= &*segment.event_users(code)?;
    Ok(())
}

fn text_users(name: &str, passes: &[bool], segment: &Segment) -> Result<Found> {
    let mut users = RoaringBitmap::new();
    for (code, _) in (0u32..).zip(passes).filter(|(_, passes)| **passes) {
        match segment.value_users(name, code)? {
            Some(of_value) => users |= &*of_value,
            None => return Ok(ALL),
        }
    }
    if !segment.is_dictionary_coded(name) {
        return Ok(ALL);
    }
    Ok(Found { users: Some(users), exact: true, per_user: segment.is_uniform(name) })
}

fn all_of(parts: &[Node], segment: &Segment, part: Option<(&Snapshot, TimeRange)>) -> Result<Found> {
    let mut sum = Found { users: None, exact: true, per_user: true };
    let mut varying = 0;
    for node in parts {
        let found = users_of(node, segment, part)?;
        varying += usize::from(!found.per_user);
        sum.exact &= found.exact;
        sum.per_user &= found.per_user;
        sum.users = match (sum.users, found.users) {
            (Some(a), Some(b)) => Some(a & b),
            (a, b) => a.or(b),
        };
    }
    // two conditions that vary from event to event may be met by different events of the user
    sum.exact &= varying <= 1;
    Ok(sum)
}

fn any_of(parts: &[Node], segment: &Segment, part: Option<(&Snapshot, TimeRange)>) -> Result<Found> {
    let mut sum = Found { users: Some(RoaringBitmap::new()), exact: true, per_user: true };
    for node in parts {
        let found = users_of(node, segment, part)?;
        sum.exact &= found.exact;
        sum.per_user &= found.per_user;
        sum.users = match (sum.users, found.users) {
            (Some(a), Some(b)) => Some(a | b),
            _ => None,
        };
    }
    Ok(sum)
}
