//! Merging neighbouring segments into one, without the rows that are hidden.

mod merge;
mod policy;
mod supersede;

pub(crate) use merge::{Keep, MergeInput, merge};
pub use policy::{Choice, SegmentSummary, choose, choose_full};
