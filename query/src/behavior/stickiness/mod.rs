//! STICKINESS: on how many days of a week or month users are active, and how many are on a day, in seven, in thirty.
//!
//! ```text
//! times, masks  ->  ActivePeriods  ->  days of a period  ->  HistogramPartial (merge, …)  ->  HistogramRow
//!                   days, per user ->  days              ->  ActivePartial    (merge, …)  ->  ActiveRow
//! ```

mod active;
mod histogram;
mod spec;

pub use active::{ActivePartial, ActiveRow};
pub use histogram::{HistogramPartial, HistogramRow};
pub use spec::StickinessSpec;
