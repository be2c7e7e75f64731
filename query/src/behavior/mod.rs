//! Behaviour operators: arguments, a kernel over one user's events in time order, a mergeable partial, a final table.
//!
//! Nothing here reads a table, knows SQL or blocks. A kernel sees slices, a partial sees what kernels found, and the
//! plan around them decides where the slices come from. A new operator is a folder beside `funnel`.

pub mod bucket;
mod calendar;
pub mod periods;
pub mod exact_sum;
pub mod funnel;
pub mod lifecycle;
pub mod path;
pub mod quantile;
pub mod recommend;
pub mod retention;
pub mod rfm;
pub mod segment;
pub mod sessions;
pub mod stickiness;
