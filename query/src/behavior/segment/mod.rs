//! SEGMENT: users by a boolean expression over what they did.
//!
//! ```text
//! times, masks  ->  Deed  ->  bitmaps of users by deed  ->  Rule (and, or, not)  ->  sizes, overlaps, lifts
//!                   per user  or bounds of them, from indexes
//! ```

mod compare;
mod containers;
mod deed;
mod rule;
mod shared;
mod significance;
mod words;

pub(crate) use compare::ratio;
pub use compare::{Lift, Overlap, lifts, overlaps};
pub use deed::{Deed, SegmentSpec};
pub use rule::{Facts, Rule};
pub use significance::{Significance, two_proportions};
