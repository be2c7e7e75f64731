//! Merging neighbouring segments into one, without the rows that are hidden.

mod merge;
mod policy;

pub(crate) use merge::{MergeInput, merge};
pub use policy::{Choice, SegmentSummary, choose, choose_full};
