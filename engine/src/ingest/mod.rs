//! Ingest: events as Arrow arrays are validated, brought into one form, and split by shard.

mod encode;
mod schema;
mod texts;

pub(crate) use encode::{EncodedBatch, EncodedColumn, EncodedText};
pub(crate) use schema::{BigIntRange, BigIntRanges, check_new_column, grow};

use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use xxhash_rust::xxh3::xxh3_64;

/// Longest `user_id`, `event` and `event_id`, in bytes.
pub const MAX_NAME_BYTES: usize = 65_535;
/// Most property columns of a table.
pub const MAX_COLUMNS: usize = 10_000;

/// Events, column by column. All arrays have the same length.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// Who. Neither NULL nor empty.
    pub user_id: StringArray,
    /// When, in microseconds since 1970, within `TS_MIN_US..=TS_MAX_US`. Not NULL.
    pub ts: Int64Array,
    /// What. Neither NULL nor empty.
    pub event: StringArray,
    /// An id by which the sender tells one event from another; NULL or absent: never a duplicate.
    pub event_id: Option<StringArray>,
    /// Properties: BOOLEAN from `Boolean`; BIGINT from `Int8` to `Int64` and `UInt8` to `UInt32`; DOUBLE from `Float32`
    /// and `Float64`; TEXT from `Utf8`, `LargeUtf8`, `Utf8View` and dictionaries of `Utf8` with `Int32` keys; TIMESTAMP
    /// from `Timestamp(Microsecond)`. A column of type `Null` is passed over.
    pub properties: Vec<(String, ArrayRef)>,
}

impl EventBatch {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.user_id.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The shard of a user: the same for ever.
pub(crate) fn shard_of(user_id: &str, shards: u16) -> u16 {
    shard_of_hash(xxh3_64(user_id.as_bytes()), shards)
}

fn shard_of_hash(hash: u64, shards: u16) -> u16 {
    (hash % u64::from(shards)) as u16
}
