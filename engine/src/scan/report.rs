//! What a scan read and what it could skip, for `EXPLAIN ANALYZE`.

/// Counts of one scan. Merging adds them up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// Segments of the snapshot.
    pub segments: u64,
    /// Blocks of these segments.
    pub blocks: u64,
    /// Blocks skipped because no event of them lies in the time range.
    pub blocks_skipped_by_time: u64,
    /// Blocks skipped because their smallest and largest values exclude the condition.
    pub blocks_skipped_by_range: u64,
    /// Blocks skipped because the bitmaps leave none of their users.
    pub blocks_skipped_by_users: u64,
    /// Blocks of which at least one column was decoded.
    pub blocks_read: u64,
    /// Users of the snapshot.
    pub users: u64,
    /// Users whom the bitmaps left.
    pub users_candidate: u64,
    /// Users handed to the operator.
    pub users_matched: u64,
    /// Events of the snapshot.
    pub events: u64,
    /// Events whose name was looked at.
    pub events_read: u64,
    /// Events handed on.
    pub events_matched: u64,
    /// Which index pruned what, a line each.
    pub notes: Vec<String>,
}

impl ScanReport {
    /// Add the counts of `other`, as far as reading is concerned. What describes the whole snapshot stays.
    pub fn add_work(&mut self, other: &Self) {
        self.blocks_skipped_by_time += other.blocks_skipped_by_time;
        self.blocks_skipped_by_range += other.blocks_skipped_by_range;
        self.blocks_skipped_by_users += other.blocks_skipped_by_users;
        self.blocks_read += other.blocks_read;
        self.users_matched += other.users_matched;
        self.events_read += other.events_read;
        self.events_matched += other.events_matched;
    }
}
