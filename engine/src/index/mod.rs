//! Indexes inside a segment: bitmaps of users per event name, per event name and calendar day, and per value of
//! columns with few values. The segment's writer feeds them block by block, its reader loads a bitmap at first use.

mod build;
mod day;
mod directory;
mod list;

pub use day::DayClock;

pub(crate) use build::{BlockRows, IndexBuilder, IndexedColumn};
pub(crate) use directory::{Directory, ENTRY_BYTES as BITMAP_ENTRY_BYTES, ListKey, ListKind};
pub(crate) use list::{decode as decode_bitmap, form as bitmap_form};
