//! RETENTION: who comes back after a start, and in which period.
//!
//! ```text
//! conditions (masks)  ->  RetentionKernel  ->  user cohorts  ->  RetentionPartial (merge, merge, …)  ->  RetentionRow
//!                         per user                               per cohort and group of `by` values
//! ```
//!
//! Where only days are known, [`FirstDays`] takes the place of the kernel for the frequent questions, and [`DayRows`] for the most
//! frequent ones.
//! [`RetentionSpec`] says what each argument means where the words of the query language leave a choice.

mod day_rows;
mod first_days;
mod kernel;
mod partial;
mod spec;
mod windows;

pub use day_rows::{DayBits, DayRows};
pub use first_days::FirstDays;
pub use kernel::{RETURN, RetentionKernel, START, UserCohort};
pub use partial::{CohortPartial, RetentionPartial, RetentionRow, each_row};
pub use spec::{Cohorts, Mode, PERIOD_DAYS_MAX, PERIODS_MAX, Period, Periods, RetentionSpec, Windows};
