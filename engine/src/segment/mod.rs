//! Segments: immutable, columnar, sorted by (ordinal, ts, arrival), with their indexes inside. `docs/FORMAT.md` has
//! the bytes.

mod meta;
mod skeleton;

pub use meta::{BlockMeta, BlockUsers, ColumnStats, SegmentMeta, SegmentSpec};
pub use skeleton::*;
