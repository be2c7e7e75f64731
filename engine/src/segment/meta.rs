//! What is known of a segment without reading its columns.

use crate::types::{Schema, Value};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a segment is told when its building starts.
#[derive(Debug, Clone)]
pub struct SegmentSpec {
    /// The shard that it belongs to.
    pub shard: u16,
    /// Arrival numbers that it covers.
    pub seq: Range<u64>,
    /// Ordinals of the users that it introduces.
    pub introduced: Range<u32>,
    /// Time zone of the calendar days of its index.
    pub tz: chrono_tz::Tz,
    /// Property columns to store.
    pub schema: Schema,
}

/// What the manifest keeps of a segment, and what its footer says of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// The shard that it belongs to.
    pub shard: u16,
    /// First arrival number that it covers.
    pub seq_start: u64,
    /// First arrival number after it.
    pub seq_end: u64,
    /// First ordinal that it introduces.
    pub introduced_start: u32,
    /// First ordinal after those that it introduces.
    pub introduced_end: u32,
    /// Number of rows.
    pub rows: u64,
    /// Number of users that have a row.
    pub users: u32,
    /// Earliest timestamp in microseconds; with no rows `i64::MAX`.
    pub ts_min: i64,
    /// Latest timestamp in microseconds; with no rows `i64::MIN`.
    pub ts_max: i64,
    /// Size of the whole segment in bytes.
    pub bytes: u64,
    /// CRC32C of the footer, which holds the CRC32C of everything else.
    pub footer_crc: u32,
}

/// What is known of a block without reading it. A user with more rows than a block may hold spans several blocks, so
/// the first ordinal of a block can be the last one of the block before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMeta {
    /// Ordinal of the first user.
    pub first_ordinal: u32,
    /// Ordinal of the last user.
    pub last_ordinal: u32,
    /// Rows of the segment before this block.
    pub row_start: u64,
    /// Rows of this block.
    pub rows: u32,
    /// Earliest timestamp in microseconds.
    pub ts_min: i64,
    /// Latest timestamp in microseconds.
    pub ts_max: i64,
}

/// Statistics of a column over a whole segment.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnStats {
    /// Rows without a value.
    pub null_count: u64,
    /// Smallest and largest value of a column that is not text, unless all are NULL. Doubles by IEEE totalOrder with
    /// -0 = 0.
    pub range: Option<(Value, Value)>,
    /// Number of distinct texts, where every block is dictionary-coded.
    pub distinct: Option<u64>,
}

/// The users of a block in order, and where the rows of each begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockUsers {
    /// An ordinal a user, strictly increasing.
    pub ordinals: Vec<u32>,
    /// Row of the block where each user begins, and after the last the number of rows: one more than `ordinals`.
    pub starts: Vec<u32>,
}
