//! What one thread has found: groups of counts, or a row a user.

use super::{Emit, Funnel};
use crate::behavior::funnel::{Attribution, Bucket, Chain, FunnelPartial, FunnelSpec, GroupPartial};
use chrono_tz::Tz;
use trodden_engine::scan::Keys;

/// A group of the answer: the codes of its `by` values and the start of its bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupKey {
    /// `None`: the chain does not have the event that gives the values, which then are NULL. That is not the same as an
    /// event whose columns are NULL: an expression may make something of those.
    pub(crate) by: Option<Vec<u32>>,
    pub(crate) bucket_us: i64,
}

/// A row of `emit => 'users'`, before names come back.
#[derive(Debug)]
pub(super) struct UserRow {
    pub(super) user: u64,
    pub(super) by: Option<Vec<u32>>,
    pub(super) times: Vec<i64>,
    pub(super) reason: Option<&'static str>,
}

/// The partial result of one thread.
#[derive(Debug)]
pub(super) struct Results {
    emit: Emit,
    /// Which event of a chain gives its group. Without `by` every chain belongs to the only one.
    attribution: Attribution,
    bucket: Option<Bucket>,
    zone: Tz,
    by_columns: usize,
    steps: usize,
    partial: FunnelPartial<GroupKey>,
    /// In place of `partial` where the code of one `by` column at most makes the group: groups by code, so that no key
    /// is looked up for every user. The first is that of chains without the event that gives the value.
    by_code: Option<Vec<GroupPartial>>,
    users: Vec<UserRow>,
    key: GroupKey,
}

/// Groups with a code below this are found by it, the others by their key.
const SLOTS_MAX: usize = 1 << 16;

impl Results {
    /// Nothing yet, for users with `by_columns` columns of `by` codes.
    pub(super) fn new(spec: &FunnelSpec, funnel: &Funnel, by_columns: usize) -> Self {
        let by_code = by_columns <= 1 && !funnel.bucketed && funnel.emit == Emit::Steps;
        Self {
            emit: funnel.emit,
            attribution: if !funnel.grouped { Attribution::First } else { spec.attribution },
            bucket: spec.bucket,
            zone: spec.time_zone,
            by_columns,
            steps: spec.steps.len(),
            partial: FunnelPartial::default(),
            by_code: by_code.then(Vec::new),
            users: Vec::new(),
            key: GroupKey::default(),
        }
    }

    /// Whether the group of a chain is known without the chain, where a user's events all have the same `by` code.
    pub(super) fn takes_levels(&self) -> bool {
        self.by_code.is_some() && self.attribution == Attribution::First
    }

    /// The place in `by_code` of a user all of whose events have the same `by` code.
    #[inline]
    pub(super) fn slot_of_user(&self, by: &Keys<'_>) -> Option<usize> {
        let slot = match self.by_columns {
            0 => 1,
            _ if by.is_per_user() => 1 + by.code(0, 0) as usize,
            _ => return None,
        };
        (slot < SLOTS_MAX).then_some(slot)
    }

    /// Count a user of whom only the level is known. `slot` is that of [`Self::slot_of_user`].
    #[inline]
    pub(super) fn add_level(&mut self, slot: usize, level: usize) {
        if let Some(groups) = self.by_code.as_mut().filter(|_| level > 0) {
            group_of_slot(groups, slot).add_level(level);
        }
    }

    /// Count a chain of `user`, whose events have the codes `by`.
    pub(super) fn add(&mut self, chain: &Chain<'_>, user: u64, by: &Keys<'_>) {
        let event = chain.attributed_event(self.attribution).map(|event| event as usize);
        if let Some(groups) = &mut self.by_code {
            let code = |event| if self.by_columns == 0 { 0 } else { by.code(0, event) as usize };
            let slot = event.map_or(0, |event| 1 + code(event));
            if slot < SLOTS_MAX {
                group_of_slot(groups, slot).add(chain);
                return;
            }
        }
        set_key(&mut self.key.by, by, event);
        if self.emit == Emit::Users {
            let reason = chain.reason.map(|reason| reason.name());
            self.users.push(UserRow { user, by: self.key.by.clone(), times: chain.times.to_vec(), reason });
            return;
        }
        let start_us = |bucket: Bucket| bucket.start_us(chain.times[0], self.zone);
        self.key.bucket_us = self.bucket.map_or(0, start_us);
        self.partial.add(&self.key, chain);
    }

    /// Add counts to the only group of an answer without `by`.
    pub(super) fn merge_only_group(&mut self, group: GroupPartial) {
        match &mut self.by_code {
            Some(groups) => group_of_slot(groups, 1).merge(group),
            None => self.partial.merge_group(GroupKey { by: Some(Vec::new()), bucket_us: 0 }, group),
        }
    }

    /// Memory in use, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let row = size_of::<UserRow>() + 8 * (self.by_columns + self.steps);
        let groups = self.by_code.iter().flatten();
        let by_code: usize = groups.map(|group| size_of::<GroupPartial>() + group.heap_bytes()).sum();
        by_code + self.partial.heap_bytes() + self.users.len() * row
    }

    pub(super) fn into_groups(self) -> Vec<(GroupKey, GroupPartial)> {
        let by = self.by_columns;
        let by_slot = self.by_code.into_iter().flatten().zip(0_u32..).filter(|(group, _)| !group.is_empty());
        let by_slot = by_slot.map(|(group, slot)| {
            let by = slot.checked_sub(1).map(|code| vec![code; by]);
            (GroupKey { by, bucket_us: 0 }, group)
        });
        self.partial.into_groups().chain(by_slot).collect()
    }

    pub(super) fn into_users(self) -> Vec<UserRow> {
        self.users
    }
}

fn group_of_slot(groups: &mut Vec<GroupPartial>, slot: usize) -> &mut GroupPartial {
    if groups.len() <= slot {
        groups.resize_with(slot + 1, GroupPartial::default);
    }
    &mut groups[slot]
}

/// Make `key` the codes of `event`, in the memory that it has.
fn set_key(key: &mut Option<Vec<u32>>, by: &Keys<'_>, event: Option<usize>) {
    let Some(event) = event else {
        *key = None;
        return;
    };
    let codes = key.get_or_insert_default();
    codes.clear();
    codes.extend((0..by.columns()).map(|column| by.code(column, event)));
}
