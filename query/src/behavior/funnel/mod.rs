//! FUNNEL: how far users come along a chain of steps.
//!
//! ```text
//! conditions (masks)  ->  FunnelKernel  ->  chains  ->  FunnelPartial (merge, merge, …)  ->  StepRow
//!                         per user                      per group of `by` values and bucket
//! ```
//!
//! `docs/semantics/funnel.md` gives every rule with an example.

mod any_order;
mod attempts;
mod basis;
mod exact;
mod fast;
mod kernel;
mod level;
mod matches;
mod matching;
mod ordered;
mod partial;
mod row_chain;
mod rules;
mod spec;
mod step_rows;
mod stops;
mod timeline;

pub use crate::behavior::bucket::Bucket;
pub use kernel::FunnelKernel;
pub use matches::{Chain, DropReason, Matches, UserInput};
pub use partial::{FunnelPartial, GroupPartial, StepRow, finish_all};
pub use spec::{
    ANY_ORDER_STEP_WITHIN_STEPS_MAX, Attribution, Count, EXCLUDES_MAX, Exclude, FunnelSpec, Order, STEPS_MAX, Ties,
};
pub use step_rows::StepRows;
