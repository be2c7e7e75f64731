//! RFM: how long ago, how often and for how much users did something; scores of each, and segments of users.
//!
//! ```text
//! times, values  ->  Customer  ->  all customers  ->  Scores  ->  Segment, Totals
//!                    per user      of all threads     quantiles need all of them
//! ```

mod customer;
mod scores;
mod segment;
mod spec;
mod totals;

pub use customer::{Customer, events_until};
pub use scores::{Scores, recency_days, scores};
pub use segment::Segment;
pub use spec::{Bounds, RfmSpec, SCORES_MAX};
pub use totals::Totals;
