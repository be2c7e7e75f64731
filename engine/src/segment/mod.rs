//! Segments: immutable, columnar, sorted by (ordinal, ts, arrival), with their indexes inside. `docs/FORMAT.md` has
//! the bytes. Modules in the order in which data flows: rows in, bytes, rows out.

mod active_days;
mod bits;
mod block;
mod buffer;
mod builder;
mod column;
mod day_blocks;
mod day_events;
mod describe;
mod dictionary;
mod first_days;
mod footer;
mod format;
mod ints;
mod kept;
mod meta;
mod packing;
mod range_test;
mod reader;
#[cfg(test)]
mod tests;
mod text;
mod user_values;
mod users;
mod validity;
mod verify;
mod widen;
pub(crate) mod wire;

pub use active_days::{DAYS_PER_WORD, words_of};
pub use block::Block;
pub(crate) use buffer::double_key;
pub use builder::{BlockLimits, SegmentBuilder};
pub use column::{ColumnBlock, DoubleColumn, IntColumn};
pub use day_events::DayCounts;
pub use describe::{Description, describe_segment};
pub use first_days::NO_DAY;
pub use ints::PackedInts;
pub use meta::{BlockMeta, BlockUsers, ColumnStats, SegmentMeta, SegmentSpec};
pub use packing::Packed;
pub(crate) use range_test::{INSIDE, NULL, OUTSIDE, RowTest};
pub use reader::Segment;
pub use text::{PlainTexts, TextBlock, TextCodes};
pub use user_values::{FIRST_VALUE, NO_EVENT, NULL_VALUE, VALUES_DIFFER};
pub use validity::{ValidRows, Validity};
pub use widen::{double_text, timestamp_text, widen};
