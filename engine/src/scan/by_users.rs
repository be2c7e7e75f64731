//! A filter by users belongs to the users of a scan: said there, it costs nothing an event, and leaves the way by bits
//! open, which a filter on events closes.

use super::behavior::BehaviorScan;
use crate::members::Members;
use crate::predicate::Predicate;
use crate::table::Snapshot;
use roaring::RoaringBitmap;
use std::borrow::Cow;

/// `scan` with the users of its filter among its users, where all events have to be of them.
pub(crate) fn filter_of_users<'a>(snapshot: &Snapshot, scan: &'a BehaviorScan) -> Cow<'a, BehaviorScan> {
    let start = || match &scan.users {
        Some(users) => users.clone(),
        None => snapshot.shards.iter().map(|shard| (0..shard.next_ordinal).collect()).collect(),
    };
    let mut left: Option<Vec<RoaringBitmap>> = None;
    let mut rest = Vec::new();
    let parts = match &scan.filter {
        Predicate::And(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    for part in parts {
        match restriction(part) {
            Some((members, negated)) => restrict(left.get_or_insert_with(start), members, negated),
            None => rest.push(part.clone()),
        }
    }
    let Some(users) = left else { return Cow::Borrowed(scan) };
    let filter = rest.into_iter().fold(Predicate::True, Predicate::and);
    Cow::Owned(BehaviorScan { filter, users: Some(users), ..scan.clone() })
}

/// The users whom `part` keeps, or with `true` those whom it leaves out.
fn restriction(part: &Predicate) -> Option<(&Members, bool)> {
    match part {
        Predicate::Members(members) => Some((members, false)),
        Predicate::Not(inner) => restriction(inner).map(|(members, negated)| (members, !negated)),
        _ => None,
    }
}

fn restrict(users: &mut [RoaringBitmap], members: &Members, negated: bool) {
    for (shard, of_shard) in users.iter_mut().enumerate() {
        match negated {
            true => *of_shard -= &*members.of_shard(shard),
            false => *of_shard &= &*members.of_shard(shard),
        }
    }
}
