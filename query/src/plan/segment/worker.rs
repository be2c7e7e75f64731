//! One thread: users in, bitmaps of those who did each thing out.

use super::indexes::ShardUsers;
use crate::behavior::periods::Calendar;
use crate::behavior::segment::{Deed, SegmentSpec};
use crate::plan::operator::{UserRows, Worker};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Users of one shard who were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    /// Those with an event.
    pub(super) known: RoaringBitmap,
    /// For each deed those who did it.
    pub(super) deeds: Vec<RoaringBitmap>,
}

/// What one thread has found.
#[derive(Debug)]
pub(crate) struct SegmentWorker {
    deeds: Vec<Deed>,
    days: Calendar,
    as_of_us: Option<i64>,
    /// By the high half of the users' numbers, which is the shard of an event table.
    pub(super) read: BTreeMap<u32, Read>,
    /// What the bitmaps say of all shards, where they were asked.
    pub(super) indexed: Option<Vec<ShardUsers>>,
    /// About the memory of `read`, in bytes: users are counted, since bitmaps do not tell.
    bytes: usize,
    times: Vec<i64>,
}

impl SegmentWorker {
    /// Nobody was read yet.
    pub(super) fn new(spec: &SegmentSpec) -> Self {
        Self {
            deeds: spec.deeds.clone(),
            days: spec.days(),
            as_of_us: spec.as_of_us,
            read: BTreeMap::new(),
            indexed: None,
            bytes: 0,
            times: Vec::new(),
        }
    }

    /// What bitmaps say.
    pub(super) fn of_indexes(spec: &SegmentSpec, shards: Vec<ShardUsers>) -> Self {
        let sets = || shards.iter().flat_map(|shard| shard.rules.iter().chain([&shard.known]));
        let bytes = sets().map(|set| set.possible.serialized_size()).sum();
        Self { indexed: Some(shards), bytes, ..Self::new(spec) }
    }
}

impl Worker for SegmentWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        let times = rows.times.decode(&mut self.times);
        let known = self.as_of_us.map_or(times.len(), |as_of_us| times.partition_point(|&ts| ts <= as_of_us));
        if known == 0 {
            return;
        }
        let (shard, user) = ((rows.user >> 32) as u32, rows.user as u32);
        let count = self.deeds.len();
        let read = self.read.entry(shard).or_default();
        read.deeds.resize(count, RoaringBitmap::new());
        read.known.insert(user);
        self.bytes += size_of::<u32>();
        for (deed, users) in self.deeds.iter().zip(&mut read.deeds) {
            if deed.is_done(times, rows.masks, &self.days) {
                users.insert(user);
                self.bytes += size_of::<u32>();
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes
    }
}
