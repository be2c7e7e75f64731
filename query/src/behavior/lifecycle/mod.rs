//! LIFECYCLE: who is new in a period, who returns, who comes back after a while, and who is gone.
//!
//! ```text
//! times, masks  ->  ActivePeriods  ->  statuses  ->  LifecyclePartial (merge, merge, …)  ->  LifecycleRow
//!                   per user                         by period and group of `by` values
//! ```

mod partial;
mod spec;
mod status;

pub use partial::{LifecyclePartial, LifecycleRow};
pub use spec::LifecycleSpec;
pub use status::{Status, statuses};
